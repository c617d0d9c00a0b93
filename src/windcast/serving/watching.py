"""The farms as metrics show them, found anew at each scrape."""

import threading
import time
from datetime import datetime, timedelta

import numpy as np

from windcast.errors import WindcastError
from windcast.models.forecast import RECENT, Rung
from windcast.serving.metrics import FarmState
from windcast.serving.scoring import scored
from windcast.serving.shelf import Served
from windcast.serving.state import Service
from windcast.serving.store import FarmRecord, ForecastEntry, StoreError, StoreUnavailable, UnknownFarm
from windcast.serving.verdict import verdict

SCORED_DAYS = 30
SCORES_KEPT = 60.0  # seconds


class FarmStates:
    """States of all farms. Scores are kept for a minute, the rest is found anew."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.scores: dict[str, tuple[float, dict[str, float]]] = {}
        self.lock = threading.Lock()

    def __call__(self) -> list[FarmState] | None:
        """None where the service is not ready: its store does not answer, or it shuts down."""
        if self.service.closing.is_set():
            return None
        try:
            return [state for record in self.service.store.farms(limit=100_000) if (state := self._state(record))]
        except StoreError:
            return None

    def _state(self, record: FarmRecord) -> FarmState | None:
        """None where the farm has gone in the meantime."""
        try:
            power, weather = self.service.operator.newest(record)
            newest = self.service.store.forecasts(record.name, limit=1)
        except UnknownFarm:
            return None
        served = self.service.shelf.served.get(record.bundle)
        return FarmState(
            farm=record.name,
            newest={"power": power, "weather": weather},
            late_after={} if served is None else late_after(served),
            latest_issue_time=newest[0].issue_time if newest else None,
            rung=middle_rung(newest[0]) if newest else None,
            scores=self._scores(record.name, newest[0].issue_time) if newest else {},
        )

    def _scores(self, farm: str, issued: datetime) -> dict[str, float]:
        with self.lock:
            at, scores = self.scores.get(farm, (-SCORES_KEPT, {}))
            if time.monotonic() - at < SCORES_KEPT:
                return scores
            try:
                scores = verdict(scored(self.service.operator, farm, issued - timedelta(days=SCORED_DAYS), issued))
            except StoreUnavailable:
                raise
            except (WindcastError, UnknownFarm):
                scores = {}
            self.scores[farm] = time.monotonic(), scores
            return scores


def late_after(served: Served) -> dict[str, timedelta]:
    """Ages from which the farm's model counts an input as late, by what it saw in training.

    power: a forecast issued at that age has no recent power any more. weather: the greatest age of the newest run
    before the next one arrives, a step above the greatest at an issue time. Left out for an input that the model does
    without.
    """
    forecaster = served.bundle.forecaster
    found = {}
    if forecaster.task.history:
        found["power"] = (forecaster.usual_lag + RECENT) * forecaster.task.resolution
    ages = forecaster.usual_age[forecaster.usual_age > 0]
    if forecaster.variables and len(ages):
        newest = timedelta(hours=float(np.min(ages)))  # of the leads that the newest run serves
        found["weather"] = newest + forecaster.task.resolution
    return found


def middle_rung(entry: ForecastEntry) -> Rung:
    """The rung on which half of the leads or more stand at worst: a run that ends early does not lower it."""
    rungs = sorted(Rung[name.upper()] for name in entry.document["inputs"]["rungs"])
    return rungs[(len(rungs) - 1) // 2]
