"""A report as one HTML page that needs nothing else: its figures are within it, and nothing in it runs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

from jinja2 import Environment
from markdown_it import MarkdownIt
from markdown_it.token import Token

from .document import Document, Piece, Question
from .errors import ImageError
from .findings import counts
from .images import load
from .markup import Env, Fragment, Picture, parser

_FOLDER, _PAGE = "folder", "page"  # what the renderer finds in its environment
LARGEST = 40_000_000  # bytes of images in one page


@dataclass
class Page:
    """What was gathered while parts were drawn: the headings, the images that could not be shown."""

    headings: list[tuple[int, str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    shown: int = 0

    def name(self, text: str) -> str:
        """A name for a heading that no other has."""
        plain = re.sub(r"[^\w]+", "-", text.lower()).strip("-") or "part"
        number, name = 1, plain
        while name in self.names:
            number += 1
            name = f"{plain}-{number}"
        self.names.add(name)
        return name


def build(document: Document) -> tuple[str, list[str]]:
    """The page, and a sentence for each image that it does not show."""
    markdown, page = _renderer(), Page()
    env: Env = {**document.env, _FOLDER: document.folder, _PAGE: page}
    parts: list[dict[str, Any]] = []
    for part in document.parts:
        if isinstance(part, Piece):
            parts.append({"html": _drawn(markdown, part.text, env)})
            continue
        title = f"Question {part.number}" + (f": {part.title}" if part.title else "")
        name = page.name(f"question-{part.number}")
        page.headings.append((part.level, _text_of(markdown, title), name))
        parts.append(
            {
                "name": name,
                "title": markdown.renderInline(title, dict(env)),
                "asked": _drawn(markdown, part.asked.text, env),
                "answer": _drawn(markdown, part.answer.text, env),
                "counts": counts(part),
                "kept": _kept(part),
            }
        )
    title = next((text for level, text, _ in page.headings if level == 1), document.path.stem)
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_file("page.html"))
    html = template.render(title=title, style=_file("page.css"), parts=parts, headings=page.headings)
    return html, list(dict.fromkeys(page.missing))


def _kept(question: Question) -> bool:
    counted = {"words": len(question.said.words), "images": len({p.source for p in question.said.pictures})}
    return all(rule.holds(counted[rule.unit]) for rule in question.rules)


def _drawn(markdown: MarkdownIt, text: str, env: Env) -> str:
    return str(markdown.renderer.render(markdown.parse(text, env), markdown.options, env))


def _text_of(markdown: MarkdownIt, text: str) -> str:
    """A heading's text without its marks."""
    inline = markdown.parseInline(text)[0]
    return "".join(child.content for child in inline.children or [] if child.type in ("text", "code_inline"))


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _renderer() -> MarkdownIt:
    markdown = parser()
    for name, rule in {
        "image": _image,
        "html_inline": _html,
        "html_block": _html,
        "link_open": _link,
        "heading_open": _heading,
        "table_open": lambda *_: '<div class="wide"><table>\n',
        "table_close": lambda *_: "</table></div>\n",
        "text": _text,
    }.items():
        markdown.add_render_rule(name, rule)
    return markdown


def _picture(picture: Picture, title: str, env: Env) -> str:
    """The image within the page, or a note in its place."""
    page = env[_PAGE]
    try:
        image = load(env[_FOLDER], picture.source)
        if page.shown + len(image.data) > LARGEST:
            raise ImageError("is one too many: a page holds 40 MB of them")
    except ImageError as error:
        page.missing.append(f"image '{picture.source[:80]}' {error}")
        name = picture.text or picture.source[:80]
        return f'<span class="missing">Not shown: {escape(name)} ({escape(str(error))})</span>'
    page.shown += len(image.data)
    caption = f'<span class="caption">{escape(title)}</span>' if title else ""
    return f'<span class="figure"><img src="{image.uri}" alt="{escape(picture.text)}">{caption}</span>'


def _image(_: Any, tokens: Sequence[Token], at: int, *rest: Any) -> str:
    token, env = tokens[at], rest[-1]
    picture = Picture(str(token.attrs.get("src", "")), token.content, 0)
    return _picture(picture, str(token.attrs.get("title", "")), env)


def _html(_: Any, tokens: Sequence[Token], at: int, *rest: Any) -> str:
    """Of raw HTML its text and images; no tag of the document's comes into the page."""
    env = rest[-1]
    drawn = [
        _picture(part, "", env) if isinstance(part, Picture) else escape(part).replace("\n", "<br>\n")
        for part in Fragment(tokens[at].content).parts
    ]
    html = "".join(drawn)
    if tokens[at].type == "html_block":
        html = re.sub(r"\A(?:\s|<br>)+|(?:\s|<br>)+\Z", "", html)
        return f"<p>{html}</p>\n" if html else ""
    return html


def _link(renderer: Any, tokens: Sequence[Token], at: int, *rest: Any) -> str:
    """A link to the web, to a mail address or within the repository; any other is text."""
    token = tokens[at]
    address = re.sub(r"[\x00-\x20]", "", unquote(str(token.attrs.get("href", ""))))
    scheme = re.match(r"([a-z][a-z0-9+.-]*):", address, re.I)
    if scheme and scheme[1].lower() not in ("http", "https", "mailto"):
        return "<a>"
    token.attrSet("rel", "noopener noreferrer")
    return str(renderer.renderToken(tokens, at, *rest))


def _heading(_: Any, tokens: Sequence[Token], at: int, *rest: Any) -> str:
    page, token = rest[-1][_PAGE], tokens[at]
    text = "".join(
        child.content for child in tokens[at + 1].children or [] if child.type in ("text", "code_inline")
    ).strip()
    name = page.name(text)
    if token.level == 0:
        page.headings.append((int(token.tag[1]), text, name))
    return f'<{token.tag} id="{escape(name)}">'


def _text(_: Any, tokens: Sequence[Token], at: int, *_rest: Any) -> str:
    """Text, with the boxes of a list of tasks."""
    text = escape(tokens[at].content)
    if at == 0 and (box := re.match(r"\[([ xX])\] ", text)):
        text = ("☐ " if box[1] == " " else "☑ ") + text[box.end() :]
    return text
