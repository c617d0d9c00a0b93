"""A report: its questions, the rules beside them, and the answers, each with its line."""

import re
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it.token import Token

from .errors import UnreadableError
from .markup import Env, Prose, parser, prose
from .rules import IMAGES, Rule, RuleError, requests_of_text, rules_of_line

LARGEST = 300_000  # bytes: far more than any report
LONGEST = 20_000  # characters of a paragraph: the time that one takes can grow with their square
_QUESTION = re.compile(
    r"[*_]*(?:question|q)\s*\.?\s*(?P<number>\d{1,6}(?:\.\d+)*[a-z]?)\b[\s.:)–—*_-]*(?P<title>.*)", re.I
)
_ANSWER = re.compile(
    r"(?P<lead>[ \t>]*)(?:\#{1,6}[ \t]+)?[*_]*(?:(?:your|our|my)[ \t]+)?answer[*_]*[ \t]*"
    r"(?::[*_]*[ \t]*(?P<rest>.*)|$)",
    re.I,
)
_EXAMPLE = re.compile(r"[*_]*(?:for\s+)?example(?:\s+answer)?s?[*_]*\s*:", re.I)


@dataclass(frozen=True)
class Piece:
    """Lines of the document as one text, and the line of its first, counted from 0."""

    text: str
    line: int


@dataclass(frozen=True)
class Question:
    """One question: what is asked (`asked`), by which rules, and the answer. Lines count from 0."""

    number: str
    title: str
    line: int
    level: int
    asked: Piece
    answer: Piece
    rules: tuple[Rule, ...]
    unreadable: tuple[tuple[int, str], ...]
    example: str
    said: Prose

    @property
    def answer_line(self) -> int:
        """Where the answer begins, or would."""
        lines = self.answer.text.splitlines()
        return self.answer.line + next((at for at, line in enumerate(lines) if line.strip(" \t>")), 0)


@dataclass(frozen=True)
class Document:
    """A file of questions and answers. `parts` are its questions and the Markdown between them, in order."""

    path: Path
    parts: tuple[Piece | Question, ...]
    env: Env
    open_fence: int | None

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """The questions alone."""
        return tuple(part for part in self.parts if isinstance(part, Question))

    @property
    def folder(self) -> Path:
        """Where its images lie."""
        return self.path.parent


def read(path: Path) -> Document:
    """The report in a file. Raises UnreadableError where there is none, or it has no questions."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError(f"{path}: not a file. Give the report's Markdown file.")
        if status.st_size > LARGEST:
            raise UnreadableError(f"{path}: {status.st_size:,} bytes; a report has at most {LARGEST:,}.")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{path}: not UTF-8 at byte {error.start}. Save it as UTF-8.") from error
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error
    document = parse(text, path)
    if not document.questions:
        raise UnreadableError(f"{path}: no question. A question is a heading such as '### Question 3'.")
    return document


def parse(text: str, path: Path) -> Document:
    """The report in a text; `path` says where its images lie. Raises UnreadableError for a paragraph without end."""
    lines = _without_front_matter(re.split(r"\r\n|\r|\n", text))
    for block in parser().disable("inline").parse("\n".join(lines)):
        if block.type == "inline" and len(block.content) > LONGEST:
            line = block.map[0] + 1 if block.map else 1
            raise UnreadableError(
                f"{path}:{line}: paragraph of {len(block.content):,} characters, at most {LONGEST:,}."
            )
    env: Env = {}
    tokens = parser().parse("\n".join(lines), env)
    starts: list[tuple[int, int, re.Match[str] | None]] = []  # line, level, the question if it is one
    fence = None
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and token.level == 0 and token.map and following:
            question = _QUESTION.fullmatch(following.content.strip())
            if not (question is None and _ANSWER.fullmatch(following.content.strip())):
                starts.append((token.map[0], int(token.tag[1]), question))
        if token.type == "fence" and _is_open(token, lines):
            fence = token.map[0] if token.map else None

    parts: list[Piece | Question] = []
    at, index = 0, 0
    while index < len(starts):
        line, level, match = starts[index]
        index += 1
        if match is None:
            continue
        while index < len(starts) and starts[index][2] is None and starts[index][1] > level:
            index += 1
        end = starts[index][0] if index < len(starts) else len(lines)
        if any(text.strip() for text in lines[at:line]):
            parts.append(Piece("\n".join(lines[at:line]), at))
        parts.append(_question(match, line, level, lines[line:end], env))
        at = end
    if any(text.strip() for text in lines[at:]):
        parts.append(Piece("\n".join(lines[at:]), at))
    return Document(path, tuple(parts), env, fence)


def _question(match: re.Match[str], line: int, level: int, lines: list[str], env: Env) -> Question:
    """The question whose heading is the first of these lines."""
    first = 2 if len(lines) > 1 and re.fullmatch(r"\s*(=+|-+)\s*", lines[1]) else 1
    quote = first
    while quote < len(lines) and not lines[quote].strip():
        quote += 1
    quote_end = quote
    while quote_end < len(lines) and lines[quote_end].lstrip().startswith(">"):
        quote_end += 1
    marks = [at for at in range(quote, quote_end) if _ANSWER.fullmatch(lines[at])][-1:]
    marks = marks or [at for at in range(quote_end, len(lines)) if _ANSWER.fullmatch(lines[at])][:1]
    if marks:
        asked, mark = lines[first : marks[0]], _ANSWER.fullmatch(lines[marks[0]])
        body = lines[marks[0] + 1 :]
        if mark and ">" in mark["lead"]:
            body = _unquoted(body)
        answer = Piece("\n".join([(mark["rest"] if mark else None) or "", *body]), line + marks[0])
    else:
        asked = lines[first:quote_end]
        answer = Piece("\n".join(lines[quote_end:]), line + quote_end)
    plain = [text.lstrip(" \t>") for text in asked]
    rules, unreadable = _rules(plain, line + first)
    example = next((at for at, text in enumerate(plain) if _EXAMPLE.match(text)), len(plain))
    return Question(
        number=match["number"].lower(),
        title=match["title"].strip(),
        line=line,
        level=level,
        asked=Piece("\n".join(asked), line + first),
        answer=answer,
        rules=rules,
        unreadable=unreadable,
        example=_EXAMPLE.sub("", "\n".join(plain[example:]), count=1).strip(),
        said=prose(parser().parse(answer.text, dict(env)), first_line=answer.line),
    )


def _rules(lines: list[str], first_line: int) -> tuple[tuple[Rule, ...], tuple[tuple[int, str], ...]]:
    """Rules of these lines, and what could not be read. A line that is a rule goes before what a sentence asks."""
    rules: dict[str, Rule] = {}
    unreadable: list[tuple[int, str]] = []
    for at, text in enumerate(lines):
        try:
            found = rules_of_line(text)
        except RuleError as error:
            unreadable.append((first_line + at, f"rule cannot be read: {text.strip('*_ ')!r} {error}"))
            continue
        unreadable += [
            (first_line + at, f"two rules for {rule.unit}: {rule} here, {rules[rule.unit]} before")
            for rule in found
            if rules.setdefault(rule.unit, rule) != rule
        ]
    asked = "\n".join(lines[: next((at for at, text in enumerate(lines) if _EXAMPLE.match(text)), len(lines))])
    if IMAGES not in rules:
        try:
            for _, rule in requests_of_text(re.sub(r"[*_]+", "", asked)):
                rules.setdefault(IMAGES, rule)
        except RuleError as error:
            unreadable.append((first_line, f"rule cannot be read: the number of images {error}"))
    return tuple(rules.values()), tuple(unreadable)


def _unquoted(lines: list[str]) -> list[str]:
    """The lines with one mark of quotation taken from those that go on with the quote of the line before."""
    end = next((at for at, text in enumerate(lines) if not text.lstrip().startswith(">")), len(lines))
    return [re.sub(r"^\s*> ?", "", text) for text in lines[:end]] + lines[end:]


def _without_front_matter(lines: list[str]) -> list[str]:
    """The lines with a YAML header at the top emptied, so that the others keep their numbers."""
    if lines and lines[0].strip() == "---":
        for end, text in enumerate(lines[1:], start=1):
            if text.strip() in ("---", "..."):
                return [""] * (end + 1) + lines[end + 1 :]
            if not re.match(r"\s|#|-|[\w-]+\s*:|$", text):
                break
    return lines


def _is_open(token: Token, lines: list[str]) -> bool:
    """Whether a fence's code runs to the end of the document because nothing closes it."""
    if not token.map or any(text.strip() for text in lines[token.map[1] :]):
        return False
    block = [text.strip(" \t>") for text in lines[token.map[0] + 1 : token.map[1]]]
    last = next((text for text in reversed(block) if text), "")
    return not (last.startswith(token.markup) and not last.strip(token.markup[0]))
