"""The service under load: started as a user would, asked over HTTP, and held against a bare FastAPI endpoint."""

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import polars as pl
from load import Call, Load, fire
from measure import Measurement

from windcast.configs import settings
from windcast.data.farm import FarmData
from windcast.data.sources import published
from windcast.data.sources.klim import FILE
from windcast.serving import asking, documents
from windcast.serving.shelf import Shelf
from windcast.workflows import jobs

TENTHS = ",".join(f"{k / 20:g}" for k in range(1, 20))
MANY_FARMS = 1000
MANY_VALUES = 10_000_000


def run() -> list[Measurement]:
    klim = settings(["data=klim"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        farm = klim.farm()
        print("training Klim and La Haute Borne …")
        jobs.train(klim, folder / "klim")
        demo = settings(["backtest.against=[]"])
        jobs.train(demo, folder / "la_haute_borne")
        rows = _single(folder, farm)
        rows += _shares(folder, farm)
        rows += _predict(folder)
        rows += _many(folder, demo.farm())
        rows += _ingest(folder)
        rows += _memory(folder, farm)
    return rows


@contextmanager
def service(bundle: Path, store: Path) -> Iterator[tuple[str, int, float]]:
    """Address, process id and seconds until ready of `windcast serve`."""
    command = [sys.executable, "-m", "windcast", "serve", str(bundle), "--store", str(store), "--port", "0"]
    log = store.with_suffix(".log").open("w")
    began = time.perf_counter()
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*command, "--rate", "1000000"], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
    )
    try:
        said = ""
        while not (found := re.search(r"http://[\d.]+:\d+", said)):
            said = process.stdout.readline()
            if not said:
                raise RuntimeError(f"the service did not start; see {log.name}")
        _get(f"{found[0]}/ready")
        yield found[0], process.pid, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(30)
        log.close()


@contextmanager
def bare(length: int) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("bare.py")), str(port), str(length)])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def question(farm: FarmData, issue: datetime, *, history: int = 200, name: str = "klim") -> dict:
    """A question as a client would put it: `history` rows of power, and the weather known at the issue time."""
    step = farm.resolution
    power = farm.power.filter(pl.col("time") > issue - history * step, pl.col("time") <= issue)
    known = pl.col("available_at").is_null() | (pl.col("available_at") <= issue)
    weather = farm.weather.filter(
        known, pl.col("valid_time") > issue - 60 * step, pl.col("valid_time") <= issue + 60 * step
    )
    stamp = pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "farm": name,
        "power": power.with_columns(stamp).to_dict(as_series=False),
        "weather": weather.with_columns(stamp).to_dict(as_series=False),
    }


def _single(folder: Path, farm: FarmData) -> list[Measurement]:
    """JSON forecasts from 200 rows of history, eight connections."""
    issue = datetime(2003, 1, 15, 12, tzinfo=UTC)
    calls = [
        Call("POST", "/v1/forecasts", orjson.dumps({"forecasts": [question(farm, issue + timedelta(hours=k))]}))
        for k in range(16)
    ]
    with service(folder / "klim", folder / "single.db") as (address, _, ready):
        length = len(_post(address + calls[0].path, calls[0].body))
        fire(address, calls, count=200)
        ours = max((fire(address, calls, count=1500) for _ in range(3)), key=lambda load: load.rate)
    with bare(length) as floor:
        at_floor = [Call("POST", "/", call.body) for call in calls]
        fire(floor, at_floor, count=200)
        theirs = max((fire(floor, at_floor, count=4000) for _ in range(3)), key=lambda load: load.rate)
    data = f"Klim, 200 rows ({len(calls[0].body) / 1000:.0f} kB in, {length / 1000:.1f} kB out), 8 connections"
    _right(ours)
    return [
        _row("ready after start", ready, "s", "whole process, Klim bundle", 2),
        _row("forecasts a second", ours.rate, "1/s", data, 250, better="higher"),
        _row("… p50", ours.percentile(50), "ms", data),
        _row("… p99", ours.percentile(99), "ms", data, 40),
        _row("bare endpoint, requests a second", theirs.rate, "1/s", "same bodies, nothing computed"),
        _row("bare endpoint / ours", theirs.rate / ours.rate, "times", data),
    ]


def _shares(folder: Path, farm: FarmData) -> list[Measurement]:
    """Where the time of a batch of eight goes, step by step in one thread."""
    shelf = Shelf([folder / "klim"])
    served = shelf.only(None)
    issue = datetime(2003, 1, 15, 12, tzinfo=UTC)
    bodies = [orjson.dumps({"forecasts": [question(farm, issue + timedelta(hours=k))]}) for k in range(8)]
    steps: dict[str, list[float]] = {"JSON": [], "tables, contract and windows": [], "model": [], "answer": []}
    for _ in range(40):
        marks = [time.perf_counter()]
        asked = [one for body in bodies for one in asking.from_json(orjson.loads(body), shelf)]
        marks.append(time.perf_counter())
        windows = asking.Question.windows(asked)
        marks.append(time.perf_counter())
        made = served.batcher.forecasts_of(windows)
        marks.append(time.perf_counter())
        for one, known, forecast in zip(asked, windows, made, strict=True):
            issued = asking.answers(one, known, forecast, issue)
            documents.dumps({"forecasts": [documents.document(each) for each in issued]})
        marks.append(time.perf_counter())
        for name, spent in zip(steps, np.diff(marks), strict=True):
            steps[name].append(spent / len(bodies))
    shelf.worker.shutdown()
    return [
        _row(f"… of which {name}", 1000 * float(np.median(spent)), "ms", "a request, in a batch of 8")
        for name, spent in steps.items()
    ]


def _predict(folder: Path) -> list[Measurement]:
    """POST /predict with the whole Klim file."""
    content = published.find(f"klim/{FILE}").read_bytes()
    edge = "-" * 24 + "d74496d66958873e0a1b2c"  # of the length of curl's
    head = (
        f'--{edge}\r\nContent-Disposition: form-data; name="data"; filename="{FILE}"\r\nContent-Type: text/csv\r\n\r\n'
    )
    body = head.encode() + content + f"\r\n--{edge}--\r\n".encode()
    rows = []
    with service(folder / "klim", folder / "predict.db") as (address, _, _):
        for form, target in (("json", 60), ("png", 150)):
            call = Call("POST", f"/predict?format={form}", body, f"multipart/form-data; boundary={edge}")
            fire(address, [call], count=5, connections=1)
            load = fire(address, [call], count=40, connections=1)
            _right(load)
            data = f"Klim, {len(content) / 1e6:.1f} MB"
            rows.append(_row(f"/predict, {form}, p50", load.percentile(50), "ms", data, target))
    return rows


def _many(folder: Path, farm: FarmData) -> list[Measurement]:
    """A thousand farms in one call."""
    times = [datetime(2015, 2, 1, tzinfo=UTC) + timedelta(hours=3 * k) for k in range(MANY_FARMS)]
    asked = [
        question(farm, issue, history=48, name=f"farm{k}") | {"issue_times": [f"{issue:%Y-%m-%dT%H:%M:%SZ}"]}
        for k, issue in enumerate(times)
    ]
    body = orjson.dumps({"forecasts": asked})
    with service(folder / "la_haute_borne", folder / "many.db") as (address, _, _):
        call = Call("POST", f"/v1/forecasts?levels={TENTHS}", body)
        fire(address, [call], count=1, connections=1)
        load = fire(address, [call], count=3, connections=1)
        _right(load)
    data = f"{MANY_FARMS:,} farms × 48 leads × 19 levels, {len(body) / 1e6:.0f} MB of JSON"
    return [_row("many farms in one call", load.percentile(0) / 1000, "s", data, 2)]


def _ingest(folder: Path) -> list[Measurement]:
    """Durable values a second, and the newest forecast beside ten million values."""
    rows = []
    with service(folder / "klim", folder / "ingest.db") as (address, _, _):
        _put(f"{address}/v1/farms/klim", {"bundle": "klim", "issue_on_arrival": False})
        calls = _power_calls(datetime(2010, 1, 1, tzinfo=UTC), batches=200, size=200)
        load = fire(address, calls, count=len(calls), connections=4)
        _right(load)
        values = 200 * len(calls) / load.wall
        rows.append(
            _row(
                "values stored a second", values, "1/s", "SQLite, batches of 200, 4 connections", 5000, better="higher"
            )
        )
        single = [
            Call("POST", c.path, c.body) for c in _power_calls(datetime(2014, 9, 1, tzinfo=UTC), batches=300, size=1)
        ]
        rows.append(
            _row(
                "one value stored, p50",
                fire(address, single, count=300, connections=1).percentile(50),
                "ms",
                "SQLite, durable",
            )
        )
    rows.append(_row("newest forecast, 10 M values / none", _latest(folder), "times", "p50 of GET …/latest", 2))
    return rows


def _power_calls(start: datetime, *, batches: int, size: int) -> list[Call]:
    calls = []
    for batch in range(batches):
        times = [f"{start + timedelta(hours=batch * size + k):%Y-%m-%dT%H:%M:%SZ}" for k in range(size)]
        body = {
            "time": times,
            "power_mw": [round((k * 7 + batch) % 2000 / 100, 2) for k in range(size)],
            "available_at": times,
        }
        calls.append(Call("POST", "/v1/farms/klim/power", orjson.dumps(body)))
    return calls


def _latest(folder: Path) -> float:
    call, p50 = Call("GET", "/v1/farms/klim/forecasts/latest"), []
    for values in (0, MANY_VALUES):
        file = folder / f"latest{values}.db"
        with service(folder / "klim", file) as (address, _, _):
            pass
        if values:
            fill(file, values)
        with service(folder / "klim", file) as (address, _, _):
            _post(f"{address}/v1/farms/klim/forecasts", b"")
            fire(address, [call], count=100, connections=1)
            load = fire(address, [call], count=500, connections=1)
            _right(load)
            p50.append(load.percentile(50))
        print(f"latest beside {values:,} values: {p50[-1]:.2f} ms")
    return p50[1] / p50[0]


def fill(file: Path, values: int, *, versions: int = 10) -> None:
    """Power of a million hours up to 2025, ten versions each, past the rules of the store and so in seconds."""
    hour, end = 3_600_000_000, int(np.datetime64("2025-01-01", "us").astype(np.int64))
    hours = values // versions
    rows = (
        (1, end - (hours - 1 - k // versions) * hour, end + (k % versions) * hour, k * 7919 % 20_000 / 1000, end, 1)
        for k in range(values)
    )
    with closing(sqlite3.connect(file)) as database, database:
        database.executemany(
            "INSERT INTO power (farm_id, time, available_at, value, received_at, revision) VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
        database.execute("UPDATE farms SET revision = 1, newest_power = ?", (end,))


def _memory(folder: Path, farm: FarmData) -> list[Measurement]:
    """Memory after 10,000 mixed requests against that after 500."""
    issue = datetime(2003, 1, 15, 12, tzinfo=UTC)
    calls = [
        Call("POST", "/v1/forecasts", orjson.dumps({"forecasts": [question(farm, issue + timedelta(hours=k))]}))
        for k in range(12)
    ]
    calls += _power_calls(datetime(2012, 1, 1, tzinfo=UTC), batches=4, size=24)
    calls += [Call("GET", path) for path in ("/v1/farms", "/v1/farms/klim/forecasts/latest", "/metrics")]
    with service(folder / "klim", folder / "memory.db") as (address, process, _):
        _post(f"{address}/v1/farms/klim/forecasts", b"")
        fire(address, calls, count=500)
        before = _resident(process)
        fire(address, calls, count=9500)
        after = _resident(process)
    return [
        _row("memory after 10,000 / after 500 requests", after / before, "times", f"{before / 1e6:.0f} MB then", 1.1)
    ]


def _resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def _right(load: Load) -> None:
    if load.wrong:
        raise RuntimeError(f"{load.wrong} answers were errors")


def _get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read()


def _post(address: str, body: bytes, method: str = "POST") -> bytes:
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def _put(address: str, document: dict) -> None:
    _post(address, json.dumps(document).encode(), "PUT")


def _row(name, value, unit, data, target=None, better="lower") -> Measurement:
    return Measurement(name=name, value=float(value), unit=unit, target=target, data=data, better=better)
