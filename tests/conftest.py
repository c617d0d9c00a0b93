"""Small bundles of one simulated farm and an MLflow database that is ready, copied for every test."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from windcast.configs import settings
from windcast.registry.bundles import Bundle
from windcast.workflows import jobs

UNTIL = datetime(2020, 2, 20, tzinfo=UTC)
SMALL = (
    "data=simulation",
    "data.days=100",
    "backtest.issue_every_hours=3",
    "task.horizon=6",
    "task.history=12",
    "task.levels=19",
    "threads=1",
    "calibration=none",
    "tracking=none",
)


Trained = Callable[..., Bundle]


@pytest.fixture(scope="session")
def trained() -> Trained:
    """Trains on the farm with these overrides."""

    def training(folder: Path, *overrides: str, until: datetime | None = UNTIL) -> Bundle:
        replaced = {one.partition("=")[0] for one in overrides}
        kept = [one for one in SMALL if one.partition("=")[0] not in replaced]
        return jobs.train(settings([*kept, *overrides]), folder, until=until)

    return training


@pytest.fixture(scope="session")
def forest(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return trained(tmp_path_factory.mktemp("forest") / "bundle", "model=forest", "model.trees=20")


@pytest.fixture(scope="session")
def curve(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Better than persistence and climatology, worse than the forest."""
    return trained(tmp_path_factory.mktemp("curve") / "bundle", "model=power_curve")


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to make one."""
    from windcast.registry.champions import Champions

    folder = tmp_path_factory.mktemp("database")
    Champions("another", folder / "registry").champion()
    return folder / "mlflow.db"


@pytest.fixture
def runs(tmp_path: Path, database: Path) -> Path:
    """A folder of runs with an empty registry's database."""
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copy2(database, folder / "mlflow.db")
    return folder
