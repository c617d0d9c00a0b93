"""Markdown as tokens, and what of them is prose: the words that count, and the images."""

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

Env = MutableMapping[str, Any]


def parser() -> MarkdownIt:
    """CommonMark with tables. Every address is let through: what is linked or shown is decided where a page is made."""
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    markdown.validateLink = lambda _: True  # type: ignore  # meant to be replaced, says its documentation
    return markdown


@dataclass(frozen=True)
class Picture:
    """An image of the document: its address, its text, and its line, counted from 0."""

    source: str
    text: str
    line: int


class Fragment(HTMLParser):
    """What raw HTML shows: its text, images and line breaks. No other tag or attribute, no scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str | Picture] = []
        self._hidden = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._hidden += 1
        elif tag == "img":
            values = dict(attrs)
            self.parts.append(Picture(values.get("src") or "", values.get("alt") or "", self.getpos()[0] - 1))
        elif tag in ("br", "p", "div", "li", "tr", "td", "th"):
            self.parts.append("\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("script", "style"):
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._hidden = max(0, self._hidden - 1)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


@dataclass(frozen=True)
class Prose:
    """What an answer says. `words` are those that count; `text` is the prose without code, a line for each block."""

    words: tuple[str, ...]
    text: tuple[tuple[int, str], ...]
    pictures: tuple[Picture, ...]


def prose(tokens: Sequence[Token], *, first_line: int = 0) -> Prose:
    """The words, prose and images of parsed Markdown that began at `first_line` of its document, counted from 0.

    A word is what stands between spaces and has a letter or a digit. Counted: paragraphs, headings, lists, quotes,
    table cells, the text of links, code within a line. Not counted: code blocks, images with their text and title,
    addresses behind links, HTML tags.
    """
    words: list[str] = []
    texts: list[tuple[int, str]] = []
    pictures: list[Picture] = []
    line = first_line
    for token in tokens:
        line = first_line + token.map[0] if token.map else line
        if token.type == "html_block":
            parts = Fragment(token.content).parts
        elif token.type == "inline":
            parts = list(_inline(token.children or []))
        else:
            continue
        shown = "".join(part if isinstance(part, str) else " " for part in parts)
        words += [word for word in shown.replace(_CODE, "").split() if any(map(str.isalnum, word))]
        texts.append((line, "".join("" if at % 2 else part for at, part in enumerate(shown.split(_CODE)))))
        pictures += [Picture(p.source, p.text, line + p.line) for p in parts if isinstance(p, Picture)]
    return Prose(tuple(words), tuple(texts), tuple(pictures))


_CODE = "\0"  # around code within a line; markdown-it leaves no such character in a text


def _inline(children: Sequence[Token]) -> Iterator[str | Picture]:
    line = 0
    for child in children:
        if child.type == "image":
            yield Picture(str(child.attrs.get("src", "")), child.content, line)
        elif child.type == "code_inline":
            yield f"{_CODE}{child.content}{_CODE}"
        elif child.type in ("softbreak", "hardbreak"):
            line += 1
            yield "\n"
        elif child.type == "html_inline":
            for part in Fragment(child.content).parts:
                yield Picture(part.source, part.text, line) if isinstance(part, Picture) else part
        else:
            yield child.content
