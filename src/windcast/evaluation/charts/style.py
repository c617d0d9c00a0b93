"""How every chart looks: one palette, one type size, nothing read from or written to matplotlib's global settings.

Lines differ in colour (Okabe & Ito's, safe for the colour-blind), dash and marker, areas in lightness, so a chart says
the same in black and white.
"""

import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from windcast.evaluation.charts import raster

Array = NDArray[np.float64]
Place = Literal["outside lower left", "lower left"]

INK = "#1b1f24"
MUTED = "#57606a"
GRID = "#e3e7ec"
MEDIAN = "#08306b"
SHADES = {98: "#e1ebf5", 90: "#c6dbed", 80: "#a3c8e3", 50: "#6fa9d3"}
HEAT = "Blues"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
DASHES = ("-", "--", "-.", ":", (0, (6, 1.5, 1.5, 1.5, 1.5, 1.5)))
MARKERS = "osD^vPX*"

FONT = "DejaVu Sans"  # ships with matplotlib
TEXT = 9.5  # points
SMALL = 9
COLUMN = (5.0, 3.3)  # inches: half a desktop page, the width of a phone
TALL = (5.0, 4.8)
WIDE = (9.0, 4.6)


def blank(size: tuple[float, float]) -> Figure:
    return Figure(figsize=size, layout="constrained", facecolor="white")


def png(figure: Figure, *, dpi: float = 100) -> bytes:
    """The figure as PNG. Safe in any thread, as long as no two draw the same figure."""
    figure.set_dpi(dpi)
    return raster.packed(raster.drawn(figure), dpi=dpi)


def svg(figure: Figure) -> bytes:
    """The figure as SVG, drawn once."""
    buffer = io.BytesIO()
    figure.set_dpi(72)
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def dress(axes: Axes, *, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Names the axes and quiets everything that is not data."""
    axes.set_facecolor("white")
    axes.set_axisbelow(True)
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=SMALL, labelfontfamily=FONT, length=3)
    axes.set_xlabel(xlabel, fontsize=TEXT, color=INK, fontfamily=FONT)
    axes.set_ylabel(ylabel, fontsize=TEXT, color=INK, fontfamily=FONT)
    if title:
        axes.set_title(title, fontsize=TEXT, color=INK, fontfamily=FONT, loc="left")


def legend(
    figure: Figure, handles: Sequence[Any], labels: Sequence[str], *, columns: int, loc: Place = "outside lower left"
) -> None:
    """Below the axes, where it hides no data."""
    figure.legend(
        list(handles),
        [plain(label) for label in labels],
        loc=loc,
        ncols=columns,
        frameon=False,
        prop={"family": FONT, "size": SMALL},
        labelcolor=INK,
        handlelength=2.6,
        columnspacing=1.4,
    )


def plain(text: str) -> str:
    """As matplotlib will draw it word for word: no formula, no name hidden for its underscore."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def line(place: int, points: int) -> dict[str, Any]:
    """The look of the line of a model by its place, with about eight markers on it."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[place % len(DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
        "markersize": 4,
        "markevery": max(1, points // 8),
        "linewidth": 1.7,
    }


def lead_axis(minutes: Array) -> tuple[Array, str]:
    """Lead times in the unit that suits them, and the name of the axis."""
    if minutes.max() <= 180:
        return minutes, "lead time (minutes)"
    return minutes / 60, "lead time (hours)"


def span(from_minutes: float, to_minutes: float) -> str:
    """A range of lead times in words: `1–12 h`, `10–60 min`, `24 h`."""
    hours = from_minutes % 60 == 0 and to_minutes % 60 == 0
    scale, unit = (60, "h") if hours else (1, "min")
    first, last = f"{from_minutes / scale:g}", f"{to_minutes / scale:g}"
    return f"{first} {unit}" if first == last else f"{first}–{last} {unit}"
