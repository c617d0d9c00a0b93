"""Hyperparameter sweeps."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windcast.cli.console import Overrides, plain, say, this_command

if TYPE_CHECKING:
    from windcast.configs.sweeps import Search
    from windcast.workflows.sweep_results import Trial

SHOWN = 10  # trials in the table


def sweep(
    overrides: Overrides = None,
    study: Annotated[
        str | None, typer.Option(help="Name of a study below runs/, or its folder; one that exists goes on.")
    ] = None,
    space: Annotated[Path | None, typer.Option(help="A W&B sweep (YAML) as the search space.")] = None,
    processes: Annotated[int, typer.Option(help="Processes that run trials side by side.")] = 1,
) -> None:
    """Searches hyperparameters by the CRPS on a validation span before the test span.

    Also with sweep=NAME, sweep.trials=50, sweep.minutes=20, sweep.space.model.KEY={low:1,high:5}.
    """
    from windcast.registry import runs
    from windcast.workflows import recording, sweeping
    from windcast.workflows.sweep_results import best_overrides, command, ranked

    folder = runs.fresh_folder(Path("runs"), "sweep") if study is None else _folder(study)
    found = sweeping.begin(overrides or [], folder=folder, command=this_command(), file=space, known=study is not None)
    again = plain(f"windcast sweep --study {shlex.quote(study or folder.name)}")
    spans = found.record.spans
    say(f"Sweep [bold]{plain(str(folder))}[/bold] over {plain(', '.join(found.search.space))}.")
    say(
        f"Learns from {spans['learned_from'][:16]}, validates from {spans['validated_from'][:16]} to "
        f"{spans['tuned_until'][:16]} UTC. The test span after it is not seen."
    )
    for note in found.notes:
        say(f"[yellow]note[/yellow]: {plain(note)}")
    try:
        with _live(found.search) as on_change:
            trials, notes = sweeping.run(found, processes=processes, on_change=on_change)
            recording.swept(found.tracking, found.folder, found.record, trials)
    except KeyboardInterrupt:
        say(f"Stopped. Go on: {again}")
        raise typer.Exit(130) from None
    for note in notes:
        say(f"[yellow]note[/yellow]: {plain(note)}")
    say("")
    _print(_view(ranked(trials)[:SHOWN], "Best trials: CRPS on validation in % of capacity"))
    say(plain(_counts(trials)))
    for best in ranked(trials)[:1]:
        say(f"Best: windcast train {plain(command(best_overrides(best, found.record)))}")
    say(f"Results in [bold]{plain(str(folder))}[/bold]. More trials: {again} sweep.trials={2 * found.search.trials}")


def _folder(study: str) -> Path:
    return Path(study) if "/" in study else Path("runs") / study


def _counts(trials: "list[Trial]") -> str:
    """How many trials ended in which way."""
    states = ["killed" if trial.killed else trial.state for trial in trials]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) + "."


@contextmanager
def _live(search: "Search") -> "Iterator[Callable[[list[Trial]], None]]":
    """A table of the best and the running trials, on a terminal and nowhere else."""
    from rich import get_console
    from rich.live import Live

    if not get_console().is_terminal:
        yield lambda _: None
        return
    with Live(console=get_console(), transient=True, auto_refresh=False) as live:
        yield lambda trials: live.update(_running(trials, search), refresh=True)


def _running(trials: "list[Trial]", search: "Search") -> Any:
    from windcast.workflows.sweep_results import ranked

    ended = sum(trial.ended and not trial.killed for trial in trials)
    now = [trial for trial in trials if trial.state == "running"]
    title = f"{ended} of {search.trials} trials. {_counts(trials) if trials else ''}"
    return _view([*now, *ranked(trials)[:SHOWN]], title)


def _view(trials: "list[Trial]", title: str) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    view = Table(title=plain(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("trial", "state", "CRPS", "seconds"):
        view.add_column(name, justify="right" if name != "state" else "left", no_wrap=True)
    view.add_column("values")
    for trial in trials:
        score = trial.crps if trial.crps is not None else next(reversed(trial.curve.values()), None)
        cells = [
            None if score is None else f"{100 * score:.4f}",
            None if trial.seconds is None else f"{trial.seconds:.1f}",
        ]
        values = " ".join(f"{key.removeprefix('model.')}={_short(value)}" for key, value in trial.values.items())
        view.add_row(str(trial.number), trial.state, *cells, plain(values))
    return view


def _print(view: Any) -> None:
    from rich.console import Console

    Console().print(view)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace(" ", "")
