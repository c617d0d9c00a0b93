"""Scores by lead time: error, skill, and how often and how widely the bands held. From the frame of `by_lead`."""

import polars as pl
from matplotlib.figure import Figure

from windcast.evaluation.charts import style
from windcast.evaluation.scores import INTERVALS

LEGEND_ROW = 0.19  # inches
LOWEST_SKILL = -100.0  # percent: below twice the reference's error, how much worse tells nothing more


def crps_by_lead(leads: pl.DataFrame) -> Figure:
    """CRPS of every model in % of capacity against lead time; leads as `leaderboard.by_lead` returns them."""
    return _lines(leads, "crps", "CRPS (% of capacity)")


def skill_by_lead(leads: pl.DataFrame, *, reference: str = "persistence") -> Figure:
    """Skill of every other model against the reference, in %, cut off below −100."""
    others = leads.filter(pl.col("model") != reference)
    figure = _lines(others, f"skill_{reference}", f"skill (%)\nagainst {style.plain(reference)}", leads["model"])
    axes = figure.axes[0]
    axes.axhline(0, color=style.INK, linewidth=1)
    lowest, highest = axes.get_ylim()
    axes.set_ylim(max(lowest, LOWEST_SKILL), min(max(highest, 5), 100))
    return figure


def coverage_by_lead(leads: pl.DataFrame, *, model: str) -> Figure:
    """How often the model's central bands held the observation, and how wide they were, against lead time.

    Thin lines mark what each band promises. Bands that the levels do not reach are left out.
    """
    table = leads.filter(pl.col("model") == model)
    hours, name = style.lead_axis(table["lead_minutes"].to_numpy())
    figure = style.blank(style.TALL)
    held, width = figure.subplots(2, sharex=True)
    style.dress(held, ylabel="held the observation (%)")
    style.dress(width, xlabel=name, ylabel="mean width\n(% of capacity)")
    handles, labels = [], []
    for place, percent in enumerate(reversed(INTERVALS)):
        if table[f"coverage_{percent}"].null_count() == table.height:
            continue
        look = style.line(place, table.height)
        held.axhline(percent, color=look["color"], linewidth=0.8, alpha=0.6)
        handles += held.plot(hours, table[f"coverage_{percent}"].to_numpy(), **look)
        width.plot(hours, table[f"width_{percent}"].to_numpy(), **look)
        labels.append(f"{percent} % band")
    held.set_ylim(0, 102)
    width.set_ylim(bottom=0)
    style.legend(figure, handles, labels, columns=3)
    return figure


def _lines(leads: pl.DataFrame, column: str, ylabel: str, models: pl.Series | None = None) -> Figure:
    """A line a model; its look comes from its place among all models."""
    everyone = (leads["model"] if models is None else models).unique(maintain_order=True).to_list()
    columns = max(1, min(3, 55 // (max(map(len, everyone)) + 6)))
    width, height = style.COLUMN
    figure = style.blank((width, height + LEGEND_ROW * (-(-len(everyone) // columns) - 1)))
    axes = figure.add_subplot()
    hours, name = style.lead_axis(leads["lead_minutes"].to_numpy())
    style.dress(axes, xlabel=name, ylabel=ylabel)
    handles, labels = [], []
    for place, model in enumerate(everyone):
        mine = (leads["model"] == model).to_numpy()
        if mine.any():
            look = style.line(place, int(mine.sum()))
            handles += axes.plot(hours[mine], leads.filter(mine)[column].to_numpy(), **look)
            labels.append(model)
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    style.legend(figure, handles, labels, columns=columns)
    return figure
