"""The registry of a farm's models: bundles as MLflow model versions, the alias `champion`, every move of it, and back.

The alias is the truth; the pointer that services read follows it under the same lock (see `pointer` for the files).
Bundles and moves lie on disk, so a registry whose database was lost is filled again from them.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from windcast.errors import BundleError, ConfigError, TrackingError
from windcast.models.calibration import Calibrated
from windcast.registry import pointer
from windcast.registry.bundles import MANIFEST, Bundle, open_bundle, sha256
from windcast.registry.pointer import Pointer, slug
from windcast.registry.tracking import database, sending
from windcast.registry.tracking.lock import held

CHAMPION, CHALLENGER = "champion", "challenger"
ENTRY, MOVES, LOCK = "entry.json", "moves.jsonl", "lock"
KEY = 16  # characters of a checksum that name a bundle's folder
KEY_TAG = "windcast.key"
PATIENCE = 15.0  # seconds to wait for another promotion, and for the database
PROMOTED, FORCED, BACK, FOUND = "promoted", "forced", "rolled back", "moved by hand"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A registered bundle. key: the beginning of its manifest's sha256, `checksum`. origin: the folder it came from."""

    version: int
    key: str
    checksum: str
    model: str
    origin: str
    registered: str


@dataclass(frozen=True, kw_only=True)
class Move:
    """kind: promoted, forced, rolled back, or moved by hand, as in MLflow's page. before: None for the first."""

    time: str
    kind: str
    before: str | None
    after: str
    version: int
    reason: str = ""


class Champions:
    """One farm's registry. folder: where the registries of all farms lie. uri: of MLflow.

    Raises ConfigError where the extra `track` is missing, TrackingError where the database cannot be used.
    """

    def __init__(self, farm: str, folder: Path = pointer.REGISTRY, *, uri: str | None = None) -> None:
        if not sending.installed("mlflow"):
            raise ConfigError("the registry needs MLflow. Install it with: pip install 'windcast[track]'")
        self.farm, self.registry, self.place = slug(farm), folder, folder / slug(farm)
        self.uri = uri or f"{database.SCHEME}{(folder.parent / 'mlflow.db').resolve()}"

    def register(self, folder: Path) -> Entry:
        """Copies a bundle below the registry, once, and makes it the challenger. The bundle's checksums must match."""
        checksum = sha256(open_bundle(folder).folder / MANIFEST)
        with self._alone():
            entry = self._entry(checksum[:KEY])
            if entry is None:
                entry = self._registered(self._copied(folder, checksum), str(folder.resolve()))
            self.bundle(entry)
            if entry != self._champion():
                self._client.set_registered_model_alias(self.farm, CHALLENGER, str(entry.version))
            return entry

    def bundle(self, entry: Entry) -> Bundle:
        """Raises BundleError if it is no longer what was registered."""
        folder = self.place / entry.key / pointer.BUNDLE
        if (folder / MANIFEST).is_file() and sha256(folder / MANIFEST) != entry.checksum:
            raise BundleError(f"{folder}: its manifest was changed since it was registered. Register the bundle again.")
        return open_bundle(folder)

    def champion(self) -> Entry | None:
        with self._alone():
            return self._champion()

    def moves(self) -> list[Move]:
        """Oldest first. Raises BundleError if the file cannot be read."""
        file = self.place / MOVES
        try:
            lines = file.read_text().splitlines()
            return [Move(**json.loads(line)) for line in lines]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError) as error:
            raise BundleError(f"{file}: not readable ({error}). Correct the line; nothing was moved.") from None

    def promote(self, entry: Entry, *, instead_of: Entry | None, reason: str = "", forced: bool = False) -> Move:
        """Makes it the champion. Raises TrackingError if `instead_of` is not the champion any more."""
        with self._alone():
            self.bundle(entry)
            current = self._champion()
            if current != instead_of:
                was = "none" if instead_of is None else f"version {instead_of.version}"
                now = "none" if current is None else f"version {current.version}"
                raise TrackingError(
                    f"{self.farm}: another promotion moved the champion meanwhile, from {was} to {now}. Nothing was "
                    "changed here: compare with that one, by the same command."
                )
            return self._moved(entry, current, FORCED if forced else PROMOTED, reason)

    def rollback(self, reason: str = "") -> Move:
        """Makes the champion's predecessor the champion again. Raises TrackingError if there is none."""
        with self._alone():
            current = self._champion()
            before = self._line()[:-1]
            if current is None or not before:
                raise TrackingError(f"{self.farm}: no champion before this one to go back to.")
            entry = self._entry(before[-1])
            if entry is None:
                raise BundleError(f"{self.place / before[-1]}: the bundle to go back to is not there any more.")
            self.bundle(entry)
            return self._moved(entry, current, BACK, reason)

    def settle(self) -> Entry | None:
        """Has pointer and moves follow the alias, as after a kill, or a move in MLflow's page. The champion."""
        return self.champion()

    def _line(self) -> list[str]:
        """Keys of the champions that lead to today's: going back takes the last away."""
        line: list[str] = []
        for move in self.moves():
            if move.kind == BACK:
                line = line[:-1]
            if not line or line[-1] != move.after:
                line.append(move.after)
        return line

    def _moved(self, entry: Entry, current: Entry | None, kind: str, reason: str) -> Move:
        self._client.set_registered_model_alias(self.farm, CHAMPION, str(entry.version))
        move = self._note(entry, current, kind, reason)
        self._point(entry, move.time)
        aliases = self._client.get_registered_model(self.farm).aliases
        if str(aliases.get(CHALLENGER)) == str(entry.version):
            self._client.delete_registered_model_alias(self.farm, CHALLENGER)
        return move

    def _note(self, entry: Entry, before: Entry | None, kind: str, reason: str) -> Move:
        move = Move(
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            kind=kind,
            before=None if before is None else before.key,
            after=entry.key,
            version=entry.version,
            reason=reason,
        )
        with (self.place / MOVES).open("a") as file:
            file.write(json.dumps(asdict(move)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return move

    def _point(self, entry: Entry, time: str) -> None:
        found = Pointer(farm=self.farm, version=entry.version, key=entry.key, checksum=entry.checksum, moved=time)
        found.write(self.registry)

    def _champion(self) -> Entry | None:
        """As the alias says; pointer and moves are made to follow."""
        version = self._client.get_registered_model(self.farm).aliases.get(CHAMPION)
        if version is None:
            return None
        entry = next((e for e in self._entries() if e.version == int(version)), None)
        if entry is None:
            raise BundleError(
                f"{self.place}: version {version} is the champion in MLflow, but its bundle is not there. Put the "
                "folder back, or give the alias to another version."
            )
        moves = self.moves()
        if not moves or moves[-1].after != entry.key:
            before = None if not moves else self._entry(moves[-1].after)
            moves.append(self._note(entry, before, FOUND, "the alias was found on it"))
        try:
            pointed = pointer.read(self.registry, self.farm)
        except BundleError:
            pointed = None
        if pointed is None or pointed.key != entry.key:
            self._point(entry, moves[-1].time)
        return entry

    def _copied(self, folder: Path, checksum: str) -> str:
        """The key below which a whole copy lies."""
        key = checksum[:KEY]
        place = self.place / key / pointer.BUNDLE
        if place.exists():
            return key
        place.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".bundle-", dir=place.parent))
        try:
            shutil.copytree(folder, part / "copy")
            open_bundle(part / "copy")
            if sha256(part / "copy" / MANIFEST) != checksum:
                raise BundleError(f"{folder}: was written while it was copied. Register it again.")
            for file in (part / "copy").rglob("*"):
                if file.is_file():
                    file.chmod(0o444)
            (part / "copy").replace(place)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return key

    def _registered(self, key: str, origin: str) -> Entry:
        folder = self.place / key / pointer.BUNDLE
        bundle, checksum = open_bundle(folder), sha256(folder / MANIFEST)
        tags = {
            KEY_TAG: key,
            "model": named(bundle),
            "origin": origin,
            "manifest_sha256": checksum,
            "trained_until": bundle.trained_until.isoformat(),
        }
        version = self._client.create_model_version(self.farm, source=folder.resolve().as_uri(), tags=tags)
        entry = Entry(
            version=int(version.version),
            key=key,
            checksum=checksum,
            model=named(bundle),
            origin=origin,
            registered=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        pointer.write_whole(self.place / key / ENTRY, json.dumps(asdict(entry), indent=1))
        return entry

    def _entries(self) -> list[Entry]:
        found = (pointer.document(file) for file in self.place.glob(f"*/{ENTRY}"))
        try:
            return sorted((Entry(**one) for one in found), key=lambda entry: entry.version)
        except TypeError as error:
            raise BundleError(
                f"{self.place}: an {ENTRY} is not readable ({error}). Register the bundle again."
            ) from None

    def _entry(self, key: str) -> Entry | None:
        return next((entry for entry in self._entries() if entry.key == key), None)

    @cached_property
    def _client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else moves this farm's aliases. MLflow's errors come out as windcast's."""
        self.place.mkdir(parents=True, exist_ok=True)
        file = database.file_of(self.uri)
        with held(self.place / LOCK, patience=PATIENCE) as alone:
            if not alone:
                raise TrackingError(
                    f"{self.place}: another promotion is at work. Wait for it, then repeat the command."
                )
            if file is not None:
                database.check(file, patience=PATIENCE)
            os.environ.update({name: value for name, value in sending.ENVIRONMENT.items() if name not in os.environ})
            from mlflow.exceptions import MlflowException

            from windcast.registry.tracking import mlflow

            try:
                if file is not None:
                    mlflow.ensure(file)
                self._known()
                yield
            except MlflowException as error:
                raise TrackingError(_reason(self.uri, file, str(error))) from None

    def _known(self) -> None:
        """The registered model, made where it is not; what lies on disk is then registered in it, in the same order."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_registered_model(self.farm)
            return
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        self._client.create_registered_model(self.farm, tags={"farm": self.farm})
        known = {entry.key: self._registered(entry.key, entry.origin) for entry in self._entries()}
        line = self._line()
        if line and line[-1] in known:
            self._client.set_registered_model_alias(self.farm, CHAMPION, str(known[line[-1]].version))


def named(bundle: Bundle) -> str:
    """What it is, in words."""
    forecaster = bundle.forecaster
    return f"{forecaster.model.name}, calibrated" if isinstance(forecaster, Calibrated) else forecaster.name


def _reason(uri: str, file: Path | None, told: str) -> str:
    cause = re.search(r"\(sqlite3\.\w+\) ([^\n\[]+)", told)
    if file is not None and (cause or "locked" in told):
        return database.reason(file, cause[1].strip() if cause else told)
    return f"{uri}: {told.splitlines()[0]}"
