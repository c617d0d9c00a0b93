"""What the numbers of a backtest say, in sentences that a manager can read. Every word follows from a number."""

from typing import Any

import polars as pl

from windcast.evaluation.failure import Failures
from windcast.evaluation.leaderboard import REFERENCES

CHANCE = 0.05
# Percentage points by which the coverage of a 90 % band may miss before it is called too narrow or too wide.
TOLERANCE = 3.0
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

Row = dict[str, Any]


def headline(board: pl.DataFrame) -> str:
    """Which model is best, by how much, whether that may be chance, and whether its 90 % band held."""
    best = board.row(0, named=True)
    return " ".join(filter(None, (_against(board, best), _band(best))))


def _against(board: pl.DataFrame, best: Row) -> str:
    others = {row["model"]: row for row in board.iter_rows(named=True) if row["model"] != best["model"]}
    for reference in REFERENCES:
        skill = best[f"skill_{reference}"]
        if reference in others and skill is not None:
            chance = _chance(others[reference]["p_value"])
            return f"The best model, {best['model']}, is {skill:.0f} % better than {reference}{chance}."
    if others and best["model"] in REFERENCES:
        return f"No model is better than {best['model']}, which a forecast has to beat to be worth making."
    miss = f"misses the power by {best['nmae']:.1f} % of capacity on average"
    return f"The best model, {best['model']}, {miss}." if others else f"The model {best['model']} {miss}."


def _chance(p_value: float | None) -> str:
    if p_value is None:
        return ", though there are too few issue times to rule out chance"
    if p_value < CHANCE:
        return f", more than chance explains ({p_in_words(p_value)})"
    return f", which may be chance ({p_in_words(p_value)})"


def _band(best: Row) -> str:
    held = best["coverage_90"]
    if held is None:
        return ""
    judged = "about as often as it promises"
    if held < 90 - TOLERANCE:
        judged = "less often than it promises: it is too sure of itself"
    elif held > 90 + TOLERANCE:
        judged = "more often than it promises: it is wider than it need be, or calm hours were easy"
    return f"Its 90 % band held {held:.0f} % of the time, {judged}."


def p_in_words(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def lead_in_words(leads: pl.DataFrame, model: str) -> str:
    """How the error grows from the first to the last scored lead; empty with a single one."""
    table = leads.filter((pl.col("model") == model) & pl.col("crps").is_not_null())
    if table.height < 2:
        return ""
    first, last = table.row(0, named=True), table.row(-1, named=True)
    return (
        f"The CRPS of {model} is {first['crps']:.1f} % of capacity {lead(first['lead_minutes'])} ahead "
        f"and {last['crps']:.1f} % {lead(last['lead_minutes'])} ahead."
    )


def lead(minutes: float) -> str:
    """A lead time in words: `1 hour`, `48 hours`, `10 minutes`."""
    amount, unit = (minutes / 60, "hour") if minutes % 60 == 0 else (minutes, "minute")
    return f"{amount:g} {unit}" + ("" if amount == 1 else "s")


def failure_in_words(found: Failures) -> str:
    """The worst month, hour and wind speed, each against the overall CRPS; what does not vary is not mentioned."""
    said = []
    for column, name in (("month", _month), ("hour", _hour)):
        table = found.worst_first(column)
        if table.height > 1:
            row = table.row(0, named=True)
            said.append(f"{name(row[column])} ({row['crps']:.1f} %)")
    judged = found.by_wind.filter("enough").sort("crps", descending=True)
    if judged.height > 1:
        row = judged.row(0, named=True)
        said.append(f"forecast winds of {row['speed_from']:g}–{row['speed_to']:g} m/s ({row['crps']:.1f} %)")
    if not said:
        return "There is too little to compare: the backtest holds one month, one hour and one range of wind."
    listed = said[0] if len(said) == 1 else ", ".join(said[:-1]) + " and " + said[-1]
    return f"It fails most in {listed}, against a CRPS of {found.overall:.1f} % of capacity overall."


def _month(month: int) -> str:
    return MONTHS[month - 1]


def _hour(hour: int) -> str:
    return f"the hour from {hour:02d}:00 UTC"
