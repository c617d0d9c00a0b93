"""A promotion from end to end: judged on what neither has seen, a verdict written, the alias moved if it is earned."""

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from windcast.cli import app
from windcast.errors import BundleError, ConfigError, TaskError, TrackingError
from windcast.evaluation.backtest import replay
from windcast.evaluation.gate import CRITERIA
from windcast.registry import pointer, production
from windcast.registry.bundles import MANIFEST, Bundle, open_bundle
from windcast.registry.spans import Seen, seen_by, unseen
from windcast.workflows import promoting
from windcast.workflows.promoting import Asked, promote, rollback
from windcast.workflows.verdicts import Verdict

pytest.importorskip("mlflow", reason="MLflow is not installed (extra track)")
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # MLflow's own
FARM = "simulation"
START = datetime(2020, 1, 1, tzinfo=UTC)
TIMES = np.datetime64("2020-01-01", "us") + np.timedelta64(3, "h") * np.arange(8 * 100)
WEEKS = timedelta(days=28)
Trained = Callable[..., Bundle]


def asked(runs: Path, run: str | Path, **options: object) -> Asked:
    patient = replace(CRITERIA, quick_ms=60_000.0)  # on a machine that does other things too
    return Asked(run=str(run), runs=runs, registry=runs / "registry", criteria=patient, **options)  # type: ignore[arg-type]


def said(verdict: Verdict) -> dict[str, bool]:
    return {finding.name: finding.passed for finding in verdict.findings}


def champion(runs: Path) -> str:
    return pointer.read(runs / "registry", FARM).checksum


@pytest.fixture
def reigning(runs: Path, curve: Bundle) -> Verdict:
    return promote(asked(runs, curve.folder))[0]


def test_the_first_champion_beats_persistence_and_climatology(runs: Path, reigning: Verdict) -> None:
    assert reigning.promoted
    assert reigning.champion is None
    assert said(reigning) == dict.fromkeys(
        ("contract", "unseen issue times", "better than persistence", "better than climatology", "smoke test"), True
    )
    assert champion(runs) == reigning.challenger["checksum"]


def test_a_first_candidate_no_better_than_climatology_is_refused(runs: Path, tmp_path: Path, trained: Trained) -> None:
    verdict, _ = promote(asked(runs, trained(tmp_path / "b", "model=climatology").folder))
    assert not verdict.promoted
    assert not said(verdict)["better than climatology"]
    with pytest.raises(BundleError, match="no farm has a champion"):
        champion(runs)


def test_a_promotion_may_run_within_an_event_loop_as_in_a_notebook(runs: Path, curve: Bundle) -> None:
    async def cell() -> Verdict:
        return promote(asked(runs, curve.folder))[0]

    assert said(asyncio.run(cell()))["smoke test"]


def test_a_better_challenger_takes_its_place_and_one_command_goes_back(
    runs: Path, reigning: Verdict, forest: Bundle
) -> None:
    verdict, folder = promote(asked(runs, forest.folder, command="windcast promote forest"))
    assert verdict.promoted
    assert all(said(verdict).values())
    assert {"accuracy", "lead times", "worst week", "bundle size", "latency"} < set(said(verdict))
    assert champion(runs) == verdict.challenger["checksum"] != reigning.challenger["checksum"]
    stored = json.loads((folder / "verdict.json").read_text())
    assert (stored["promoted"], stored["forced"], stored["champion"]) == (True, False, reigning.challenger)
    assert [f["name"] for f in stored["findings"]] == list(said(verdict))
    text = (folder / "verdict.md").read_text()
    assert text.startswith(f"# {verdict.headline}")
    assert all(finding.name in text for finding in verdict.findings)
    rollback(None, runs / "registry", "a look back")
    assert champion(runs) == reigning.challenger["checksum"]


def test_a_worse_challenger_is_refused_unless_forced_and_the_reason_stays(
    runs: Path, forest: Bundle, curve: Bundle
) -> None:
    first, _ = promote(asked(runs, forest.folder))
    verdict, folder = promote(asked(runs, curve.folder))
    assert not verdict.promoted
    assert not said(verdict)["accuracy"]
    assert "version 1" in verdict.headline
    assert champion(runs) == first.challenger["checksum"]
    forced, beside = promote(asked(runs, curve.folder, force=True, reason="the weather provider has changed"))
    assert forced.promoted
    assert forced.forced
    assert champion(runs) == forced.challenger["checksum"]
    assert folder != beside
    assert "the weather provider has changed" in (beside / "verdict.md").read_text()
    line = (runs / "registry" / FARM / "moves.jsonl").read_text().splitlines()[-1]
    assert json.loads(line)["reason"] == "the weather provider has changed"


@pytest.mark.parametrize("reason", ["", "  ", "because"])
def test_force_needs_a_reason(runs: Path, reason: str) -> None:
    with pytest.raises(ConfigError, match="--reason"):
        asked(runs, "run", force=True, reason=reason)


def test_a_challenger_that_saw_the_test_data_is_refused_with_the_overlap_named(
    runs: Path, reigning: Verdict, tmp_path: Path, trained: Trained
) -> None:
    everything = trained(tmp_path / "b", "model=power_curve", until=None)
    verdict, _ = promote(asked(runs, everything.folder))
    assert not verdict.promoted
    refusal = next(f for f in verdict.findings if f.name == "unseen issue times")
    assert not refusal.passed
    assert "the challenger has seen everything until 2020-04-10 00:00 UTC" in refusal.said
    partly = trained(tmp_path / "c", "model=gbm", "model.rounds=5", until=datetime(2020, 3, 5, tzinfo=UTC))
    verdict, _ = promote(asked(runs, partly.folder, since=datetime(2020, 2, 21, tzinfo=UTC)))
    assert not verdict.promoted
    refusal = next(f for f in verdict.findings if f.name == "unseen issue times")
    assert "the challenger has seen 2020-02-21 00:00 to 2020-03-04 21:00 UTC" in refusal.said
    assert champion(runs) == reigning.challenger["checksum"]


def test_a_tuning_span_counts_as_seen_wherever_it_is_recorded(forest: Bundle) -> None:
    tuned = datetime(2020, 3, 1, tzinfo=UTC)
    assert seen_by(forest, "x").until == forest.trained_until
    assert seen_by(forest, "x", recorded={"tuned_until": tuned.isoformat()}).until == tuned
    inside = replace(
        forest, manifest=forest.manifest | {"config": forest.manifest["config"] | {"tuned_until": tuned.isoformat()}}
    )
    assert seen_by(inside, "x").until == tuned
    later = tuned + timedelta(days=3)
    assert seen_by(inside, "x", recorded={"fitted_until": later.isoformat()}).until == later


def test_what_is_left_begins_when_both_have_seen_their_last() -> None:
    one = Seen(name="one", trained_until=START + timedelta(days=10))
    other = Seen(name="other", trained_until=START, tuned_until=START + timedelta(days=30))
    left = unseen(TIMES, one, other, least=WEEKS)
    assert left[0] == np.datetime64("2020-01-31T00:00", "us")
    assert left[-1] == TIMES[-1]
    later = unseen(TIMES, one, other, since=START + timedelta(days=40), least=WEEKS)
    assert later[0] == np.datetime64("2020-02-10", "us")
    with pytest.raises(TaskError, match="one has seen 2020-01-06 00:00 to 2020-01-10 21:00 UTC: 40 of the"):
        unseen(TIMES, one, since=START + timedelta(days=5), least=WEEKS)
    with pytest.raises(TaskError, match="issue times are left"):
        unseen(TIMES, one, other, since=START + timedelta(days=90), least=WEEKS)
    with pytest.raises(TaskError, match="0 issue times are left"):
        unseen(TIMES[:0], one, least=WEEKS)


def test_out_of_sample_forecasts_are_those_that_production_makes_one_after_another(
    tmp_path: Path, trained: Trained
) -> None:
    from windcast.configs import settings

    bundle = trained(tmp_path / "b", "model=gbm", "model.rounds=3", "calibration=adaptive", "calibration.rate=0.05")
    farm = settings(["data=simulation", "data.days=100"]).farm()
    times = np.datetime64("2020-02-20T06:00", "us") + np.timedelta64(6, "h") * np.arange(6)
    hours = production.grid(bundle.trained_until, datetime(2020, 2, 21, 12, tzinfo=UTC), timedelta(hours=1))
    one_by_one = dict(zip(hours.tolist(), replay(bundle.forecaster, farm, hours), strict=True))
    found = production.out_of_sample(bundle, farm, times)
    for row, issue in enumerate(times.tolist()):
        assert found.values[row].tobytes() == one_by_one[issue].values[0].tobytes()


def test_a_bundle_of_another_question_is_refused_even_by_force(
    runs: Path, reigning: Verdict, tmp_path: Path, trained: Trained
) -> None:
    shorter = trained(tmp_path / "b", "model=power_curve", "task.horizon=5")
    verdict, _ = promote(asked(runs, shorter.folder, force=True, reason="it is what we want"))
    assert not verdict.promoted
    assert "horizon is 5, the champion's 6" in verdict.findings[0].said
    assert champion(runs) == reigning.challenger["checksum"]


def test_a_bundle_that_does_not_answer_is_refused_even_by_force(
    runs: Path, reigning: Verdict, forest: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> object:
        raise ValueError("no model here")

    monkeypatch.setattr("windcast.serving.batching.Batcher.together", broken)
    verdict, _ = promote(asked(runs, forest.folder, force=True, reason="it is what we want"))
    assert not verdict.promoted
    assert "the service answers 500" in next(f for f in verdict.findings if f.name == "smoke test").said
    assert champion(runs) == reigning.challenger["checksum"]


def test_the_champion_is_not_promoted_again(runs: Path, reigning: Verdict, curve: Bundle) -> None:
    with pytest.raises(ConfigError, match="is the champion of simulation already"):
        promote(asked(runs, curve.folder))


def test_another_promotion_meanwhile_is_not_undone(
    runs: Path, reigning: Verdict, forest: Bundle, tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    quicker = trained(tmp_path / "b", "model=forest", "model.trees=15")
    smoke = promoting.smoke_test

    def slow(*given: object) -> object:
        monkeypatch.setattr(promoting, "smoke_test", smoke)
        assert promote(asked(runs, quicker.folder))[0].promoted
        return smoke(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(promoting, "smoke_test", slow)
    with pytest.raises(TrackingError, match="another promotion moved the champion meanwhile"):
        promote(asked(runs, forest.folder))
    assert champion(runs) != reigning.challenger["checksum"]


def test_a_run_that_does_not_exist_names_the_nearest(runs: Path, forest: Bundle) -> None:
    shutil.copytree(forest.folder, runs / "may-gbm" / "bundle")
    assert promoting.found("may-gbm", runs)[0] == runs / "may-gbm" / "bundle"
    with pytest.raises(TrackingError, match="no run 'mya-gbm'"):
        promoting.found("mya-gbm", runs)
    (runs / "empty").mkdir()
    with pytest.raises(ConfigError, match="has no bundle"):
        promoting.found(str(runs / "empty"), runs)


def test_a_bundle_from_a_newer_version_or_an_altered_one_is_refused_and_nothing_is_registered(
    runs: Path, forest: Bundle, tmp_path: Path
) -> None:
    newer = shutil.copytree(forest.folder, tmp_path / "newer")
    manifest = json.loads((newer / MANIFEST).read_text())
    (newer / MANIFEST).write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(BundleError, match="bundle format 99"):
        promote(asked(runs, newer))
    altered = shutil.copytree(forest.folder, tmp_path / "altered")
    file = altered / next(iter(open_bundle(altered).manifest["files"]))
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(BundleError, match="was changed since training"):
        promote(asked(runs, altered))
    assert not (runs / "registry").exists()


def test_rollback_names_the_farms_it_knows(runs: Path, reigning: Verdict) -> None:
    with pytest.raises(ConfigError, match=r"unknown farm in the registry 'simulatoin'\. Did you mean 'simulation'"):
        rollback("simulatoin", runs / "registry")
    with pytest.raises(ConfigError, match="no farm has a champion"):
        rollback(None, runs / "elsewhere")
    with pytest.raises(TrackingError, match="no champion before"):
        rollback(FARM, runs / "registry")


def test_the_command_line_says_what_was_found_and_exits_1_for_a_refusal(
    runs: Path, forest: Bundle, curve: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs.parent)
    run = CliRunner()
    first = run.invoke(app, ["promote", str(curve.folder)])
    assert first.exit_code == 0, first.output
    better = run.invoke(app, ["promote", str(forest.folder)])
    assert better.exit_code == 0, better.output
    assert "version 2 (forest) promoted, the champion was version 1." in better.output
    back = run.invoke(app, ["rollback", "--reason", "a test of going back"])
    assert "Version 1 is the champion again" in back.output
    run.invoke(app, ["promote", str(forest.folder)])
    refused = run.invoke(app, ["promote", str(curve.folder)])
    assert refused.exit_code == 1
    assert "not promoted, the champion stays version 2; it failed accuracy" in refused.output
