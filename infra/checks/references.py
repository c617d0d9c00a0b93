"""Everything that is named in an expression exists, and everything that is declared is used."""

import re

from infra.checks.configuration import Configuration, strings
from infra.checks.provider import Schema

OF_RESOURCE = re.compile(r"(?<![\w.])(data\.)?(google_\w+)\.(\w+)(?:\[[^\]]*\])?(?:\.(\w+))?")
OF_VARIABLE = re.compile(r"(?<![\w.])(var|local)\.(\w+)")


def check(configuration: Configuration, schema: Schema) -> list[str]:
    """What Terraform would not find, and what nothing asks for, a sentence each."""
    resources = {(block.kind, *block.labels) for kind in ("resource", "data") for block in configuration.of(kind)}
    declared = {("var", block.labels[0]) for block in configuration.of("variable")}
    declared |= {("local", name) for block in configuration.of("locals") for name in block.body.arguments}
    found, named = [], set()
    for block in configuration.blocks:
        for text in strings(block.body):
            for kind, name in OF_VARIABLE.findall(text):
                named.add((kind, name))
                if (kind, name) not in declared:
                    found.append(f"{block.place}: {kind}.{name} is not declared.")
            for data, type_, name, attribute in OF_RESOURCE.findall(text):
                kind = "data" if data else "resource"
                if (kind, type_, name) not in resources:
                    found.append(f"{block.place}: {data}{type_}.{name} is not declared.")
                elif attribute and not _has(schema, f"{kind} {type_}", attribute):
                    found.append(f"{block.place}: {type_} has no {attribute}.")
    return found + [f"{kind}.{name} is declared and never used." for kind, name in sorted(declared - named)]


def _has(schema: Schema, type_: str, attribute: str) -> bool:
    known = schema.types.get(type_)
    return known is None or attribute.replace("_", "") in known.attributes
