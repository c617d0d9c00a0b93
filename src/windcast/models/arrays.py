"""Arrays of a model on disk: one npz, read back without the power to run code."""

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

FILE = "arrays.npz"


def save(folder: Path, **arrays: NDArray[Any]) -> None:
    np.savez_compressed(folder / FILE, allow_pickle=False, **arrays)


def load(folder: Path) -> dict[str, NDArray[Any]]:
    """Raises ValueError if the file is broken or holds Python objects, OSError if it cannot be read."""
    try:
        with (folder / FILE).open("rb") as file, np.load(file, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except (BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{FILE} is broken: {error}") from None
