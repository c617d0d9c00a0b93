"""Models made, judged and made again: backtest, train, compare, report, reproduce, config."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from windcast.cli.console import (
    ConfigFile,
    Overrides,
    chosen_settings,
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
    config: ConfigFile = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; a fresh one below runs/ if not given.")] = None,
) -> None:
    """Rolling-origin backtest of the model against the reference models, with a report."""
    from windcast.registry import runs
    from windcast.workflows import jobs

    chosen = chosen_settings(config, overrides)
    folder = out or runs.fresh_folder(Path("runs"), f"{chosen.document['data']['source']}-{chosen.model_name}")
    with progressing("Backtest") as on_progress:
        run = jobs.run_backtest(chosen, folder, command=this_command(), on_progress=on_progress)
    show_leaderboard(run.backtest)
    say(f"\nReport: [bold]{plain(str(folder / 'report.html'))}[/bold]")
    say(f"Again, to the same numbers: windcast reproduce {plain(shlex.quote(str(folder)))}")


def train(
    overrides: Overrides = None,
    config: ConfigFile = None,
    out: Annotated[Path, typer.Option(help="Folder of the bundle.")] = Path("bundle"),
    until: Annotated[str | None, typer.Option(help="Learn only what was known at this UTC time.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Run whose backtest says how good the bundle will be.")] = None,
) -> None:
    """Fits the model on all data and writes a bundle."""
    from windcast.workflows import jobs

    chosen, known = chosen_settings(config, overrides), utc(until, "--until")
    with progressing("Training") as on_progress:
        bundle = jobs.train(
            chosen, out, until=known, promised_by=scores, command=this_command(), on_progress=on_progress
        )
    what = f"{chosen.model_name}{', calibrated' if bundle.manifest['model'] == 'calibrated' else ''}"
    say(f"Wrote [bold]{plain(str(out))}[/bold]: {plain(what)}, for {plain(bundle.manifest['farm'])}.")
    if not bundle.manifest["scores"]:
        say("[dim]It carries no backtest's scores, so forecasts cannot say what error to expect: --scores RUN.[/dim]")
    say(f"Forecast with it: windcast forecast {plain(shlex.quote(str(out)))}")


def optimize(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle with a neural network.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: BUNDLE-optimized.")] = None,
    prune: Annotated[float, typer.Option(help="Share of hidden units to take out.")] = 0.5,
    epochs: Annotated[int, typer.Option(help="Epochs of training after that.")] = 3,
    member: Annotated[str | None, typer.Option(help="Member of a pool, where several have a network.")] = None,
) -> None:
    """Makes a bundle's network smaller and faster, and keeps the best form that forecasts as well."""
    from windcast.workflows import optimising

    place = out or bundle.absolute().with_name(f"{bundle.absolute().name}-optimized")
    with progressing("Optimising") as on_progress:
        found = optimising.optimise(bundle, place, member=member, prune=prune, epochs=epochs, on_progress=on_progress)
    titles = {
        "ms": "ms for\none",
        "issue times/s": "issue\ntimes/s",
        "CRPS, held out, %": "CRPS,\nheld out",
        "loss, %": "loss,\n%",
        "CRPS, test, %": "CRPS,\ntest",
        "note": "",
    }
    show_table(
        found.to_frame().rename(titles),
        "Forms of the network, on one thread; CRPS in % of capacity",
        fold=False,
    )
    for form in found.forms:
        if form.remark:
            say(f"{plain(form.name)} could not be made here: {plain(form.remark)}")
    say(plain(found.sentence()))
    if found.known:
        say(
            "[yellow]note[/yellow]: the network had learned from what is held out here, the pruned forms not so much: "
            "their loss is overstated. Train with model.holdout=0.1, until the test span, to compare them fairly."
        )
    if found.seen:
        say("[yellow]note[/yellow]: the network had learned from the test span too: CRPS there is no promise.")
    say(f"Wrote [bold]{plain(str(place))}[/bold]. Forecast with it: windcast forecast {plain(shlex.quote(str(place)))}")


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


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for report, scores.json and leads.csv; default: the report, in the run.")
    ] = None,
) -> None:
    """Writes a run's HTML report again."""
    from windcast.workflows import jobs, pipeline

    if out is not None:
        say(f"Wrote [bold]{plain(', '.join(map(str, pipeline.write_results(run, out))))}[/bold]")
        return
    result, record = jobs.stored_backtest(run)
    say(f"Wrote [bold]{plain(str(jobs.write_run_report(result, record, run)))}[/bold]")


def reproduce(
    run: Annotated[str, typer.Argument(help="Folder of a run or a bundle, or its name or id; see `windcast runs`.")],
    out: Annotated[Path | None, typer.Option(help="Where to put the repetition.")] = None,
    folder: Annotated[Path, typer.Option(help="Folder of the records: `tracking.folder`.")] = Path("runs"),
) -> None:
    """Makes a backtest or a training again from its record. Exit status 0: the same to the bit, 1: not."""
    from windcast.workflows import reproducing

    into = out or (Path(run) / "again" if (Path(run) / "run.json").is_file() else folder / f"{Path(run).name}-again")
    with progressing("Again") as on_progress:
        outcome = reproducing.reproduce(run, into, store=folder, on_progress=on_progress)
    for difference in outcome.differences:
        say(f"  • {plain(difference)}")
    what = "model" if outcome.kind == "training" else "forecasts"
    differs = "differs" if outcome.kind == "training" else "differ"
    say(f"The same {what}, to the bit." if outcome.exact else f"[red]The {what} {differs}.[/red]")
    raise typer.Exit(0 if outcome.exact else 1)


def show_config(overrides: Overrides = None, config: ConfigFile = None) -> None:
    """Prints the resolved configuration."""
    from omegaconf import OmegaConf

    chosen = chosen_settings(config, overrides)
    document = {**chosen.document, "tracking": chosen.tracking.shown()}
    print(OmegaConf.to_yaml(OmegaConf.create(document)), end="")
