"""Fan chart: one forecast with its bands, what came before it, and what happened."""

from collections.abc import Iterator
from datetime import UTC
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num, num2date
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from windcast.data.farm import Times
from windcast.evaluation.charts import style
from windcast.evaluation.charts.frame import LINE, ROW, Frame, Ticks
from windcast.models.forecast import Forecast, Rung

Edges = NDArray[np.float64]

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
    ahead = _days(issue + step * np.arange(task.horizon + 1))
    past = None
    if past_power is not None:
        past = _on_grid(np.asarray(past_power, np.float64), past_times, issue, step)
    known_from = ahead[0] if past is None else past[0][0]
    span, top = (float(min(known_from, ahead[0])), float(ahead[-1])), task.capacity_mw * 1.1
    drawn = [*_ahead(forecast, row, ahead), *_measured(past, ahead, observed)]
    powers, note = _powers(top), wrap(_stands_on(forecast, row), int(size[0] * CHARACTERS_PER_INCH))
    columns = 4 if size[0] > 7 else 3
    frame = Frame.around(
        span,
        (0, top),
        size=size,
        left=28 + 5.9 * max(len(text) for _, text in powers),
        bottom=32 + LINE * (1 + len(note)) + ROW * -(-len(drawn) // columns),
        right=8,
        top=38 if title else 20,
    )
    for patch in drawn:
        frame.axes.add_artist(patch)
    frame.scale(_times(*span), powers)
    _mark(frame, issue, capacity_mw=task.capacity_mw)
    frame.write("power (MW)", 8, (frame.bottom + frame.top) / 2, fontsize=style.TEXT, rotation=90, va="center")
    frame.write("\n".join(["time (UTC)", *note]), frame.left, frame.bottom - 22, fontsize=style.TEXT, va="top")
    if title:
        frame.write(style.plain(title), 0.72 * size[0], 72 * size[1] - 4, fontsize=style.TEXT + 1.5, va="top")
    frame.legend(drawn, columns=columns)
    return frame.figure


def _ahead(forecast: Forecast, row: int, edges: Edges) -> Iterator[StepPatch]:
    """The bands that the levels reach, from the widest, and the median."""
    for percent, shade in style.SHADES.items():
        tail = (100 - percent) / 200
        if forecast.levels[0] <= tail + 1e-9 and forecast.levels[-1] >= 1 - tail - 1e-9:
            low, high = forecast.quantile(tail)[row], forecast.quantile(1 - tail)[row]
            yield _steps(high, edges, f"{percent} % band", baseline=low, fill=True, color=shade, linewidth=0)
    yield _steps(forecast.median[row], edges, "median forecast", color=style.MEDIAN, linewidth=1.9)


def _measured(
    past: tuple[Edges, NDArray[np.float64]] | None, ahead: Edges, observed: ArrayLike | None
) -> Iterator[StepPatch]:
    look = {"color": style.INK, "linewidth": 1.3}
    if past is not None:
        yield _steps(past[1], past[0], "measured, known then", **look)
    if observed is not None:
        truth = _steps(np.asarray(observed, np.float64), ahead, "measured afterwards", **look)
        truth.set_linestyle((0, (3, 1.2)))
        truth.set_path_effects([Stroke(linewidth=2.6, foreground="white", alpha=0.7), Normal()])
        yield truth


def _steps(values: NDArray[np.floating], edges: Edges, label: str, **look: Any) -> StepPatch:
    """As `Axes.stairs` draws."""
    return StepPatch(values, edges, label=label, **({"fill": False, "baseline": None} | look))


def _on_grid(
    power: NDArray[np.float64], times: Times | None, issue: np.datetime64, step: np.timedelta64
) -> tuple[Edges, NDArray[np.float64]]:
    """Edges [K + 1] and power [K] of every interval from the first to the last time, NaN where none is given."""
    if times is None:
        return _days(issue + step * np.arange(-len(power), 1)), power
    place = (times - times[0]) // step
    filled = np.full(int(place[-1]) + 1, np.nan)
    filled[place] = power
    return _days(times[0] + step * np.arange(-1, len(filled))), filled


def _mark(frame: Frame, issue: np.datetime64, *, capacity_mw: float) -> None:
    at, axes = float(_days(issue)), frame.axes
    first, last = axes.get_xlim()
    place = (at - first) / (last - first)
    axes.add_artist(Line2D([at, at], axes.get_ylim(), color=style.INK, linewidth=1, linestyle=(0, (1, 1))))
    side = "left" if place < 0.2 else "right" if place > 0.8 else "center"
    frame.write(f"issued {issue.item():%d %b %Y %H:%M} UTC", frame.across(at), frame.top + 3, ha=side)
    capacity = [capacity_mw, capacity_mw]
    axes.add_artist(Line2D([first, last], capacity, color=style.MUTED, linewidth=0.8, linestyle="--"))
    look = {"ha": "right", "color": style.MUTED}
    frame.write(f"capacity {capacity_mw:g} MW", frame.right - 2, frame.up(capacity_mw) + 2, **look)


def _times(first: float, last: float) -> Ticks:
    locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator, tz=UTC, formats=TICKS, zero_formats=DAWN, show_offset=False
    )
    times = locator.tick_values(num2date(first), num2date(last))  # type: ignore[no-untyped-call]
    times = [time for time in times if first <= time <= last]
    return list(zip(times, formatter.format_ticks(times), strict=True))  # type: ignore[no-untyped-call]


def _powers(top: float) -> Ticks:
    found = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(0, top)
    return [(float(p), f"{p:g}") for p in found if 0 <= p <= top]


def _days(times: Times | np.datetime64) -> Edges:
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
