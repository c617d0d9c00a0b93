"""windcast: calibrated probabilistic wind power forecasts, leak-proof from backtest to production.

The dozen names that a notebook needs, each imported when first used:

    farm = load("la_haute_borne")                             # a FarmData, or describe your own with load("files", …)
    task = ForecastTask(horizon=48, resolution=farm.resolution, capacity_mw=farm.capacity_mw)
    windows = build_windows(farm, task)                       # what was known at each issue time
    model = build({"name": "gbm"}).fit(windows)
    forecast = model.predict(windows)                         # a Forecast: quantiles, to_frame()
    score(forecast, windows.target).overall
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from windcast.configs import settings
    from windcast.data.farm import FarmData
    from windcast.data.sources import load
    from windcast.data.task import ForecastTask
    from windcast.data.windows import Windows, build_windows
    from windcast.errors import WindcastError
    from windcast.evaluation.backtest import Plan, backtest
    from windcast.evaluation.charts import fan_chart
    from windcast.evaluation.leaderboard import leaderboard
    from windcast.evaluation.scores import score
    from windcast.models.base import build
    from windcast.models.forecast import Forecast
    from windcast.registry.bundles import open_bundle

_HOMES = {
    "FarmData": "data.farm",
    "Forecast": "models.forecast",
    "ForecastTask": "data.task",
    "Plan": "evaluation.backtest",
    "WindcastError": "errors",
    "Windows": "data.windows",
    "backtest": "evaluation.backtest",
    "build": "models.base",
    "build_windows": "data.windows",
    "fan_chart": "evaluation.charts",
    "leaderboard": "evaluation.leaderboard",
    "load": "data.sources",
    "open_bundle": "registry.bundles",
    "score": "evaluation.scores",
    "settings": "configs",
}

__all__ = [
    "FarmData",
    "Forecast",
    "ForecastTask",
    "Plan",
    "WindcastError",
    "Windows",
    "backtest",
    "build",
    "build_windows",
    "fan_chart",
    "leaderboard",
    "load",
    "open_bundle",
    "score",
    "settings",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'windcast' has no attribute '{name}'")
    return getattr(import_module(f"windcast.{_HOMES[name]}"), name)
