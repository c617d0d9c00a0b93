"""Images of a report: files of its own folder, and nothing else."""

import base64
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .errors import ImageError

LARGEST = 5_000_000  # bytes
_SVG = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*(?:<!DOCTYPE[^>\[]*>\s*)?(?:<!--.*?-->\s*)*<svg[\s>]", re.S
)


@dataclass(frozen=True)
class Image:
    """An image's bytes and media type."""

    data: bytes
    media_type: str

    @property
    def uri(self) -> str:
        """The image as an address that holds it."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"


def load(folder: Path, source: str) -> Image:
    """The image at `source`, an address as it stands in a document of `folder`.

    Only PNG, JPEG, GIF, WebP and SVG files in the folder or below it, links followed. Raises ImageError for all else.
    """
    if not source:
        raise ImageError("has no address")
    if re.match(r"\s*(?:[a-z][a-z0-9+.-]*:|//|\\\\)", source, re.I):
        raise ImageError("is not a file of this folder: save it beside the document")
    try:
        root = folder.resolve()
        path = (root / unquote(urlsplit(source).path)).resolve()
        if not path.is_relative_to(root):
            raise ImageError("lies outside the document's folder: copy it there")
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("is not a file")
        if status.st_size > LARGEST:
            raise ImageError(f"has {status.st_size:,} bytes, at most {LARGEST:,} are shown: make it smaller")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError("does not exist") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ImageError("cannot be read") from error
    return Image(data, _media_type(data))


def _media_type(data: bytes) -> str:
    """What the bytes are, whatever the file is called."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if _SVG.match(data[:4096].removeprefix(b"\xef\xbb\xbf")):
        return "image/svg+xml"
    raise ImageError("is no PNG, JPEG, GIF, WebP or SVG")
