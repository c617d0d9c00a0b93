"""What a careful analyst looks at before trusting a farm's data: `check` runs every check, `Report` tells it.

Thresholds lie well outside of what 13 real records show (Klim, La Haute Borne hourly and by 10 minutes, ten
GEFCom2014 zones), for an alarm that is often false is not read. Nothing is changed: the report says what
windcast does about each finding, and gives the spells so that a user can act.
"""

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from windcast.data import quality_curve, quality_power, quality_weather
from windcast.data.farm import FarmData
from windcast.data.quality_finding import SEVERITIES, Finding, Severity, percent
from windcast.data.quality_lag import Lags
from windcast.data.quality_record import Record

__all__ = ["Finding", "Report", "Severity", "check"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """Findings, the gravest first, and a summary of the farm.

    record and lags are what the checks looked at, for a plot.
    """

    summary: dict[str, str]
    findings: tuple[Finding, ...]
    record: Record = field(repr=False)
    lags: Lags | None = field(repr=False)

    @property
    def exit_code(self) -> int:
        """0 where nothing is worse than an info, 1 with a warning, 2 with an error."""
        return max((SEVERITIES.index(f.severity) for f in self.findings), default=0)

    def named(self, check: str) -> tuple[Finding, ...]:
        """The findings of one check."""
        return tuple(f for f in self.findings if f.check == check)

    def to_frame(self) -> pl.DataFrame:
        """One row a finding: severity, check, when, how_much, action."""
        columns = ("severity", "check", "when", "how_much", "action")
        rows = [[getattr(f, c) for c in columns] for f in self.findings]
        return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def check(farm: FarmData) -> Report:
    """Every check of a farm's data. Changes and raises nothing."""
    record = Record.of(farm)
    related = record.curve is not None and not record.explained < quality_curve.LEAST_EXPLAINED
    lags = Lags.of(record) if related else None
    held = quality_curve.held_at_a_level(record) if related else np.zeros(len(record.times), bool)
    findings = [
        *quality_power.steps(record),
        *quality_power.gaps(record),
        *quality_power.versions(record),
        *quality_power.held_back(record),
        *quality_power.repairs(record),
        *quality_power.stuck(record, held),
        *quality_power.capacity(record),
        *quality_weather.kind(record),
        *quality_weather.not_checked(record),
        *quality_weather.unit(record),
        *quality_weather.gaps(record),
        *quality_weather.leads(record),
        *quality_curve.relation(record),
    ]
    if lags is not None:
        stamps = quality_weather.stamps(record, lags)
        findings += stamps
        if all(f.severity != "error" for f in stamps):  # else wind and power of different hours would be compared
            findings += [
                *quality_curve.curtailment(record, held),
                *quality_curve.outages(record),
                *quality_curve.icing(record),
                *quality_curve.jump(record),
            ]
    findings.sort(key=lambda f: -SEVERITIES.index(f.severity))
    return Report(summary=_summary(record), findings=tuple(findings), record=record, lags=lags)


def _summary(record: Record) -> dict[str, str]:
    farm = record.farm
    known = record.power[np.isfinite(record.power)]
    days = len(record.times) * record.step_hours / 24
    ranked = sorted(record.winds, key=lambda name: -np.nan_to_num(record.winds[name], nan=-1.0))
    winds = ", ".join(f"{name} {record.winds[name]:.2f}" for name in ranked[:3])
    return {
        "farm": farm.name,
        "span": f"{farm.start:%Y-%m-%d %H:%M} … {farm.end:%Y-%m-%d %H:%M} UTC, {days:,.0f} days",
        "rows": f"{len(record.times):,} steps of {farm.resolution}, {farm.weather.height:,} rows of weather",
        "capacity": f"{farm.capacity_mw:g} MW",
        "capacity factor": f"{known.mean():.3f}",
        "completeness": f"power {percent(len(known) / len(record.power))}, "
        f"wind {percent(float(np.isfinite(record.wind).mean()))}",
        "weather": farm.weather_kind,
        "variables": ", ".join(farm.variables) or "none",
        "rank correlation with power": winds or "no wind",
        "checksum": farm.checksum,
    }
