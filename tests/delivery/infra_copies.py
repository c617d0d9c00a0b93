"""Copies of the Terraform files with one thing changed."""

from pathlib import Path

from infra.checks.configuration import Configuration, read

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"


def changed(folder: Path, file: str, before: str, after: str) -> Configuration:
    """The files with `before` replaced where it first stands in one of them; with no `before`, `after` is added."""
    for source in INFRA.glob("*.tf"):
        (folder / source.name).write_text(source.read_text())
    text = (INFRA / file).read_text()
    assert before in text, f"{file} has no {before!r}: the test changes nothing"
    (folder / file).write_text(text.replace(before, after, 1) if before else f"{text}\n{after}\n")
    return read(folder)
