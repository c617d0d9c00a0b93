"""Who may do what: API keys, their farms and scopes, and that no address forgets to ask for them."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from questions import CSV, PARQUET, as_csv, as_parquet, question, table

from conftest import FARM, Running, Start, iso
from windcast.data.farm import FarmData
from windcast.errors import ConfigError
from windcast.registry.bundles import Bundle
from windcast.serving import keys
from windcast.serving.settings import ServiceSettings

OPEN = {"/", "/health", "/ready", "/docs", "/openapi.json", "/page", "/docs-assets"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@dataclass
class Two:
    """A service with farm `simulation` of bundle `small` and farm `other` of bundle `others`, and its keys' headers."""

    running: Running
    all: dict[str, str]
    mine: dict[str, str]  # reads and writes `simulation`
    reader: dict[str, str]  # reads `simulation`


@pytest.fixture
def two(start: Start, bundle: Bundle, file: Path, tmp_path: Path) -> Two:
    def bearer(name: str, farm: str, *scopes: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {keys.add(file, name, farms=[farm], scopes=scopes)}"}

    shutil.copytree(bundle.folder, tmp_path / "shelf" / "small")
    others = tmp_path / "shelf" / "others"
    shutil.copytree(bundle.folder, others)
    manifest = json.loads((others / "manifest.json").read_text()) | {"farm": "other"}
    (others / "manifest.json").write_text(json.dumps(manifest))
    headers = (
        bearer("all", "*", "read", "write"),
        bearer("mine", FARM, "read", "write"),
        bearer("reader", FARM, "read"),
    )
    return Two(start(bundles=(tmp_path / "shelf",), keys=file), *headers)


def endpoints(routes: list[Any]) -> Iterator[Any]:
    """Every route of an app, also those of the routers that it includes."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from endpoints(inner.routes)


def test_every_address_but_the_open_ones_wants_a_key(two: Two) -> None:
    """Found from the application's own routes, so that one added later is asked for too."""
    guarded = set()
    for route in endpoints(two.running.client.app.routes):
        path = route.path.replace("{farm}", FARM).replace("{id}", "1").replace("{bundle}", "small")
        for method in sorted(getattr(route, "methods", None) or {"GET"}):
            answer = two.running.client.request(method, path)
            if route.path in OPEN:
                assert answer.status_code != 401, path
                continue
            guarded.add(route.path)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == 'Bearer realm="windcast"'
            assert answer.headers["content-type"] == "application/problem+json"
            wrong = two.running.client.request(method, path, headers={"Authorization": "Bearer wc_wrong"})
            assert wrong.status_code == 401
            assert "is not known" in wrong.json()["detail"]
    described = two.running.client.get("/openapi.json").json()["paths"]
    assert guarded == set(described) - OPEN
    assert len(guarded) > 12


def test_every_address_that_changes_something_wants_a_key_that_may_write(two: Two) -> None:
    paths = [("PUT", ""), ("POST", "/power"), ("POST", "/weather"), ("POST", "/forecasts")]
    for method, path in paths:
        answer = two.running.client.request(method, f"/v1/farms/{FARM}{path}", headers=two.reader)
        assert answer.status_code == 403, path
        assert answer.json()["detail"].startswith(f"key 'reader' may not write on farm {FARM}")
    changing = {
        (method, route.path)
        for route in endpoints(two.running.client.app.routes)
        for method in getattr(route, "methods", None) or ()
        if method not in ("GET", "HEAD", "OPTIONS")
    }
    stateless = {("POST", "/predict"), ("POST", "/v1/forecasts")}
    assert changing - stateless == {(method, f"/v1/farms/{{farm}}{path}") for method, path in paths}


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic d2M6eA==", "wc_x", "Bearer \xff\xfe", "bearer wc_" + "x" * 5000]
)
def test_a_header_that_is_no_key_is_unknown_and_no_error(two: Two, header: str) -> None:
    answer = two.running.client.get("/v1/farms", headers={"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers


def test_a_key_is_not_read_from_the_address_or_a_cookie(two: Two) -> None:
    token = two.all["Authorization"].removeprefix("Bearer ")
    assert two.running.client.get(f"/v1/farms?key={token}&access_token={token}").status_code == 401
    assert two.running.client.get("/v1/farms", headers={"Cookie": f"Authorization=Bearer {token}"}).status_code == 401


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_keys_are_kept_as_hashes_in_a_file_for_its_owner_alone(file: Path) -> None:
    before = os.umask(0)
    try:
        token = keys.add(file, "one", farms=["hill"], scopes=("read",))
        other = keys.add(file, "two", farms=["*"], scopes=("read", "write"))
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    assert token.startswith("wc_")
    assert len(token) > 40
    assert token != other
    assert token not in file.read_text()
    assert token.removeprefix("wc_") not in file.read_text()
    (one, _) = keys.read(file)
    assert (one.name, one.farms, one.scopes) == ("one", ("hill",), ("read",))
    assert not list(file.parent.glob(".*")), "nothing half written is left"


def test_a_key_s_name_is_its_own(file: Path) -> None:
    keys.add(file, "one", farms=["*"], scopes=("read",))
    with pytest.raises(ConfigError, match="has a key 'one' already"):
        keys.add(file, "one", farms=["*"], scopes=("read",))
    with pytest.raises(ConfigError, match="Did you mean 'one'"):
        keys.remove(file, "oen")


def test_a_key_may_be_made_and_taken_back_while_the_service_runs(two: Two, file: Path) -> None:
    client = two.running.client
    token = keys.add(file, "late", farms=["*"], scopes=("read",))
    assert client.get("/v1/farms", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    keys.remove(file, "late")
    assert client.get("/v1/farms", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert client.get("/v1/farms", headers=two.all).status_code == 200


@pytest.mark.parametrize("broken", [None, "", "{", '{"keys": [{}]}', "[]"])
def test_without_its_file_of_keys_nobody_comes_in(two: Two, file: Path, broken: str | None) -> None:
    file.unlink()
    if broken is not None:
        file.write_text(broken)
    answer = two.running.client.get("/v1/farms", headers=two.all)
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert str(file.parent) not in answer.text


def test_a_service_does_not_start_with_a_file_of_keys_that_is_none(start: Start, file: Path) -> None:
    with pytest.raises(ConfigError, match="Make a key with"):
        start(keys=file)
    file.write_text("{}")
    with pytest.raises(ConfigError, match="not a file of keys"):
        start(keys=file)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", "", "127.0.0.1.example.org"])
def test_without_keys_a_service_listens_on_the_machine_itself_alone(host: str) -> None:
    with pytest.raises(ConfigError, match="without API keys would let anyone in"):
        ServiceSettings(bundles=(Path("bundle"),), host=host)
    assert ServiceSettings(bundles=(Path("bundle"),), host=host, keys=Path("keys.json")).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_the_machine_itself_no_key_is_wanted(host: str) -> None:
    assert ServiceSettings(bundles=(Path("bundle"),), host=host).keys is None


# what a key for one farm can see of another


def text_seen(two: Two, path: str, **more: Any) -> str:
    answer = two.running.client.get(path, headers=two.mine, **more)
    return f"{answer.status_code} {answer.text} {dict(answer.headers)}"


def test_lists_hold_the_key_s_own_farms_and_bundles_alone(two: Two) -> None:
    for path in ("/v1/farms", "/v1/bundles", "/v1/farms?limit=1", "/v1/bundles?limit=1"):
        answer = two.running.client.get(path, headers=two.mine)
        assert [item["name"] for item in answer.json()["items"]] == [FARM if "farms" in path else "small"]
        assert answer.json()["next"] is None
        assert "other" not in answer.text
        assert len(two.running.client.get(path.split("?")[0], headers=two.all).json()["items"]) == 2


def test_pages_of_a_key_s_farms_are_full_and_name_no_other(two: Two, file: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        body = {"bundle": "small"}
        assert two.running.client.put(f"/v1/farms/{name}", json=body, headers=two.all).status_code == 200
    token = keys.add(file, "some", farms=["b", "d", "e"], scopes=("read",))
    seen, path = [], "/v1/farms?limit=1"
    while path:
        page = two.running.client.get(path, headers={"Authorization": f"Bearer {token}"}).json()
        assert len(page["items"]) == 1
        seen.append(page["items"][0]["name"])
        path = page["next"]
        assert path is None or path.endswith(f"cursor={seen[-1]}")
    assert seen == ["b", "d", "e"]


def test_no_address_says_of_another_s_farm_whether_it_is_there(two: Two) -> None:
    paths = {route.path for route in endpoints(two.running.client.app.routes) if "{farm}" in route.path}
    assert len(paths) > 6
    for path in paths:
        for farm in ("other", "nowhere"):
            answer = two.running.client.get(path.format(farm=farm, id=1), headers=two.mine)
            assert answer.status_code == 403
            assert answer.json()["detail"].startswith(f"key 'mine' may not read on farm {farm}.")
    for method, path in (("PUT", ""), ("POST", "/power"), ("POST", "/weather"), ("POST", "/forecasts")):
        answer = two.running.client.request(method, f"/v1/farms/other{path}", json={}, headers=two.mine)
        assert answer.status_code == 403


def test_a_forecast_of_another_s_farm_is_not_found_by_its_number(two: Two) -> None:
    made = two.running.client.post("/v1/farms/other/forecasts", headers=two.all).json()
    for path in ("", "/replay"):
        found = text_seen(two, f"/v1/farms/{FARM}/forecasts/{made['id']}{path}")
        assert found.startswith("404")
        assert "other" not in found
    listed = two.running.client.get(f"/v1/farms/{FARM}/forecasts?cursor={made['id']}", headers=two.mine)
    assert listed.json()["items"] == []


def test_a_farm_that_is_not_there_is_answered_without_naming_those_that_are(two: Two, file: Path) -> None:
    token = keys.add(file, "ghost", farms=["othe"], scopes=("read", "write"))
    answer = two.running.client.get("/v1/farms/othe", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 404
    assert "other" not in answer.json()["detail"]
    assert FARM not in answer.text


def test_another_s_bundle_is_unknown_to_whoever_asks_with_data_of_their_own(two: Two, farm: FarmData, end: Any) -> None:
    client, asked = two.running.client, question(farm, end)
    assert client.post("/v1/forecasts", json={"forecasts": [asked]}, headers=two.mine).status_code == 200
    refused = [
        client.post("/v1/forecasts", json={"forecasts": [asked | {"bundle": "others"}]}, headers=two.mine),
        client.post("/v1/forecasts", json={"forecasts": [asked, asked | {"bundle": "others"}]}, headers=two.mine),
        client.get("/v1/bundles/others", headers=two.mine),
    ]
    for kind, body in ((CSV, as_csv), (PARQUET, as_parquet)):
        content = body(table(farm, {"other": end}))
        headers = two.mine | {"Content-Type": kind}
        refused.append(client.post("/v1/forecasts?bundle=others", content=content, headers=headers))
        assert client.post("/v1/forecasts", content=content, headers=headers).status_code == 200
    files = {"data": ("x.csv", b"time,power\n")}
    refused.append(client.post("/predict?bundle=others", files=files, headers=two.mine))
    for answer in refused:
        assert answer.status_code == 404, answer.text
        assert answer.json()["detail"] == "unknown bundle 'others'. Did you mean 'small'? Known: small." or (
            answer.json()["detail"] == "unknown bundle 'others'. Known: small."
        )


def test_a_farm_cannot_be_put_under_another_s_bundle(two: Two) -> None:
    client, path = two.running.client, f"/v1/farms/{FARM}"
    answer = client.put(path, json={"bundle": "others"}, headers=two.mine)
    assert answer.status_code == 404
    assert client.get(path, headers=two.mine).json()["bundle"] == "small"
    assert client.put(path, json={"bundle": "small", "title": "Mine"}, headers=two.mine).json()["title"] == "Mine"


def test_a_bundle_that_forecasts_a_key_s_farm_is_known_to_the_key(two: Two) -> None:
    client, path = two.running.client, f"/v1/farms/{FARM}"
    assert client.put(path, json={"bundle": "others"}, headers=two.all).status_code == 200
    names = [card["name"] for card in client.get("/v1/bundles", headers=two.mine).json()["items"]]
    assert names == ["others", "small"]
    assert client.put(path, json={"bundle": "small"}, headers=two.mine).status_code == 200


def test_metrics_tell_of_all_farms_and_so_want_a_key_for_all(two: Two) -> None:
    assert two.running.client.get("/metrics", headers=two.mine).status_code == 403
    assert two.running.client.post("/v1/farms/other/forecasts", headers=two.all).status_code == 201
    assert 'farm="other"' in two.running.client.get("/metrics", headers=two.all).text


def test_what_is_open_to_everyone_names_no_farm_and_no_bundle(two: Two) -> None:
    for path in ("/health", "/ready", "/docs", "/openapi.json", "/"):
        text = two.running.client.get(path).text
        assert "others" not in text
        assert FARM not in text or path == "/"


def test_values_of_one_farm_do_not_reach_the_forecasts_of_another(two: Two, farm: FarmData, end: Any) -> None:
    client = two.running.client
    before = client.post("/v1/farms/other/forecasts", headers=two.all).json()
    body = {"time": [iso(end)], "power_mw": [3.0], "available_at": iso(end)}
    assert client.post(f"/v1/farms/{FARM}/power", json=body, headers=two.mine).status_code == 200
    after = client.post("/v1/farms/other/forecasts", headers=two.all).json()
    assert after["id"] == before["id"]
