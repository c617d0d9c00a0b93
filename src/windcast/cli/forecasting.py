"""From data to forecasts: demo, data, forecast, serve, keys."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from windcast.cli.console import (
    PICTURES,
    TABLES,
    Overrides,
    check_output,
    plain,
    plot_forecast,
    progressing,
    save_figure,
    say,
    show_leaderboard,
    show_table,
    shown,
    this_command,
    utc,
    write_table,
)
from windcast.errors import ConfigError
from windcast.registry.pointer import REGISTRY


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
    say(f"[bold]{plain(farm.name)}[/bold]: {farm.capacity_mw:g} MW, {farm.start:%Y-%m-%d} to {farm.end:%Y-%m-%d}.")
    if farm.attribution:
        say(f"[dim]{plain(farm.attribution)}[/dim]")
    with progressing("Backtest") as on_progress:
        run = jobs.run_backtest(chosen, out, command=this_command(), on_progress=on_progress)
    show_leaderboard(run.backtest)
    bundle = jobs.keep(run, out / "bundle")
    forecast, issue = production.forecast(bundle, farm)
    own = f"windcast serve {shlex.quote(str(out / 'bundle'))} --history 7"
    served = "windcast serve" if out == Path("demo") else own
    write_table(forecast.to_frame(shown(forecast), interval=farm.interval), out / "forecast.csv")
    plot_forecast(forecast, farm, out / "forecast.png")
    say(f"""
[bold]Look at[/bold]
  {plain(str(run.folder / "report.html"))}   how good it is, where and when it fails
  {plain(str(out / "forecast.png"))}   the forecast issued {issue:%Y-%m-%d %H:%M} UTC
  {plain(served)}   the same as a service, with a page
[bold]The same with your own farm[/bold]
  windcast data init power.csv --weather weather.csv   # writes farm.yaml: read it, correct what it guessed
  windcast data check data=files
  windcast backtest data=files
  windcast train data=files --out my-bundle
  windcast forecast my-bundle --farm farm.yaml --out forecast.csv --plot forecast.png""")


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
    check_output(out, (".yaml", ".yml"), "a description")
    if not out.parent.is_dir():
        raise ConfigError(f"{out}: the folder {out.parent} does not exist. Make it first.")
    fresh = out.with_name(f".{out.name}.new")
    fresh.unlink(missing_ok=True)
    found = guess.init(power, weather, out=fresh)
    fresh.replace(out)
    for sentence in found.sentences:
        say(f"  • {plain(sentence)}")
    check = "windcast data check data=files" + ("" if out == Path("farm.yaml") else f" data.config={out}")
    say(f"\nWrote [bold]{plain(str(out))}[/bold]. Correct what is wrong, then: {plain(check)}")


def data_check(
    overrides: Overrides = None,
    plot: Annotated[Path | None, typer.Option(help="Write the picture here (PNG, SVG or PDF).")] = None,
    table: Annotated[Path | None, typer.Option(help="Write the findings here (CSV, JSON or Parquet).")] = None,
) -> None:
    """What a careful analyst would look at first. Exit status 0: fine, 1: warnings, 2: errors."""
    from windcast.configs import settings
    from windcast.data import quality

    check_output(table, TABLES, "a table")
    check_output(plot, PICTURES, "a picture")
    farm = settings(overrides or []).farm()
    report = quality.check(farm)
    for name, value in report.summary.items():
        say(f"[dim]{plain(name):>22}[/dim]  {plain(str(value))}")
    show_table(report.to_frame(), "Findings")
    if table is not None:
        write_table(report.to_frame(), table)
    if plot is not None:
        from windcast.data import quality_plot

        save_figure(quality_plot.plot(farm, report), plot)
    raise typer.Exit(report.exit_code)


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

    check_output(out, TABLES, "a table")
    check_output(plot, PICTURES, "a picture")
    at = utc(issue_time, "--issue-time")
    opened = open_bundle(bundle)
    data, missing = live_farm(_data_of(opened.manifest["config"].get("data", {}), farm, power, weather, bundle))
    result, issue = production.forecast(opened, data, at)
    write_table(result.to_frame(None if all_levels else shown(result), interval=data.interval), out)
    if plot is not None:
        plot_forecast(result, data, plot)
    files = plain(f"{out}, {plot}" if plot else str(out))
    say(f"Forecast issued {issue:%Y-%m-%d %H:%M} UTC: [bold]{files}[/bold]")
    for sentence in missing:
        say(f"[yellow]note[/yellow]: {plain(sentence)}")
    for rung in sorted(set(result.rung.ravel().tolist())):
        if rung:
            leads = f"{int((result.rung == rung).sum())} of {result.rung.size} leads"
            say(f"[yellow]note[/yellow]: {leads}: {Rung(rung).sentence}.")
    if issue < opened.trained_until:
        say("[yellow]note[/yellow]: the model was trained on data later than this issue time, so it is no fair test.")
    if result.reanalysis:
        say("[yellow]note[/yellow]: the weather is reanalysis, which no live forecast has.")


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


def serve(
    bundles: Annotated[list[Path] | None, typer.Argument(help="Bundles, or folders of them.")] = None,
    champion: Annotated[
        list[str] | None, typer.Option(help="Farm whose champion is served, and whichever is promoted; repeatable.")
    ] = None,
    registry: Annotated[Path, typer.Option(help="Folder of the registry, with --champion.")] = REGISTRY,
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

    if not 0 <= history < 36_600:
        raise ConfigError(f"--history is {history:g}; give the number of days to fill in, such as 14.")
    chosen = serving.settings_of(
        bundles or [],
        champions=champion or [],
        registry=registry,
        store=store,
        host=host,
        port=port,
        keys=keys,
        rate=rate,
        most_mb=most_mb,
        root_path=root_path,
        log_level=log_level,
    )
    named = bool(bundles or champion)
    with serving.address(chosen) as taken:
        if named and not history:
            service = serving.opened(chosen)
        else:
            try:
                with progressing("History") as on_progress:
                    service = serving.opened(chosen, demo=not named, history=history, on_progress=on_progress)
            except KeyboardInterrupt:
                say("The history is not complete. The same command goes on where it stopped.")
                raise
        said = "windcast listens on {}"
        serving.run(service, taken=taken, on_ready=lambda at: typer.echo(said.format(typer.style(at, bold=True))))


def keys_add(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    file: Annotated[Path, typer.Option(help="File of keys; it holds hashes, not keys.")] = Path("keys.json"),
    farm: Annotated[list[str] | None, typer.Option(help="A farm it is for; may be repeated. Default: all.")] = None,
    write: Annotated[bool, typer.Option("--write", help="May also send values, issue and change farms.")] = False,
) -> None:
    """Makes an API key and shows it, this once."""
    from windcast.serving import keys

    token = keys.add(file, name, farms=farm or ["*"], scopes=("read", "write") if write else ("read",))
    say(f"{plain(token)}\n[dim]Keep it: only its hash is in {plain(str(file))}.[/dim]")


def keys_list(
    file: Annotated[Path, typer.Option(help="File of keys.")] = Path("keys.json"),
) -> None:
    """Who has a key, for which farms, and whether it may write. The keys themselves are not kept."""
    from windcast.serving import keys

    for key in keys.Keys(file).current():
        farms = "every farm" if key.everywhere else ", ".join(key.farms)
        say(plain(f"{key.name}: {' and '.join(key.scopes)}, {farms}, made {key.created}"))


def keys_remove(
    name: Annotated[str, typer.Argument(help="Of the key.")],
    file: Annotated[Path, typer.Option(help="File of keys.")] = Path("keys.json"),
) -> None:
    """Takes an API key back, also from a service that runs."""
    from windcast.serving import keys

    keys.remove(file, name)
    say(f"Removed {plain(name)}.")
