"""What breaks around the service: it is killed, its disk is full, its database goes away, it is told to stop.

Whatever was acknowledged is there afterwards, and no forecast is half there. The service is killed in 12 rounds; with
WINDCAST_KILLS=50 in the environment, in 50.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from databases import Postgres
from wires import answered, connected, request

from conftest import FARM, Start, listening
from windcast.registry.bundles import Bundle
from windcast.serving.app import open_service
from windcast.serving.settings import ServiceSettings
from windcast.serving.store import Store

if sys.platform == "win32":
    pytest.skip("faults are made with signals and disks that Windows does not have", allow_module_level=True)

KILLS = int(os.environ.get("WINDCAST_KILLS", "12"))
BASE = f"/v1/farms/{FARM}"
HOURS = 48  # whose power is sent again and again

Version = tuple[datetime, datetime, float]


class Process:
    """`windcast serve` as anyone starts it."""

    def __init__(self, bundle: Path, store: str) -> None:
        command = [sys.executable, "-m", "windcast", "serve", str(bundle), "--store", store, "--port", "0"]
        environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        assert self.process.stdout is not None
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.search(r"listens on (http://\S+?)/?\s", line):
                self.address = found[1]
                break
        else:
            raise AssertionError("".join(self.lines))
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout or ()))
        self.reader.start()

    def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        code = self.process.wait(60)
        self.reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


class Sender:
    """Sends versions of the last hours' power and asks for forecasts, in a thread, until the service is gone."""

    def __init__(self, address: str, seed: int, *, give_up: bool = True) -> None:
        self.address, self.give_up = address, give_up
        self.chance = random.Random(seed)
        self.acknowledged: list[Version] = []
        self.issued: list[int] = []
        self.statuses: set[int] = set()
        self.acknowledgements = threading.Semaphore(0)
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        with httpx2.Client(base_url=self.address, timeout=30) as client:
            try:
                now = datetime.fromisoformat(client.get(BASE).json()["now"])
                base = now.replace(minute=0, second=0, microsecond=0)
                for number in range(100_000):
                    if self.ending.is_set():
                        return
                    known = now + timedelta(milliseconds=10 * number, microseconds=self.chance.randrange(9999))
                    self._send(client, base, known)
                    if number % 3 == 1:
                        answer = client.post(f"{BASE}/forecasts")
                        self.statuses.add(answer.status_code)
                        if answer.status_code == 201:
                            self.issued.append(answer.json()["id"])
            except httpx2.TransportError:
                if not self.give_up:
                    raise

    def _send(self, client: httpx2.Client, base: datetime, known: datetime) -> None:
        times = [base - timedelta(hours=h) for h in self.chance.sample(range(HOURS), 3)]
        values = [round(self.chance.uniform(0, 20), 3) for _ in times]
        body = {"time": [t.isoformat() for t in times], "power_mw": values, "available_at": known.isoformat()}
        while not self.ending.is_set():
            answer = client.post(f"{BASE}/power", json=body)
            self.statuses.add(answer.status_code)
            if answer.status_code == 200:
                self.acknowledged += [(t, known, v) for t, v in zip(times, values, strict=True)]
                self.acknowledgements.release()
                return
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0

    def end(self) -> None:
        self.ending.set()
        self.thread.join(60)


def kept(url: str) -> set[Version]:
    """Every version of power in a store."""
    store = Store.open(url)
    try:
        now = datetime.now(UTC)
        rows = store.power(FARM, start=datetime(2015, 1, 1, tzinfo=UTC), end=now, revision=2**40)
        return {(row["time"], row["available_at"], row["power_mw"]) for row in rows.iter_rows(named=True)}
    finally:
        store.close()


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """What the condition gives once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


def check(address: str, url: str, acknowledged: list[Version], issued: list[int], after: int) -> int:
    """Everything acknowledged is there, every forecast after id `after` is whole, and none is due. The last id."""
    assert set(acknowledged) <= kept(url)
    with httpx2.Client(base_url=address, timeout=30) as client:
        until(lambda: made_up(client))
        entries = client.get(f"{BASE}/forecasts?limit=1000").json()["items"]
        ids = {entry["id"] for entry in entries}
        assert set(issued) <= ids
        for entry in entries:
            if entry["id"] > after:
                document = client.get(f"{BASE}/forecasts/{entry['id']}").json()
                assert np.array(document["quantiles_mw"]).shape == (6, 19)
                again = client.get(f"{BASE}/forecasts/{entry['id']}/replay").json()
                assert again == {"id": entry["id"], "equal": True, "largest_difference_mw": 0.0}
        return max(ids)


def made_up(client: httpx2.Client) -> bool:
    """Whether a forecast has seen all that is stored."""
    newest = client.get(f"{BASE}/forecasts?limit=1").json()["items"]
    return bool(newest) and newest[0]["revision"] == client.get(BASE).json()["revision"]


def killed(bundle: Path, url: str, rounds: int) -> None:
    """The service is killed with SIGKILL at random moments, each time in the middle of ingest and of issuing."""
    chance = random.Random(rounds)
    acknowledged: list[Version] = []
    issued: list[int] = []
    last = 0
    for number in range(rounds):
        process = Process(bundle, url)
        try:
            last = check(process.address, url, acknowledged, issued, last) if number else 0
            sender = Sender(process.address, number)
            for _ in range(chance.randint(1, 8)):
                assert sender.acknowledgements.acquire(timeout=60)
            time.sleep(chance.uniform(0, 0.05))  # the moment is random
        finally:
            code = process.stop(signal.SIGKILL)
        sender.end()
        assert code == -signal.SIGKILL
        acknowledged += sender.acknowledged
        issued += sender.issued
    process = Process(bundle, url)
    try:
        check(process.address, url, acknowledged, issued, 0)
    finally:
        assert process.stop(signal.SIGTERM) == 0
    assert len(acknowledged) >= 3 * rounds


def test_a_service_that_is_killed_loses_nothing_it_acknowledged_and_leaves_no_half_forecast(
    bundle: Bundle, tmp_path: Path
) -> None:
    killed(bundle.folder, str(tmp_path / "live.db"), KILLS)


def test_it_is_the_same_on_postgresql(bundle: Bundle, postgres: Postgres) -> None:
    killed(bundle.folder, postgres.with_tables(), max(2, KILLS // 10))


def test_a_service_that_is_told_to_stop_answers_what_is_under_way_and_exits_with_0(
    bundle: Bundle, tmp_path: Path
) -> None:
    url = str(tmp_path / "live.db")
    process = Process(bundle.folder, url)
    senders = [Sender(process.address, seed) for seed in range(2)]
    body = json.dumps({"time": ["2019-01-01T00:00:00Z"], "power_mw": [1.5], "available_at": "2019-01-02T00:00:00Z"})
    whole = request("POST", f"{BASE}/power", "Content-Type: application/json", body=body.encode())
    with connected(process.address) as wire:
        wire.sendall(whole[:-20])
        for sender in senders:
            assert sender.acknowledgements.acquire(timeout=60)
        process.process.send_signal(signal.SIGTERM)
        until(lambda: refuses(process.address))
        wire.sendall(whole[-20:])
        status, headers, _ = answered(wire)
    assert status == 200
    assert headers["connection"] == "close"
    assert process.stop(signal.SIGTERM) == 0
    for sender in senders:
        sender.end()
        assert sender.statuses <= {200, 201}
    assert '"stopped"' in process.lines[-1] or any('"stopped"' in line for line in process.lines)
    assert not [line for line in process.lines if '"level":"error"' in line]
    found = kept(url)
    for sender in senders:
        assert set(sender.acknowledged) <= found
    time_of = datetime(2019, 1, 1, tzinfo=UTC)
    assert (time_of, time_of + timedelta(days=1), 1.5) in found


def refuses(address: str) -> bool:
    try:
        connected(address).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_database_that_restarts_under_load_is_waited_for(bundle: Bundle, postgres: Postgres) -> None:
    """503 while it is away, then as before without a restart of the service; nothing acknowledged is lost."""
    url = postgres.with_tables()
    service = open_service(ServiceSettings(bundles=(bundle.folder,), store=url, port=0))
    with listening(service) as address:
        senders = [Sender(address, seed, give_up=False) for seed in range(3)]
        try:
            for how in (signal.SIGINT, signal.SIGQUIT):
                for sender in senders:
                    assert sender.acknowledgements.acquire(timeout=60)
                postgres.stop(how)
                with httpx2.Client(base_url=address, timeout=30) as client:
                    answer = until(lambda client=client: (one := client.get("/ready")).status_code == 503 and one)
                    assert "does not take the call" in answer.json()["detail"]
                    assert "windcast-pg" not in answer.text
                    assert client.get("/health").status_code == 200
                postgres.start()
                with httpx2.Client(base_url=address, timeout=30) as client:
                    until(lambda client=client: client.get("/ready").status_code == 200)
                for sender in senders:
                    while sender.acknowledgements.acquire(blocking=False):
                        pass
                    assert sender.acknowledgements.acquire(timeout=60), "it takes values again"
        finally:
            if postgres.server is None:
                postgres.start()
            for sender in senders:
                sender.end()
        for sender in senders:
            assert sender.statuses <= {200, 201, 503}
        check(address, url, [v for s in senders for v in s.acknowledged], [i for s in senders for i in s.issued], 0)


def test_issues_that_the_store_refused_are_made_up_without_further_values(start: Start, tmp_path: Path) -> None:
    running = start()
    answer = running.client.put(BASE, json={"bundle": "small", "issue_every_minutes": 60, "issue_on_arrival": False})
    assert answer.status_code == 200
    (tmp_path / "live.db").rename(tmp_path / "away.db")
    assert running.service.issuer.issue(FARM, None) is None
    (tmp_path / "away.db").rename(tmp_path / "live.db")
    until(lambda: running.service.store.forecasts(FARM))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here; the store's own tests fill a database instead")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_is_503_reads_go_on_and_it_recovers_when_there_is_room(start: Start, small_disk: Path) -> None:
    url = str(small_disk / "live.db")
    running = start(store=url)
    times = np.arange(np.datetime64("2019-01-01T00", "h"), np.datetime64("2019-07-01T00", "h")).astype(str)
    acknowledged: list[tuple[str, float]] = []
    for number in range(200):
        known = f"2020-01-01T00:{number // 60:02d}:{number % 60:02d}Z"
        body = {"time": [f"{t}:00:00Z" for t in times], "power_mw": [number / 20] * len(times), "available_at": known}
        answer = running.client.post(f"{BASE}/power", json=body)
        if answer.status_code != 200:
            break
        acknowledged.append((known, number / 20))
    assert answer.status_code == 503
    assert "full" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) > 0
    assert running.client.get("/ready").status_code == 200
    read = running.client.get(f"{BASE}/power?start=2019-05-01T00:00:00Z&end=2019-05-02T00:00:00Z").json()["items"]
    assert {row["power_mw"] for row in read} == {acknowledged[-1][1]}
    subprocess.run(["mount", "-o", "remount,size=30m", str(small_disk)], check=True)
    again = running.client.post(f"{BASE}/power", json=body)
    assert again.status_code == 200, again.text
    found = {(at, value) for _, at, value in kept(url)}
    for known, value in acknowledged:
        assert (datetime.fromisoformat(known), value) in found
    until(lambda: made_up(running.client))


def test_writers_that_contradict_each_other_get_409_and_every_accepted_version_stays(
    start: Start, store_url: str
) -> None:
    """Each says another value for the same hours at the same moments, and one of its own besides."""
    running = start(store=store_url)
    accepted: list[list[Version]] = [[] for _ in range(6)]
    statuses: list[list[int]] = [[] for _ in range(6)]
    barrier = threading.Barrier(6)

    def write(who: int) -> None:
        barrier.wait()
        for number in range(10):
            hour = datetime(2020, 2, 1, number, tzinfo=UTC)
            for known in (hour + timedelta(hours=1), hour + timedelta(hours=2, seconds=who)):
                body = {"time": [hour.isoformat()], "power_mw": [float(who)], "available_at": known.isoformat()}
                answer = running.client.post(f"{BASE}/power", json=body)
                statuses[who].append(answer.status_code)
                if answer.status_code == 200:
                    accepted[who].append((hour, known, float(who)))

    writers = [threading.Thread(target=write, args=(who,)) for who in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    every = [status for one in statuses for status in one]
    assert set(every) == {200, 409}
    assert every.count(409) == 10 * 5, "of six that contradict each other one is accepted"
    assert {version for one in accepted for version in one} == kept(store_url)
    assert running.client.get(BASE).json()["revision"] == every.count(200)
