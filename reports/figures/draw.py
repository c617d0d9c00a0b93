"""Draws the report's own figures: the architecture, and what the committed benchmarks say.

python reports/figures/draw.py            # writes *.svg beside this file
"""

import json
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams |= {"svg.hashsalt": "windcast", "svg.fonttype": "path", "font.size": 10, "font.family": "sans-serif"}
import matplotlib.pyplot as plt  # noqa: E402  after its backend is chosen
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import FancyBboxPatch  # noqa: E402

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "benchmarks" / "results"
INK, FAINT, ACCENT, PALE, CLOUD = "#1d2b2a", "#6b7574", "#0b7a75", "#e6f1ef", "#f4f2ea"


def results(name: str) -> dict[str, float]:
    """The committed values of one benchmark, by name."""
    return {row["name"]: row["value"] for row in json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))}


def klim() -> Figure:
    """CRPS by lead time on Klim's test period."""
    values = results("klim_accuracy")
    figure, axes = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
    lines = (
        ("persistence", "persistence", "s", (0, (1, 1.5)), FAINT),
        ("power_curve", "power curve", "^", (0, (4, 2)), FAINT),
        ("nowcast_deep, calibrated", "nowcast_deep, calibrated", "o", "-", ACCENT),
    )
    for name, label, marker, style, colour in lines:
        crps = [values[f"CRPS of {name}, {lead} h"] for lead in (1, 2, 3)]
        axes.plot((1, 2, 3), crps, marker=marker, ls=style, color=colour, label=label, ms=5)
    for lead in (1, 2, 3):
        crps = values[f"CRPS of nowcast_deep, calibrated, {lead} h"]
        axes.annotate(f"{crps:.2f}", (lead, crps), (0, -14), textcoords="offset points", ha="center", color=ACCENT)
    axes.set(xlabel="lead time (h)", ylabel="CRPS (% of capacity)", xticks=(1, 2, 3), ylim=(2, 6.5), xlim=(0.85, 3.15))
    axes.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(0, 1.14), fontsize=9)
    _bare(axes)
    return figure


def request() -> Figure:
    """Where the service's own time of one request goes."""
    values = results("serving")
    parts = [(name, values[f"… of which {key}"]) for name, key in _PARTS]
    figure, axes = plt.subplots(figsize=(7.2, 1.75), layout="constrained")
    start = 0.0
    for (name, took), shade in zip(parts, ("#cfd6d5", "#8fbfba", ACCENT, "#b9b38f"), strict=True):
        axes.barh(0, took, left=start, color=shade, edgecolor="white", height=0.5)
        axes.text(start + took / 2, 0.36, name, ha="center", fontsize=9, color=INK)
        axes.text(start + took / 2, -0.46, f"{took:.2f}", ha="center", fontsize=9, color=INK)
        start += took
    axes.set(
        ylim=(-0.75, 0.65), xlim=(-0.04, start * 1.01), yticks=[], xlabel="ms of own work a request, in a batch of 8"
    )
    _bare(axes)
    axes.spines["left"].set_visible(False)
    return figure


_PARTS = (
    ("JSON", "JSON"),
    ("tables, windows", "tables, contract and windows"),
    ("model", "model"),
    ("answer", "answer"),
)


def architecture() -> Figure:
    """From data and a push to a watched service. Dashed: written and checked, but not run in the cloud."""
    figure, axes = plt.subplots(figsize=(9.2, 5.3), layout="constrained")
    axes.set(xlim=(0, 92), ylim=(0, 53))
    axes.axis("off")
    for name, x, y, text, cloud in (
        ("data", 1, 44, "farm's files\npower, weather", False),
        ("dvc", 1, 31, "DVC\nversions, pipeline", False),
        ("gate", 20, 44, "build_windows\nwhat was known", False),
        ("model", 39, 44, "Forecaster\nfit, predict", False),
        ("back", 58, 44, "backtest\nscores, report", False),
        ("track", 76, 44, "MLflow or W&B\nruns", False),
        ("bundle", 39, 31, "bundle\nno pickle", False),
        ("gatekeeper", 58, 31, "promotion\nbetter than chance?", False),
        ("registry", 76, 31, "registry\nchampion per farm", False),
        ("push", 1, 18, "push\nor pull request", False),
        ("ci", 20, 18, "GitHub Actions\nchecks, tests", True),
        ("images", 39, 18, "images\nserve, train", False),
        ("deploy", 58, 18, "deployment\ncanary, way back", True),
        ("run", 76, 18, "service\nAPI, page, store", False),
        ("infra", 39, 4, "Terraform\nno keys, few roles", True),
        ("alerts", 58, 4, "Alertmanager\nrunbook", False),
        ("prom", 76, 4, "Prometheus\nrules, dashboards", False),
    ):
        _box(axes, x, y, text, cloud, strong=name == "gate")
    for start, end in (
        ((15, 48), (20, 48)), ((34, 48), (39, 48)), ((53, 48), (58, 48)), ((72, 48), (76, 48)),
        ((8, 44), (8, 39)), ((46, 44), (46, 39)), ((53, 35), (58, 35)), ((72, 35), (76, 35)),
        ((65, 44), (65, 39)), ((83, 31), (83, 26)), ((15, 22), (20, 22)), ((34, 22), (39, 22)), ((53, 22), (58, 22)),
        ((72, 22), (76, 22)), ((83, 18), (83, 12)), ((76, 8), (72, 8)),
        ((53, 9), (60, 18)),
    ):  # fmt: skip
        axes.annotate(
            "", end, start, arrowprops={"arrowstyle": "-|>", "color": FAINT, "lw": 1.1, "shrinkA": 1, "shrinkB": 1}
        )
    axes.plot([79, 79, 27, 27], [26, 28.5, 28.5, 43], color=ACCENT, lw=1.2)
    axes.annotate(
        "", (27, 44), (27, 42), arrowprops={"arrowstyle": "-|>", "color": ACCENT, "lw": 1.2, "shrinkA": 0, "shrinkB": 1}
    )
    axes.text(28, 26.6, "live values go through the same gate", color=ACCENT, fontsize=9)
    axes.plot([1, 5], [1.6, 1.6], color=INK, lw=1)
    axes.text(6, 1.6, "run here", va="center", fontsize=9)
    axes.plot([16, 20], [1.6, 1.6], color=INK, lw=1, ls=(0, (3, 2)))
    axes.text(21, 1.6, "checked, not run", va="center", fontsize=9)
    return figure


def _box(axes: Axes, x: float, y: float, text: str, cloud: bool, strong: bool) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x, y), 14, 8, boxstyle="round,pad=0,rounding_size=1", fc=CLOUD if cloud else PALE, lw=2 if strong else 1,
            ec=ACCENT if strong else INK, ls=(0, (3, 2)) if cloud else "-",
        )
    )  # fmt: skip
    first, rest = text.split("\n", 1)
    axes.text(x + 7, y + 5.3, first, ha="center", va="center", fontsize=9.5, weight="bold", color=INK)
    axes.text(x + 7, y + 2.6, rest, ha="center", va="center", fontsize=8.5, color=INK)


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Write every figure."""
    for draw in (architecture, klim, request):
        draw().savefig(HERE / f"{draw.__name__}.svg", metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
