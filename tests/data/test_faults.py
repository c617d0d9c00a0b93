"""Each fault does what it says and nothing else."""

import dataclasses
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from windcast.data.farm import FarmData
from windcast.data.sources import faults, simulation
from windcast.errors import ConfigError

START, END = datetime(2020, 1, 5, tzinfo=UTC), datetime(2020, 1, 8, tzinfo=UTC)
SPAN = {"start": START, "end": END}
INSIDE = (pl.col("time") > START) & (pl.col("time") <= END)


@pytest.fixture(scope="module")
def farm() -> FarmData:
    return simulation.load(days=12, seed=4)


def compare(farm: FarmData, changed: FarmData) -> pl.DataFrame:
    return farm.power.join(changed.power.rename({"power_mw": "after"}), on="time", how="full", coalesce=True).sort(
        "time"
    )


def assert_only_power_changed(farm: FarmData, changed: FarmData, within: pl.Expr = INSIDE) -> pl.DataFrame:
    """What lies within the span, before and after."""
    both = compare(farm, changed)
    outside = both.filter(~within)
    assert outside["power_mw"].equals(outside["after"])
    assert changed.weather.equals(farm.weather)
    assert changed.times.tolist() == farm.times.tolist()
    return both.filter(within)


def assert_only_weather_changed(farm: FarmData, changed: FarmData) -> None:
    assert changed.power.equals(farm.power)
    outside = (pl.col("available_at") <= START) | (pl.col("available_at") > END + timedelta(hours=6))
    assert changed.weather.filter(outside).equals(farm.weather.filter(outside))


def test_drift_sinks_evenly_and_stays_low(farm):
    changed = faults.drift(farm, **SPAN, loss=0.4)
    both = assert_only_power_changed(farm, changed, pl.col("time") > START)
    ratio = both.filter(pl.col("power_mw") > 0.01).with_columns(pl.col("after") / pl.col("power_mw"))
    progress = (ratio["time"] - START).dt.total_seconds() / (END - START).total_seconds()
    assert (ratio["after"] - (1 - 0.4 * progress.clip(0, 1))).abs().max() < 1e-12


def test_drift_without_a_span_runs_over_the_whole_record(farm):
    changed = faults.drift(farm, loss=0.5)
    assert changed.power["power_mw"][0] == farm.power["power_mw"][0]
    assert changed.power["power_mw"][-1] == pytest.approx(0.5 * farm.power["power_mw"][-1])


def test_curtailment_caps_power_and_the_table_tells_what_was_held_back(farm):
    changed = faults.curtailment(farm, **SPAN, limit=0.3)
    both = assert_only_power_changed(farm, changed)
    limit = 0.3 * farm.capacity_mw
    assert both["after"].equals(both["power_mw"].clip(upper_bound=limit).rename("after"))
    held = changed.curtailment.join(both, on="time")
    assert held.height == changed.curtailment.height == (both["power_mw"] > limit).sum() > 0
    assert (held["after"] + held["curtailed_mw"] - held["power_mw"]).abs().max() < 1e-12


def test_curtailment_untold_leaves_no_trace_but_the_power(farm):
    changed = faults.curtailment(farm, **SPAN, limit=0.3, told=False)
    assert changed.curtailment is None
    assert changed.power.equals(faults.curtailment(farm, **SPAN, limit=0.3).power)


def test_two_curtailments_add_up_in_the_table(farm):
    twice = faults.curtailment(faults.curtailment(farm, **SPAN, limit=0.5), **SPAN, limit=0.3)
    once = faults.curtailment(farm, **SPAN, limit=0.3)
    assert twice.power.equals(once.power)
    joined = twice.curtailment.join(once.curtailment, on="time", how="full", coalesce=True)
    assert (joined["curtailed_mw"] - joined["curtailed_mw_right"]).abs().max() < 1e-12


def test_icing_takes_power_only_in_the_cold(farm):
    changed = faults.icing(farm, **SPAN, below_kelvin=274.0, loss=0.6)
    both = assert_only_power_changed(farm, changed)
    latest = farm.weather.sort("available_at").group_by("valid_time").agg(pl.col("temperature_2m").last())
    both = both.join(latest, left_on="time", right_on="valid_time")
    cold = pl.col("temperature_2m") < 274.0
    iced, clear = both.filter(cold), both.filter(~cold)
    assert min(iced.height, clear.height) > 0
    assert (iced["after"] - 0.4 * iced["power_mw"]).abs().max() < 1e-12
    assert clear["after"].equals(clear["power_mw"].rename("after"))


def test_icing_without_a_temperature_is_refused(farm):
    bare = dataclasses.replace(farm, weather=farm.weather.drop("temperature_2m"))
    with pytest.raises(ConfigError, match="needs a temperature in the weather; simulation has wind_speed_100m"):
        faults.icing(bare)


def test_a_stuck_sensor_repeats_one_value(farm):
    both = assert_only_power_changed(farm, faults.stuck_sensor(farm, **SPAN))
    assert both["after"].n_unique() == 1
    assert both["after"][0] == both["power_mw"][0]
    assert both["power_mw"].n_unique() > 10


def test_a_stuck_sensor_without_a_value_to_repeat_stays_missing(farm):
    empty = faults.missing_power(farm, **SPAN)
    assert faults.stuck_sensor(empty, **SPAN).power.equals(empty.power)


def test_missing_power_is_null_and_its_rows_stay(farm):
    both = assert_only_power_changed(farm, faults.missing_power(farm, **SPAN))
    assert both["after"].null_count() == both.height == 72


def test_late_weather_arrives_later_with_the_same_values(farm):
    everywhere = faults.late_weather(farm, hours=2.5)
    expected = farm.weather.with_columns(pl.col("available_at") + timedelta(hours=2.5))
    assert everywhere.weather.equals(expected)
    changed = faults.late_weather(farm, **SPAN, hours=2.5)
    assert_only_weather_changed(farm, changed)
    assert changed.weather.height == farm.weather.height


def test_a_late_run_gives_way_to_the_newer_one_it_arrives_with(farm):
    changed = faults.late_weather(farm, **SPAN, hours=6)
    assert_only_weather_changed(farm, changed)
    meeting = pl.col("available_at") == datetime(2020, 1, 8, 4, tzinfo=UTC)
    newer = farm.weather.filter(meeting)
    kept = changed.weather.filter(meeting).join(newer, on=["valid_time", "available_at"], how="semi")
    assert kept.equals(newer)


def test_missing_runs_takes_whole_runs_and_the_share_asked_for(farm):
    changed = faults.missing_runs(farm, **SPAN, share=0.5, seed=1)
    assert_only_weather_changed(farm, changed)
    lost = farm.weather.join(changed.weather, on=["valid_time", "available_at"], how="anti")
    runs = lost["available_at"].unique()
    assert len(runs) == 6
    assert lost.height == 6 * 61
    assert runs.is_between(START, END).all()
    assert faults.missing_runs(farm, **SPAN, share=0.5, seed=1).checksum == changed.checksum
    assert faults.missing_runs(farm, **SPAN, share=0.5, seed=2).checksum != changed.checksum
    assert (
        faults.missing_runs(farm, **SPAN).weather["available_at"].n_unique()
        == changed.weather["available_at"].n_unique() - 6
    )


@pytest.mark.parametrize("hours", [2, -3])
def test_time_shift_moves_what_the_runs_speak_of(farm, hours):
    changed = faults.time_shift(farm, **SPAN, hours=hours)
    assert_only_weather_changed(farm, changed)
    inside = (pl.col("available_at") > START) & (pl.col("available_at") <= END)
    expected = farm.weather.filter(inside).with_columns(pl.col("valid_time") + timedelta(hours=hours))
    assert changed.weather.filter(inside).equals(expected)


def test_reanalysis_without_arrival_times_can_be_shifted(farm):
    newest = farm.weather.unique("valid_time", keep="last").with_columns(
        available_at=pl.lit(None, pl.Datetime("us", "UTC"))
    )
    past = dataclasses.replace(farm, weather=newest, weather_kind="reanalysis")
    shifted = faults.time_shift(past, hours=1)
    assert shifted.weather["valid_time"][0] == past.weather["valid_time"][0] + timedelta(hours=1)


def test_faults_are_injected_in_order_through_load(farm):
    given = [
        {"name": "drift", "loss": 0.2},
        {"name": "missing_power", "start": "2020-01-05", "end": "2020-01-08"},
    ]
    loaded = simulation.load(days=12, seed=4, faults=given)
    assert loaded.checksum == faults.missing_power(faults.drift(farm, loss=0.2), **SPAN).checksum
    assert simulation.load(days=12, seed=4, faults=[]).checksum == farm.checksum


@pytest.mark.parametrize("name", sorted(set(faults.FAULTS)))
def test_every_fault_changes_the_farm_and_leaves_the_original(farm, name):
    before = farm.checksum
    given = {"name": name, "start": START, "end": "2020-01-08T00:00+00:00"}
    changed = faults.inject(farm, [given | ({"below_kelvin": 290.0} if name == "icing" else {})])
    assert changed.checksum != before
    assert dataclasses.replace(farm).checksum == before


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"name": "icin"}, "unknown fault 'icin'. Did you mean 'icing'"),
        ({}, "unknown fault ''. Known: curtailment"),
        ({"name": "drift", "los": 0.1}, "unknown key of fault 'drift' 'los'. Did you mean 'loss'"),
        ({"name": "drift", "farm": 0.1}, "unknown key of fault 'drift' 'farm'"),
        ({"name": "drift", "loss": 1.5}, "loss is 1.5; it is a share between 0 and 1"),
        ({"name": "late_weather", "hours": -1}, "cannot arrive before it was made"),
        ({"name": "drift", "start": "soon"}, "start is 'soon'; write a time"),
        (
            {"name": "icing", "start": END, "end": START},
            "start 2020-01-08 00:00 is not before 2020-01-05 00:00",
        ),
    ],
)
def test_an_impossible_fault_says_what_is_wrong(farm, fault, message):
    with pytest.raises(ConfigError, match=message):
        faults.inject(farm, [fault])
