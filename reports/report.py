"""A report of questions and answers in one Markdown file: check it against its own rules, or make a page of it.

    python reports/report.py check            # names every answer that breaks its rule
    python reports/report.py html             # writes reports/report.html

Exit status: 0 clean, 1 findings, 2 the document cannot be read. What is read and how words are counted: docs/report.md.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

if __package__:
    from .reporting.document import Document, read
    from .reporting.errors import UnreadableError
    from .reporting.findings import findings
    from .reporting.page import build
else:  # run as a file
    from reporting.document import Document, read
    from reporting.errors import UnreadableError
    from reporting.findings import findings
    from reporting.page import build

HERE = Path(__file__).parent
CLEAN, FOUND, UNREADABLE = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Run one of the two commands; the exit status."""
    commands = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = commands.add_subparsers(dest="command", required=True)
    for name, what in (("check", "name every answer that breaks its rule"), ("html", "write the report as one page")):
        command = known.add_parser(name, help=what, description=what)
        command.add_argument("file", nargs="?", type=Path, default=HERE / "README.md", help="default: %(default)s")
        if name == "html":
            command.add_argument("--out", type=Path, help="default: report.html beside the document")
    given = commands.parse_args(arguments)
    try:
        document = read(given.file)
        return _html(document, given.out) if given.command == "html" else _check(document)
    except UnreadableError as error:
        print(error, file=sys.stderr)
        return UNREADABLE


def _check(document: Document) -> int:
    found = findings(document)
    for finding in found:
        print(f"{document.path}:{finding.line}: {finding.text}")
    asked = len(document.questions)
    print(
        f"{asked} question{'s' * (asked != 1)}, {len(found) or 'no'} finding{'s' * (len(found) != 1)}", file=sys.stderr
    )
    return FOUND if found else CLEAN


def _html(document: Document, out: Path | None) -> int:
    """Write the page, whole or not at all. Images that cannot be shown are named; the page says so in their places."""
    out = out or document.folder / "report.html"
    if out.suffix.lower() not in (".html", ".htm"):
        raise UnreadableError(f"{out}: a page is named *.html. Give another --out.")
    html, missing = build(document)
    for text in missing:
        print(f"{document.path}: {text}", file=sys.stderr)
    try:
        handle, name = tempfile.mkstemp(prefix=".report-", suffix=".html", dir=out.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(html)
            Path(name).chmod(0o644)
            Path(name).replace(out)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UnreadableError(f"{out}: cannot be written ({error.strerror}). Give another --out.") from error
    print(out)
    return CLEAN


if __name__ == "__main__":
    sys.exit(main())
