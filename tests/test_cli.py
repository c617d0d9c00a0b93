"""The command line, as a user meets it: what it writes, what it says, and its exit status."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from windcast.cli import app, main
from windcast.registry import runs

MODEL = ("task.horizon=6", "task.levels=19", "model=gbm", "model.rounds=5", "model.max_rows=2000", "threads=1")
SIMULATED = ("data=simulation", "data.days=30", "backtest.issue_every_hours=6", *MODEL)
SMALLEST = ("data=simulation", "data.days=20", "task.horizon=2", "task.levels=9", "model=climatology")
SCORED = ("crps", "nmae", "coverage_90")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def windcast(*arguments: str | Path, cwd: Path) -> Done:
    """`windcast …` through main(), in this process."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["windcast", *map(str, arguments)]
    typed = mock.patch.object(sys, "argv", argv)
    with chdir(cwd), typed, redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stopped:
        main()
    return Done(int(stopped.value.code or 0), out.getvalue(), err.getvalue())


def process(*arguments: str | Path, cwd: Path) -> Done:
    """`python -m windcast …` in a process of its own."""
    command = [sys.executable, "-m", "windcast", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return Done(done.returncode, done.stdout, done.stderr)


def assert_refused(done: Done, *words: str) -> None:
    """Exit status 2 and one line on stderr that holds the words."""
    assert done.code == 2
    assert done.err.startswith("windcast: ")
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.out + done.err
    for word in words:
        assert word in done.err


def everything(folder: Path) -> set[str]:
    return {str(f.relative_to(folder)) for f in folder.rglob("*")}


def write_farm_files(folder: Path, *, days: int = 40) -> None:
    """power.csv and weather.csv of a 10 MW farm; runs every six hours reach 48 hours ahead."""
    rng = np.random.default_rng(3)
    start, hours = datetime(2020, 1, 1), days * 24
    wind = 8 + 4 * np.sin(np.arange(hours + 48) / 9) + np.cumsum(rng.normal(0, 0.1, hours + 48))
    wind = np.abs(wind)
    power = 10 * np.clip((wind[:hours] ** 3 - 27) / (12**3 - 27), 0, 1)
    stamps = [f"{start + timedelta(hours=k):%Y-%m-%d %H:%M}" for k in range(hours + 48)]
    lines = [f"{t},{p:.3f}" for t, p in zip(stamps, power, strict=False)]
    (folder / "power.csv").write_text("\n".join(["time_utc,power_mw", *lines, ""]))
    told = wind + rng.normal(0, 0.7, hours + 48)
    runs = [f"{stamps[r]},{stamps[r + h]},{abs(told[r + h]):.2f}" for r in range(0, hours, 6) for h in range(48)]
    (folder / "weather.csv").write_text("\n".join(["issue_time,valid_time,wind_speed_100m", *runs, ""]))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and a bundle of a simulated farm."""
    folder = tmp_path_factory.mktemp("simulated")
    done = windcast("backtest", *SIMULATED, "--out", "run", cwd=folder)
    assert done.code == 0, done.err
    assert "Leaderboard" in done.out
    assert "windcast reproduce run" in done.out
    trained = windcast("train", *SIMULATED, "--out", "bundle", cwd=folder)
    assert trained.code == 0, trained.err
    assert "gbm, calibrated, for simulation" in trained.out
    return folder


@pytest.fixture(scope="module")
def own_farm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a user's files, described and trained on."""
    folder = tmp_path_factory.mktemp("own")
    write_farm_files(folder)
    assert windcast("data", "init", "power.csv", "--weather", "weather.csv", cwd=folder).code == 0
    done = windcast("train", "data=files", *MODEL, "--out", "bundle", cwd=folder)
    assert done.code == 0, done.err
    return folder


# --- backtest, train -------------------------------------------------------------------------------------------------


def test_a_backtest_leaves_exactly_its_four_files(simulated: Path) -> None:
    assert everything(simulated / "run") == {"run.json", "forecasts.parquet", "leaderboard.csv", "report.html"}


def test_a_backtest_compares_the_model_its_calibration_and_the_references(simulated: Path) -> None:
    board = pl.read_csv(simulated / "run" / "leaderboard.csv")
    assert set(board["model"]) == {"climatology", "persistence", "power_curve", "gbm", "gbm, calibrated"}
    assert board["crps"].is_sorted()
    assert board.select(SCORED).null_count().sum_horizontal()[0] == 0


def test_the_record_says_how_the_run_was_made(simulated: Path) -> None:
    record = json.loads((simulated / "run" / "run.json").read_text())
    assert record["command"] == " ".join(["windcast", "backtest", *SIMULATED, "--out", "run"])
    assert record["settings"]["model"]["rounds"] == 5
    assert set(record["fingerprint"]) == set(record["scores"])


def test_the_recorded_command_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    arguments = (*SMALLEST[:-2], "model=climatology", "task.levels=[0.1,0.5,0.9]", "backtest.against=[]")
    done = windcast("backtest", *arguments, "calibration=none", "--out", "my run", cwd=tmp_path)
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "my run" / "run.json").read_text())
    assert "'task.levels=[0.1,0.5,0.9]'" in record["command"]
    assert record["command"].endswith("--out 'my run'")
    assert "windcast reproduce 'my run'" in done.out


def test_a_second_backtest_into_the_same_folder_replaces_the_first(simulated: Path, tmp_path: Path) -> None:
    shutil.copytree(simulated / "run", tmp_path / "run")
    before = everything(tmp_path)
    done = windcast("backtest", *SMALLEST, "calibration=none", "--out", "run", cwd=tmp_path)
    assert done.code == 0, done.err
    assert everything(tmp_path) == before
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["settings"]["model_choice"] == "climatology"
    assert set(pl.read_csv(tmp_path / "run" / "leaderboard.csv")["model"]) == {
        "climatology",
        "persistence",
        "power_curve",
    }


def test_a_backtest_without_a_folder_makes_a_fresh_one_below_runs(tmp_path: Path) -> None:
    assert windcast("backtest", *SMALLEST, "backtest.against=[]", cwd=tmp_path).code == 0
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.split("-", 2)[2] == "simulation-climatology"
    assert (made / "run.json").is_file()


def test_a_fresh_folder_never_is_one_that_exists(tmp_path: Path) -> None:
    made = {runs.fresh_folder(tmp_path, "a-b").mkdir() or k for k in range(20)}
    assert len(list(tmp_path.iterdir())) == len(made) == 20


def test_a_backtest_of_the_embedded_farm_says_that_its_weather_is_reanalysis(tmp_path: Path) -> None:
    done = windcast(
        "backtest",
        "data=la_haute_borne",
        "task.horizon=3",
        "task.levels=9",
        "model=power_curve",
        "calibration=none",
        "backtest.train_from=2015-05-01",
        "backtest.start=2015-06-01",
        "backtest.end=2015-06-08",
        "--out",
        "run",
        cwd=tmp_path,
    )
    assert done.code == 0, done.err
    assert "reanalysis" in done.out
    issued = pl.read_parquet(tmp_path / "run" / "forecasts.parquet")["issue_time"].dt.replace_time_zone(None)
    assert (issued.min(), issued.max()) == (datetime(2015, 6, 1), datetime(2015, 6, 8))


@pytest.mark.parametrize("command", ["backtest", "train"])
def test_a_folder_that_holds_other_things_is_refused_before_any_work(command: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.txt").write_text("miaow")
    with mock.patch("windcast.configs.Settings.farm", side_effect=AssertionError("work was begun")):
        assert_refused(windcast(command, *SIMULATED, "--out", "photos", cwd=tmp_path), "photos")
        (tmp_path / "file").write_text("")
        assert_refused(windcast(command, *SIMULATED, "--out", "file", cwd=tmp_path), "file")
    assert everything(tmp_path) == {"file", "photos", "photos/cat.txt"}


def test_a_backtest_that_fails_while_writing_leaves_no_run_behind(tmp_path: Path) -> None:
    with mock.patch("windcast.workflows.jobs.write_run_report", side_effect=OSError(28, "No space left", "report")):
        assert_refused(windcast("backtest", *SMALLEST, "--out", "run", cwd=tmp_path), "report: No space left")
    assert everything(tmp_path) == set()


def test_a_model_trained_until_a_time_knows_nothing_later(simulated: Path, tmp_path: Path) -> None:
    arguments = ("train", *SIMULATED, "--until", "2020-01-20T00:00", "--out", tmp_path / "early")
    assert windcast(*arguments, cwd=simulated).code == 0
    manifest = json.loads((tmp_path / "early" / "manifest.json").read_text())
    assert manifest["trained_until"] == "2020-01-20T00:00:00+00:00"
    assert everything(tmp_path) >= {"early/manifest.json"}
    assert len(list(tmp_path.iterdir())) == 1
    too_early = windcast("train", *SIMULATED, "--until", "1999-01-01", "--out", tmp_path / "none", cwd=simulated)
    assert_refused(too_early, "1999-01-01", "simulation")


# --- forecast --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_a_forecast_is_written_as_a_table(suffix: str, simulated: Path, tmp_path: Path) -> None:
    out = tmp_path / f"forecast{suffix}"
    done = windcast("forecast", "bundle", "--out", out, cwd=simulated)
    assert done.code == 0, done.err
    frame = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".json": pl.read_json}[suffix](out)
    assert frame.columns == ["issue_time", "valid_time", "lead_minutes", "inputs", "q05", "q25", "q50", "q75", "q95"]
    assert frame["lead_minutes"].to_list() == [60.0 * h for h in range(1, 7)]
    assert (frame["q05"] <= frame["q95"]).all()
    assert everything(tmp_path) == {out.name}


def test_times_in_a_csv_are_iso_8601_in_utc(simulated: Path, tmp_path: Path) -> None:
    windcast("forecast", "bundle", "--out", tmp_path / "f.csv", cwd=simulated)
    assert pl.read_csv(tmp_path / "f.csv")["issue_time"][0] == "2020-01-31T00:00:00Z"


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_a_fan_chart_is_drawn_beside_the_table(suffix: str, begins: bytes, simulated: Path, tmp_path: Path) -> None:
    done = windcast("forecast", "bundle", "--out", tmp_path / "f.csv", "--plot", tmp_path / f"f{suffix}", cwd=simulated)
    assert done.code == 0, done.err
    assert (tmp_path / f"f{suffix}").read_bytes().startswith(begins)


def test_every_level_is_written_on_request(simulated: Path, tmp_path: Path) -> None:
    windcast("forecast", "bundle", "--all-levels", "--out", tmp_path / "f.csv", cwd=simulated)
    assert sum(c.startswith("q") for c in pl.read_csv(tmp_path / "f.csv").columns) == 19


@pytest.mark.parametrize(("levels", "columns"), [("9", ["q25", "q50", "q75"]), ("[0.4,0.6]", ["q40", "q60"])])
def test_no_level_is_written_that_the_model_does_not_reach(levels: str, columns: list[str], tmp_path: Path) -> None:
    arguments = ("data=simulation", "data.days=10", "task.horizon=2", "model=climatology", f"task.levels={levels}")
    assert windcast("train", *arguments, cwd=tmp_path).code == 0
    assert windcast("forecast", "bundle", cwd=tmp_path).code == 0
    assert [c for c in pl.read_csv(tmp_path / "forecast.csv").columns if c.startswith("q")] == columns


def test_an_issue_time_within_the_training_data_is_forecast_and_called_no_fair_test(
    simulated: Path, tmp_path: Path
) -> None:
    arguments = ("forecast", "bundle", "--issue-time", "2020-01-20T07:00+01:00", "--out", tmp_path / "f.csv")
    done = windcast(*arguments, cwd=simulated)
    assert done.code == 0, done.err
    assert "issued 2020-01-20 06:00 UTC" in done.out
    assert "no fair test" in done.out


def test_an_issue_time_beyond_the_data_is_forecast_from_what_is_left_and_says_so(
    simulated: Path, tmp_path: Path
) -> None:
    fresh = windcast("forecast", "bundle", "--out", tmp_path / "fresh.csv", cwd=simulated)
    late = windcast("forecast", "bundle", "--issue-time", "2020-03-01", "--out", tmp_path / "late.csv", cwd=simulated)
    assert (fresh.code, late.code) == (0, 0)
    assert "note" not in fresh.out
    assert "6 of 6 leads: neither weather nor recent power" in late.out
    assert set(pl.read_csv(tmp_path / "late.csv")["inputs"]) == {"nothing"}


def test_a_forecast_from_reanalysis_says_that_no_live_forecast_has_it(tmp_path: Path) -> None:
    embedded = ("data=la_haute_borne", "task.horizon=2", "task.levels=9", "model=climatology")
    assert windcast("train", *embedded, "backtest.train_from=2015-11-01", cwd=tmp_path).code == 0
    assert "reanalysis" in windcast("forecast", "bundle", cwd=tmp_path).out


# --- your own farm ---------------------------------------------------------------------------------------------------


def test_your_own_farm_goes_from_two_files_to_a_forecast(own_farm: Path, tmp_path: Path) -> None:
    checked = windcast(
        "data", "check", "data=files", "--plot", tmp_path / "c.png", "--table", tmp_path / "c.json", cwd=own_farm
    )
    assert checked.code in (0, 1), checked.err
    assert "10 MW" in checked.out
    assert everything(tmp_path) == {"c.png", "c.json"}
    tested = windcast("backtest", "data=files", *MODEL, "--out", tmp_path / "run", cwd=own_farm)
    assert tested.code == 0, tested.err
    done = windcast("forecast", "bundle", "--out", tmp_path / "f.csv", cwd=own_farm)
    assert done.code == 0, done.err
    assert "note" not in done.out
    assert set(pl.read_csv(tmp_path / "f.csv")["inputs"]) == {"fresh"}
    elsewhere = windcast(
        "forecast", own_farm / "bundle", "--farm", own_farm / "farm.yaml", "--out", "g.csv", cwd=tmp_path
    )
    assert elsewhere.code == 0, elsewhere.err
    assert (tmp_path / "g.csv").read_bytes() == (tmp_path / "f.csv").read_bytes()


def test_init_says_what_it_guessed_and_keeps_a_description_that_is_there(tmp_path: Path) -> None:
    write_farm_files(tmp_path, days=4)
    done = windcast("data", "init", "power.csv", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "power is column 'power_mw'" in done.out
    (tmp_path / "farm.yaml").write_text("mine")
    assert_refused(windcast("data", "init", "power.csv", cwd=tmp_path), "farm.yaml", "--force")
    assert (tmp_path / "farm.yaml").read_text() == "mine"
    failed = windcast("data", "init", "absent.csv", "--force", cwd=tmp_path)
    assert_refused(failed, "absent.csv")
    assert (tmp_path / "farm.yaml").read_text() == "mine"
    assert windcast("data", "init", "power.csv", "--force", cwd=tmp_path).code == 0
    assert yaml.safe_load((tmp_path / "farm.yaml").read_text())["power"]["file"] == "power.csv"
    assert everything(tmp_path) == {"power.csv", "weather.csv", "farm.yaml"}


@pytest.mark.parametrize(("out", "word"), [("farm.csv", ".yaml"), ("no/farm.yaml", "does not exist")])
def test_init_refuses_a_place_where_it_cannot_write(out: str, word: str, tmp_path: Path) -> None:
    write_farm_files(tmp_path, days=4)
    assert_refused(windcast("data", "init", "power.csv", "--out", out, cwd=tmp_path), word)


@pytest.mark.parametrize("state", ["absent", "header"])
def test_weather_that_has_not_come_widens_the_forecast_and_does_not_stop_it(
    state: str, own_farm: Path, tmp_path: Path
) -> None:
    for name in ("power.csv", "farm.yaml"):
        (tmp_path / name).write_bytes((own_farm / name).read_bytes())
    if state == "header":
        (tmp_path / "weather.csv").write_text("issue_time,valid_time,wind_speed_100m\n")
    done = windcast("forecast", own_farm / "bundle", "--farm", "farm.yaml", "--plot", "f.png", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "no weather has come" in done.out
    assert "6 of 6 leads: no weather forecast; from recent power alone" in done.out
    windcast("forecast", "bundle", "--out", tmp_path / "full.csv", cwd=own_farm)
    poor, full = pl.read_csv(tmp_path / "forecast.csv"), pl.read_csv(tmp_path / "full.csv")
    assert (poor["q95"] - poor["q05"]).mean() > (full["q95"] - full["q05"]).mean()


def test_fresh_files_stand_in_for_the_described_ones(own_farm: Path, tmp_path: Path) -> None:
    lines = (own_farm / "power.csv").read_text().splitlines(keepends=True)
    (tmp_path / "power.csv").write_text("".join(lines[:-5]))
    done = windcast("forecast", "bundle", "--power", tmp_path / "power.csv", "--out", tmp_path / "f.csv", cwd=own_farm)
    assert done.code == 0, done.err
    assert "issued 2020-02-09 18:00 UTC" in done.out
    absent = windcast("forecast", "bundle", "--weather", "typo.csv", "--out", tmp_path / "g.csv", cwd=own_farm)
    assert_refused(absent, "typo.csv")
    assert not (tmp_path / "g.csv").exists()


def test_files_go_only_with_a_bundle_of_files(simulated: Path) -> None:
    assert_refused(windcast("forecast", "bundle", "--power", "p.csv", cwd=simulated), "--farm")


def test_a_bundle_used_elsewhere_asks_for_the_description(own_farm: Path, tmp_path: Path) -> None:
    assert_refused(windcast("forecast", own_farm / "bundle", cwd=tmp_path), "farm.yaml", "--farm")


def test_a_bundle_that_does_not_say_its_data_asks_for_them(simulated: Path, tmp_path: Path) -> None:
    manifest = json.loads((simulated / "bundle" / "manifest.json").read_text())
    shutil.copytree(simulated / "bundle", tmp_path / "bundle")
    (tmp_path / "bundle" / "manifest.json").write_text(json.dumps(manifest | {"config": {}}))
    assert_refused(windcast("forecast", "bundle", cwd=tmp_path), "--farm")


def test_a_farm_that_the_bundle_was_not_trained_on_is_refused_in_a_sentence(own_farm: Path, simulated: Path) -> None:
    done = windcast("forecast", simulated / "bundle", "--farm", "farm.yaml", cwd=own_farm)
    assert_refused(done, "capacity in MW is 10.0", "20.5")


def test_the_check_of_a_faulty_farm_exits_with_its_worst_finding(tmp_path: Path) -> None:
    clean = windcast("data", "check", "data=simulation", "data.days=60", cwd=tmp_path)
    assert clean.code == 0, clean.out
    write_farm_files(tmp_path)
    lines = (tmp_path / "power.csv").read_text().splitlines()
    stuck = [*lines[:200], *(f"{line.split(',')[0]},5.000" for line in lines[200:500]), *lines[500:]]
    (tmp_path / "power.csv").write_text("\n".join(stuck) + "\n")
    windcast("data", "init", "power.csv", "--weather", "weather.csv", cwd=tmp_path)
    faulty = windcast("data", "check", "data=files", "--table", "f.csv", cwd=tmp_path)
    findings = pl.read_csv(tmp_path / "f.csv")
    worst = 2 if "error" in set(findings["severity"]) else 1
    assert faulty.code == worst
    assert findings.height


# --- what is refused before hours of work ----------------------------------------------------------------------------


def test_a_service_whose_port_is_taken_says_so_and_leaves_nothing(simulated: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = windcast("serve", simulated / "bundle", "--history", "2", "--port", str(port), cwd=tmp_path)
    assert_refused(done, f"port {port} is taken. Choose another with --port.")
    assert not everything(tmp_path)


def test_history_from_files_that_are_elsewhere_names_where_it_looked(own_farm: Path, tmp_path: Path) -> None:
    done = windcast("serve", own_farm / "bundle", "--history", "2", "--port", "0", cwd=tmp_path)
    assert_refused(done, "farm.yaml", str(tmp_path), "--history")


def test_keys_are_listed_without_what_opens(tmp_path: Path) -> None:
    token = windcast("keys", "add", "trader", cwd=tmp_path).out.split()[0]
    windcast("keys", "add", "scada", "--farm", "hill", "--write", cwd=tmp_path)
    listed = windcast("keys", "list", cwd=tmp_path)
    first, second = listed.out.splitlines()
    assert first.startswith("trader: read, every farm, made 20")
    assert second.startswith("scada: read and write, hill, made 20")
    assert token not in listed.out
    assert_refused(windcast("keys", "list", "--file", "absent.json", cwd=tmp_path), "windcast keys add")


def test_an_interrupted_command_says_so_in_one_line(simulated: Path, tmp_path: Path) -> None:
    with mock.patch("windcast.serving.history.fill", side_effect=KeyboardInterrupt):
        done = windcast("serve", simulated / "bundle", "--history", "2", "--port", "0", cwd=tmp_path)
    assert (done.code, done.err) == (130, "windcast: interrupted.\n")
    assert "goes on where it stopped" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serve", "bundle", "--history", "-1"), ("--history is -1",)),
        (("serve", "bundle", "--history", "nan"), ("--history is nan",)),
        (("forecast", "bundle", "--out", "f.xlsx"), ("f.xlsx", ".csv, .parquet or .json")),
        (("forecast", "bundle", "--plot", "f.gif"), ("f.gif", ".png, .svg or .pdf")),
        (("forecast", "bundle", "--out", "folder.csv"), ("folder.csv", "is a folder")),
        (("forecast", "bundle", "--out", "file/f.csv"), ("file", "not a folder")),
        (("forecast", "bundle", "--issue-time", "noon"), ("--issue-time is 'noon'",)),
        (("forecast", "bundle", "--issue-time", "0001-01-01T00:00+09:00"), ("--issue-time",)),
        (("train", "--until", "soon"), ("--until is 'soon'",)),
        (("data", "check", "--table", "t.txt"), ("t.txt",)),
        (("data", "check", "--plot", "t.bmp"), ("t.bmp",)),
        (("forecast", "absent"), ("absent", "windcast train")),
        (("report", "absent"), ("absent",)),
        (("reproduce", "absent"), ("absent",)),
        (("compare", "absent"), ("absent",)),
        (("config", "modl=gbm"), ("modl", "Did you mean 'model'?")),
        (("config", "model=gmb"), ("Did you mean 'gbm'?",)),
        (("config", "data=files", "data.confg=x"), ("Did you mean 'data.config'?",)),
        (("data", "check", "data=files"), ("farm.yaml", "windcast data init")),
    ],
    ids=lambda value: "_".join(value)[:40] if isinstance(value, tuple) else None,
)
def test_a_mistake_is_one_line_and_exit_status_2(
    arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("")
    before = everything(tmp_path)
    with mock.patch("windcast.models.base.Forecaster.fit", side_effect=AssertionError("work was begun")):
        assert_refused(windcast(*arguments, cwd=tmp_path), *words)
    assert everything(tmp_path) == before


def test_a_message_of_several_lines_is_printed_as_one(tmp_path: Path) -> None:
    assert_refused(windcast("forecast", "two\nlines", cwd=tmp_path), "two lines")


def test_a_disk_that_refuses_is_one_line_too(simulated: Path, tmp_path: Path) -> None:
    with mock.patch("polars.DataFrame.write_csv", side_effect=PermissionError(13, "Permission denied", "f.csv")):
        done = windcast("forecast", "bundle", "--out", tmp_path / "f.csv", cwd=simulated)
    assert_refused(done, "f.csv: Permission denied")
    assert everything(tmp_path) == set()


# --- config, compare, report, reproduce, demo ------------------------------------------------------------------------


def test_config_prints_yaml_with_every_override_in_it(tmp_path: Path) -> None:
    done = windcast("config", *SIMULATED, cwd=tmp_path)
    document = yaml.safe_load(done.out)
    assert document["model"]["rounds"] == 5
    assert document["model"]["threads"] == 1
    assert document["data"] == {"source": "simulation", "days": 30, "seed": 1}


def test_a_run_is_made_again_to_the_bit(simulated: Path, tmp_path: Path) -> None:
    done = windcast("reproduce", "run", "--out", tmp_path / "again", cwd=simulated)
    assert done.code == 0, done.out
    assert "to the bit" in done.out
    once, again = (pl.read_parquet(folder / "forecasts.parquet") for folder in (simulated / "run", tmp_path / "again"))
    assert once.equals(again)


def test_a_run_whose_settings_were_changed_is_not_reproduced_and_says_what_differs(
    simulated: Path, tmp_path: Path
) -> None:
    record = json.loads((simulated / "run" / "run.json").read_text())
    record["settings"]["data"]["seed"] = 2
    record["settings"]["backtest"]["against"] = ["climatology"]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    done = windcast("reproduce", "run", cwd=tmp_path)
    assert done.code == 1
    assert "data: sha256" in done.out
    assert "forecasts of gbm: CRPS" in done.out
    assert "none here" in done.out.replace("\n", " ")
    assert (tmp_path / "run" / "again" / "run.json").is_file()


def test_a_run_is_not_repeated_into_itself(simulated: Path) -> None:
    before = (simulated / "run" / "run.json").read_bytes()
    assert_refused(windcast("reproduce", "run", "--out", "run", cwd=simulated), "is the run itself")
    assert (simulated / "run" / "run.json").read_bytes() == before


def test_two_models_of_a_run_are_compared(simulated: Path) -> None:
    done = windcast("compare", "run", "--models", "power_curve:climatology", cwd=simulated)
    assert done.code == 0, done.err
    assert "power_curve is" in done.out
    assert "% better than climatology" in done.out
    assert_refused(windcast("compare", "run", "--models", "gbn:climatology", cwd=simulated), "Did you mean 'gbm'?")


def test_the_report_is_written_again_from_the_stored_run(simulated: Path, tmp_path: Path) -> None:
    report = simulated / "run" / "report.html"
    first = report.read_bytes()
    report.unlink()
    assert windcast("report", "run", cwd=simulated).code == 0
    assert report.read_bytes() == first


def test_the_demo_makes_all_that_it_names(tmp_path: Path) -> None:
    small = ("backtest.train_from=2015-11-15", "backtest.start=2015-12-01", "backtest.end=2015-12-05")
    done = windcast("demo", "--out", "d", *MODEL, *small, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "Etalab" in done.out
    for name in ("report.html", "forecast.png", "forecast.csv", "bundle/manifest.json"):
        assert (tmp_path / "d" / name).is_file()
    assert f"windcast serve {Path('d') / 'bundle'} --history 7" in done.out
    assert not [name for name in everything(tmp_path) if ".part" in name or "/." in name]


# --- as real processes -----------------------------------------------------------------------------------------------


def test_the_process_exits_0_with_nothing_on_stderr(tmp_path: Path) -> None:
    done = process("config", "data=simulation", "model=climatology", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert yaml.safe_load(done.out)["model"] == {"name": "climatology"}


def test_the_process_exits_2_with_one_line_on_stderr(tmp_path: Path) -> None:
    done = process("backtest", "data=simulaton", cwd=tmp_path)
    assert_refused(done, "Did you mean 'simulation'?")
    assert done.out == ""


def test_without_arguments_help_is_shown_that_names_every_command() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output
    for command in ("demo", "data", "backtest", "train", "forecast", "compare", "report", "reproduce", "config"):
        assert command in shown
