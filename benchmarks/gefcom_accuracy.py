"""GEFCom2014 wind track, tasks 4 to 12, competition protocol: each month of each zone, fitted on all before it.

A network that all ten zones share, a forest a zone, and the pool of both. The network is trained before the first task
and goes on from month to month. Hyperparameters were chosen on the trial tasks 1 to 3. Without PyTorch, the pool of
`model=weather` stands in: trees and a small network of each zone's own.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context

import numpy as np
import polars as pl
from measure import Measurement

from windcast.configs import Settings, settings
from windcast.data.sources import gefcom2014, published
from windcast.data.windows import build_windows
from windcast.evaluation.backtest import Plan, issue_times, training_windows
from windcast.models import quantiles
from windcast.models.base import build
from windcast.models.shared import Shared, SharedConfig

TASKS = range(4, 13)
DAY = timedelta(days=1)
BENCHMARK = 0.0877  # published mean of the official benchmark over tasks 4 to 12
LEADERBOARD, WINNER = "gefcom2014/leaderboard_tasks_1_to_12.csv", "kPower"
BARS = {"network": (0.0366, None), "pool": (0.0360, 0.0352)}
POOL_OF_TREES = (0.0366, 0.0360)
FOREST, NETWORK = 0.5, 0.5  # weights in the pool

Values = np.ndarray  # of one zone and month: [days, 24, levels], or observed [days, 24]


def run(tasks: range = TASKS) -> list[Measurement]:
    """tasks: bars and the official benchmark are those of tasks 4 to 12; others are only reported."""
    deep = all(find_spec(name) for name in ("torch", "lightning", "onnx", "onnxruntime", "safetensors"))
    if not deep:
        print("gefcom_accuracy: windcast[deep] is not installed: no shared network, the pool is of trees alone.")
    chosen = [settings(["data=gefcom2014", f"data.zone={zone}", "threads=1"]) for zone in gefcom2014.ZONES]
    levels = np.array(chosen[0].task(chosen[0].farm()).levels)
    # not forked: Polars' threads would be missing in the children
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        network = workers.submit(_network, chosen, tasks) if deep else None
        zones = list(workers.map(partial(_zone, tasks=tasks, deep=deep), chosen))
        if network is not None:
            for (forecasts, _), values in zip(zones, network.result(), strict=True):
                forecasts["network"] = values
                members = [(forecasts["forest"][number], values[number]) for number in tasks]
                pooled = [quantiles.linear_pool(list(pair), np.array([FOREST, NETWORK]), levels) for pair in members]
                forecasts["pool"] = dict(zip(tasks, pooled, strict=True))
    return _rows(_scores(zones, levels), tasks, deep=deep)


def _zone(chosen: Settings, *, tasks: range, deep: bool) -> tuple[dict[str, dict[int, Values]], dict[int, Values]]:
    """Model -> task -> forecasts of one zone, and task -> observed, on one thread."""
    farm = chosen.farm()
    task, model = chosen.task(farm), chosen.document["model"]
    forecasts: dict[str, dict[int, Values]] = {}
    observed: dict[int, Values] = {}
    for number in tasks:
        lessons, ahead = _windows(farm, task, number)
        models = {"climatology": build({"name": "climatology"}).fit(lessons)}
        if deep:
            models["forest"] = build(model["members"]["forest"]).fit(lessons)
        else:
            pool = build(model).fit(lessons)
            models |= {**pool.members, "pool": pool}
        for name, one in models.items():
            forecasts.setdefault(name, {})[number] = one.predict(ahead.without_target()).values
        observed[number] = ahead.target
    return forecasts, observed


def _network(chosen: list[Settings], tasks: range) -> list[dict[int, Values]]:
    """Of each zone, task -> forecasts of the network that all share, on one thread."""
    farms = [one.farm() for one in chosen]
    jobs = [(farm, one.task(farm)) for farm, one in zip(farms, chosen, strict=True)]
    found: list[dict[int, Values]] = [{} for _ in jobs]
    forecasters: list[Shared] | None = None
    for number in tasks:
        lessons, ahead = zip(*(_windows(farm, task, number) for farm, task in jobs), strict=True)
        forecasters = Shared.fit_farms(lessons, SharedConfig(threads=1, device="cpu"), forecasters)
        for values, forecaster, windows in zip(found, forecasters, ahead, strict=True):
            values[number] = forecaster.predict(windows.without_target()).values
    return found


def _windows(farm, task, number):
    """Windows to learn from before a task's month, and those of its days, with what was then observed."""
    opening, closing = gefcom2014.task_span(number)
    lessons = training_windows(farm, task, Plan(start=opening, issue_every=DAY, train_every=DAY), opening)
    return lessons, build_windows(farm, task, issue_times(opening, closing - DAY, every=DAY))


def _scores(zones, levels) -> dict[str, dict[int, float]]:
    """Model -> task -> pinball loss, mean over all zones' known hours and all levels."""
    found: dict[str, dict[int, float]] = {}
    for name, months in zones[0][0].items():
        for number in months:
            losses = [_pinball(forecasts[name][number], observed[number], levels) for forecasts, observed in zones]
            found.setdefault(name, {})[number] = float(np.nanmean(losses))
    return found


def _pinball(values, target, levels):
    error = target[..., None] - values
    return np.maximum(levels * error, (levels - 1) * error).mean(axis=-1)


def _rows(scores: dict[str, dict[int, float]], tasks: range, *, deep: bool) -> list[Measurement]:
    held, name = tasks == TASKS, f"tasks {tasks[0]} to {tasks[-1]}"
    bars = (BARS if deep else {"pool": POOL_OF_TREES}) if held else {}
    means = {model: float(np.mean(list(months.values()))) for model, months in scores.items()}

    def row(what, value, target=None, aim=None):
        return Measurement(name=what, value=value, unit="pinball", target=target, aim=aim, data=f"GEFCom2014 {name}")

    rows = [row(f"{model}, mean of {name}", mean, *bars.get(model, ())) for model, mean in means.items()]
    winner = _winner() if deep else {}
    rows += [row(f"pool, task {k} (winner's)", v, winner.get(k)) for k, v in scores["pool"].items()]
    if held:
        rows.append(row("climatology, distance to the official benchmark", abs(means["climatology"] - BENCHMARK), 2e-4))
    return rows


def _winner() -> dict[int, float]:
    """Task -> pinball loss of the competition's winner, who was first in each of tasks 4 to 12."""
    file = published.find(LEADERBOARD)
    if file is None:
        return {}
    row = pl.read_csv(file).row(by_predicate=pl.col("team") == WINNER, named=True)
    return {int(key.removeprefix("Task")): value for key, value in row.items() if key.startswith("Task")}


if __name__ == "__main__":
    from bench import show

    show("gefcom_accuracy", run(range(int(sys.argv[1]), int(sys.argv[2]) + 1)))
