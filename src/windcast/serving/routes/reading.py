"""What many routes need of a request: its body, its times, its cursor."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Query, Request, Response
from starlette.concurrency import run_in_threadpool

from windcast.serving import bodies, uploads
from windcast.serving.documents import dumps
from windcast.serving.keys import Key
from windcast.serving.problems import Unprocessable
from windcast.serving.shelf import Shelf
from windcast.serving.state import Service
from windcast.serving.store import UnknownFarm

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"  # what a database can hold and a log can show

Limit = Annotated[int, Query(ge=1, le=1000, description="Items of a page.")]
Cursor = Annotated[str | None, Query(max_length=200, pattern=PRINTABLE, description="From `next` of the page before.")]
Levels = Annotated[str | None, Query(max_length=2000, examples=["0.05,0.5,0.95"], description="Quantile levels.")]
At = Annotated[str | None, Query(max_length=40, description="Such as 2026-07-01T06:00:00Z.")]


async def read(request: Request, service: Service) -> bytes:
    """The body, unpacked, up to the service's limit. Raises TooLarge, Unsupported or BadRequest."""
    return await uploads.read_body(
        request.stream(),
        most_bytes=service.settings.most_bytes,
        content_encoding=request.headers.get("content-encoding"),
        content_length=request.headers.get("content-length"),
    )


async def shelf_of(service: Service, key: Key | None) -> Shelf:
    """The bundles that a key may know of: those trained on its farms, and those that forecast them."""
    if key is None or key.everywhere:
        return service.shelf
    names = {name for name, served in service.shelf.served.items() if served.farm in key.farms}
    for farm in key.farms:
        with suppress(UnknownFarm):
            names.add((await run_in_threadpool(service.store.farm, farm)).bundle)
    return service.shelf.part(names)


def time_of(text: str | None, name: str) -> datetime | None:
    """Raises Unprocessable if the text is no time."""
    return None if text is None else bodies.moment(text, name)


def span(start: str | None, end: str | None, *, last: datetime, days: float) -> tuple[datetime, datetime]:
    """(start, end] from a query: by default the `days` up to `last`. Raises Unprocessable if it is empty."""
    until = time_of(end, "end") or last
    since = time_of(start, "start") or until - timedelta(days=days)
    if since >= until:
        raise Unprocessable(f"start {since:%Y-%m-%d %H:%M} is not before end {until:%Y-%m-%d %H:%M} UTC.")
    return since, until


def whole(text: str | None, name: str) -> int | None:
    """Raises Unprocessable if the cursor is not one that was given."""
    if text is not None and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Unprocessable(f"{name} '{text[:40]}' is none that a page gave. Follow `next` of the page before.")
    return None if text is None else int(text)


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(dumps(value), status, headers, "application/json")


def following(request: Request, cursor: str | None) -> str | None:
    """The address of the next page."""
    if cursor is None:
        return None
    url = request.url.include_query_params(cursor=cursor)
    return f"{url.path}?{url.query}"
