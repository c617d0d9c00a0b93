"""Live operation over HTTP, on both databases: values arrive, forecasts are issued, kept, scored and made again."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

from conftest import FARM, Running, Start, hours, iso
from windcast.data.farm import FarmData
from windcast.evaluation.backtest import replay
from windcast.registry.bundles import Bundle
from windcast.serving.scoring import scored

BASE = f"/v1/farms/{FARM}"


@pytest.fixture
def live(start: Start, store_url: str) -> Running:
    return start(store=store_url)


@pytest.fixture
def asked_only(live: Running) -> Running:
    """A service that issues only when it is asked to."""
    assert live.client.put(BASE, json={"bundle": "small", "issue_on_arrival": False}).status_code == 200
    return live


def post(client: TestClient, path: str, document: dict[str, Any], status: int = 200) -> dict[str, Any]:
    answer = client.post(f"{BASE}/{path}", json=document)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def power_document(farm: FarmData, start: datetime, end: datetime, **more: Any) -> dict[str, Any]:
    rows = farm.power.filter(pl.col("time") > start, pl.col("time") <= end)
    return {"time": [iso(t) for t in rows["time"]], "power_mw": rows["power_mw"].to_list(), **more}


def weather_document(farm: FarmData, start: datetime, end: datetime) -> dict[str, Any]:
    """The weather that became known in (start, end]."""
    rows = farm.weather.filter(pl.col("available_at") > start, pl.col("available_at") <= end)
    return {
        "valid_time": [iso(t) for t in rows["valid_time"]],
        "available_at": [iso(t) for t in rows["available_at"]],
        **{name: rows[name].to_list() for name in farm.variables},
    }


def known_power(farm: FarmData, start: datetime, end: datetime) -> dict[str, Any]:
    document = power_document(farm, start, end)
    return document | {"available_at": document["time"]}


def bring(live: Running, farm: FarmData, start: datetime, end: datetime) -> None:
    """What became known in (start, end], said to have been known then."""
    weather = weather_document(farm, start, end)
    if weather["valid_time"]:
        post(live.client, "weather", weather)
    post(live.client, "power", known_power(farm, start, end))


def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """What the condition gives once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


def latest(live: Running) -> dict[str, Any] | None:
    answer = live.client.get(f"{BASE}/forecasts/latest")
    found: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
    return found


def test_a_bundle_brings_its_farm_along(live: Running) -> None:
    (farm,) = live.client.get("/v1/farms").json()["items"]
    assert (farm["name"], farm["horizon"], farm["revision"], farm["newest_power"]) == (FARM, 6, 0, None)
    assert live.client.get(f"{BASE}/forecasts/latest").status_code == 404


def test_a_forecast_is_issued_when_values_arrive(live: Running, farm: FarmData, end: datetime) -> None:
    bring(live, farm, end - hours(48), end)
    found = until(lambda: latest(live))
    found = until(lambda: (one := latest(live)) and one["inputs"]["rung"] == "fresh" and one)
    assert found["issue_time"] == iso(end)
    assert found["inputs"]["newest_power"] == iso(end)
    assert found["inputs"]["missing"] == []
    assert found["past"]["times"][-1] == iso(end)
    quantiles = np.array(found["quantiles_mw"])
    assert quantiles.shape == (6, 19)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert 0 < found["inputs"]["backtest_crps"] < 0.3


def test_the_same_values_again_are_counted_and_change_nothing(live: Running, farm: FarmData, end: datetime) -> None:
    document = known_power(farm, end - hours(10), end)
    first = post(live.client, "power", document)
    assert (first["added"], first["repeated"], first["revision"]) == (10, 0, 1)
    again = post(live.client, "power", document)
    assert (again["added"], again["repeated"], again["revision"]) == (0, 10, 1)


def test_a_corrected_value_counts_from_when_it_became_known(asked_only: Running, farm: FarmData, end: datetime) -> None:
    bring(asked_only, farm, end - hours(48), end)
    before = post(asked_only.client, f"forecasts?issue_time={iso(end - hours(1))}", {}, 201)
    correction = {"time": [iso(end - hours(1))], "power_mw": [0.0], "available_at": iso(end)}
    assert post(asked_only.client, "power", correction)["corrected"] == 1
    again = post(asked_only.client, f"forecasts?issue_time={iso(end - hours(1))}", {}, 201)
    assert again["quantiles_mw"] == before["quantiles_mw"]
    known = asked_only.client.get(
        f"{BASE}/power?known_at={iso(end - hours(1))}&start={iso(end - hours(2))}&end={iso(end)}"
    )
    assert next(row["power_mw"] for row in known.json()["items"]) != 0
    newest = asked_only.client.get(f"{BASE}/power?start={iso(end - hours(2))}&end={iso(end)}").json()["items"]
    assert newest[0]["power_mw"] == 0


def test_what_is_issued_live_equals_the_replayed_backtest_to_the_bit(
    live: Running, bundle: Bundle, farm: FarmData, end: datetime
) -> None:
    """The same hours, once through HTTP and store an hour at a time, once through the backtest's replay."""
    begin = max(bundle.trained_until, end - hours(30))
    settings = {"bundle": "small", "grace_minutes": 0, "issue_on_arrival": False}
    assert live.client.put(BASE, json=settings).status_code == 200
    bring(live, farm, begin - timedelta(days=3), begin)
    served = live.service.shelf.get("small")
    # the first issue catches up from the first row of the store, and so does the replay
    first = max(bundle.trained_until, begin - timedelta(days=3) + hours(1))
    catch_up = np.arange(
        np.datetime64(first.replace(tzinfo=None), "us") + np.timedelta64(1, "h"),
        np.datetime64((begin + hours(6)).replace(tzinfo=None), "us") + 1,
        np.timedelta64(1, "h"),
    )
    rows = pl.col("time") > begin - timedelta(days=3)
    weather = pl.col("available_at") > begin - timedelta(days=3)
    seen = replace(farm, power=farm.power.filter(rows), weather=farm.weather.filter(weather))
    expected = {str(f.issue_times[0]): f.values[0] for f in replay(served.bundle.forecaster, seen, catch_up)}
    for hour in range(7):
        issue = begin + hours(hour)
        live.clock.set(issue + timedelta(minutes=1))
        if hour:
            bring(live, farm, issue - hours(1), issue)
        post(live.client, f"forecasts?issue_time={iso(issue)}", {}, 201)
        stored = live.service.store.forecast_at(FARM, issue_time=issue)
        assert stored is not None
        assert stored.values.tobytes() == expected[str(np.datetime64(issue.replace(tzinfo=None), "us"))].tobytes(), hour


def test_every_stored_forecast_is_made_again_to_the_bit_whatever_came_later(
    asked_only: Running, farm: FarmData, end: datetime
) -> None:
    begin = end - hours(40)
    bring(asked_only, farm, begin - hours(48), begin)
    for hour in range(0, 36, 6):
        asked_only.clock.set(begin + hours(hour) + timedelta(minutes=3))
        if hour:
            bring(asked_only, farm, begin + hours(hour - 6), begin + hours(hour))
        post(asked_only.client, f"forecasts?issue_time={iso(begin + hours(hour))}", {}, 201)
    asked_only.clock.set(end)
    bring(asked_only, farm, begin + hours(30), end)
    backdated = known_power(farm, begin - hours(60), begin - hours(48))
    backdated["power_mw"] = [0.0] * len(backdated["power_mw"])
    post(asked_only.client, "power", backdated)
    entries = asked_only.client.get(f"{BASE}/forecasts?limit=100").json()["items"]
    assert len(entries) >= 6
    for entry in entries:
        outcome = asked_only.client.get(f"{BASE}/forecasts/{entry['id']}/replay").json()
        assert outcome == {"id": entry["id"], "equal": True, "largest_difference_mw": 0.0}


def test_issuing_again_with_nothing_new_gives_the_forecast_that_is_there(
    asked_only: Running, farm: FarmData, end: datetime
) -> None:
    bring(asked_only, farm, end - hours(48), end)
    first = post(asked_only.client, "forecasts", {}, 201)
    assert post(asked_only.client, "forecasts", {}, 201)["id"] == first["id"]


def test_without_any_value_a_forecast_still_comes(live: Running) -> None:
    found = post(live.client, "forecasts", {}, 201)
    assert found["inputs"]["rung"] == "nothing"
    assert found["inputs"]["newest_power"] is None
    assert len(found["quantiles_mw"]) == 6


@pytest.mark.parametrize(
    ("weather", "power", "rung"), [(True, False, "no_power"), (False, True, "no_weather"), (True, True, "fresh")]
)
def test_a_forecast_says_on_which_rung_it_stands(
    asked_only: Running, farm: FarmData, end: datetime, weather: bool, power: bool, rung: str
) -> None:
    if weather:
        post(asked_only.client, "weather", weather_document(farm, end - hours(60), end))
    if power:
        post(asked_only.client, "power", known_power(farm, end - hours(30), end))
    found = post(asked_only.client, "forecasts", {}, 201)
    assert found["inputs"]["rung"] == rung
    assert bool(found["inputs"]["missing"]) == (rung != "fresh")
    promised = asked_only.service.shelf.get("small").bundle.manifest["ladder"][rung]
    assert found["inputs"]["backtest_crps_by_lead"] == promised


def test_issued_forecasts_are_scored_once_the_truth_arrives(asked_only: Running, farm: FarmData, end: datetime) -> None:
    bring(asked_only, farm, end - hours(60), end - hours(12))
    asked_only.clock.set(end - hours(12))
    post(asked_only.client, "forecasts", {}, 201)
    assert asked_only.client.get(f"{BASE}/scores").status_code == 404
    asked_only.clock.set(end)
    bring(asked_only, farm, end - hours(12), end)
    scores = asked_only.client.get(f"{BASE}/scores").json()
    assert scores["pairs"] >= 6
    assert 0 < scores["crps"] < 0.5
    assert scores["leads"][0]["lead_minutes"] == 60
    issued = asked_only.client.get(f"{BASE}/forecasts?issue_time={iso(end - hours(12))}").json()
    assert None not in issued["observed_mw"]


def test_weather_that_says_it_was_known_earlier_renews_the_newest_forecast_and_no_older_one(
    live: Running, farm: FarmData, end: datetime
) -> None:
    live.clock.set(end + timedelta(minutes=11))
    post(live.client, "power", known_power(farm, end - hours(30), end))
    first = until(lambda: latest(live))
    assert (first["issue_time"], first["inputs"]["rung"]) == (iso(end), "no_weather")
    weather = weather_document(farm, end - hours(60), end - hours(2))
    post(live.client, "weather", weather)
    renewed = until(lambda: (one := latest(live)) and one["inputs"]["rung"] != "no_weather" and one)
    assert renewed["issue_time"] == iso(end)
    entries = live.client.get(f"{BASE}/forecasts").json()["items"]
    assert [entry["issue_time"] for entry in entries] == [iso(end)] * 2
    assert len({entry["revision"] for entry in entries}) == 2
    for entry in entries:
        assert live.client.get(f"{BASE}/forecasts/{entry['id']}/replay").json()["equal"]


def test_only_leads_forecast_before_their_time_are_scored(asked_only: Running, farm: FarmData, end: datetime) -> None:
    """Two steps after its issue time a forecast is too late for its first two leads."""
    issue = end - hours(12)
    bring(asked_only, farm, end - hours(60), issue)
    asked_only.clock.set(issue + timedelta(hours=2, minutes=11))
    post(asked_only.client, f"forecasts?issue_time={iso(issue)}", {}, 201)
    asked_only.clock.set(end)
    bring(asked_only, farm, issue, end)
    post(asked_only.client, f"forecasts?issue_time={iso(issue - hours(1))}", {}, 201)
    scores = asked_only.client.get(f"{BASE}/scores?end={iso(end)}").json()
    assert (scores["forecasts"], scores["pairs"], scores["filled_in"]) == (1, 4, 0)
    assert [lead["n"] for lead in scores["leads"]] == [0, 0, 1, 1, 1, 1]
    assert (scores["measured_start"], scores["measured_end"]) == (iso(issue + hours(3)), iso(issue + hours(6)))


def test_of_a_lead_the_last_forecast_made_before_its_time_is_scored(
    asked_only: Running, farm: FarmData, end: datetime
) -> None:
    issue = end - hours(12)
    bring(asked_only, farm, end - hours(60), issue)
    made = []
    for minutes, value in ((5, 0.0), (125, 1.0), (600, 2.0)):
        asked_only.clock.set(issue + timedelta(minutes=minutes))
        correction = {"time": [iso(issue - hours(1))], "power_mw": [value], "available_at": iso(issue - hours(0.5))}
        if made:
            correction["available_at"] = iso(issue - hours(0.5) + timedelta(seconds=len(made)))
        post(asked_only.client, "power", correction)
        made.append(post(asked_only.client, f"forecasts?issue_time={iso(issue)}", {}, 201)["id"])
    asked_only.clock.set(end)
    bring(asked_only, farm, issue, end)
    store = asked_only.service.store
    early, late, after = (store.forecast(FARM, id=one) for one in made)
    assert early is not None
    assert late is not None
    assert after is not None
    found = scored(asked_only.service.operator, FARM, issue - hours(1), end)
    assert found.forecast.values[0, :2].tobytes() == early.values[:2].tobytes()
    assert found.forecast.values[0, 2:].tobytes() == late.values[2:].tobytes()
    assert not np.array_equal(after.values, late.values)


def test_a_farm_can_issue_by_the_clock_alone(live: Running, farm: FarmData, end: datetime) -> None:
    settings = {"bundle": "small", "issue_on_arrival": False, "issue_every_minutes": 60}
    assert live.client.put(BASE, json=settings).json()["issue_every_minutes"] == 60
    bring(live, farm, end - hours(48), end)
    live.clock.set(end + timedelta(minutes=1))
    assert until(lambda: latest(live))["issue_time"] == iso(end)


def test_a_list_of_forecasts_is_read_page_by_page(asked_only: Running, farm: FarmData, end: datetime) -> None:
    bring(asked_only, farm, end - hours(48), end)
    for hour in range(5):
        post(asked_only.client, f"forecasts?issue_time={iso(end - hours(hour))}", {}, 201)
    seen, path = [], f"{BASE}/forecasts?limit=2"
    while path:
        page = asked_only.client.get(path).json()
        seen += [item["issue_time"] for item in page["items"]]
        path = page["next"]
    assert sorted(set(seen), reverse=True) == [iso(end - hours(hour)) for hour in range(5)]


@pytest.mark.parametrize(
    ("path", "document", "status", "said"),
    [
        ("power", {"time": ["2019-01-01T00:30:00Z"], "power_mw": [1]}, 422, "off the grid of 1:00:00"),
        ("power", {"time": ["2019-01-01T00:00:00Z"], "power_mw": [-2]}, 422, "outside 0 to"),
        ("power", {"time": ["2019-01-01T00:00:00Z"], "power_mw": ["=1+1"]}, 422, "'=1+1' is not a number"),
        ("power", {"time": ["2098-01-01T00:00:00Z"], "power_mw": [1]}, 422, "has not come yet"),
        ("power", {"time": ["2019-01-01T00:00:00Z"]}, 422, "column 'power_mw' is missing"),
        ("power", {"time": ["2019-01-01T00:00:00Z"], "power_mw": [1], "powr": [2]}, 422, "unknown column 'powr'"),
        ("power", {"time": ["2019-01-01T00:00:00Z"] * 2, "power_mw": [1, 2]}, 409, "rows 1 and 2 are both for"),
        ("power", {"time": [], "power_mw": []}, 422, "no rows"),
        ("power", {"time": ["2019-01-01T00:00:00Z"], "power_mw": [1, 2]}, 422, "lists of one length"),
        ("weather", {"valid_time": ["2019-01-01T00:00:00Z"], "wind_speed_100m": [400]}, 422, "outside 0 to 75 m/s"),
        ("weather", {"valid_time": ["2019-01-01T00:00:00Z"], "wind_speed_100m": [None]}, 422, "none of the farm's"),
        ("forecasts?issue_time=2098-01-01T00:00:00Z", {}, 422, "has not come yet"),
        ("forecasts?issue_time=2019-01-01T00:30:00Z", {}, 422, "off the farm's"),
    ],
)
def test_what_breaks_the_contract_is_refused_with_a_sentence_and_nothing_is_stored(
    live: Running, path: str, document: dict[str, Any], status: int, said: str
) -> None:
    problem = post(live.client, path, document, status)
    assert said in problem["detail"]
    assert problem["status"] == status
    assert live.client.get(BASE).json()["revision"] == 0


STAMP = "2019-01-01T00:00Z"


@pytest.mark.parametrize(
    ("kind", "body", "status", "said"),
    [
        ("text/csv", f"time,power_mw\n{STAMP},x\n", 422, "row 2: 'x' is not a number. Correct it"),
        ("text/csv", f"time,power_mw\n{STAMP},99\n", 422, "row 2: power_mw 99 is outside"),
        ("text/csv", f"time,power_mw\n{STAMP},1\n{STAMP},2\n", 409, "rows 2 and 3 are both for time"),
        ("text/csv", f"time,power_mw\nyesterday,1\n{STAMP},2\n", 422, "row 2: 'yesterday' is not a time"),
        ("text/csv", f"time;power_mw\n{STAMP};1\n", 400, "has semicolons between its columns. Write it with commas"),
        ("text/csv", f"time\tpower_mw\n{STAMP}\t1\n", 400, "has tabs between its columns"),
        ("text/csv", f"time,power_mw\n{STAMP},1,5\n", 400, "more fields than its header"),
        ("text/csv", f'time,power_mw\n{STAMP},"1,5"\n', 422, "Write decimals with a point"),
        ("text/csv", "", 400, "the body is empty"),
        ("application/json", "", 400, "the body is empty"),
        ("application/json", f"time,power_mw\n{STAMP},1\n", 400, "send it with Content-Type: text/csv"),
    ],
)
def test_a_body_written_otherwise_is_told_how_to_write_it(
    running: Running, kind: str, body: str, status: int, said: str
) -> None:
    answer = running.client.post(f"{BASE}/power", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert said in answer.json()["detail"]


def test_standby_consumption_and_a_tiny_overshoot_are_taken_and_counted(running: Running, farm: FarmData) -> None:
    times = [f"2019-01-01T0{hour}:00:00Z" for hour in range(4)]
    high = farm.capacity_mw * 1.009
    taken = post(running.client, "power", {"time": times, "power_mw": [-0.02, 3, high, -0.5]})
    assert (taken["added"], taken["set_to_zero"], taken["set_to_capacity"]) == (4, 2, 1)
    known = running.client.get(f"{BASE}/power?start=2018-12-31T00:00:00Z&end=2019-01-02T00:00:00Z").json()["items"]
    assert [row["power_mw"] for row in known] == [0, 3, farm.capacity_mw, 0]


def test_what_is_left_out_of_a_farm_s_settings_stays(running: Running) -> None:
    settings = {"bundle": "small", "title": "The Hill", "issue_on_arrival": False, "issue_every_minutes": 120}
    assert running.client.put(BASE, json=settings).status_code == 200
    kept = running.client.put(BASE, json={"grace_minutes": 10}).json()
    assert kept["grace_minutes"] == 10
    assert (kept["bundle"], kept["title"]) == ("small", "The Hill")
    assert (kept["issue_on_arrival"], kept["issue_every_minutes"]) == (False, 120)
    assert running.client.put(BASE, json={"issue_every_minutes": None}).json()["issue_every_minutes"] is None


def test_reanalysis_never_became_known(running: Running, farm: FarmData, end: datetime) -> None:
    post(running.client, "weather", weather_document(farm, end - hours(12), end))
    record = running.service.store.farm(FARM)
    assert running.service.operator.newest(record)[1] is not None
    assert running.service.operator.newest(replace(record, weather_kind="reanalysis"))[1] is None


def test_a_model_is_called_what_it_was_configured_as(running: Running) -> None:
    assert running.client.get(BASE).json()["model"] == "gbm, calibrated"
    served = running.service.shelf.get("small")
    manifest = served.bundle.manifest
    chosen = manifest | {"config": manifest["config"] | {"model_choice": "nowcast"}}
    assert replace(served, bundle=replace(served.bundle, manifest=chosen)).model == "nowcast, calibrated"


def test_an_unknown_farm_is_named_with_its_nearest(live: Running) -> None:
    answer = live.client.get("/v1/farms/simulatoin")
    assert answer.status_code == 404
    assert "Did you mean 'simulation'?" in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
