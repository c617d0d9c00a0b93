"""What every command says and writes: sentences, tables, progress, files moved into place whole."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windcast.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

    from windcast.configs import Settings
    from windcast.data.farm import FarmData

TABLES = (".csv", ".parquet", ".json")
PICTURES = (".png", ".svg", ".pdf")
SHOWN = (0.05, 0.25, 0.5, 0.75, 0.95)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Configuration, as in data=klim model=gbm model.num_leaves=31."),
]

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="The whole configuration as YAML, such as params.yaml; KEY=VALUE on top of it."),
]


def chosen_settings(config: Path | None, overrides: Sequence[str] | None) -> "Settings":
    """The settings of a file, or of the tree where none is given, with the overrides."""
    from windcast.configs import document, settings

    return settings(overrides or []) if config is None else document.read(config, overrides or [])


def this_command() -> str:
    return shlex.join(["windcast", *sys.argv[1:]])


def utc(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(f"{option} is '{text}', not a time. Write 2015-07-01T06:00 (UTC).") from None


def say(text: str) -> None:
    from rich.console import Console

    Console(soft_wrap=True).print(text)


def plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@contextmanager
def progressing(title: str) -> Iterator[Callable[[str, int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(title, total=None)

        def on_progress(what: str, done: int, of: int) -> None:
            progress.update(task, description=f"{title}: {what}", completed=done, total=of)

        yield on_progress


def show_leaderboard(backtest: Any) -> None:
    from windcast.evaluation.leaderboard import leaderboard

    titles = {
        "model": "model",
        "crps": "CRPS",
        "nmae": "NMAE",
        "coverage_90": "in 90 %\nband",
        "skill_persistence": "skill,\npersist.",
        "skill_climatology": "skill,\nclimat.",
        "p_value": "p vs\nbest",
        "fit_seconds": "fit, s",
    }
    frame = leaderboard(backtest).select(titles.keys()).rename(titles)
    show_table(frame, "Leaderboard: errors in % of capacity, best first", decimals=2, fold=False)
    if backtest.farm.weather_kind == "reanalysis":
        say("[yellow]note[/yellow]: the weather is reanalysis, made after the fact. Live forecasts will be worse.")


LEAST = 8  # characters in a line of a cell that is folded


def show_table(
    frame: "pl.DataFrame",
    title: str,
    decimals: int = 3,
    *,
    fold: bool = True,
    whole: Sequence[str] = (),
    verbatim: bool = False,
) -> None:
    """fold: cells may take several lines where the terminal is narrow, but not those of the columns `whole`.

    verbatim: the columns are named by what a person may copy; else their underscores are shown as spaces.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    rows = [[_cell(value, decimals) for value in row] for row in frame.iter_rows()]
    for k, (name, dtype) in enumerate(frame.schema.items()):
        side: Any = "right" if dtype.is_numeric() else "left"
        one_line = not fold or name in whole
        least = None if one_line else min(LEAST, max((len(row[k]) for row in rows), default=0))
        heading = plain(name) if verbatim else name.replace("_", " ")
        table.add_column(heading, justify=side, overflow="fold", no_wrap=one_line, min_width=least)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _cell(value: Any, decimals: int) -> str:
    if value is None:
        return ""
    return f"{value:.{decimals}f}" if isinstance(value, float) else plain(str(value))


def check_output(path: Path | None, suffixes: Sequence[str], what: str) -> None:
    """Raises ConfigError, before anything is computed, for a path that could not be written afterwards."""
    if path is None:
        return
    if path.suffix not in suffixes:
        raise ConfigError(f"{path}: write {what} as {', '.join(suffixes[:-1])} or {suffixes[-1]}.")
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder. Name a file.")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise ConfigError(f"{path}: {above} is a file, not a folder. Choose another path.")


def write_table(frame: "pl.DataFrame", path: Path) -> None:
    writers: dict[str, Callable[[Path], Any]] = {
        ".csv": lambda p: frame.write_csv(p, float_precision=4, datetime_format="%Y-%m-%dT%H:%M:%SZ"),
        ".parquet": lambda p: frame.write_parquet(p),
        ".json": lambda p: frame.write_json(p),
    }
    _into_place(path, writers[path.suffix])


def plot_forecast(forecast: Any, farm: "FarmData", path: Path) -> None:
    from windcast.evaluation.charts import fan_chart
    from windcast.registry.production import recent_power

    times, power = recent_power(farm, forecast)
    chart = fan_chart(forecast, 0, past_times=times, past_power=power, title=farm.name)
    save_figure(chart, path)


def save_figure(figure: Any, path: Path) -> None:
    _into_place(path, lambda part: figure.savefig(part, dpi=150, format=path.suffix[1:]))


def _into_place(path: Path, write: Callable[[Path], Any]) -> None:
    """Writes under a temporary name, then moves: never half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def shown(forecast: Any) -> tuple[float, ...] | None:
    """Five levels, those of them that the forecast reaches; all of its own (None) if it reaches no two."""
    first, last = forecast.task.levels[0] - 1e-9, forecast.task.levels[-1] + 1e-9
    reached = tuple(level for level in SHOWN if first <= level <= last)
    return reached if len(reached) > 1 else None
