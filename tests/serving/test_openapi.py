"""The service against its own description: whatever a client sends is answered as OpenAPI says, and examples work."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from conftest import FARM, Running, Start, listening, story
from windcast.data.farm import FarmData
from windcast.registry.bundles import Bundle
from windcast.serving import keys

EXAMPLES = 20  # at random, of every operation, besides every boundary of every parameter


@pytest.fixture(scope="module")
def open_url(bundle: Bundle, farm: FarmData, end: datetime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a service without keys that has forecasts and scores; schemathesis writes to it."""
    with listening(story(bundle, farm, end, tmp_path_factory.mktemp("open"))) as address:
        yield address


@pytest.fixture(scope="module")
def keyed(
    bundle: Bundle, farm: FarmData, end: datetime, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Address and key of a service with keys."""
    folder = tmp_path_factory.mktemp("keyed")
    token = keys.add(folder / "keys.json", "all", farms=["*"], scopes=("read", "write"))
    with listening(story(bundle, farm, end, folder, keys=folder / "keys.json")) as address:
        yield address, token


def examined(address: str, **settings: Any) -> tuple[int, list[str]]:
    """How many requests schemathesis sent, and what it found wrong with the answers."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 7,
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "no-shrink": True, "database": "none"},
            "phases": {"stateful": {"enabled": False}},
            # a table can have the right columns and still be of another farm's size or time
            "checks": {"positive_data_acceptance": {"enabled": False}},
            **settings,
        }
    )
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json", config=config)
    sent, wrong = 0, []
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            wrong.append(str(event))
        elif isinstance(event, events.ScenarioFinished):
            sent += len(event.recorder.cases)
            checks = [check for one in event.recorder.checks.values() for check in one if check.failure_info]
            wrong += [f"{event.recorder.label}: {c.name}: {c.failure_info.failure}" for c in checks]
            wrong += [c.failure_info.code_sample[:500] for c in checks]
    return sent, wrong


def test_every_answer_of_a_service_without_keys_is_as_described(open_url: str) -> None:
    sent, wrong = examined(open_url)
    assert not wrong, "\n\n".join(wrong)
    assert sent > 300


def test_every_answer_of_a_service_with_keys_is_as_described(keyed: tuple[str, str]) -> None:
    address, token = keyed
    sent, wrong = examined(address, headers={"Authorization": f"Bearer {token}"})
    assert not wrong, "\n\n".join(wrong)
    assert sent > 300


def test_the_description_is_valid_openapi(running: Running) -> None:
    document = running.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []
    names = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert len(names) == sum(len(path) for path in document["paths"].values())


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == "$ref")
        part = list(part.values())
    for inner in part if isinstance(part, list) else ():
        yield from references(inner)


def test_whatever_the_description_refers_to_is_in_it(running: Running) -> None:
    document = running.client.get("/openapi.json").json()
    found = set(references(document))
    assert found
    assert {name.rsplit("/", 1)[1] for name in found} <= set(document["components"]["schemas"])


def test_every_answer_but_the_page_is_described_with_its_problems(running: Running) -> None:
    for path, operations in running.client.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            described = operation["responses"]
            assert operation["summary"], (path, method)
            for status, answer in described.items():
                kinds = set(answer.get("content", {}))
                if int(status) >= 400:
                    assert kinds == {"application/problem+json"}, (path, method, status)


def examples(document: dict[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    """Method, path with its examples, content type and body of every example of a body."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            chosen = {p["name"]: p.get("example") for p in operation.get("parameters", ()) if p["in"] == "path"}
            if None in chosen.values():
                continue
            for kind, content in operation.get("requestBody", {}).get("content", {"": {}}).items():
                if not kind or "example" in content:
                    yield method, path.format(**chosen), kind, content.get("example")


def send(client: Any, method: str, path: str, kind: str, body: Any) -> Any:
    content = (
        None
        if body is None
        else body.encode()
        if isinstance(body, str)
        else httpx2.Request("POST", "http://x", json=body).content
    )
    return client.request(method, path, content=content, headers={"Content-Type": kind} if kind else {})


def test_every_example_in_the_description_works_as_it_stands(running: Running) -> None:
    """As when a person presses Execute in /docs, whatever the service's clock says."""
    document = running.client.get("/openapi.json").json()
    found = list(examples(document))
    assert len(found) > 12
    # first what writes, then what reads it
    for method, path, kind, body in sorted(found, key=lambda one: (one[0] == "get", one[1].endswith("forecasts"))):
        if path.endswith("/scores"):
            continue  # no forecast has met its truth yet
        answer = send(running.client, method, path, kind, body)
        assert answer.is_success, (method, path, kind, answer.text)
    latest = running.client.get(f"/v1/farms/{FARM}/forecasts/latest").json()
    assert latest["inputs"]["newest_power"] is not None
    assert latest["title"] == "My farm"


def test_examples_fit_a_bundle_of_reanalysis_and_interval_starts(start: Start, bundle: Bundle, tmp_path: Path) -> None:
    """As the demo's: its weather is reanalysis, and its clock stands in the past."""
    import json
    import shutil

    shutil.copytree(bundle.folder, tmp_path / "other")
    manifest = json.loads((tmp_path / "other" / "manifest.json").read_text())
    manifest["contract"]["weather_kind"] = "reanalysis"
    manifest["interval"] = "start"
    (tmp_path / "other" / "manifest.json").write_text(json.dumps(manifest))
    running = start(bundles=(tmp_path / "other",))
    running.clock.set(datetime(2014, 5, 6, 7, 8, tzinfo=UTC))
    for method, path, kind, body in examples(running.client.get("/openapi.json").json()):
        if method != "get":
            answer = send(running.client, method, path, kind, body)
            assert answer.is_success, (method, path, kind, answer.text)


def test_a_service_without_keys_asks_for_none_and_one_with_keys_says_where(start: Start, tmp_path: Path) -> None:
    plain = start().client.get("/openapi.json").json()
    assert "securitySchemes" not in plain["components"]
    assert not any("security" in op for path in plain["paths"].values() for op in path.values())
    keys.add(tmp_path / "keys.json", "one", farms=["*"], scopes=("read",))
    keyed = start(keys=tmp_path / "keys.json", store=str(tmp_path / "keyed.db")).client.get("/openapi.json").json()
    assert keyed["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for path, operations in keyed["paths"].items():
        for operation in operations.values():
            guarded = path.startswith("/v1") or path in ("/predict", "/metrics")
            assert ("security" in operation) == guarded, path
            assert ("401" in operation["responses"]) == (guarded or path == "/ready"), path


def test_a_wrong_method_names_the_ones_that_are_possible(running: Running) -> None:
    answer = running.client.request("DELETE", f"/v1/farms/{FARM}/power")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST"
    assert "DELETE is not possible at" in answer.json()["detail"]


def test_times_far_away_are_refused_and_no_error(running: Running) -> None:
    for path in (
        "power?end=0001-01-01T00:00:00Z",
        "scores?end=1969-01-01T00:00:00Z",
        "power?start=9999-12-31T23:59:59Z",
    ):
        assert running.client.get(f"/v1/farms/{FARM}/{path}").status_code in (404, 422), path
