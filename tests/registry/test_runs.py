"""A run's record comes back as it was, or names the nearest one; fingerprints tell forecasts apart."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from windcast.data.sources import simulation
from windcast.data.task import ForecastTask
from windcast.errors import BundleError
from windcast.evaluation.backtest import Backtest, Plan, backtest
from windcast.registry import runs

RECORD = runs.Record(
    command="windcast backtest data=simulation",
    created="2026-01-01T06:00:00+00:00",
    settings={"seed": 1, "data": {"source": "simulation"}, "levels": [0.1, 0.9]},
    data_checksum="ab" * 32,
    code="0.1.0 (abc)",
    packages={"numpy": "2.0"},
    seconds={"gbm": {"fit": 1.5, "predict": 0.1}},
    scores={"gbm": {"crps": 0.1234567890123}},
    fingerprint={"gbm": "cd" * 32},
)


@pytest.fixture(scope="module")
def result() -> Backtest:
    farm = simulation.load(days=12, run_horizon_hours=24)
    task = ForecastTask(horizon=2, resolution=timedelta(hours=1), capacity_mw=20.5, levels=(0.1, 0.5, 0.9))
    models = {"climatology": {"name": "climatology"}, "curve": {"name": "power_curve"}}
    return backtest(farm, task, models, Plan(start=datetime(2020, 1, 10, tzinfo=UTC), issue_every=timedelta(hours=6)))


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    assert runs.read(tmp_path) == RECORD
    assert [f.name for f in tmp_path.iterdir()] == ["run.json"]
    again = replace(RECORD, code="0.2.0")
    again.write(tmp_path)
    assert runs.read(tmp_path) == again


def test_what_json_does_not_know_is_written_as_words(tmp_path: Path) -> None:
    replace(RECORD, settings={"path": Path("/data"), "start": datetime(2020, 1, 1, tzinfo=UTC)}).write(tmp_path)
    assert runs.read(tmp_path).settings == {"path": "/data", "start": "2020-01-01 00:00:00+00:00"}


def test_a_run_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=rf"no runs in {tmp_path / 'none'}"):
        runs.read(tmp_path / "none" / "klim")
    for name in ("20260101-060000-klim-pool", "20260102-060000-simulation-gbm"):
        (tmp_path / name).mkdir()
        RECORD.write(tmp_path / name)
    with pytest.raises(BundleError, match=r"unknown run '20260101-060000-klim-pol'\. Did you mean '.*-klim-pool'"):
        runs.read(tmp_path / "20260101-060000-klim-pol")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"command": "x"}', '{"unknown": 1}'])
def test_a_broken_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(BundleError, match=r"run\.json: not a readable run"):
        runs.read(tmp_path)


def test_a_record_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    document = json.loads((tmp_path / "run.json").read_text()) | {"mood": "good"}
    (tmp_path / "run.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match="mood"):
        runs.read(tmp_path)


def test_a_run_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "run"

    def half() -> None:
        with runs.written(place) as part:
            (part / "forecasts.parquet").write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        half()
    assert not place.exists()
    for code in ("one", "two"):
        with runs.written(place) as part:
            (part / "forecasts.parquet").write_text(code)
            replace(RECORD, code=code).write(part)
        assert runs.read(place).code == (place / "forecasts.parquet").read_text() == code
    with pytest.raises(OSError, match="disk full"):
        half()
    assert runs.read(place).code == "two"
    assert sorted(f.name for f in place.iterdir()) == ["forecasts.parquet", "run.json"]


def test_a_run_takes_the_place_of_nothing_but_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("years of work")
    with pytest.raises(BundleError, match=r"file: is a file, not a folder"):
        runs.check_place(tmp_path / "file")
    with pytest.raises(BundleError, match=r"holds something else than a run"):
        runs.check_place(tmp_path)
    runs.check_place(tmp_path / "absent")


def test_a_fresh_folder_is_named_by_time_and_label_and_does_not_exist(tmp_path: Path) -> None:
    made = []
    for _ in range(4):
        folder = runs.fresh_folder(tmp_path, "klim-pool")
        assert not folder.exists()
        folder.mkdir()
        made.append(folder)
    assert len(set(made)) == 4
    assert all("-klim-pool" in f.name for f in made)
    datetime.strptime(made[0].name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)


def test_the_same_forecasts_have_the_same_fingerprint_and_any_other_bit_another(result: Backtest) -> None:
    first = runs.fingerprint(result)
    assert set(first) == {"climatology", "curve"}
    assert first["climatology"] != first["curve"]
    again = backtest(result.farm, result.task, {"curve": {"name": "power_curve"}}, result.plan)
    assert runs.fingerprint(again)["curve"] == first["curve"]
    forecast = result.forecasts["curve"]
    values = forecast.values.copy()
    values[3, 1, 2] = np.nextafter(values[3, 1, 2], np.float32(30))
    later = forecast.issue_times + np.timedelta64(1, "h")
    for changed in (replace(forecast, values=values), replace(forecast, issue_times=later)):
        other = runs.fingerprint(replace(result, forecasts={**result.forecasts, "curve": changed}))
        assert other["curve"] != first["curve"]
        assert other["climatology"] == first["climatology"]


def test_the_code_version_names_the_package_and_in_a_checkout_the_commit() -> None:
    found = runs.code_version()
    assert found.split()[0].count(".") == 2
