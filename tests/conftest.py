"""Small bundles of one simulated farm and an MLflow database that is ready, copied for every test."""

import shutil
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
    "backtest.train_every_hours=3",
    "task.horizon=6",
    "task.history=12",
    "task.levels=19",
    "threads=1",
    "calibration=none",
    "tracking=none",
)
GBM = (*SMALL, "model=gbm", "model.rounds=20", "model.max_rows=2000")


def trained(folder: Path, *overrides: str, until: datetime | None = UNTIL) -> Bundle:
    return jobs.train(settings(list(overrides)), folder, until=until)


@pytest.fixture(scope="session")
def gbm(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return trained(tmp_path_factory.mktemp("gbm") / "bundle", *GBM)


@pytest.fixture(scope="session")
def curve(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Better than persistence and climatology, worse than gbm."""
    return trained(tmp_path_factory.mktemp("curve") / "bundle", *SMALL, "model=power_curve")


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
