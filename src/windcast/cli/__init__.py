"""The command line: parse, check, compose, call one function. Imports what is heavy only where it is used."""

import sys

import typer

from windcast.cli import experiments, forecasting, pipeline, promoting, sweeping, tracking
from windcast.errors import WindcastError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Calibrated probabilistic wind power forecasts, leak-proof from backtest to production.",
    epilog="Start with [bold]windcast demo[/bold]. Your own farm: [bold]windcast data init power.csv[/bold].",
)
app.command()(forecasting.demo)
data_app = typer.Typer(no_args_is_help=True, help="Describe and check a farm's data.")
data_app.command("init")(forecasting.data_init)
data_app.command("check")(forecasting.data_check)
data_app.command("prepare")(pipeline.data_prepare)
app.add_typer(data_app, name="data")
for command in (experiments.backtest, experiments.train, forecasting.forecast, forecasting.serve):
    app.command()(command)
keys_app = typer.Typer(no_args_is_help=True, help="API keys of the service.")
keys_app.command("add")(forecasting.keys_add)
keys_app.command("list")(forecasting.keys_list)
keys_app.command("remove")(forecasting.keys_remove)
app.add_typer(keys_app, name="keys")
for judging in (experiments.optimize, experiments.compare, experiments.report, experiments.reproduce):
    app.command()(judging)
app.add_typer(tracking.runs_app, name="runs")
for deciding in (sweeping.sweep, promoting.promote, promoting.rollback):
    app.command()(deciding)
pipeline_app = typer.Typer(no_args_is_help=True, help="Data versions and experiments with DVC.")
pipeline_app.command("init")(pipeline.pipeline_init)
app.add_typer(pipeline_app, name="pipeline")
app.command("config")(experiments.show_config)


def main() -> None:
    """Runs the command line; a WindcastError, or a file that cannot be written, becomes one line and exit status 2.

    Ctrl-C becomes one line and 130.
    """
    try:
        app()
    except WindcastError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted.", 130)
    except SystemExit as stopped:
        if stopped.code == 130:
            _fail("interrupted.", 130)
        raise
    except OSError as error:
        _fail(
            f"{error.filename or 'input or output'}: {error.strerror or error}. Check the path, its rights and space."
        )


def _fail(message: str, status: int = 2) -> None:
    print(f"windcast: {' '.join(message.splitlines())}", file=sys.stderr)
    raise SystemExit(status) from None
