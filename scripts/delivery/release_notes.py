"""The notes of a release, from CHANGELOG.md: `python scripts/delivery/release_notes.py v1.2.0 > notes.md`.

Refuses a tag that is not the version of pyproject.toml, and a version without a section of its own.
"""

import re
import sys
import tomllib
from pathlib import Path


def notes(tag: str, *, changelog: str, version: str) -> str:
    """The section of the version. Raises ValueError, saying why, where there is nothing to release."""
    if tag != f"v{version}":
        raise ValueError(f"the tag is {tag}, pyproject.toml says {version}: tag v{version}, or change the version.")
    parts = re.split(r"^## +\[([^\]]+)\].*$", changelog, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    text = sections.get(version, "").strip()
    if not text:
        raise ValueError(f"CHANGELOG.md has no section [{version}] with words in it. Write it, then tag again.")
    return f"{text}\n"


def main(words: list[str]) -> int:
    if len(words) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    version = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]["version"]
    try:
        sys.stdout.write(notes(words[0], changelog=Path("CHANGELOG.md").read_text("utf-8"), version=version))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
