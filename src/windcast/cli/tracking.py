"""What was tried: runs, and of them show, compare, sync."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windcast.cli.console import plain, say, show_table

if TYPE_CHECKING:
    from windcast.registry.tracking.spool import Entry

Store = Annotated[Path, typer.Option(help="Folder of the records: `tracking.folder`.")]
HERE = Path("runs")
SHORT = 7  # characters of an id that are shown, and enough to name it
SCORES = ("crps", "nmae", "nrmse", "bias", "coverage_90", "width_90")

runs_app = typer.Typer(help="What was tried: lists, shows and compares runs, trainings and trials.")


@runs_app.callback(invoke_without_command=True)
def list_runs(
    context: typer.Context,
    folder: Store = HERE,
    last: Annotated[int, typer.Option(help="How many, newest first; 0 for all.", min=0)] = 20,
) -> None:
    """What was tried, newest first; scores in % of capacity."""
    if context.invoked_subcommand is not None:
        return
    import polars as pl

    from windcast.registry.tracking import spool

    found = spool.entries(folder)
    shown = found[:last] if last else found
    if not found:
        say(f"No runs in {plain(str(folder))} yet.")
    else:
        title = f"{len(shown)} of {len(found)} runs in {folder}: scores in % of capacity"
        table = pl.DataFrame([_row(entry) for entry in shown], infer_schema_length=None)
        show_table(table, title, decimals=2, whole=("id", "made, UTC", "kind", "CRPS", "NMAE", "s"))
    _say_what_waits(found)
    for file in spool.broken(folder):
        say(f"[yellow]note[/yellow]: {plain(str(file))} cannot be read and is left out.")


def _row(entry: "Entry") -> dict[str, Any]:
    tracked = entry.tracked
    return {
        "name": tracked.name,
        "id": entry.id[:SHORT],
        "made, UTC": tracked.created[5:16].replace("T", " "),
        "kind": tracked.kind,
        "model": tracked.model,
        "data": tracked.data,
        "CRPS": _percent(tracked.metric("crps")),
        "NMAE": _percent(tracked.metric("nmae")),
        "s": round(tracked.seconds),
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _say_what_waits(found: "list[Entry]") -> None:
    waiting = [entry for entry in found if entry.pending]
    if waiting:
        why = next((entry.state for entry in waiting if entry.state != "waits"), "waits: not tried yet")
        say(f"[yellow]note[/yellow]: {len(waiting)} not sent yet ({plain(why)}). Send with: windcast runs sync")


@runs_app.command("show")
def show(run: Annotated[str, typer.Argument(help="Name or id; see `windcast runs`.")], folder: Store = HERE) -> None:
    """All that is known of a run."""
    from windcast.registry.tracking import spool

    entry = spool.find(run, folder)
    tracked = entry.tracked
    memory = "" if tracked.memory_mb is None else f", {tracked.memory_mb:.0f} MB"
    facts = {
        "name": tracked.name,
        "id": entry.id,
        "kind": tracked.kind,
        "made": tracked.created,
        "model": tracked.model,
        "folder": tracked.folder,
        "took": f"{tracked.seconds:.1f} s{memory}",
        "sent": entry.state,
        **{name: value for name, value in tracked.tags.items() if not name.startswith(("package.", "fingerprint."))},
        **tracked.parameters,
    }
    for name, value in facts.items():
        say(f"[dim]{plain(name):>28}[/dim]  {plain(str(value))}")
    table = _scores([entry])
    if not table.is_empty():
        show_table(table, "Scores, in % of capacity", decimals=2)


@runs_app.command("compare")
def compare(
    runs: Annotated[list[str], typer.Argument(help="Two names or ids or more; see `windcast runs`.")],
    folder: Store = HERE,
) -> None:
    """The settings in which runs differ, and their scores side by side."""
    import polars as pl

    from windcast.errors import ConfigError
    from windcast.registry.tracking import spool

    if len(runs) < 2:
        raise ConfigError("one run has nothing to be compared with. Name two or more; see `windcast runs`.")
    found = [spool.find(run, folder) for run in runs]
    titles = _titles(found)
    told = [_told(entry) for entry in found]
    rows = []
    for key in dict.fromkeys(key for one in told for key in one):
        values = [one.get(key, "–") for one in told]
        if len(set(values)) > 1:
            rows.append({"differs": key} | dict(zip(titles, values, strict=True)))
    if rows:
        show_table(pl.DataFrame(rows, infer_schema_length=None), "Settings and origin", verbatim=True)
    else:
        say("Settings, data, code and packages are the same.")
    show_table(_scores(found), "Scores, in % of capacity", decimals=2, verbatim=True)
    if len({entry.tracked.tags.get("data_sha256") for entry in found}) > 1:
        say("[yellow]note[/yellow]: the runs saw different data, so their scores do not compare the models.")
    say("Whether a difference is more than chance: windcast compare, with the folders of two runs.")


def _told(entry: "Entry") -> dict[str, str]:
    tracked = entry.tracked
    unlike = ("command", "fingerprint.", "manifest_sha256")
    tags = {name: value for name, value in tracked.tags.items() if not name.startswith(unlike)}
    return {"kind": tracked.kind} | {name: str(value) for name, value in tracked.parameters.items()} | tags


def _titles(found: "list[Entry]") -> list[str]:
    """Names, with the id where two are alike; a run named twice has its number."""
    names = [entry.tracked.name for entry in found]
    titles = [f"{n} {e.id}".strip() if names.count(n) > 1 else n for n, e in zip(names, found, strict=True)]
    return [f"{t} ({k + 1})" if titles.count(t) > 1 else t for k, t in enumerate(titles)]


def _scores(found: "list[Entry]") -> Any:
    """One row a score of the model itself, its CRPS at some lead times, and what it took; a column a run."""
    import polars as pl

    rows: dict[str, list[float | None]] = {}
    for score in SCORES:
        rows[score] = [_percent(entry.tracked.metric(score)) for entry in found]
    by_lead = [
        {step: value for name, value, step in e.tracked.metrics if name == f"lead/{e.tracked.model}/crps"}
        for e in found
    ]
    shared = sorted(set.intersection(*(set(leads) for leads in by_lead))) if by_lead else []
    for step in [shared[round(k * (len(shared) - 1) / 3)] for k in range(4)] if len(shared) > 3 else shared:
        rows[f"crps, {step / 60:g} h ahead"] = [_percent(leads[step]) for leads in by_lead]
    rows["seconds"] = [entry.tracked.seconds for entry in found]
    rows["memory, MB"] = [entry.tracked.memory_mb for entry in found]
    kept = {name: values for name, values in rows.items() if any(value is not None for value in values)}
    titles = _titles(found)
    columns = {title: [values[k] for values in kept.values()] for k, title in enumerate(titles)}
    return pl.DataFrame({"score": list(kept)} | columns, strict=False)


@runs_app.command("sync")
def sync(
    folder: Store = HERE,
    everything: Annotated[
        bool, typer.Option("--all", help="Send again what was sent before, as to a database that was lost.")
    ] = False,
) -> None:
    """Sends the records that wait. Exit status 1 if some could not be sent; they are kept."""
    from windcast.registry.tracking import sending, spool

    if everything:
        spool.send_again(folder)
    done = failed = 0
    for outcome in sending.send(folder):
        name = plain(f"{outcome.entry.tracked.name} ({outcome.entry.id})")
        if outcome.error is None:
            done += 1
            say(f"  • {name}")
        else:
            failed += 1
            say(f"  • [red]not sent[/red]: {name}: {plain(outcome.error)}")
    say(f"Sent {done}." if done or failed else "Nothing waits to be sent.")
    if failed:
        say(f"{failed} kept, for another windcast runs sync.")
        raise typer.Exit(1)
