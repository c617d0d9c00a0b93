"""`check` finds a fault of known size where it was put, and stays silent on a clean farm."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from clean_farm import (
    CAPACITY_MW,
    START,
    Array,
    clean_farm,
    power_of,
    temperature_of,
    wind_of,
    with_power,
    with_table,
)
from matplotlib.figure import Figure

from windcast.data.farm import FarmData
from windcast.data.quality import Finding, Report, check
from windcast.data.quality_finding import covered, percent, runs
from windcast.data.quality_plot import plot
from windcast.data.quality_record import PowerCurve
from windcast.data.sources import klim, published


def only(farm: FarmData) -> Finding:
    """The single finding of a farm with a single fault."""
    report = check(farm)
    assert len(report.findings) == 1, report.to_frame()
    return report.findings[0]


def names(report: Report) -> set[str]:
    return {f.check for f in report.findings}


def at(step: int) -> datetime:
    """Stamp of a step of the hourly clean farm."""
    return START + timedelta(hours=step + 1)


def windy(farm: FarmData, hours: int, least: float, count: int, *, below_k: float = 400) -> list[int]:
    """First steps of `count` spells of `hours` windier than `least` (m/s) and colder than `below_k`, 60 h apart."""
    wind = wind_of(farm)
    fit = (wind > least) & (wind < 17.5) & (temperature_of(farm) < below_k)  # above, no curve is known
    chosen: list[int] = []
    for step in np.flatnonzero(np.lib.stride_tricks.sliding_window_view(fit, hours).all(axis=1)):
        if not chosen or step - chosen[-1] > hours + 60:
            chosen.append(int(step))
    assert len(chosen) >= count
    return chosen[:count]


def with_weather(farm: FarmData, *columns: pl.Expr) -> FarmData:
    return replace(farm, weather=farm.weather.with_columns(*columns))


# --- a clean farm ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "days", "seed"),
    [(60, 730, 0), (60, 400, 1), (60, 100, 3), (10, 200, 4), (30, 300, 5)],
)
def test_nothing_is_found_in_a_clean_farm(minutes: int, days: int, seed: int) -> None:
    report = check(clean_farm(minutes=minutes, days=days, seed=seed))
    assert report.findings == ()
    assert report.exit_code == 0
    assert report.to_frame().is_empty()


def test_the_summary_tells_the_farm() -> None:
    farm = clean_farm()
    summary = check(farm).summary
    assert summary["span"] == "2020-01-01 01:00 … 2021-02-04 00:00 UTC, 400 days"
    assert summary["checksum"] == farm.checksum
    assert summary["capacity factor"] == f"{power_of(farm).mean():.3f}"
    assert summary["completeness"] == "power 100 %, wind 100 %"
    assert summary["variables"] == "wind_speed_100m, temperature_2m"
    assert summary["rank correlation with power"].startswith("wind_speed_100m 0.9")


# --- power alone -------------------------------------------------------------------------------------


def test_gaps_are_counted_whether_the_row_or_its_value_is_missing() -> None:
    farm = clean_farm()
    power = power_of(farm)
    power[1000:1030] = np.nan
    holed = with_power(farm, power)
    holed = replace(holed, power=holed.power.filter(~pl.col("time").is_between(at(5000), at(5009))))
    found = only(holed)
    assert (found.check, found.severity) == ("power gaps", "info")
    assert found.spans.rows() == [(at(1000), at(1029), 30.0), (at(5000), at(5009), 10.0)]
    assert found.when == f"{at(1000):%Y-%m-%d %H:%M} … {at(5009):%Y-%m-%d %H:%M}, 2 spells"
    assert found.how_much.startswith("0.4 % of the steps (40) have no power, the longest gap lasts 30 h")


@pytest.mark.parametrize(("share", "severity"), [(0.1, "warning"), (0.6, "error")])
def test_many_gaps_weigh_more(share: float, severity: str) -> None:
    farm = clean_farm()
    power = power_of(farm)
    power[: int(share * len(power))] = np.nan
    power[0] = 0.0
    assert check(with_power(farm, power)).named("power gaps")[0].severity == severity


def test_a_record_coarser_than_the_resolution_is_an_error() -> None:
    farm = clean_farm(minutes=30, days=100)
    hourly = replace(farm, power=farm.power.gather_every(2, offset=1))
    report = check(hourly)
    found = report.findings[0]
    assert (found.check, found.severity, report.exit_code) == ("irregular steps", "error", 2)
    assert "1:00:00 apart" in found.how_much


def test_a_single_power_value_has_no_steps_to_judge() -> None:
    farm = clean_farm(days=3)
    assert names(check(replace(farm, power=farm.power.head(1)))) == {"power curve"}


def test_versions_of_power_are_told_with_how_many_were_revised() -> None:
    farm = clean_farm()
    first = farm.power.with_columns(available_at=pl.col("time"))
    late = first[100:120].with_columns(pl.col("available_at") + timedelta(days=3))
    late = late.with_columns(
        power_mw=pl.when(pl.int_range(pl.len()) < 5).then(0.5 * pl.col("power_mw") + 5).otherwise("power_mw")
    )
    once = replace(farm, power=first.select("time", "available_at", "power_mw"))
    found = only(replace(farm, power=pl.concat([first, late]).select("time", "available_at", "power_mw")))
    assert check(once).findings == ()
    assert (found.check, found.severity) == ("power versions", "info")
    assert found.spans.rows() == [(at(100), at(119), 20.0)]
    assert "20 steps have 2 or fewer versions; 5 were revised" in found.how_much


def test_hours_that_the_tables_explain_are_told_and_suspected_no_more() -> None:
    farm = clean_farm()
    power, available, curtailed = power_of(farm), np.ones(len(power_of(farm))), np.zeros(len(power_of(farm)))
    steps = windy(farm, 20, 11, 4)
    for step in steps[:2]:
        power[step : step + 20] = 0
        available[step : step + 20] = 0
    for step in steps[2:]:
        power[step : step + 20] = 0.4
        curtailed[step : step + 20] = 0.5 * CAPACITY_MW
    bare = with_power(farm, power)
    told = with_table(
        with_table(bare, "availability", "availability", available), "curtailment", "curtailed_mw", curtailed
    )
    assert names(check(bare)) == {"suspected outages", "suspected curtailment"}
    found = only(told)
    assert (found.check, found.severity, found.spans["hours"].sum()) == ("known limits", "info", 80)


def test_what_a_source_repaired_is_passed_on() -> None:
    found = only(replace(clean_farm(), repairs=("12 negative values of power set to 0.",)))
    assert (found.check, found.severity, found.how_much) == (
        "repairs",
        "info",
        "12 negative values of power set to 0.",
    )


def test_a_stuck_value_is_found_while_the_wind_changes() -> None:
    farm = clean_farm()
    power, wind = power_of(farm), wind_of(farm)
    calm = int(np.flatnonzero((wind[:-10] > 12) & (wind[10:] < 5))[0])  # from full power to next to nothing
    power[calm : calm + 12] = 0.37
    found = only(with_power(farm, power))
    assert (found.check, found.severity) == ("stuck power", "warning")
    assert found.spans.rows() == [(at(calm), at(calm + 11), 12.0)]


def test_values_written_with_few_digits_are_not_stuck() -> None:
    farm = clean_farm()
    assert check(with_power(farm, np.round(power_of(farm) * 20) / 20)).named("stuck power") == ()


def test_a_farm_that_runs_full_below_its_capacity_is_not_stuck() -> None:
    farm = clean_farm()
    assert check(with_power(farm, 0.93 * power_of(farm))).findings == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: 0.5 * p, "Power never exceeds 50 % of capacity"),
        (lambda p: np.minimum(3 * p, 1), "Power is at capacity in"),
        (lambda p: p * (np.arange(len(p)) % 10 == 0), "The capacity factor is 0.0"),
    ],
)
def test_an_implausible_capacity_is_doubted(change: Callable[[Array], Array], says: str) -> None:
    farm = clean_farm(days=380, seed=2)
    said = check(with_power(farm, change(power_of(farm)))).named("capacity")
    assert len([f for f in said if f.how_much.startswith(says)]) == 1
    assert {f.severity for f in said} == {"warning"}


# --- weather -----------------------------------------------------------------------------------------


def test_reanalysis_is_told() -> None:
    farm = clean_farm()
    weather = farm.weather.with_columns(available_at=pl.lit(None, pl.Datetime("us", "UTC")))
    found = only(replace(farm, weather=weather, weather_kind="reanalysis"))
    assert (found.check, found.severity) == ("weather kind", "info")


def test_a_farm_without_weather_gets_the_checks_of_power() -> None:
    farm = clean_farm()
    power = power_of(farm)
    power[50:60] = 0.4
    report = check(
        replace(with_power(farm, power), weather=farm.weather.clear().drop("wind_speed_100m", "temperature_2m"))
    )
    assert names(report) == {"weather kind", "stuck power"}
    assert report.summary["rank correlation with power"] == "no wind"


def test_checks_that_need_a_wind_are_named_where_there_is_none() -> None:
    farm = clean_farm()
    found = only(replace(farm, weather=farm.weather.drop("wind_speed_100m")))
    assert (found.check, found.severity) == ("power curve", "warning")
    assert "no variable is a wind speed" in found.how_much


def test_wind_components_count_as_their_speed() -> None:
    farm = clean_farm()
    speed, angle = pl.col("wind_speed_100m"), pl.int_range(pl.len()) * 0.01
    weather = farm.weather.with_columns(wind_u_100m=speed * angle.sin(), wind_v_100m=speed * angle.cos())
    report = check(replace(farm, weather=weather.drop("wind_speed_100m")))
    assert report.record.wind_name == "wind_u_100m and wind_v_100m"
    np.testing.assert_allclose(report.record.wind, wind_of(farm))
    assert report.findings == ()


def test_the_wind_that_power_follows_best_is_used_and_the_first_among_equals() -> None:
    farm = clean_farm()
    noise = pl.Series(np.random.default_rng(0).uniform(0, 20, farm.weather.height))
    weather = farm.weather.select(
        "valid_time",
        "available_at",
        noise.alias("wind_speed_10m"),
        "wind_speed_100m",
        pl.col("wind_speed_100m").alias("wind_speed_120m"),
    )
    assert check(replace(farm, weather=weather)).record.wind_name == "wind_speed_100m"


def test_a_variable_without_any_value_is_passed_over() -> None:
    farm = clean_farm()
    empty = with_weather(farm, pl.lit(None, pl.Float64).alias("wind_speed_10m"))
    assert check(empty).record.wind_name == "wind_speed_100m"


def test_wind_in_knots_is_doubted() -> None:
    found = only(with_weather(clean_farm(), (pl.col("wind_speed_100m") * 1.944).clip(0, 75)))
    assert (found.check, found.severity) == ("wind unit", "warning")


def test_missing_weather_is_counted() -> None:
    farm = clean_farm()
    found = only(replace(farm, weather=farm.weather.filter(~pl.col("valid_time").is_between(at(300), at(349)))))
    assert (found.check, found.severity) == ("weather gaps", "info")
    assert found.spans.rows() == [(at(300), at(349), 50.0)]


@pytest.mark.parametrize(("share", "severity"), [(0.1, "warning"), (0.6, "error")])
def test_much_missing_weather_weighs_more(share: float, severity: str) -> None:
    farm = clean_farm()
    cut = farm.weather.head(farm.weather.height - int(share * farm.weather.height))
    assert check(replace(farm, weather=cut)).named("weather gaps")[0].severity == severity


def known_ahead(farm: FarmData, hours: float) -> FarmData:
    return with_weather(farm, (pl.col("valid_time") - timedelta(hours=hours)).alias("available_at"))


def test_leads_beyond_what_was_known_are_told() -> None:
    found = only(known_ahead(clean_farm(), 6))
    assert (found.check, found.severity) == ("weather by lead time", "info")
    assert "1 to 6 h ahead 100 %, 7 to 48 h ahead 0 %" in found.how_much


def test_weather_that_always_comes_too_late_is_an_error() -> None:
    found = only(known_ahead(clean_farm(), -5))
    assert (found.check, found.severity) == ("weather by lead time", "error")
    assert "no run is available before" in found.how_much


def test_weather_that_is_often_missing_at_every_lead_is_a_warning() -> None:
    farm = clean_farm()
    late = pl.col("valid_time").dt.date().dt.day() % 5 == 0
    known = pl.when(late).then("valid_time").otherwise(pl.col("valid_time") - timedelta(hours=60))
    found = only(with_weather(farm, known.alias("available_at")))
    assert (found.check, found.severity) == ("weather by lead time", "warning")


def test_many_ranges_of_leads_are_shortened() -> None:
    farm = clean_farm()
    ahead = pl.col("valid_time") - pl.duration(hours=pl.int_range(pl.len()) % 40)
    found = only(with_weather(farm, ahead.alias("available_at")))
    assert "…" in found.how_much
    assert found.how_much.count("%") == 5


def moved(farm: FarmData, hours: Array) -> FarmData:
    """The hourly farm whose power at t is that of t + hours[t]."""
    rows = (np.arange(len(hours)) + hours).astype(int) % len(hours)
    return with_power(farm, power_of(farm)[rows])


@pytest.mark.parametrize(
    ("hours", "severity", "word"), [(1, "warning", "late"), (3, "error", "late"), (-9, "error", "early")]
)
def test_shifted_stamps_are_found_with_sign_and_size(hours: int, severity: str, word: str) -> None:
    farm = clean_farm()
    found = only(moved(farm, np.full(len(power_of(farm)), hours)))
    assert (found.check, found.severity) == ("time stamps", severity)
    off = float(found.how_much.split("comes ")[1].split(" ±")[0])
    assert off == pytest.approx(abs(hours), abs=0.25)
    assert f"too {word}" in found.how_much


@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_that_changes_in_spring_and_autumn_is_found(sign: int) -> None:
    farm = clean_farm(days=730)
    months = farm.power["time"]
    summer = np.zeros(len(months), bool)
    for first, last in (((2020, 3, 29), (2020, 10, 25)), ((2021, 3, 28), (2021, 10, 31))):
        start, end = (datetime(*day, 1, tzinfo=UTC) for day in (first, last))
        summer |= months.is_between(start, end).to_numpy()
    report = check(moved(farm, np.where(summer, sign, 0)))
    found = report.named("summer time")[0]
    assert found.severity == "error"
    assert f"move by {'+' if sign > 0 else '-'}" in found.how_much


def test_a_misread_twelve_hour_clock_is_found() -> None:
    farm = clean_farm()
    hour = farm.power["time"].dt.hour().to_numpy()
    report = check(moved(farm, np.where((hour >= 6) & (hour < 18), 2, -2)))
    assert report.named("day and night")[0].severity == "warning"


def test_weather_of_another_farm_is_an_error_and_stops_the_checks_against_wind() -> None:
    other = clean_farm(seed=9).weather
    found = only(replace(clean_farm(), weather=other))
    assert (found.check, found.severity) == ("power curve", "error")
    assert "No other check" in found.action


# --- power against wind ------------------------------------------------------------------------------


def test_many_values_far_from_the_curve_are_found() -> None:
    farm = clean_farm()
    power, wind = power_of(farm), wind_of(farm)
    shuffle = np.random.default_rng(1).permutation
    power[shuffle(np.flatnonzero(wind < 8))[:240]] = 0.98
    found = check(with_power(farm, power)).named("power curve")[0]
    assert found.severity == "warning"
    assert found.spans["hours"].sum() == pytest.approx(240, rel=0.15)


def test_curtailment_is_suspected_at_its_levels() -> None:
    farm = clean_farm()
    power = power_of(farm)
    steps = windy(farm, 14, 11.5, 3)
    for step, level in zip(steps, (0.5, 0.5, 0.3), strict=True):
        power[step : step + 14] = level
    found = only(with_power(farm, power))
    assert (found.check, found.severity) == ("suspected curtailment", "warning")
    for step, (first, last, hours) in zip(steps, found.spans.rows(), strict=True):
        assert at(step) <= first < last <= at(step + 13)
        assert hours >= 10
    assert "0.50 (2 ×), 0.30 (1 ×)" in found.how_much


def test_a_single_short_spell_is_an_info() -> None:
    farm = clean_farm()
    power = power_of(farm)
    step = windy(farm, 12, 12, 1)[0]
    power[step : step + 12] = 0.5
    report = check(with_power(farm, power))
    assert (names(report), report.exit_code) == ({"suspected curtailment"}, 0)


def test_outages_are_suspected_in_wind_only() -> None:
    farm = clean_farm()
    power = power_of(farm)
    steps = windy(farm, 20, 10, 2)
    for step in steps:
        power[step : step + 20] = 0
    found = only(with_power(farm, power))
    assert (found.check, found.severity) == ("suspected outages", "warning")
    for step in steps:
        inside = (found.spans["first"] <= at(step)) & (found.spans["last"] >= at(step + 19))
        assert inside.sum() == 1
    assert found.spans["hours"].sum() <= 50


def test_an_outage_below_freezing_may_be_ice() -> None:
    farm = clean_farm()
    power, step = power_of(farm), windy(farm, 14, 9, 1, below_k=273)[0]
    power[step : step + 14] = 0
    found = only(with_power(farm, power))
    assert "below 1 °C (ice?)" in found.how_much
    bare = replace(with_power(farm, power), weather=farm.weather.drop("temperature_2m"))
    assert "below 1 °C" not in only(bare).how_much


def test_icing_is_suspected_where_cold_spells_give_too_little() -> None:
    farm = clean_farm()
    power, steps = power_of(farm), windy(farm, 14, 8, 3, below_k=273)
    for step in steps:
        power[step : step + 14] *= np.linspace(0.1, 0.25, 14)
    found = only(with_power(farm, power))
    assert (found.check, found.severity) == ("suspected icing", "warning")
    assert found.spans["hours"].sum() == pytest.approx(14 * len(steps), rel=0.4)
    assert found.spans["first"][0] - at(steps[0]) < timedelta(hours=7)


def test_the_same_loss_in_warm_and_cold_is_not_ice() -> None:
    farm = clean_farm()
    power = power_of(farm)
    for step in windy(farm, 18, 8, 10):
        power[step : step + 18] *= 0.15
    assert "suspected icing" not in names(check(with_power(farm, power)))


@pytest.mark.parametrize(("factor", "word"), [(0.75, "less"), (1.3, "more")])
def test_a_lasting_jump_in_the_power_curve_is_found_in_its_month(factor: float, word: str) -> None:
    farm = clean_farm(days=730)
    power = 0.75 * power_of(farm) * (1 - 0.02 * np.random.default_rng(2).random(730 * 24))
    after = (farm.power["time"] >= datetime(2021, 2, 1, tzinfo=UTC)).to_numpy()
    found = check(with_power(farm, np.where(after, factor * power, power))).named("jump in the power curve")[0]
    assert (found.check, found.severity, found.when) == ("jump in the power curve", "warning", "from 2021-02")
    assert f"% {word} power than before" in found.how_much
    said = float(found.how_much.split("gives ")[1].split(" %")[0]) / 100
    assert said == pytest.approx(abs(factor - 1), abs=0.06)


def test_months_with_next_to_no_data_do_not_count_for_a_jump() -> None:
    farm = clean_farm(days=730)
    power = power_of(farm)
    power[:9000] = np.nan
    power[0] = 0.1
    assert "jump in the power curve" not in names(check(with_power(farm, power)))


def test_a_curve_needs_two_bins_and_ends_with_its_last() -> None:
    wind, power = np.repeat([5.2, 7.2], 30), np.repeat([0.2, 0.4], 30)
    assert PowerCurve.fit(wind[:30], power[:30], 24) is None
    curve = PowerCurve.fit(wind, power, 24)
    assert curve is not None
    np.testing.assert_allclose(
        curve.at(np.array([4.0, 5.2, 6.2, 7.5, 8.0, np.nan])), [0.2, 0.2, 0.3, 0.4, np.nan, np.nan]
    )


# --- the report --------------------------------------------------------------------------------------


def test_the_gravest_finding_comes_first_and_sets_the_exit_code() -> None:
    farm = known_ahead(moved(clean_farm(), np.full(400 * 24, 3)), 6)
    farm = with_weather(farm, (pl.col("wind_speed_100m") * 1.944).clip(0, 75))
    report = check(farm)
    assert [f.severity for f in report.findings] == ["error", "warning", "info"]
    assert report.exit_code == 2
    assert report.to_frame().columns == ["severity", "check", "when", "how_much", "action"]
    assert report.to_frame()["check"].to_list() == ["time stamps", "wind unit", "weather by lead time"]


def test_a_check_changes_nothing() -> None:
    farm = clean_farm(seed=2)
    before = farm.checksum
    check(farm)
    assert replace(farm).checksum == before


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.1234, "12.3 %"),
        (0.0003, "0.03 %"),
        (0.99996, "99.996 %"),
        (1e-9, "< 0.001 %"),
        (1 - 1e-9, "> 99.999 %"),
    ],
)
def test_a_percentage_never_hides_that_something_is_there(share: float, text: str) -> None:
    assert percent(share) == text


def test_windows_cover_their_steps() -> None:
    windows = np.array([False, True, False, False, True])
    assert covered(windows, 2).tolist() == [False, True, True, False, True, True]
    assert [a.tolist() for a in runs(windows)] == [[1, 4], [2, 5]]


# --- the page ----------------------------------------------------------------------------------------


def faulty_farm() -> FarmData:
    farm = clean_farm()
    power = power_of(farm)
    power[2000:2100] = np.nan
    for step in windy(farm, 20, 10, 2):
        power[step : step + 20] = 0
    return known_ahead(with_power(farm, power), 6)


@pytest.mark.parametrize(
    "farm",
    [
        pytest.param(clean_farm, id="clean"),
        pytest.param(faulty_farm, id="faulty"),
        pytest.param(lambda: replace(clean_farm(), weather=clean_farm().weather.drop("wind_speed_100m")), id="no wind"),
        pytest.param(
            lambda: replace(
                clean_farm(), weather=clean_farm().weather.clear().drop("wind_speed_100m", "temperature_2m")
            ),
            id="no weather",
        ),
        pytest.param(lambda: clean_farm(days=20), id="short"),
    ],
)
def test_the_page_draws_every_farm_with_named_axes(farm, tmp_path) -> None:
    data = farm()
    report = check(data)
    figure = plot(data, report)
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "quality.png", dpi=20)
    assert (tmp_path / "quality.png").stat().st_size > 2000
    timeline, findings, *panels = figure.axes
    assert len(panels) == 3
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in panels)
    assert [t.get_text().rsplit(" (", 1)[0] for t in findings.get_yticklabels()] == [f.check for f in report.findings]
    assert timeline.get_ylabel().startswith("daily mean power")


def test_the_lanes_show_the_spells() -> None:
    farm = faulty_farm()
    report = check(farm)
    lane = next(i for i, f in enumerate(report.findings) if f.check == "power gaps")
    bars = plot(farm, report).axes[1].collections[lane].get_paths()
    assert len(bars) == 1
    assert np.ptp(bars[0].vertices[:, 0]) == pytest.approx(100 / 24, rel=0.01)


# --- real data ---------------------------------------------------------------------------------------


@pytest.mark.skipif(published.find("klim/cex4WindDataInterpolated.csv") is None, reason="Klim is not in WINDCAST_DATA")
def test_klim_has_the_faults_that_are_known_of_it() -> None:
    report = check(klim.load())
    assert report.exit_code == 1
    assert names(report) == {
        "time stamps",
        "jump in the power curve",
        "power gaps",
        "weather gaps",
        "weather by lead time",
    }
    assert "(358)" in report.named("power gaps")[0].how_much
    assert "1 to 3 h ahead 96.6 %, 4 to 48 h ahead 0 %" in report.named("weather by lead time")[0].how_much
    assert report.named("jump in the power curve")[0].when == "from 1999-11"
