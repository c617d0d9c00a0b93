"""Forecasts asked for at the same time are computed together: a model's costs are mostly by call, not by issue time.

What has arrived by the time the model is free makes up the next batch; nobody waits for a clock. Large batches compute
in a worker thread.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, Self

import numpy as np

from windcast.data.windows import Windows
from windcast.errors import WindcastError
from windcast.models.calibration import Calibrated
from windcast.models.forecast import Forecast
from windcast.registry.bundles import Bundle

MOST = 2048  # issue times in a batch
ROUNDS = 4  # of the event loop, between a request's first byte and its question
AT_ONCE = 32  # issue times that take less time than it costs two threads to take turns


class Asked(Protocol):
    """What a batch is made of. Its length is its number of issue times."""

    def __len__(self) -> int: ...

    @classmethod
    def windows(cls, asked: Sequence[Self]) -> list[Windows | WindcastError]:
        """What was known, of all that are asked together; in the place of one that is refused, why."""


Answer = tuple[Windows, Forecast]


class Batcher:
    """One bundle's queue. Each caller gets the same bits as if it had been alone."""

    def __init__(self, bundle: Bundle, worker: ThreadPoolExecutor) -> None:
        self.forecaster = bundle.forecaster
        self.worker = worker
        self.waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self.running: asyncio.Task[None] | None = None

    async def forecast(self, asked: Asked) -> Answer:
        """For one caller's issue times. With several of them, calibration learns from one to the next.

        Raises WindcastError where the question is refused.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.waiting.append((asked, answer))
        if self.running is None or self.running.done():
            self.running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self.waiting:
            await self._gathered()
            batch = self._next()
            asked = [question for question, _ in batch]
            answers: Sequence[Answer | Exception]
            try:
                if sum(map(len, asked)) <= AT_ONCE:
                    answers = self.together(asked)
                else:
                    loop = asyncio.get_running_loop()
                    answers = await loop.run_in_executor(self.worker, self.together, asked)
            except Exception as error:  # whoever asked gets it
                answers = [error] * len(batch)
            for (_, answer), found in zip(batch, answers, strict=True):
                if answer.done():
                    continue
                if isinstance(found, Exception):
                    answer.set_exception(found)
                else:
                    answer.set_result(found)

    async def _gathered(self) -> None:
        """Until a few rounds of the event loop have brought no further question: those under way are then here."""
        before = 0
        while before < len(self.waiting) < MOST:
            before = len(self.waiting)
            for _ in range(ROUNDS):
                await asyncio.sleep(0)

    def _next(self) -> list[tuple[Asked, asyncio.Future[Answer]]]:
        batch = [self.waiting.popleft()]
        count = len(batch[0][0])
        while self.waiting and count + len(self.waiting[0][0]) <= MOST:
            batch.append(self.waiting.popleft())
            count += len(batch[-1][0])
        return batch

    def together(self, asked: Sequence[Asked]) -> list[Answer | WindcastError]:
        """The forecasts of several callers, from one call of the model; in the place of one that is refused, why."""
        found = type(asked[0]).windows(asked)
        forecasts: dict[int, Forecast] = {}
        for reanalysis in (False, True):  # which a forecast says of itself
            alike = {k: w for k, w in enumerate(found) if isinstance(w, Windows) and w.reanalysis == reanalysis}
            if alike:
                forecasts |= dict(zip(alike, self.forecasts_of(list(alike.values())), strict=True))
        return [(one, forecasts[k]) if isinstance(one, Windows) else one for k, one in enumerate(found)]

    def forecasts_of(self, several: list[Windows]) -> list[Forecast]:
        model = self.forecaster
        joined = several[0] if len(several) == 1 else Windows.concatenate(several)
        ends = np.cumsum([len(windows) for windows in several]).tolist()
        rows = [slice(end - len(windows), end) for end, windows in zip(ends, several, strict=True)]
        if not isinstance(model, Calibrated):
            forecast = model.predict(joined)
            return [forecast.take(part) for part in rows]
        inner = model.model.predict(joined)
        if all(len(windows) == 1 for windows in several):
            applied = model.apply(inner)
            return [applied.take(part) for part in rows]
        return [model.calibrate(inner.take(part), windows)[0] for part, windows in zip(rows, several, strict=True)]
