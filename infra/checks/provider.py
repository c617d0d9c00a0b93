"""The names that the provider knows, from the typed definitions in npm's @cdktf/provider-google.

`terraform validate` asks the provider itself, which lies in HashiCorp's registry. These definitions were made from the
same schema: each property of an interface is an argument, or a block, and an optional one has a question mark.
provider.json holds what our files use of them; `python -m infra.checks.provider` writes it anew.
"""

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from infra.checks.configuration import Configuration, read

PACKAGE, RELEASE = "@cdktf/provider-google", "16.12.1"
INFRA = Path(__file__).parents[1]
SCHEMA = Path(__file__).with_name("provider.json")

INTERFACE = re.compile(r"^export interface (\w+)[^\n]*\{\n(.*?)^\}", re.M | re.S)
PROPERTY = re.compile(r"    /\*\*(.*?)\*/\n    readonly (\w+)(\??): (.*?);\n(?=    /\*\*|\Z)", re.S)
NAME = re.compile(r"/docs[^\s#}]*#(\w+) ")
CLASS = re.compile(
    r"^export declare class \w+ extends cdktf\.Terraform(?:Resource|DataSource) \{\n(.*?)^\}", re.M | re.S
)
GETTER = re.compile(r"^    get (\w+)\(\)", re.M)


@dataclass(frozen=True)
class Inner:
    """A block's content, or a resource's. many: whether it may stand more than once."""

    arguments: dict[str, str] = field(default_factory=dict)  # name: TypeScript's type
    required: tuple[str, ...] = ()
    blocks: dict[str, "Inner"] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()  # what may be read of a resource, in small letters without underscores
    many: bool = False

    @classmethod
    def of(cls, content: dict[str, Any]) -> "Inner":
        blocks = {name: cls.of(inner) for name, inner in content["blocks"].items()}
        required, attributes = tuple(content["required"]), tuple(content["attributes"])
        return cls(content["arguments"], required, blocks, attributes, content["many"])


@dataclass(frozen=True)
class Schema:
    """version: of the provider. types: by "resource google_…", "data google_…" and "provider google"."""

    version: str
    types: dict[str, Inner]


def load(file: Path = SCHEMA) -> Schema:
    content = json.loads(file.read_text())
    return Schema(content["version"], {name: Inner.of(inner) for name, inner in content["types"].items()})


def dump(schema: Schema) -> str:
    return json.dumps(asdict(schema), indent=1, sort_keys=True) + "\n"


def used(configuration: Configuration) -> set[str]:
    named = {f"{block.kind} {block.labels[0]}" for kind in ("resource", "data") for block in configuration.of(kind)}
    return named | {"provider google"}


def parse(text: str) -> Inner:
    """The content of one file of definitions."""
    interfaces: dict[str, str] = dict(INTERFACE.findall(text))
    (top,) = (name for name in interfaces if name.endswith("Config") and _is_top(name, text))
    inner = _inner(interfaces, top, many=False)
    shown = CLASS.search(text)
    getters = sorted({name.lower() for name in GETTER.findall(shown[1])}) if shown else []
    return Inner(inner.arguments, inner.required, inner.blocks, tuple(getters))


def _is_top(name: str, text: str) -> bool:
    return f"interface {name} extends cdktf.TerraformMetaArguments" in text or name == "GoogleProviderConfig"


def _inner(interfaces: dict[str, str], name: str, *, many: bool) -> Inner:
    arguments, required, blocks = {}, [], {}
    for comment, camel, optional, typed in PROPERTY.findall(interfaces[name]):
        found = NAME.search(comment)
        argument = found[1] if found else re.sub(r"(?<!^)(?=[A-Z])", "_", camel).lower()
        if argument.endswith("_custom_endpoint"):
            continue  # hundreds, of the provider's own block
        if not optional:
            required.append(argument)
        struct = re.match(r"\w+", typed)
        if f"{argument} block" in comment and struct and struct[0] in interfaces:
            blocks[argument] = _inner(interfaces, struct[0], many="[]" in typed)
        else:
            arguments[argument] = re.sub(r"\s+", " ", typed.replace(" | cdktf.IResolvable", ""))
    return Inner(arguments, tuple(required), blocks, many=many)


def fetch(wanted: set[str]) -> Schema:
    """The schema of these types. Raises SystemExit where npm has no package or the provider has no such type."""
    with tempfile.TemporaryDirectory() as folder:
        # npm is the user's own, found on the path
        packed = subprocess.run(  # noqa: S603
            ["npm", "pack", "--silent", f"{PACKAGE}@{RELEASE}"],  # noqa: S607
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if packed.returncode:
            raise SystemExit(f"npm pack {PACKAGE}@{RELEASE}: {packed.stderr.strip()}")
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as package:
            return _unpacked(package, wanted)


def _unpacked(package: tarfile.TarFile, wanted: set[str]) -> Schema:
    places = {f"package/lib/{_folder(name)}/index.d.ts": name for name in wanted}
    version, types = "", {}
    for member in package:
        if member.name == "package/package.json" and (content := package.extractfile(member)):
            version = json.load(content)["cdktf"]["provider"]["version"]
        elif member.name in places and (content := package.extractfile(member)):
            types[places[member.name]] = parse(content.read().decode())
    missing = sorted(wanted - set(types))
    if missing:
        raise SystemExit(f"hashicorp/google {version} has no {', '.join(missing)}.")
    return Schema(version, types)


def _folder(name: str) -> str:
    kind, type_ = name.split()
    if kind == "provider":
        return "provider"
    stem = type_.removeprefix("google_").replace("_", "-")
    return f"data-google-{stem}" if kind == "data" else stem


def main() -> None:
    """Writes provider.json, or, with --check, says whether it is what the package holds."""
    text = dump(fetch(used(read(INFRA))))
    if "--check" not in sys.argv[1:]:
        SCHEMA.write_text(text)
        print(f"{SCHEMA.name}: hashicorp/google {load().version}, {len(load().types)} types")
    elif text != SCHEMA.read_text():
        raise SystemExit(f"{SCHEMA}: not what {PACKAGE}@{RELEASE} holds. Run python -m infra.checks.provider")


if __name__ == "__main__":
    main()
