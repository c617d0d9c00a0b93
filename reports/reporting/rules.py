"""Rules of a question, read from its own words: `Answer length: 100-200 words + 1 image`.

Read is any usual way to say a range (`no more than 200`, `at least two`, `between 1 and 3`, `50+`), alone on a line or
after a key such as `Answer length:`. A plain number of words is a target, met within a tenth; a plain number of images
is meant exactly. A line that sets out to be a rule and is none is reported, never guessed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor

WORDS, IMAGES = "words", "images"
TOLERANCE = 10  # a target of words is met within a tenth

_SPELT = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_NUMBERS = {word: number for number, word in enumerate(_SPELT)} | {"zero": 0, "a": 1, "an": 1, "single": 1}
_NUMBER = rf"(?:\d+|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})\b"
_MOST = r"(?:(?:no|not)\ more\ than|at\ most|up\ to|max(?:imum|imally|\.)?(?:\ of)?|<=|≤)"
_LEAST = r"(?:(?:no|not)\ (?:fewer|less)\ than|at\ least|min(?:imum|imally|\.)?(?:\ of)?|>=|≥)"
_IMAGE = r"(?:images?|figures?|pictures?|screenshots?|plots?|diagrams?|photos?|illustrations?)\b"
_RANGE = rf"""
    (?:between|from)?\ ?(?P<low>{_NUMBER})\ ?(?P<joint>-|to|and|or)\ ?(?P<high>{_NUMBER})
  | {_MOST}\ ?(?P<most>{_NUMBER})
  | {_LEAST}\ ?(?P<least>{_NUMBER})
  | (?:fewer\ than|less\ than|under|below|<)\ ?(?P<under>{_NUMBER})
  | (?:more\ than|over|above|>)\ ?(?P<over>{_NUMBER})
  | exactly\ (?P<exact>{_NUMBER})
  | (?:about|around|approximately|roughly|circa|ca\.|~)?\ ?(?P<plain>{_NUMBER})(?P<open>\+|\ or\ more)?
"""
_PART = re.compile(
    rf"""(?:{_RANGE})\ ?
    (?P<unit>words?\b|{_IMAGE})?
    (?:\ (?P<after>at\ most|max(?:imum|\.)?|or\ (?:fewer|less)|at\ least|min(?:imum|\.)?|or\ more|in\ total))?""",
    re.VERBOSE,
)
_BETWEEN = re.compile(r" ?(?:\+|,|;|&|\band\b|\bplus\b|\bwith\b)(?: (?:and|plus))? ?")
_KEY = re.compile(
    r"""(?:(?:recommended|suggested|required|expected|desired)\ )?
    (?P<bound>max(?:imum|\.)?\ |min(?:imum|\.)?\ )?
    (?:number\ of\ |(?:answer|text|word|image|figure)\ )?
    (?:length|limit|count|rules?|words|images|figures|screenshots)\ ?:\ ?""",
    re.VERBOSE,
)
_KEY_WITHIN = re.compile(r"\b(?:answer|text) length ?: ?")
_REQUEST = re.compile(
    rf"""(?P<may>\b(?:may|can|could|optionally)\b\ (?:also\ )?)?
    \b(?:insert|upload|include|add|attach|provide|embed)\ (?:{_RANGE})\ (?:[\w-]+\ ){{0,2}}?{_IMAGE}""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Rule:
    """How many words or images an answer may have: `least` to `most`, both included; None is no bound."""

    unit: str
    least: int
    most: int | None
    target: int | None = None

    def holds(self, count: int) -> bool:
        """Whether so many keep the rule."""
        return self.least <= count and (self.most is None or count <= self.most)

    def __str__(self) -> str:
        if self.target is not None:
            return f"{self.least} to {self.most} (about {self.target})"
        if self.most is None:
            return f"at least {self.least}"
        if self.least == self.most:
            return f"{self.least}"
        return f"{self.least} to {self.most}" if self.least else f"at most {self.most}"


class RuleError(ValueError):
    """A line sets out to be a rule and is none; the message says why."""


def rules_of_line(line: str) -> tuple[Rule, ...]:
    """The rules that a line of a question states, none if it is no such line.

    Raises RuleError where a key such as `Answer length:` is followed by what is no rule.
    """
    text = _plain(line)
    if key := _KEY.match(text):
        unit = IMAGES if re.search(_IMAGE, key.group()) else WORDS
        value = text[key.end() :]
        if key["bound"] and re.fullmatch(rf"{_NUMBER}.*", value):
            value = ("at most " if key["bound"].startswith("max") else "at least ") + value
        return _keyed(value, unit)
    if key := _KEY_WITHIN.search(text):
        return _keyed(text[key.end() :], WORDS)
    try:
        return tuple(_parts(text, default_unit=None)) if text else ()
    except RuleError:
        if text[0].isdigit() and re.fullmatch(rf"(?:{_RANGE})\ ?(?:words?|{_IMAGE})", text, re.VERBOSE):
            raise  # a whole range with its unit, and turned round
        return ()


def requests_of_text(text: str) -> Iterator[tuple[int, Rule]]:
    """Images that a question asks for in a sentence (`Insert 1-2 images of …`), with the place in `text`.

    `You may include …` sets the upper bound alone, and `a figure` the lower one.
    """
    plain = text.lower().replace("–", "-").replace("\n", " ")
    for match in _REQUEST.finditer(plain):
        rule = _rule(match, IMAGES)
        if match["may"]:
            rule = Rule(IMAGES, 0, rule.most)
        elif match["plain"] in ("a", "an"):
            rule = Rule(IMAGES, 1, None)
        yield match.start(), rule


def _plain(line: str) -> str:
    """Lower case, without emphasis, brackets around the whole, a remark in brackets at the end, or a full stop."""
    text = re.sub(r"[*_`]+", "", line).replace("–", "-").replace("—", "-").replace("−", "-").lower()
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", re.sub(r"\s+", " ", text)).strip()
    text = re.sub(r"^\((.*)\)\.?$", r"\1", text)
    return re.sub(r"\s*\([^()]*\)(?=\.?$)", "", text).strip().removesuffix(".").strip()


def _keyed(value: str, unit: str) -> tuple[Rule, ...]:
    if not value:
        raise RuleError("says no number")
    return tuple(_parts(value, default_unit=unit))


def _parts(text: str, default_unit: str | None) -> Iterator[Rule]:
    at, seen = 0, set()
    while True:
        match = _PART.match(text, at)
        if match is None:
            raise RuleError(f"'{text[at:]}' is no number of words or images")
        unit = match["unit"]
        if unit is None and (default_unit is None or match.end() < len(text)):
            raise RuleError(f"'{text[at:]}' is no number of words or images")
        rule = _rule(
            match, (WORDS if unit.startswith("word") else IMAGES) if unit else str(default_unit), match["after"]
        )
        if rule.unit in seen:
            raise RuleError(f"says the number of {rule.unit} twice")
        seen.add(rule.unit)
        yield rule
        at = match.end()
        if at == len(text):
            return
        between = _BETWEEN.match(text, at)
        if between is None:
            raise RuleError(f"'{text[at:].strip()}' is not understood")
        at = between.end()


def _rule(match: re.Match[str], unit: str, after: str | None = None) -> Rule:
    found = {name: _number(text) for name, text in match.groupdict().items() if name in _ENDS and text}
    if "low" in found:
        low, high = found["low"], found["high"]
        if low > high:
            raise RuleError(f"goes from {low} down to {high}")
        if match["joint"] == "or" and high != low + 1:
            raise RuleError(f"{low} or {high} is no range")
        return Rule(unit, low, high)
    name, number = found.popitem()
    if name == "plain":
        after = match["open"] or after or ""
        if after.strip() in ("+", "or more", "at least") or after.startswith("min"):
            name = "least"
        elif after in ("at most", "or fewer", "or less") or after.startswith("max"):
            name = "most"
        elif unit == IMAGES:
            name = "exact"
    if name == "plain":
        slack = number / TOLERANCE
        return Rule(unit, ceil(number - slack), floor(number + slack), target=number)
    least, most = _ENDS[name]
    if name == "under" and number == 0:
        raise RuleError("fewer than 0 cannot be")
    return Rule(unit, 0 if least is None else number + least, None if most is None else number + most)


_ENDS: dict[str, tuple[int | None, int | None]] = {
    "low": (0, None),
    "high": (None, 0),
    "most": (None, 0),
    "least": (0, None),
    "under": (None, -1),
    "over": (1, None),
    "exact": (0, 0),
    "plain": (0, 0),
}


def _number(text: str) -> int:
    return _NUMBERS[text] if text in _NUMBERS else int(text[:9])
