"""Reliability: observed against promised frequency, and the PIT histogram, by group of lead times."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from windcast.evaluation.charts import style
from windcast.evaluation.reliability import Reliability

GROUP = ("lead_from_minutes", "lead_to_minutes")


def reliability_diagram(result: Reliability) -> Figure:
    """How often power stayed at or below each forecast quantile, a panel a group of leads, with the consistency band.

    A calibrated forecast lies on the diagonal; within the band, it may be one.
    """
    figure, panels = _panels(result.levels)
    for axes, table in panels:
        promised = table["level"].to_numpy() * 100
        low, high = (table[c].to_numpy() * 100 for c in ("low", "high"))
        axes.fill_between(promised, low, high, color=style.SHADES[90], linewidth=0)
        axes.plot([0, 100], [0, 100], color=style.MUTED, linewidth=0.9, linestyle="--")
        look = style.line(0, len(promised)) | {"color": style.MEDIAN, "markersize": 3.2}
        axes.plot(promised, table["frequency"].to_numpy() * 100, **look)
        axes.set(xlim=(0, 100), ylim=(0, 100), xticks=range(0, 101, 25), yticks=range(0, 101, 25))
    _name(figure, "forecast probability (%)", "happened (%)")
    return figure


def pit_histogram(result: Reliability) -> Figure:
    """Where in its forecast distribution each observation fell, a panel a group of leads, with the consistency band.

    Flat is calibrated; a valley says the bands are too narrow, a hill too wide, a slope that the centre is off.
    """
    figure, panels = _panels(result.histogram)
    top = 0.0
    for axes, table in panels:
        edges = [*(table["bin_from"] * 100), 100.0]
        count = table.height  # so that flat is 1
        frequency, low, high = (table[c].cast(pl.Float64).to_numpy() * count for c in ("frequency", "low", "high"))
        axes.stairs(frequency, edges, fill=True, color=style.SHADES[50])
        axes.stairs(frequency, edges, color=style.MEDIAN, linewidth=0.8)
        axes.stairs(high, edges, baseline=low, fill=True, color=style.INK, alpha=0.18, linewidth=0)
        axes.axhline(1, color=style.INK, linewidth=0.9, linestyle="--")
        axes.set(xlim=(0, 100), xticks=range(0, 101, 25))
        top = max(top, axes.get_ylim()[1])
    for axes, _ in panels:
        axes.set_ylim(0, top)
    _name(figure, "place in the forecast distribution (%)", "frequency (1 = as promised)")
    return figure


def _panels(table: pl.DataFrame) -> tuple[Figure, list[tuple[Axes, pl.DataFrame]]]:
    """A panel a group of leads that has anything known, named by its leads."""
    groups = table.filter(pl.col("frequency").is_not_null()).partition_by(*GROUP, maintain_order=True)
    columns = 1 if len(groups) == 1 else 2 if len(groups) <= 4 else 3
    rows = -(-len(groups) // columns)
    figure = style.blank(style.COLUMN if rows == 1 else (style.COLUMN[0], 2.3 * rows))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in grid[len(groups) :]:
        axes.set_visible(False)
    for axes, group in zip(grid, groups, strict=False):
        title = style.span(*(group[c][0] for c in GROUP)) + " ahead"
        style.dress(axes, title=title)
    return figure, list(zip(grid, groups, strict=False))


def _name(figure: Figure, xlabel: str, ylabel: str) -> None:
    look = {"fontsize": style.TEXT, "fontfamily": style.FONT, "color": style.INK}
    figure.supxlabel(xlabel, **look)
    figure.supylabel(ylabel, **look)
