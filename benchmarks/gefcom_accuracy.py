"""GEFCom2014 wind track, tasks 4 to 12, competition protocol: each month of each zone, fitted on all before it.

Hyperparameters were chosen on the trial tasks 1 to 3.
"""

from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta

import numpy as np
from measure import Measurement

from windcast.configs import Settings, settings
from windcast.data.sources import gefcom2014
from windcast.data.windows import build_windows
from windcast.evaluation.backtest import Plan, issue_times, training_windows
from windcast.models.base import build

DATA = "GEFCom2014 tasks 4 to 12"
DAY = timedelta(days=1)
BENCHMARK = 0.0877  # published mean of the official benchmark over tasks 4 to 12
TASKS = range(4, 13)


def run() -> list[Measurement]:
    with ProcessPoolExecutor() as workers:
        chosen = [settings(["data=gefcom2014", f"data.zone={zone}", "threads=1"]) for zone in gefcom2014.ZONES]
        zones = list(workers.map(_zone, chosen))
    losses = {name: {k: [zone[name][k] for zone in zones] for k in TASKS} for name in zones[0]}
    by_task = {name: {k: _pooled(parts) for k, parts in months.items()} for name, months in losses.items()}
    rows = [
        _row(f"{name}, mean of tasks 4 to 12", float(np.mean(list(months.values()))), *_bar(name))
        for name, months in by_task.items()
    ]
    rows += [_row(f"pool, task {number}", value, None) for number, value in by_task["pool"].items()]
    climatology = float(np.mean(list(by_task["climatology"].values())))
    rows.append(_row("climatology, distance to the official benchmark", abs(climatology - BENCHMARK), 2e-4))
    return rows


def _zone(chosen: Settings) -> dict[str, dict[int, tuple[float, int]]]:
    """Model -> task -> (sum of losses, number of hours) of one zone, on one thread."""
    farm = chosen.farm()
    task = chosen.task(farm)
    losses: dict[str, dict[int, tuple[float, int]]] = {}
    for number in TASKS:
        opening, closing = gefcom2014.task_span(number)
        lessons = training_windows(farm, task, Plan(start=opening, issue_every=DAY, train_every=DAY), opening)
        ahead = build_windows(farm, task, issue_times(opening, closing - DAY, every=DAY))
        pool = build(chosen.document["model"]).fit(lessons)
        models = {"climatology": build({"name": "climatology"}).fit(lessons), **pool.members, "pool": pool}
        for name, model in models.items():
            values = model.predict(ahead.without_target()).values
            losses.setdefault(name, {})[number] = _pinball(values, ahead.target, task.levels)
    return losses


def _bar(name: str) -> tuple[float | None, float | None]:
    return (0.0366, 0.0360) if name == "pool" else (None, None)


def _pinball(values, target, levels) -> tuple[float, int]:
    """Sum over known hours of the pinball loss averaged over levels, and the number of those hours."""
    error = target[..., None] - values
    loss = np.maximum(np.array(levels) * error, (np.array(levels) - 1) * error).mean(axis=-1)
    return float(np.nansum(loss)), int(np.isfinite(loss).sum())


def _pooled(parts) -> float:
    return sum(p[0] for p in parts) / sum(p[1] for p in parts)


def _row(name, value, target, aim=None) -> Measurement:
    return Measurement(name=name, value=value, unit="pinball", target=target, aim=aim, data=DATA)
