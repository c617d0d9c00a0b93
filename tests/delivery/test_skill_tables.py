"""What the documentation says of accuracy is what was measured."""

import sys
from pathlib import Path

import pytest
from snippets import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import skill_tables

PAGE = ROOT / "docs" / "models.md"


def test_the_tables_of_skill_are_those_of_the_results() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("<!-- table: ") == len(skill_tables.TABLES)
    assert skill_tables.filled(page) == page, "run scripts/skill_tables.py"


def test_a_number_that_was_not_measured_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert skill_tables.filled(page.replace("| 4.23 |", "| 4.13 |", 1)) == page
    (tmp_path / "benchmarks").mkdir()
    measured = (ROOT / "benchmarks" / "results" / "la_haute_borne_accuracy.json").read_text(encoding="utf-8")
    (tmp_path / "benchmarks" / "results").mkdir()
    for name in ("klim", "gefcom"):
        source = ROOT / "benchmarks" / "results" / f"{name}_accuracy.json"
        (tmp_path / "benchmarks" / "results" / source.name).write_bytes(source.read_bytes())
    (tmp_path / "benchmarks" / "results" / "la_haute_borne_accuracy.json").write_text(
        measured.replace("4.2303", "4.1303")
    )
    monkeypatch.setattr(skill_tables, "ROOT", tmp_path)
    assert skill_tables.filled(page) != page
