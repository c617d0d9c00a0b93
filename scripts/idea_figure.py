"""Draws docs/images/idea.svg: what is known at one issue time of a simulated farm, and what is not."""

from datetime import timedelta
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl

import windcast as wc

mpl.use("svg")
mpl.rcParams |= {"svg.hashsalt": "windcast", "svg.fonttype": "path", "font.size": 10}
import matplotlib.pyplot as plt  # noqa: E402  after its backend is chosen

INK, KNOWN, HIDDEN, PAPER = "#1d2b2a", "#0b7a75", "#9aa3a2", "#fbfbf8"
OUT = Path(__file__).resolve().parents[1] / "docs" / "images" / "idea.svg"


def main() -> None:
    farm = wc.load("simulation", {"days": 120})
    task = wc.ForecastTask(horizon=36, resolution=farm.resolution, capacity_mw=farm.capacity_mw)
    at = len(farm.times) - 90
    issue = farm.times[at]
    model = wc.build({"name": "gbm", "rounds": 60, "seed": 1}).fit(wc.build_windows(farm, task, farm.times[: at - 36]))
    forecast = model.predict(wc.build_windows(farm, task, farm.times[at : at + 1]))

    figure, (power, runs) = plt.subplots(
        2, 1, figsize=(8.4, 5.2), sharex=True, height_ratios=(3, 2), facecolor=PAPER, layout="constrained"
    )
    hours = (farm.times - issue) / np.timedelta64(1, "h")
    shown = (hours >= -24) & (hours <= 36)
    truth = farm.power["power_mw"].to_numpy()
    past, ahead = shown & (hours <= 0), shown & (hours >= 0)
    leads = np.arange(1, 37)
    for low, high, tone in ((0.05, 0.95, 0.15), (0.25, 0.75, 0.32)):
        power.fill_between(leads, forecast.quantile(low)[0], forecast.quantile(high)[0], color=KNOWN, alpha=tone, lw=0)
    power.plot(leads, forecast.quantile(0.5)[0], color=KNOWN, lw=1.6)
    power.plot(hours[past], truth[past], color=INK, lw=1.8)
    power.plot(hours[ahead], truth[ahead], color=HIDDEN, lw=1.4, ls=(0, (2, 2)))
    power.set(ylabel="power in MW", ylim=(0, farm.capacity_mw * 1.12))
    power.text(-23.5, farm.capacity_mw * 1.03, "measured: known", color=INK)
    power.text(1, farm.capacity_mw * 1.03, "forecast: median, 50 and 90 % bands", color=KNOWN)
    power.text(35.7, 1, "what came: not known", color="#6b7574", ha="right")

    table = (
        farm.weather.group_by("available_at").agg(pl.min("valid_time"), last=pl.max("valid_time")).sort("available_at")
    )
    start = pl.lit(issue).dt.replace_time_zone("UTC")
    near = table.filter((pl.col("available_at") - start).is_between(timedelta(hours=-20), timedelta(hours=20)))
    newest = near.filter(pl.col("available_at") <= start)["available_at"].max()
    for row, (available, first, last) in enumerate(near.iter_rows()):
        places = [
            (np.datetime64(t.replace(tzinfo=None)) - issue) / np.timedelta64(1, "h") for t in (available, first, last)
        ]
        known = available <= newest
        colour, style = (KNOWN, "-") if known else (HIDDEN, (0, (2, 2)))
        runs.plot(
            [max(places[1], -24), min(places[2], 36)],
            [row, row],
            color=colour,
            ls=style,
            lw=5 if available == newest else 2.4,
        )
        runs.plot(places[0], row, "o", ms=7, mfc=colour if known else PAPER, mec=colour, mew=1.6)
    runs.set(ylim=(len(near) - 0.4, -1.1), yticks=[], xlim=(-24, 36), xlabel="hours from the issue time")
    runs.set_ylabel("weather runs")
    runs.text(35.7, -0.45, "dot: when a run arrived; line: what it is for", ha="right", color=INK)
    for axes in (power, runs):
        axes.axvline(0, color=INK, lw=1.2)
        axes.set_facecolor(PAPER)
        axes.spines[["top", "right"]].set_visible(False)
    runs.text(0.4, len(near) - 0.55, "issue time", color=INK)
    figure.savefig(OUT, metadata={"Date": None}, facecolor=PAPER)


if __name__ == "__main__":
    main()
