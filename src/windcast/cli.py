"""The command line: parse, check, compose, call one function. Imports what is heavy only where it is used."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windcast.errors import ConfigError, WindcastError

if TYPE_CHECKING:
    import polars as pl

    from windcast.data.farm import FarmData

TABLES = (".csv", ".parquet", ".json")
PICTURES = (".png", ".svg", ".pdf")
SHOWN = (0.05, 0.25, 0.5, 0.75, 0.95)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Calibrated probabilistic wind power forecasts, leak-proof from backtest to production.",
    epilog="Start with [bold]windcast demo[/bold]. Your own farm: [bold]windcast data init power.csv[/bold].",
)
data_app = typer.Typer(no_args_is_help=True, help="Describe and check a farm's data.")
app.add_typer(data_app, name="data")
keys_app = typer.Typer(no_args_is_help=True, help="API keys of the service.")
app.add_typer(keys_app, name="keys")

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Configuration, as in data=klim model=gbm model.num_leaves=31."),
]


def main() -> None:
    """Runs the command line; a WindcastError, or a file that cannot be written, becomes one line and exit status 2."""
    try:
        app()
    except WindcastError as error:
        _fail(str(error))
    except OSError as error:
        _fail(
            f"{error.filename or 'input or output'}: {error.strerror or error}. Check the path, its rights and space."
        )


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for what the demo makes.")] = Path("demo"),
    overrides: Overrides = None,
) -> None:
    """A real wind farm from data to forecast: backtest of every model, report, bundle and a fan chart."""
    from windcast.configs import settings
    from windcast.registry import production
    from windcast.workflows import jobs

    chosen = settings(overrides or [])
    farm = chosen.farm()
    _say(f"[bold]{_plain(farm.name)}[/bold]: {farm.capacity_mw:g} MW, {farm.start:%Y-%m-%d} to {farm.end:%Y-%m-%d}.")
    if farm.attribution:
        _say(f"[dim]{_plain(farm.attribution)}[/dim]")
    with _progress("Backtest") as on_progress:
        run = jobs.run_backtest(chosen, out, command=_command(), on_progress=on_progress)
    _leaderboard(run.backtest)
    bundle = jobs.keep(run, out / "bundle")
    forecast, issue = production.forecast(bundle, farm)
    served = "windcast serve" if out == Path("demo") else _plain(f"windcast serve {shlex.quote(str(out / 'bundle'))}")
    _write(forecast.to_frame(_shown(forecast), interval=farm.interval), out / "forecast.csv")
    _plot(forecast, farm, out / "forecast.png")
    _say(f"""
[bold]Look at[/bold]
  {_plain(str(run.folder / "report.html"))}   how good it is, where and when it fails
  {_plain(str(out / "forecast.png"))}   the forecast issued {issue:%Y-%m-%d %H:%M} UTC
  {served}   the same as a service, with a page
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
    _check_output(out, (".yaml", ".yml"), "a description")
    if not out.parent.is_dir():
        raise ConfigError(f"{out}: the folder {out.parent} does not exist. Make it first.")
    fresh = out.with_name(f".{out.name}.new")
    fresh.unlink(missing_ok=True)
    found = guess.init(power, weather, out=fresh)
    fresh.replace(out)
    for sentence in found.sentences:
        _say(f"  • {_plain(sentence)}")
    check = "windcast data check data=files" + ("" if out == Path("farm.yaml") else f" data.config={out}")
    _say(f"\nWrote [bold]{_plain(str(out))}[/bold]. Correct what is wrong, then: {_plain(check)}")


@data_app.command("check")
def data_check(
    overrides: Overrides = None,
    plot: Annotated[Path | None, typer.Option(help="Write the picture here (PNG, SVG or PDF).")] = None,
    table: Annotated[Path | None, typer.Option(help="Write the findings here (CSV, JSON or Parquet).")] = None,
) -> None:
    """What a careful analyst would look at first. Exit status 0: fine, 1: warnings, 2: errors."""
    from windcast.configs import settings
    from windcast.data import quality

    _check_output(table, TABLES, "a table")
    _check_output(plot, PICTURES, "a picture")
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
    _say(f"\nReport: [bold]{_plain(str(folder / 'report.html'))}[/bold]")
    _say(f"Again, to the same numbers: windcast reproduce {_plain(shlex.quote(str(folder)))}")


@app.command()
def train(
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="Folder of the bundle.")] = Path("bundle"),
    until: Annotated[str | None, typer.Option(help="Learn only what was known at this UTC time.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Run whose backtest says how good the bundle will be.")] = None,
) -> None:
    """Fits the model on all data and writes a bundle."""
    from windcast.configs import settings
    from windcast.workflows import jobs

    chosen, known = settings(overrides or []), _utc(until, "--until")
    with _progress("Training") as on_progress:
        bundle = jobs.train(chosen, out, until=known, promised_by=scores, on_progress=on_progress)
    what = f"{chosen.model_name}{', calibrated' if bundle.manifest['model'] == 'calibrated' else ''}"
    _say(f"Wrote [bold]{_plain(str(out))}[/bold]: {_plain(what)}, for {_plain(bundle.manifest['farm'])}.")
    _say(f"Forecast with it: windcast forecast {_plain(shlex.quote(str(out)))}")


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
    from windcast.models.forecast import Rung
    from windcast.registry import production
    from windcast.registry.bundles import open_bundle
    from windcast.workflows.live import live_farm

    _check_output(out, TABLES, "a table")
    _check_output(plot, PICTURES, "a picture")
    at = _utc(issue_time, "--issue-time")
    opened = open_bundle(bundle)
    data, missing = live_farm(_data_of(opened.manifest["config"].get("data", {}), farm, power, weather, bundle))
    result, issue = production.forecast(opened, data, at)
    _write(result.to_frame(None if all_levels else _shown(result), interval=data.interval), out)
    if plot is not None:
        _plot(result, data, plot)
    files = _plain(f"{out}, {plot}" if plot else str(out))
    _say(f"Forecast issued {issue:%Y-%m-%d %H:%M} UTC: [bold]{files}[/bold]")
    for sentence in missing:
        _say(f"[yellow]note[/yellow]: {_plain(sentence)}")
    for rung in sorted(set(result.rung.ravel().tolist())):
        if rung:
            leads = f"{int((result.rung == rung).sum())} of {result.rung.size} leads"
            _say(f"[yellow]note[/yellow]: {leads}: {Rung(rung).sentence}.")
    if issue < opened.trained_until:
        _say("[yellow]note[/yellow]: the model was trained on data later than this issue time, so it is no fair test.")
    if result.reanalysis:
        _say("[yellow]note[/yellow]: the weather is reanalysis, which no live forecast has.")


@app.command()
def serve(
    bundles: Annotated[list[Path] | None, typer.Argument(help="Bundles, or folders of them.")] = None,
    store: Annotated[str | None, typer.Option(help="PostgreSQL URL or SQLite file; else $WINDCAST_STORE.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 8000,
    keys: Annotated[Path | None, typer.Option(help="File of API keys, made with `windcast keys add`.")] = None,
    history: Annotated[float, typer.Option(help="Fill the store from the bundles' data, and issue these days.")] = 0,
    rate: Annotated[float, typer.Option(help="Requests a second that a client may make.")] = 1000,
    most_mb: Annotated[float, typer.Option(help="Largest body of a request, unpacked.")] = 64,
    root_path: Annotated[str, typer.Option(help="Path below which a proxy shows the service.")] = "",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Forecasts over HTTP, and a page. Without a bundle: the demo's, with its clock at the end of its data."""
    from windcast.workflows import serving

    chosen = serving.settings_of(
        bundles or [],
        store=store,
        host=host,
        port=port,
        keys=keys,
        rate=rate,
        most_mb=most_mb,
        root_path=root_path,
        log_level=log_level,
    )
    if bundles and not history:
        service = serving.opened(chosen)
    else:
        with _progress("History") as on_progress:
            service = serving.opened(chosen, demo=not bundles, history=history, on_progress=on_progress)
    serving.run(service, on_ready=lambda address: typer.echo(f"windcast listens on {typer.style(address, bold=True)}"))


@keys_app.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    file: Annotated[Path, typer.Option(help="File of keys; it holds hashes, not keys.")] = Path("keys.json"),
    farm: Annotated[list[str] | None, typer.Option(help="A farm it is for; may be repeated. Default: all.")] = None,
    write: Annotated[bool, typer.Option("--write", help="May also send values, issue and change farms.")] = False,
) -> None:
    """Makes an API key and shows it, this once."""
    from windcast.serving import keys

    token = keys.add(file, name, farms=farm or ["*"], scopes=("read", "write") if write else ("read",))
    _say(f"{_plain(token)}\n[dim]Keep it: only its hash is in {_plain(str(file))}.[/dim]")


@keys_app.command("remove")
def keys_remove(
    name: Annotated[str, typer.Argument(help="Of the key.")],
    file: Annotated[Path, typer.Option(help="File of keys.")] = Path("keys.json"),
) -> None:
    """Takes an API key back, also from a service that runs."""
    from windcast.serving import keys

    keys.remove(file, name)
    _say(f"Removed {_plain(name)}.")


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
    _say(f"Wrote [bold]{_plain(str(jobs.write_run_report(result, record, run)))}[/bold]")


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
    return shlex.join(["windcast", *sys.argv[1:]])


def _fail(message: str) -> None:
    print(f"windcast: {' '.join(message.splitlines())}", file=sys.stderr)
    raise SystemExit(2) from None


def _utc(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(f"{option} is '{text}', not a time. Write 2015-07-01T06:00 (UTC).") from None


def _data_of(
    trained_on: dict[str, Any], farm: Path | None, power: Path | None, weather: Path | None, bundle: Path
) -> dict[str, Any]:
    """The `data` section to forecast from: the bundle's own, or the user's description, with files in place."""
    source = dict(trained_on)
    if farm is not None:
        source = {"source": "files", "config": str(farm)}
    if not source:
        raise ConfigError(f"{bundle}: does not say what data it was trained on. Describe yours with --farm farm.yaml.")
    if source.get("source") == "files" and not Path(source["config"]).expanduser().is_file():
        raise ConfigError(f"{source['config']}: no such file in {Path.cwd()}. Name the description with --farm.")
    replaced = {"power": power, "weather": weather}
    if any(replaced.values()) and source.get("source") != "files":
        raise ConfigError("--power and --weather go with a bundle trained on files, or with --farm farm.yaml.")
    return source | {name: str(file) for name, file in replaced.items() if file is not None}


def _shown(forecast: Any) -> tuple[float, ...] | None:
    """Five levels, those of them that the forecast reaches; all of its own (None) if it reaches no two."""
    first, last = forecast.task.levels[0] - 1e-9, forecast.task.levels[-1] + 1e-9
    reached = tuple(level for level in SHOWN if first <= level <= last)
    return reached if len(reached) > 1 else None


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
        "coverage_90": "in 90 %\nband",
        "skill_persistence": "skill,\npersist.",
        "skill_climatology": "skill,\nclimat.",
        "p_value": "p vs\nbest",
        "fit_seconds": "fit, s",
    }
    frame = leaderboard(backtest).select(titles.keys()).rename(titles)
    _table(frame, "Leaderboard: errors in % of capacity, best first", decimals=2, fold=False)
    if backtest.farm.weather_kind == "reanalysis":
        _say("[yellow]note[/yellow]: the weather is reanalysis, made after the fact. Live forecasts will be worse.")


def _table(frame: "pl.DataFrame", title: str, decimals: int = 3, *, fold: bool = True) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name, dtype in frame.schema.items():
        side: Any = "right" if dtype.is_numeric() else "left"
        table.add_column(name.replace("_", " "), justify=side, overflow="fold", no_wrap=not fold)
    for row in frame.iter_rows():
        table.add_row(*(_cell(value, decimals) for value in row))
    Console().print(table)


def _cell(value: Any, decimals: int) -> str:
    if value is None:
        return ""
    return f"{value:.{decimals}f}" if isinstance(value, float) else _plain(str(value))


def _check_output(path: Path | None, suffixes: Sequence[str], what: str) -> None:
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


def _write(frame: "pl.DataFrame", path: Path) -> None:
    writers: dict[str, Callable[[Path], Any]] = {
        ".csv": lambda p: frame.write_csv(p, float_precision=4, datetime_format="%Y-%m-%dT%H:%M:%SZ"),
        ".parquet": lambda p: frame.write_parquet(p),
        ".json": lambda p: frame.write_json(p),
    }
    _into_place(path, writers[path.suffix])


def _plot(forecast: Any, farm: "FarmData", path: Path) -> None:
    from windcast.evaluation.charts import fan_chart
    from windcast.registry.production import recent_power

    times, power = recent_power(farm, forecast)
    chart = fan_chart(forecast, 0, past_times=times, past_power=power, title=farm.name)
    _save_figure(chart, path)


def _save_figure(figure: Any, path: Path) -> None:
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
