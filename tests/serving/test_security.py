"""What a hostile client can send, and that it gets a sentence, costs little and learns nothing."""

import gzip
import io
import json
import logging
import os
import re
import shutil
import socket
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import psutil
import pytest
from questions import CSV, PARQUET, as_csv, as_parquet, question, table
from wires import answered, connected, exchanged, lines_of, request

from conftest import FARM, Running, Start, listening, story
from windcast.data.farm import FarmData
from windcast.errors import BundleError
from windcast.registry.bundles import Bundle
from windcast.serving.app import open_service
from windcast.serving.logs import JsonLines
from windcast.serving.settings import ServiceSettings
from windcast.serving.state import of
from windcast.serving.store import Store

POWER = f"/v1/farms/{FARM}/power"
JSON = "application/json"
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


@pytest.fixture(autouse=True)
def no_log_of_another_test() -> Iterator[None]:
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler.formatter, JsonLines)]
    yield
    logging.captureWarnings(False)


@pytest.fixture
def address(bundle: Bundle, farm: FarmData, end: datetime, tmp_path: Path) -> Iterator[str]:
    with listening(story(bundle, farm, end, tmp_path)) as found:
        yield found


def post(running: Running, path: str, body: bytes, kind: str = JSON, **headers: str) -> Any:
    return running.client.post(path, content=body, headers={"Content-Type": kind, **headers})


def sound(running: Running) -> None:
    """The service goes on as if nothing had been."""
    assert running.client.get("/ready").status_code == 200
    assert running.client.get(f"/v1/farms/{FARM}").json()["revision"] == 0


def refused(answer: Any, *statuses: int) -> str:
    """The sentence of a problem document that names nothing of the inside."""
    assert answer.status_code in statuses, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    detail: str = answer.json()["detail"]
    assert len(detail) <= 1000
    assert "Traceback" not in answer.text
    assert str(Path.home()) not in answer.text
    return detail


# headers of every answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/docs", 200),
        ("GET", "/page/app.js", 200),
        ("GET", "/page/nothing.js", 404),
        ("GET", "/page/../app.py", 404),
        ("GET", "/docs-assets/swagger-ui.css", 200),
        ("GET", "/health", 200),
        ("GET", "/metrics", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/nothing", 404),
        ("DELETE", "/v1/farms", 405),
        ("GET", f"/v1/farms/{FARM}", 200),
        ("GET", "/v1/farms/nowhere", 404),
        ("POST", "/predict", 415),
        ("OPTIONS", "/v1/farms", 405),
    ],
)
def test_every_answer_has_the_security_headers_and_none_of_cors(
    running: Running, method: str, path: str, status: int
) -> None:
    answer = running.client.request(method, path, headers={"Origin": "https://example.org"})
    assert answer.status_code == status
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "server" not in answer.headers
    assert "set-cookie" not in answer.headers


def test_an_unforeseen_error_is_logged_with_its_request_and_says_nothing_of_the_inside(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("the secret of /etc/inside")

    running.client.app.dependency_overrides[of] = broken
    with caplog.at_level(logging.INFO, "windcast"):
        answer = running.client.get("/v1/farms")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "/etc" not in answer.text
    document = answer.json()
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["request_id"] in document["detail"]
    assert answer.headers["x-frame-options"] == "DENY"
    (found,) = [record for record in caplog.records if record.getMessage() == "unforeseen error"]
    assert vars(found)["request_id"] == document["request_id"]
    assert found.exc_info is not None
    assert "the secret" in str(found.exc_info[1])


def test_an_error_of_the_store_names_neither_file_nor_database(
    running: Running, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "live.db").rename(tmp_path / "away.db")
    for path in ("/v1/farms", "/ready", f"/v1/farms/{FARM}/power"):
        answer = running.client.get(path)
        assert "does not take the call" in refused(answer, 503)
        assert str(tmp_path) not in answer.text
        assert int(answer.headers["retry-after"]) > 0
    assert any("database" in vars(record).get("reason", "") for record in caplog.records)
    (tmp_path / "away.db").rename(tmp_path / "live.db")
    assert running.client.get("/ready").status_code == 200


def test_an_error_about_a_bundle_names_it_and_not_its_folder(
    running: Running, bundle: Bundle, farm: FarmData, end: datetime
) -> None:
    asked = question(farm, end)
    asked["power"]["time"] = [f"{time[:14]}30:00Z" for time in asked["power"]["time"]]
    answer = post(running, "/v1/forecasts", orjson.dumps({"forecasts": [asked]}))
    refused(answer, 422)
    assert str(bundle.folder.parent) not in answer.text
    assert running.service.shelf.get("small").bundle.folder == Path("small")


# bodies


def test_a_body_of_two_gigabytes_is_refused_before_it_is_sent_and_costs_no_memory(address: str) -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    for path in ("/predict", "/v1/forecasts", POWER):
        kind = "multipart/form-data; boundary=b" if path == "/predict" else "text/csv"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
        status, headers, body = exchanged(address, f"{head}Content-Length: 2000000000\r\n\r\n".encode())
        assert status == 413
        assert headers["content-type"] == "application/problem+json"
        assert b"more than 64 MB" in body
    assert process.memory_info().rss - before < 100e6


@pytest.mark.parametrize("path", ["/predict", "/v1/forecasts", POWER, f"/v1/farms/{FARM}"])
def test_a_body_without_a_length_is_cut_off_at_the_limit(address: str, path: str) -> None:
    """Two gigabytes in chunks: the answer comes after 64 MB, and the memory stays flat."""
    process = psutil.Process()
    before = process.memory_info().rss
    method = "PUT" if path.endswith(FARM) else "POST"
    kind = {"/predict": "multipart/form-data; boundary=b", POWER: "text/csv"}.get(path, JSON)
    chunk = b"100000\r\n" + b"1" * 0x100000 + b"\r\n"
    sent = 0
    with connected(address) as wire:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
        wire.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        if path == "/predict":
            part = b'--b\r\nContent-Disposition: form-data; name="data"; filename="x.csv"\r\n\r\n'
            wire.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        try:
            for _ in range(2000):
                wire.sendall(chunk)
                sent += len(chunk)
                wire.setblocking(False)
                try:
                    if wire.recv(1, socket.MSG_PEEK):
                        break
                except BlockingIOError:
                    pass
                finally:
                    wire.settimeout(20)
        except ConnectionError:
            pass  # it has answered and hung up
        else:
            status, _, _ = answered(wire)
            assert status == 413
    assert sent < 200e6
    assert process.memory_info().rss - before < 400e6


@pytest.mark.parametrize("packed", ["gzip", "deflate"])
@pytest.mark.parametrize("path", ["/v1/forecasts", POWER, f"/v1/farms/{FARM}"])
def test_a_bomb_is_refused_where_it_passes_the_limit(running: Running, path: str, packed: str) -> None:
    bomb = gzip.compress(bytes(300_000_000), 1) if packed == "gzip" else zlib.compress(bytes(300_000_000), 1)
    method = "PUT" if path.endswith(FARM) else "POST"
    headers = {"Content-Type": JSON, "Content-Encoding": packed}
    answer = running.client.request(method, path, content=bomb, headers=headers)
    assert "unpacks to more than 64 MB" in refused(answer, 413)
    sound(running)


def test_a_parquet_that_would_unpack_to_gigabytes_is_refused(running: Running) -> None:
    rows = 30_000_000
    frame = pl.DataFrame({"time": pl.repeat(0, rows, dtype=pl.Int8, eager=True)})
    content = io.BytesIO()
    frame.write_parquet(content)
    assert len(content.getvalue()) < 1e6
    for path in (POWER, "/v1/forecasts"):
        assert "at most 20,000,000 are read" in refused(post(running, path, content.getvalue(), PARQUET), 413)
    answer = running.client.post("/predict", files={"data": ("x.parquet", content.getvalue())})
    refused(answer, 413, 422)


@pytest.mark.parametrize("damage", range(12))
def test_a_damaged_parquet_is_refused(running: Running, farm: FarmData, end: datetime, damage: int) -> None:
    body = bytearray(as_parquet(table(farm, {FARM: end})))
    chance = np.random.default_rng(damage)
    for place in chance.integers(4, len(body) - 8, 40):
        body[place] = chance.integers(256)
    assert post(running, "/v1/forecasts", bytes(body), PARQUET).status_code in (200, 400, 413, 422)
    assert running.client.get("/health").status_code == 200


def test_a_million_columns_are_refused_before_they_are_read(running: Running) -> None:
    header = ",".join(f"c{k}" for k in range(1_000_000))
    quoted = '"a\n",' + header
    for body in (header, quoted, f"{header}\n{header}"):
        for path in (POWER, "/v1/forecasts"):
            refused(post(running, path, body.encode(), CSV), 400, 422)
        refused(running.client.post("/predict", files={"data": ("x.csv", body.encode())}), 400, 422)
    refused(post(running, POWER, orjson.dumps({f"c{k}": [1] for k in range(100_000)})), 422)
    sound(running)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"forecasts":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"time":' + b"[" * 900 + b"]" * 900 + b',"power_mw":[1]}',
        b'{"time": ["2019-01-01T00:00:00Z"], "power_mw": [NaN]}',
        b'{"time": ["2019-01-01T00:00:00Z"], "power_mw": [Infinity]}',
        b'{"time": ["2019-01-01T00:00:00Z"], "power_mw": [-Infinity]}',
        b'{"time": ["2019-01-01T00:00:00Z"], "power_mw": [1e999]}',
        b'{"time": ["2019-01-01T00:00:00Z"], "power_mw": [' + b"9" * 5000 + b"]}",
        b'{"time": ["2019-01-01T00:00:00Z"], "power_mw": [18446744073709551616]}',
        b'{"time": ["2019-01-01T00:00:00Z"], "power_mw": ["nan", 3]}',
        b'{"time": ["2019-01-01T00:00:00Z"], "power_mw": ["inf"]}',
        b'{"time": ["2019-01-01T00:00:00Z"], "power_mw": [true]}',
        b'{"time": [1e18], "power_mw": [1]}',
        b'{"time": ["\\u0000"], "power_mw": [1]}',
        b'{"time": ["\\ud800"], "power_mw": [1]}',
        b'{"time": ["\xff\xfe"], "power_mw": [1]}',
        b"\xff\xfe\x00\x00",
        b"\x00" * 1000,
        b"",
        b"null",
        b'"text"',
        b"{}" * 1000,
    ],
    ids=lambda body: repr(body[:40]),
)
def test_json_that_is_odd_is_refused_with_a_sentence(running: Running, body: bytes) -> None:
    for path in (POWER, f"/v1/farms/{FARM}/weather", "/v1/forecasts"):
        refused(post(running, path, body), 400, 413, 422)
    refused(running.client.put(f"/v1/farms/{FARM}", content=body, headers={"Content-Type": JSON}), 422)
    sound(running)


def test_of_a_name_given_twice_the_last_counts(running: Running, end: datetime) -> None:
    body = b'{"time": ["2020-02-01T00:00:00Z"], "power_mw": [999], "power_mw": [3]}'
    assert post(running, POWER, body).json()["added"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"time,power_mw\n",
        b"time,time\n1,2\n",
        b"time,power_mw\n2019-01-01T00:00:00Z,\xff\xfe\n",
        b"time,power_mw\n2019-01-01T00:00:00Z,inf\n",
        b"time,power_mw\n2019-01-01T00:00:00Z,=1+1\n",
        b"time,power_mw\n2019-01-01T00:00:00Z,@SUM(A1)\n",
        b"time,power_mw\n2019-01-01T00:00:00Z,1,2,3\n",
        b'time,power_mw\n"2019-01-01T00:00:00Z,1\n',
        b"time,power_mw\n" + b"9" * 100_000 + b",1\n",
        b"\x1f\x8b\x08\x00broken",
        b"PAR1\x00\x00\x00\x00PAR1",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_table_that_is_odd_is_refused_with_a_sentence(running: Running, body: bytes) -> None:
    for path in (POWER, "/v1/forecasts"):
        for kind in (CSV, PARQUET):
            refused(post(running, path, body, kind), 400, 409, 422)
    refused(running.client.post("/predict", files={"data": ("x.csv", body)}), 400, 422)
    sound(running)


def test_nan_in_a_table_is_a_value_that_is_missing(running: Running) -> None:
    assert post(running, POWER, b"time,power_mw\n2019-01-01T00:00:00Z,nan\n", CSV).json()["added"] == 1
    path = f"{POWER}?start=2018-12-31T00:00:00Z&end=2019-01-02T00:00:00Z"
    assert running.client.get(path).json()["items"][0]["power_mw"] is None


def test_a_parquet_of_odd_types_is_refused(running: Running) -> None:
    odd = {
        "list": pl.Series([[1]]),
        "struct": pl.Series([{"a": 1}]),
        "bytes": pl.Series([b"\xff"]),
        "category": pl.Series(["a"], dtype=pl.Categorical),
        "duration": pl.Series([1], dtype=pl.Duration("us")),
        "time": pl.Series([1], dtype=pl.Time),
        "date": pl.Series([1], dtype=pl.Date),
    }
    for name, column in odd.items():
        for place in ("time", "power_mw", "farm"):
            frame = pl.DataFrame({"time": ["2019-01-01T00:00:00Z"], "power_mw": [1.0]}).with_columns(
                column.alias(place)
            )
            answer = post(running, "/v1/forecasts", as_parquet(frame), PARQUET)
            assert answer.status_code in (200, 400, 422), (name, place, answer.text)
            if place != "farm":
                refused(post(running, POWER, as_parquet(frame), PARQUET), 400, 422)
    sound(running)


@pytest.mark.parametrize("kind", ["text/html", "application/xml", "multipart/form-data", "*/*", "", "a" * 1000, "json"])
def test_another_content_type_is_refused(running: Running, kind: str) -> None:
    for path in (POWER, "/v1/forecasts", "/predict"):
        if kind or path == "/predict":
            refused(post(running, path, b"{}", kind), 400, 415)
    answer = running.client.put(f"/v1/farms/{FARM}", content=b"{}", headers={"Content-Type": "text/csv"})
    refused(answer, 415)


def test_a_form_without_its_field_is_refused(running: Running) -> None:
    assert "'data'" in refused(running.client.post("/predict", files={"file": ("x.csv", b"a")}), 422)
    two = [("data", ("x.csv", b"a")), ("data", ("y.csv", b"a"))]
    assert "two files" in refused(running.client.post("/predict", files=two), 422)
    refused(running.client.post("/predict", data={"data": "a"}), 415, 422)


# the wire


def test_a_head_of_a_megabyte_is_refused_while_it_arrives(address: str) -> None:
    before = psutil.Process().memory_info().rss
    for head in (
        b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000,
        b"GET /" + b"x" * 1_000_000,
        b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 200_000,
    ):
        with connected(address) as wire:
            try:
                for _ in range(100):
                    wire.sendall(head)
                raise AssertionError("a hundred megabytes were taken")
            except ConnectionError:
                pass
    assert psutil.Process().memory_info().rss - before < 50e6
    assert exchanged(address, request("GET", "/health"))[0] == 200


def test_a_head_that_does_not_end_is_given_up(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from windcast.serving import wire as guarded

    monkeypatch.setattr(guarded, "HEAD_SECONDS", 0.3)
    for begun in (b"", b"GET /health HTTP/1.1\r\nHost: x\r\n", request("GET", "/health") + b"GET /he"):
        with connected(address) as wire:
            wire.sendall(begun)
            if begun.startswith(b"GET /health HTTP/1.1\r\nHost: x\r\nC"):
                assert answered(wire)[0] == 200
            assert answered(wire)[0] == 400
            assert wire.recv(1) == b""


@pytest.mark.parametrize("path", ["/predict", "/v1/forecasts", POWER])
def test_a_client_that_goes_away_in_the_middle_leaves_no_error(
    bundle: Bundle, farm: FarmData, end: datetime, tmp_path: Path, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    kind = "multipart/form-data; boundary=b" if path == "/predict" else JSON
    with listening(story(bundle, farm, end, tmp_path)) as address:
        for _ in range(5):
            with connected(address) as wire:
                whole = request("POST", path, f"Content-Type: {kind}", body=b"x" * 10_000)
                wire.sendall(whole[:-5000])
        assert exchanged(address, request("GET", "/health"))[0] == 200
    lines = lines_of(capfd.readouterr().err)
    assert not [line for line in lines if line["level"] in ("error", "warning")]
    assert [line["status"] for line in lines if line.get("route") == path.replace(FARM, "{farm}")] == [499] * 5


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: [\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: [::\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET /v1/farms?limit=1 HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/farms/%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/farms/%ed%a0%80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/farms?cursor=%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET //etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\x00b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"\r\n" * 50 + b"nonsense\r\n\r\n",
    ],
    ids=lambda sent: repr(sent[:50]),
)
def test_a_request_that_is_odd_is_answered_and_no_error(page_url: str, sent: bytes) -> None:
    with connected(page_url) as wire:
        wire.sendall(sent)
        wire.shutdown(socket.SHUT_WR)
        try:
            status, _, body = answered(wire)
        except ConnectionError:
            return  # hung up on
        assert status < 500, body
    assert exchanged(page_url, request("GET", "/health"))[0] == 200


# names


NAMES = [
    "../../etc/passwd",
    "..%2f..",
    "%2e%2e",
    "a/b",
    "a\\b",
    "..",
    ".hidden",
    "a b",
    "é",
    "A",
    "a%0d%0ab",
    "-",
    "x" * 65,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_farm_s_name_cannot_be_a_path(running: Running, name: str, tmp_path: Path) -> None:
    answer = running.client.put(f"/v1/farms/{name}", json={"bundle": "small"})
    refused(answer, 404, 405, 422)
    assert {record.name for record in running.service.store.farms()} == {FARM}


@pytest.mark.parametrize(
    "name", ["../small", "..", "/etc", "small/../small", "small\x00", "manifest.json", "Small", ""]
)
def test_a_bundle_is_found_by_the_name_on_the_shelf_and_never_as_a_path(
    running: Running, farm: FarmData, end: datetime, name: str
) -> None:
    asked = {"forecasts": [question(farm, end, bundle=name)]}
    refused(running.client.post("/v1/forecasts", json=asked), 404, 422)
    refused(running.client.post("/predict", params={"bundle": name}, files={"data": ("x", b"a")}), 404, 422)
    refused(running.client.put(f"/v1/farms/{FARM}", json={"bundle": name}), 404, 422)


FILES = [
    "../../../etc/passwd",
    "C:\\autoexec.bat",
    "a\r\nX-Injected: 1.csv",
    "$\\frac{1}{$.csv",
    "$x$.csv",
    "<script>alert(1)</script>.csv",
    "風力.csv",
    "\u202egnp.exe",
    "x" * 500,
    '"; rm -rf /',
    "{0.__class__}",
    "%s%n",
]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", FILES, ids=lambda name: repr(name[:20]))
@pytest.mark.parametrize("form", ["json", "png", "svg"])
def test_a_file_s_name_is_shown_and_never_more(
    running: Running, farm: FarmData, end: datetime, name: str, form: str, tmp_path: Path
) -> None:
    body = as_csv(farm.power.tail(30).select("time", "power_mw"))
    before = set(tmp_path.rglob("*"))
    part = f'--b\r\nContent-Disposition: form-data; name="data"; filename="{name}"\r\n\r\n'.encode()
    sent = part.replace(b"a\r\nX", b"a%0D%0AX") + body + b"\r\n--b--\r\n"
    answer = post(running, f"/predict?format={form}", sent, "multipart/form-data; boundary=b")
    assert answer.status_code == 200, answer.text
    assert "x-injected" not in answer.headers
    assert re.fullmatch(r'inline; filename="[a-z0-9_.-]+-[0-9TZ-]+\.[a-z]+"', answer.headers["content-disposition"])
    assert set(tmp_path.rglob("*")) == before
    if form == "svg":
        assert b"<script" not in answer.content
    if form == "json":
        assert len(answer.json()["title"]) < 200
        assert "/etc" not in answer.json()["title"]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("title", ["$\\frac{1}{$", "$x^{2$", "<b>x</b>", "風力", "=1+1", "\\u0041", "%s"])
def test_a_farm_s_title_is_drawn_as_it_is_written(running: Running, title: str) -> None:
    assert running.client.put(f"/v1/farms/{FARM}", json={"bundle": "small", "title": title}).json()["title"] == title
    assert running.client.post(f"/v1/farms/{FARM}/forecasts").json()["title"] == title
    for form in ("png", "svg", "csv", "parquet"):
        answer = running.client.get(f"/v1/farms/{FARM}/forecasts/latest?format={form}")
        assert answer.status_code == 200, answer.text
        assert b"<b>" not in answer.content


def test_a_title_that_no_database_could_keep_is_refused(start: Start, store_url: str) -> None:
    running = start(store=store_url)
    for title in ("a\x00b", "a\nb", "x" * 101):
        refused(running.client.put(f"/v1/farms/{FARM}", json={"bundle": "small", "title": title}), 422)
    for path in ("/v1/farms/%00", "/v1/farms?cursor=%00", "/v1/farms/a%00/power", "/v1/bundles?cursor=%0d"):
        refused(running.client.get(path), 422)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"])
def test_no_cell_of_a_csv_answer_is_a_formula(running: Running, farm: FarmData, end: datetime, name: str) -> None:
    asked = {"forecasts": [question(farm, end, farm=name)]}
    answer = running.client.post("/v1/forecasts?format=csv", json=asked)
    frame = pl.read_csv(io.BytesIO(answer.content))
    assert set(frame["farm"]) == {f"'{name}"}
    for line in answer.text.split("\n"):
        assert not line.lstrip('"').startswith(("=", "+", "-", "@", "\t", "\r"))
    assert running.client.post("/v1/forecasts", json=asked).json()["forecasts"][0]["farm"] == name


def test_log_lines_cannot_be_forged(
    bundle: Bundle, farm: FarmData, end: datetime, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    forged = '%0d%0a{"time":"2020-01-01","logger":"windcast.access","status":200}'
    with listening(story(bundle, farm, end, tmp_path)) as address:
        exchanged(address, request("GET", f"/v1/farms/x{forged}?q={forged}"))
        exchanged(address, request("GET", f"/%1b[31m{forged}", "X-Request-ID: a b", "User-Agent: \t{}"))
        exchanged(address, request("POST", POWER, "Content-Type: text/csv", body=b'time,"a\n{}\n"\n1,2\n'))
    lines = [line for line in lines_of(capfd.readouterr().err) if line["logger"] == "windcast.access"]
    assert [line["status"] for line in lines] == [422, 404, 422]
    assert "\r\n" in lines[0]["path"]  # escaped in its line


# how often


def test_who_asks_too_often_is_told_when_to_come_back(start: Start) -> None:
    running = start(rate=0.5, burst=3)
    answers = [running.client.get("/v1/farms") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 2
    assert "Wait" in refused(answers[-1], 429)
    assert running.client.get("/health").status_code == 200
    assert running.client.get("/ready").status_code == 200


def test_each_key_has_its_own_allowance_and_guessing_keys_has_one_too(start: Start, tmp_path: Path) -> None:
    from windcast.serving import keys

    file = tmp_path / "keys.json"
    one, two = ({"Authorization": f"Bearer {keys.add(file, n, farms=['*'], scopes=('read',))}"} for n in ("one", "two"))
    running = start(keys=file, rate=0.01, burst=2)
    client = running.client
    assert [client.get("/v1/farms", headers=one).status_code for _ in range(3)] == [200, 200, 429]
    assert [client.get("/v1/farms", headers=two).status_code for _ in range(3)] == [200, 200, 429]
    wrong = [client.get("/v1/farms", headers={"Authorization": f"Bearer wc_{k}"}).status_code for k in range(4)]
    assert wrong == [401, 401, 429, 429]


def test_the_memory_of_who_asked_is_bounded() -> None:
    from windcast.serving.guards import CLIENTS, Allowance

    allowance = Allowance(1, 1)
    for k in range(CLIENTS + 100):
        allowance.take(f"host {k}")
    assert len(allowance.buckets) == CLIENTS


def test_methods_that_clients_invent_do_not_fill_the_metrics(running: Running) -> None:
    for k in range(20):
        running.client.request(f"FOO{k}", f"/invented/{k}")
    text = running.client.get("/metrics").text
    assert "FOO" not in text
    assert "/invented" not in text
    assert 'windcast_http_requests_total{method="other",route="none",status="404"} 20.0' in text


# bundles


def opened(folder: Path, tmp_path: Path) -> None:
    open_service(ServiceSettings(bundles=(folder,), store=str(tmp_path / "x.db"))).store.close()


def test_a_service_does_not_start_with_a_bundle_that_was_changed(bundle: Bundle, tmp_path: Path) -> None:
    for number, damage in enumerate((_append, _remove, _add, _swap)):
        folder = tmp_path / f"b{number}"
        shutil.copytree(bundle.folder, folder)
        damage(folder)
        with pytest.raises(BundleError, match=r"changed since training|is missing|is not in the manifest"):
            opened(folder, tmp_path)


def _file(folder: Path) -> Path:
    return max((folder / "model").rglob("*.*"), key=lambda file: file.stat().st_size)


def _append(folder: Path) -> None:
    with _file(folder).open("ab") as file:
        file.write(b" ")


def _remove(folder: Path) -> None:
    _file(folder).unlink()


def _add(folder: Path) -> None:
    (folder / "model" / "extra.pkl").write_bytes(b"cos\nsystem\n")


def _swap(folder: Path) -> None:
    file = _file(folder)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_link_out_of_a_bundle_is_refused_even_to_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "linked"
    shutil.copytree(bundle.folder, folder)
    file = _file(folder)
    outside = tmp_path / "outside"
    file.rename(outside)
    file.symlink_to(outside)
    with pytest.raises(BundleError, match="leads out of the bundle"):
        opened(folder, tmp_path)
    file.unlink()
    outside.rename(file)
    (folder / "model" / "all").symlink_to("/etc")
    with pytest.raises(BundleError, match="leads out of the bundle"):
        opened(folder, tmp_path)


@pytest.mark.parametrize("name", ["Größe & mehr", "..b", "a\nb", "=1", "%2e%2e", "-", "b" * 200])
def test_a_bundle_s_folder_may_have_any_name_and_is_served_under_a_plain_one(
    start: Start, bundle: Bundle, tmp_path: Path, name: str
) -> None:
    shutil.copytree(bundle.folder, tmp_path / name)
    running = start(bundles=(tmp_path / name,))
    (card,) = running.client.get("/v1/bundles").json()["items"]
    assert re.fullmatch(r"[a-z0-9_.-]{1,64}", card["name"])
    assert ".." not in card["name"]
    assert running.client.get(f"/v1/bundles/{card['name']}").json() == card


def test_only_the_folders_named_at_the_start_are_served(running: Running, bundle: Bundle) -> None:
    for path in ("/v1/bundles/..", "/v1/bundles/%2e%2e%2fsmall", "/page/..%2f..%2fapp.py", "/docs-assets/%2e%2e/x"):
        refused(running.client.get(path), 404)


# values


def test_text_in_a_query_is_data_and_never_sql(running: Running, store_url: str) -> None:
    text = "x'; DROP TABLE farms; --"
    for path in (f"/v1/farms?cursor={text}", f"/v1/farms/{FARM}/power?start={text}", f"/v1/farms/{text}"):
        assert running.client.get(path).status_code in (200, 404, 422)
    assert isinstance(running.service.store, Store)
    assert len(running.service.store.farms()) == 1


def test_hostile_callers_do_not_stop_the_others(address: str) -> None:
    """A hundred slow bodies, and junk and closed connections between requests that are answered all the while."""
    slow = [connected(address) for _ in range(100)]
    try:
        for wire in slow:
            wire.sendall(request("POST", "/v1/forecasts", body=b"x" * 100)[:-50])
        for k in range(20):
            for junk in (os.urandom(1000), request("POST", POWER, body=b"x" * 999)[:-9], b"GET /" + bytes([k])):
                with connected(address) as wire:
                    wire.sendall(junk)
            status, _, body = exchanged(address, request("GET", f"/v1/farms/{FARM}/forecasts/latest"))
            assert status == 200
            assert json.loads(body)["farm"] == FARM
    finally:
        for wire in slow:
            wire.close()


def test_a_service_below_a_proxy_s_path_keeps_to_it(
    bundle: Bundle, farm: FarmData, end: datetime, tmp_path: Path
) -> None:
    with listening(story(bundle, farm, end, tmp_path, root_path="/wind")) as address:
        address = address.removesuffix("/wind")
        page = exchanged(address, request("GET", "/docs"))[2]
        assert b'src="/wind/page/docs.js"' in page
        found = json.loads(exchanged(address, request("GET", f"/v1/farms/{FARM}/forecasts?limit=1"))[2])
        assert found["next"].startswith(f"/wind/v1/farms/{FARM}/forecasts?limit=1&cursor=")


def test_every_test_that_the_threat_model_names_exists() -> None:
    here = Path(__file__).parent
    document = (here.parents[1] / "docs" / "security.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", document))
    assert len(named) > 40
    there = {name for file in here.glob("test_*.py") for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)}
    assert named <= there, named - there
    for row in re.findall(r"^\| .*", document, re.M):
        assert "`test_" in row or row.startswith(("| attack", "| fault")), row
