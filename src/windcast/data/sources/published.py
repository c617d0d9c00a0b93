"""Finding a published data set: a path the user gave, the folder WINDCAST_DATA, or a checked download."""

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from windcast.errors import SourceError


def find(relative: str, path: str | Path | None = None) -> Path | None:
    """The file at `path` if one is given, else `relative` below WINDCAST_DATA or ../shared/data; None if absent.

    Raises SourceError if a path was given and nothing is there.
    """
    if path is not None:
        given = Path(path).expanduser()
        if not given.is_file():
            raise SourceError(f"{given}: no such file. Give the path of {Path(relative).name}.")
        return given
    folders = [os.environ["WINDCAST_DATA"]] if os.environ.get("WINDCAST_DATA") else []
    for folder in (*folders, "../shared/data"):
        candidate = Path(folder) / relative
        if candidate.is_file():
            return candidate
    return None


def check(path: Path, sha256: str) -> None:
    """Raises SourceError if the file is not the published one."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise SourceError(f"{path}: sha256 is {found[:12]}…, the published file has {sha256[:12]}…. Fetch it again.")


def download(url: str, target: Path, *, limit_mb: int = 200) -> Path:
    """Fetches `url` to `target` under a temporary name, then moves it. Raises SourceError with the way out."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            urllib.request.urlopen(url, timeout=60) as answer,  # noqa: S310 (constant https and http addresses)
            tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as part,
        ):
            size = 0
            while block := answer.read(1 << 20):
                size += len(block)
                if size > limit_mb << 20:
                    raise SourceError(f"{url}: larger than {limit_mb} MB, which cannot be the published file.")
                part.write(block)
    except (urllib.error.URLError, TimeoutError) as error:
        raise SourceError(
            f"{url}: cannot be downloaded ({error}). Fetch it by hand and give its path, or set WINDCAST_DATA."
        ) from None
    Path(part.name).replace(target)
    return target


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "windcast"
