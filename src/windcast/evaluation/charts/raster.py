"""A figure as pixels, and pixels as PNG: a third of the time of `savefig`, because what many pictures share is kept."""

import io
import threading
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

LIGHTLY = 1  # of zlib's 9 levels: a third of the time of its default, for a tenth more bytes
SHORT = 48  # characters of a text that is worth keeping
TEXTS = 256  # that are kept, of about 5 kB
MARGIN = 4  # pixels around a text, for what hangs over

_kept = threading.local()


def drawn(figure: Figure) -> Pixels:
    """The pixels [height, width, RGBA] of the figure at its dpi, good until this thread draws again."""
    canvas = _Canvas(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]


def packed(pixels: Pixels, *, dpi: float) -> bytes:
    """Opaque pixels as PNG."""
    content = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(content, "png", compress_level=LIGHTLY, dpi=(dpi, dpi))
    return content.getvalue()


class _Canvas(FigureCanvasAgg):
    def get_renderer(self) -> "_Pen":
        """The thread's own, which knows the sizes of texts that it has measured."""
        size = (*self.get_width_height(physical=True), self.figure.dpi)
        if getattr(_kept, "size", None) != size:
            _kept.pen, _kept.size = _Pen(*size), size  # type: ignore[no-untyped-call]
        pen: _Pen = _kept.pen
        return pen


class _Pen(RendererAgg):
    """Agg, which shapes and fills a short text only once; texts begin at whole pixels."""

    def draw_text(
        self,
        gc: Any,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Any = False,
        mtext: Any = None,
    ) -> None:
        plain = not ismath and gc.get_alpha() == 1 and gc.get_antialiased() and gc.get_clip_rectangle() is None
        if not plain or angle not in (0, 90) or len(s) > SHORT:
            super().draw_text(gc, x, y, s, prop, angle, ismath=ismath, mtext=mtext)  # type: ignore[no-untyped-call]
            return
        image, left, below = _text(s, prop.copy(), angle, gc.get_rgb(), self.dpi)
        self.draw_image(gc, round(x) - left, int(self.height) - round(y) - below, image)


@lru_cache(TEXTS)
def _text(s: str, prop: FontProperties, angle: float, colour: Any, dpi: float) -> tuple[Pixels, int, int]:
    """A text as an image, its rows from the bottom, and where in it the text begins: pixels from the left and below."""
    measure = RendererAgg(1, 1, dpi)  # type: ignore[no-untyped-call]
    width, height, descent = (ceil(v) for v in measure.get_text_width_height_descent(s, prop, False))  # type: ignore[no-untyped-call]
    left, below = (MARGIN, MARGIN + descent) if angle == 0 else (MARGIN + height - descent, MARGIN)
    across, up = (width, height) if angle == 0 else (height, width)
    paper = RendererAgg(across + 2 * MARGIN, up + 2 * MARGIN, dpi)  # type: ignore[no-untyped-call]
    gc = paper.new_gc()
    gc.set_foreground(colour, isRGBA=True)
    paper.draw_text(gc, left, paper.height - below, s, prop, angle)  # type: ignore[no-untyped-call]
    return np.array(paper.buffer_rgba())[::-1], left, below  # type: ignore[no-untyped-call]
