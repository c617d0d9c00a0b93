"""The quality report as one page: record and findings in time, power curve, lags and lead times."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from windcast.data.farm import FarmData
from windcast.data.quality import Report
from windcast.data.quality_curve import far_outside
from windcast.data.quality_finding import Finding
from windcast.data.quality_record import Record

SIZE = (11.7, 8.3)  # inches: A4, landscape
NARROWEST = 0.003  # of the time axis: a spell of an hour in four years is to be seen
SHADES = {"error": "0.0", "warning": "0.25", "info": "0.6"}
LINES = ("-", "--", ":", "-.")
SHOWN_LAG = 6.0  # hours, more where the peak is farther


def plot(farm: FarmData, report: Report) -> Figure:
    """One page on a farm's data and its report; save it with `figure.savefig(path)`."""
    figure = Figure(figsize=SIZE, layout="constrained")
    grid = figure.add_gridspec(3, 3, height_ratios=(1.2, 0.9, 1.6))
    power = figure.add_subplot(grid[0, :])
    findings = figure.add_subplot(grid[1, :], sharex=power)
    grave = [sum(f.severity == s for f in report.findings) for s in SHADES]
    figure.suptitle(
        f"{farm.name}: {report.summary['span']}, {farm.capacity_mw:g} MW, {farm.weather_kind} weather.  "
        f"{grave[0]} errors, {grave[1]} warnings, {grave[2]} infos",
        fontsize=11,
    )
    _timeline(power, report.record)
    _lanes(findings, report)
    _curve(figure.add_subplot(grid[2, 0]), report.record)
    _lags(figure.add_subplot(grid[2, 1]), report)
    _leads(figure.add_subplot(grid[2, 2]), report.record)
    return figure


def _timeline(axes: Axes, record: Record) -> None:
    """Daily mean power, and the days on which some of it is missing."""
    days = record.times.astype("datetime64[D]")
    day, index = np.unique(days, return_inverse=True)
    known = np.isfinite(record.power)
    count = np.bincount(index, known)
    total = np.bincount(index, np.where(known, record.power, 0.0))
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    axes.plot(day, mean, color="0.35", linewidth=0.6)
    share = count / np.bincount(index)
    axes.fill_between(day, -0.06, -0.06 * share, step="post", color="black", linewidth=0)
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set(ylim=(-0.07, 1.02), ylabel="daily mean power\n(share of capacity)")
    axes.text(
        0.003,
        0.97,
        "black below 0: share of the day without power",
        transform=axes.transAxes,
        va="top",
        size=7,
    )
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.tick_params(labelbottom=False)


def _lanes(axes: Axes, report: Report) -> None:
    """A lane a finding, its spells in black; the graver the darker."""
    times = report.record.times
    first, last = _days(times[0]), _days(times[-1])
    for lane, finding in enumerate(report.findings):
        axes.broken_barh(_bars(finding, first, last), (lane - 0.35, 0.7), color=SHADES[finding.severity], linewidth=0)
    axes.set_yticks(
        range(len(report.findings)),
        [f"{f.check} ({f.severity[0].upper()})" for f in report.findings],
        fontsize=7,
    )
    axes.set_ylim(max(len(report.findings), 4) - 0.4, -0.6)
    axes.set_xlim(first, last)
    axes.set(xlabel="time (UTC)", ylabel="findings")
    if not report.findings:
        axes.text(0.5, 0.5, "nothing found", transform=axes.transAxes, ha="center", va="center")


def _bars(finding: Finding, first: float, last: float) -> list[tuple[float, float]]:
    if finding.spans.is_empty():
        return [(first, last - first)]
    least = NARROWEST * (last - first)
    begin = finding.spans["first"].dt.replace_time_zone(None).to_numpy()
    days = finding.spans["hours"].to_numpy() / 24
    return [(_days(b), float(max(d, least))) for b, d in zip(begin, days, strict=True)]


def _days(time: np.datetime64) -> float:
    """A time on Matplotlib's axis."""
    return float(date2num(time))  # type: ignore[no-untyped-call]


def _curve(axes: Axes, record: Record) -> None:
    axes.set(ylabel="power (share of capacity)", title="power curve")
    axes.set_xlabel(f"wind speed (m/s): {record.wind_name}")
    usable = np.isfinite(record.power) & np.isfinite(record.wind) & record.free
    if record.curve is None or not usable.any():
        _nothing(axes, "no wind, no curve")
        return
    axes.hexbin(
        record.wind[usable],
        record.power[usable],
        gridsize=(40, 25),
        bins="log",
        mincnt=1,
        cmap="Greys",
        linewidths=0,
    )
    curve = record.curve
    axes.plot(curve.wind, curve.median, color="black", linewidth=2.5)
    axes.plot(curve.wind, curve.median, color="white", linewidth=1.2, label="median")
    for level, name in ((curve.low, None), (curve.high, "5 and 95 %")):
        axes.plot(curve.wind, level, color="black", linewidth=0.9, linestyle="--", label=name)
    outside = far_outside(record)
    axes.plot(
        record.wind[outside],
        record.power[outside],
        "x",
        color="black",
        markersize=3.5,
        markeredgewidth=0.7,
        label=f"far outside ({outside.sum():,})",
    )
    axes.set_ylim(-0.02, 1.02)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, fontsize=7, facecolor="0.8")


def _lags(axes: Axes, report: Report) -> None:
    axes.set(
        xlabel="lag (h): power at t against weather at t + lag",
        ylabel="correlation, daily cycle removed",
        title="lag between weather and power",
    )
    if report.lags is None or np.isnan(report.lags.overall.correlation).any():
        _nothing(axes, "power does not follow the wind,\nor the record is too short")
        return
    overall = report.lags.overall
    shown = max(SHOWN_LAG, abs(np.nan_to_num(overall.peak)) + 3)
    for (name, lag), line in zip(report.lags.seasons.items(), LINES, strict=True):
        if np.isfinite(lag.peak):
            near = np.abs(lag.hours) <= shown
            label = f"{name} (peak {lag.peak:+.1f} h)"
            axes.plot(lag.hours[near], lag.correlation[near], color="0.45", linestyle=line, linewidth=1, label=label)
    near = np.abs(overall.hours) <= shown
    label = f"all (peak {overall.peak:+.2f} h)"
    axes.plot(overall.hours[near], overall.correlation[near], color="black", linewidth=1.8, label=label)
    axes.axvline(report.lags.expected, color="black", linewidth=0.7)
    axes.annotate(" expected", (report.lags.expected, 1), xycoords=("data", "axes fraction"), va="top", fontsize=7)
    axes.legend(loc="lower center", fontsize=7)


def _leads(axes: Axes, record: Record) -> None:
    axes.set(
        xlabel="lead time (h)",
        ylabel="issue times that know the wind (%)",
        title="weather known by lead time",
    )
    hours, share = record.lead_completeness
    if np.isnan(share).any():
        _nothing(axes, "no weather,\nor a record shorter than the leads")
        return
    axes.bar(hours, 100 * share, width=0.8 * (hours[1] - hours[0]), color="0.45")
    axes.set_ylim(0, 102)


def _nothing(axes: Axes, why: str) -> None:
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center")
    axes.set(xticks=[], yticks=[])
