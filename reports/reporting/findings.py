"""What is wrong with a report, each finding at its line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .document import Document, Question
from .errors import ImageError
from .images import load
from .rules import IMAGES, WORDS, Rule

_PLACEHOLDER = re.compile(
    r"""-{2,}[^-\n]*\bfill\b[^-\n]*-{2,}            # --- question 3 fill here ---
      | \bfill\ (?:this\ |it\ |me\ )?(?:in|out|here)\b\ ?here?
      | \b(?:insert|write|type|put|enter|add|place)\ (?:your\ |the\ |an?\ |some\ )?
          (?:answer|text|image|figure|link|name)s?\ here\b
      | \b(?:your|the)\ (?:answer|text|name)\ (?:goes\ )?here\b
      | \blorem\ ipsum\b
      | (?-i:\b(?:TODO|TBD|FIXME|XXX+)\b)""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong; `line` counts from 1."""

    line: int
    text: str


def findings(document: Document) -> list[Finding]:
    """All that breaks a rule, in the order of the document; empty if it is as it should be."""
    found = [*_of_numbers(document.questions)]
    for question in document.questions:
        found += [
            Finding(line + 1, f"question {question.number}: {text}") for line, text in _of_question(question, document)
        ]
    if document.open_fence is not None:
        found.append(
            Finding(document.open_fence + 1, "code block that nothing closes: all that follows is taken for code")
        )
    return sorted(found)


def _of_numbers(questions: tuple[Question, ...]) -> Iterator[Finding]:
    """Numbers that are used twice or left out."""
    first: dict[str, Question] = {}
    for question in questions:
        if (earlier := first.setdefault(question.number, question)) is not question:
            yield Finding(
                question.line + 1, f"question {question.number}: number used before, in line {earlier.line + 1}"
            )
    whole = sorted({int(match.group()) for number in first if (match := re.match(r"\d+", number))})
    for before, after in zip([0, *whole], whole, strict=False):
        missing = range(before + 1, after)
        if missing:
            line = next(q.line for q in questions if re.match(r"\d+", q.number)[0] == str(after))  # type: ignore[index]
            text = f"question {missing[0]}" if len(missing) == 1 else f"questions {missing[0]} to {missing[-1]}"
            yield Finding(line + 1, f"{text}: missing before question {after}")


def _of_question(question: Question, document: Document) -> Iterator[tuple[int, str]]:
    said = question.said
    yield from question.unreadable
    placeholders = [
        (line + text[: m.start()].count("\n"), m.group())
        for line, text in said.text
        for m in _PLACEHOLDER.finditer(text)
    ]
    rest = re.sub(r"\W+", "", _PLACEHOLDER.sub("", " ".join(text for _, text in said.text)))
    pictures = {picture.source for picture in said.pictures}
    if not pictures and (not said.words or (placeholders and not rest)):
        line, why = (placeholders[0][0], f"only the placeholder {placeholders[0][1]!r}") if placeholders else (None, "")
        yield question.answer_line if line is None else line, f"unanswered{': ' if why else ''}{why}"
        return
    for line, text in placeholders:
        yield line, f"placeholder left: {text!r}"
    if _letters(question.example) and _letters(" ".join(said.words)) == _letters(question.example):
        yield question.answer_line, "the answer is the example"
    for rule in question.rules:
        count = len(said.words) if rule.unit == WORDS else len(pictures)
        if not rule.holds(count):
            yield question.answer_line, tally(rule, count)
    for source, line in {picture.source: picture.line for picture in reversed(said.pictures)}.items():
        try:
            load(document.folder, source)
        except ImageError as error:
            yield line, f"image {_short(source)!r} {error}"


def tally(rule: Rule, count: int) -> str:
    """A count beside its rule: `87 words, due 100 to 200`."""
    unit = rule.unit.removesuffix("s") if count == 1 else rule.unit
    return f"{count or 'no'} {unit}, due {rule}"


def counts(question: Question) -> str:
    """The counts of a question that has rules, for its reader; a question without any gets the words alone."""
    pictures = len({picture.source for picture in question.said.pictures})
    seen = {WORDS: len(question.said.words), IMAGES: pictures}
    if not question.rules:
        return f"{seen[WORDS]} words" if seen[WORDS] != 1 else "1 word"
    return " · ".join(tally(rule, seen[rule.unit]) for rule in question.rules)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}…"
