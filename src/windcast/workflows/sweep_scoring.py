"""What a trial of a sweep is judged by: the CRPS on a validation span that lies wholly before the test span."""

import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windcast.configs import Settings
from windcast.data.farm import FarmData
from windcast.data.windows import Windows, build_windows
from windcast.errors import ConfigError, TaskError
from windcast.evaluation.backtest import Plan, issue_times, training_windows
from windcast.evaluation.scores import crps
from windcast.models.base import Forecaster, build
from windcast.models.deep.watching import watched
from windcast.models.patchtst import PatchTST

HALFWAY = 512  # issue times, evenly from the validation span, on which a network is judged after an epoch


@dataclass(frozen=True)
class Spans:
    """UTC. Models learn what was known at `validated_from`, and are scored on issue times from there on whose targets
    end by `tuned_until`, where the test span begins.
    """

    learned_from: datetime
    validated_from: datetime
    tuned_until: datetime

    @classmethod
    def of(cls, farm: FarmData, plan: Plan, *, share: float) -> "Spans":
        """The last `share` of what lies before the test is for validation, whole days where that is more than one."""
        first = max(plan.train_from or farm.start, farm.start)
        if not first < plan.start <= farm.end + farm.resolution:
            raise ConfigError(
                f"backtest.start is {plan.start:%Y-%m-%d %H:%M}; a sweep needs data before it, and {farm.name} has them"
                f" from {first:%Y-%m-%d} to {farm.end:%Y-%m-%d}."
            )
        length = share * (plan.start - first)
        if length > timedelta(days=1):
            length = timedelta(days=length // timedelta(days=1))
        step = farm.resolution
        return cls(first, plan.start - max(length // step, 1) * step, plan.start)

    def to_dict(self) -> dict[str, str]:
        return {name: getattr(self, name).isoformat() for name in ("learned_from", "validated_from", "tuned_until")}


@dataclass
class Course:
    """Scores configurations that differ from `document` in some keys, all on the same windows.

    farm: as it was known where the test span begins, which is all that this sees of it. threads: for models that were
    given none (0), where several processes share the cores.
    """

    farm: FarmData
    document: dict[str, Any]
    spans: Spans
    threads: int = 0
    windows: dict[str, tuple[Windows, Windows]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, *, share: float, processes: int = 1) -> "Course":
        farm = settings.farm()
        spans = Spans.of(farm, settings.plan(farm), share=share)
        threads = max(1, (os.cpu_count() or 1) // processes) if processes > 1 else 0
        return cls(farm.known_until(spans.tuned_until), settings.document, spans, threads)

    def score(self, values: Mapping[str, Any], report: Callable[[int, float], None]) -> float:
        """Mean CRPS, a share of capacity, with these values by key. report(epoch, score) as a network learns.

        Raises what the model says where it refuses the values.
        """
        settings = Settings(with_values(self.document, values))
        lessons, ahead = self._windows(settings)
        calibrated = any(key.startswith("calibration.") for key in values)
        config = settings.forecaster() if calibrated else settings.document["model"]
        forecaster = build(_with_threads(config, self.threads))
        with watched(_Halfway(forecaster, ahead, report)):
            forecaster.fit(lessons)
        forecast, _ = forecaster.step(ahead.without_target())
        return _mean(crps(forecast, ahead.target))

    def _windows(self, settings: Settings) -> tuple[Windows, Windows]:
        """To learn from, and to be scored on with their targets; made once for all trials of the same task."""
        task, plan = settings.task(self.farm), settings.plan(self.farm)
        key = repr(task)
        if key not in self.windows:
            spans = self.spans
            last = spans.tuned_until - task.horizon * task.resolution
            times = issue_times(spans.validated_from, last, every=plan.issue_every, offset=plan.issue_offset)
            if not len(times):
                raise TaskError(
                    f"no issue time to validate on from {spans.validated_from:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} "
                    "UTC. Raise sweep.validation_share, or move backtest.start."
                )
            ahead = build_windows(self.farm, task, times, truth_known_at=spans.tuned_until)
            lessons = training_windows(self.farm, task, plan, spans.validated_from)
            self.windows[key] = (lessons, ahead)
        return self.windows[key]


class _Halfway:
    """Judges the first network of a training after each of its epochs."""

    def __init__(self, forecaster: Forecaster, ahead: Windows, report: Callable[[int, float], None]) -> None:
        self.forecaster, self.report, self.epoch = forecaster, report, -1
        self.ahead = ahead.take(np.unique(np.linspace(0, len(ahead) - 1, HALFWAY).astype(int)))

    def __call__(self, epoch: int, network: Any) -> None:
        if not isinstance(self.forecaster, PatchTST) or epoch <= self.epoch:
            self.epoch = np.iinfo(int).max  # the networks of further seeds are not judged
            return
        self.epoch = epoch
        forecast = self.forecaster.halfway(network, self.ahead.without_target())
        self.report(epoch, _mean(crps(forecast, self.ahead.target)))


def _mean(scores: NDArray[np.floating]) -> float:
    if np.isnan(scores).all():
        raise TaskError("no power is known in the validation span. Raise sweep.validation_share.")
    return float(np.nanmean(scores))


def with_values(document: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the configuration with some keys set, each of which it has."""
    changed = deepcopy(dict(document))
    for key, value in values.items():
        *above, last = key.split(".")
        node = changed
        for part in above:
            node = node[part]
        node[last] = value
    return changed


def _with_threads(config: Any, threads: int) -> Any:
    """A model's configuration with so many threads wherever it left them open."""
    if not threads or not isinstance(config, Mapping):
        return config
    changed = {key: _with_threads(value, threads) for key, value in config.items()}
    return changed | ({"threads": threads} if changed.get("threads") == 0 else {})
