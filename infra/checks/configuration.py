"""A folder of Terraform files as blocks.

A value is as python-hcl2 gives it: a text in its quotation marks, an expression as `${…}`, numbers and booleans as
they are, lists and maps of these.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

IS_BLOCK, COMMENTS = "__is_block__", ("__comments__", "__inline_comments__")
LABELS = {"resource": 2, "data": 2, "variable": 1, "output": 1, "provider": 1, "module": 1, "check": 1}


@dataclass(frozen=True, kw_only=True)
class Body:
    """blocks: name and body of each; of a dynamic block what it makes, with its `for_each` in `dynamic`."""

    arguments: dict[str, Any]
    blocks: tuple[tuple[str, "Body"], ...] = ()
    dynamic: Any = None

    def inner(self, *path: str) -> list["Body"]:
        """The blocks along a path of names."""
        found = [self]
        for name in path:
            found = [block for body in found for inner, block in body.blocks if inner == name]
        return found


@dataclass(frozen=True, kw_only=True)
class Block:
    """labels: ("google_storage_bucket", "this") of a resource."""

    kind: str
    labels: tuple[str, ...]
    file: str
    body: Body

    @property
    def place(self) -> str:
        return f"{self.file}: {' '.join((self.kind, *self.labels))}"


@dataclass(frozen=True)
class Configuration:
    blocks: tuple[Block, ...]
    texts: dict[str, str] = field(default_factory=dict)

    def of(self, kind: str, type_: str | None = None) -> list[Block]:
        return [block for block in self.blocks if block.kind == kind and (type_ is None or block.labels[0] == type_)]

    def resource(self, type_: str, name: str) -> Block:
        """Raises KeyError if there is none."""
        for block in self.of("resource", type_):
            if block.labels[1] == name:
                return block
        raise KeyError(f"{type_}.{name}")


def read(folder: Path) -> Configuration:
    """Raises ValueError, naming the file, where one is not HCL."""
    blocks: list[Block] = []
    texts = {file.name: file.read_text() for file in sorted(folder.glob("*.tf"))}
    for name, text in texts.items():
        try:
            document = _parsed(text)
        except Exception as error:
            raise ValueError(f"{folder / name}: not HCL: {error}") from error
        for kind, bodies in document.items():
            if kind not in COMMENTS:
                blocks += [_block(kind, body, name) for body in bodies]
    return Configuration(tuple(blocks), texts)


@cache
def _parsed(text: str) -> dict[str, Any]:
    return hcl2.loads(text)


def _block(kind: str, content: dict[str, Any], file: str) -> Block:
    labels: list[str] = []
    for _ in range(LABELS.get(kind, 0)):
        ((label, content),) = ((key, value) for key, value in content.items() if key != IS_BLOCK)
        labels.append(label.strip('"'))
    return Block(kind=kind, labels=tuple(labels), file=file, body=_body(content))


def _body(content: dict[str, Any], dynamic: Any = None) -> Body:
    arguments: dict[str, Any] = {}
    blocks: list[tuple[str, Body]] = []
    for name, value in content.items():
        if name == IS_BLOCK or name in COMMENTS:
            continue
        if name == "dynamic":
            blocks += [_dynamic(one) for one in value]
        elif not (
            isinstance(value, list) and value and all(isinstance(one, dict) and IS_BLOCK in one for one in value)
        ):
            arguments[name] = value
        else:
            blocks += [(name, _body(one)) for one in value]
    return Body(arguments=arguments, blocks=tuple(blocks), dynamic=dynamic)


def _dynamic(content: dict[str, Any]) -> tuple[str, Body]:
    ((label, inner),) = ((key, value) for key, value in content.items() if key != IS_BLOCK)
    (made,) = inner.get("content", [{}])
    return label.strip('"'), _body(made, inner["for_each"])


def literal(value: Any) -> str | None:
    """A text without its quotation marks; None of anything else."""
    quoted = isinstance(value, str) and len(value) >= 2 and value[0] == value[-1] == '"'
    return value[1:-1] if quoted else None


def strings(value: Any) -> Iterator[str]:
    """Every text and expression in a value or a body, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from strings(key)
            yield from strings(one)
    elif isinstance(value, Body):
        yield from strings(value.arguments)
        yield from strings(value.dynamic)
        for _, body in value.blocks:
            yield from strings(body)
