"""Training with Lightning: pinball loss, one cycle of the learning rate, early stopping, checkpoints that resume.

Everything random follows from the seed and the epoch, so that a training that was killed and resumed at its last epoch
ends with the bits of one that ran through (on the CPU, with the same number of threads).
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from windcast.errors import TaskError
from windcast.models.deep.network import Quantiles, Shape, build
from windcast.models.deep.probing import find_rate, profiled
from windcast.models.deep.steps import Batches, Lesson, optimizer_of, pinball
from windcast.models.deep.watching import Bar, epoch_ended

Floats = NDArray[np.float32]

WARM_UP = 0.2  # share of the steps in which the learning rate rises
LAST_RATE = 1e-3  # of the greatest, at the end
MOST_NORM = 1.0  # of the gradient
WORTH_THREADS = 3e8  # parameters times windows in a batch
LAST = "last.ckpt"


class Training(LightningModule):
    """A network on its way through the epochs. `curve` [epochs, 2]: training and tail loss, NaN if unknown."""

    def __init__(self, network: Quantiles, config: Any, batches: Batches, *, seed: int, rate: float) -> None:
        super().__init__()
        self.network, self.config, self.seed, self.rate = network, config, seed, rate
        self.batches = batches
        self.losses: list[Tensor] = []
        self.register_buffer("curve", torch.full((config.epochs, 2), torch.nan))

    def setup(self, stage: str) -> None:  # noqa: ARG002  Lightning names it
        self.batches.share(self.global_rank, self.trainer.world_size)

    def on_train_start(self) -> None:
        self.batches.to(self.device)

    def on_train_epoch_start(self) -> None:
        self.batches.epoch = self.current_epoch
        torch.manual_seed(1_000_003 * self.seed + self.current_epoch + 7919 * self.global_rank)
        self.losses = []

    def training_step(self, batch: dict[str, Tensor], _number: int) -> Tensor:
        loss = pinball(self.network, batch)
        self.losses.append(loss.detach())
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = optimizer_of(self.network, self.config, self.rate)
        steps = max(self.config.epochs * len(self.batches), 2)
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            self.rate,
            total_steps=steps,
            pct_start=max(WARM_UP, 1.5 / steps),  # no rise within a single step
            cycle_momentum=False,
            final_div_factor=1 / LAST_RATE / 25,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


class Best(Callback):
    """After every epoch the loss on the tail; stops when it has not fallen for some epochs, and keeps the best weights.

    Without a tail it keeps the last. Its memory lies in the checkpoints.
    """

    def __init__(self, tail: Lesson | None, patience: int, bar: Bar) -> None:
        self.batches = None if tail is None else Batches(tail, 4096, seed=None)
        self.patience, self.bar = patience, bar
        self.least, self.waited = float("inf"), 0
        self.weights: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"least": self.least, "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.least, self.waited, self.weights = state_dict["least"], state_dict["waited"], state_dict["weights"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.batches is not None:
            self.batches.to(pl_module.device)
        trainer.should_stop = self.waited >= self.patience

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            self.bar.step(trainer.global_step, trainer.estimated_stepping_batches)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        learned = torch.stack(pl_module.losses).mean()
        held = self._loss(pl_module)
        pl_module.curve[trainer.current_epoch] = torch.stack([learned, held])
        loss = float(held) if self.batches is not None else -trainer.current_epoch
        self.waited = 0 if loss < self.least else self.waited + 1
        if loss < self.least:
            self.least = loss
            self.weights = {name: value.detach().clone() for name, value in pl_module.network.state_dict().items()}
        if self.batches is not None and self.waited >= self.patience:
            trainer.should_stop = True
        if trainer.is_global_zero:
            self.bar.epoch(trainer.current_epoch + 1, trainer.max_epochs, float(learned), float(held))
            epoch_ended(trainer.current_epoch, pl_module.network)

    def _loss(self, module: LightningModule) -> Tensor:
        if self.batches is None:
            return torch.tensor(torch.nan)
        module.network.eval()
        with torch.no_grad():
            losses = [(pinball(module.network, batch), len(batch["target"])) for batch in self.batches]
        module.network.train()
        return sum(loss * count for loss, count in losses) / sum(count for _, count in losses)

    def on_train_end(self, _trainer: Trainer, pl_module: LightningModule) -> None:
        if self.weights:
            pl_module.network.load_state_dict(self.weights)


@dataclass(frozen=True)
class Trained:
    """networks, one a seed, in evaluation mode. curves: a seed's losses by epoch. rate: of learning, as used."""

    networks: list[Quantiles]
    curves: list[list[list[float | None]]]
    rate: float
    profile: str = ""


def learn(
    lesson: Lesson,
    tail: Lesson | None,
    shape: Shape,
    unit: Floats,
    config: Any,
    folder: Path | None,
    *,
    begin: list[Quantiles] | None = None,
) -> Trained:
    """Trains `config.seeds` networks one after the other.

    folder: of this very training's checkpoints, from which it goes on if they are there; None keeps none.
    begin: networks to go on from, one a seed, trained in place; None begins anew.
    """
    networks, curves, profile = [], [], ""
    with torch.random.fork_rng(devices=()), _threads(begin[0] if begin else build(shape, config, unit), config):
        rate = config.learning_rate or find_rate(lesson, shape, unit, config)
        for number in range(config.seeds):
            seed = config.seed + 1009 * number
            torch.manual_seed(seed)
            network = begin[number].train() if begin else build(shape, config, unit)
            if config.profile and not number:
                profile = profiled(lesson, network, config)
            place = None if folder is None else folder / f"seed-{number}"
            curve = _one(network, lesson, tail, config, seed=seed, rate=rate, folder=place, title=f"seed {number + 1}")
            networks.append(network.eval())
            curves.append([[None if np.isnan(v) else v for v in row] for row in curve.tolist()])
    return Trained(networks, curves, rate, profile)


def _one(
    network: Quantiles,
    lesson: Lesson,
    tail: Lesson | None,
    config: Any,
    *,
    seed: int,
    rate: float,
    folder: Path | None,
    title: str,
) -> Tensor:
    """Trains the network in place and returns its curve [epochs reached, 2]."""
    done = None if folder is None else folder / "done.safetensors"
    if done is not None and done.is_file():
        stored = load_file(done)
        curve = stored.pop("curve")
        network.load_state_dict(stored)
        return curve
    module = Training(network, config, Batches(lesson, config.batch, seed=seed), seed=seed, rate=rate)
    with Bar(f"{config.network}, {title}") as bar, TemporaryDirectory() as scratch, _quiet():
        trainer = _trainer(config, Best(tail, config.patience, bar), folder, scratch)
        last = None if folder is None or not (folder / LAST).is_file() else folder / LAST
        trainer.fit(module, module.batches, ckpt_path=last, weights_only=True)
    network.cpu()
    if not all(bool(torch.isfinite(value).all()) for value in network.parameters()):
        raise TaskError(
            f"the training went astray at a learning rate of {rate:g}. Choose a smaller model.learning_rate."
        )
    curve = module.curve.detach().cpu()
    curve = curve[torch.isfinite(curve[:, 0])]
    if done is not None:
        part = done.with_suffix(".part")
        save_file(network.state_dict() | {"curve": curve}, part)
        part.replace(done)
    return curve


def _trainer(config: Any, best: Best, folder: Path | None, scratch: str) -> Trainer:
    callbacks: list[Callback] = [best]
    if folder is not None:
        name = LAST.removesuffix(".ckpt")
        callbacks.append(ModelCheckpoint(folder, name, enable_version_counter=False, save_on_train_epoch_end=True))
    return Trainer(
        **where(config, gpus=torch.cuda.device_count()),
        max_epochs=config.epochs,
        gradient_clip_val=MOST_NORM,
        callbacks=callbacks,
        default_root_dir=scratch,
        logger=False,
        enable_checkpointing=folder is not None,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def where(config: Any, *, gpus: int) -> dict[str, Any]:
    """Trainer options: the CPU in full precision; GPUs, if asked for and there, in mixed precision and in parallel."""
    if config.device == "cpu" or not gpus:
        return {"accelerator": "cpu", "devices": 1, "precision": "32-true"}
    return {
        "accelerator": "gpu",
        "devices": gpus,
        "precision": "bf16-mixed",
        "strategy": "ddp_fork" if gpus > 1 else "auto",
    }


@contextmanager
def _threads(network: Quantiles, config: Any) -> Iterator[None]:
    """As many as asked for; but a small network's threads would only wait for one another."""
    work = config.batch * sum(value.numel() for value in network.parameters())
    before = torch.get_num_threads()
    torch.set_num_threads(1 if work < WORTH_THREADS else config.threads or os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's advice is for its own loaders and loggers, which are not used here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
