"""Objectives of sweeps that other processes can import by name."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from windcast.errors import TaskError

Report = Callable[[int, float], None]


def bowl(values: dict[str, Any], report: Report) -> float:
    return 0.05 + 0.01 * (values["model.rounds"] - 4) ** 2 + 0.001 * values["model.num_leaves"]


def bowl_of(_record: Any, _processes: int) -> Any:
    return bowl


def slow_of(_record: Any, _processes: int) -> Any:
    def objective(values: dict[str, Any], report: Report) -> float:
        time.sleep(0.1)
        return bowl(values, report)

    return objective


def broken_of(_record: Any, _processes: int) -> Any:
    raise TaskError("nothing to learn from.")


def dying_of(_record: Any, _processes: int) -> Any:
    def objective(values: dict[str, Any], report: Report) -> float:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0.0

    return objective


def hang(folder: Path) -> None:
    """Begins a trial of the sweep and does not end it."""
    from windcast.workflows.sweeping import begin

    begin((), folder=folder, command="").study().run(lambda values, report: time.sleep(60) or 0.0)
