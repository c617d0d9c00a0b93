"""What was promoted: the champion's pointer, believed only with the verdict or the decision that moved it there."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gcloud import DeliveryError, gcloud

KEY = re.compile(r"[0-9a-f]{16}")
FARM = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
BY_VERDICT, BY_FORCE, BACK = "promoted", "forced", "rolled back"

Read = Callable[[str], str]
"""The text of a file by its path below the registry; raises DeliveryError where there is none."""
Find = Callable[[str], list[str]]
"""Paths below the registry that match a pattern; none is an empty list."""


@dataclass(frozen=True)
class Promoted:
    """A registered bundle that may be deployed. how: the kind of move that made it the champion, and why."""

    farm: str
    version: int
    key: str
    checksum: str
    how: str


def promoted(farm: str, read: Read, find: Find) -> Promoted:
    """The farm's champion.

    Raises DeliveryError where there is none, where pointer and record of moves disagree, where it was moved by hand, or
    where no verdict says that it was promoted.
    """
    if not FARM.fullmatch(farm):
        raise DeliveryError(
            f"'{farm[:64]}' is not a farm's name in the registry. Set WINDCAST_FARM to its folder there."
        )
    pointer = _document(f"{farm}/champion.json", read)
    moves = [_object(line, f"{farm}/moves.jsonl") for line in read(f"{farm}/moves.jsonl").splitlines() if line.strip()]
    key, checksum = str(pointer.get("key", "")), str(pointer.get("checksum", ""))
    if not KEY.fullmatch(key) or not checksum.startswith(key) or pointer.get("farm") != farm:
        raise DeliveryError(f"{farm}/champion.json: is not this farm's pointer to a bundle. Promote again.")
    if not moves or moves[-1].get("after") != key:
        raise DeliveryError(f"{farm}: the pointer names {key}, the last recorded move does not. Promote again.")
    last = moves[-1]
    if last.get("kind") not in (BY_VERDICT, BY_FORCE, BACK):
        raise DeliveryError(f"{farm}: version {last.get('version')} was {last.get('kind')}, not promoted. Promote it.")
    earned = [move for move in moves if move.get("after") == key and move.get("kind") in (BY_VERDICT, BY_FORCE)]
    if not earned:
        raise DeliveryError(f"{farm}: {key} was never promoted. Promote it.")
    if not any(_promotes(_document(path, read), checksum) for path in find(f"{farm}/{key}/*/verdict.json")):
        raise DeliveryError(f"{farm}: no verdict beside {key} says that it was promoted. Promote it.")
    reason = f": {last['reason']}" if last.get("reason") else ""
    return Promoted(farm, int(last["version"]), key, checksum, f"{last['kind']}{reason}")


def _promotes(verdict: dict[str, Any], checksum: str) -> bool:
    challenger = verdict.get("challenger") or {}
    return bool(verdict.get("promoted") or verdict.get("forced")) and challenger.get("checksum") == checksum


def _document(path: str, read: Read) -> dict[str, Any]:
    return _object(read(path), path)


def _object(text: str, path: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        raise DeliveryError(f"{path}: is not a JSON object. The next promotion writes it anew.") from None


def in_bucket(registry: str) -> tuple[Read, Find]:
    """How to read a registry that lies at gs://…; a missing pattern finds nothing."""

    def read(path: str) -> str:
        return gcloud("storage", "cat", f"{registry}/{path}")

    def find(pattern: str) -> list[str]:
        try:
            listed = gcloud("storage", "ls", f"{registry}/{pattern}").split()
        except DeliveryError as error:
            if "matched no objects" in str(error):
                return []
            raise
        return [name.removeprefix(f"{registry}/") for name in listed]

    return read, find
