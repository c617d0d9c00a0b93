"""Versions of a value: which rows of a batch say something that is not stored already."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from windcast.serving.store.errors import VersionConflict
from windcast.serving.store.records import moment

V = TypeVar("V")
Known = dict[int, dict[int, V]]  # time → available_at → value


class Row(NamedTuple, Generic[V]):
    """A value of a batch. stated: whether its owner said when it became known, or it counts from its receipt."""

    time: int
    available_at: int
    stated: bool
    value: V


@dataclass(frozen=True, kw_only=True)
class Settled(Generic[V]):
    added: list[Row[V]]
    corrected: int
    repeated: int


def settle(rows: Iterable[Row[V]], known: Known[V], *, what: str) -> Settled[V]:
    """Sort a batch into versions to be added and repetitions; `known` then holds the added ones too.

    A row repeats where its time and available_at are stored with its value. One whose available_at was not stated
    repeats, too, where its value is that of the newest version: its sender only said it again.
    It is a correction where the version before it has another value.
    Raises VersionConflict where a time and available_at have two values, stored or in the batch.
    """
    added, corrected, repeated = [], 0, 0
    for row in sorted(rows, key=lambda row: row[:2]):
        versions = known.setdefault(row.time, {})
        if row.available_at in versions:
            if versions[row.available_at] != row.value:
                raise _conflict(what, row, versions[row.available_at])
            repeated += 1
            continue
        if versions:
            if not row.stated and versions[max(versions)] == row.value:
                repeated += 1
                continue
            before = max((known_at for known_at in versions if known_at < row.available_at), default=None)
            corrected += before is not None and versions[before] != row.value
        versions[row.available_at] = row.value
        added.append(row)
    return Settled(added=added, corrected=corrected, repeated=repeated)


def newest(versions: dict[int, V]) -> V:
    """The value of the newest of one or more versions."""
    return versions[max(versions)]


def _conflict(what: str, row: Row[V], other: V) -> VersionConflict:
    return VersionConflict(
        f"{what} at {moment(row.time):%Y-%m-%d %H:%M:%S} UTC, known at {moment(row.available_at):%Y-%m-%d %H:%M:%S.%f} "
        f"UTC, would be both {_words(other)} and {_words(row.value)}. Give a correction a later available_at."
    )


def _words(value: object) -> str:
    return "missing" if value is None else str(value)
