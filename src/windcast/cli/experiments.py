"""Models made, judged and made again: backtest, train, compare, report, reproduce, config."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from windcast.cli.console import (
    Overrides,
    plain,
    progressing,
    say,
    show_leaderboard,
    show_table,
    this_command,
    utc,
)


def backtest(
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; a fresh one below runs/ if not given.")] = None,
) -> None:
    """Rolling-origin backtest of the model against the reference models, with a report."""
    from windcast.configs import settings
    from windcast.registry import runs
    from windcast.workflows import jobs

    chosen = settings(overrides or [])
    folder = out or runs.fresh_folder(Path("runs"), f"{chosen.document['data']['source']}-{chosen.model_name}")
    with progressing("Backtest") as on_progress:
        run = jobs.run_backtest(chosen, folder, command=this_command(), on_progress=on_progress)
    show_leaderboard(run.backtest)
    say(f"\nReport: [bold]{plain(str(folder / 'report.html'))}[/bold]")
    say(f"Again, to the same numbers: windcast reproduce {plain(shlex.quote(str(folder)))}")


def train(
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="Folder of the bundle.")] = Path("bundle"),
    until: Annotated[str | None, typer.Option(help="Learn only what was known at this UTC time.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Run whose backtest says how good the bundle will be.")] = None,
) -> None:
    """Fits the model on all data and writes a bundle."""
    from windcast.configs import settings
    from windcast.workflows import jobs

    chosen, known = settings(overrides or []), utc(until, "--until")
    with progressing("Training") as on_progress:
        bundle = jobs.train(
            chosen, out, until=known, promised_by=scores, command=this_command(), on_progress=on_progress
        )
    what = f"{chosen.model_name}{', calibrated' if bundle.manifest['model'] == 'calibrated' else ''}"
    say(f"Wrote [bold]{plain(str(out))}[/bold]: {plain(what)}, for {plain(bundle.manifest['farm'])}.")
    say(f"Forecast with it: windcast forecast {plain(shlex.quote(str(out)))}")


def compare(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    other: Annotated[
        Path | None, typer.Argument(help="Another run of the same issue times; default: the same.")
    ] = None,
    models: Annotated[str | None, typer.Option(help="Two models, `first:second`; default: the last of each.")] = None,
) -> None:
    """Diebold-Mariano test between two models, by lead time, in one run or two."""
    from windcast.workflows import comparing

    table, verdict = comparing.compare_runs(run, other or run, models)
    show_table(table, "Difference in CRPS (negative: the first is better)")
    say(plain(verdict))


def report(run: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Writes a run's HTML report again."""
    from windcast.workflows import jobs

    result, record = jobs.stored_backtest(run)
    say(f"Wrote [bold]{plain(str(jobs.write_run_report(result, record, run)))}[/bold]")


def reproduce(
    run: Annotated[str, typer.Argument(help="Folder of a run, or its name or id; see `windcast runs`.")],
    out: Annotated[Path | None, typer.Option(help="Where to put the repeated run.")] = None,
    folder: Annotated[Path, typer.Option(help="Folder of the records: `tracking.folder`.")] = Path("runs"),
) -> None:
    """Makes a run again from its record. Exit status 0: the same forecasts to the bit, 1: not."""
    from windcast.workflows import jobs

    into = out or (Path(run) / "again" if Path(run).is_dir() else folder / f"{Path(run).name}-again")
    with progressing("Again") as on_progress:
        outcome = jobs.reproduce(run, into, store=folder, on_progress=on_progress)
    for difference in outcome.differences:
        say(f"  • {plain(difference)}")
    say("The same forecasts, to the bit." if outcome.exact else "[red]The forecasts differ.[/red]")
    raise typer.Exit(0 if outcome.exact else 1)


def show_config(overrides: Overrides = None) -> None:
    """Prints the resolved configuration."""
    from omegaconf import OmegaConf

    from windcast.configs import settings

    chosen = settings(overrides or [])
    tracking = chosen.tracking.shown()
    print(OmegaConf.to_yaml(OmegaConf.create({**chosen.document, "tracking": tracking})), end="")
