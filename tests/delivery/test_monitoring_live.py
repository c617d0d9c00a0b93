"""The monitoring as it runs: faults put into a real service are told by a real Prometheus and Alertmanager.

Test names say what is held; monitored.py says what is changed of the configuration. Each test undoes its fault.
"""

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.error import HTTPError

import pytest
from monitored import INSTALL, MISSING, MONITORING, TOKEN, System, panels, rules, wait

from windcast.configs import settings
from windcast.serving import keys
from windcast.workflows import jobs

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: {INSTALL}")

SMALL = (
    "data=simulation",
    "data.days=40",
    "backtest.issue_every_hours=3",
    "backtest.against=[persistence]",
    "task.horizon=6",
    "task.history=12",
    "task.levels=19",
    "model=gbm",
    "model.rounds=6",
    "model.max_rows=2000",
    "threads=1",
    "calibration.rate=0.02",
)
FARM = "/v1/farms/simulation"
LATE = 2.5  # evaluation intervals: the two that are allowed, and half a second for starting and signalling processes
EMPTY = {"Champions followed"}  # panels: no champion is served here that could move


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("monitored")
    run = jobs.run_backtest(settings(SMALL), folder / "run", command="windcast backtest …")
    bundle = jobs.keep(run, folder / "small")
    key = keys.add(folder / "keys.json", "prometheus", farms=["*"], scopes=("read", "write"))
    with System(folder, bundle.folder, folder / "keys.json", key) as system:
        yield system


@contextmanager
def hours_without_data(system: System) -> Iterator[None]:
    """Twelve hours of the service's clock pass in which nothing arrives; then they did not."""
    assert system.service is not None
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        for _ in range(2):
            system.service.send_signal(number)
            time.sleep(0.1)  # two signals that wait are one
        if number == signal.SIGUSR1:
            yield


@contextmanager
def without_store(system: System) -> Iterator[None]:
    there, away = system.folder / "live.db", system.folder / "away.db"
    there.rename(away)
    yield
    away.rename(there)


def sent(values: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [one[name] for one in values] for name in ("time", "power_mw")}


def failing(system: System, path: str) -> None:
    with suppress(HTTPError):
        system.ask(path)


def test_every_query_of_rules_and_panels_is_understood_and_finds_what_there_is(system: System) -> None:
    power = system.ask(f"{FARM}/power?limit=500")["items"]
    table = "time,power_mw\n" + "\n".join(f"{one['time']},{one['power_mw']}" for one in power)
    form = f'--x\r\nContent-Disposition: form-data; name="data"; filename="power.csv"\r\n\r\n{table}\r\n--x--\r\n'
    queries = [(f"panel {title}", query) for title, query in panels() if title not in EMPTY]
    queries += [(rule["record"], rule["record"]) for rule in rules() if "record" in rule]

    def found() -> bool:
        system.ask(f"{FARM}/power", sent(power[:2]))
        system.ask("/predict?format=json", form.encode(), headers={"Content-Type": "multipart/form-data; boundary=x"})
        return all(system.query(query) for _, query in queries)

    with suppress(AssertionError):
        wait(found, 20, "data for every query")
    assert [name for name, query in queries if not system.query(query)] == []
    for title, query in panels():
        assert title not in EMPTY or system.query(query) == [], f"{title} has data: it is not to be named EMPTY"
    for rule in rules():
        system.query(rule["expr"])  # raises where Prometheus does not understand it
    loaded = [rule for group in system.api("rules")["groups"] for rule in group["rules"]]
    assert len(loaded) == len(rules())
    assert {(rule["health"], rule.get("lastError")) for rule in loaded} == {("ok", None)}


def test_every_query_and_silence_of_the_runbook_is_understood(system: System) -> None:
    snippets = re.findall(r"`([^`]+)`", (MONITORING.parent / "docs" / "runbook.md").read_text())
    queries = [one for one in snippets if re.search(r"windcast[_:]|^up\b", one) and "…" not in one]
    silences = [shlex.split(one.replace("FARM", "simulation")) for one in snippets if one.startswith("amtool")]
    assert len(queries) > 15
    assert len(silences) == 9
    for query in queries:
        system.query(query)  # raises where Prometheus does not understand it
    manager = f"--alertmanager.url=http://127.0.0.1:{system.ports['alertmanager']}"
    for command in silences:
        made = subprocess.run([*command, "--author=test", manager], capture_output=True, text=True, timeout=20)
        assert made.returncode == 0, made.stderr
        ended = subprocess.run(["amtool", "silence", "expire", made.stdout.strip(), manager], timeout=20)
        assert ended.returncode == 0


@pytest.mark.parametrize(
    ("cause", "silenced", "told"),
    [
        ({"alertname": "WindcastDown", "severity": "critical"}, {"WindcastErrors", "WindcastPowerStale"}, set()),
        ({"alertname": "WindcastDown", "severity": "warning"}, set(), {"WindcastErrors", "WindcastPowerStale"}),
        ({"alertname": "WindcastNotReady"}, {"WindcastErrors", "WindcastSlow"}, {"WindcastPowerStale"}),
        ({"alertname": "WindcastPowerStale", "farm": "hill"}, {"WindcastLowRung"}, {"WindcastErrors"}),
        ({"alertname": "WindcastPowerStale", "farm": "coast"}, set(), {"WindcastLowRung"}),
    ],
    ids=["all down", "one down", "not ready", "stale", "another farm stale"],
)
def test_a_cause_silences_what_follows_from_it_and_nothing_else(
    system: System, cause: dict[str, str], silenced: set[str], told: set[str]
) -> None:
    job = "-".join(cause.values())  # of its own, for what another case sent still stands
    follow = [{"alertname": name, "farm": "hill"} for name in silenced | told]
    system.manager("alerts", [{"labels": one | {"job": job}} for one in (cause, *follow)])

    def found() -> bool:
        alerts = [one for one in system.manager("alerts") if one["labels"]["job"] == job]
        state = {one["labels"]["alertname"]: bool(one["status"]["inhibitedBy"]) for one in alerts}
        return {name: state.get(name) for name in silenced | told} == (
            dict.fromkeys(silenced, True) | dict.fromkeys(told, False)
        )

    wait(found, 10, "inhibited alerts")


def test_nothing_is_told_of_a_farm_that_is_well(system: System) -> None:
    wait(lambda: not system.query("ALERTS"), 20, "no alert, pending or firing")


def test_power_and_weather_that_stop_coming_are_told_in_time_and_told_to_be_back(system: System) -> None:
    since = time.time()
    with hours_without_data(system):
        for name in ("WindcastPowerStale", "WindcastWeatherStale"):
            path, _, alert = system.alerted(name, since)
            assert path == "/operators"
            assert alert["labels"]["farm"] == "simulation"
            assert "simulation" in alert["annotations"]["description"]
            assert system.delay(name, alert, since) <= LATE
    for name in ("WindcastPowerStale", "WindcastWeatherStale"):
        system.resolved(name, since)


def test_a_service_without_its_store_is_told_to_be_not_ready_in_time_and_its_errors_do_not_matter(
    system: System,
) -> None:
    since = time.time()
    with without_store(system):
        wait(lambda: failing(system, FARM) or system.query('ALERTS{alertname="WindcastErrors"}'), 15, "errors")
        path, sent, alert = system.alerted("WindcastNotReady", since)
        assert (path, sent) == ("/oncall", f"Bearer {TOKEN}")
        assert system.delay("WindcastNotReady", alert, since) <= LATE
    system.resolved("WindcastNotReady", since)
    wait(lambda: not system.query('ALERTS{alertname="WindcastErrors"}'), 20, "no errors")


def test_a_killed_service_is_told_in_time_and_told_to_be_back(system: System) -> None:
    since = time.time()
    system.kill()
    path, sent, alert = system.alerted("WindcastDown", since)
    assert (path, sent) == ("/oncall", f"Bearer {TOKEN}")
    assert alert["annotations"]["runbook_url"] == "docs/runbook.md#windcastdown"
    assert system.delay("WindcastDown", alert, since) <= LATE
    system.serve()
    system.resolved("WindcastDown", since)


def test_forecasts_that_stop_matching_the_farm_break_their_promise_and_that_is_told(system: System) -> None:
    power, capacity = system.ask(f"{FARM}/power?limit=1000")["items"], system.ask(FARM)["capacity_mw"]
    since = time.time()
    system.ask(f"{FARM}/power", sent([one | {"power_mw": capacity - one["power_mw"]} for one in power]))
    for name in ("WindcastCoverageOutOfBounds", "WindcastCrpsWorseThanBacktest"):
        path, _, alert = system.alerted(name, since, within=30)
        assert path == "/operators"
        assert alert["labels"]["farm"] == "simulation"
    system.ask(f"{FARM}/power", sent(power))
    for name in ("WindcastCoverageOutOfBounds", "WindcastCrpsWorseThanBacktest"):
        system.resolved(name, since)
