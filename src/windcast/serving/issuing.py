"""Forecasts issued when values arrive, and by the clock. What a crash leaves undone is done at the next start."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from starlette.concurrency import run_in_threadpool

from windcast.errors import WindcastError
from windcast.registry.production import floor
from windcast.serving.metrics import Metrics
from windcast.serving.operating import Operator, due
from windcast.serving.store import FarmRecord, StoredForecast, StoreUnavailable

log = logging.getLogger("windcast.issuing")
TICK = 1.0  # seconds between looks at the clock
REFRESH = 30.0  # seconds between looks at which farms there are
MOST_LISTED = 100_000


class Issuer:
    """Two tasks: one issues for farms in the queue, one puts farms into it when their time has come.

    again: farms for which the store was away or full, with their issue times.
    """

    def __init__(self, operator: Operator, metrics: Metrics, now: Callable[[], datetime]) -> None:
        self.operator, self.metrics, self.now = operator, metrics, now
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.closing = asyncio.Event()
        self.waiting: dict[str, datetime | None] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.again: dict[str, datetime | None] = {}
        self.farms: list[FarmRecord] = []
        self.listed = float("-inf")

    async def start(self) -> None:
        """Also issues for farms that took in values that no forecast has seen."""
        self.tasks = [asyncio.create_task(self._issue_queued()), asyncio.create_task(self._watch_clock())]
        for name in await run_in_threadpool(self.operator.store.pending):
            record = await run_in_threadpool(self.operator.store.farm, name)
            if record.issue_on_arrival and record.revision:
                self._enqueue(name, await run_in_threadpool(self._newest, record))

    async def stop(self) -> None:
        """After the forecast that is being made. What still waits is found again by `start`."""
        self.closing.set()
        self.queue.put_nowait(None)
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def refresh(self) -> None:
        """Which farms issue by the clock is looked up at the next tick."""
        self.listed = float("-inf")

    async def arrived(self, record: FarmRecord, known_at: datetime) -> None:
        """Issue for a farm soon: for the newest issue time, however long the values have been known.

        known_at: when the newest of them became known.
        """
        issue = floor(self.now(), record.resolution)
        if known_at - issue <= record.grace:  # else it counts from the next issue time on
            self._enqueue(record.name, issue)

    def _newest(self, record: FarmRecord) -> datetime | None:
        """The issue time of the newest power, weather or forecast: no forecast of a later one is out of date."""
        store, now = self.operator.store, self.now()
        known = [*store.newest(record.name), *(one.issue_time for one in store.forecasts(record.name, limit=1))]
        return max((floor(min(time, now), record.resolution) for time in known if time is not None), default=None)

    def _enqueue(self, name: str, issue: datetime | None) -> None:
        if name not in self.waiting:
            self.queue.put_nowait(name)
            self.waiting[name] = issue
        elif issue is not None:
            held = self.waiting[name]
            self.waiting[name] = issue if held is None else max(held, issue)

    async def _issue_queued(self) -> None:
        while (name := await self.queue.get()) is not None and not self.closing.is_set():
            await run_in_threadpool(self.issue, name, self.waiting.pop(name, None))

    def issue(self, name: str, issue: datetime | None) -> StoredForecast | None:
        """None, and a line in the log, where it failed."""
        try:
            stored = self.operator.issue(name, issue, now=self.now())
        except WindcastError as error:
            self.metrics.failed.labels(name).inc()
            if isinstance(error, StoreUnavailable):
                self.again[name] = issue  # at the next tick
            log.warning("not issued", extra={"farm": name, "reason": str(error)})
            return None
        except Exception:
            self.metrics.failed.labels(name).inc()
            log.exception("not issued", extra={"farm": name})
            return None
        self.account(stored)
        return stored

    def account(self, stored: StoredForecast) -> None:
        rung = stored.document["inputs"]["rung"]
        self.metrics.issued.labels(stored.farm, rung).inc()
        fields = {"farm": stored.farm, "issue_time": stored.issue_time.isoformat(), "rung": rung, "id": stored.id}
        log.info("issued", extra=fields)

    async def _watch_clock(self) -> None:
        done: dict[str, datetime] = {}
        clock = asyncio.get_running_loop().time
        while not self.closing.is_set():
            try:
                if clock() - self.listed > REFRESH:
                    self.farms = await run_in_threadpool(self.operator.store.farms, limit=MOST_LISTED)
                    self.listed = clock()
                for record in self.farms:
                    at = due(record, self.now())
                    if at is not None and done.setdefault(record.name, at - timedelta(1)) < at:
                        done[record.name] = at
                        self._enqueue(record.name, floor(at, record.resolution))
            except WindcastError as error:
                log.warning("clock", extra={"reason": str(error)})
            for name in list(self.again):
                self._enqueue(name, self.again.pop(name))
            with suppress(TimeoutError):
                await asyncio.wait_for(self.closing.wait(), TICK)
