"""What the service answers when it cannot do what was asked: problem documents (RFC 9457), each with a sentence.

WindcastError
└── ServiceError       knows its HTTP status
    ├── BadRequest     400
    ├── Unauthorised   401
    ├── Forbidden      403
    ├── NotFound       404
    ├── NotAcceptable  406
    ├── Conflict       409
    ├── TooLarge       413
    ├── Unsupported    415
    ├── Unprocessable  422
    ├── TooMany        429
    └── Unavailable    503
"""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import ClassVar

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from windcast.errors import BundleError, WindcastError
from windcast.serving.keys import Key
from windcast.serving.store.errors import StoreError, StoreUnavailable, UnknownFarm, VersionConflict

log = logging.getLogger("windcast.service")
MEDIA_TYPE = "application/problem+json"
LONGEST = 1000  # characters of a sentence


class ServiceError(WindcastError):
    """An answer other than success. `headers` go with it."""

    status: ClassVar[int] = 500

    def __init__(self, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = headers or {}


class BadRequest(ServiceError):
    status = 400


class Unauthorised(ServiceError):
    status = 401


class Forbidden(ServiceError):
    status = 403


class NotFound(ServiceError):
    status = 404


class NotAcceptable(ServiceError):
    status = 406


class Conflict(ServiceError):
    status = 409


class TooLarge(ServiceError):
    status = 413


class Unsupported(ServiceError):
    status = 415


class Unprocessable(ServiceError):
    status = 422


class TooMany(ServiceError):
    status = 429


class Unavailable(ServiceError):
    status = 503


def status_of(error: WindcastError) -> int:
    """A broken bundle or store is the service's fault, a store that is away nobody's, the rest the request's."""
    if isinstance(error, ServiceError):
        return error.status
    known = {UnknownFarm: 404, VersionConflict: 409, StoreUnavailable: 503, StoreError: 500, BundleError: 503}
    return next((status for kind, status in known.items() if isinstance(error, kind)), 422)


def problem(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """The problem document of an answer."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": clean(detail),
        "instance": request.url.path[:200],
        "request_id": request.scope.get("state", {}).get("request_id", ""),
    }
    return Response(orjson.dumps(document), status, headers, MEDIA_TYPE)


def clean(text: str) -> str:
    """One printable line of bounded length: it may quote what a client sent."""
    line = " ".join(text.split()).encode(errors="replace").decode()
    line = "".join(c if c.isprintable() else "·" for c in line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Makes every error of the app a problem document. routes: all that say with which methods they are asked."""

    @app.exception_handler(WindcastError)
    async def expected(request: Request, error: WindcastError) -> Response:
        status = status_of(error)
        headers = dict(error.headers) if isinstance(error, ServiceError) else {}
        if status == 401:
            headers.setdefault("WWW-Authenticate", 'Bearer realm="windcast"')
        if status == 503:
            headers.setdefault("Retry-After", "5")
        return problem(request, status, _told(request, error), headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return problem(request, 422, sentence_of(error))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        known = {404: f"nothing is at {request.url.path}. The API is described at /docs."}
        if error.status_code == 405:
            known[405] = f"{request.method} is not possible at {request.url.path}. The API is described at /docs."
        detail = known.get(error.status_code, str(error.detail))
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(request, routes)) or headers.get("Allow", "")
        return problem(request, error.status_code, detail, headers)


def _methods(request: Request, routes: Sequence[BaseRoute]) -> list[str]:
    """Of every route at the address: the first that matches knows only its own."""
    here = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in here for method in getattr(route, "methods", None) or ()})


def _told(request: Request, error: WindcastError) -> str:
    """What a client may know of an error: not where the database is, and not which farms others have."""
    if isinstance(error, UnknownFarm):
        key: Key | None = getattr(request.state, "key", None)
        return str(error) if key is None or key.everywhere else "unknown farm. PUT it first."
    if not isinstance(error, StoreError) or isinstance(error, VersionConflict):
        return str(error)
    log.error("store", extra={"request_id": request.scope.get("state", {}).get("request_id"), "reason": str(error)})
    if isinstance(error, StoreUnavailable):
        return "the store does not take the call at the moment; it may be away, full or busy. Send it again later."
    return "the store is broken. Its reason is in the service's log."


def sentence_of(error: RequestValidationError) -> str:
    """The first thing that is wrong with a request, where, and how many more there are."""
    found = error.errors()
    first = found[0]
    place = ".".join(str(part) for part in first["loc"][:8])
    more = f" ({len(found) - 1} more like it.)" if len(found) > 1 else ""
    return f"{place}: {first['msg']}. See /docs for what is expected.{more}"
