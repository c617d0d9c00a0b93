"""What looks at the service from outside: probes, metrics, logs, the API in a browser, the command line."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner
from wires import exchanged, lines_of, request

from conftest import FARM, Running, listening, story
from windcast.cli import app
from windcast.data.farm import FarmData
from windcast.errors import WindcastError
from windcast.registry.bundles import Bundle
from windcast.serving import keys
from windcast.serving.logs import JsonLines


@pytest.fixture(autouse=True)
def no_log_of_another_test() -> Iterator[None]:
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler.formatter, JsonLines)]
    yield
    logging.captureWarnings(False)


def scraped(running: Running) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and labels."""
    answer = running.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.text))
    assert all(family.documentation for family in families if family.name.startswith("windcast"))
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_probes_answer(running: Running) -> None:
    assert running.client.get("/health").json() == {"status": "ok"}
    assert running.client.get("/ready").json() == {"status": "ready", "bundles": 1, "farms": 1}


def test_without_its_store_a_service_is_alive_and_not_ready(running: Running, tmp_path: Path) -> None:
    (tmp_path / "live.db").rename(tmp_path / "away.db")
    answer = running.client.get("/ready")
    assert answer.status_code == 503
    assert "does not take the call" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) > 0
    assert running.client.get("/health").status_code == 200
    (tmp_path / "away.db").rename(tmp_path / "live.db")
    assert running.client.get("/ready").status_code == 200


def test_a_service_that_shuts_down_is_not_ready(running: Running) -> None:
    running.service.closing.set()
    answer = running.client.get("/ready")
    assert answer.status_code == 503
    assert "shutting down" in answer.json()["detail"]
    assert running.client.get("/v1/farms").status_code == 200, "what is under way is still answered"


def test_metrics_tell_what_was_asked_and_how_long_it_took(running: Running) -> None:
    for _ in range(3):
        running.client.get("/v1/farms")
    running.client.get("/v1/farms/nowhere")
    found = scraped(running)
    asked = ("windcast_http_requests_total", (("method", "GET"), ("route", "/v1/farms"), ("status", "200")))
    assert found[asked] == 3
    missed = ("windcast_http_requests_total", (("method", "GET"), ("route", "/v1/farms/{farm}"), ("status", "404")))
    assert found[missed] == 1
    assert found["windcast_http_request_seconds_count", (("route", "/v1/farms"),)] == 3
    buckets = [value for (name, labels), value in found.items() if name == "windcast_http_request_seconds_bucket"]
    assert len(buckets) > 10
    assert found["windcast_http_requests_in_flight", ()] == 1, "the scrape itself"


def test_metrics_tell_of_forecasts_inputs_and_live_scores(filled: Running) -> None:
    found = scraped(filled)
    here = ("farm", FARM)
    issued = {labels: value for (name, labels), value in found.items() if name == "windcast_forecasts_issued_total"}
    assert set(issued) <= {
        (here, ("rung", rung)) for rung in ("fresh", "older_run", "no_weather", "no_power", "nothing")
    }
    assert sum(issued.values()) == len(filled.service.store.forecasts(FARM, limit=1000))
    assert -60 < found["windcast_input_age_seconds", (here, ("input", "power"))] < 3600
    assert found["windcast_input_age_seconds", (here, ("input", "weather"))] > 0
    assert 0 < found["windcast_live_crps", (here,)] < 0.3
    assert 0 < found["windcast_backtest_crps", (here,)] < 0.3
    for band in ("50", "80", "90"):
        assert 0 <= found["windcast_live_coverage", (("band", band), here)] <= 1
    assert found["windcast_latest_issue_timestamp_seconds", (here,)] > 1.5e9


def test_live_scores_in_metrics_are_those_of_the_scores_document(filled: Running) -> None:
    found = scraped(filled)
    scores = filled.client.get(f"/v1/farms/{FARM}/scores").json()
    assert found["windcast_live_crps", (("farm", FARM),)] == pytest.approx(scores["crps"], abs=1e-6)
    for band, share in scores["coverage"].items():
        assert found["windcast_live_coverage", (("band", band), ("farm", FARM))] == pytest.approx(share, abs=1e-6)


def test_metrics_name_the_bundles_with_their_checksums(running: Running) -> None:
    checksum = running.service.shelf.get("small").checksum
    assert f'windcast_bundle_info{{bundle="small",checksum="{checksum}"' in running.client.get("/metrics").text


def test_values_that_arrive_are_counted(running: Running) -> None:
    body = {"time": ["2020-02-01T00:00:00Z", "2020-02-01T01:00:00Z"], "power_mw": [1.0, 2.0]}
    running.client.post(f"/v1/farms/{FARM}/power", json=body)
    running.client.post(f"/v1/farms/{FARM}/power", json=body)
    assert scraped(running)["windcast_values_ingested_total", (("farm", FARM), ("kind", "power"))] == 2


@pytest.mark.parametrize("given", ["a", "0b1c-77.x_Y", "x" * 64])
def test_a_request_id_that_is_given_is_kept(running: Running, given: str) -> None:
    answer = running.client.get("/v1/farms/nowhere", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given
    assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "{}", "é", "a;b", "../a"])
def test_a_request_id_that_is_odd_is_replaced(running: Running, given: str) -> None:
    answer = running.client.get("/v1/farms/nowhere", headers={"X-Request-ID": given.encode("latin-1")})
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_every_line_of_the_log_is_json_and_a_request_s_has_its_id(
    bundle: Bundle, farm: FarmData, end: datetime, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    token = keys.add(tmp_path / "keys.json", "trader", farms=["*"], scopes=("read",))
    with listening(story(bundle, farm, end, tmp_path, keys=tmp_path / "keys.json")) as address:
        exchanged(address, request("GET", "/v1/farms?limit=1", "X-Request-ID: mine", f"Authorization: Bearer {token}"))
        exchanged(address, request("GET", "/v1/farms/x"))
        exchanged(address, request("GET", "/health"))
    lines = lines_of(capfd.readouterr().err)
    first, second = [line for line in lines if line["logger"] == "windcast.access"]
    assert {"time", "level", "ms", "client"} <= set(first)
    assert (first["request_id"], first["method"], first["path"], first["status"]) == ("mine", "GET", "/v1/farms", 200)
    assert first["key"] == "trader"
    assert (second["status"], second["route"]) == (401, "/v1/farms/{farm}")
    assert {"ready", "stopped"} <= {line["message"] for line in lines}
    assert token not in json.dumps(lines)


def test_what_cannot_be_written_as_json_is_logged_all_the_same() -> None:
    record = logging.makeLogRecord({"name": "x", "msg": "odd \ud800", "levelname": "INFO", "size": 2**70})
    line = json.loads(JsonLines().format(record))
    assert line["logger"] == "x"
    assert line["message"].startswith("odd")


def test_the_description_in_the_browser_comes_from_the_service_alone(page_url: str) -> None:
    page = exchanged(page_url, request("GET", "/docs"))[2].decode()
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) >= 4
    for link in links:
        assert link.startswith("/")
        status, _, body = exchanged(page_url, request("GET", link))
        assert status == 200
        assert body
    assert "script-src 'self'" in exchanged(page_url, request("GET", "/docs"))[1]["content-security-policy"]


# the command line


def test_serve_without_a_bundle_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "windcast", "serve"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Run `windcast demo` first, or name a bundle" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "without API keys would let anyone in"),
        (["--port", "70000"], "choose 1 to 65535"),
        (["--rate", "0"], "rate is 0"),
        (["--keys", "nowhere.json"], "Make a key with `windcast keys add"),
        (["--store", "mysql://x/y"], "the store cannot live in mysql://"),
        (["--store", "nowhere/live.db"], "cannot keep the store there"),
    ],
)
def test_serve_refuses_settings_with_a_sentence(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["serve", str(bundle.folder), *options])
    assert isinstance(done.exception, WindcastError)
    assert said in str(done.exception)


def test_keys_are_added_and_removed_on_the_command_line(tmp_path: Path) -> None:
    file, run = tmp_path / "keys.json", CliRunner()
    options = ["--file", str(file)]
    added = run.invoke(app, ["keys", "add", "scada", "--farm", "hill", "--farm", "dale", "--write", *options])
    assert added.exit_code == 0
    (token,) = re.findall(r"wc_[\w-]{43}", added.output.replace("\n", ""))
    (key,) = keys.read(file)
    assert (key.name, key.farms, key.scopes) == ("scada", ("hill", "dale"), ("read", "write"))
    assert key.sha256 == keys.hashed(token)
    assert run.invoke(app, ["keys", "add", "trader", *options]).exit_code == 0
    assert keys.read(file)[1].farms == ("*",)
    assert keys.read(file)[1].scopes == ("read",)
    assert run.invoke(app, ["keys", "remove", "scada", *options]).exit_code == 0
    assert [key.name for key in keys.read(file)] == ["trader"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert run.invoke(app, ["keys", "remove", "scada", *options]).exit_code != 0
