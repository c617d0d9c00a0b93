"""A sweep's trials one after the other, and which keys mattered."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from windcast.evaluation.charts import style

ROOM = 1.5  # times the spread of the better half, above which a score is drawn at the edge


def history(
    numbers: NDArray[np.int_], crps_percent: NDArray[np.float64], states: NDArray[np.str_], *, title: str
) -> Figure:
    """Scores by trial with the best so far, pruned trials at their last score; failed ones as ticks at the foot.

    Scores far above the better half lie at the upper edge, so that what counts has room.
    """
    figure = style.blank(style.WIDE)
    axes = figure.add_subplot()
    style.dress(axes, xlabel="trial", ylabel="validation CRPS (% of capacity)", title=style.plain(title))
    complete, pruned, failed = (states == name for name in ("complete", "pruned", "failed"))
    scored = complete & np.isfinite(crps_percent)
    handles, labels = [], []
    if scored.any():
        low, middle = crps_percent[scored].min(), np.median(crps_percent[scored])
        top = middle + max(ROOM * (middle - low), 0.02 * low, 1e-9)
        shown = np.minimum(crps_percent, top)
        axes.set_ylim(low - 0.08 * (top - low), top + 0.04 * (top - low))
        beyond = scored & (crps_percent > top)
        handles += axes.plot(numbers[scored & ~beyond], shown[scored & ~beyond], "o", color=style.COLOURS[0], ms=4.5)
        labels.append("complete")
        if beyond.any():
            handles += axes.plot(numbers[beyond], shown[beyond], "^", color=style.COLOURS[0], ms=5, fillstyle="none")
            labels.append("complete, above the picture")
        cut = pruned & np.isfinite(crps_percent)
        if cut.any():
            handles += axes.plot(numbers[cut], shown[cut], "x", color=style.MUTED, markersize=5)
            labels.append("pruned")
        so_far = np.minimum.accumulate(np.where(scored, crps_percent, np.inf))
        reached = np.isfinite(so_far)
        handles += axes.step(numbers[reached], so_far[reached], where="post", color=style.COLOURS[1], linewidth=1.7)
        labels.append("best so far")
    if failed.any():
        edge = axes.get_xaxis_transform()
        handles += axes.plot(
            numbers[failed], np.zeros(failed.sum()), "|", color=style.INK, markersize=14, transform=edge, clip_on=False
        )
        labels.append("failed")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend(figure, handles, labels, columns=5)
    return figure


def importance(shares: Mapping[str, float], *, title: str) -> Figure:
    """Shares of 1 by key, the greatest above."""
    width, _ = style.WIDE
    figure = style.blank((width, 1.1 + 0.32 * len(shares)))
    axes = figure.add_subplot()
    style.dress(axes, xlabel="share in what made a trial good (%)", title=style.plain(title))
    keys = sorted(shares, key=lambda key: shares[key])
    bars = axes.barh([style.plain(key) for key in keys], [100 * shares[key] for key in keys], color=style.COLOURS[0])
    axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=style.SMALL, color=style.INK)
    axes.grid(False, axis="y")
    axes.margins(x=0.08)
    return figure
