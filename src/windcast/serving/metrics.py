"""What Prometheus sees: requests, forecasts by farm and rung, age of inputs, live scores, bundles."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

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

    scores: live crps and coverage_50, …_80, …_90, and backtest_crps, fractions.
    """

    farm: str
    newest_power: datetime | None
    newest_weather: datetime | None
    latest_issue_time: datetime | None
    scores: dict[str, float]


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

    def watch(self, states: Callable[[], list[FarmState]], now: Callable[[], datetime]) -> None:
        """Adds the farms' gauges, found at each scrape."""
        self.registry.register(_Farms(states, now))


class _Farms(Collector):
    def __init__(self, states: Callable[[], list[FarmState]], now: Callable[[], datetime]) -> None:
        self.states, self.now = states, now

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # found only when scraped

    def collect(self) -> Iterator[GaugeMetricFamily]:
        began = time.perf_counter()
        age = GaugeMetricFamily("windcast_input_age_seconds", "Age of the newest input.", labels=["farm", "input"])
        issue = GaugeMetricFamily("windcast_latest_issue_timestamp_seconds", "Newest issue time.", labels=["farm"])
        crps = GaugeMetricFamily("windcast_live_crps", "CRPS of the last 30 days, share of capacity.", labels=["farm"])
        promised = GaugeMetricFamily("windcast_backtest_crps", "The same in the backtest.", labels=["farm"])
        covered = GaugeMetricFamily("windcast_live_coverage", "Share within the band.", labels=["farm", "band"])
        now = self.now()
        for state in self.states():
            for name, newest in (("power", state.newest_power), ("weather", state.newest_weather)):
                if newest is not None:
                    age.add_metric([state.farm, name], (now - newest).total_seconds())
            if state.latest_issue_time is not None:
                issue.add_metric([state.farm], state.latest_issue_time.timestamp())
            for family, key in ((crps, "crps"), (promised, "backtest_crps")):
                if key in state.scores:
                    family.add_metric([state.farm], state.scores[key])
            for key, value in state.scores.items():
                if key.startswith("coverage_"):
                    covered.add_metric([state.farm, key.removeprefix("coverage_")], value)
        took = GaugeMetricFamily("windcast_scrape_seconds", "Time to find the farms' figures.")
        took.add_metric([], time.perf_counter() - began)
        yield from (age, issue, crps, promised, covered, took)
