"""A sweep over the neural forecaster: judged after every epoch, and pruned between epochs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("optuna", reason="optuna comes with windcast[sweep]")
pytest.importorskip("torch", reason="torch comes with windcast[deep]")
pytest.importorskip("lightning", reason="lightning comes with windcast[deep]")
pytest.importorskip("onnxruntime", reason="onnxruntime comes with windcast[deep]")
from windcast.configs import settings
from windcast.models.base import build
from windcast.models.deep import watching
from windcast.models.patchtst import PatchTST
from windcast.workflows import sweep_scoring, sweep_study, sweeping

NETWORK = (
    "data=simulation",
    "data.days=24",
    "task.horizon=3",
    "task.levels=5",
    "task.history=8",
    "backtest.issue_every_hours=2",
    "model=patchtst",
    "model.network=mlp",
    "model.hidden=[8]",
    "model.epochs=4",
    "model.seeds=2",
    "model.batch=64",
    "threads=1",
)


@pytest.fixture(scope="module")
def course() -> sweep_scoring.Course:
    return sweep_scoring.Course.of(settings(NETWORK), share=0.3)


def test_the_first_network_is_judged_after_each_of_its_epochs(course: sweep_scoring.Course) -> None:
    told: list[tuple[int, float]] = []
    alone = course.score({"model.seeds": 1}, lambda epoch, score: told.append((epoch, score)))
    assert [epoch for epoch, _ in told] == [0, 1, 2, 3]
    assert told[-1][1] == pytest.approx(alone, rel=1e-3), "the last epoch's network is the one that forecasts"
    assert told[0][1] > told[-1][1]
    of_two: list[int] = []
    course.score({"model.seeds": 2}, lambda epoch, score: of_two.append(epoch))
    assert of_two == [0, 1, 2, 3]


@pytest.mark.parametrize("network", ["mlp", "patchtst"])
def test_being_watched_changes_no_bit_of_a_training(network: str, course: sweep_scoring.Course) -> None:
    lessons, ahead = course._windows(settings(NETWORK))
    config = course.document["model"] | {"network": network, "width": 8, "heads": 2, "depth": 1, "feedforward": 8}
    alone = build(config).fit(lessons)
    forecaster = build(config)
    with watching.watched(sweep_scoring._Halfway(forecaster, ahead, lambda *_: None)):
        forecaster.fit(lessons)
    assert isinstance(alone, PatchTST)
    assert isinstance(forecaster, PatchTST)
    assert forecaster.weights == alone.weights
    assert forecaster.curves == alone.curves


def test_what_a_watcher_raises_ends_the_training_and_the_watching(course: sweep_scoring.Course) -> None:
    def prune(epoch: int, score: float) -> None:
        assert epoch == 0, "the training went on"
        raise sweep_study.Pruned

    with pytest.raises(sweep_study.Pruned):
        course.score({}, prune)
    epochs: list[Any] = []
    with watching.watched(lambda epoch, network: epochs.append(network.training)):
        course.score({"model.epochs": 2, "model.seeds": 1}, lambda *_: None)
    watching.epoch_ended(0, None)
    assert epochs == [], "the innermost watcher is the one that is told"


def test_a_network_that_learns_too_slowly_is_pruned(tmp_path: Path) -> None:
    dropped = ("decay", "dropout", "noise", "depth", "width", "feedforward", "epochs", "batch")
    search = (
        *(f"sweep.space.model.{key}=null" for key in dropped),
        "sweep.space.model.learning_rate=[0.00001,0.005,0.01,0.02]",
        "sweep.trials=10",
        "sweep.sampler=random",
    )
    sweep = sweeping.begin([*NETWORK, *search], folder=tmp_path / "s", command="")
    trials, _ = sweeping.run(sweep)
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        last = max(trial.curve)
        assert 1 <= last < 3, "not in the first epoch, which warms up, and not when it is over"
        others = [one.curve[last] for one in trials[: trial.number] if one.state == "complete"]
        assert min(trial.curve.values()) > np.median(others)
    assert all(np.isfinite(list(trial.curve.values())).all() for trial in trials)
