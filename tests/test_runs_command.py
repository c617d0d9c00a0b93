"""`windcast runs` and `windcast reproduce` by name: what they list and compare, and what they say of unknown names."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from windcast.cli import app
from windcast.configs import Settings, settings
from windcast.errors import ConfigError, TrackingError
from windcast.models.patchtst import PatchTST
from windcast.models.pool import Pool
from windcast.registry.tracking import Destination, sending, spool
from windcast.workflows import jobs, recording

SMALL = ("data=simulation", "data.days=20", "task.horizon=2", "task.levels=9", "model=climatology")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a backtest, another with other settings, and a training; nothing of them is sent."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sending, "start", lambda folder: None)
        for name, more in (("hill", ()), ("dale", ("backtest.issue_every_hours=2",))):
            jobs.run_backtest(_tracked(folder, *more), folder / name, command=f"windcast backtest {name}")
        jobs.train(_tracked(folder), folder / "bundle", command="windcast train")
    return folder


def _tracked(folder: Path, *more: str) -> Settings:
    return replace(settings([*SMALL, *more]), tracking=Destination(backend="mlflow", folder=folder))


def windcast(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160"})


def test_runs_are_listed_with_what_waits_to_be_sent(store: Path) -> None:
    done = windcast("runs", "--folder", store)
    assert done.exit_code == 0
    for word in ("hill", "dale", "bundle", "backtest", "train", "climatology, calibrated", "CRPS", "3 of 3"):
        assert word in done.output
    assert "3 not sent yet" in done.output
    assert "1 of 3" in windcast("runs", "--folder", store, "--last", "1").output


def test_a_folder_without_runs_says_so(tmp_path: Path) -> None:
    done = windcast("runs", "--folder", tmp_path)
    assert done.exit_code == 0
    assert "No runs in" in done.output
    assert "Nothing waits" in windcast("runs", "sync", "--folder", tmp_path).output


def test_a_run_is_shown_with_its_settings_spans_and_scores(store: Path) -> None:
    done = windcast("runs", "show", "hill", "--folder", store)
    assert done.exit_code == 0
    for word in ("backtest.issue_every_hours", "fitted_until", "tested_until", "data_sha256", "MB", "crps, 1 h ahead"):
        assert word in done.output


def test_runs_are_compared_under_the_names_that_they_are_found_by(store: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(store, tmp_path / "store"))
    for entry in spool.pending(folder):
        file = entry.folder / spool.RECORD
        file.write_text(file.read_text().replace('"name": "hill"', '"name": "old_hill"'))
    done = windcast("runs", "compare", "old_hill", "dale", "--folder", folder)
    assert done.exit_code == 0, done.exception
    assert done.output.count("old_hill") == 2


def test_runs_are_compared_by_what_differs_and_their_scores(store: Path) -> None:
    done = windcast("runs", "compare", "hill", "dale", "--folder", store)
    assert done.exit_code == 0
    assert "backtest.issue_every_hours" in done.output
    assert "data.days" not in done.output
    assert "crps, 2 h ahead" in done.output
    same = windcast("runs", "compare", "hill", "hill", "--folder", store)
    assert "the same" in same.output
    assert isinstance(windcast("runs", "compare", "hill", "--folder", store).exception, ConfigError)


def test_a_run_that_is_not_there_names_the_nearest(store: Path) -> None:
    for command in (("runs", "show"), ("reproduce",)):
        error = windcast(*command, "hil", "--folder", store).exception
        assert isinstance(error, TrackingError)
        assert "The nearest: hill" in str(error)


def test_what_cannot_be_sent_is_said_and_kept(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "copy")
    place = tmp_path / "copy"
    for entry in spool.pending(place):
        file = entry.folder / spool.RECORD
        file.write_text(file.read_text().replace(str(store), str(place)))
    (place / "mlflow.db").write_text("no database" * 100)
    done = windcast("runs", "sync", "--folder", place)
    assert done.exit_code == 1
    assert done.output.count("not sent") == 3
    assert len(spool.pending(place)) == 3


def test_a_tracked_run_is_made_again_by_name_when_its_folder_is_gone(store: Path, tmp_path: Path) -> None:
    moved = tmp_path / "hill"
    (store / "hill").rename(moved)
    try:
        done = windcast("reproduce", "hill", "--folder", store, "--out", tmp_path / "again")
    finally:
        moved.rename(store / "hill")
    assert done.exit_code == 0, done.output
    assert "The same forecasts, to the bit." in done.output


def test_a_tracked_training_is_made_again_by_name_when_its_folder_is_gone(store: Path, tmp_path: Path) -> None:
    moved = tmp_path / "bundle"
    (store / "bundle").rename(moved)
    try:
        done = windcast("reproduce", "bundle", "--folder", store, "--out", tmp_path / "again")
    finally:
        moved.rename(store / "bundle")
    assert done.exit_code == 0, done.output
    assert "The same model, to the bit." in done.output


def test_a_record_that_cannot_be_made_does_not_make_the_run_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording, "peak_memory_mb", lambda: 1 / 0)
    run = jobs.run_backtest(_tracked(tmp_path / "runs"), tmp_path / "hill", command="windcast backtest")
    assert (run.folder / "run.json").is_file()
    assert "The run itself is whole" in caplog.text


def test_tracking_is_no_part_of_what_is_kept_with_a_run(store: Path) -> None:
    assert "tracking" not in spool.find("hill", store).tracked.settings


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("tracking=mlfow", "'mlflow'"),
        ("tracking.experimnt=x", "'tracking.experiment'"),
        ("tracking.folder=3", "tracking.folder is 3"),
    ],
)
def test_a_wrong_tracking_key_names_the_nearest(override: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WINDCAST_TRACKING")
    with pytest.raises(ConfigError, match=words):
        settings([override])


def test_the_losses_of_networks_are_found_within_pools() -> None:
    network, pool = PatchTST.__new__(PatchTST), Pool.__new__(Pool)
    network.curves = [[[0.3, None], [0.2, 0.25]]]
    pool.members = {"net": network}
    assert list(recording._curves(pool)) == [
        ("curve/net/network 1 training loss", 0.3, 1),
        ("curve/net/network 1 training loss", 0.2, 2),
        ("curve/net/network 1 validation loss", 0.25, 2),
    ]
