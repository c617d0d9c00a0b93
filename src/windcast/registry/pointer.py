"""Where a farm's champion lies, for a service that has no MLflow: a small file that a promotion writes whole.

runs/registry/
  la_haute_borne/
    champion.json      the pointer: follows the alias `champion` of MLflow's registry
    moves.jsonl        every move of the alias, a line each
    3f0c2a91b7de41aa/  a registered bundle, by the beginning of its manifest's sha256
      entry.json       version, origin, what it has seen
      bundle/          never written again
      20260101-060000/ verdict.md, verdict.json of a promotion
"""

import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from windcast.errors import BundleError, unknown_name

REGISTRY = Path("runs") / "registry"
POINTER, BUNDLE = "champion.json", "bundle"


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """farm: as it stands in folder names. key: the folder of the bundle. checksum: sha256 of its manifest."""

    farm: str
    version: int
    key: str
    checksum: str
    moved: str

    def write(self, registry: Path) -> None:
        write_whole(registry / self.farm / POINTER, json.dumps(asdict(self), indent=1))


def read(registry: Path, farm: str) -> Pointer:
    """Raises BundleError, naming the nearest, if the farm has no champion, or if the pointer is unreadable."""
    file = registry / slug(farm) / POINTER
    try:
        return Pointer(**json.loads(file.read_bytes()))
    except FileNotFoundError:
        known = [found.parent.name for found in registry.glob(f"*/{POINTER}")]
        said = unknown_name("champion", slug(farm), known) if known else "no farm has a champion there."
        raise BundleError(f"{registry}: {said} Make one with `windcast promote`.") from None
    except (ValueError, TypeError) as error:
        raise BundleError(
            f"{file}: not a readable pointer ({error}). The next promotion or rollback mends it."
        ) from None


def bundle_of(registry: Path, pointer: Pointer) -> Path:
    """The folder of the bundle it points to. Raises BundleError for a key that is no plain name."""
    if slug(pointer.key) != pointer.key:
        raise BundleError(f"{registry / pointer.farm / POINTER}: key '{pointer.key[:64]}' is not the name of a bundle.")
    return registry / pointer.farm / pointer.key / BUNDLE


def slug(name: str) -> str:
    """A name that can stand in an address and be a folder's."""
    plain = re.sub(r"[^a-z0-9_.-]+", "_", name.lower()).strip("_.-")
    return plain[:64] or "farm"


def write_whole(file: Path, content: str) -> None:
    """Under a temporary name, to the disk, then moved into place: a reader finds what was there, or this."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    try:
        with os.fdopen(handle, "w") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        Path(part).chmod(0o644)
        Path(part).replace(file)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def document(file: Path) -> dict[str, Any]:
    """A JSON object. Raises BundleError if it is absent or none."""
    try:
        found = json.loads(file.read_bytes())
        return dict(found)
    except (OSError, ValueError, TypeError) as error:
        raise BundleError(f"{file}: cannot be read ({error}). Register the bundle again.") from None
