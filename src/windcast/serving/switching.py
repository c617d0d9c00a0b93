"""A moved alias followed: the champion's pointer is looked at every second, its bundle opened, and then served."""

import asyncio
import logging

from starlette.concurrency import run_in_threadpool

from windcast.errors import WindcastError
from windcast.registry import pointer
from windcast.registry.pointer import Pointer
from windcast.serving.metrics import Metrics
from windcast.serving.shelf import CHAMPION, Shelf

log = logging.getLogger("windcast.switching")
LOOK = 1.0  # seconds between looks at the pointers
RETRY = 30  # looks, until a bundle that could not be opened is tried again


async def follow(shelf: Shelf, metrics: Metrics) -> None:
    """Until cancelled. What cannot be opened is logged, and the bundle before it stays; requests never wait for it."""
    failed: dict[str, tuple[Pointer | None, int]] = {}
    while shelf.pointed:
        await asyncio.sleep(LOOK)
        for farm in list(shelf.pointed):
            before, left = failed.get(farm, (None, 0))
            found: Pointer | None = None
            try:
                found = await run_in_threadpool(pointer.read, shelf.registry, farm)
                if found == shelf.pointed[farm] or (found == before and left):
                    if found == before:
                        failed[farm] = found, left - 1
                    continue
                served = await run_in_threadpool(shelf.follow, found)
            except (WindcastError, OSError) as error:
                if farm not in failed or found != before or not left:
                    metrics.switched.labels(f"{farm}{CHAMPION}", "failed").inc()
                    log.warning("not switched", extra={"farm": farm, "reason": str(error)})
                    failed[farm] = found, RETRY
                else:
                    failed[farm] = found, left - 1
                continue
            failed.pop(farm, None)
            metrics.serves(served)
            metrics.switched.labels(served.name, "followed").inc()
            log.info("switched", extra={"bundle": served.name, "version": found.version, "checksum": served.checksum})
