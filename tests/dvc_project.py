"""A user's project folder: a farm's files, git and DVC, each run as its command."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import yaml

from windcast.data import sources

ABSENT = [name for name in ("dvc",) if find_spec(name) is None]
PATIENCE = 240  # seconds for one command; what asks a server that is not there must not wait for ever
REASON = "DVC is not installed: pip install 'windcast[dvc]'"
MODEL = ("task.horizon=2", "task.levels=9", "model=gbm", "model.rounds=3", "model.max_rows=500", "threads=1")
PLAN = ("backtest.issue_every_hours=6", "backtest.against=[climatology]")
STAGES = ("prepare", "backtest", "train", "report")


@dataclass(frozen=True)
class Project:
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str) -> str:
        """Standard output; the command must succeed."""
        own = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.folder.parent / "site"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "300",
        }
        environment = {**os.environ, **own, **self.environment}
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, env=environment, timeout=PATIENCE
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def dvc(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def windcast(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "windcast", *arguments)

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def repro(self) -> list[str]:
        """`dvc repro`, and the stages that it ran."""
        out = self.dvc("repro")
        return [stage for stage in STAGES if f"Running stage '{stage}'" in out]


def started(folder: Path) -> Project:
    """An empty folder with git and DVC."""
    folder.mkdir()
    project = Project(folder)
    project.run("git", "init", "--quiet")
    project.run("git", "config", "user.name", "somebody")
    project.run("git", "config", "user.email", "somebody@example.org")
    project.dvc("init", "--quiet")
    return project


def write_farm(folder: Path, *, days: int = 20) -> None:
    """power.csv, weather.csv and farm.yaml of a simulated farm."""
    farm = sources.load("simulation", {"days": days, "run_horizon_hours": 12})
    stamp = pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    farm.power.with_columns(stamp).write_csv(folder / "power.csv")
    farm.weather.with_columns(stamp).write_csv(folder / "weather.csv")
    mapped = {
        "name": "hill",
        "capacity_mw": farm.capacity_mw,
        "power": {"file": "power.csv", "time": "time", "column": "power_mw", "unit": "MW"},
        "weather": {
            "file": "weather.csv",
            "issue_time": "available_at",
            "valid_time": "valid_time",
            "variables": {"wind_speed_100m": {"column": "wind_speed_100m", "unit": "m/s"}},
        },
    }
    (folder / "farm.yaml").write_text(yaml.safe_dump(mapped))
