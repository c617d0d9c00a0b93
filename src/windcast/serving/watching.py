"""The farms as metrics show them, found anew at each scrape."""

import threading
import time
from dataclasses import replace
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
SCORING = 2.0  # seconds of a scrape; the verdict on 720 issue times × 48 leads × 99 levels took 0.2
NEVER: tuple[float, dict[str, float]] = (float("-inf"), {})


class FarmStates:
    """States of all farms. Scores are kept for a minute or, of many farms, until their turn; the rest is found anew."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.scores: dict[str, tuple[float, dict[str, float]]] = {}
        self.lock = threading.Lock()

    def __call__(self) -> list[FarmState] | None:
        """None where the service is not ready: its store does not answer, or it shuts down."""
        if self.service.closing.is_set():
            return None
        try:
            states = [state for record in self.service.store.farms(limit=100_000) if (state := self._state(record))]
            with self.lock:
                self._score({state.farm: at for state in states if (at := state.latest_issue_time)})
                return [replace(state, scores=self.scores.get(state.farm, NEVER)[1]) for state in states]
        except StoreError:
            return None

    def _state(self, record: FarmRecord) -> FarmState | None:
        """Without its scores; None where the farm has gone in the meantime."""
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
            scores={},
        )

    def _score(self, issued: dict[str, datetime]) -> None:
        """The farms whose scores are the oldest, as many as there is time for and at least one.

        issued: newest issue time by farm.
        """
        began = time.monotonic()
        for farm in sorted(issued, key=lambda farm: self.scores.get(farm, NEVER)[0]):
            if time.monotonic() - self.scores.get(farm, NEVER)[0] < SCORES_KEPT:
                return
            end = issued[farm]
            try:
                scores = verdict(scored(self.service.operator, farm, end - timedelta(days=SCORED_DAYS), end))
            except StoreUnavailable:
                raise
            except (WindcastError, UnknownFarm):
                scores = {}
            self.scores[farm] = time.monotonic(), scores
            if time.monotonic() - began >= SCORING:
                return


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
