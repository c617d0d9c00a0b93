"""What the documentation says of accuracy is what was measured."""

import shutil
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
    results = tmp_path / "benchmarks" / "results"
    shutil.copytree(ROOT / "benchmarks" / "results", results)
    other = results / "la_haute_borne_accuracy.json"
    other.write_text(other.read_text(encoding="utf-8").replace("4.2303", "4.1303"), encoding="utf-8")
    monkeypatch.setattr(skill_tables, "ROOT", tmp_path)
    assert skill_tables.filled(page) != page
