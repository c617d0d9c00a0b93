"""A figure as a piece of HTML that needs nothing else: inline SVG, or a PNG where that would be large."""

import io
import re
from base64 import b64encode
from html import escape

from matplotlib.figure import Figure

LARGEST_SVG = 300_000  # characters
PNG_DPI = 180

NOISE = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>|\s+(?=\n)", re.DOTALL)
REFERENCE = re.compile(r'(?:href="#|url\(#)([^")]+)')
IDENTIFIER = re.compile(r'\s+id="([^"]*)"')
OPENING = re.compile(r"^.*?<svg\b[^>]*?viewBox=\"([^\"]*)\"[^>]*>", re.DOTALL)


def inline(figure: Figure, *, name: str, alt: str) -> str:
    """HTML of the figure, with `alt` for those who cannot see it; the same figure gives the same bytes.

    name: unique in the page, of letters, digits and hyphens; identifiers in the SVG begin with it.
    """
    svg = _svg(figure, name=name, alt=alt)
    if len(svg) <= LARGEST_SVG:
        return svg
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{b64encode(buffer.getvalue()).decode()}">'


def _svg(figure: Figure, *, name: str, alt: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = NOISE.sub("", buffer.getvalue())
    # Several SVG in a page share one space of identifiers, and matplotlib salts its own at random.
    used = {old: f"{name}-{place}" for place, old in enumerate(dict.fromkeys(REFERENCE.findall(text)))}
    text = REFERENCE.sub(lambda found: found[0].replace(found[1], used[found[1]]), text)
    text = IDENTIFIER.sub(lambda found: f' id="{used[found[1]]}"' if found[1] in used else "", text)
    return OPENING.sub(lambda found: f'<svg role="img" aria-label="{escape(alt)}" viewBox="{found[1]}">', text, count=1)
