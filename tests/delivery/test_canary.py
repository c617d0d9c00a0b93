"""A release reaches everybody only step by step, and every failure on the way gives the former revision everything."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from clouds import Cloud, cloud_of_files  # noqa: F401 (a fixture)

# isort: split
import canary
import deploy
import promoted
from canary import Bounds
from cloudrun import Request, Service
from gcloud import DeliveryError

FORMER, REVISION, FARM = "windcast-00001-abc", "windcast-v2-77-1", "hill"
KEY = "0123456789abcdef"
CHECKSUM = KEY + "0" * 48
GOOD = [{"status": 200, "latency": "0.05s"}] * 40
QUICK = Bounds(minutes=1, every=30)
SETTINGS = {"GCP_PROJECT": "p", "GCP_REGION": "europe-west1", "WINDCAST_FARM": FARM, "GITHUB_SHA": "c" * 40,
            "GITHUB_RUN_ID": "77", "GITHUB_RUN_ATTEMPT": "1", "WINDCAST_WATCH_MINUTES": "1"}  # fmt: skip
REGISTRY = "p-windcast-models/registry"


@pytest.fixture
def service(cloud: Cloud) -> Service:
    """One revision serves everything, another has the tag and no traffic."""
    tagged = {"revisionName": REVISION, "percent": 0, "tag": "canary", "url": "https://canary---windcast.test"}
    cloud.put("traffic.json", [{"revisionName": FORMER, "percent": 100}, tagged])
    cloud.put("requests.json", {REVISION: GOOD, FORMER: GOOD})
    return Service("windcast", "p", "europe-west1")


@pytest.fixture
def registry(cloud: Cloud) -> Path:
    """Of a farm whose champion was promoted by a verdict."""
    place = cloud.bucket(REGISTRY) / FARM
    (place / KEY / "bundle").mkdir(parents=True)
    (place / KEY / "bundle" / "manifest.json").write_text("{}")
    write(place / "champion.json", {"farm": FARM, "version": 2, "key": KEY, "checksum": CHECKSUM, "moved": ""})
    move(place, "promoted", KEY)
    write(place / KEY / "20260101-060000" / "verdict.json", {"promoted": True, "challenger": {"checksum": CHECKSUM}})
    return place


def write(file: Path, value: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))


def move(place: Path, kind: str, after: str, reason: str = "") -> None:
    with (place / "moves.jsonl").open("a") as file:
        file.write(json.dumps({"kind": kind, "after": after, "version": 2, "reason": reason}) + "\n")


def release(service: Service, smoke: Any = lambda _: None, bounds: Bounds = QUICK) -> list[str]:
    said: list[str] = []
    canary.release(service, former=FORMER, revision=REVISION, smoke=smoke, bounds=bounds, say=said.append,
                   pause=lambda _: None)  # fmt: skip
    return said


def routes(cloud: Cloud) -> list[str]:
    options = [word for call in cloud.calls for word in call if word.startswith("--to-revisions=")]
    return [word.partition("=")[2] for word in options]


def chosen(farm: str = FARM) -> promoted.Promoted:
    return promoted.promoted(farm, *promoted.in_bucket(f"gs://{REGISTRY}"))


def test_a_good_revision_gets_a_tenth_of_the_traffic_and_then_everything(cloud: Cloud, service: Service) -> None:
    asked: list[str] = []
    release(service, smoke=asked.append)
    assert routes(cloud) == [f"{FORMER}=90,{REVISION}=10", f"{REVISION}=100"]
    assert cloud.shares == {REVISION: 100}
    assert asked[0] == "https://canary---windcast.test"


def test_a_revision_that_fails_its_smoke_test_never_gets_traffic(cloud: Cloud, service: Service) -> None:
    def smoke(_: str) -> None:
        raise DeliveryError("not ready")

    with pytest.raises(DeliveryError, match="not ready"):
        release(service, smoke=smoke)
    assert not any(REVISION in route for route in routes(cloud))
    assert cloud.shares == {FORMER: 100}


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([*GOOD[:38], *[{"status": 503, "latency": "0.05s"}] * 2], "2 of 40 answers failed"),
        ([*GOOD[:30], *[{"status": 200, "latency": "3.5s"}] * 10], "took over 3.50 s"),
        (GOOD[:5], "knows 5 of its answers"),
    ],
)
def test_a_revision_that_fails_is_slow_or_leaves_no_log_loses_its_traffic(
    cloud: Cloud, service: Service, answers: list[dict[str, Any]], said: str
) -> None:
    cloud.put("requests.json", {REVISION: answers, FORMER: GOOD})
    with pytest.raises(DeliveryError, match=said):
        release(service)
    assert routes(cloud) == [f"{FORMER}=90,{REVISION}=10", f"{FORMER}=100"]
    assert cloud.shares == {FORMER: 100}


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, SystemExit])
def test_a_release_that_is_stopped_gives_the_former_revision_everything(
    cloud: Cloud, service: Service, stopped: type[BaseException]
) -> None:
    times = iter([None, stopped()])

    def smoke(_: str) -> None:
        if (found := next(times)) is not None:
            raise found

    with pytest.raises(stopped):
        release(service, smoke=smoke)
    assert cloud.shares == {FORMER: 100}


def test_a_cloud_that_does_not_answer_leads_back_too(cloud: Cloud, service: Service) -> None:
    cloud.break_down("logging read")
    with pytest.raises(DeliveryError, match="it is broken"):
        release(service)
    assert cloud.shares == {FORMER: 100}


def test_a_slow_revision_is_borne_where_the_former_was_as_slow() -> None:
    slow = [Request(200, 2.0)] * 30
    assert canary.verdict(slow, slow, Bounds()) == ""
    assert "took over" in canary.verdict(slow, [Request(200, 0.5)] * 30, Bounds())


def test_too_few_answers_are_not_judged() -> None:
    assert canary.verdict([Request(500, 9.0)] * 19, [], Bounds()) == ""
    assert canary.verdict([Request(500, 9.0)] * 20, [], Bounds())


def test_what_a_verdict_promoted_may_be_deployed(registry: Path) -> None:
    assert (chosen().key, chosen().version, chosen().how) == (KEY, 2, "promoted")


def test_a_champion_that_was_rolled_back_to_may_be_deployed(registry: Path) -> None:
    move(registry, "rolled back", KEY, "the weather is on time again")
    assert chosen().how == "rolled back: the weather is on time again"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda place: (place / "champion.json").unlink(), "champion.json|matched no objects"),
        (lambda place: move(place, "promoted", "f" * 16), "the last recorded move does not"),
        (lambda place: move(place, "moved by hand", KEY), "was moved by hand, not promoted"),
        (lambda place: (place / "moves.jsonl").write_text(""), "the last recorded move does not"),
        (lambda place: (place / KEY / "20260101-060000" / "verdict.json").unlink(), "no verdict beside"),
        (
            lambda place: write(place / KEY / "20260101-060000" / "verdict.json",
                                {"promoted": False, "challenger": {"checksum": CHECKSUM}}),
            "no verdict beside",
        ),
        (
            lambda place: write(place / KEY / "20260101-060000" / "verdict.json",
                                {"promoted": True, "challenger": {"checksum": "e" * 64}}),
            "no verdict beside",
        ),
        (lambda place: (place / "champion.json").write_text("{"), "not a JSON object"),
        (
            lambda place: write(place / "champion.json",
                                {"farm": FARM, "version": 2, "key": "../other", "checksum": ""}),
            "not this farm's pointer",
        ),
    ],
)  # fmt: skip
def test_what_was_not_promoted_is_refused(registry: Path, spoil: Any, said: str) -> None:
    assert chosen().key == KEY
    spoil(registry)
    with pytest.raises(DeliveryError, match=said):
        chosen()


def test_a_farm_whose_name_leads_elsewhere_is_refused(registry: Path) -> None:
    with pytest.raises(DeliveryError, match="not a farm's name"):
        chosen("../hill")


@pytest.fixture
def deploying(cloud: Cloud, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    cloud.put("traffic.json", [{"revisionName": FORMER, "percent": 100}])
    cloud.put("address.json", "https://canary---windcast.test")
    cloud.put("requests.json", {REVISION: GOOD, FORMER: GOOD})
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(deploy, "release", functools.partial(canary.release, pause=lambda _: None))
    monkeypatch.setattr(deploy.signal, "signal", lambda *_: None)
    return cloud


def test_a_deployment_serves_the_promoted_bundle_from_a_folder_that_no_promotion_touches(
    deploying: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy.Smoke, "__call__", lambda *_: None)
    assert deploy.main(["release"]) == 0
    assert deploying.shares == {REVISION: 100}
    (made,) = (call for call in deploying.calls if call[:2] == ["run", "deploy"])
    assert f"--image=europe-west1-docker.pkg.dev/p/windcast/windcast-serve@sha256:{'ab' * 32}" in made
    assert any(word.startswith("--args=serve,--champion,hill,--registry,/models/releases/v2-77-1,") for word in made)
    kept = deploying.bucket("p-windcast-models/releases/v2-77-1") / FARM
    assert json.loads((kept / "champion.json").read_text())["key"] == KEY
    assert (kept / KEY / "bundle" / "manifest.json").is_file()


def test_a_deployment_of_what_was_not_promoted_makes_no_revision(deploying: Cloud, registry: Path) -> None:
    (registry / KEY / "20260101-060000" / "verdict.json").unlink()
    assert deploy.main(["release"]) == 1
    assert not any(call[:2] == ["run", "deploy"] for call in deploying.calls)
    assert deploying.shares == {FORMER: 100}


def test_a_deployment_that_does_not_answer_exits_with_1_and_the_former_revision_serves(
    deploying: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deploying.put("address.json", "http://127.0.0.1:1")
    monkeypatch.setattr(deploy, "Smoke", functools.partial(deploy.Smoke, patience=0.0))
    assert deploy.main(["release"]) == 1
    assert f"Back to {FORMER}" in capsys.readouterr().out
    assert deploying.shares == {FORMER: 100}


def test_the_way_back_of_a_killed_release_is_known_to_the_next_step(
    deploying: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploying.put("traffic.json", [{"revisionName": FORMER, "percent": 90}, {"revisionName": REVISION, "percent": 10}])
    assert deploy.main(["back"]) == 0  # nothing was begun
    assert len(deploying.shares) == 2
    deploy.FORMER.write_text(FORMER)
    assert deploy.main(["back"]) == 0
    assert deploying.shares == {FORMER: 100}


def test_without_its_variables_nothing_is_asked_of_the_cloud(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(deploy.signal, "signal", lambda *_: None)
    assert deploy.main(["release"]) == 1
    assert cloud.calls == []
