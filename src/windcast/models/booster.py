"""A LightGBM booster that forecasts, on the C interface of LightGBM's library.

Its Python package does the same, but with SciPy and what else that brings takes 0.3 s to import; it is for training.
"""

import ctypes
import weakref
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1}
VALUES, LEAVES = 0, 2  # what is predicted
ALL = -1  # trees
ROOM = 1 << 22  # bytes; most boosters' text is shorter


class Booster:
    """A booster from LightGBM's own text, which must be whole. Raises ValueError where LightGBM cannot read it."""

    def __init__(self, text: str) -> None:
        self.handle, rounds = ctypes.c_void_p(), ctypes.c_int()
        _call("LGBM_BoosterLoadModelFromString", text.encode(), ctypes.byref(rounds), ctypes.byref(self.handle))
        weakref.finalize(self, _library().LGBM_BoosterFree, self.handle).atexit = False
        self.trees = self._count("LGBM_BoosterNumberOfTotalModel")
        self.width = self._count("LGBM_BoosterGetNumClasses")

    def num_trees(self) -> int:
        return self.trees

    def predict(self, inputs: NDArray[np.floating], *, num_threads: int, pred_leaf: bool = False) -> NDArray[Any]:
        """[N] float64 for inputs [N, F], [N, K] of a booster joined from K; of leaves [N, trees] int32.

        Raises ValueError where the booster has other features.
        """
        table = np.ascontiguousarray(inputs, None if inputs.dtype in DTYPES else np.float64)
        columns = self.trees if pred_leaf else self.width
        out, length = np.empty((len(table), columns)), ctypes.c_int64()
        _call(
            "LGBM_BoosterPredictForMat",
            self.handle,
            table.ctypes.data_as(ctypes.c_void_p),
            DTYPES[table.dtype],
            *(ctypes.c_int32(size) for size in table.shape),
            1,  # row by row
            LEAVES if pred_leaf else VALUES,
            0,
            ALL,
            f"num_threads={num_threads}".encode(),
            ctypes.byref(length),
            out.ctypes.data_as(ctypes.c_void_p),
        )
        if pred_leaf:
            return out.astype(np.int32)
        return out[:, 0] if columns == 1 else out

    def model_to_string(self) -> str:
        """LightGBM's own text."""
        length, room = ctypes.c_int64(), ROOM
        while True:
            text, place = np.empty(room, np.uint8), ctypes.byref(length)
            pointer = text.ctypes.data_as(ctypes.c_char_p)
            _call("LGBM_BoosterSaveModelToString", self.handle, 0, ALL, 0, ctypes.c_int64(room), place, pointer)
            if length.value <= room:
                return text[: length.value - 1].tobytes().decode()  # less the zero at its end
            room = length.value

    def _count(self, function: str) -> int:
        count = ctypes.c_int()
        _call(function, self.handle, ctypes.byref(count))
        return count.value


def _call(function: str, *arguments: Any) -> None:
    if getattr(_library(), function)(*arguments):
        raise ValueError(_library().LGBM_GetLastError().decode())


@cache
def _library() -> Any:
    """LightGBM's shared library, found by the part of its package that does only that."""
    package = find_spec("lightgbm")
    if package is None or package.origin is None:
        raise ImportError("lightgbm is not installed. Install it with `pip install lightgbm`.")
    found = spec_from_file_location("lightgbm_library", Path(package.origin).with_stem("libpath"))
    if found is None or found.loader is None:
        raise ImportError("lightgbm is not whole. Install it again.")
    module = module_from_spec(found)
    found.loader.exec_module(module)
    library = module._LIB
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    return library
