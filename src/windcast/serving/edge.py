"""The outermost layer of every request: its id, its log line, its metrics, and the headers of its answer."""

import logging
import re
import secrets
import time
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from windcast.serving.metrics import Metrics
from windcast.serving.problems import problem

access = logging.getLogger("windcast.access")
log = logging.getLogger("windcast.service")

ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
GONE = 499  # for the log: the client went away before it had an answer
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT")
QUIET = ("/health", "/ready", "/metrics")  # logged only when something is wrong
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
DOCS = PAGE.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")  # what Swagger UI writes
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Edge:
    """ASGI middleware. What nobody foresaw becomes a 500 that names the request id and nothing of the inside."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = _given_id(scope) or secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _dress(message, scope["path"], request_id)
            await send(message)

        self.metrics.in_flight.inc()
        try:
            await self.app(scope, receive, sending)
        except ClientDisconnect:
            status = GONE
        except Exception:
            log.exception("unforeseen error", extra={"request_id": request_id, "path": scope["path"][:200]})
            if status:
                raise  # half an answer is out: the connection must break
            said = f"something went wrong inside; it is logged under request id {request_id}."
            await problem(Request(scope), 500, said)(scope, receive, sending)
        finally:
            self.metrics.in_flight.dec()
            self._account(scope, status, time.perf_counter() - began, request_id)

    def _account(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route: str = getattr(scope.get("route"), "path", "") or ("/page" if status < 400 else "none")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.metrics.requests.labels(method, route, status).inc()
        self.metrics.latency.labels(route).observe(seconds)
        if scope["path"].removeprefix(scope.get("root_path", "")) in QUIET and status < 400:
            return
        client = scope.get("client")
        fields: dict[str, Any] = {
            "request_id": request_id,
            "method": scope["method"],
            "path": scope["path"][:200],
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 2),
            "client": client[0] if client else None,
        }
        key = scope.get("state", {}).get("key")
        if key is not None:
            fields["key"] = key.name
        access.info("request", extra=fields)


def _given_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if ID.fullmatch(text) else None
    return None


def _dress(message: Message, path: str, request_id: str) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in HEADERS.items():
        headers[name] = value
    headers["X-Request-ID"] = request_id
    headers["Content-Security-Policy"] = DOCS if path.rstrip("/").endswith("/docs") else PAGE
    if "cache-control" not in headers:
        headers["Cache-Control"] = "no-store"
