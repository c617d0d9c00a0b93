"""The service: everything put together, started and stopped."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from importlib.metadata import version
from types import FrameType
from typing import Any

import fastapi
import uvicorn

from windcast.serving import examples, problems
from windcast.serving.edge import Edge
from windcast.serving.guards import Allowance
from windcast.serving.issuing import Issuer
from windcast.serving.keys import Keys
from windcast.serving.listening import listen
from windcast.serving.logs import set_up
from windcast.serving.metrics import Metrics
from windcast.serving.operating import Operator
from windcast.serving.routes import asking, farms, outside, predict
from windcast.serving.schemas import FarmSettings, Problem
from windcast.serving.settings import ServiceSettings
from windcast.serving.shelf import Shelf
from windcast.serving.state import Service, utc_now
from windcast.serving.store import Store
from windcast.serving.switching import follow
from windcast.serving.watching import FarmStates
from windcast.serving.wire import Wire

log = logging.getLogger("windcast.service")

DESCRIPTION = """
Calibrated probabilistic wind power forecasts. Power is in MW, mean over an interval; times are UTC.
`POST /predict` with a CSV answers with a picture; everything else is below `/v1`.
"""


def open_service(settings: ServiceSettings, *, now: Callable[[], datetime] = utc_now) -> Service:
    """Bundles, store and what works on them. Raises BundleError or StoreError where one cannot be opened."""
    shelf = Shelf(settings.bundles, champions=settings.champions, registry=settings.registry)
    store = Store.open(settings.store)
    operator = Operator(store, shelf)
    operator.register()
    metrics = Metrics()
    for served in shelf.served.values():
        metrics.serves(served)
    service = Service(settings, shelf, store, operator, metrics, Issuer(operator, metrics, now), now)
    metrics.watch(FarmStates(service), now)
    return service


def create_app(service: Service) -> fastapi.FastAPI:
    """The ASGI application of an opened service."""

    @asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
        await service.issuer.start()
        following = asyncio.create_task(follow(service.shelf, service.metrics))
        log.info("ready", extra={"bundles": sorted(service.shelf.served), "version": version("windcast")})
        yield
        service.closing.set()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await service.issuer.stop()
        service.files.shutdown()
        service.shelf.worker.shutdown()
        await asyncio.to_thread(service.store.close)
        log.info("stopped")

    app = fastapi.FastAPI(
        title="windcast",
        description=DESCRIPTION,
        version=version("windcast"),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    app.state.service = service
    app.state.keys = None if service.settings.keys is None else Keys(service.settings.keys)
    app.state.allowance = Allowance(service.settings.rate, service.settings.burst)
    parts = (predict, asking, farms, outside)
    problems.install(app, [route for part in parts for route in part.router.routes])
    for part in parts:
        app.include_router(part.router)
    outside.mount(app)
    for route in app.router.routes:  # FastAPI makes them when they are first looked through: not at a client's cost
        route.matches({"type": "http", "method": "GET", "path": "/", "headers": []})
    app.add_middleware(Edge, metrics=service.metrics)
    _describe(app, service)
    return app


def serve(
    service: Service,
    *,
    taken: socket.socket | None = None,
    on_ready: Callable[[str], None] = lambda _: None,
    on_start: Callable[[uvicorn.Server], None] = lambda _: None,
) -> None:
    """Serves until it is told to stop; requests under way are finished first.

    taken: the socket of the address, if `listening.listen` has taken it before. on_start: called with the server,
    whose `should_exit` stops it. on_ready: called with the address. Raises ConfigError if the address cannot be had.
    """
    settings = service.settings
    taken = taken or listen(settings)
    set_up(settings.log_level)
    config = uvicorn.Config(
        create_app(service),
        log_config=None,
        access_log=False,
        root_path=settings.root_path.rstrip("/"),
        server_header=False,
        timeout_graceful_shutdown=30,
        limit_concurrency=1000,
        http=Wire,
        ws="none",
    )
    server = _Server(config, partial(on_ready, _address(settings, taken)), service.closing.set)
    on_start(server)
    server.run(sockets=[taken])


def _address(settings: ServiceSettings, taken: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{taken.getsockname()[1]}{settings.root_path.rstrip('/')}/"


class _Server(uvicorn.Server):
    """Says when it answers, and when it is told to stop. Being told to is no failure: it exits with 0."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self.on_ready, self.on_stop = on_ready, on_stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.on_stop()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()  # which would be raised again

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_ready()


def _describe(app: fastapi.FastAPI, service: Service) -> None:
    """The description of this service, with its problem documents in place of FastAPI's own.

    Where it wants no keys, none are described, and there are examples that it answers: they name its farm and bundle.
    """
    original = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = original()
            parts = schema["components"]["schemas"]
            for kind in (Problem, FarmSettings):
                parts[kind.__name__] = kind.model_json_schema()
            for name in ("HTTPValidationError", "ValidationError"):
                parts.pop(name, None)
            if service.settings.keys is None:
                _without_keys(schema)
                examples.put(schema, next(iter(service.shelf.served.values())), service.now())
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _without_keys(schema: dict[str, Any]) -> None:
    schema["components"].pop("securitySchemes", None)
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
            for status in ("401", "403"):
                operation["responses"].pop(status, None)
