"""What a person sees of a training that runs: a bar with the losses, on a terminal and nowhere else."""

from typing import Self

from rich import get_console
from rich.errors import LiveError
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


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
