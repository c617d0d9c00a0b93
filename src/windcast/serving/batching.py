"""Forecasts asked for at the same time are computed together: a model's costs are mostly by call, not by issue time.

What has arrived by the time the model is free makes up the next batch; nobody waits for a clock. Large batches compute
in a worker thread.
"""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from windcast.data.windows import Windows
from windcast.models.calibration import Calibrated
from windcast.models.forecast import Forecast
from windcast.registry.bundles import Bundle

MOST = 512  # issue times in a batch
ROUNDS = 4  # of the event loop, between a request's first byte and its question
AT_ONCE = 32  # issue times that take less time than it costs two threads to take turns


class Batcher:
    """One bundle's queue. Each caller gets the same bits as if it had been alone."""

    def __init__(self, bundle: Bundle, worker: ThreadPoolExecutor) -> None:
        self.forecaster = bundle.forecaster
        self.worker = worker
        self.waiting: deque[tuple[Windows, asyncio.Future[Forecast]]] = deque()
        self.running: asyncio.Task[None] | None = None

    async def forecast(self, windows: Windows) -> Forecast:
        """Of one caller's issue times. With several of them, calibration learns from one to the next.

        Raises TaskError if the windows do not fit the model.
        """
        self.forecaster.check(windows)
        answer: asyncio.Future[Forecast] = asyncio.get_running_loop().create_future()
        self.waiting.append((windows, answer))
        if self.running is None or self.running.done():
            self.running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self.waiting:
            await self._gathered()
            batch = self._next()
            asked = [windows for windows, _ in batch]
            try:
                if sum(map(len, asked)) <= AT_ONCE:
                    forecasts = self.together(asked)
                else:
                    loop = asyncio.get_running_loop()
                    forecasts = await loop.run_in_executor(self.worker, self.together, asked)
            except Exception as error:  # whoever asked gets it
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, answer), forecast in zip(batch, forecasts, strict=True):
                if not answer.done():
                    answer.set_result(forecast)

    async def _gathered(self) -> None:
        """Until a few rounds of the event loop have brought no further question: those under way are then here."""
        before = 0
        while before < len(self.waiting) < MOST:
            before = len(self.waiting)
            for _ in range(ROUNDS):
                await asyncio.sleep(0)

    def _next(self) -> list[tuple[Windows, asyncio.Future[Forecast]]]:
        batch = [self.waiting.popleft()]
        count = len(batch[0][0])
        while self.waiting and count + len(self.waiting[0][0]) <= MOST:
            batch.append(self.waiting.popleft())
            count += len(batch[-1][0])
        return batch

    def together(self, asked: list[Windows]) -> list[Forecast]:
        """The forecasts of several callers, from one call of the model."""
        model = self.forecaster
        joined = asked[0] if len(asked) == 1 else Windows.concatenate(asked)
        ends = np.cumsum([len(windows) for windows in asked]).tolist()
        rows = [slice(end - len(windows), end) for end, windows in zip(ends, asked, strict=True)]
        if not isinstance(model, Calibrated):
            forecast = model.predict(joined)
            return [forecast.take(part) for part in rows]
        inner = model.model.predict(joined)
        if all(len(windows) == 1 for windows in asked):
            applied = model.apply(inner)
            return [applied.take(part) for part in rows]
        return [model.calibrate(inner.take(part), windows)[0] for part, windows in zip(rows, asked, strict=True)]
