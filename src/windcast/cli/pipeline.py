"""Data and pipeline for DVC: data prepare, pipeline init."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from windcast.cli.console import ConfigFile, Overrides, chosen_settings, plain, say


def data_prepare(
    overrides: Overrides = None,
    config: ConfigFile = None,
    out: Annotated[Path, typer.Option(help="Folder for the farm.")] = Path("prepared"),
) -> None:
    """Reads the data once and writes them as windcast keeps them: faster to read, the same to the bit."""
    from windcast.data.sources import prepared

    farm = chosen_settings(config, overrides).farm()
    prepared.save(farm, out)
    for sentence in farm.repairs:
        say(f"  • {plain(sentence)}")
    say(f"Wrote [bold]{plain(str(out))}[/bold]: {plain(farm.name)}, {farm.start:%Y-%m-%d} to {farm.end:%Y-%m-%d}.")
    say(f"Use it with: data=prepared data.folder={plain(shlex.quote(str(out)))}")


def pipeline_init(
    overrides: Overrides = None,
    force: Annotated[bool, typer.Option("--force", help="Replace dvc.yaml and params.yaml.")] = False,
) -> None:
    """Writes dvc.yaml, params.yaml and .dvcignore into this folder: prepare, backtest, train, report."""
    from windcast.configs import settings
    from windcast.workflows import pipeline

    chosen = settings(overrides or [])
    written = pipeline.init(chosen, Path(), replace=force)
    say(f"Wrote [bold]{plain(', '.join(map(str, written)))}[/bold].")
    data = chosen.document["data"]
    tables = [file for file in pipeline.source_files(chosen, Path()) if file != data.get("config")]
    say("Next, in a git repository:")
    say("  dvc init")
    if tables:
        say(f"  dvc add {plain(shlex.join(tables))}")
    say("  dvc repro")
