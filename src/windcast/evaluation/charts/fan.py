"""Fan chart: one forecast with its bands, what came before it, and what happened."""

from datetime import UTC
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num, num2date
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from windcast.data.farm import Times
from windcast.evaluation.charts import style
from windcast.models.forecast import Forecast, Rung

REANALYSIS = "The weather is reanalysis, made afterwards: with a real weather forecast the errors would be larger."
CHARACTERS_PER_INCH = 11
# points: a line of small text, and of the legend
LINE, ROW = 12.6, 14.4
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
    # placed by hand: to let matplotlib measure every text takes longer than to draw them
    figure = Figure(figsize=size, facecolor="white")
    axes = figure.add_axes((0.1, 0.3, 0.8, 0.6))
    style.dress(axes, ylabel="power (MW)")
    ahead = _days(issue + step * np.arange(task.horizon + 1))
    drawn: dict[str, StepPatch] = {}
    for percent in style.SHADES:
        tail = (100 - percent) / 200
        if forecast.levels[0] <= tail + 1e-9 and forecast.levels[-1] >= 1 - tail - 1e-9:
            low, high = forecast.quantile(tail)[row], forecast.quantile(1 - tail)[row]
            shade = style.SHADES[percent]
            band = _steps(axes, high, ahead, baseline=low, fill=True, color=shade, linewidth=0)
            drawn[f"{percent} % band"] = band
    drawn["median forecast"] = _steps(axes, forecast.median[row], ahead, color=style.MEDIAN, linewidth=1.9)
    first = float(ahead[0])
    if past_power is not None:
        edges, power = _on_grid(np.asarray(past_power, np.float64), past_times, issue, step)
        drawn["measured, known then"] = _steps(axes, power, edges, color=style.INK, linewidth=1.3)
        first = min(first, float(edges[0]))
    if observed is not None:
        truth = _steps(axes, np.asarray(observed, np.float64), ahead, color=style.INK, linewidth=1.3)
        truth.set_linestyle((0, (3, 1.2)))
        truth.set_path_effects([Stroke(linewidth=2.6, foreground="white", alpha=0.7), Normal()])
        drawn["measured afterwards"] = truth
    axes.set(xlim=(first, ahead[-1]), ylim=(0, task.capacity_mw * 1.1))
    _mark(axes, issue, capacity_mw=task.capacity_mw)
    _ticks(axes)
    note = wrap(_stands_on(forecast, row), int(size[0] * CHARACTERS_PER_INCH))
    axes.set_xlabel("\n".join(["time (UTC)", *note]), loc="left")
    if title:
        look: dict[str, Any] = {"fontsize": style.TEXT + 1.5, "color": style.INK, "fontfamily": style.FONT}
        figure.text(0.01, 1 - 4 / (72 * size[1]), style.plain(title), ha="left", va="top", **look)
    columns = 4 if size[0] > 7 else 3
    style.legend(figure, list(drawn.values()), list(drawn), columns=columns, loc="lower left")
    _place(axes, size, titled=bool(title), notes=1 + len(note), rows=-(-len(drawn) // columns))
    return figure


def _steps(axes: Axes, values: NDArray[np.floating], edges: NDArray[np.float64], **look: Any) -> StepPatch:
    """As `axes.stairs`, without measuring the data: the limits of the axes are set."""
    patch = StepPatch(values, edges, **({"fill": False, "baseline": None} | look))
    axes.add_artist(patch)
    return patch


def _place(axes: Axes, size: tuple[float, float], *, titled: bool, notes: int, rows: int) -> None:
    """Leaves room around the axes for what stands there; the texts are of known sizes."""
    width, height = 72 * size[0], 72 * size[1]
    digits = max(len(label.get_text()) for label in axes.get_yticklabels())
    left, below = 28 + 5.9 * digits, 20 + LINE * notes
    bottom, top = below + 12 + ROW * rows, height - (38 if titled else 20)
    inner = (width - left - 8, top - bottom)
    axes.set_position((left / width, bottom / height, inner[0] / width, inner[1] / height))
    axes.xaxis.set_label_coords(0, -22 / inner[1])
    axes.xaxis.label.set_verticalalignment("top")
    axes.yaxis.set_label_coords(-(left - 8) / inner[0], 0.5)
    axes.yaxis.label.set_verticalalignment("top")


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


def _mark(axes: Axes, issue: np.datetime64, *, capacity_mw: float) -> None:
    at = float(_days(issue))
    first, last = axes.get_xlim()
    place = (at - first) / (last - first)
    axes.axvline(at, color=style.INK, linewidth=1, linestyle=(0, (1, 1)))
    axes.annotate(
        f"issued {issue.item():%d %b %Y %H:%M} UTC",
        (at, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="left" if place < 0.2 else "right" if place > 0.8 else "center",
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


def _ticks(axes: Axes) -> None:
    """Fixed ticks: matplotlib would look for them again at every step of drawing."""
    (first, last), (_, top) = axes.get_xlim(), axes.get_ylim()
    locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator, tz=UTC, formats=TICKS, zero_formats=DAWN, show_offset=False
    )
    times = locator.tick_values(num2date(first), num2date(last))  # type: ignore[no-untyped-call]
    times = [time for time in times if first <= time <= last]
    axes.set_xticks(times, formatter.format_ticks(times))  # type: ignore[no-untyped-call]
    powers = [p for p in MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(0, top) if 0 <= p <= top]
    axes.set_yticks(powers, [f"{p:g}" for p in powers])


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
