"""The degradation ladder: how good a model is on every rung, measured by taking its inputs away on purpose."""

import numpy as np

from windcast.data.windows import Windows, build_windows
from windcast.evaluation.backtest import Backtest
from windcast.evaluation.scores import crps
from windcast.models.base import Forecaster
from windcast.models.calibration import Calibrated
from windcast.models.forecast import Rung

MOST = 500  # issue times, spread evenly
WITHOUT = (
    lambda windows: windows,
    Windows.with_earlier_run,
    Windows.without_weather,
    Windows.without_power,
    lambda windows: windows.without_power().without_weather(),
)

Ladder = dict[str, list[float | None]]


def ladder(backtest: Backtest, model: str) -> Ladder:
    """CRPS by rung name and lead [H], a fraction of capacity; None where no forecast of the rung could be scored.

    From the last fold, whose issue times the fitted model has not learned from.
    """
    issued = backtest.folds[-1].issue_times
    chosen = issued[np.linspace(0, len(issued) - 1, min(MOST, len(issued))).astype(int)]
    windows = build_windows(backtest.farm, backtest.task, chosen)
    return measured(_as_fitted(backtest.fitted[model]), windows)


def measured(forecaster: Forecaster, windows: Windows) -> Ladder:
    """As `ladder`, of any forecaster on windows with targets."""
    total = np.zeros((len(Rung), windows.task.horizon))
    count = np.zeros_like(total)
    for take in WITHOUT:
        forecast = forecaster.predict(take(windows).without_target())
        error = crps(forecast, windows.target)
        for rung in Rung:
            counts = (forecast.rung == rung) & np.isfinite(error)
            total[rung] += np.where(counts, error, 0).sum(axis=0)
            count[rung] += counts.sum(axis=0)
    return {
        rung.name.lower(): [
            round(float(t / c), 6) if c else None for t, c in zip(total[rung], count[rung], strict=True)
        ]
        for rung in Rung
    }


def _as_fitted(forecaster: Forecaster) -> Forecaster:
    """Calibration as it stood before the backtest, which it has learned from since."""
    if isinstance(forecaster, Calibrated):
        return Calibrated.around(forecaster.model, forecaster.config)
    return forecaster
