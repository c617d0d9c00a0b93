"""What the site adds to docs/ when it is built: the references, made from the code, and pages that live elsewhere.

MkDocs calls the functions named `on_…` (see mkdocs.yml). A link from a page to a file of the repository, which GitHub
shows and the site does not have, becomes the file's path; if there is no such file the build fails.
"""

import os
import re
from pathlib import Path
from typing import Any

import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.cli import get_docs_for_click

import windcast
from windcast.cli import app

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {"CHANGELOG.md": "reference/changelog.md", "infra/README.md": "infra.md"}
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?!https?:|#|mailto:)[^)#\s]+)(#[^)\s]+)?\)")
LIST = re.compile(
    r"^((?!\s*(?:[-*] |\d+\. |\|)).*\S.*\n)((?:[-*]|1\.) )", re.MULTILINE
)  # begins right below a paragraph
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages that no one writes by hand, and those that are kept beside what they are about."""
    generated = {"reference/cli.md": command_line(), "reference/python.md": python()}
    for source, target in ELSEWHERE.items():
        if (ROOT / source).is_file():
            generated[target] = (ROOT / source).read_text(encoding="utf-8")
    for uri, content in generated.items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Links to the repository's files, as the site can show them; what stands in a fence stays."""
    origin = next((s for s, t in ELSEWHERE.items() if t == page.file.src_uri), f"docs/{page.file.src_uri}")
    parts, at = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [_relinked(markdown[at : fence.start()], origin, page), fence.group()]
        at = fence.end()
    return "".join([*parts, _relinked(markdown[at:], origin, page)])


def _relinked(text: str, origin: str, page: Page) -> str:
    def link(found: re.Match[str]) -> str:
        label, path, anchor = found.group(1), found.group(2), found.group(3) or ""
        target = os.path.normpath(f"{Path(origin).parent}/{path}")
        if target.startswith("docs/") and page.file.src_uri not in ELSEWHERE.values():
            return found.group()
        if not (ROOT / target).exists():
            raise PluginError(f"{origin}: links to {path}, which the repository does not have.")
        if target in ELSEWHERE or target.startswith("docs/"):
            inside = ELSEWHERE.get(target, target.removeprefix("docs/"))
            return f"[{label}]({os.path.relpath(inside, Path(page.file.src_uri).parent)}{anchor})"
        return label if target in label else f"{label} (`{target}`)"

    return LIST.sub(r"\1\n\2", LINK.sub(link, text))


def command_line() -> str:
    """Every command with its arguments and options, by Typer's own generator."""
    docs = get_docs_for_click(
        obj=typer.main.get_command(app), ctx=typer.Context(typer.main.get_command(app)), name="windcast"
    )
    return re.sub(r"\[/?bold\]", "**", docs).replace("# `windcast`", "# Command line", 1)


def python() -> str:
    """What `windcast` exports, the base of every model, and the errors."""
    lines = ["# Python", "", "`import windcast as wc`; each name is imported when it is first used.", ""]
    lines += [f"::: windcast.{windcast._HOMES[name]}.{name}\n" for name in sorted(windcast.__all__, key=str.lower)]
    lines += ["## A model of your own", "", "[How](../extend.md).", "", "::: windcast.models.base.Forecaster", ""]
    lines += [
        "## Errors",
        "",
        "::: windcast.errors",
        "    options: {show_root_heading: false, show_root_toc_entry: false}",
    ]
    return "\n".join(lines)
