"""Who watches a training that runs: a person, by a bar with the losses, on a terminal; and a sweep, epoch by epoch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

from rich import get_console
from rich.errors import LiveError
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

OnEpoch = Callable[[int, Any], None]
_watcher: ContextVar[OnEpoch | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(on_epoch: OnEpoch) -> Iterator[None]:
    """Within it, on_epoch(epoch, network) is called after every epoch of every training; what it raises ends that."""
    before = _watcher.set(on_epoch)
    try:
        yield
    finally:
        _watcher.reset(before)


def epoch_ended(epoch: int, network: Any) -> None:
    """Called by a training after an epoch (from 0), its network still in training mode."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(epoch, network)


class Bar:
    """Steps done, and the losses of the last epoch. Within another live display it prints a line an epoch instead."""

    def __init__(self, title: str) -> None:
        self.title, self.console = title, get_console()
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=self.console, transient=True)
        self.task = self.progress.add_task(title, total=None)
        self.alone = False

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            try:
                self.progress.start()
                self.alone = True
            except LiveError:
                pass
        return self

    def __exit__(self, *_: object) -> None:
        if self.alone:
            self.progress.stop()

    def step(self, done: int, of: float) -> None:
        if self.alone:
            self.progress.update(self.task, completed=done, total=of)

    def epoch(self, number: int, of: int | None, learned: float, held: float) -> None:
        """learned, held: mean pinball loss in training and on the tail, shares of capacity; NaN without a tail."""
        beside = "" if held != held else f", on the tail {100 * held:.3f} %"
        text = f"{self.title}: epoch {number} of {of}, loss {100 * learned:.3f} %{beside}"
        if self.alone:
            self.progress.update(self.task, description=text, refresh=True)
        elif self.console.is_terminal:
            self.console.print(text, highlight=False)
