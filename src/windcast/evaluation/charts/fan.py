"""Fan chart: one forecast with its bands, what came before it, and what happened."""

from datetime import UTC
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import ArrayLike, NDArray

from windcast.data.farm import Times
from windcast.evaluation.charts import style
from windcast.models.forecast import Forecast, Rung

REANALYSIS = "The weather is reanalysis, made afterwards: with a real weather forecast the errors would be larger."
CHARACTERS_PER_INCH = 11
# Of ticks by year, month, day, hour, minute and second; DAWN where the larger unit begins.
TICKS = ["%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"]
DAWN = ["%Y", "%b %Y", "%d %b", "%d %b", "%H:%M", "%H:%M"]


def fan_chart(
    forecast: Forecast,
    row: int,
    *,
    past_power: ArrayLike | None = None,
    past_times: Times | None = None,
    observed: ArrayLike | None = None,
    title: str = "",
    size: tuple[float, float] = style.WIDE,
) -> Figure:
    """The forecast of one issue time in MW: median, central 50, 80, 90 and 98 % bands as far as its levels reach.

    past_power [L] MW, NaN where unknown, at past_times [L], ascending ends of intervals; by default the last L steps
        up to the issue time.
    observed [H] MW: what happened, NaN where unknown.
    Every value is drawn over the interval of which it is the mean, so the chart is the same however intervals are
    labelled, and past and forecast meet at the issue time. A note says what the forecast stood on unless that was
    everything it should have.
    """
    task, issue = forecast.task, forecast.issue_times[row]
    step = np.timedelta64(task.resolution, "us")
    figure = style.blank(size)
    axes = figure.add_subplot()
    style.dress(axes, ylabel="power (MW)")
    ahead = _days(issue + step * np.arange(task.horizon + 1))
    handles, labels = [], []
    for percent in style.SHADES:
        tail = (100 - percent) / 200
        if forecast.levels[0] <= tail + 1e-9 and forecast.levels[-1] >= 1 - tail - 1e-9:
            low, high = forecast.quantile(tail)[row], forecast.quantile(1 - tail)[row]
            handles.append(axes.stairs(high, ahead, baseline=low, fill=True, color=style.SHADES[percent], linewidth=0))
            labels.append(f"{percent} % band")
    median = axes.stairs(forecast.median[row], ahead, color=style.MEDIAN, linewidth=1.9, baseline=None)
    handles.append(median)
    labels.append("median forecast")
    first = float(ahead[0])
    if past_power is not None:
        edges, power = _on_grid(np.asarray(past_power, np.float64), past_times, issue, step)
        handles.append(axes.stairs(power, edges, color=style.INK, linewidth=1.3, baseline=None))
        labels.append("measured, known then")
        first = min(first, float(edges[0]))
    if observed is not None:
        truth = axes.stairs(np.asarray(observed, np.float64), ahead, color=style.INK, linewidth=1.3, baseline=None)
        truth.set_linestyle((0, (3, 1.2)))
        truth.set_path_effects([Stroke(linewidth=2.6, foreground="white", alpha=0.7), Normal()])
        handles.append(truth)
        labels.append("measured afterwards")
    _mark(axes, issue, capacity_mw=task.capacity_mw, centred=first < ahead[0])
    axes.set(xlim=(first, ahead[-1]), ylim=(0, task.capacity_mw * 1.1))
    _clock(axes)
    note = wrap(_stands_on(forecast, row), int(size[0] * CHARACTERS_PER_INCH))
    axes.set_xlabel("\n".join(["time (UTC)", *note]), loc="left")
    if title:
        figure.suptitle(
            style.plain(title), fontsize=style.TEXT + 1.5, x=0.01, ha="left", color=style.INK, fontfamily=style.FONT
        )
    style.legend(figure, handles, labels, columns=4 if size[0] > 7 else 3)
    return figure


def _on_grid(
    power: NDArray[np.float64], times: Times | None, issue: np.datetime64, step: np.timedelta64
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges [K + 1] and power [K] of every interval from the first to the last time, NaN where none is given."""
    if times is None:
        return _days(issue + step * np.arange(-len(power), 1)), power
    place = (times - times[0]) // step
    filled = np.full(int(place[-1]) + 1, np.nan)
    filled[place] = power
    return _days(times[0] + step * np.arange(-1, len(filled))), filled


def _mark(axes: Axes, issue: np.datetime64, *, capacity_mw: float, centred: bool) -> None:
    at = float(_days(issue))
    axes.axvline(at, color=style.INK, linewidth=1, linestyle=(0, (1, 1)))
    axes.annotate(
        f"issued {issue.item():%d %b %Y %H:%M} UTC",
        (at, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center" if centred else "left",
        fontsize=style.SMALL,
        fontfamily=style.FONT,
        color=style.INK,
    )
    axes.axhline(capacity_mw, color=style.MUTED, linewidth=0.8, linestyle="--")
    axes.annotate(
        f"capacity {capacity_mw:g} MW",
        (1, capacity_mw),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 2),
        textcoords="offset points",
        ha="right",
        fontsize=style.SMALL,
        fontfamily=style.FONT,
        color=style.MUTED,
    )


def _clock(axes: Axes) -> None:
    locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator, tz=UTC, formats=TICKS, zero_formats=DAWN, show_offset=False
    )
    axes.xaxis.set_major_formatter(formatter)


def _days(times: Times | np.datetime64) -> NDArray[np.float64]:
    """As matplotlib counts time."""
    return np.asarray(date2num(times))  # type: ignore[no-untyped-call]


def _stands_on(forecast: Forecast, row: int) -> str:
    """What the forecast stood on, a sentence a rung below FRESH with the leads it holds for."""
    rungs = forecast.rung[row]
    parts = []
    for rung in sorted(set(rungs.tolist()) - {Rung.FRESH}):
        count = int((rungs == rung).sum())
        where = "" if count == len(rungs) else f"{count} of {len(rungs)} lead times: "
        sentence = where + Rung(rung).sentence
        parts.append(sentence[0].upper() + sentence[1:] + ".")
    if forecast.reanalysis:
        parts.append(REANALYSIS)
    return " ".join(parts)
