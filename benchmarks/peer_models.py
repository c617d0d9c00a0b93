"""The PatchTST of tsai and of neuralforecast on Klim from power alone: their windows, training and point forecasts."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np

from windcast.data.sources import klim
from windcast.data.task import ForecastTask
from windcast.data.windows import Windows, build_windows

HISTORY, HORIZON = 104, 48
LAYERS, HEADS, WIDTH, FEEDFORWARD, PATCH, STRIDE, DROPOUT = 3, 4, 16, 128, 24, 2, 0.3
CHECK_EVERY = 10  # training steps of neuralforecast


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
    fitted = NeuralForecast(models=[network], freq="h")
    fitted.fit(pd.DataFrame({"unique_id": "klim", "ds": times, "y": filled}))
    return fitted.models[0]  # it trains a copy


def neuralforecast_points(network: Any, windows: Windows) -> np.ndarray:
    return in_parts(lambda rows: network.eval()({"insample_y": rows[..., None]})[..., 0], windows)


def in_parts(points: Callable[[Any], Any], windows: Windows) -> np.ndarray:
    import torch

    with torch.inference_mode():
        return torch.cat([points(part) for part in torch.from_numpy(contexts(windows)).split(1024)]).numpy()
