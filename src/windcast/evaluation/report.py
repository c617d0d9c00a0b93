"""The report of a backtest: one HTML file that a manager can read and that needs nothing but itself."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from windcast.data.windows import Windows, build_windows
from windcast.evaluation import charts, verdict
from windcast.evaluation.backtest import Backtest
from windcast.evaluation.days import Day, days
from windcast.evaluation.failure import failures, forecast_speed
from windcast.evaluation.leaderboard import REFERENCES, by_lead, leaderboard
from windcast.evaluation.reliability import reliability
from windcast.models.forecast import Forecast

FAN = (5.0, 3.9)  # inches
TEMPLATE = "report.html.j2"
ABSENT = "–"
LIBRARIES = ("windcast", "numpy", "polars", "lightgbm", "scoringrules", "matplotlib")


def write_report(
    backtest: Backtest,
    path: Path,
    *,
    title: str | None = None,
    commands: Sequence[str] = (),
    provenance: Mapping[str, object] | None = None,
) -> Path:
    """Writes the report to `path`, under a temporary name first, and returns `path`; its folder is made.

    One HTML file under 3 MB without scripts or references to anything outside it; the same backtest gives the same
    bytes. Every number in it is one of `leaderboard`, `by_lead` or `reliability`, or counted from the farm's data.
    commands: what to type to make it again. provenance: further rows for its last table, such as the seed.
    Raises TaskError if no observation is known.
    """
    page = render(backtest, title=title, commands=commands, provenance=provenance)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def render(
    backtest: Backtest,
    *,
    title: str | None = None,
    commands: Sequence[str] = (),
    provenance: Mapping[str, object] | None = None,
) -> str:
    """The report as HTML; see `write_report`."""
    board, leads = leaderboard(backtest), by_lead(backtest)
    best = str(board["model"][0])
    forecast = backtest.forecasts[best]
    windows = replace(build_windows(backtest.farm, backtest.task, forecast.issue_times), target=backtest.observed)
    speed = forecast_speed(windows)
    found = failures(forecast, backtest.observed, speed)
    pictures: dict[str, Any] = (
        dict.fromkeys(("coverage", "crps", "skill", "power_curve"))
        | _days(forecast, windows)
        | _reliability(forecast, backtest.observed, leads, best)
        | _leads(leads, best)
        | _weather(backtest, speed)
    )
    pictures["failure"] = _picture(
        charts.where_it_fails(found),
        "failure",
        f"Heat map of the CRPS of {best} by month and hour of day, with bars by forecast wind speed if there is one. "
        + verdict.failure_in_words(found),
    )
    return _template().render(
        title=title or f"{backtest.farm.name}: wind power forecast backtest",
        farm=backtest.farm,
        task=backtest.task,
        best=board.row(0, named=True),
        board=board.to_dicts(),
        headline=verdict.headline(board),
        reanalysis=forecast.reanalysis,
        issue_times=(_moment(forecast.issue_times[0]), _moment(forecast.issue_times[-1])),
        issues=len(forecast),
        references=[r for r in REFERENCES if r in backtest.forecasts],
        sparse=backtest.plan.issue_every > backtest.task.resolution,
        growth=verdict.lead_in_words(leads, best),
        failing=verdict.failure_in_words(found),
        pictures=pictures,
        data=_data(backtest, windows, speed),
        provenance=_provenance(backtest) | {key: str(value) for key, value in (provenance or {}).items()},
        models=_models(backtest),
        commands=commands,
    )


def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "percent": _percent,
        "signed": _signed,
        "seconds": _seconds,
        "thousands": lambda number: f"{number:,}".replace(",", "\u202f"),
        "tight": lambda text: text.replace(" %", "\u00a0%"),
        "p": verdict.p_in_words,
        "lead": verdict.lead,
        "time": lambda time: f"{time:%d %b %Y %H:%M} UTC",
        "date": lambda time: f"{time:%d %b %Y}",
    }
    return environment.from_string((files("windcast.evaluation") / TEMPLATE).read_text(encoding="utf-8"))


def _percent(number: float | None, digits: int = 1) -> str:
    return ABSENT if number is None else f"{number:.{digits}f}\u00a0%"


def _signed(number: float | None, digits: int = 1) -> str:
    return ABSENT if number is None else f"{number:+.{digits}f}\u00a0%".replace("-", "−")


def _seconds(number: float | None) -> str:
    if number is None:
        return ABSENT
    return f"{number:.0f}\u00a0s" if number >= 10 else f"{number:.2g}\u00a0s"


def _picture(figure: Figure, name: str, alt: str) -> Markup:
    return Markup(charts.inline(figure, name=name, alt=alt))  # noqa: S704 — `inline` escapes alt; the rest is drawn


def _days(forecast: Forecast, windows: Windows) -> dict[str, Any]:
    return {"days": [_day(day, forecast, windows) for day in days(forecast, windows)]}


def _day(day: Day, forecast: Forecast, windows: Windows) -> dict[str, Any]:
    """What the page shows of a day: its chart and a few numbers."""
    row, capacity = day.row, forecast.task.capacity_mw
    power = windows.power[row] if forecast.task.history else None
    figure = charts.fan_chart(forecast, row, past_power=power, observed=windows.target[row], size=FAN)
    issued = _moment(forecast.issue_times[row])
    return {
        "kind": day.kind,
        "issued": issued,
        "crps": 100 * day.crps,
        "forecast": 100 * float(forecast.median[row].mean()) / capacity,
        "observed": 100 * float(np.nanmean(windows.target[row])) / capacity,
        "chart": _picture(
            figure,
            f"fan-{day.kind}",
            f"Fan chart of the forecast issued {issued:%d %b %Y %H:%M} UTC in MW: past power, median, bands, and the "
            f"power measured afterwards. CRPS {100 * day.crps:.1f} % of capacity.",
        ),
    }


def _reliability(
    forecast: Forecast, observed: NDArray[np.float32], leads: pl.DataFrame, model: str
) -> dict[str, Markup]:
    result = reliability(forecast, observed)
    judged = result.levels.drop_nulls("frequency")
    inside = (judged["frequency"] >= judged["low"]) & (judged["frequency"] <= judged["high"])
    share = f"{100 * inside.sum() / len(inside):.0f} % of the points lie within the consistency band."
    pictures = {
        "reliability": _picture(
            charts.reliability_diagram(result),
            "reliability",
            f"Reliability diagram of {model}: observed against forecast probability by lead time. {share}",
        ),
        "pit": _picture(
            charts.pit_histogram(result),
            "pit",
            f"Histogram of where the observations fell in the forecast distributions of {model}, by lead time.",
        ),
    }
    if forecast.task.horizon > 1 and leads["coverage_50"].is_not_null().any():
        pictures["coverage"] = _picture(
            charts.coverage_by_lead(leads, model=model),
            "coverage",
            f"Coverage and mean width of the bands of {model} against lead time.",
        )
    return pictures


def _leads(leads: pl.DataFrame, best: str) -> dict[str, Markup]:
    """Nothing with a single lead time."""
    if leads["lead_minutes"].n_unique() == 1:
        return {}
    models = leads["model"].unique(maintain_order=True).to_list()
    pictures = {
        "crps": _picture(
            charts.crps_by_lead(leads),
            "crps",
            f"CRPS against lead time of {', '.join(models)}. {verdict.lead_in_words(leads, best)}",
        )
    }
    for reference in REFERENCES:
        if reference in models and len(models) > 1:
            pictures["skill"] = _picture(
                charts.skill_by_lead(leads, reference=reference),
                "skill",
                f"Skill against {reference} by lead time of {', '.join(m for m in models if m != reference)}.",
            )
            break
    return pictures


def _weather(backtest: Backtest, speed: NDArray[np.floating]) -> dict[str, Markup]:
    if not (np.isfinite(speed) & np.isfinite(backtest.observed)).any():
        return {}
    return {
        "power_curve": _picture(
            charts.power_curve(speed, backtest.observed, capacity_mw=backtest.task.capacity_mw),
            "power-curve",
            "Observed power against forecast wind speed, as counts, with the median and the 5 % and 95 % quantiles.",
        )
    }


def _data(backtest: Backtest, windows: Windows, speed: NDArray[np.floating]) -> dict[str, Any]:
    """How much there is and how much is missing, in percent."""
    farm = backtest.farm
    known = farm.power.filter(pl.col("power_mw").is_not_null())["time"].n_unique()
    return {
        "power_known": 100 * known / len(farm.times),
        "scored": 100 * float(np.isfinite(backtest.observed).mean()),
        "weather_known": 100 * float(np.isfinite(speed).mean()) if farm.variables else None,
        "free": 100 * float(windows.free.mean()),
        "resolution": verdict.lead(farm.resolution / timedelta(minutes=1)),
    }


def _provenance(backtest: Backtest) -> dict[str, str]:
    plan = backtest.plan
    refit = "once, at the first issue time" if plan.refit_every is None else f"every {_duration(plan.refit_every)}"
    learned = plan.train_from or backtest.farm.start
    return {
        "data checksum (sha256)": backtest.farm.checksum,
        "training data": f"from {learned:%Y-%m-%d %H:%M} UTC to each fit, power as known then",
        "test issue times": f"from {plan.start:%Y-%m-%d %H:%M} UTC, every {_duration(plan.issue_every)}",
        "models fitted": f"{refit}; {len(backtest.folds)} {'fit' if len(backtest.folds) == 1 else 'fits'} a model",
        "versions": ", ".join([f"Python {platform.python_version()}", *map(_version, LIBRARIES)]),
    }


def _models(backtest: Backtest) -> dict[str, str]:
    """The settings of every fitted model."""
    return {
        name: ", ".join(f"{key} = {value}" for key, value in asdict(model.config).items()) or "no settings"
        for name, model in backtest.fitted.items()
    }


def _version(library: str) -> str:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return f"{library} from source"


def _duration(span: timedelta) -> str:
    if span % timedelta(days=1):
        return verdict.lead(span / timedelta(minutes=1))
    return f"{span.days} day" + ("" if span.days == 1 else "s")


def _moment(time: np.datetime64) -> datetime:
    moment: datetime = time.astype("datetime64[us]").item()
    return moment
