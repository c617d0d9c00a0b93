"""The PatchTST of tsai 1.0.1 and of neuralforecast 3.3 on Klim, hourly, from power alone, and windcast's beside them.

The same windows for all: 104 hours of power in, leads 1 to 48 h out, the last 20 % of the data as the test. The same
architecture where speed is compared, on two threads, all in turn in one run so that the ratio holds on a busy machine.
The peers are no dependencies of windcast. To run this: `pip install torch==2.13.0`, then
`pip install tsai==1.0.1 neuralforecast==3.3.0` and `pip install -e ".[deep]"`.
"""

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from statistics import median
from typing import Any

import numpy as np
from measure import Measurement

from windcast.data.sources import klim
from windcast.data.task import ForecastTask
from windcast.data.windows import Windows, build_windows
from windcast.errors import ConfigError, SourceError
from windcast.models.base import build

DATA = "Klim, hourly power alone, test 2002-06-18 to 2003-04-30"
SPEED = "Klim, hourly power alone, same architecture, two threads"
HISTORY, HORIZON, THREADS = 104, 48, 2
LEADS = (1, 6, 24)
LAYERS, HEADS, WIDTH, FEEDFORWARD, PATCH, STRIDE, DROPOUT = 3, 4, 16, 128, 24, 2, 0.3
ENOUGH = 16.2  # % of capacity, mean over the leads
CHECK_EVERY, MOST_STEPS = 10, 1000  # training steps of neuralforecast
ROUNDS = 3
OWN: dict[str, Any] = {"name": "patchtst", "threads": THREADS}  # windcast's best from power alone
OWN_ALIKE = OWN | {  # and in the architecture of the peers
    "inputs": ["power"],
    "depth": LAYERS,
    "heads": HEADS,
    "width": WIDTH,
    "feedforward": FEEDFORWARD,
    "patch": PATCH,
    "stride": STRIDE,
    "dropout": DROPOUT,
    "holdout": 0.0,
    "missing_share": 0.0,
    "learning_rate": 0.001,
    "epochs": 1,
}


@dataclass(frozen=True)
class Split:
    """Windows, and for the peers contexts [N, 104] without gaps and targets [N, 48], as shares of capacity."""

    train: Windows
    test: Windows

    @classmethod
    def load(cls) -> "Split":
        farm = klim.load()
        farm = replace(farm, weather=farm.weather.select("valid_time", "available_at").clear())
        task = ForecastTask(
            horizon=HORIZON, history=HISTORY, resolution=timedelta(hours=1), capacity_mw=klim.CAPACITY_MW
        )
        windows = build_windows(farm, task)
        cut = np.datetime64(klim.VALIDATION_END.replace(tzinfo=None), "us")
        whole = np.arange(len(windows)) >= HISTORY
        last = windows.valid_times[:, -1]
        return cls(
            train=windows.take(whole & (last <= cut)),
            test=windows.take((windows.issue_times > cut) & (last <= windows.issue_times[-1])),
        )

    def nmae(self, shares: np.ndarray) -> np.ndarray:
        """[48] % of capacity, for point forecasts [N, 48] of the test as shares of capacity."""
        errors = np.abs(np.clip(shares, 0, 1) - self.test.target / klim.CAPACITY_MW)
        return 100 * np.nanmean(errors, axis=0)


def contexts(windows: Windows) -> np.ndarray:
    """[N, 104] shares of capacity; gaps filled linearly, from what the window itself knows."""
    steps = np.arange(windows.power.shape[1])
    filled = np.zeros(windows.power.shape, np.float32)
    for row, power in zip(filled, windows.power, strict=True):
        known = np.isfinite(power)
        if known.any():
            row[:] = np.interp(steps, steps[known], power[known])
    return filled / np.float32(klim.CAPACITY_MW)


# ---- tsai ----


def tsai_learner(inputs: np.ndarray, target: np.ndarray, held: int, *, batch: int, seed: int = 1) -> Any:
    """tsai's forecaster as windcast began with it; inputs [N, C, L], target [N, C, H], the last `held` to validate."""
    from tsai.models.PatchTST import PatchTST
    from tsai.tslearner import TSForecaster

    rows = list(range(len(inputs)))
    return TSForecaster(
        inputs,
        target,
        splits=(rows[:-held], rows[-held:]),
        arch=PatchTST,
        arch_config={
            "n_layers": LAYERS,
            "n_heads": HEADS,
            "d_model": WIDTH,
            "d_ff": FEEDFORWARD,
            "patch_len": PATCH,
            "stride": STRIDE,
            "dropout": DROPOUT,
        },
        batch_size=batch,
        seed=seed,
    )


def tsai_fit(split: Split, *, batch: int, epochs: int, most: int | None = None) -> tuple[Any, float]:
    """The learner, and seconds of training."""
    known = np.flatnonzero(np.isfinite(split.train.target).all(axis=1))[:most]
    train = split.train.take(known)
    target = train.target[:, None] / np.float32(klim.CAPACITY_MW)
    learner = tsai_learner(
        contexts(train)[:, None], target, max(1, len(train) // 10) if most is None else 1, batch=batch
    )
    start = time.perf_counter()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs, 0.0025)
    return learner, time.perf_counter() - start


def tsai_points(learner: Any, windows: Windows) -> np.ndarray:
    return in_parts(lambda rows: learner.model.eval()(rows[:, None])[:, 0], windows)


# ---- neuralforecast ----


def neuralforecast_fit(
    split: Split, *, batch: int, steps: int, watch: Callable[[Any, float], bool] | None = None
) -> Any:
    """The network after some steps; its other settings are neuralforecast's own, the loss its default, absolute error.

    watch: told the network and the seconds of training, its own aside, every CHECK_EVERY steps; True ends the training.
    """
    import pandas as pd
    from neuralforecast import NeuralForecast
    from neuralforecast.models import PatchTST
    from pytorch_lightning import Callback

    class Watch(Callback):
        def on_train_start(self, *_: Any) -> None:
            self.start = time.perf_counter()

        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            if watch is None or trainer.global_step % CHECK_EVERY:
                return
            paused = time.perf_counter()
            trainer.should_stop = watch(module, paused - self.start)
            self.start += time.perf_counter() - paused

    network = PatchTST(
        h=HORIZON,
        input_size=HISTORY,
        encoder_layers=LAYERS,
        n_heads=HEADS,
        hidden_size=WIDTH,
        linear_hidden_size=FEEDFORWARD,
        patch_len=PATCH,
        stride=STRIDE,
        dropout=DROPOUT,
        learning_rate=0.001,
        windows_batch_size=batch,
        batch_size=1,
        max_steps=steps,
        val_check_steps=steps,
        callbacks=[Watch()],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    power, times = split.train.power[:, -1], split.train.issue_times
    known = np.isfinite(power)
    filled = np.interp(np.arange(len(power)), np.flatnonzero(known), power[known]) / klim.CAPACITY_MW
    NeuralForecast(models=[network], freq="h").fit(pd.DataFrame({"unique_id": "klim", "ds": times, "y": filled}))
    return network


def neuralforecast_points(network: Any, windows: Windows) -> np.ndarray:
    return in_parts(lambda rows: network.eval()({"insample_y": rows[..., None]})[..., 0], windows)


def in_parts(points: Callable[[Any], Any], windows: Windows) -> np.ndarray:
    import torch

    with torch.inference_mode():
        return torch.cat([points(part) for part in torch.from_numpy(contexts(windows)).split(1024)]).numpy()


# ---- windcast ----


def own_fit(split: Split, config: dict[str, Any], *, most: int | None = None) -> tuple[Any, float]:
    """windcast's network on the same windows, and seconds from nothing to a forecaster that is ready."""
    train = split.train if most is None else split.train.take(slice(0, most))
    forecaster = build(config)
    start = time.perf_counter()
    forecaster.fit(train)
    return forecaster, time.perf_counter() - start


# ---- what is measured ----


def run() -> list[Measurement]:
    split = Split.load()
    try:
        import neuralforecast  # noqa: F401
        import torch
        import tsai  # noqa: F401
    except ImportError as error:
        raise SourceError(f"the peers are not installed ({error}); the top of benchmarks/peers.py says how.") from None
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(THREADS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [*accuracy(split), *speed(split)]


def accuracy(split: Split) -> list[Measurement]:
    learner, tsai_seconds = tsai_fit(split, batch=16, epochs=5)
    of_tsai = split.nmae(tsai_points(learner, split.test))
    reached: list[tuple[float, float]] = []

    def enough(network: Any, seconds: float) -> bool:
        mean = split.nmae(neuralforecast_points(network, split.test)).mean()
        network.train()
        reached.append((float(mean), seconds))
        return False

    network = neuralforecast_fit(split, batch=128, steps=MOST_STEPS, watch=enough)
    of_neuralforecast = split.nmae(neuralforecast_points(network, split.test))
    until = next((seconds for mean, seconds in reached if mean <= ENOUGH), float("nan"))
    rows = [
        *_by_lead("tsai", of_tsai),
        *_by_lead("neuralforecast", of_neuralforecast),
        _row("training of tsai, 5 epochs", tsai_seconds, "s", SPEED),
        _row("training of neuralforecast, all steps", reached[-1][1], "s", SPEED),
        _row(f"training of neuralforecast to a mean NMAE of {ENOUGH} %", until, "s", SPEED),
    ]
    return rows + own_accuracy(split, np.minimum(of_tsai, of_neuralforecast), until)


def own_accuracy(split: Split, best: np.ndarray, until: float) -> list[Measurement]:
    """windcast beside the better peer: NMAE `best` [48] by lead, and the seconds in which ENOUGH was reached."""
    try:
        forecaster, seconds = own_fit(split, OWN)
    except ConfigError as error:
        print(f"windcast's own is left out: {error}")
        return []
    of_own = split.nmae(forecaster.predict(split.test).median / klim.CAPACITY_MW)
    return [
        *_by_lead("windcast", of_own, best),
        _row("leads at which a peer is better", float((of_own >= best).sum()), "leads", DATA, target=0),
        _row("NMAE of windcast, mean, for time to accuracy", of_own.mean(), "% of capacity", DATA, target=ENOUGH),
        _row("training of windcast, share of neuralforecast's", seconds / until, "ratio", SPEED, target=0.2),
    ]


def speed(split: Split) -> list[Measurement]:
    """Samples a second in training, from the time of twice the samples less that of once: start-up cancels out."""
    contenders: dict[str, Callable[[int, int], float]] = {
        "tsai": lambda batch, samples: tsai_fit(split, batch=batch, epochs=1, most=samples + 1)[1],
        "neuralforecast": lambda batch, samples: _neuralforecast_seconds(split, batch, samples),
        "windcast": lambda batch, samples: own_fit(split, OWN_ALIKE | {"batch": batch}, most=samples)[1],
    }
    rows = []
    for batch, samples in ((16, 1600), (128, 2560)):
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for name in list(contenders):
            try:
                contenders[name](batch, 2 * batch)  # warm
            except ConfigError as error:
                print(f"{name} is left out: {error}")
                del contenders[name]
        for _ in range(ROUNDS):
            for name, seconds in contenders.items():
                rates[name].append(samples / (seconds(batch, 2 * samples) - seconds(batch, samples)))
        rows += [
            _row(f"training of {name}, batch {batch}", median(rates[name]), "samples/s", SPEED) for name in contenders
        ]
        if "windcast" in contenders:
            faster = np.maximum(rates["tsai"], rates["neuralforecast"])
            ratio = float(np.median(np.array(rates["windcast"]) / faster))
            held: dict[str, Any] = {"target": 1.8, "aim": 3.0} if batch == 16 else {}
            rows.append(_row(f"windcast / faster peer, batch {batch}", ratio, "ratio", SPEED, better="higher", **held))
    return rows


def _neuralforecast_seconds(split: Split, batch: int, samples: int) -> float:
    start = time.perf_counter()
    neuralforecast_fit(split, batch=batch, steps=samples // batch)
    return time.perf_counter() - start


def _by_lead(name: str, nmae: np.ndarray, best: np.ndarray | None = None) -> list[Measurement]:
    """best: what must not be exceeded."""
    rows = [
        _row(
            f"NMAE of {name}, {lead} h", nmae[lead - 1], "% of capacity", DATA, None if best is None else best[lead - 1]
        )
        for lead in LEADS
    ]
    held = None if best is None else 16.0
    return [*rows, _row(f"NMAE of {name}, mean of 1 to {HORIZON} h", nmae.mean(), "% of capacity", DATA, held)]


def _row(
    name: str,
    value: float,
    unit: str,
    data: str,
    target: float | None = None,
    aim: float | None = None,
    better: Any = "lower",
) -> Measurement:
    return Measurement(
        name=name,
        value=float(value),
        unit=unit,
        target=None if target is None else float(target),
        aim=aim,
        better=better,
        data=data,
    )
