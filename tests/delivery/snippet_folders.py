"""What a page starts from: `<!-- start from: NAME -->`."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import yaml
from snippets import ROOT

from windcast.configs import settings
from windcast.data.sources import load
from windcast.workflows import jobs

STAMP = "%Y-%m-%d %H:%M"
FARM = {
    "name": "hill",
    "capacity_mw": 21,
    "time_zone": "Europe/Copenhagen",
    "power": {"file": "power.csv", "time": "Tid", "column": "P_kW", "unit": "kW"},
    "weather": {
        "file": "weather.csv",
        "time_zone": "UTC",
        "valid_time": "valid",
        "issue_time": "issued",
        "delay_minutes": 180,
        "variables": {
            "wind_speed_100m": {"column": "ws", "unit": "m/s"},
            "wind_direction_100m": {"column": "wd", "unit": "degrees"},
        },
    },
}


def nothing(folder: Path) -> None:
    """An empty folder."""
    folder.mkdir()


def repository(folder: Path) -> None:
    """A copy of the repository, as a fresh checkout has it; `make` finds its virtual environment made."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def farm(folder: Path) -> None:
    """Two files of a farm named hill: power by a clock in Copenhagen, weather runs by UTC; and what arrives later."""
    folder.mkdir(exist_ok=True)
    made = load("simulation", {"days": 120})
    local = pl.col("time").dt.convert_time_zone("Europe/Copenhagen").dt.strftime(STAMP)
    made.power.select(Tid=local, P_kW=(pl.col("power_mw") * 1000).round(1)).write_csv(folder / "power.csv")
    runs = made.weather.with_columns(issued=pl.col("available_at") - timedelta(hours=3))
    runs.select(
        valid=pl.col("valid_time").dt.strftime(STAMP),
        issued=pl.col("issued").dt.strftime(STAMP),
        ws=pl.col("wind_speed_100m").round(2),
        wd=pl.col("wind_direction_100m").round(1),
    ).write_csv(folder / "weather.csv")
    _arriving(folder)


def _arriving(folder: Path) -> None:
    """A day of power and one weather run, as they would be sent this hour."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = np.arange(-30, 49)
    times = pl.Series([f"{now + timedelta(hours=int(h)):%Y-%m-%dT%H:%MZ}" for h in hours])
    wind = 9 + 4 * np.sin(hours / 8)
    power = pl.DataFrame({"time": times, "power_mw": np.clip(2.2 * (wind - 4), 0, 20).round(2)})
    power.filter(pl.Series((hours > -24) & (hours <= 0))).write_csv(folder / "new-values.csv")
    pl.DataFrame({"valid_time": times, "wind_speed_100m": wind.round(2), "wind_direction_100m": 240.0}).write_csv(
        folder / "run.csv"
    )


def farm_with_a_bundle(folder: Path) -> None:
    """The farm, its description, and a small bundle of it in my-bundle."""
    farm(folder)
    described = folder / "farm.yaml"
    described.write_text(yaml.safe_dump(FARM), encoding="utf-8")
    chosen = [
        "data=files",
        f"data.config={described}",
        "model=power_curve",
        "calibration=none",
        "task.horizon=24",
        "tracking=none",
    ]
    jobs.train(settings(chosen), folder / "my-bundle")


def repository_with_a_farm(folder: Path) -> None:
    """Both of them in one folder."""
    repository(folder)
    farm(folder)


FOLDERS = {
    "": nothing,
    "repository": repository,
    "repository with a farm": repository_with_a_farm,
    "farm": farm,
    "farm with a bundle": farm_with_a_bundle,
}
