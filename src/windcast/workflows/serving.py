"""The service as the command line starts it: which bundles, which address, which store, which clock."""

import os
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windcast.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from windcast.serving.settings import ServiceSettings
    from windcast.serving.shelf import Served
    from windcast.serving.state import Service

DEMO = Path("demo") / "bundle"
DEMO_DAYS = 14.0
EXTRA = ("fastapi", "uvicorn", "sqlalchemy", "prometheus_client", "orjson")

Progress = Callable[[str, int, int], None]


def settings_of(
    bundles: Sequence[Path], *, store: str | None, champions: Sequence[str] = (), **options: Any
) -> "ServiceSettings":
    """Raises ConfigError without the extra, and BundleError where no bundle is given and the demo has made none."""
    require_extra()
    from windcast.serving.settings import ServiceSettings

    named = bool(bundles or champions)
    if not named and not DEMO.is_dir():
        raise BundleError(f"{DEMO}: is not there. Run `windcast demo` first, or name a bundle: windcast serve BUNDLE.")
    chosen = store or os.environ.get("WINDCAST_STORE") or ("windcast.db" if named else str(DEMO.with_name("live.db")))
    return ServiceSettings(
        bundles=tuple(bundles) if named else (DEMO,), champions=tuple(champions), store=chosen, **options
    )


def require_extra() -> None:
    """Raises ConfigError, with what to install, where the service's packages are missing."""
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise ConfigError(f"the service needs {', '.join(missing)}. Install it with `pip install 'windcast[serve]'`.")


def address(settings: "ServiceSettings") -> socket.socket:
    """The service's address, taken. Raises ConfigError where it cannot be had."""
    from windcast.serving.listening import listen

    return listen(settings)


def opened(
    settings: "ServiceSettings", *, demo: bool = False, history: float = 0, on_progress: Progress = lambda *_: None
) -> "Service":
    """The service, its store filled from the bundles' own data for `history` days if that is asked for.

    The demo's clock stands at the end of its data and runs on from there.
    """
    from windcast.serving.app import open_service

    clock = Clock()
    service = open_service(settings, now=clock)
    if demo or history:
        _fill(service, history or DEMO_DAYS, clock if demo else None, on_progress)
    return service


def _fill(service: "Service", days: float, clock: "Clock | None", on_progress: Progress) -> None:
    from windcast.configs import farm_of
    from windcast.serving.history import fill, last_issue

    for served in service.shelf.served.values():
        data = farm_of(_described(served))
        if clock is not None:
            clock.set(last_issue(data, served.bundle.forecaster.task.horizon))
        for record in service.store.farms(limit=100_000):
            if record.bundle == served.name:
                fill(service, record.name, data, days=days, on_progress=partial(on_progress, "issuing"))


def _described(served: "Served") -> dict[str, Any]:
    """The data that a bundle was trained on. Raises ConfigError where their description is not there."""
    data: dict[str, Any] = served.bundle.manifest["config"].get("data", {})
    config = data.get("config")
    if data.get("source") == "files" and config and not Path(config).expanduser().is_file():
        raise ConfigError(
            f"bundle '{served.name}' was trained on the files that {config} describes, and there is no such file in "
            f"{Path.cwd()}. Start the service in the folder where the bundle was trained, or without --history."
        )
    return data


def run(service: "Service", *, taken: socket.socket, on_ready: Callable[[str], None]) -> None:
    """Serves at the address taken until told to stop."""
    from windcast.serving.app import serve

    serve(service, taken=taken, on_ready=on_ready)


class Clock:
    """The time, or another time that runs on from when it was set."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def set(self, time: datetime) -> None:
        self.ahead = time - datetime.now(UTC)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead
