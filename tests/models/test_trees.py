"""LightGBM's boosters joined into one, and kept on disk with no more than a forecast needs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from windcast.models import trees
from windcast.models.booster import Booster

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(400, 5)).astype(np.float32)
INPUTS[RNG.random(INPUTS.shape) < 0.1] = np.nan
TARGET = (np.nan_to_num(INPUTS[:, 0]) + RNG.normal(size=400)).astype(np.float32)
SETTINGS = {"objective": "quantile", "num_leaves": 7, "min_data_in_leaf": 20}


def boosters(*, rounds: tuple[int, ...]) -> list[Any]:
    data = trees.dataset(INPUTS, TARGET, SETTINGS, 1)
    levels = np.linspace(0.1, 0.9, len(rounds))
    pairs = zip(levels, rounds, strict=True)
    return [trees.boost(data, SETTINGS | {"alpha": a}, rounds=n, seed=1, threads=1) for a, n in pairs]


def apart(members: list[Any]) -> np.ndarray:
    return np.stack([trees.predict(member, INPUTS, 1) for member in members], axis=-1)


@pytest.mark.parametrize("rounds", [(9, 9, 9), (9, 4, 1), (2,)])
def test_joined_boosters_predict_what_they_predict_apart_even_where_one_stopped_early(rounds: tuple[int, ...]) -> None:
    members = boosters(rounds=rounds)
    joined = trees.predict(trees.join(members), INPUTS, 1).reshape(len(INPUTS), -1)
    np.testing.assert_array_equal(joined, apart(members))


def test_a_saved_booster_is_half_as_long_and_gives_the_same_values_and_leaves(tmp_path: Path) -> None:
    joined = trees.join(boosters(rounds=(9, 9)))
    trees.save(tmp_path / "joined.txt", joined)
    loaded = trees.load(tmp_path / "joined.txt")
    np.testing.assert_array_equal(trees.predict(loaded, INPUTS, 1), trees.predict(joined, INPUTS, 1))
    np.testing.assert_array_equal(trees.leaves(loaded, INPUTS, 1), trees.leaves(joined, INPUTS, 1))
    assert trees.text(loaded) == trees.text(joined) == (tmp_path / "joined.txt").read_text()
    assert len(trees.text(joined)) < 0.7 * len(joined.model_to_string())


def test_boosters_that_lie_in_a_file_one_after_the_other_are_joined(tmp_path: Path) -> None:
    """As bundles of format 1 have them."""
    members = boosters(rounds=(5, 3))
    (tmp_path / "two.txt").write_text(trees.SEPARATOR.join(member.model_to_string() for member in members))
    np.testing.assert_array_equal(trees.predict(trees.load(tmp_path / "two.txt"), INPUTS, 1), apart(members))


def test_a_booster_answers_as_lightgbms_own_package_does_to_the_bit() -> None:
    grown = boosters(rounds=(9,))[0]
    booster = Booster(grown.model_to_string())
    wide = np.asfortranarray(INPUTS, np.float64)
    for inputs in (INPUTS, wide, INPUTS[:1]):
        np.testing.assert_array_equal(booster.predict(inputs, num_threads=1), grown.predict(inputs, num_threads=1))
        leaves = [each.predict(inputs, num_threads=1, pred_leaf=True) for each in (booster, grown)]
        np.testing.assert_array_equal(leaves[0].reshape(leaves[1].shape), leaves[1])
    assert booster.num_trees() == grown.num_trees() == 9


def test_a_booster_refuses_rows_of_other_features() -> None:
    with pytest.raises(ValueError, match="number of features"):
        Booster(boosters(rounds=(2,))[0].model_to_string()).predict(INPUTS[:, :3], num_threads=1)


def test_a_booster_of_a_longer_text_than_usual_gives_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    booster = trees.join(boosters(rounds=(9, 9)))
    whole = booster.model_to_string()
    monkeypatch.setattr("windcast.models.booster.ROOM", 100)
    assert booster.model_to_string() == whole
    assert whole.rstrip().endswith("end of parameters")
