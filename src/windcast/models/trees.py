"""LightGBM, as windcast uses it: reproducible, silent, and kept on disk as LightGBM's own text."""

import re
import threading
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windcast.errors import ConfigError
from windcast.models.booster import Booster

Floats = NDArray[np.floating]

WORTH_THREADS = 100_000  # rows times trees
COMMON = {"verbose": -1, "deterministic": True, "force_col_wise": True}


def dataset(inputs: Floats, target: Floats, settings: dict[str, Any], threads: int) -> Any:
    """Binned once, for many boosters. inputs [N, F], target [N]."""
    import lightgbm as lgb

    binning = COMMON | {"num_threads": threads, "max_bin": settings.get("max_bin", 255)}
    binning["min_data_in_leaf"] = settings.get("min_data_in_leaf", 20)
    return lgb.Dataset(inputs, target, params=binning, free_raw_data=True).construct()


def boost(data: Any, settings: dict[str, Any], *, rounds: int, seed: int, threads: int) -> Any:
    """A fitted booster over an already binned data set; the same bits for the same seed and thread count.

    Raises ConfigError for settings that LightGBM refuses.
    """
    import lightgbm as lgb

    try:
        return lgb.train(COMMON | {"num_threads": threads, "seed": seed} | settings, data, num_boost_round=rounds)
    except lgb.basic.LightGBMError as error:
        raise ConfigError(f"LightGBM refuses the model's settings: {error}.") from None


def grow(inputs: Floats, target: Floats, settings: dict[str, Any], *, rounds: int, seed: int, threads: int) -> Any:
    """A fitted booster. inputs [N, F], target [N]."""
    return boost(dataset(inputs, target, settings, threads), settings, rounds=rounds, seed=seed, threads=threads)


def predict(booster: Any, inputs: Floats, threads: int) -> NDArray[np.float32]:
    """[N] for inputs [N, F]; [N, K] of a booster that was joined from K."""
    threads = _worthwhile(booster, inputs, threads)
    out: NDArray[np.float32] = booster.predict(inputs, num_threads=threads).astype(np.float32)
    return out


def leaves(booster: Any, inputs: Floats, threads: int) -> NDArray[np.int32]:
    """[N, trees] leaf of every row in every tree."""
    threads = _worthwhile(booster, inputs, threads)
    out: NDArray[np.int32] = booster.predict(inputs, pred_leaf=True, num_threads=threads)
    return out.reshape(len(inputs), -1)


def distinct(table: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row [U] of every distinct row of [N, F], and which of them [N] each row is; equal to the bit."""
    words = np.ascontiguousarray(table, np.float32).view(np.uint32)
    odd = np.asarray(np.random.default_rng(0).integers(2**62, size=words.shape[1], dtype=np.uint64) * 2 + 1)
    mixed = np.einsum("nf,f->n", words, odd)  # in whole numbers, where sums that are too large wrap around
    _, first, which = np.unique(mixed, return_index=True, return_inverse=True)
    if not (words == words[first[which]]).all():  # two rows with one hash: keep all apart
        return np.arange(len(words)), np.arange(len(words))
    return first, which


def _worthwhile(booster: Any, inputs: Floats, threads: int) -> int:
    """One thread where there is little to do, and within a worker thread: the workers have the cores already."""
    little = len(inputs) * booster.num_trees() < WORTH_THREADS
    return 1 if little or threading.current_thread() is not threading.main_thread() else threads


def join(boosters: list[Any]) -> Any:
    """One booster that predicts [N, K], to the bit what K boosters over the same data set predict, in one call."""
    return Booster(_joined([booster.model_to_string() for booster in boosters]))


def save(file: Path, booster: Any) -> None:
    file.write_text(text(booster))


def text(booster: Any) -> str:
    """LightGBM's own, less what only training and inspection need, which is half of it."""
    return _text(*_parts(UNUSED.sub("", booster.model_to_string())))


def load(file: Path) -> Any:
    """Raises ValueError if the file is broken, OSError if it cannot be read."""
    texts = file.read_text().split(SEPARATOR)
    # LightGBM itself crashes the process on a text that is cut off
    if not all(text.startswith("tree\n") and "\nend of parameters\n" in text for text in texts):
        raise ValueError(f"{file.name} is not complete")
    try:
        return Booster(texts[0] if len(texts) == 1 else _joined(texts))
    except ValueError as error:
        raise ValueError(f"{file.name} is broken: {error}") from None


# ---- LightGBM's text: a head of `key=value` lines, trees, and a tail ----

SEPARATOR = "\n=== next booster ===\n"  # between boosters to be joined, in bundles of format 1
UNUSED = re.compile(r"^(?:split_gain|(?:leaf|internal)_(?:weight|count)|internal_value)=.*\n", re.MULTILINE)
NO_TREE = "num_leaves=1\nnum_cat=0\nleaf_value=0\nshrinkage=1"


def _parts(text: str) -> tuple[str, list[str], str]:
    """Head, trees without their numbers, and tail. Raises ValueError where there are none."""
    head, rest = text.split("\nTree=0\n", 1)
    grown, tail = rest.split("\nend of trees\n", 1)
    tail = tail[tail.index("\nparameters:\n") :]  # less the features' importances
    tail = tail.partition("\npandas_categorical:")[0]  # which only training writes
    head = "\n".join(line for line in head.rstrip().split("\n") if not line.startswith("tree_sizes="))
    return head, [tree.rstrip() for tree in re.split(r"\nTree=\d+\n", grown)], tail


def _text(head: str, grown: list[str], tail: str) -> str:
    blocks = [f"Tree={number}\n{tree}\n\n\n" for number, tree in enumerate(grown)]
    sizes = " ".join(str(len(block)) for block in blocks)  # with them LightGBM reads the trees in parallel
    return f"{head}\ntree_sizes={sizes}\n\n{''.join(blocks)}end of trees\n{tail}"


def _joined(texts: list[str]) -> str:
    """The text of a booster with a tree of every text in each round; one that stopped early adds nothing after."""
    heads, forests, tails = zip(*(_parts(text) for text in texts), strict=True)
    # without an objective the trees' sums come out as they are, as they do for the objectives that are joined
    lines = [line for line in heads[0].split("\n") if not line.startswith("objective=")]
    several = {f"{key}=1": f"{key}={len(texts)}" for key in ("num_class", "num_tree_per_iteration")}
    head = "\n".join(several.get(line, line) for line in lines)
    rounds = zip_longest(*forests, fillvalue=NO_TREE)
    return _text(head, [tree for trees in rounds for tree in trees], tails[0])
