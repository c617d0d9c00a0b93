"""The smoke test asks the real service, and is not content with less than the bundle's own forecast."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from clouds import ROOT

pytest.importorskip("fastapi", reason="windcast[serve] is not installed")

# isort: split
import smoke
from gcloud import DeliveryError
from smoke import Smoke

SMALL = (
    "data=simulation",
    "data.days=40",
    "task.horizon=6",
    "task.history=12",
    "task.levels=19",
    "model=power_curve",
    "threads=1",
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Smoke]]:
    """A service, with keys, of a registry's champion; its address and the smoke test that it should pass."""
    import uvicorn

    from windcast.configs import settings
    from windcast.registry.bundles import MANIFEST, sha256
    from windcast.registry.pointer import Pointer
    from windcast.serving import keys
    from windcast.serving.app import create_app, open_service
    from windcast.serving.settings import ServiceSettings
    from windcast.workflows import jobs

    folder = tmp_path_factory.mktemp("smoke")
    registry, key = folder / "registry", "0" * 16
    bundle = registry / "simulation" / key / "bundle"
    jobs.train(settings(SMALL), bundle)
    checksum = sha256(bundle / MANIFEST)
    Pointer(farm="simulation", version=1, key=key, checksum=checksum, moved="").write(registry)
    token = keys.add(folder / "keys.json", "smoke", farms=["*"], scopes=["read"])
    given = ServiceSettings(
        bundles=(),
        champions=("simulation",),
        registry=registry,
        store=str(folder / "store.db"),
        keys=folder / "keys.json",
    )
    taken = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(open_service(given)), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
    thread.start()
    yield f"http://127.0.0.1:{taken.getsockname()[1]}", Smoke("simulation", checksum, key=token, patience=20)
    server.should_exit = True
    thread.join()


def test_the_service_of_the_promoted_bundle_passes(served: tuple[str, Smoke]) -> None:
    address, passes = served
    passes(address)


def test_another_bundle_fails(served: tuple[str, Smoke]) -> None:
    address, passes = served
    with pytest.raises(DeliveryError, match=r"serves bundle .*, not 000"):
        replace(passes, checksum="0" * 64)(address)


def test_without_a_key_it_fails(served: tuple[str, Smoke]) -> None:
    address, passes = served
    with pytest.raises(DeliveryError, match="answers 401"):
        replace(passes, key="")(address)


def test_a_service_that_is_not_there_fails_when_patience_ends() -> None:
    with pytest.raises(DeliveryError, match="does not answer"):
        Smoke("hill", "", patience=0)("http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[1.0, 2.0]], ""),
        ([], "0 leads"),
        ([[2.0, 1.0]], "cross"),
        ([[1.0, 99.0]], "leaves"),
        ([[-1.0, 2.0]], "leaves"),
    ],
)
def test_a_forecast_that_cannot_be_one_is_wrong(rows: list[list[float]], said: str) -> None:
    assert said in smoke.wrong_with({"quantiles_mw": rows}, horizon=1, capacity_mw=10)
    assert bool(said) == bool(smoke.wrong_with({"quantiles_mw": rows}, horizon=1, capacity_mw=10))


def test_the_smoke_test_needs_nothing_of_windcast() -> None:
    for name in ("smoke", "deploy", "canary", "cloudrun", "promoted", "gcloud", "training"):
        assert "import windcast" not in (ROOT / "scripts" / "delivery" / f"{name}.py").read_text()
        assert "from windcast" not in (ROOT / "scripts" / "delivery" / f"{name}.py").read_text()
