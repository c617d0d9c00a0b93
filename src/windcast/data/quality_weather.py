"""Quality checks of the weather: its kind, unit and gaps, what is known how far ahead, and its stamps."""

from itertools import pairwise

import numpy as np

from windcast.data.quality_finding import Finding, Severity, hours_of, percent, spans_of, when_of
from windcast.data.quality_lag import Lags
from windcast.data.quality_power import MUCH_MISSING, TOO_MUCH_MISSING
from windcast.data.quality_record import Array, Record

# Mean wind, m/s: 5.9 to 8.4 in the 13 real records; in km/h or knots it would be 3.6 or 1.9 times that.
MEAN_WIND = (2.0, 14.0)
# a lead that this share of issue times or more can see is complete; GEFCom2014 and Klim have 96 % and more
COMPLETE = 0.95
# Hours between the lag found and the one expected: up to 0.35 on La Haute Borne and GEFCom2014, 0.85 on Klim
LAG = 0.75
# no weather model is wrong by that much all year long: the stamps are
WRONG_LAG = 1.5
LAG_ERRORS = 3.0
# below this correlation the peak is too flat to read
READABLE = 0.5
# day and night differ by up to 0.94 h on the real farms: weather models misplace the daily cycle
DAY_NIGHT = 1.5
# Lag of summer less that of winter near the clock changes: −0.70 to 0.47 h in the 13 real records.
# A clock that changes adds 1.
CLOCK = 0.85
EACH_CLOCK = 0.5
SHIFTS_NOTHING = "nothing is shifted. Correct the stamps in the source: "
ENDS = "time zone, and whether they mark an interval's start or end. "
NOT_LOOKED = "Curtailment, outages, icing and jumps were not looked for."


def kind(record: Record) -> list[Finding]:
    if record.farm.weather_kind == "reanalysis":
        how_much = "the weather is a reanalysis: it was made after the fact, and is better than any forecast."
        action = "it counts as known in advance; every score made with it says so."
    elif record.farm.weather_kind == "none":
        how_much, action = "there is no weather.", "models use past power and the calendar alone."
    else:
        return []
    return [Finding(check="weather kind", severity="info", when="throughout", how_much=how_much, action=action)]


def not_checked(record: Record) -> list[Finding]:
    """Says which checks could not be made, and why."""
    if record.curve is not None or record.farm.weather_kind == "none":
        return []
    why = (
        "no variable is a wind speed (wind_speed…) or a pair of components (wind_u…, wind_v…)"
        if record.wind_name is None
        else "wind and power overlap too little for a power curve"
    )
    return [
        Finding(
            check="power curve",
            severity="warning" if record.wind_name is None else "info",
            when="throughout",
            how_much=f"{why}: stamps, outliers, curtailment, outages, icing and jumps were not looked for.",
            action="nothing: models take every variable as it is.",
        )
    ]


def unit(record: Record) -> list[Finding]:
    known = record.wind[np.isfinite(record.wind)]
    if not len(known) or MEAN_WIND[0] <= known.mean() <= MEAN_WIND[1]:
        return []
    return [
        Finding(
            check="wind unit",
            severity="warning",
            when="throughout",
            how_much=f"{record.wind_name} has a mean of {known.mean():.1f}; wind farms have 5 to 11 m/s.",
            action="nothing: the values count as m/s. Check their unit.",
        )
    ]


def gaps(record: Record) -> list[Finding]:
    """Steps without the wind from any run."""
    missing = np.isnan(record.wind)
    if record.wind_name is None or not missing.any():
        return []
    spans = spans_of(missing, record.times, record.step_hours)
    share = float(missing.mean())
    severity: Severity = "info"
    if share >= MUCH_MISSING:
        severity = "error" if share >= TOO_MUCH_MISSING else "warning"
    return [
        Finding(
            check="weather gaps",
            severity=severity,
            when=when_of(spans),
            how_much=f"{percent(share)} of the steps ({missing.sum():,}) have no {record.wind_name} from "
            f"any run, the longest gap lasts {hours_of(spans['hours'].max())}.",
            action="missing weather is NaN in the windows; a forecast uses what is left, and its bands widen.",
            spans=spans,
        )
    ]


def leads(record: Record) -> list[Finding]:
    """How often a model sees the weather for each lead time."""
    hours, share = record.lead_completeness
    if record.farm.weather_kind == "none" or np.isnan(share).any() or (share >= COMPLETE).all():
        return []
    severity: Severity = "info" if share.max() >= COMPLETE else "warning"
    how_much = _lead_ranges(hours, share)
    if share.max() == 0:
        severity, how_much = "error", "no run is available before the time it is for, at any issue time."
    return [
        Finding(
            check="weather by lead time",
            severity=severity,
            when="throughout",
            how_much=how_much,
            action="weather that is not known at the issue time is NaN in the windows; bands widen. Check "
            "available_at where it should be known.",
        )
    ]


def _lead_ranges(hours: Array, share: Array) -> str:
    """Share of issue times by lead, leads of about the same share told together."""
    cuts = [0, *(np.flatnonzero(np.abs(np.diff(share)) > 0.02) + 1), len(share)]
    told = []
    for first, last in pairwise(cuts):
        lead = f"{hours[first]:.3g}" if last - first == 1 else f"{hours[first]:.3g} to {hours[last - 1]:.3g}"
        told.append(f"{lead} h ahead {percent(float(np.round(share[first:last].mean(), 3)))}")
    more = [f"… {told[-1]}"] if len(told) > 5 else told[4:]
    return "share of issue times that know the wind: " + ", ".join(told[:4] + more) + "."


def stamps(record: Record, lags: Lags) -> list[Finding]:
    """Does the weather lead or lag power by more than their definition says, always, by season or by time of
    day?
    """
    if not record.explained >= READABLE or np.isnan(lags.overall.peak):
        return []
    return [*_constant(record, lags), *_clock(lags), *_day_and_night(lags)]


def _constant(record: Record, lags: Lags) -> list[Finding]:
    off = lags.overall.peak - lags.expected
    if abs(off) < max(LAG, LAG * record.step_hours) or abs(off) < LAG_ERRORS * lags.error:
        return []
    wrong = abs(off) >= WRONG_LAG
    seasons = ", ".join(f"{name} {lag.peak:+.1f}" for name, lag in lags.seasons.items() if np.isfinite(lag.peak))
    return [
        Finding(
            check="time stamps",
            severity="error" if wrong else "warning",
            when="throughout",
            how_much=f"the weather comes {abs(off):.1f} ± {lags.error:.1f} h too "
            f"{'late' if off > 0 else 'early'}: power at t goes with the weather stamped t "
            f"{lags.overall.peak:+.1f} h, not {lags.expected:+.2g} "
            f"h{f' ({seasons})' if seasons else ''}.",
            action=SHIFTS_NOTHING + ENDS + (NOT_LOOKED if wrong else "A weather model can be an hour off, too."),
        )
    ]


def _clock(lags: Lags) -> list[Finding]:
    spring, autumn = lags.changes
    both = lags.summer_minus_winter
    same = min(abs(spring), abs(autumn)) >= EACH_CLOCK and spring * autumn > 0
    if not (same and abs(both) >= CLOCK):
        return []
    return [
        Finding(
            check="summer time",
            severity="error",
            when="throughout",
            how_much=f"weather and power move by {both:+.1f} h against each other when clocks change "
            f"(spring {spring:+.1f} h, autumn {-autumn:+.1f} h): one of them is in local time.",
            action=SHIFTS_NOTHING + "time zone. " + NOT_LOOKED,
        )
    ]


def _day_and_night(lags: Lags) -> list[Finding]:
    apart = lags.day.peak - lags.night.peak
    if not abs(apart) >= DAY_NIGHT:
        return []
    return [
        Finding(
            check="day and night",
            severity="warning",
            when="throughout",
            how_much=f"the lag between weather and power is {lags.day.peak:+.1f} h from 06 to 18 UTC and "
            f"{lags.night.peak:+.1f} h in the other hours: was a 12-hour clock misread?",
            action=SHIFTS_NOTHING + "how they are read.",
        )
    ]
