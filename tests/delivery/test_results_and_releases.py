"""A worse result is noticed, a release has words, and a training's comment cannot be written by a name."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from clouds import ROOT

# isort: split
import comment
import images
import regression
import release_notes

RESULTS = ROOT / "benchmarks" / "results"
CHANGELOG = (
    "# Changelog\n\n## [Unreleased]\n- more\n\n## [1.2.0] - 2026-01-01\n### Added\n- a thing\n\n## [1.1.0]\n- old\n"
)


def rows(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("name", ["la_haute_borne_accuracy", "promotion", "speed", "serving"])
def test_the_committed_results_are_no_worse_than_themselves(name: str) -> None:
    assert regression.compare(rows(name), rows(name)) == []


def changed(name: str, factor: float) -> list[regression.Finding]:
    before = rows("la_haute_borne_accuracy")
    after = copy.deepcopy(before)
    (row,) = (row for row in after if row["name"] == name)
    row["value"] *= factor
    return regression.compare(before, after)


def test_an_error_that_grew_by_a_tenth_fails() -> None:
    (finding,) = changed("CRPS of pool", 1.1)
    assert finding.fails
    assert "1.10 times worse" in finding.said


def test_a_slower_machine_warns_and_an_error_that_shrank_says_nothing() -> None:
    (finding,) = changed("training of pool", 3.0)
    assert not finding.fails
    assert changed("training of pool", 1.9) == []
    assert changed("CRPS of pool", 0.5) == []


def test_a_measurement_that_is_no_longer_made_fails() -> None:
    before = rows("promotion")
    (finding,) = regression.compare(before, before[1:])
    assert finding.fails
    assert before[0]["name"] in finding.said


def test_of_a_rate_less_is_worse() -> None:
    before = rows("promotion")
    after = copy.deepcopy(before)
    (row,) = (row for row in after if row["name"] == "a challenger with 3 % lower CRPS is promoted")
    row["value"] *= 0.8
    (finding,) = regression.compare(before, after)
    assert finding.fails


def test_the_notes_of_a_release_are_its_section_of_the_changelog() -> None:
    assert release_notes.notes("v1.2.0", changelog=CHANGELOG, version="1.2.0") == "### Added\n- a thing\n"


@pytest.mark.parametrize(("tag", "version"), [("v1.3.0", "1.2.0"), ("v1.3.0", "1.3.0"), ("1.2.0", "1.2.0")])
def test_a_tag_without_its_version_or_its_words_is_not_released(tag: str, version: str) -> None:
    with pytest.raises(ValueError, match=r"tag v|has no section"):
        release_notes.notes(tag, changelog=CHANGELOG, version=version)


def test_an_image_is_named_by_its_commit_and_by_its_tag() -> None:
    assert images.tags("c" * 40, "refs/heads/main") == ["c" * 40]
    assert images.tags("c" * 40, "refs/tags/v1.2.0") == ["c" * 40, "v1.2.0"]
    assert images.tags("c" * 40, "refs/tags/v1.2.0-rc1") == ["c" * 40]
    with pytest.raises(ValueError, match="not a commit"):
        images.tags("main", "refs/heads/main")


def test_a_comment_has_the_scores_and_plots_and_no_markdown_of_a_models_name(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "run").mkdir()
    scores = {"model": "gbm, calibrated", "crps": 4.2312}
    (tmp_path / "report" / "scores.json").write_text(json.dumps(scores))
    table = "model,lead_minutes,n,crps,coverage_50,width_50,coverage_80,width_80,coverage_90,width_90\n"
    leads = "".join(f'"gbm, calibrated",{60 * k}.0,9,4.{k},50.0,20.0,80.0,40.0,90.0,60.0\n' for k in range(1, 7))
    (tmp_path / "report" / "leads.csv").write_text(table + leads)
    (tmp_path / "run" / "leaderboard.csv").write_text(
        'model,crps,n\n"gbm, calibrated",4.23,9\n@all [x](http://y),5.0,9\n'
    )
    text = comment.write(tmp_path).read_text("utf-8")
    assert "| gbm, calibrated | 4.23 | 9 |" in text
    assert "@all" not in text
    assert "](http" not in text
    for plot in ("crps.png", "coverage.png"):
        assert f"({plot})" in text
        assert (tmp_path / plot).read_bytes().startswith(b"\x89PNG")
