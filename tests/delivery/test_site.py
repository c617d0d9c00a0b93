"""The documentation's site: strict, complete, made from the code, and it asks nobody else for anything."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer.main
from snippets import ROOT

import windcast
from windcast.cli import app

NEEDS_MKDOCS = pytest.mark.skipif(
    find_spec("mkdocs") is None or find_spec("mkdocstrings") is None,
    reason="MkDocs is not installed: make site installs it",
)


def build(folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-d", str(out)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT, out)
    assert done.returncode == 0, done.stderr
    return out


@NEEDS_MKDOCS
def test_no_page_asks_another_server_for_anything(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        loaded = re.findall(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="([^"]+)"', page.read_text(encoding="utf-8"))
        loaded += re.findall(
            r'<link\b[^>]*rel="(?:stylesheet|preload|preconnect|icon)"[^>]*href="([^"]+)"', page.read_text("utf-8")
        )
        assert not [address for address in loaded if re.match(r"(https?:)?//", address)], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"@import|url\(\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


@NEEDS_MKDOCS
def test_the_references_name_every_command_every_option_and_every_export(site: Path) -> None:
    commands = (site / "reference" / "cli.html").read_text(encoding="utf-8")

    def check(command: object, name: str) -> None:
        assert f"<code>{name}</code>" in commands
        for parameter in getattr(command, "params", []):
            for option in parameter.opts:
                assert option in commands or not option.startswith("-")
        for child, inner in getattr(command, "commands", {}).items():
            check(inner, f"{name} {child}")

    for child, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        check(command, f"windcast {child}")
    python = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for name in windcast.__all__:
        assert f'id="windcast.{windcast._HOMES[name]}.{name}"' in python


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the site is built of, to be broken."""
    folder = tmp_path / "repository"
    folder.mkdir()
    shutil.copy(ROOT / "mkdocs.yml", folder)
    for part in ("docs", "scripts"):
        shutil.copytree(ROOT / part, folder / part)
    for part in ROOT.iterdir():
        if not part.name.startswith(".") and not (folder / part.name).exists():
            (folder / part.name).symlink_to(part)
    return folder


def add(page: Path, text: str) -> None:
    page.write_text(f"{page.read_text(encoding='utf-8')}\n{text}\n", encoding="utf-8")


@NEEDS_MKDOCS
def test_the_build_stops_at_broken_links_anchors_pictures_and_navigation(copy: Path, tmp_path: Path) -> None:
    add(copy / "docs" / "index.md", "[x](start.md#nowhere) ![x](images/none.png) [x](none.md)")
    (copy / "docs" / "unnamed.md").write_text("# Nobody's\n", encoding="utf-8")
    (copy / "docs" / "original.md").unlink()
    done = build(copy, tmp_path / "site")
    assert done.returncode != 0
    for said in (
        "'start.md#nowhere', but the doc 'start.md' does not contain an anchor",
        "'images/none.png', but the target is not found",
        "'none.md', but the target is not found",
        'not included in the "nav" configuration:\n  - unnamed.md',
        "'original.md' is included in the 'nav' configuration, which is not found",
    ):
        assert said in done.stderr


@NEEDS_MKDOCS
def test_the_build_stops_at_a_link_to_a_file_that_the_repository_does_not_have(copy: Path, tmp_path: Path) -> None:
    add(copy / "docs" / "index.md", "[x](../src/none.py)")
    done = build(copy, tmp_path / "site")
    assert done.returncode != 0
    assert "docs/index.md: links to ../src/none.py" in done.stderr
