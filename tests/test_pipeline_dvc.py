"""The pipeline under DVC: what changed is done again, and nothing else. One project, changed step by step."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

import dvc_project
from dvc_project import MODEL, PLAN, STAGES, Project

pytestmark = pytest.mark.skipif(bool(dvc_project.ABSENT), reason=dvc_project.REASON)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose pipeline has run once and is committed."""
    project = dvc_project.started(tmp_path_factory.mktemp("pipeline") / "farm")
    dvc_project.write_farm(project.folder)
    said = project.windcast("pipeline", "init", "data=files", *MODEL, *PLAN)
    assert "dvc add power.csv weather.csv" in said
    project.dvc("add", "power.csv", "weather.csv")
    assert project.repro() == list(STAGES)
    project.commit("The first run")
    return project


@pytest.fixture
def project(done: Project, tmp_path: Path) -> Project:
    """The same in a folder of its own, as it was committed, with DVC's cache."""
    copy = Project(tmp_path / "farm")
    shutil.copytree(done.folder, copy.folder, symlinks=True)
    return copy


def fingerprint(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / "run.json").read_text())["fingerprint"]
    return found


def test_with_nothing_changed_nothing_is_done(project: Project) -> None:
    assert project.repro() == []
    assert project.run("git", "status", "--porcelain") == ""


def test_a_parameter_of_the_model_redoes_all_but_the_data_and_gives_what_one_command_gives(project: Project) -> None:
    before = fingerprint(project.folder / "results/run")
    file = project.folder / "params.yaml"
    file.write_text(re.sub(r"rounds: 3\b", "rounds: 4", file.read_text()))
    assert project.repro() == ["backtest", "train", "report"]
    changed = [key if key != "model.rounds=3" else "model.rounds=4" for key in (*MODEL, *PLAN)]
    project.windcast("backtest", "data=files", *changed, "--out", "runs/by_hand")
    assert fingerprint(project.folder / "results/run") == fingerprint(project.folder / "runs/by_hand") != before
    bundle = json.loads((project.folder / "results/bundle/manifest.json").read_text())
    assert bundle["config"]["model"]["rounds"] == 4


def test_changed_data_redo_everything_and_an_unused_column_redoes_the_first_stage_alone(project: Project) -> None:
    file = project.folder / "power.csv"
    rows = file.read_text().splitlines()
    file.write_text("\n".join(f"{row},{'note' if k == 0 else k}" for k, row in enumerate(rows)))
    assert project.repro() == ["prepare"]
    file.write_text("\n".join(rows[:-24]))
    assert project.repro() == list(STAGES)


def test_an_experiment_is_run_shown_and_taken_back(project: Project) -> None:
    crps = json.loads((project.folder / "results/report/scores.json").read_text())["crps"]
    project.dvc("exp", "run", "--name", "wider", "--set-param", "model.rounds=6")
    assert yaml.safe_load((project.folder / "params.yaml").read_text())["model"]["rounds"] == 6
    shown = {
        row["Experiment"] or row["rev"]: row for row in csv.DictReader(io.StringIO(project.dvc("exp", "show", "--csv")))
    }
    assert shown["wider"]["model.rounds"] == "6"
    scored = json.loads((project.folder / "results/report/scores.json").read_text())["crps"]
    assert float(shown["wider"]["crps"]) == scored != crps
    project.run("git", "checkout", ".")
    project.dvc("checkout")
    assert project.repro() == []
    assert json.loads((project.folder / "results/report/scores.json").read_text())["crps"] == crps


def test_an_experiment_may_take_another_model_by_its_name(project: Project) -> None:
    project.dvc("exp", "run", "--set-param", "model=climatology")
    scores = json.loads((project.folder / "results/report/scores.json").read_text())
    assert scores["model"] == "climatology, calibrated"


def test_metrics_and_plots_are_there(project: Project) -> None:
    shown = json.loads(project.dvc("metrics", "show", "--json"))
    scores = json.loads((project.folder / "results/report/scores.json").read_text())
    assert shown[""]["data"]["results/report/scores.json"]["data"] == scores
    plots = json.loads(project.dvc("plots", "show", "--json"))["data"]
    assert set(plots) == {"crps", "coverage_90"}
    points = plots["crps"][0]["content"]["data"]["values"]
    assert [float(point["lead_minutes"]) for point in points] == [60, 120]
