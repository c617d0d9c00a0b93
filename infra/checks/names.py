"""Every type, argument and block of our files against the provider's schema."""

import re
from collections import Counter
from difflib import get_close_matches
from typing import Any

from infra.checks.configuration import Block, Body, Configuration, literal
from infra.checks.provider import Inner, Schema

META = {"count", "for_each", "depends_on", "provider"}
META_BLOCKS = {"lifecycle"}


def check(configuration: Configuration, schema: Schema) -> list[str]:
    """What the provider would not take, a sentence each."""
    found = _version(configuration, schema)
    for block in configuration.blocks:
        if block.kind in ("resource", "data", "provider"):
            known = schema.types.get(f"{block.kind} {block.labels[0]}")
            found += _unknown(block, schema) if known is None else _body(block.place, block.body, known, top=True)
    return found


def _version(configuration: Configuration, schema: Schema) -> list[str]:
    for block in configuration.of("terraform"):
        for providers in block.body.inner("required_providers"):
            asked = literal(providers.arguments["google"]["version"])
            if asked != schema.version:
                return [
                    f"{block.place}: asks for hashicorp/google {asked}; the names are checked for {schema.version}."
                ]
    return []


def _unknown(block: Block, schema: Schema) -> list[str]:
    told = f"{block.place}: {block.labels[0]} is not in provider.json. `python -m infra.checks.provider` adds it"
    return [f"{told}, if there is one{_near(block.labels[0], [name.split()[1] for name in schema.types])}."]


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _body(place: str, body: Body, known: Inner, *, top: bool) -> list[str]:
    found = []
    meta, meta_blocks = (META, META_BLOCKS) if top else (set(), set())
    for name, value in body.arguments.items():
        if name in known.arguments:
            found += _kind(f"{place}: {name}", value, known.arguments[name])
        elif name in known.blocks:
            found.append(f"{place}: {name} is a block, not an argument.")
        elif name not in meta:
            found.append(f"{place}: no argument {name}{_near(name, [*known.arguments, *known.blocks])}.")
    for name, inner in body.blocks:
        if name in known.blocks:
            found += _body(f"{place}.{name}", inner, known.blocks[name], top=False)
        elif name in known.arguments:
            found.append(f"{place}: {name} is an argument, not a block.")
        elif name not in meta_blocks:
            found.append(f"{place}: no block {name}{_near(name, [*known.blocks, *known.arguments])}.")
    given = Counter(name for name, _ in body.blocks)
    found += [f"{place}: {name} is missing." for name in known.required if name not in body.arguments | given]
    found += [
        f"{place}: {name} may stand once, and stands {times} times."
        for name, times in given.items()
        if times > 1 and name in known.blocks and not known.blocks[name].many
    ]
    return found


def _kind(place: str, value: Any, typed: str) -> list[str]:
    """Only what cannot be turned into the type is told: Terraform makes a number of "1" itself."""
    if isinstance(value, str) and value.startswith("${"):
        return []
    text = literal(value)
    fits = {
        "number": isinstance(value, int | float)
        or (text is not None and bool(re.fullmatch(r"[-\d.]+|.*\$\{.*", text))),
        "boolean": isinstance(value, bool) or text in ("true", "false"),
        "string": not isinstance(value, list | dict),
        "string[]": isinstance(value, list),
        "number[]": isinstance(value, list),
        "{ [key: string]: string; }": isinstance(value, dict),
    }
    return [] if fits.get(typed, True) else [f"{place} wants {typed}."]
