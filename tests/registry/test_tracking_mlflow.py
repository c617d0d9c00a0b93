"""Records in MLflow, read back with its own client: complete, and there once, whatever happened on the way."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_tracking import TRACKED, to

from windcast.configs import settings
from windcast.evaluation.scores import score
from windcast.registry.tracking import keep, sending, spool
from windcast.workflows import jobs

for package in sending.NEEDED["mlflow"]:
    pytest.importorskip(package, reason="the extra track is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own
SMALL = ("data=simulation", "data.days=20", "task.horizon=2", "task.levels=9", "model=climatology")
PATIENCE = 90  # seconds, for a machine that is busy


def there(folder: Path) -> list[Any]:
    """All runs in the folder's database."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=to(folder).database)
    known = client.get_experiment_by_name("windcast")
    return [] if known is None else list(client.search_runs([known.experiment_id]))


def history(folder: Path, run: Any, key: str) -> dict[int, float]:
    from mlflow import MlflowClient

    points = MlflowClient(tracking_uri=to(folder).database).get_metric_history(run.info.run_id, key)
    assert len({point.step for point in points}) == len(points)
    return {point.step: point.value for point in points}


def errors(folder: Path) -> list[str | None]:
    return [outcome.error for outcome in sending.send(folder, patience=0.3)]


def test_a_record_arrives_whole_and_once_however_often_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<p>report</p>")
    folder = tmp_path / "runs with a space"
    number = spool.write(to(folder), replace(TRACKED, files={"report.html": str(tmp_path / "report.html")}))
    assert errors(folder) == [None]
    (folder / spool.PLACE / number / spool.SENT).unlink()  # as after a kill between MLflow's last word and this note
    assert errors(folder) == [None]
    (run,) = there(folder)
    assert run.info.run_name == "hill"
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 1500
    assert run.data.params == {"seed": "1", "model.name": "gbm", "model.rounds": "5", "data.source": "simulation"}
    assert run.data.metrics["crps"] == 0.1
    assert run.data.metrics["memory_mb"] == 200
    assert history(folder, run, "lead/gbm/crps") == {60: 0.05, 120: 0.15}
    assert run.data.tags["fitted_until"] == "2025-12-01T00:00:00+00:00"
    assert run.data.tags["data_sha256"] == "ab"
    files = Path(run.info.artifact_uri.removeprefix("file://").replace("%20", " "))
    assert (files / "report.html").read_text() == "<p>report</p>"
    assert (files / spool.RECORD).is_file()
    assert files.is_relative_to(folder)


def test_an_attempt_that_broke_off_is_completed_without_a_second_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    spool.write(to(tmp_path), TRACKED)
    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "log_dict", lambda *_: 1 / 0)
        assert errors(tmp_path) == ["division by zero"]
    (half,) = there(tmp_path)
    assert half.info.status == "RUNNING"
    assert errors(tmp_path) == [None]
    (whole,) = there(tmp_path)
    assert whole.info.run_id == half.info.run_id
    assert whole.info.status == "FINISHED"
    assert history(tmp_path, whole, "lead/gbm/crps") == {60: 0.05, 120: 0.15}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_sender_killed_in_the_middle_leaves_one_run_in_the_end(tmp_path: Path) -> None:
    many = [(f"lead/model {m}/crps", 0.1, step) for m in range(40) for step in range(1, 200)]
    spool.write(to(tmp_path), replace(TRACKED, metrics=many))
    command = [sys.executable, "-m", sending.__name__, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + PATIENCE
        while not _rows(tmp_path / "mlflow.db", "metrics") and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert spool.pending(tmp_path)
    assert 0 < _rows(tmp_path / "mlflow.db", "metrics") < len(many)
    assert errors(tmp_path) == [None]
    assert len(there(tmp_path)) == 1
    assert _rows(tmp_path / "mlflow.db", "metrics") == len(many) + 2


def test_a_database_is_made_once_and_whole_by_however_many_begin_it_and_whoever_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    code = "import sys; from pathlib import Path; from windcast.registry.tracking import mlflow; "
    code += "mlflow.ensure(Path(sys.argv[1]))"
    command = [sys.executable, "-W", "ignore", "-c", code, str(file)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + PATIENCE
        while not list(tmp_path.glob(".mlflow.db-*/mlflow.db")) and time.monotonic() < deadline:
            assert killed.poll() is None
            time.sleep(0.001)
        os.kill(killed.pid, signal.SIGKILL)
    assert not file.exists()
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(PATIENCE) for process in both] == [0, 0]
    assert there(tmp_path) == []
    assert _rows(file, "experiments") == 1


def _rows(file: Path, table: str) -> int:
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    return 0


def test_a_corrupt_database_costs_nothing_but_a_move(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "mlflow.db"
    file.write_text("not a database at all" * 50)
    keep(to(tmp_path), TRACKED)
    assert "no readable database" in caplog.text
    (error,) = errors(tmp_path)
    assert error is not None
    assert "Move it away" in error
    file.rename(tmp_path / "broken.db")
    assert errors(tmp_path) == [None]
    assert len(there(tmp_path)) == 1


def test_a_database_broken_inside_is_named_too(tmp_path: Path) -> None:
    spool.write(to(tmp_path), TRACKED)
    assert errors(tmp_path) == [None]
    other = tmp_path / "other"
    other.mkdir()
    content = bytearray((tmp_path / "mlflow.db").read_bytes())
    content[4096 * 2 :] = b"\x07" * (len(content) - 4096 * 2)
    (other / "mlflow.db").write_bytes(content)
    spool.write(to(other), TRACKED)
    (error,) = errors(other)
    assert error is not None
    assert f"{other / 'mlflow.db'}: is no readable database" in error
    assert len(spool.pending(other)) == 1


def test_a_locked_database_is_a_warning_and_is_filled_once_it_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        keep(to(tmp_path), TRACKED)
        assert "locked by another program" in caplog.text
        (error,) = errors(tmp_path)
        assert error is not None
        assert "locked" in error
    assert errors(tmp_path) == [None]
    assert errors(tmp_path) == []
    assert len(there(tmp_path)) == 1


def test_a_server_that_is_not_there_keeps_the_record(tmp_path: Path) -> None:
    spool.write(replace(to(tmp_path), uri="http://127.0.0.1:9"), TRACKED)
    began = time.monotonic()
    (error,) = errors(tmp_path)
    assert error is not None
    assert "127.0.0.1" in error
    assert time.monotonic() - began < PATIENCE
    assert len(spool.pending(tmp_path)) == 1


def test_a_backtest_and_its_bundle_reach_mlflow_by_themselves(tmp_path: Path) -> None:
    store = tmp_path / "runs"
    chosen = settings([*SMALL, "tracking=mlflow", f"tracking.folder={store}"])
    run = jobs.run_backtest(chosen, tmp_path / "hill", command="windcast backtest")
    bundle = jobs.keep(run, tmp_path / "kept")
    assert len(spool.entries(store)) == 2
    deadline = time.monotonic() + PATIENCE
    while spool.pending(store) and time.monotonic() < deadline:
        time.sleep(0.1)
    found = {found.data.tags["kind"]: found for found in there(store)}
    assert sorted(found) == ["backtest", "train"]
    scores = score(run.backtest.forecasts["climatology"], run.backtest.observed)
    told = found["backtest"]
    expected = dict(scores.leads.select("lead_minutes", "crps").iter_rows())
    assert history(store, told, "lead/climatology/crps") == pytest.approx(expected)
    assert told.data.metrics["crps"] == pytest.approx(run.record.scores["climatology, calibrated"]["crps"])
    assert told.data.metrics["seconds"] > 0
    assert told.data.tags["tested_from"] == run.backtest.plan.start.isoformat()
    assert told.data.tags["fingerprint.climatology"] == run.record.fingerprint["climatology"]
    files = Path(told.info.artifact_uri.removeprefix("file://"))
    assert (files / "report.html").read_text() == (tmp_path / "hill" / "report.html").read_text()
    assert len(list((files / "plots").iterdir())) >= 5
    kept = Path(found["train"].info.artifact_uri.removeprefix("file://")) / "bundle"
    assert (kept / "manifest.json").read_bytes() == (bundle.folder / "manifest.json").read_bytes()
    assert found["train"].data.tags["fitted_until"] == bundle.trained_until.isoformat()
