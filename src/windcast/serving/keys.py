"""API keys: random, kept as hashes only, each for some farms and for reading or also for writing."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from windcast.errors import ConfigError, unknown_name

Scope = Literal["read", "write"]
PREFIX = "wc_"


@dataclass(frozen=True)
class Key:
    """farms: names, or ("*",) for all. scopes: "read" forecasts and data, "write" values, issue and change farms.

    The token has 256 random bits, so its plain sha256 cannot be searched.
    """

    name: str
    sha256: str
    farms: tuple[str, ...]
    scopes: tuple[Scope, ...]
    created: str

    @property
    def everywhere(self) -> bool:
        return "*" in self.farms

    def allows(self, scope: Scope, farm: str | None) -> bool:
        """farm: None stands for what concerns all farms."""
        return scope in self.scopes and (self.everywhere or farm in self.farms)


class Keys:
    """The keys of a file, read again when the file changes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.seen: tuple[int, int] | None = None
        self.keys: tuple[Key, ...] = ()
        self.current()

    def current(self) -> tuple[Key, ...]:
        """Raises ConfigError if the file cannot be read."""
        try:
            stat = self.file.stat()
            if (stat.st_mtime_ns, stat.st_size) != self.seen:
                self.keys = read(self.file)
                self.seen = stat.st_mtime_ns, stat.st_size
        except OSError as error:
            raise ConfigError(f"{self.file}: {error.strerror}. Make a key with `windcast keys add NAME`.") from None
        return self.keys

    def find(self, token: str) -> Key | None:
        """The key of a token; every one is compared, in constant time."""
        digest = hashed(token)
        found = None
        for key in self.current():
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def read(file: Path) -> tuple[Key, ...]:
    """Raises ConfigError unless the file holds keys as `add` wrote them."""
    try:
        listed = json.loads(file.read_text())["keys"]
        return tuple(Key(**{**key, "farms": tuple(key["farms"]), "scopes": tuple(key["scopes"])}) for key in listed)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: not a file of keys ({error!r}). Make one with `windcast keys add NAME`.") from None


def add(file: Path, name: str, *, farms: Sequence[str], scopes: Sequence[Scope]) -> str:
    """Writes a key into the file (made if absent, readable by its owner alone) and returns the token, once.

    Raises ConfigError if the name is taken.
    """
    keys = read(file) if file.exists() else ()
    if any(key.name == name for key in keys):
        raise ConfigError(f"{file}: has a key '{name}' already. Choose another name, or remove it first.")
    token = PREFIX + secrets.token_urlsafe(32)
    made = datetime.now(UTC).isoformat(timespec="seconds")
    _write(file, (*keys, Key(name, hashed(token), tuple(farms), tuple(scopes), made)))
    return token


def remove(file: Path, name: str) -> None:
    """Raises ConfigError, with the nearest name, if there is none of that name."""
    keys = read(file) if file.exists() else ()
    if all(key.name != name for key in keys):
        raise ConfigError(unknown_name("key", name, [key.name for key in keys]))
    _write(file, tuple(key for key in keys if key.name != name))


def _write(file: Path, keys: tuple[Key, ...]) -> None:
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as content:
        json.dump({"keys": [asdict(key) for key in keys]}, content, indent=1)
    part.replace(file)
