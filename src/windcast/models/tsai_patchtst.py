"""The system that windcast began with: PatchTST of tsai 1.0.1 with the settings it had then (extra `tsai`).

It sees the power history alone: tsai's PatchTST forecasts every channel from its own past, so weather in another
channel would tell it nothing. It is a point forecast, trained on squared error by fastai's Learner as tsai's own
learners are; its quantiles are those of its own errors, by lead, on the end of the training span, which it does not
learn from. They are as wide on a calm day as in a storm: that, and the weather, is what the other models add.

Gaps in power are filled as they were then, linearly; before the first and after the last known value that value holds.
Where a window knows no power at all the forecast is climatology.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windcast.data.windows import Windows
from windcast.errors import ConfigError, TaskError
from windcast.models import arrays
from windcast.models.base import Array, Forecaster
from windcast.models.climatology import Climatology
from windcast.models.training import nothing_known

WEIGHTS = "weights.safetensors"
INSTALL = "pip install torch==2.13.0, then pip install 'windcast[tsai]'"
GRID = 2.0**-20  # of a standard deviation: rounds off the last bits, which in BLAS vary with the batch
AT_ONCE = 256  # windows that pass through the network together


@dataclass(frozen=True)
class TsaiPatchTSTConfig:
    """history: steps of power that the network sees, filled up where the task has fewer. holdout: share of the training
    span at its end that gives the quantiles. The horizon is the task's; it was 60 days then.
    """

    history: int = 104
    layers: int = 3
    heads: int = 4
    d_model: int = 16
    d_ff: int = 128
    patch: int = 24
    stride: int = 2
    dropout: float = 0.3
    max_learning_rate: float = 0.0025
    epochs: int = 5
    batch: int = 16
    holdout: float = 0.1
    seed: int = 1
    threads: int = 0

    def __post_init__(self) -> None:
        for key in ("layers", "heads", "d_model", "d_ff", "patch", "stride", "epochs", "batch"):
            if getattr(self, key) < 1:
                raise ConfigError(f"model.{key} is {getattr(self, key)}; it must be at least 1.")
        if self.d_model % self.heads:
            raise ConfigError(f"model.d_model is {self.d_model}; it must be a multiple of model.heads, {self.heads}.")
        if self.history < self.patch:
            raise ConfigError(f"model.history is {self.history}; it must hold a patch of {self.patch} steps.")
        if not 0 <= self.dropout < 1 or not 0 < self.holdout < 1:
            raise ConfigError("model.dropout must be at least 0, model.holdout above 0, and both below 1.")


class TsaiPatchTST(Forecaster):
    name = "tsai_patchtst"
    Config = TsaiPatchTSTConfig
    network: Any  # tsai.models.PatchTST, in double precision
    mean_mw: float
    spread_mw: float
    errors: Array  # [H, Q] MW: quantiles of the truth less the point forecast
    fallback: Climatology

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self._alone = Lock()

    def _fit(self, windows: Windows) -> None:
        target = np.where(windows.free, windows.target, np.nan)
        unknown = np.flatnonzero(~np.isfinite(target).any(axis=0)) + 1
        if len(unknown):
            raise TaskError(nothing_known(unknown))
        self.fallback = Climatology().fit(windows)
        self.mean_mw, self.spread_mw = float(np.nanmean(target)), max(float(np.nanstd(target)), 1e-6)
        learned, held = _split(windows, target, self.config.holdout)
        contexts, units = self._contexts(windows.power), ((target - self.mean_mw) / self.spread_mw).astype(np.float32)
        self.network = _train(contexts[learned], units[learned], self.config)
        errors = target[held] - self._points(windows.power[held])
        self.errors = np.nanquantile(errors.astype(np.float64), self.task.levels, axis=0).T.astype(np.float32)

    def _predict(self, windows: Windows) -> Array:
        known = np.isfinite(windows.power[:, -self.config.history :]).any(axis=1)
        values = np.empty((len(windows), *self.errors.shape), np.float32)
        values[~known] = self.fallback.quantiles
        values[known] = self._points(windows.power[known])[..., None] + self.errors
        return values

    def _points(self, power: Array) -> Array:
        """[B, H] MW for power [B, L]; a row's bits do not depend on the rows beside it."""
        import torch

        out = np.empty((len(power), self.task.horizon))
        contexts = torch.from_numpy(self._contexts(power)).double()
        for start in range(0, len(power), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            # the network keeps each window's mean between its first layer and its last: one batch at a time
            with torch.inference_mode(), self._alone:
                out[rows] = self.network(contexts[rows, None])[:, 0].numpy()
        points: Array = (self.mean_mw + self.spread_mw * GRID * np.rint(out / GRID)).astype(np.float32)
        return points

    def _contexts(self, power: Array) -> Array:
        """[B, history] in standard units, filled, for power [B, L] MW."""
        history = self.config.history
        late = power[:, -history:]
        filled = np.full((len(power), history), self.mean_mw, np.float32)
        for row, values in zip(filled, late, strict=True):
            known = np.flatnonzero(np.isfinite(values))
            if len(known):
                row[:] = np.interp(np.arange(history), known + history - len(values), values[known])
        return (filled - np.float32(self.mean_mw)) / np.float32(self.spread_mw)

    def _save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        weights = {name: value.float().numpy() for name, value in self.network.state_dict().items()}
        save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, folder / WEIGHTS)
        arrays.save(folder, errors=self.errors, scale=np.array([self.mean_mw, self.spread_mw]))
        self.fallback.save(folder / "fallback")

    def _load(self, folder: Path) -> None:
        _architecture()  # says so where tsai is not installed
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        stored = arrays.load(folder)
        self.errors = stored["errors"]
        self.mean_mw, self.spread_mw = map(float, stored["scale"])
        self.fallback = Climatology.read(folder / "fallback")
        network = _untrained(self.config, self.task.horizon)
        try:
            network.load_state_dict(load_file(folder / WEIGHTS))
        except (SafetensorError, RuntimeError) as error:
            raise ValueError(f"{WEIGHTS} does not fit: {error}") from None
        self.network = network.double().eval()


def _split(windows: Windows, target: Array, holdout: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to learn from, and later ones whose errors are measured; both are all rows where that leaves a gap.

    The targets of the first lie before the issue times of the second.
    """
    known = np.isfinite(target)
    cut = int((1 - holdout) * len(windows))
    before = windows.valid_times[:, -1] <= windows.issue_times[min(cut, len(windows) - 1)]
    learned, held = np.flatnonzero(before), np.arange(cut, len(windows))
    if known[learned].any(axis=1).sum() < 2 or not known[held].any(axis=0).all():
        learned = held = np.arange(len(windows))
    return learned[known[learned].any(axis=1)], held


def _architecture() -> Any:
    """tsai's class. Raises ConfigError where tsai is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tsai and fastai warn of their own dependencies
        try:
            from tsai.models.PatchTST import PatchTST
        except ImportError as error:
            raise ConfigError(f"model 'tsai_patchtst' needs tsai 1.0.1 ({error}): {INSTALL}.") from None
    return PatchTST


def _untrained(config: TsaiPatchTSTConfig, horizon: int) -> Any:
    return _architecture()(
        c_in=1,
        c_out=1,
        seq_len=config.history,
        pred_dim=horizon,
        n_layers=config.layers,
        n_heads=config.heads,
        d_model=config.d_model,
        d_ff=config.d_ff,
        dropout=config.dropout,
        patch_len=config.patch,
        stride=config.stride,
    )


def _train(contexts: Array, target: Array, config: TsaiPatchTSTConfig) -> Any:
    """The network after one cycle over contexts [N, history] and targets [N, H], NaN where unknown."""
    _architecture()  # says so where tsai is not installed
    import torch
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import fastai.callback.schedule  # noqa: F401 (gives Learner its fit_one_cycle)
        from fastai.basics import DataLoaders, Learner, TrainEvalCallback

        with _seeded(config):
            network = _untrained(config, target.shape[1])
            lessons = TensorDataset(torch.from_numpy(contexts[:, None]), torch.from_numpy(target[:, None]))
            order = BatchSampler(RandomSampler(lessons), min(config.batch, len(lessons)), drop_last=True)
            loaders = DataLoaders(DataLoader(lessons, sampler=order, batch_size=None), [], device=torch.device("cpu"))
            learner = Learner(loaders, network, _squared_error, default_cbs=False, cbs=TrainEvalCallback)
            with learner.no_mbar():
                learner.fit_one_cycle(config.epochs, lr_max=config.max_learning_rate)
    return network.double().eval()


@contextmanager
def _seeded(config: TsaiPatchTSTConfig) -> Iterator[None]:
    """PyTorch's random numbers from the seed, and its threads as configured; both as before afterwards."""
    import torch

    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _squared_error(forecast: Any, target: Any) -> Any:
    """Mean over what is known."""
    known = ~target.isnan()
    return ((forecast - target.nan_to_num()) * known).square().sum() / known.sum().clamp(min=1)
