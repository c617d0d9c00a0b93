"""What Prometheus sees: requests, forecasts by farm and rung, age of inputs, live scores, bundles."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from windcast.serving.shelf import Served

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5, 10)


@dataclass(frozen=True)
class FarmState:
    """What is measured of a farm at a scrape. Times are None, scores empty, where there is nothing yet.

    newest, late_after: by input, power and weather; the age from which the farm's model counts it as late.
    rung: of the latest forecast, see `watching.middle_rung`. scores: see `verdict.verdict`.
    """

    farm: str
    newest: dict[str, datetime | None]
    late_after: dict[str, timedelta]
    latest_issue_time: datetime | None
    rung: int | None
    scores: dict[str, float]


States = Callable[[], list[FarmState] | None]


class Metrics:
    """One service's metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        here = self.registry
        self.requests = Counter("windcast_http_requests", "Answers.", ["method", "route", "status"], registry=here)
        self.latency = Histogram(
            "windcast_http_request_seconds", "Time to answer.", ["route"], buckets=SECONDS, registry=here
        )
        self.in_flight = Gauge("windcast_http_requests_in_flight", "Requests being answered.", registry=here)
        self.issued = Counter(
            "windcast_forecasts_issued", "Forecasts issued and kept.", ["farm", "rung"], registry=here
        )
        self.answered = Counter(
            "windcast_forecasts_answered", "Forecasts answered without keeping.", ["bundle", "rung"], registry=here
        )
        self.failed = Counter("windcast_issues_failed", "Forecasts that could not be issued.", ["farm"], registry=here)
        self.ingested = Counter("windcast_values_ingested", "Versions stored.", ["farm", "kind"], registry=here)
        self.switched = Counter(
            "windcast_champion_switches", "Moved aliases: followed or failed.", ["bundle", "outcome"], registry=here
        )
        self.bundle = Info("windcast_bundle", "Bundles served.", ["bundle"], registry=here)

    def serves(self, served: Served) -> None:
        """Says which bundle has a name, in the place of the one before."""
        about = {"checksum": served.checksum, "model": served.model, "farm": served.farm}
        self.bundle.labels(served.name).info(about)

    def watch(self, states: States, now: Callable[[], datetime]) -> None:
        """Adds the farms' gauges, found at each scrape; where that is None, windcast_ready is 0 and they are gone."""
        self.registry.register(_Farms(self, states, now))


class _Farms(Collector):
    def __init__(self, metrics: Metrics, states: States, now: Callable[[], datetime]) -> None:
        self.metrics, self.states, self.now = metrics, states, now

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # found only when scraped

    def collect(self) -> Iterator[GaugeMetricFamily]:
        began = time.perf_counter()
        states, now = self.states(), self.now()
        families = {name: GaugeMetricFamily(name, told, labels=labels) for name, (told, labels) in GAUGES.items()}
        for state in states or ():
            self.metrics.failed.labels(state.farm)  # at 0 before the first: an increase from nothing is none
            for name, labels, value in _samples(state, now):
                families[name].add_metric([state.farm, *labels], value)
        families["windcast_ready"].add_metric([], states is not None)
        families["windcast_scrape_seconds"].add_metric([], time.perf_counter() - began)
        yield from families.values()


FARM, INPUT, BAND = ["farm"], ["farm", "input"], ["farm", "band"]
GAUGES: dict[str, tuple[str, list[str]]] = {
    "windcast_ready": ("1 where bundles are loaded and the store answers.", []),
    "windcast_scrape_seconds": ("Time to find the farms' figures.", []),
    "windcast_input_age_seconds": ("Age of the newest input.", INPUT),
    "windcast_input_late_after_seconds": ("Age from which the farm's model counts the input as late.", INPUT),
    "windcast_latest_issue_timestamp_seconds": ("Newest issue time.", FARM),
    "windcast_latest_rung": ("Rung of the latest forecast's middle lead: 0 fresh … 4 nothing.", FARM),
    "windcast_scored_values": ("Pairs of forecast and power in the live scores.", FARM),
    "windcast_live_crps": ("CRPS of the last 30 days, share of capacity.", FARM),
    "windcast_live_crps_compared": ("The same, of the leads and rungs that the backtest measured.", FARM),
    "windcast_backtest_crps": ("What the backtest measured for these.", FARM),
    "windcast_crps_excess_t": ("t statistic of live above backtest, by issue time.", FARM),
    "windcast_live_coverage": ("Share within the band, its edges included.", BAND),
    "windcast_live_coverage_fair": ("The same with calms and full load dealt out fairly.", BAND),
    "windcast_live_coverage_low": ("Lower edge of the fair share's consistency band.", BAND),
    "windcast_live_coverage_high": ("Upper edge of it.", BAND),
}
OF_FARM = {
    "values": "windcast_scored_values",
    "crps": "windcast_live_crps",
    "compared_crps": "windcast_live_crps_compared",
    "backtest_crps": "windcast_backtest_crps",
    "excess_t": "windcast_crps_excess_t",
}
OF_BAND = {
    "coverage": "windcast_live_coverage",
    "fair": "windcast_live_coverage_fair",
    "low": "windcast_live_coverage_low",
    "high": "windcast_live_coverage_high",
}


def _samples(state: FarmState, now: datetime) -> Iterator[tuple[str, list[str], float]]:
    """Names, labels after the farm, and values of what is known."""
    for name, newest in state.newest.items():
        if newest is not None:
            yield "windcast_input_age_seconds", [name], (now - newest).total_seconds()
    for name, age in state.late_after.items():
        yield "windcast_input_late_after_seconds", [name], age.total_seconds()
    if state.latest_issue_time is not None:
        yield "windcast_latest_issue_timestamp_seconds", [], state.latest_issue_time.timestamp()
    if state.rung is not None:
        yield "windcast_latest_rung", [], state.rung
    for key, value in state.scores.items():
        kind, _, band = key.partition("_")
        if key in OF_FARM:
            yield OF_FARM[key], [], value
        elif kind in OF_BAND:
            yield OF_BAND[kind], [band], value
