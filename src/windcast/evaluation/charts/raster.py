"""A figure as pixels, and pixels as PNG: a third of the time of `savefig`, because what many pictures share is kept."""

import struct
import threading
import zlib
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

LIGHTLY = 2  # of zlib's 9 levels: a third of the time of its default, for a tenth more bytes
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
    """Opaque pixels as PNG (ISO/IEC 15948), every row as its difference from the one above."""
    height, width, _ = pixels.shape
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = 2  # the filter "Up"
    for channel in range(3):
        plane = pixels[..., channel]
        rows[0, 1 + channel :: 3] = plane[0]
        np.subtract(plane[1:], plane[:-1], out=rows[1:, 1 + channel :: 3])
    a_metre = round(dpi / 0.0254)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            _chunk(b"pHYs", struct.pack(">IIB", a_metre, a_metre, 1)),
            _chunk(b"IDAT", zlib.compress(rows.data, LIGHTLY)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


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
