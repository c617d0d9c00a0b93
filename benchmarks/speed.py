"""Speed of what a user waits for. Each figure is the best of a few tries, on an otherwise idle machine."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import Measurement

from windcast.configs import settings
from windcast.data.windows import build_windows
from windcast.evaluation.backtest import training_windows
from windcast.models.base import build


def run() -> list[Measurement]:
    rows = [
        _row("import windcast", _command("-c", "import windcast"), 0.3, "whole process"),
        _row("python alone", _command("-c", "pass"), None, "whole process, for comparison"),
        _row("windcast --help", _command("-m", "windcast", "--help"), 0.5, "whole process"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        demo = _command("-m", "windcast", "demo", "--out", str(Path(folder) / "demo"), tries=1)
    rows.append(_row("windcast demo", demo, 90, "La Haute Borne"))

    default = settings([])
    farm = default.farm()
    task, plan = default.task(farm), default.plan(farm)
    year = farm.times[(farm.times >= np.datetime64("2015-01-01")) & (farm.times < np.datetime64("2016-01-01"))]
    model = build(default.forecaster()).fit(training_windows(farm, task, plan, plan.start))
    windows, ahead = _best(lambda: build_windows(farm, task, year))
    predicting, _ = _best(lambda: model.predict(ahead))
    data = f"La Haute Borne, {len(year):,} issue times × {task.horizon} leads"
    rows.append(_row("windows and prediction of a year", windows + predicting, 5, data))
    rows.append(_row("… of which windows", windows, None, data))
    rows.append(_row("… of which prediction", predicting, None, data))
    for name, part in {"pool": model.model, **model.model.members}.items():
        rows.append(_row(f"… {name} alone", _best(lambda part=part: part.predict(ahead), tries=1)[0], None, data))
    rows.append(_row("memory read of those windows", _copy(ahead), None, "one copy, the floor for windows"))
    try:
        rows += _klim()
    except Exception as error:  # the other figures stand without Klim
        print(f"Klim left out: {error}")
    return rows


def _klim() -> list[Measurement]:
    chosen = settings(["data=klim"])
    farm = chosen.farm()
    task, plan = chosen.task(farm), chosen.plan(farm)
    windows, _ = _best(lambda: build_windows(farm, task))
    lessons = training_windows(farm, task, plan, plan.start)
    training, _ = _best(lambda: build(chosen.forecaster()).fit(lessons), tries=1)
    return [
        _row("all windows of Klim", windows, 1, f"{len(farm.times):,} issue times"),
        _row("training the default Klim model", training, 30, f"{len(lessons):,} issue times"),
    ]


def _command(*arguments: str, tries: int = 5) -> float:
    return _best(lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True), tries)[0]


def _best(action, tries: int = 3):
    seconds, out = float("inf"), None
    for _ in range(tries):
        began = time.perf_counter()
        out = action()
        seconds = min(seconds, time.perf_counter() - began)
    return seconds, out


def _copy(windows) -> float:
    return _best(lambda: (windows.weather.copy(), windows.weather_earlier.copy(), windows.power.copy()))[0]


def _row(name, value, target, data) -> Measurement:
    return Measurement(name=name, value=value, unit="s", target=target, data=data)
