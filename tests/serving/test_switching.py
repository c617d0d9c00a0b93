"""The service follows the champion: the next bundle is opened first, then takes the name, and no request is lost."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from conftest import FARM, Start, listening
from windcast.configs import settings
from windcast.data.farm import FarmData
from windcast.errors import BundleError
from windcast.registry import bundles
from windcast.registry.bundles import MANIFEST, Bundle, sha256
from windcast.registry.pointer import BUNDLE, Pointer
from windcast.serving import switching
from windcast.serving.app import open_service
from windcast.serving.history import fill
from windcast.serving.settings import ServiceSettings
from windcast.workflows import jobs
from windcast.workflows.answering import question
from windcast.workflows.serving import Clock

NAME = f"{FARM}.champion"


@pytest.fixture(scope="module")
def other(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of the same task with other numbers."""
    config = json.loads(json.dumps(bundle.manifest["config"]))
    config["model"]["rounds"] = 2
    return jobs.train(settings_of(config), tmp_path_factory.mktemp("other") / "b", until=bundle.trained_until)


def settings_of(config: dict) -> object:
    return type(settings(["data=simulation"]))(config)


Point = Callable[[Bundle], Pointer]


@pytest.fixture
def point(tmp_path: Path) -> Point:
    """Registers a bundle on disk and moves the pointer to it, as a promotion does."""

    def moved(to: Bundle) -> Pointer:
        checksum = sha256(to.folder / MANIFEST)
        place = tmp_path / "registry" / FARM / checksum[:16] / BUNDLE
        if not place.exists():
            shutil.copytree(to.folder, place)
        pointer = Pointer(farm=FARM, version=1, key=checksum[:16], checksum=checksum, moved=f"{time.time()}")
        pointer.write(tmp_path / "registry")
        return pointer

    return moved


def until(met: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "never came"
        time.sleep(0.02)


def checksum(to: Bundle) -> str:
    return sha256(to.folder / MANIFEST)


def test_the_service_switches_when_the_alias_moves_and_loses_no_request(
    bundle: Bundle,
    other: Bundle,
    farm: FarmData,
    end: datetime,
    point: Point,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import httpx2

    monkeypatch.setattr(switching, "LOOK", 0.02)
    point(bundle)
    clock = Clock()
    clock.set(end)
    chosen = ServiceSettings(
        bundles=(), champions=(FARM,), registry=tmp_path / "registry", store=str(tmp_path / "s.db"), port=0
    )
    body = question(bundle, farm, end)
    answers: list[tuple[int, str, bytes]] = []
    stop = threading.Event()

    def asking(address: str) -> None:
        with httpx2.Client(base_url=address, timeout=20) as client:
            while not stop.is_set():
                answer = client.post("/v1/forecasts", json=body)
                one = answer.json()["forecasts"][0]
                answers.append(
                    (answer.status_code, one["bundle"]["checksum"], json.dumps(one["quantiles_mw"]).encode())
                )

    with listening(open_service(chosen, now=clock)) as address:
        threads = [threading.Thread(target=asking, args=(address,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for to in (other, bundle, other, bundle, other):
            count = len(answers)
            until(lambda count=count: len(answers) > count + 8)
            point(to)
            wanted = checksum(to)
            until(lambda wanted=wanted: answers[-1][1] == wanted)
        stop.set()
        for thread in threads:
            thread.join()
    assert {status for status, _, _ in answers} == {200}
    assert len(answers) > 40
    by_bundle = {which: {found for _, known, found in answers if known == which} for _, which, _ in answers}
    assert set(by_bundle) == {checksum(bundle), checksum(other)}
    assert [len(found) for found in by_bundle.values()] == [1, 1]  # each bundle's own numbers, never the other's
    assert by_bundle[checksum(bundle)] != by_bundle[checksum(other)]


def test_stored_forecasts_are_issued_by_the_bundle_that_reigns(
    bundle: Bundle, other: Bundle, farm: FarmData, point: Point, start: Start, tmp_path: Path
) -> None:
    first = point(bundle)
    running = start(bundles=(), champions=(FARM,), registry=tmp_path / "registry")
    service = running.service
    fill(service, FARM, farm, days=1)
    issued = service.operator.issue(FARM, now=service.now())
    assert issued.bundle_checksum == first.checksum
    second = point(other)
    service.shelf.follow(second)
    again = service.operator.issue(FARM, now=service.now())
    assert (again.bundle, again.bundle_checksum) == (NAME, second.checksum)
    assert not np.array_equal(again.values, issued.values)
    assert service.operator.replay(again).equal


def test_a_bundle_that_cannot_be_opened_leaves_the_champion_at_work(
    bundle: Bundle,
    other: Bundle,
    farm: FarmData,
    end: datetime,
    point: Point,
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(switching, "LOOK", 0.02)
    monkeypatch.setattr(switching, "RETRY", 3)
    first = point(bundle)
    running = start(bundles=(), champions=(FARM,), registry=tmp_path / "registry")
    spoilt = tmp_path / "registry" / FARM / checksum(other)[:16] / BUNDLE
    shutil.copytree(other.folder, spoilt)
    manifest = (spoilt / MANIFEST).read_bytes()
    (spoilt / MANIFEST).write_bytes(b"{")
    point(other)

    def failures() -> float:
        return running.service.metrics.switched.labels(NAME, "failed")._value.get()

    until(lambda: failures() > 0)
    answer = running.client.post("/v1/forecasts", json=question(bundle, farm, end))
    assert answer.json()["forecasts"][0]["bundle"]["checksum"] == first.checksum
    assert failures() < 3
    (spoilt / MANIFEST).write_bytes(manifest)
    until(lambda: running.service.shelf.get(NAME).checksum == checksum(other))


def test_a_bundle_of_another_question_is_not_switched_to(
    bundle: Bundle, point: Point, start: Start, tmp_path: Path
) -> None:
    point(bundle)
    running = start(bundles=(), champions=(FARM,), registry=tmp_path / "registry")
    config = json.loads(json.dumps(bundle.manifest["config"]))
    config["task"]["horizon"] = 5
    shorter = jobs.train(settings_of(config), tmp_path / "shorter", until=bundle.trained_until)
    with pytest.raises(BundleError, match="other levels, leads or weather"):
        running.service.shelf.follow(point(shorter))
    assert running.service.shelf.get(NAME).checksum == checksum(bundle)


def test_a_bundle_that_is_not_the_registered_one_is_not_served(
    bundle: Bundle, other: Bundle, point: Point, start: Start, tmp_path: Path
) -> None:
    pointer = point(bundle)
    running = start(bundles=(), champions=(FARM,), registry=tmp_path / "registry")
    place = tmp_path / "registry" / FARM / pointer.key / BUNDLE
    shutil.rmtree(place)
    shutil.copytree(other.folder, place)
    with pytest.raises(BundleError, match="not the bundle that was registered"):
        running.service.shelf.follow(pointer)
    assert bundles.open_bundle(place).manifest == other.manifest


def test_a_service_of_champions_starts_without_mlflow(bundle: Bundle, point: Point, tmp_path: Path) -> None:
    point(bundle)
    program = f"""
import sys
sys.modules["mlflow"] = None
from pathlib import Path
from windcast.cli import app
from windcast.workflows import serving
chosen = serving.settings_of([], store={str(tmp_path / "lean.db")!r}, champions=[{FARM!r}],
                             registry=Path({str(tmp_path / "registry")!r}))
service = serving.opened(chosen)
print(*service.shelf.served)
service.store.close()
service.shelf.worker.shutdown()
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [NAME]


def test_a_farm_without_a_champion_is_named_with_its_nearest(bundle: Bundle, point: Point, tmp_path: Path) -> None:
    point(bundle)
    with pytest.raises(BundleError, match=f"Did you mean '{FARM}'"):
        open_service(
            ServiceSettings(
                bundles=(), champions=("simulatoin",), registry=tmp_path / "registry", store=str(tmp_path / "s.db")
            )
        )
