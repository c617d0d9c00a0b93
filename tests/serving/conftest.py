"""A small farm, its bundle, and services that forecast it: in this process, and listening on a port."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue

import pytest
from databases import empty_url, postgres, store, store_url  # noqa: F401 (fixtures)
from starlette.testclient import TestClient

from windcast.configs import settings
from windcast.data.farm import FarmData
from windcast.registry.bundles import Bundle
from windcast.serving import keys
from windcast.serving.app import create_app, open_service, serve
from windcast.serving.history import fill, last_issue
from windcast.serving.settings import ServiceSettings
from windcast.serving.state import Service
from windcast.workflows import jobs
from windcast.workflows.serving import Clock

SMALL = (
    "data=simulation",
    "data.days=40",
    "backtest.issue_every_hours=3",
    "backtest.against=[persistence]",
    "task.horizon=6",
    "task.history=12",
    "task.levels=19",
    "model=gbm",
    "model.rounds=6",
    "model.max_rows=2000",
    "threads=1",
    "calibration.rate=0.02",
)
FARM = "simulation"


@pytest.fixture(scope="session")
def farm() -> FarmData:
    return settings(SMALL).farm()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """With the scores and the ladder of its backtest."""
    folder = tmp_path_factory.mktemp("bundles")
    run = jobs.run_backtest(settings(SMALL), folder / "run", command="windcast backtest …")
    return jobs.keep(run, folder / "small")


@pytest.fixture(scope="session")
def end(farm: FarmData, bundle: Bundle) -> datetime:
    """Where the farm's story stands: weather is known for the hours to come."""
    return last_issue(farm, bundle.forecaster.task.horizon)


class Running:
    """A service in this process with a clock of the test's own."""

    def __init__(self, service: Service, clock: Clock, client: TestClient) -> None:
        self.service, self.clock, self.client = service, clock, client


Start = Callable[..., Running]


@pytest.fixture
def start(bundle: Bundle, end: datetime, tmp_path: Path) -> Iterator[Start]:
    """Starts a service on a fresh store; keyword arguments go to its settings."""
    stops = []

    def started(**options: object) -> Running:
        clock = Clock()
        clock.set(end)
        chosen = {"bundles": (bundle.folder,), "store": str(tmp_path / "live.db"), **options}
        service = open_service(ServiceSettings(**chosen), now=clock)  # type: ignore[arg-type]
        client = TestClient(create_app(service), raise_server_exceptions=False)
        client.__enter__()
        stops.append(client)
        return Running(service, clock, client)

    yield started
    for client in stops:
        client.__exit__(None, None, None)


@pytest.fixture
def running(start: Start) -> Running:
    return start()


@pytest.fixture
def filled(start: Start, farm: FarmData) -> Running:
    """A service whose store holds the farm's last days and the forecasts issued in them."""
    running = start()
    fill(running.service, FARM, farm, days=4)
    return running


@contextmanager
def listening(service: Service) -> Iterator[str]:
    """The address at which a service listens, in a thread of its own."""
    addresses: Queue[str] = Queue()
    servers: Queue[object] = Queue()
    thread = threading.Thread(
        target=serve, args=(service,), kwargs={"on_ready": addresses.put, "on_start": servers.put}
    )
    thread.start()
    server = servers.get(timeout=20)
    try:
        yield addresses.get(timeout=20).rstrip("/")
    finally:
        server.should_exit = True  # type: ignore[attr-defined]
        thread.join(timeout=30)


def story(bundle: Bundle, farm: FarmData, end: datetime, folder: Path, **options: object) -> Service:
    """A service with a farm's last days in its store."""
    clock = Clock()
    clock.set(end)
    chosen = ServiceSettings(bundles=(bundle.folder,), store=str(folder / "live.db"), port=0, **options)  # type: ignore[arg-type]
    service = open_service(chosen, now=clock)
    fill(service, FARM, farm, days=4)
    return service


@pytest.fixture(scope="session")
def page_url(bundle: Bundle, farm: FarmData, end: datetime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a listening service with a forecast and scores."""
    with listening(story(bundle, farm, end, tmp_path_factory.mktemp("page"))) as address:
        yield address


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="session")
def page_key(key_file: Path) -> str:
    """A key that may read and write."""
    return keys.add(key_file, "everything", farms=["*"], scopes=("read", "write"))


@pytest.fixture(scope="session")
def page_key_url(
    bundle: Bundle,
    farm: FarmData,
    end: datetime,
    key_file: Path,
    page_key: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """As page_url, with API keys on."""
    with listening(story(bundle, farm, end, tmp_path_factory.mktemp("keyed"), keys=key_file)) as address:
        yield address


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
