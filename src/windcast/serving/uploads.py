"""What a client sends, read with bounds while it arrives: a body, plain or packed, and the one file in a form.

Nothing is written to disk, and nothing beyond the bound is kept, however large the upload or what it inflates to.
"""

import io
import re
import zlib
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from windcast.serving.problems import BadRequest, TooLarge, Unprocessable, Unsupported

MOST_NAME = 80  # characters of a file's name that are shown
PIECE = 1 << 18  # bytes that are inflated at a time
EXAMPLE = "curl -F data=@power.csv"


@dataclass(frozen=True)
class Upload:
    """A file of a form. name: as the client called it, cleaned, for messages only: never a path to open."""

    name: str
    data: bytes = field(repr=False)


async def read_body(
    stream: AsyncIterable[bytes],
    *,
    most_bytes: int,
    content_encoding: str | None = None,
    content_length: str | None = None,
) -> bytes:
    """The whole body, inflated. Raises TooLarge as soon as more than `most_bytes` have come or have been inflated,
    Unsupported for an encoding other than gzip and deflate, BadRequest where it is broken.
    """
    pieces = [p async for p in _pieces(stream, most_bytes, content_encoding, content_length)]
    return b"".join(pieces)


async def read_upload(
    stream: AsyncIterable[bytes],
    *,
    content_type: str | None,
    most_bytes: int,
    content_encoding: str | None = None,
    content_length: str | None = None,
    field: str = "data",
) -> Upload:
    """The file in the form field `field`, which must be the form's only one.

    Raises as `read_body` does; Unsupported where the body is no form, BadRequest where the form is broken,
    Unprocessable where it holds another field, no file or two.
    """
    form = Form(content_type, field=field)
    async for piece in _pieces(stream, most_bytes, content_encoding, content_length):
        form.feed(piece)
    return form.close()


async def _pieces(
    stream: AsyncIterable[bytes], most_bytes: int, content_encoding: str | None, content_length: str | None
) -> AsyncIterator[bytes]:
    if content_length is not None and content_length.isdecimal() and int(content_length[:20]) > most_bytes:
        raise TooLarge(_too_large("is", most_bytes))
    inflate = _Inflater.for_encoding(content_encoding)
    came = out = 0
    async for chunk in stream:
        came += len(chunk)
        if came > most_bytes:
            raise TooLarge(_too_large("is", most_bytes))
        for piece in inflate.feed(chunk) if inflate else (chunk,):
            out += len(piece)
            if out > most_bytes:
                raise TooLarge(_too_large("unpacks to", most_bytes))
            yield piece
    if inflate:
        inflate.close()


def _too_large(what: str, most_bytes: int) -> str:
    return (
        f"The upload {what} more than {most_bytes / 1e6:g} MB. Send the rows and columns that are needed: the last few "
        "weeks of power and the weather from then on."
    )


class _Inflater:
    """gzip or deflate in pieces of bounded size; several gzip members may follow one another."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.inflate = zlib.decompressobj(window)

    @classmethod
    def for_encoding(cls, encoding: str | None) -> "_Inflater | None":
        windows = {"gzip": 31, "x-gzip": 31, "deflate": 15}
        name = (encoding or "identity").strip().lower()
        if name in ("", "identity"):
            return None
        if name not in windows:
            raise Unsupported("The body's Content-Encoding is not known. Send it with gzip, or as it is.")
        return cls(windows[name])

    def feed(self, chunk: bytes) -> "list[bytes] | _Pieces":
        return _Pieces(self, chunk)

    def close(self) -> None:
        """Raises BadRequest if the stream is not at its end."""
        if not self.inflate.eof:
            raise BadRequest("The body ends before its compressed data do: the upload was cut off. Send it again.")


class _Pieces:
    """What a chunk inflates to, a piece at a time, so that a caller who stops has not inflated the rest."""

    def __init__(self, source: _Inflater, chunk: bytes) -> None:
        self.source, self.left = source, chunk

    def __iter__(self) -> "_Pieces":
        return self

    def __next__(self) -> bytes:
        while self.left:
            if self.source.inflate.eof:
                self.source.inflate = zlib.decompressobj(self.source.window)
            try:
                piece = self.source.inflate.decompress(self.left, PIECE)
            except zlib.error:
                raise BadRequest("The body is not what its Content-Encoding says. Send it again.") from None
            self.left = self.source.inflate.unused_data or self.source.inflate.unconsumed_tail
            if piece:
                return piece
        raise StopIteration


class Form:
    """multipart/form-data (RFC 7578) with one file, fed as it arrives; the same however it is cut into pieces."""

    def __init__(self, content_type: str | None, *, field: str) -> None:
        self.field = field
        self.name: str | None = None  # of the file, once its part has begun
        self.data = io.BytesIO()  # gives what it holds without a copy, as a bytearray cannot
        self.ended = False
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._disposition = b""
        self._parser = self._open(content_type)

    def feed(self, piece: bytes) -> None:
        """Raises BadRequest for a broken form, Unprocessable for a field that is not wanted."""
        try:
            self._parser.write(piece)
        except FormParserError:
            raise BadRequest(f"The form cannot be read as multipart/form-data. Send it with {EXAMPLE}.") from None

    def close(self) -> Upload:
        """The file. Raises BadRequest if the form is cut off, Unprocessable if it has no file."""
        if not self.ended:
            raise BadRequest(
                "The form ends before its last boundary: the upload was cut off, or the boundary in Content-Type is "
                f"not the form's. Send it again with {EXAMPLE}."
            )
        if self.name is None:
            raise Unprocessable(f"The form has no field '{self.field}'. Send the table in it: {EXAMPLE}.")
        return Upload(self.name, self.data.getvalue())

    def _open(self, content_type: str | None) -> MultipartParser:
        kind, options = parse_options_header((content_type or "").encode(errors="replace").decode("latin-1"))
        if kind != b"multipart/form-data":
            raise Unsupported(f"The table must come as multipart/form-data, in the field '{self.field}': {EXAMPLE}.")
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise BadRequest(f"Content-Type names no boundary. Let the client write that header: {EXAMPLE}.")
        callbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_end": self._on_end,
        }
        try:
            return MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        except FormParserError:
            raise BadRequest("The boundary in Content-Type is too long.") from None

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _on_header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = bytes(self._header[1])
        self._header = (bytearray(), bytearray())

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition.decode("latin-1"))
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if field != self.field:
            raise Unprocessable(
                f"The form has a field '{shown(field)}'; the table belongs in '{self.field}', and nothing else is "
                f"expected: {EXAMPLE}."
            )
        if self.name is not None:
            raise Unprocessable(f"The form has two files in '{self.field}'. Send one table at a time.")
        self.name = shown(options.get(b"filename", b"").decode("utf-8", "replace")) or "the table"

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.data.write(data[start:end])

    def _on_end(self) -> None:
        self.ended = True


def shown(name: str) -> str:
    """A name that a client gave, as it can be printed: without folders, signs that do not print, and length."""
    last = re.split(r"[/\\]", name)[-1]
    printable = "".join(c for c in last if c.isprintable()).strip()
    return printable if len(printable) <= MOST_NAME else f"{printable[: MOST_NAME - 1]}…"
