"""The command line: parse, compose the configuration, call one function. Imports what is heavy only where it is used."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windcast.errors import ConfigError, WindcastError

if TYPE_CHECKING:
    import polars as pl

    from windcast.data.farm import FarmData

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Calibrated probabilistic wind power forecasts, leak-proof from backtest to production.",
    epilog="Start with [bold]windcast demo[/bold]. Your own farm: [bold]windcast data init power.csv[/bold].",
)
data_app = typer.Typer(no_args_is_help=True, help="Describe and check a farm's data.")
app.add_typer(data_app, name="data")

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Configuration, as in data=klim model=gbm model.num_leaves=31."),
]


def main() -> None:
    """Runs the command line; a WindcastError becomes one line and exit status 2."""
    try:
        app()
    except WindcastError as error:
        print(f"windcast: {error}", file=sys.stderr)
        raise SystemExit(2) from None


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for what the demo makes.")] = Path("demo"),
    overrides: Overrides = None,
) -> None:
    """A real wind farm from data to forecast: check, backtest of every model, report, bundle and a fan chart."""
    from windcast.configs import settings
    from windcast.workflows import jobs

    chosen = settings(overrides or [])
    farm = chosen.farm()
    _say(f"[bold]{farm.name}[/bold]: {farm.capacity_mw:g} MW, {farm.start:%Y-%m-%d} to {farm.end:%Y-%m-%d}.")
    _say(f"[dim]{farm.attribution}[/dim]")
    with _progress("Backtest") as on_progress:
        run = jobs.run_backtest(chosen, out, command=_command(), on_progress=on_progress)
    _leaderboard(run.backtest)
    with _progress("Training") as on_progress:
        bundle = jobs.train(chosen, out / "bundle", on_progress=on_progress)
    forecast, issue = jobs.forecast(bundle, farm)
    _write(forecast.to_frame((0.05, 0.25, 0.5, 0.75, 0.95), interval=farm.interval), out / "forecast.csv")
    _plot(forecast, farm, out / "forecast.png")
    _say(f"""
[bold]Look at[/bold]
  {run.folder / "report.html"}   how good it is, where and when it fails
  {out / "forecast.png"}   the forecast issued {issue:%Y-%m-%d %H:%M} UTC
[bold]The same with your own farm[/bold]
  windcast data init power.csv --weather weather.csv   # writes farm.yaml: read it, correct what it guessed
  windcast data check data=files
  windcast backtest data=files
  windcast train data=files --out my-bundle
  windcast forecast my-bundle --farm farm.yaml --out forecast.csv --plot forecast.png""")


@data_app.command("init")
def data_init(
    power: Annotated[Path, typer.Argument(help="CSV or Parquet with power, and weather if it is in the same file.")],
    weather: Annotated[Path | None, typer.Option(help="Weather forecasts, if they are in a file of their own.")] = None,
    out: Annotated[Path, typer.Option(help="Where to write the description.")] = Path("farm.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a description that is already there.")] = False,
) -> None:
    """Guesses what a file holds, writes that down as YAML, and says what it guessed and why."""
    from windcast.data.sources import guess

    if out.exists() and not force:
        raise ConfigError(f"{out}: exists already. Choose another --out, or replace it with --force.")
    found = guess.init(power, weather, out=out)
    for sentence in found.sentences:
        _say(f"  • {_plain(sentence)}")
    _say(f"\nWrote [bold]{out}[/bold]. Correct what is wrong, then: windcast data check data=files data.config={out}")


@data_app.command("check")
def data_check(
    overrides: Overrides = None,
    plot: Annotated[Path | None, typer.Option(help="Write the picture here (PNG, SVG or PDF).")] = None,
    table: Annotated[Path | None, typer.Option(help="Write the findings here (CSV, JSON or Parquet).")] = None,
) -> None:
    """What a careful analyst would look at first. Exit status 0: fine, 1: warnings, 2: errors."""
    from windcast.configs import settings
    from windcast.data import quality

    farm = settings(overrides or []).farm()
    report = quality.check(farm)
    for name, value in report.summary.items():
        _say(f"[dim]{_plain(name):>22}[/dim]  {_plain(str(value))}")
    _table(report.to_frame(), "Findings")
    if table is not None:
        _write(report.to_frame(), table)
    if plot is not None:
        from windcast.data import quality_plot

        _save_figure(quality_plot.plot(farm, report), plot)
    raise typer.Exit(report.exit_code)


@app.command()
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
    with _progress("Backtest") as on_progress:
        run = jobs.run_backtest(chosen, folder, command=_command(), on_progress=on_progress)
    _leaderboard(run.backtest)
    _say(f"\nReport: [bold]{folder / 'report.html'}[/bold]   again, to the same numbers: windcast reproduce {folder}")


@app.command()
def train(
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="Folder of the bundle.")] = Path("bundle"),
    until: Annotated[str | None, typer.Option(help="Learn only what was known at this UTC time.")] = None,
) -> None:
    """Fits the model on all data and writes a bundle."""
    from windcast.configs import settings
    from windcast.workflows import jobs

    with _progress("Training") as on_progress:
        bundle = jobs.train(settings(overrides or []), out, until=_utc(until), on_progress=on_progress)
    _say(f"Wrote [bold]{bundle.folder}[/bold]: {bundle.manifest['model']} for {bundle.manifest['farm']}.")
    _say(f"Forecast with it: windcast forecast {bundle.folder}")


@app.command()
def forecast(
    bundle: Annotated[Path, typer.Argument(help="Folder that `windcast train` wrote.")],
    farm: Annotated[Path | None, typer.Option(help="Description of your files (farm.yaml).")] = None,
    power: Annotated[Path | None, typer.Option(help="Power file in place of the one in the description.")] = None,
    weather: Annotated[Path | None, typer.Option(help="Weather file in place of the one in the description.")] = None,
    issue_time: Annotated[str | None, typer.Option(help="UTC; the last known power if not given.")] = None,
    out: Annotated[Path, typer.Option(help="Table to write: .csv, .parquet or .json.")] = Path("forecast.csv"),
    plot: Annotated[Path | None, typer.Option(help="Fan chart to write: .png, .svg or .pdf.")] = None,
    all_levels: Annotated[bool, typer.Option("--all-levels", help="Every quantile, not only five.")] = False,
) -> None:
    """Forecasts one issue time with a bundle, from your files or the data it was trained on."""
    from windcast.configs import Settings
    from windcast.models.forecast import Rung
    from windcast.registry.bundles import open_bundle
    from windcast.workflows import jobs

    opened = open_bundle(bundle)
    source = dict(opened.manifest["config"].get("data", {}))
    if farm is not None:
        source = {"source": "files", "config": str(farm)}
    if power is not None or weather is not None:
        if source.get("source") != "files":
            raise ConfigError("--power and --weather go with a bundle trained on files, or with --farm farm.yaml.")
        source |= {"power": power and str(power), "weather": weather and str(weather)}
    data = Settings({"data": source}).farm()
    result, issue = jobs.forecast(opened, data, _utc(issue_time))
    levels = None if all_levels else (0.05, 0.25, 0.5, 0.75, 0.95)
    _write(result.to_frame(levels, interval=data.interval), out)
    if plot is not None:
        _plot(result, data, plot)
    _say(f"Forecast issued {issue:%Y-%m-%d %H:%M} UTC: [bold]{out}[/bold]" + (f", {plot}" if plot else ""))
    for rung in sorted(set(result.rung.ravel().tolist())):
        if rung:
            leads = f"{int((result.rung == rung).sum())} of {result.rung.size} leads"
            _say(f"[yellow]note[/yellow]: {leads}: {Rung(rung).sentence}.")
    if result.reanalysis:
        _say("[yellow]note[/yellow]: the weather is reanalysis, which no live forecast has.")


@app.command()
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
    _table(table, "Difference in CRPS (negative: the first is better)")
    _say(_plain(verdict))


@app.command()
def report(run: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Writes a run's HTML report again."""
    from windcast.workflows import jobs

    result, record = jobs.stored_backtest(run)
    _say(f"Wrote [bold]{jobs.write_run_report(result, record, run)}[/bold]")


@app.command()
def reproduce(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: Annotated[Path | None, typer.Option(help="Where to put the repeated run.")] = None,
) -> None:
    """Makes a run again from its record. Exit status 0: the same forecasts to the bit, 1: not."""
    from windcast.workflows import jobs

    with _progress("Again") as on_progress:
        outcome = jobs.reproduce(run, out or run / "again", on_progress=on_progress)
    for difference in outcome.differences:
        _say(f"  • {_plain(difference)}")
    _say("The same forecasts, to the bit." if outcome.exact else "[red]The forecasts differ.[/red]")
    raise typer.Exit(0 if outcome.exact else 1)


@app.command("config")
def show_config(overrides: Overrides = None) -> None:
    """Prints the resolved configuration."""
    from omegaconf import OmegaConf

    from windcast.configs import settings

    print(OmegaConf.to_yaml(OmegaConf.create(settings(overrides or []).document)), end="")


def _command() -> str:
    return " ".join(["windcast", *sys.argv[1:]])


def _utc(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"'{text}' is not a time. Write 2015-07-01T06:00 (UTC).") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _say(text: str) -> None:
    from rich.console import Console

    Console(soft_wrap=True).print(text)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[str, int, int], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(title, total=None)

        def on_progress(what: str, done: int, of: int) -> None:
            progress.update(task, description=f"{title}: {what}", completed=done, total=of)

        yield on_progress


def _leaderboard(backtest: Any) -> None:
    from windcast.evaluation.leaderboard import leaderboard

    titles = {
        "model": "model",
        "crps": "CRPS",
        "nmae": "NMAE",
        "coverage_90": "in 90 % band",
        "skill_persistence": "skill, persistence",
        "skill_climatology": "skill, climatology",
        "p_value": "p against best",
        "fit_seconds": "fit, s",
    }
    frame = leaderboard(backtest).select(titles.keys()).rename(titles)
    _table(frame, "Leaderboard: errors in % of capacity, best first", decimals=2)
    if backtest.farm.weather_kind == "reanalysis":
        _say("[yellow]note[/yellow]: the weather is reanalysis, made after the fact. Live forecasts will be worse.")


def _table(frame: "pl.DataFrame", title: str, decimals: int = 3) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name, dtype in frame.schema.items():
        table.add_column(name.replace("_", " "), justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for row in frame.iter_rows():
        table.add_row(*("" if v is None else f"{v:.{decimals}f}" if isinstance(v, float) else _plain(str(v)) for v in row))
    Console().print(table)


def _write(frame: "pl.DataFrame", path: Path) -> None:
    writers: dict[str, Callable[[Path], Any]] = {
        ".csv": lambda p: frame.write_csv(p, float_precision=4),
        ".parquet": lambda p: frame.write_parquet(p),
        ".json": lambda p: frame.write_json(p),
    }
    if path.suffix not in writers:
        raise ConfigError(f"{path}: write a table as .csv, .parquet or .json.")
    _into_place(path, writers[path.suffix])


def _plot(forecast: Any, farm: "FarmData", path: Path) -> None:
    from windcast.evaluation.charts import fan_chart
    from windcast.workflows.jobs import recent_power

    times, power = recent_power(farm, forecast)
    chart = fan_chart(forecast, 0, past_times=times, past_power=power, title=farm.name)
    _save_figure(chart, path)


def _save_figure(figure: Any, path: Path) -> None:
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"{path}: write a picture as .png, .svg or .pdf.")
    _into_place(path, lambda part: figure.savefig(part, dpi=150, format=path.suffix[1:]))


def _into_place(path: Path, write: Callable[[Path], Any]) -> None:
    """Writes under a temporary name, then moves: never half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    write(part)
    part.replace(path)
