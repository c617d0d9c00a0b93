"""Sweeps that run: what they judge by, how they end, and how they go on after anything that stops them."""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pytest
import yaml

from sweep_objectives import bowl, bowl_of, broken_of, dying_of, hang, slow_of
from test_cli import assert_refused, windcast
from windcast.configs import Settings, settings
from windcast.configs.sweeps import Search
from windcast.data.farm import FarmData
from windcast.errors import BundleError, ConfigError, TaskError

pytest.importorskip("optuna", reason="optuna comes with windcast[sweep]")
from windcast.workflows import sweep_results, sweep_scoring, sweep_study, sweeping
from windcast.workflows.sweep_results import Trial
from windcast.workflows.sweep_study import Study
from windcast.workflows.sweeping import Sweep, begin

SMALL = ("data=simulation", "data.days=24", "task.horizon=2", "task.levels=5", "backtest.issue_every_hours=3")
GBM = (*SMALL, "model=gbm", "model.max_rows=300", "model.knots=[0.1,0.5,0.9]", "threads=1", "sweep.trials=3")
SPACE = ("sweep.space.model.rounds={low:2,high:6}", "sweep.space.model.num_leaves={choices:[4,8]}")
DROPPED = ("learning_rate", "min_data_in_leaf", "feature_fraction", "bagging_fraction")
GBM = (*GBM, *SPACE, *(f"sweep.space.model.{key}=null" for key in DROPPED))
CURVE = (*SMALL, "model=gbm", *SPACE, *(f"sweep.space.model.{key}=null" for key in DROPPED), "sweep.trials=12")


def started(folder: Path, *overrides: str) -> Sweep:
    return begin(overrides, folder=folder, command="windcast sweep …")


def drawn(trials: list[Trial]) -> list[tuple[Any, ...]]:
    return [(*trial.values.values(), trial.state, trial.crps) for trial in trials]


def run(sweep: Sweep, **options: Any) -> list[Trial]:
    return sweeping.run(sweep, **({"objective_of": bowl_of} | options))[0]


# ---- what it judges by ----


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, list[Trial]]:
    sweep = started(tmp_path_factory.mktemp("swept") / "study", *GBM)
    return sweep, sweeping.run(sweep)[0]


def with_another_future(farm: FarmData, start: datetime) -> FarmData:
    """Every power and weather value that became known after `start`, changed."""
    late = pl.col("available_at") > start
    return replace(
        farm,
        power=farm.power.with_columns(
            pl.when(pl.col("time") > start)
            .then(farm.capacity_mw - pl.col("power_mw"))
            .otherwise(pl.col("power_mw"))
            .alias("power_mw")
        ),
        weather=farm.weather.with_columns(
            pl.when(late).then(pl.col(name) + 3).otherwise(pl.col(name)).alias(name)
            for name in farm.variables
            if name.startswith("wind_speed")
        ),
    )


def test_nothing_of_the_test_span_reaches_a_sweep(swept: tuple[Sweep, list[Trial]], tmp_path: Path) -> None:
    before, trials = swept
    farm = before.settings.farm()
    start = before.settings.plan(farm).start
    other = with_another_future(farm, start)
    assert other.checksum != farm.checksum
    with mock.patch.object(Settings, "farm", return_value=other):
        sweep = started(tmp_path / "study", *GBM)
        again = sweeping.run(sweep)[0]
        assert sweep.record.data_checksum == before.record.data_checksum
        assert begin((), folder=before.folder, command="").record == before.record
    assert drawn(again) == drawn(trials)


def test_the_last_days_before_the_test_do_reach_it(swept: tuple[Sweep, list[Trial]], tmp_path: Path) -> None:
    before, trials = swept
    farm = before.settings.farm()
    start = before.settings.plan(farm).start
    other = with_another_future(farm, start - timedelta(hours=3))
    with mock.patch.object(Settings, "farm", return_value=other):
        again = sweeping.run(started(tmp_path / "study", *GBM))[0]
        with pytest.raises(ConfigError, match=r"the data of simulation before 2020-01-19"):
            begin((), folder=before.folder, command="")
    scores = [trial.crps for trial in again]
    assert scores != [trial.crps for trial in trials]
    assert [trial.values for trial in again] == [trial.values for trial in trials]


def test_training_validation_and_test_lie_one_after_the_other(swept: tuple[Sweep, list[Trial]]) -> None:
    sweep, _ = swept
    course = sweep_scoring.Course.of(sweep.settings, share=0.2)
    lessons, ahead = course._windows(sweep.settings)
    validated = np.datetime64(course.spans.validated_from.replace(tzinfo=None), "us")
    tuned = np.datetime64(course.spans.tuned_until.replace(tzinfo=None), "us")
    learned = lessons.valid_times[np.isfinite(lessons.target)]
    assert learned.max() == validated
    assert ahead.valid_times.min() > learned.max()
    assert ahead.valid_times.max() <= tuned
    assert sweep.record.spans["tuned_until"] == sweep.settings.plan(sweep.settings.farm()).start.isoformat()
    assert (tuned - validated) / (tuned - lessons.issue_times[0]) == pytest.approx(0.2, abs=0.04)


def test_windows_are_built_once_for_all_trials(swept: tuple[Sweep, list[Trial]]) -> None:
    course = sweep_scoring.Course.of(swept[0].settings, share=0.2)
    with mock.patch.object(sweep_scoring, "training_windows", wraps=sweep_scoring.training_windows) as built:
        for rounds in (2, 3):
            course.score({"model.rounds": rounds}, lambda *_: None)
        assert built.call_count == 1
        course.score({"model.rounds": 2, "task.history": 5}, lambda *_: None)
        assert built.call_count == 2


def test_a_trial_scores_what_its_values_score_alone(swept: tuple[Sweep, list[Trial]]) -> None:
    sweep, trials = swept
    course = sweep_scoring.Course.of(sweep.settings, share=0.2)
    assert [course.score(trial.values, lambda *_: None) for trial in trials] == [trial.crps for trial in trials]


def test_calibration_is_judged_where_it_is_searched(swept: tuple[Sweep, list[Trial]]) -> None:
    course = sweep_scoring.Course.of(swept[0].settings, share=0.2)
    alone = course.score({"model.rounds": 3}, lambda *_: None)
    calibrated = course.score({"model.rounds": 3, "calibration.rate": 0.2}, lambda *_: None)
    assert alone != calibrated


def test_the_best_values_are_left_as_overrides_that_make_that_model(swept: tuple[Sweep, list[Trial]]) -> None:
    sweep, trials = swept
    best = min(trials, key=lambda trial: trial.crps or 1)
    document = yaml.safe_load((sweep.folder / "best.yaml").read_text())
    assert document["values"] == best.values
    assert document["tuned_until"].startswith("2020-01-19")
    made = settings((sweep.folder / "best.txt").read_text().split())
    told = {"tuned_until": "2020-01-19T00:00"}
    assert made.document == sweep_scoring.with_values(sweep.record.settings, best.values) | told
    table = pl.read_csv(sweep.folder / "trials.csv")
    assert table["crps_percent"].to_list() == [100 * (trial.crps or 0) for trial in trials]
    assert (sweep.folder / "history.png").stat().st_size > 5000


def test_values_become_overrides_that_are_read_back(tmp_path: Path) -> None:
    found = {"model.hidden": [8, 16], "model.decay": 1e-05, "model.epochs": 3}
    text = [f"{key}={sweep_results.override(value)}" for key, value in found.items()]
    model = settings(["model=mlp", *text]).document["model"]
    assert {f"model.{key}": model[key] for key in ("hidden", "decay", "epochs")} == found
    assert [sweep_results.override(v) for v in (None, True, "a", {"b": 1})] == ["null", "true", "a", '{"b":1}']


# ---- trials that fail ----


def test_values_that_the_model_refuses_fail_their_trial_with_the_reason_alone(tmp_path: Path) -> None:
    ranges = ("sweep.space.model.hidden=[[4],[0]]", "model.max_issue_times=200", "model.seeds=1", "sweep.trials=4")
    keys = ("learning_rate", "decay", "noise", "epochs")
    dropped = [f"sweep.space.model.{key}=null" for key in keys]
    sweep = started(
        tmp_path / "s", *SMALL, "model=mlp", "model.epochs=1", "threads=1", "sweep.sampler=grid", *ranges, *dropped
    )
    trials = sweeping.run(sweep)[0]
    assert [(trial.values["model.hidden"], trial.state) for trial in trials] == [([4], "complete"), ([0], "failed")]
    assert "must be at least 1" in trials[1].reason
    assert "must be at least 1" in (tmp_path / "s" / "trials.csv").read_text()


def test_any_error_of_a_model_is_its_trials_failure(tmp_path: Path) -> None:
    def objective(values: dict[str, Any], report: Callable[[int, float], None]) -> float:
        if values["model.num_leaves"] == 4:
            raise ZeroDivisionError("by\nnothing")
        return float("nan") if values["model.rounds"] > 4 else 0.1

    trials = run(started(tmp_path / "s", *CURVE, "sweep.space.model.max_bin=[31]"), objective_of=lambda *_: objective)
    assert len(trials) == 12
    reasons = {trial.reason for trial in trials}
    assert "ZeroDivisionError: by nothing" in reasons
    assert any("not a number" in reason for reason in reasons)
    assert {trial.state for trial in trials} == {"complete", "failed"}


def test_a_sweep_of_which_nothing_succeeds_gives_up_and_says_why(tmp_path: Path) -> None:
    sweep = started(
        tmp_path / "s", *(o for o in CURVE if "trials" not in o), "sweep.trials=99", "model.knots=[0.5,0.6]"
    )
    with (
        mock.patch("windcast.models.gbm.GBM._fit", side_effect=TaskError("no wind at all.")),
        pytest.raises(TaskError, match=r"10 trials, and each has failed; the last: no wind at all\."),
    ):
        sweeping.run(sweep)
    assert len(sweep.study().trials()) == 10
    few = started(tmp_path / "few", *CURVE, "data.seed=2", "sweep.minutes=0.01")
    with (
        mock.patch("windcast.models.gbm.GBM._fit", side_effect=TaskError("no wind at all.")),
        mock.patch.object(sweep_study, "MOST_FAILED", 99),
        pytest.raises(TaskError, match=r"no trial of \d+ succeeded; the last: no wind at all\."),
    ):
        sweeping.run(few)


# ---- going on ----


def test_a_sweep_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    through = run(started(tmp_path / "through", *CURVE))
    first = started(tmp_path / "parts", *(o for o in CURVE if "trials" not in o), "sweep.trials=5")
    assert len(run(first)) == 5
    resumed = begin(("sweep.trials=12",), folder=tmp_path / "parts", command="")
    assert drawn(run(resumed)) == drawn(through)
    assert len({trial.values["model.rounds"] for trial in through}) > 1


def test_the_minutes_of_a_call_end_it(tmp_path: Path) -> None:
    sweep = started(tmp_path / "s", *(o for o in CURVE if "trials" not in o), "sweep.trials=500", "sweep.minutes=0.02")
    began = time.monotonic()
    trials = run(sweep, objective_of=slow_of)
    assert 1 <= len(trials) < 40
    assert time.monotonic() - began < 10


def test_the_trials_so_far_are_shown_when_one_begins_and_when_it_ends(tmp_path: Path) -> None:
    seen: list[int] = []
    run(started(tmp_path / "s", *CURVE), on_change=lambda trials: seen.append(len(trials)))
    assert seen == [n for n in range(1, 13) for _ in range(2)]


def stopped_by_hand(after: int) -> Any:
    count = iter(range(99))

    def objective(values: dict[str, Any], report: Callable[[int, float], None]) -> float:
        if next(count) == after:
            raise KeyboardInterrupt
        return bowl(values, report)

    return lambda *_: objective


def test_a_trial_that_was_stopped_by_hand_is_tried_once_more_and_does_not_count(tmp_path: Path) -> None:
    sweep = started(tmp_path / "s", *CURVE)
    with pytest.raises(KeyboardInterrupt):
        run(sweep, objective_of=stopped_by_hand(after=3))
    assert (tmp_path / "s" / "best.txt").is_file()
    trials = run(begin((), folder=tmp_path / "s", command=""))
    assert trials[3].killed
    assert trials[3].reason == "it was stopped by hand"
    assert trials[4].values == trials[3].values
    assert trials[4].state == "complete"
    assert sum(trial.state == "complete" for trial in trials) == 12


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_trial_whose_process_was_killed_is_tried_once_more_by_those_that_live(tmp_path: Path) -> None:
    sweep = started(tmp_path / "s", *CURVE)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=hang, args=(sweep.folder,))
    process.start()
    study = sweep.study()
    until = time.monotonic() + 30
    while not any(sweep_study.WORKER in trial.user_attrs for trial in study.trials()):
        assert time.monotonic() < until
        time.sleep(0.05)
    beside = run(sweep)  # while the other still runs its trial, that one counts as taken
    assert [trial.state for trial in beside].count("complete") == 11
    assert [trial.state for trial in beside].count("running") == 1
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    after = run(begin((), folder=tmp_path / "s", command=""))
    assert [trial.state for trial in after].count("complete") == 12
    (killed,) = [trial for trial in after if trial.killed]
    assert killed.reason == "its process was killed"
    assert after[-1].values == killed.values


def test_two_processes_share_a_budget_and_the_lot(tmp_path: Path) -> None:
    seen: list[int] = []
    sweep = started(tmp_path / "s", *(o for o in CURVE if "trials" not in o), "sweep.trials=31")
    trials, notes = sweeping.run(
        sweep, processes=2, objective_of=slow_of, on_change=lambda trials: seen.append(len(trials))
    )
    assert [trial.state for trial in trials] == ["complete"] * 31
    assert notes == []
    assert seen[-1] == 31
    workers = {trial.user_attrs[sweep_study.WORKER] for trial in sweep.study().trials()}
    assert len(workers) == 2
    assert (tmp_path / "s" / "importance.png").is_file()
    shares = sweep_results.importance(sweep.study())
    assert shares is not None
    assert shares["model.rounds"] > shares["model.num_leaves"]


def test_what_stops_a_process_of_several_is_said(tmp_path: Path) -> None:
    said = multiprocessing.get_context("spawn").SimpleQueue()
    sweep = started(tmp_path / "a", *CURVE)
    sweeping._work(sweep, 2, 60.0, broken_of, said)
    assert said.get() == "nothing to learn from."
    _, notes = sweeping.run(sweep, processes=2, objective_of=dying_of)
    assert len(notes) == 2
    assert "exit status -9" in notes[0]
    with pytest.raises(ConfigError, match="give at least 1"):
        run(started(tmp_path / "c", *CURVE), processes=0)


def test_several_processes_share_the_cores_where_threads_are_left_open() -> None:
    chosen = settings([*SMALL, "model=pool"])
    with mock.patch("os.cpu_count", return_value=6):
        course = sweep_scoring.Course.of(chosen, share=0.2, processes=3)
    shared = sweep_scoring._with_threads(course.document["model"], course.threads)
    assert {member["threads"] for member in shared["members"].values()} == {2}
    assert {member["threads"] for member in course.document["model"]["members"].values()} == {0}


# ---- pruning ----


def test_a_trial_that_lags_behind_the_others_is_pruned(tmp_path: Path) -> None:
    epochs: list[int] = []

    def objective(values: dict[str, Any], report: Callable[[int, float], None]) -> float:
        score = bowl(values, report)
        for epoch in range(8):
            report(epoch, score)
        epochs.append(8)
        return score

    for pruner in ("median", "hyperband", "none"):
        epochs.clear()
        trials = run(
            started(tmp_path / pruner, *CURVE, f"sweep.pruner={pruner}", "data.seed=3"),
            objective_of=lambda *_: objective,
        )
        pruned = [trial for trial in trials if trial.state == "pruned"]
        assert len(pruned) + len(epochs) == 12
        assert bool(pruned) == (pruner != "none")
        for trial in pruned:
            assert 1 <= len(trial.curve) < 8
            assert trial.crps == trial.curve[max(trial.curve)]
    best = min(trials, key=lambda trial: trial.crps or 1)
    assert sweep_results.ranked(trials)[0] == best


# ---- the journal ----


def test_a_line_that_a_kill_left_half_written_is_taken_away(tmp_path: Path) -> None:
    sweep = started(tmp_path / "s", *CURVE)
    run(sweep)
    journal = tmp_path / "s" / sweep_study.JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"worker')
    assert len(sweep.study().trials()) == 12
    assert journal.read_bytes().startswith(whole)


@pytest.mark.parametrize("damage", [b"\x00\xff\n", b"[]\n", b'{"op_code": 99}\n', b'{"a": 1}\n'])
def test_a_damaged_journal_is_refused_with_its_line(damage: bytes, tmp_path: Path) -> None:
    sweep = started(tmp_path / "s", *CURVE)
    run(sweep)
    journal = tmp_path / "s" / sweep_study.JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:4], damage, *lines[4:]]))
    with pytest.raises(ConfigError, match=r"journal\.log: line 5 is damaged"):
        sweep.study()
    journal.write_bytes(b"something else")
    with pytest.raises(ConfigError, match="not the journal of a sweep"):
        sweep.study()


def test_a_journal_that_stays_locked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_study, "PATIENCE", 0.2)
    sweep = started(tmp_path / "s", *CURVE)
    with (
        sweep_study.Lock(tmp_path / "s" / "asking.lock"),
        pytest.raises(ConfigError, match=r"asking\.lock: has been locked"),
    ):
        sweep.study()
    with sweep_study.Lock(tmp_path / "s" / "journal.log.lock"), pytest.raises(ConfigError, match="has been locked"):
        sweep.study()
    assert isinstance(sweep.study(), Study)


def test_a_grid_visits_every_point_once(tmp_path: Path) -> None:
    trials = run(started(tmp_path / "s", *(o for o in CURVE if "trials" not in o), "sweep.sampler=grid"))
    assert len(trials) == 10
    assert len({tuple(trial.values.values()) for trial in trials}) == 10
    with pytest.raises(ConfigError, match="500,000 points, more than 2,000"):
        started(tmp_path / "t", *CURVE, "sweep.sampler=grid", "sweep.space.model.max_rows={low:1,high:50000}").study()


def test_random_trials_differ(tmp_path: Path) -> None:
    trials = run(started(tmp_path / "s", *CURVE, "sweep.sampler=random"))
    assert len({tuple(trial.values.values()) for trial in trials}) > 4


# ---- studies that do not fit ----


def test_a_study_of_something_else_is_refused_with_what_differs(tmp_path: Path) -> None:
    run(started(tmp_path / "s", *CURVE))
    assert begin(CURVE, folder=tmp_path / "s", command="").search.trials == 12
    for override, words in (
        ("sweep.space.model.rounds.high=7", r'space\.model\.rounds was .*"high": 6.*"high": 7'),
        ("sweep.sampler=random", r"sweep\.sampler was tpe, is random"),
        ("model.max_bin=31", r"model\.max_bin was 63, is 31"),
        ("data.seed=9", r"data\.seed was 1, is 9"),
    ):
        with pytest.raises(ConfigError, match=words):
            begin((*CURVE, override), folder=tmp_path / "s", command="")
    record = json.loads((tmp_path / "s" / "sweep.json").read_text())
    (tmp_path / "s" / "sweep.json").write_text(json.dumps(record | {"code": "0.0.1"}))
    assert "began with windcast 0.0.1" in begin((), folder=tmp_path / "s", command="").notes[0]
    (tmp_path / "s" / "sweep.json").write_text("{}")
    with pytest.raises(BundleError, match="not the record of a sweep"):
        begin((), folder=tmp_path / "s", command="")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "mine").write_text("")
    with pytest.raises(BundleError, match="something else than a sweep"):
        started(tmp_path / "s", *CURVE)
    with pytest.raises(ConfigError, match="a sweep needs data before it"):
        started(tmp_path / "t", *CURVE, "backtest.start=2019-01-01")
    assert not (tmp_path / "t").exists()


RARE = ("backtest.issue_every_hours=96", "backtest.issue_offset_hours=-2")


def test_a_validation_span_without_anything_to_score_is_refused(swept: tuple[Sweep, list[Trial]]) -> None:
    chosen = settings([*SMALL[:-1], "model=climatology", "backtest.start=2020-01-19", *RARE])
    course = sweep_scoring.Course.of(chosen, share=0.1)
    with pytest.raises(TaskError, match=r"no issue time to validate on .*validation_share"):
        course.score({}, lambda *_: None)
    with pytest.raises(TaskError, match="no power is known"):
        sweep_scoring._mean(np.array([np.nan]))


# ---- the command ----


def test_the_command_sweeps_goes_on_and_refuses(tmp_path: Path) -> None:
    done = windcast("sweep", *GBM, "--study", "mine", cwd=tmp_path)
    assert done.code == 0, done.err
    for word in ("The test span after it is not seen", "Best trials", "3 complete.", "windcast train", "runs/mine"):
        assert word in done.out.replace("\n", " ")
    more = windcast("sweep", "sweep.trials=4", "--study", "mine", cwd=tmp_path)
    assert more.code == 0, more.err
    assert "4 complete." in more.out
    trained = windcast("train", *(tmp_path / "runs/mine/best.txt").read_text().split(), cwd=tmp_path)
    assert trained.code == 0, trained.err
    assert_refused(windcast("sweep", "--study", "mien", cwd=tmp_path), "Did you mean 'mine'?")
    assert_refused(windcast("sweep", "--study", "elsewhere/mine", cwd=tmp_path), "no study in elsewhere")
    assert_refused(windcast("sweep", "--study", "mine", "model=mlp", cwd=tmp_path), "is of something else")
    assert_refused(windcast("sweep", "model=gmb", cwd=tmp_path), "Did you mean 'gbm'?")


def test_the_command_takes_a_wandb_sweep_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    text = "{method: random, metric: {name: loss}, parameters: {rounds: {min: 2, max: 3}}, run_cap: 2}"
    (tmp_path / "w.yaml").write_text(text)
    plain = [o for o in GBM if not o.startswith("sweep.")]
    done = windcast("sweep", *plain, "--space", "w.yaml", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "metric: loss (minimize) is not known here" in done.out.replace("\n", " ")
    assert "2 complete." in done.out


def test_a_command_that_is_stopped_says_how_to_go_on(tmp_path: Path) -> None:
    with mock.patch("windcast.models.gbm.GBM._fit", side_effect=KeyboardInterrupt):
        done = windcast("sweep", *GBM, "--study", "mine", cwd=tmp_path)
    assert done.code == 130
    assert "windcast sweep --study mine" in done.out


def test_the_live_table_shows_running_and_best_trials() -> None:
    from rich.console import Console

    from windcast.cli.sweeping import _running

    def trial(number: int, state: str, crps: float | None, curve: dict[int, float]) -> Trial:
        return Trial(number, state, {"model.rounds": number}, crps, curve, 1.0, "", killed=False)

    trials = [trial(0, "complete", 0.05, {}), trial(1, "complete", 0.04, {}), trial(2, "running", None, {0: 0.06})]
    console = Console(width=100)
    with console.capture() as shown:
        console.print(_running(trials, Search({}, trials=9)))
    lines = [line.split() for line in shown.get().splitlines() if "rounds=" in line]
    assert [line[:3] for line in lines] == [
        ["2", "running", "6.0000"],
        ["1", "complete", "4.0000"],
        ["0", "complete", "5.0000"],
    ]
    assert "2 of 9 trials. 2 complete, 1 running." in shown.get()
