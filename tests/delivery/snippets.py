"""The blocks of a page, what stands above them, and how they are run. CONTRIBUTING.md tells writers of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = ("bash", "python")
WRITTEN = ("yaml", "python", "csv", "json", "toml")  # to the file in `title`
SHOWN = ("text", "csv", "json")  # what is not a command
MARKS = ("not run", "slow", "needs", "exits", "printed")
COMMAND = re.compile(
    r"^\s*(\$ )?(windcast|make|pip|python3?|curl|docker|podman|dvc|git|pytest|mlflow|gcloud|terraform) ", re.M
)
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)``` *$", re.M | re.S)
ABOVE = re.compile(r"(?:^ *<!-- [^\n]* -->\n)+\Z", re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block.  marks: what comments directly above it say, as in `<!-- exits: 2 -->`."""

    page: str
    line: int
    language: str
    title: str
    text: str
    marks: Mapping[str, str]

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def slow(self) -> bool:
        return "slow" in self.marks

    @property
    def needs(self) -> list[str]:
        return self.marks.get("needs", "").replace(",", " ").split()

    def fault(self) -> str | None:
        """Why this block is neither run nor excused, or None."""
        unknown = [mark for mark in self.marks if mark not in MARKS]
        if unknown:
            return f"'{unknown[0]}' is no mark; there are {', '.join(MARKS)}"
        if "not run" in self.marks:
            return None if len(self.marks["not run"]) >= 10 else "give the reason: <!-- not run: why -->"
        if self.language == "diff" or (self.title and self.language in WRITTEN):
            return None if self.title else "say which file is changed: ```diff title=…"
        if self.language in RUN or "printed" in self.marks:
            return None
        if not self.language:
            return "has no language: bash, python, yaml, or text for what is not a command"
        if self.language in SHOWN:
            return "looks like a command, and is called text" if COMMAND.search(self.text) else None
        return f"{self.language} is not run. Give it a title= (the file it is), or the reason: <!-- not run: why -->"


def pages() -> list[Path]:
    """README, all of docs/, and the README of infra/, if there."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "infra" / "README.md"]
    return [page for page in found if page.is_file()]


def blocks(page: Path) -> list[Block]:
    return list(parsed(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()))


def start(page: Path) -> str:
    """The folder that the page starts from, "" for an empty one."""
    named = re.findall(r"^<!-- start from: (.*?) -->$", page.read_text(encoding="utf-8"), re.M)
    return named[0] if named else ""


def parsed(content: str, page: str) -> Iterator[Block]:
    """Every fenced block, in order."""
    for fence in FENCE.finditer(content):
        above = ABOVE.search(content[: fence.start()])
        comments = re.findall(r"<!-- (?!start from)(.*?) -->", above.group()) if above else []
        language, _, options = fence["info"].strip().partition(" ")
        title = re.search(r'title="([^"]+)"', options)
        text = re.sub(rf"^{fence['indent']}", "", fence["text"], flags=re.M)
        marks = {name.strip(): value.strip() for name, _, value in (c.partition(":") for c in comments)}
        line = content.count("\n", 0, fence.start()) + 1
        yield Block(page, line, language, title[1] if title else "", text, marks)


def changed(text: str, diff: str) -> str:
    """The text with each hunk of the diff applied, wherever its lines stand. ValueError unless exactly once."""
    for hunk in re.split(r"^@@.*\n", diff, flags=re.M)[1:]:
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        if text.count(before) != 1:
            raise ValueError(f"these lines stand there {text.count(before)} times, not once:\n{before}")
        text = text.replace(before, after)
    return text


def commands(text: str) -> Iterator[str]:
    """A shell block in pieces, each to be run by one shell; a server stands alone."""
    piece: list[str] = []
    joined = re.sub(r"\\\n", "\\\\\0", text).splitlines()
    for line in (one.replace("\0", "\n") for one in joined):
        if serves(line):
            yield from (["\n".join(piece)] if piece else [])
            yield line
            piece = []
        elif not recursive(line):
            piece.append(line)
    if "".join(piece).strip():
        yield "\n".join(piece)


def serves(line: str) -> bool:
    """Whether the command answers until it is stopped."""
    return re.match(r"(windcast|make) serve\b", line) is not None


def recursive(line: str) -> bool:
    """Whether the command is what runs the snippets."""
    return re.match(r"make (test|snippets)\b", line) is not None
