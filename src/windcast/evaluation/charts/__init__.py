"""Charts of forecasts and scores. Each is a function that returns a matplotlib Figure and touches no global state."""

from windcast.evaluation.charts.calibration import pit_histogram, reliability_diagram
from windcast.evaluation.charts.embed import inline
from windcast.evaluation.charts.fan import fan_chart
from windcast.evaluation.charts.leads import coverage_by_lead, crps_by_lead, skill_by_lead
from windcast.evaluation.charts.weather import power_curve, where_it_fails

__all__ = [
    "coverage_by_lead",
    "crps_by_lead",
    "fan_chart",
    "inline",
    "pit_histogram",
    "power_curve",
    "reliability_diagram",
    "skill_by_lead",
    "where_it_fails",
]
