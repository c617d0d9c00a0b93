"""Grafana's dashboards: `python monitoring/dashboards/generate.py` writes the JSON beside this file.

Needs the extra `monitoring`. Every query is run against a real Prometheus by tests/delivery/test_monitoring_live.py.
"""

import json
from pathlib import Path
from typing import TypeVar

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueColorMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
)

HERE = Path(__file__).parent
SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
RUNGS = {"0": "fresh", "1": "older run", "2": "no weather", "3": "no power", "4": "nothing"}
GREEN, ORANGE, RED = "green", "orange", "red"
FARM = 'farm=~"$farm"'
ASKED = 'route!~"/health|/ready|/metrics"'

Queries = dict[str, str]  # legend: expression
P = TypeVar("P", stat.Panel, timeseries.Panel)


def main() -> None:
    for name, built in dashboards().items():
        (HERE / f"{name}.json").write_text(built, encoding="utf-8")


def dashboards() -> dict[str, str]:
    """File names without their ending, and the JSON that belongs in them."""
    return {name: _text(made) for name, made in (("service", service()), ("farms", farms()))}


def _text(made: dashboard.Dashboard) -> str:
    return json.dumps(made.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def service() -> dashboard.Dashboard:
    """Is it up, how much is asked of it, how fast and how well does it answer?"""
    return (
        _dashboard("windcast-service", "windcast: the service")
        .with_row(dashboard.Row("State"))
        .with_panel(_state("Instances up", {"": 'sum(up{job="windcast"})'}, bad_below=1))
        .with_panel(_state("Instances ready", {"": "sum(windcast_ready)"}, bad_below=1))
        .with_panel(_state("Alerts", {"": 'count(ALERTS{alertstate="firing"}) or vector(0)'}, bad_from=1))
        .with_panel(_state("Bundles served", {"": "count(count by (bundle) (windcast_bundle_info))"}, bad_below=1))
        .with_row(dashboard.Row("Requests"))
        .with_panel(_lines("Requests", "reqps", {"{{route}}": "windcast:requests:rate5m"}))
        .with_panel(
            _lines(
                "Failed and slow", "percentunit", {"failed": "windcast:errors:ratio5m", "slow": "windcast:slow:ratio5m"}
            )
        )
        .with_panel(_lines("Latency, 99 of 100", "s", {"{{route}}": "windcast:request_seconds:p99_5m"}))
        .with_panel(
            _lines(
                "Answers by status",
                "reqps",
                {"{{status}}": f"sum by (status) (rate(windcast_http_requests_total{{{ASKED}}}[5m]))"},
            )
        )
        .with_row(dashboard.Row("Work"))
        .with_panel(
            _lines(
                "Forecasts in five minutes",
                "short",
                {
                    "issued {{farm}}, {{rung}}": "sum by (farm, rung) (increase(windcast_forecasts_issued_total[5m]))",
                    "answered {{bundle}}, {{rung}}": (
                        "sum by (bundle, rung) (increase(windcast_forecasts_answered_total[5m]))"
                    ),
                    "failed {{farm}}": "sum by (farm) (increase(windcast_issues_failed_total[5m]))",
                },
            )
        )
        .with_panel(
            _lines(
                "Values taken in, in five minutes",
                "short",
                {"{{farm}}, {{kind}}": "sum by (farm, kind) (increase(windcast_values_ingested_total[5m]))"},
            )
        )
        .with_panel(
            _lines(
                "Champions followed",
                "short",
                {
                    "{{bundle}}, {{outcome}}": (
                        "sum by (bundle, outcome) (increase(windcast_champion_switches_total[1h]))"
                    )
                },
            )
        )
        .with_panel(
            _lines(
                "Process",
                "percentunit",
                {"CPU {{instance}}": 'rate(process_cpu_seconds_total{job="windcast"}[5m])'},
            )
        )
        .with_panel(
            _lines("Memory", "bytes", {"{{instance}}": 'process_resident_memory_bytes{job="windcast"}'}),
        )
        .with_panel(
            _lines(
                "Under way, and time of a scrape",
                "short",
                {"requests": "sum(windcast_http_requests_in_flight)", "scrape, s": "max(windcast_scrape_seconds)"},
            )
        )
    )


def farms() -> dashboard.Dashboard:
    """What does each farm's forecast stand on, and does it keep what the backtest promised?"""
    farm = (
        dashboard.QueryVariable("farm")
        .label("Farm")
        .datasource(SOURCE)
        .query("label_values(windcast_input_late_after_seconds, farm)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
    )
    bounds = {
        "held": f'windcast_live_coverage_fair{{{FARM}, band="80"}}',
        "calibrated: from": f'windcast_live_coverage_low{{{FARM}, band="80"}}',
        "calibrated: to": f'windcast_live_coverage_high{{{FARM}, band="80"}}',
    }
    return (
        _dashboard("windcast-farms", "windcast: the farms")
        .with_variable(farm)
        .with_row(dashboard.Row("Inputs"))
        .with_panel(_rungs())
        .with_panel(
            _lines("Age of inputs, 1 is late", "short", {"{{farm}}, {{input}}": f"windcast:input_age:ratio{{{FARM}}}"})
        )
        .with_panel(
            _lines(
                "Age of inputs",
                "s",
                {"{{farm}}, {{input}}": f"max by (farm, input) (windcast_input_age_seconds{{{FARM}}})"},
            )
        )
        .with_panel(
            _lines(
                "Time since the newest issue time",
                "s",
                {"{{farm}}": f"time() - max by (farm) (windcast_latest_issue_timestamp_seconds{{{FARM}}})"},
            )
        )
        .with_row(dashboard.Row("Scores of the last 30 days"))
        .with_panel(
            _lines(
                "CRPS, share of capacity",
                "percentunit",
                {
                    "{{farm}} live": f"windcast_live_crps_compared{{{FARM}}}",
                    "{{farm}} backtest": f"windcast_backtest_crps{{{FARM}}}",
                    "{{farm}} live, all leads": f"windcast_live_crps{{{FARM}}}",
                },
            )
        )
        .with_panel(_lines("CRPS over the backtest's", "short", {"{{farm}}": f"windcast:crps:ratio{{{FARM}}}"}))
        .with_panel(
            _lines("t of CRPS above the backtest", "short", {"{{farm}}": f"windcast_crps_excess_t{{{FARM}}}"}),
        )
        .with_panel(_lines("Scored values", "short", {"{{farm}}": f"windcast_scored_values{{{FARM}}}"}))
        .with_panel(
            _lines("80 % band", "percentunit", {f"{{{{farm}}}} {name}": query for name, query in bounds.items()})
        )
        .with_panel(
            _lines("Coverage, plain", "percentunit", {"{{farm}} {{band}} %": f"windcast_live_coverage{{{FARM}}}"}),
        )
        .with_panel(
            _lines(
                "Coverage beyond chance", "percentunit", {"{{farm}} {{band}} %": f"windcast:coverage:outside{{{FARM}}}"}
            ),
        )
    )


def _dashboard(uid: str, title: str) -> dashboard.Dashboard:
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["windcast"])
        .timezone("utc")
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time("now-24h", "now")
    )


def _lines(title: str, unit: str, queries: Queries) -> timeseries.Panel:
    panel = timeseries.Panel().title(title).datasource(SOURCE).unit(unit).fill_opacity(8).span(12).height(8)
    return _asking(panel, queries)


def _state(
    title: str, queries: Queries, *, bad_below: float | None = None, bad_from: float | None = None
) -> stat.Panel:
    """One large number, red below or from a bound."""
    below, edge, beyond = (RED, bad_below, GREEN) if bad_below is not None else (GREEN, bad_from, RED)
    return _asking(_number(title, [(None, below), (edge, beyond)]).span(6), queries)


def _rungs() -> stat.Panel:
    panel = _number("Rung of the latest forecast", [(None, GREEN), (1, ORANGE), (2, RED)]).span(12).height(8)
    words = {value: ValueMappingResult(text=word) for value, word in RUNGS.items()}
    return _asking(panel.mappings([ValueMap(options=words)]), {"{{farm}}": f"windcast:rung{{{FARM}}}"})


def _number(title: str, steps: list[tuple[float | None, str]]) -> stat.Panel:
    thresholds = [Threshold(value=value, color=color) for value, color in steps]
    return (
        stat.Panel()
        .title(title)
        .datasource(SOURCE)
        .height(4)
        .color_mode(BigValueColorMode.BACKGROUND)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(thresholds))
    )


def _asking(panel: P, queries: Queries) -> P:
    for place, (legend, query) in enumerate(queries.items()):
        panel.with_target(prometheus.Dataquery().expr(query).legend_format(legend).ref_id(chr(ord("A") + place)))
    return panel


if __name__ == "__main__":
    main()
