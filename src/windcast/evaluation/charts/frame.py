"""What stands around a chart: grid, axes, ticks, legend and texts, each at a place known beforehand, in points.

matplotlib's own axes and legends make several artists of every tick and measure every text, which took most of the
time of a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from windcast.evaluation.charts import style

LINE, ROW = 12.6, 14.4  # of small text, and of the legend
TICK, GAP = 3.0, 3.5  # length, and distance of its text
HANDLE, BESIDE, BETWEEN = 23.4, 7.2, 12.6  # of the legend: an entry's sign, its text after that, and the next entry
LETTER = 5.1  # a usual width
OVER = 7.0  # how far a text may stand out on the right

Ticks = Sequence[tuple[float, str]]  # a place in the data and its text


@dataclass(frozen=True)
class Frame:
    """Axes without any frame of their own, and the box on the figure that they fill, in points."""

    figure: Figure
    axes: Axes
    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(
        cls,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        size: tuple[float, float],
        left: float,
        bottom: float,
        right: float,
        top: float,
    ) -> "Frame":
        """A figure of `size` in inches with axes for data in the ranges x and y; the sides in points of room."""
        width, height = 72 * size[0], 72 * size[1]
        figure = Figure(figsize=size, facecolor="white")
        inner = (width - left - right, height - top - bottom)
        axes = figure.add_axes((left / width, bottom / height, inner[0] / width, inner[1] / height))
        axes.set_axis_off()
        axes.set(xlim=x, ylim=y)
        return cls(figure, axes, left, bottom, width - right, height - top)

    def across(self, x: float) -> float:
        first, last = self.axes.get_xlim()
        return self.left + (x - first) / (last - first) * (self.right - self.left)

    def up(self, y: float) -> float:
        first, last = self.axes.get_ylim()
        return self.bottom + (y - first) / (last - first) * (self.top - self.bottom)

    def write(self, text: str, x: float, y: float, **look: Any) -> None:
        usual: dict[str, Any] = {"fontsize": style.SMALL, "fontfamily": style.FONT, "color": style.INK}
        self.figure.text(x, y, text, transform=self._points(), **(usual | look))

    def scale(self, times: Ticks, powers: Ticks) -> None:
        """The left and the lower axis with their ticks, and the grid behind the data."""
        places = [(self.across(place), text) for place, text in times]
        heights = [(self.up(place), text) for place, text in powers]
        grid = [((at, self.bottom), (at, self.top)) for at, _ in places]
        grid += [((self.left, at), (self.right, at)) for at, _ in heights]
        ticks = [((at, self.bottom), (at, self.bottom - TICK)) for at, _ in places]
        ticks += [((self.left, at), (self.left - TICK, at)) for at, _ in heights]
        ticks += [((self.left, self.bottom), corner) for corner in ((self.right, self.bottom), (self.left, self.top))]
        self._lines(grid, color=style.GRID, linewidth=0.7, zorder=-1)
        self._lines(ticks, color=style.MUTED, linewidth=0.8)
        for at, text in places:
            side, x = ("center", at) if at <= self.right - OVER else ("right", self.right + OVER)
            self.write(text, x, self.bottom - TICK - GAP, ha=side, va="top")
        for at, text in heights:
            self.write(text, self.left - TICK - GAP, at, ha="right", va="center_baseline")

    def legend(self, signs: Sequence[Artist], *, columns: int) -> None:
        """The lines and areas by their labels at the foot of the figure, column by column."""
        rows = -(-len(signs) // columns)
        x = 8.0
        for column in np.array_split(np.arange(len(signs)), columns):
            for row, sign in enumerate(signs[k] for k in column):
                y = 14 + ROW * (rows - 1 - row)
                self.write(str(sign.get_label()), x + HANDLE + BESIDE, y, va="center_baseline")
                self._add(_sign(sign, x, y))
            longest = max((len(str(signs[k].get_label())) for k in column), default=0)
            x += HANDLE + BESIDE + LETTER * longest + BETWEEN

    def _lines(self, ends: Sequence[tuple[tuple[float, float], tuple[float, float]]], **look: Any) -> None:
        path = Path(np.reshape(ends, (-1, 2)), [Path.MOVETO, Path.LINETO] * len(ends))
        self._add(PathPatch(path, fill=False, **look))

    def _add(self, artist: Artist) -> None:
        artist.set_transform(self._points())
        self.figure.add_artist(artist)

    def _points(self) -> Any:
        return Affine2D().scale(1 / 72) + self.figure.dpi_scale_trans


def _sign(drawn: Any, x: float, y: float) -> Artist:
    """An area or a line of the legend in the look of what was drawn."""
    if drawn.get_fill():
        return Rectangle((x, y - 3.15), HANDLE, 6.3, facecolor=drawn.get_facecolor(), linewidth=0)
    look = {"color": drawn.get_edgecolor(), "linewidth": drawn.get_linewidth(), "linestyle": drawn.get_linestyle()}
    return Line2D([x, x + HANDLE], [y, y], solid_capstyle="butt", **look)
