"""LightGBM, as windcast uses it: reproducible, silent, and kept on disk as LightGBM's own text."""

import threading
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from windcast.errors import ConfigError

Floats = NDArray[np.floating]

COMMON = {"verbose": -1, "deterministic": True, "force_col_wise": True}


def dataset(inputs: Floats, target: Floats, settings: dict[str, Any], threads: int) -> Any:
    """Binned once, for many boosters. inputs [N, F], target [N]."""
    binning = COMMON | {"num_threads": threads, "max_bin": settings.get("max_bin", 255)}
    binning["min_data_in_leaf"] = settings.get("min_data_in_leaf", 20)
    return lgb.Dataset(inputs, target, params=binning, free_raw_data=True).construct()


def boost(data: Any, settings: dict[str, Any], *, rounds: int, seed: int, threads: int) -> Any:
    """A fitted booster over an already binned data set; the same bits for the same seed and thread count.

    Raises ConfigError for settings that LightGBM refuses.
    """
    try:
        return lgb.train(COMMON | {"num_threads": threads, "seed": seed} | settings, data, num_boost_round=rounds)
    except lgb.basic.LightGBMError as error:
        raise ConfigError(f"LightGBM refuses the model's settings: {error}.") from None


def grow(inputs: Floats, target: Floats, settings: dict[str, Any], *, rounds: int, seed: int, threads: int) -> Any:
    """A fitted booster. inputs [N, F], target [N]."""
    return boost(dataset(inputs, target, settings, threads), settings, rounds=rounds, seed=seed, threads=threads)


def predict(booster: Any, inputs: Floats, threads: int) -> NDArray[np.float32]:
    """[N] for inputs [N, F]."""
    out: NDArray[np.float32] = booster.predict(inputs, num_threads=_shared(threads)).astype(np.float32)
    return out


def leaves(booster: Any, inputs: Floats, threads: int) -> NDArray[np.int32]:
    """[N, trees] leaf of every row in every tree."""
    out: NDArray[np.int32] = booster.predict(inputs, pred_leaf=True, num_threads=_shared(threads)).astype(np.int32)
    return out.reshape(len(inputs), -1)


def _shared(threads: int) -> int:
    """One thread within a worker thread: the workers have the cores already."""
    return threads if threading.current_thread() is threading.main_thread() else 1


SEPARATOR = "\n=== next booster ===\n"


def save(file: Path, boosters: list[Any]) -> None:
    file.write_text(SEPARATOR.join(booster.model_to_string() for booster in boosters))


def load(file: Path) -> list[Any]:
    """Raises ValueError if the file is broken, OSError if it cannot be read."""
    texts = file.read_text().split(SEPARATOR)
    # LightGBM itself crashes the process on a text that is cut off
    if not all(text.startswith("tree\n") and "\nend of parameters\n" in text for text in texts):
        raise ValueError(f"{file.name} is not complete")
    try:
        return [lgb.Booster(model_str=text) for text in texts]
    except lgb.basic.LightGBMError as error:
        raise ValueError(f"{file.name} is broken: {error}") from None
