"""The report is one file that says what the numbers say, to people who did not compute them."""

import re
from dataclasses import replace
from datetime import timedelta
from functools import cache
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from small_backtests import ALL, NAIVE, renamed, small

from windcast.data.windows import build_windows
from windcast.errors import TaskError
from windcast.evaluation import report, verdict
from windcast.evaluation.days import days
from windcast.evaluation.failure import Failures, failures, forecast_speed
from windcast.evaluation.leaderboard import by_lead, leaderboard
from windcast.evaluation.scores import crps
from windcast.models.forecast import Rung

HOSTILE = "<script>alert('x')</script>$a_{$&\""
ODD = {
    "models": ("climatology",),
    "horizon": 1,
    "history": 0,
    "weather": "none",
    "gaps": True,
    "name": HOSTILE,
    "repairs": ("3 rows <i>mended</i>",),
}
VOID = {"meta", "img", "br", "hr", "link", "input"}


@cache
def page(**options) -> str:
    return report.render(small(**options), commands=("windcast backtest & more",), provenance={"seed": 7})


@cache
def odd_page() -> str:
    """One model of a hostile name, no weather, a horizon of 1, gaps, no history, and a repair."""
    return report.render(renamed(small(**ODD), {"climatology": HOSTILE}), title=f"{HOSTILE} ü")


class Reader(HTMLParser):
    """Every tag with its attributes, the words, and whether all that opens is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())


@pytest.mark.parametrize("make", [page, odd_page])
def test_the_page_needs_nothing_but_itself(make):
    reader = Reader(make())
    assert not reader.open
    names = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(names) == len(set(names))
    for tag, attributes in reader.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base")
        for key, value in attributes.items():
            assert not key.startswith("on")
            if key in ("src", "href", "xlink:href", "action", "data"):
                assert value.startswith(("#", "data:image/png;base64,"))
                assert not value.startswith("#") or value[1:] in names
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", make())
    assert len(make().encode()) < 3_000_000


def test_a_reader_that_cannot_see_the_charts_is_told_what_they_show():
    reader = Reader(page())
    drawings = [attributes for tag, attributes in reader.tags if tag == "svg"]
    assert len(drawings) == 10
    assert all(attributes["role"] == "img" and len(attributes["aria-label"]) > 40 for attributes in drawings)
    assert ("html", {"lang": "en"}) in reader.tags
    assert all("scope" in attributes for tag, attributes in reader.tags if tag == "th")
    assert sum(tag == "h1" for tag, _ in reader.tags) == 1


def test_the_numbers_are_those_of_the_leaderboard():
    text = Reader(page()).text
    for row in leaderboard(small()).iter_rows(named=True):
        line = f"{row['model']} {row['crps']:.2f} % {row['nmae']:.2f} % {row['nrmse']:.2f} %"
        assert line in text
        assert f"{row['coverage_90']:.1f} % {row['width_90']:.1f} %" in text


def test_the_headline_says_how_much_better_the_best_is_and_whether_its_band_held():
    best = leaderboard(small()).row(0, named=True)
    text = Reader(page()).text
    assert f"The best model, power_curve, is {best['skill_persistence']:.0f} % better than persistence" in text
    assert f"Its 90 % band held {best['coverage_90']:.0f} % of the time" in text


def test_hostile_names_are_text_and_nothing_else():
    text = odd_page()
    assert "<script" not in text
    assert "<i>mended" not in text
    assert "<title>&lt;script&gt;" in text
    assert Reader(text).text.count("<script>alert(") >= 4


def test_only_reanalysis_gets_the_caveat():
    assert "These scores flatter" not in page()
    assert "reanalysis" not in Reader(page()).text
    assert "These scores flatter" in page(models=NAIVE, weather="reanalysis")


def test_one_model_without_weather_or_history_one_step_ahead_still_makes_a_report():
    text = Reader(odd_page()).text
    assert "misses the power by" in text
    assert "Weather none" in text
    assert "Diebold" not in text
    assert "Equal to the best?" not in text
    assert "Error of each model by lead time" not in text
    assert "Skill against" not in text
    assert "What the farm makes of the forecast wind" not in text
    assert "3 rows <i>mended</i>" in text


def test_the_page_tells_where_its_numbers_come_from():
    result, text = small(), Reader(page()).text
    for said in (result.farm.checksum, "seed 7", "windcast backtest & more", "made up", "wind_speed", "every 6 hours"):
        assert said in text
    assert "100.0 % of all intervals" in text
    gaps = small(**ODD)
    known = gaps.farm.power["power_mw"].is_not_null().mean()
    assert f"Power known {100 * known:.1f} % of all intervals" in Reader(odd_page()).text


def test_the_same_backtest_gives_the_same_bytes(tmp_path):
    result = small(models=NAIVE, weather="reanalysis")
    written = report.write_report(
        result, tmp_path / "made" / "report.html", commands=("windcast backtest & more",), provenance={"seed": 7}
    )
    assert written.read_text(encoding="utf-8") == page(models=NAIVE, weather="reanalysis")
    assert [file.name for file in written.parent.iterdir()] == ["report.html"]


def test_a_report_that_fails_leaves_the_one_before_it(tmp_path, monkeypatch):
    file = tmp_path / "report.html"
    file.write_text("before")
    monkeypatch.setattr(report, "render", lambda *_, **__: "\ud800")  # cannot be encoded
    with pytest.raises(UnicodeEncodeError):
        report.write_report(small(NAIVE), file)
    assert file.read_text() == "before"
    assert [f.name for f in tmp_path.iterdir()] == ["report.html"]


def test_a_report_without_observations_is_refused(tmp_path):
    result = small(NAIVE)
    with pytest.raises(TaskError, match="no observed power"):
        report.write_report(replace(result, observed=np.full_like(result.observed, np.nan)), tmp_path / "r.html")
    assert not list(tmp_path.iterdir())


def test_the_worst_day_is_the_worst_and_the_best_the_best():
    result = small()
    forecast = result.forecasts["power_curve"]
    windows = build_windows(result.farm, result.task, forecast.issue_times)
    mean = crps(forecast, result.observed).mean(axis=1)
    blowing = (forecast.median.mean(axis=1) >= 0.5) | (result.observed.mean(axis=1) >= 0.5)
    best, typical, worst = days(forecast, windows)
    assert [best.kind, typical.kind, worst.kind] == ["best", "typical", "worst"]
    assert worst.crps == pytest.approx(mean[blowing].max())
    assert mean[worst.row] == mean[blowing].max()
    assert mean[best.row] == mean[blowing].min()
    assert abs((mean[blowing] < mean[typical.row]).mean() - 0.5) < 0.02


def test_days_begin_with_full_data_if_any_do():
    result = small(gaps=True)
    forecast = result.forecasts["power_curve"]
    windows = build_windows(result.farm, result.task, forecast.issue_times)
    for day in days(forecast, windows):
        assert np.isfinite(windows.target[day.row]).any()
    full = np.isfinite(windows.target).all(axis=1) & np.isfinite(windows.power).all(axis=1)
    shown = days(forecast, windows)
    assert full.any() == all(full[day.row] for day in shown)
    blind = replace(forecast, rung=np.full_like(forecast.rung, Rung.NO_POWER))
    assert len(days(blind, windows)) == 3


@pytest.mark.parametrize(("rows", "kinds"), [(0, []), (1, ["only"]), (2, ["best", "worst"])])
def test_fewer_than_three_issue_times_give_fewer_days(rows, kinds):
    result = small(NAIVE)
    forecast = result.forecasts["persistence"].take(slice(rows))
    windows = build_windows(result.farm, result.task, result.forecasts["persistence"].issue_times).take(slice(rows))
    assert [day.kind for day in days(forecast, windows)] == kinds


def board_of(**best) -> pl.DataFrame:
    row = {"nmae": 7.0, "skill_persistence": None, "skill_climatology": None, "coverage_90": 90.0, "p_value": None}
    return pl.DataFrame([{"model": "gbm", **row, **best}], infer_schema_length=None)


def other(name: str, p_value: float | None) -> pl.DataFrame:
    row = {"nmae": 9.0, "skill_persistence": 0.0, "skill_climatology": 0.0, "coverage_90": 90.0, "p_value": p_value}
    return pl.DataFrame([{"model": name, **row}])


@pytest.mark.parametrize(
    ("board", "said"),
    [
        ((board_of(skill_persistence=40.4), other("persistence", 0.00001)), "40 % better than persistence, more than"),
        ((board_of(skill_persistence=2.0), other("persistence", 0.3)), "which may be chance (p = 0.3)"),
        ((board_of(skill_persistence=2.0), other("persistence", None)), "too few issue times to rule out chance"),
        ((board_of(skill_climatology=2.0), other("climatology", 0.3)), "2 % better than climatology"),
        ((board_of(model="persistence"), other("gbm", 0.3)), "No model is better than persistence"),
        ((board_of(), other("forest", 0.3)), "The best model, gbm, misses the power by 7.0 % of capacity"),
        ((board_of(),), "The model gbm misses the power by 7.0 %"),
        ((board_of(coverage_90=80.0),), "less often than it promises: it is too sure of itself"),
        ((board_of(coverage_90=97.0),), "more often than it promises"),
        ((board_of(coverage_90=88.0),), "about as often as it promises"),
    ],
)
def test_the_verdict_follows_from_the_numbers(board, said):
    assert said in verdict.headline(pl.concat(board, how="vertical_relaxed"))


def test_a_forecast_without_a_90_percent_band_is_not_judged_by_it():
    assert "band" not in verdict.headline(board_of(coverage_90=None))
    text = Reader(report.render(small(("power_curve",), horizon=2, levels=(0.5,)))).text
    assert "band held" not in text.split("The models side by side")[0]
    assert "Bands by lead time" not in text


def test_the_worst_month_hour_and_wind_are_named_with_their_error():
    by_time = pl.DataFrame({"month": [1, 1, 7], "hour": [0, 12, 12], "n": [50, 50, 50], "crps": [2.0, 9.0, 4.0]})
    by_wind = pl.DataFrame(
        {
            "speed_from": [0.0, 1, 2],
            "speed_to": [1.0, 2, 3],
            "n": [5, 100, 45],
            "crps": [30.0, 5, 2],
            "enough": [False, True, True],
        }
    )
    found = Failures(overall=5, by_time=by_time, by_wind=by_wind)
    assert verdict.failure_in_words(found) == (
        "It fails most in January (5.5 %), the hour from 12:00 UTC (6.5 %) and forecast winds of 1–2 m/s (5.0 %), "
        "against a CRPS of 5.0 % of capacity overall."
    )
    alone = Failures(overall=5, by_time=by_time[:1], by_wind=by_wind.clear())
    assert "too little to compare" in verdict.failure_in_words(alone)
    windy = Failures(overall=5, by_time=by_time[:1], by_wind=by_wind)
    assert verdict.failure_in_words(windy).startswith("It fails most in forecast winds of 1–2 m/s (5.0 %), against")


def test_the_report_names_the_failure_that_the_data_hold():
    result = small()
    forecast = result.forecasts["power_curve"]
    speed = forecast_speed(build_windows(result.farm, result.task, forecast.issue_times))
    found = failures(forecast, result.observed, speed)
    assert verdict.failure_in_words(found) in Reader(page()).text


def test_the_growth_of_the_error_is_told_from_the_first_to_the_last_lead():
    leads = by_lead(small())
    mine = leads.filter(pl.col("model") == "persistence")["crps"]
    assert verdict.lead_in_words(leads, "persistence") == (
        f"The CRPS of persistence is {mine[0]:.1f} % of capacity 1 hour ahead and {mine[5]:.1f} % 6 hours ahead."
    )
    assert verdict.lead_in_words(leads.filter(pl.col("lead_minutes") == 60), "persistence") == ""
    assert [verdict.lead(10), verdict.lead(1)] == ["10 minutes", "1 minute"]


def test_numbers_are_written_for_people():
    assert [report._seconds(s) for s in (None, 0.0123, 75.2)] == ["–", "0.012\u00a0s", "75\u00a0s"]
    assert [report._signed(n) for n in (None, -1.25, 3.0)] == ["–", "−1.2\u00a0%", "+3.0\u00a0%"]
    assert [report._duration(timedelta(days=d)) for d in (1, 30)] == ["1 day", "30 days"]
    assert report._duration(timedelta(hours=6)) == "6 hours"
    assert report._version("no-such-library") == "no-such-library from source"


def test_the_reports_models_are_those_of_the_backtest():
    text = Reader(page()).text
    assert all(f"settings of {name}" in text for name in ALL)
