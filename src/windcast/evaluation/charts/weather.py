"""Power against the forecast wind, and the CRPS by month, hour and wind speed."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from windcast.evaluation.charts import style
from windcast.evaluation.failure import Failures
from windcast.evaluation.verdict import MONTHS
from windcast.models.conditional import ConditionalQuantiles

CURVE_LEVELS = (0.05, 0.5, 0.95)


def power_curve(speed_ms: ArrayLike, power_mw: ArrayLike, *, capacity_mw: float) -> Figure:
    """Observed power against forecast wind speed, as counts in hexagons, with the median and the 5–95 % band given it.

    Any two arrays of one shape; pairs with a missing side are left out.
    """
    speed, power = np.ravel(np.asarray(speed_ms, np.float64)), np.ravel(np.asarray(power_mw, np.float64))
    known = np.isfinite(speed) & np.isfinite(power)
    speed, power = speed[known], power[known]
    figure = style.blank(style.COLUMN)
    axes = figure.add_subplot()
    style.dress(axes, xlabel="forecast wind speed (m/s)", ylabel="observed power (MW)")
    top = max(1.0, float(speed.max(initial=0)))
    if len(speed):
        extent = (0, top, 0, capacity_mw)
        counts = axes.hexbin(
            speed, power, gridsize=(36, 18), extent=extent, mincnt=1, cmap="Greys", norm=LogNorm(), linewidths=0.1
        )
        bar = figure.colorbar(counts, ax=axes, pad=0.01)
        _dress_bar(bar.ax, "pairs of forecast and observation")
        given = ConditionalQuantiles.fit(speed, power, np.array(CURVE_LEVELS))
        low, middle, high = given.quantiles.T
        (band,) = axes.plot(given.places, low, color=style.COLOURS[1], linewidth=1.6, linestyle="--")
        axes.plot(given.places, high, color=style.COLOURS[1], linewidth=1.6, linestyle="--")
        (median,) = axes.plot(given.places, middle, color=style.COLOURS[0], linewidth=2.4)
        style.legend(figure, [median, band], ["median power", "5 % and 95 %"], columns=2)
    axes.set(xlim=(0, top), ylim=(0, capacity_mw * 1.02))
    return figure


def where_it_fails(failures: Failures) -> Figure:
    """The CRPS by month and hour of day as a heat map, the darker the worse, and by forecast wind speed as bars.

    Bars of bins with too few pairs to be judged are pale.
    """
    windy = failures.by_wind.height > 0
    months = failures.by_time["month"].n_unique()
    height = 1.3 + 0.24 * months
    figure = style.blank((style.COLUMN[0], height + 2.5 * windy))
    if windy:
        heat, bars = figure.subplots(2, height_ratios=(height, 2.5))
        _bars(bars, failures.by_wind)
    else:
        heat = figure.add_subplot()
    _heat(figure, heat, failures.by_time)
    return figure


def _heat(figure: Figure, axes: Axes, table: pl.DataFrame) -> None:
    months, hours = (sorted(table[c].unique()) for c in ("month", "hour"))
    cells = np.full((len(months), len(hours)), np.nan)
    for month, hour, crps in table.select("month", "hour", "crps").iter_rows():
        cells[months.index(month), hours.index(hour)] = crps
    style.dress(axes, xlabel="hour of day (UTC)", ylabel="month")
    axes.grid(False)
    mesh = axes.pcolormesh(cells, cmap=style.HEAT, edgecolors="white", linewidth=0.4, vmin=0)
    every = max(1, len(hours) // 8)
    axes.set_xticks(np.arange(len(hours))[::every] + 0.5, [f"{h:02d}" for h in hours][::every])
    axes.set_yticks(np.arange(len(months)) + 0.5, [MONTHS[m - 1][:3] for m in months])
    axes.invert_yaxis()
    bar = figure.colorbar(mesh, ax=axes, pad=0.01)
    _dress_bar(bar.ax, "CRPS\n(% of capacity)")


def _bars(axes: Axes, table: pl.DataFrame) -> None:
    style.dress(axes, xlabel="forecast wind speed (m/s)", ylabel="CRPS\n(% of capacity)")
    colours = [style.MEDIAN if enough else style.SHADES[80] for enough in table["enough"]]
    begins, ends, crps = (table[c].to_numpy() for c in ("speed_from", "speed_to", "crps"))
    axes.bar(begins, crps, width=0.9 * (ends - begins), align="edge", color=colours)
    axes.set_xlim(0, float(ends[-1]))


def _dress_bar(axes: Axes, label: str) -> None:
    axes.tick_params(labelsize=style.SMALL, labelfontfamily=style.FONT, labelcolor=style.INK, length=2)
    axes.set_ylabel(label, fontsize=style.SMALL, fontfamily=style.FONT, color=style.INK)
