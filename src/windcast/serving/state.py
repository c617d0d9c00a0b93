"""What the routes of one service share."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Annotated, cast

from fastapi import Depends, Request

from windcast.serving.issuing import Issuer
from windcast.serving.metrics import Metrics
from windcast.serving.operating import Operator
from windcast.serving.settings import ServiceSettings
from windcast.serving.shelf import Shelf
from windcast.serving.store import Store


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, eq=False)
class Service:
    settings: ServiceSettings
    shelf: Shelf
    store: Store
    operator: Operator
    metrics: Metrics
    issuer: Issuer
    now: Callable[[], datetime] = field(default=utc_now)
    closing: Event = field(default_factory=Event)
    files: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, thread_name_prefix="files"))


def of(request: Request) -> Service:
    return cast(Service, request.app.state.service)


Shared = Annotated[Service, Depends(of)]
