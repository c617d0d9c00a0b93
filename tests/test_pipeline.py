"""A configuration as one file, and the folder that `windcast pipeline init` writes for DVC."""

import json
import shlex
from contextlib import chdir
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from windcast.cli import app
from windcast.configs import document, settings
from windcast.errors import ConfigError
from windcast.workflows import jobs, pipeline

ROOT = Path(__file__).parents[1]
SMALL = ("data=simulation", "data.days=20", "task.horizon=2", "task.levels=9", "model=climatology")


def windcast(*arguments: str, cwd: Path) -> str:
    with chdir(cwd):
        done = CliRunner().invoke(app, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


# --- a configuration as a file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("data=klim", "seed=4"),
        ("data=gefcom2014", "threads=2"),
        ("model=mlp", "calibration=none", "model.seed=7"),
        ("data=la_haute_borne", "backtest.end=2015-09-01", "task.levels=[0.1,0.5,0.9]"),
    ],
    ids=" ".join,
)
def test_a_configuration_written_to_a_file_is_read_back_equal(overrides: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    chosen = settings(overrides)
    file.write_text(document.to_yaml(chosen))
    assert document.read(file).document == chosen.document
    file.write_text(yaml.safe_dump(chosen.document))
    assert document.read(file).document == chosen.document


def test_what_config_prints_is_a_configuration_file(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(windcast("config", *SMALL, cwd=tmp_path))
    again = windcast("config", "--config", "all.yaml", cwd=tmp_path)
    assert again == (tmp_path / "all.yaml").read_text()


def test_overrides_stand_on_top_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(document.to_yaml(settings(["model=gbm"])))
    on_top = ("data=klim", "data.path=there", "model.num_leaves=9", "backtest.against=[climatology]", "seed=5")
    found = document.read(file, on_top).document
    assert found["data"] == {"source": "klim", "path": "there"}
    assert (found["model"]["num_leaves"], found["model"]["seed"], found["seed"]) == (9, 5, 5)
    assert found["backtest"]["against"] == ["climatology"]
    assert found["task"] == settings().document["task"]  # data=klim is of that section alone


@pytest.mark.parametrize("model", ["forest", "nowcast"])
def test_a_group_may_stand_in_the_file_by_the_name_of_a_choice(model: str, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    written = document.document_of(settings(["data=klim", "seed=3"]))
    file.write_text(yaml.safe_dump(written | {"model": model, "calibration": "none"}))
    expected = settings(["data=klim", f"model={model}", "calibration=none", "seed=3"])
    assert document.read(file).document == expected.document


def test_a_model_may_be_told_by_what_differs_from_its_defaults(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    written = document.document_of(settings(["model=gbm"]))
    file.write_text(yaml.safe_dump(written | {"model": {"name": "gbm", "rounds": 7}}))
    assert document.read(file).document == settings(["model=gbm", "model.rounds=7"]).document


@pytest.mark.parametrize(
    ("text", "overrides", "said"),
    [
        ("model: {name: gbm, num_leves: 3}", (), r"params\.yaml: .*Did you mean 'model\.num_leaves'"),
        ("model: {name: gmb}", (), r"params\.yaml: .*gbm"),
        ("model: gmb", (), r"params\.yaml: .*gbm"),
        ("model: 3", (), r"params\.yaml: model is 3; it holds keys and values"),
        ("task: {horizon: many}", (), r"params\.yaml: .*task\.horizon"),
        ("horizon: 3", (), r"params\.yaml: unknown key 'horizon'"),
        ("backtest: {start: soon}", (), r"params\.yaml: backtest\.start is 'soon'"),
        ("seed: ${sed}", (), r"params\.yaml: configuration: .*sed"),
        ("seed: [", (), r"params\.yaml: is no valid YAML in line"),
        ("- seed", (), r"params\.yaml: holds no keys and values"),
        ("", ("task.horzion=3",), r"Did you mean 'task\.horizon'"),
        ("", ("task.horizon=3,4",), r"task\.horizon=3,4 names several values"),
        ("", ("task.horizon=[3",), r"params\.yaml: configuration: "),
        ("", ("horizon",), r"'horizon' is not key=value"),
    ],
)
def test_a_mistake_in_a_file_is_named(text: str, overrides: tuple[str, ...], said: str, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    try:
        change = yaml.safe_load(text) or {}
        whole: dict[str, Any] = document.document_of(settings())
        for key, value in change.items():
            whole[key] = whole[key] | value if isinstance(value, dict) and key != "model" else value
        text = yaml.safe_dump(whole)
    except (yaml.YAMLError, AttributeError):
        pass
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        document.read(file, overrides)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read \(No such file"):
        document.read(tmp_path / "absent.yaml")


# --- pipeline init ---------------------------------------------------------------------------------------------------


def test_the_repositorys_pipeline_is_the_one_that_is_written_for_a_user_and_depends_on_the_code() -> None:
    chosen = document.read(ROOT / "params.yaml")
    assert chosen.document == settings().document
    found = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    for stage in found["stages"].values():
        code = [file for file in stage["deps"] if file.startswith("src/")]
        assert code
        assert all((ROOT / file).exists() for file in code)
        stage["deps"] = [file for file in stage["deps"] if file not in code]
    del found["stages"]["prepare"]["deps"]
    assert found == pipeline.pipeline(chosen, ROOT)


def test_the_pipeline_of_own_files_depends_on_each_of_them(tmp_path: Path) -> None:
    (tmp_path / "hill").mkdir()
    mapped = {
        "name": "hill",
        "capacity_mw": 10,
        "power": {"file": "power.csv", "time": "t", "column": "p", "unit": "MW"},
        "weather": {
            "file": "weather.csv",
            "kind": "reanalysis",
            "variables": {"wind_speed_100m": {"column": "w", "unit": "m/s"}},
        },
        "availability": {"column": "a", "unit": "percent"},
        "curtailment": {"file": "../held.csv", "column": "c", "unit": "MW"},
    }
    (tmp_path / "hill" / "farm.yaml").write_text(yaml.safe_dump(mapped))
    chosen = settings(["data=files", "data.config=hill/farm.yaml"])
    found = pipeline.pipeline(chosen, tmp_path)["stages"]["prepare"]["deps"]
    assert found == ["hill/farm.yaml", "hill/power.csv", "hill/weather.csv", "hill/../held.csv"]
    replaced = settings(["data=files", "data.config=hill/farm.yaml", "data.power=other.csv"])
    assert "other.csv" in pipeline.source_files(replaced, tmp_path)
    assert "hill/power.csv" not in pipeline.source_files(replaced, tmp_path)


def test_a_pipeline_is_not_written_over_another_and_its_ignored_files_stay(tmp_path: Path) -> None:
    (tmp_path / ".dvcignore").write_text("mine")
    windcast("pipeline", "init", *SMALL, cwd=tmp_path)
    assert (tmp_path / ".dvcignore").read_text() == "mine"
    with pytest.raises(ConfigError, match=r"dvc\.yaml: exists already"):
        windcast("pipeline", "init", cwd=tmp_path)
    assert document.read(tmp_path / "params.yaml").document == settings(SMALL).document
    windcast("pipeline", "init", "--force", cwd=tmp_path)
    assert document.read(tmp_path / "params.yaml").document == settings().document


# --- the stages ------------------------------------------------------------------------------------------------------


def test_the_stages_run_one_after_the_other_and_give_what_one_command_gives(tmp_path: Path) -> None:
    windcast("pipeline", "init", *SMALL, cwd=tmp_path)
    stages = yaml.safe_load((tmp_path / "dvc.yaml").read_text())["stages"]
    for stage in stages.values():
        windcast(*shlex.split(stage["cmd"])[1:], cwd=tmp_path)
        made = [*stage["outs"], *stage.get("metrics", ())]
        assert all((tmp_path / (out if isinstance(out, str) else next(iter(out)))).exists() for out in made)
    windcast("backtest", *SMALL, "--out", "by_hand", cwd=tmp_path)
    piped, by_hand = (json.loads((tmp_path / run / "run.json").read_text()) for run in ("results/run", "by_hand"))
    assert piped["fingerprint"] == by_hand["fingerprint"]
    assert piped["data_checksum"] == by_hand["data_checksum"]


def test_a_reports_numbers_are_those_of_the_runs_last_model(tmp_path: Path) -> None:
    run = jobs.run_backtest(settings(SMALL), tmp_path / "run", command="windcast backtest")
    pipeline.write_results(tmp_path / "run", tmp_path / "report")
    name = list(run.backtest.forecasts)[-1]
    scores = json.loads((tmp_path / "report" / "scores.json").read_text())
    leads = pl.read_csv(tmp_path / "report" / "leads.csv")
    assert scores["model"] == name == "climatology, calibrated"
    assert scores["crps"] == pytest.approx(100 * run.record.scores[name]["crps"], abs=1e-4)
    assert leads["lead_minutes"].to_list() == [60, 120]
    assert leads["crps"].mean() == pytest.approx(scores["crps"], rel=0.01)
    assert (tmp_path / "report" / "report.html").read_bytes() == (tmp_path / "run" / "report.html").read_bytes()
