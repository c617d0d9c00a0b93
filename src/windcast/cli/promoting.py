"""Which model the service runs: promote, rollback."""

from pathlib import Path
from typing import Annotated

import typer

from windcast.cli.console import plain, progressing, say, this_command, utc
from windcast.registry.pointer import REGISTRY

Registry = Annotated[Path, typer.Option(help="Folder of the registry.")]


def promote(
    run: Annotated[str, typer.Argument(help="A run's or bundle's folder, or a tracked run's name.")],
    since: Annotated[
        str | None, typer.Option(help="Compare from this UTC time on; default: all that is unseen.")
    ] = None,
    farm: Annotated[
        Path | None, typer.Option(help="Description of the farm's data; default: the bundle's own.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Promote although it does not pass; needs --reason.")] = False,
    reason: Annotated[str, typer.Option(help="Why it is forced; it stands in the history.")] = "",
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    registry: Registry = REGISTRY,
) -> None:
    """Judges a model beside its farm's champion and puts it in its place if it is better. Exit status 1: it is not."""
    from windcast.workflows import promoting

    asked = promoting.Asked(
        run=run,
        runs=runs,
        registry=registry,
        farm=farm,
        since=utc(since, "--since"),
        force=force,
        reason=reason,
        command=this_command(),
    )
    with progressing("Promotion") as on_progress:
        verdict, folder = promoting.promote(asked, on_progress=on_progress)
    for finding in verdict.findings:
        mark = "[green]✓[/green]" if finding.passed else "[red]✗[/red]"
        say(f"  {mark} [bold]{plain(finding.name)}[/bold]: {plain(finding.said)}")
    say(f"\n{plain(verdict.headline)}\nVerdict: [bold]{plain(str(folder / 'verdict.md'))}[/bold]")
    raise typer.Exit(0 if verdict.promoted else 1)


def rollback(
    farm: Annotated[
        str | None, typer.Argument(help="Of the champion; may be left out where there is one farm.")
    ] = None,
    reason: Annotated[str, typer.Option(help="It stands in the history.")] = "",
    registry: Registry = REGISTRY,
) -> None:
    """Makes the champion's predecessor the champion again."""
    from windcast.workflows import promoting

    move = promoting.rollback(farm, registry, reason)
    say(f"Version {move.version} is the champion again. Services switch within seconds.")
