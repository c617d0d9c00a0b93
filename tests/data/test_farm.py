"""The contract of FarmData: what it accepts, what it says otherwise, and what its checksum stands for."""

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from windcast.data.contracts import UTC as UTC_TIME
from windcast.data.contracts import range_of
from windcast.data.farm import FarmData
from windcast.errors import DataContractError

START = datetime(2021, 5, 1, tzinfo=UTC)
HOURS = [START + timedelta(hours=k) for k in range(12)]
HOUR = timedelta(hours=1)


def utc(table: dict) -> pl.DataFrame:
    return pl.DataFrame(table).with_columns(pl.col(pl.Datetime).cast(UTC_TIME))


POWER = utc({"time": HOURS, "power_mw": [0.5 * k for k in range(11)] + [None]})
WEATHER = utc(
    {
        "valid_time": HOURS * 2,
        "available_at": [START - 2 * HOUR] * 12 + [START + 4 * HOUR] * 12,
        "wind_speed_100m": [5.0 + k / 8 for k in range(24)],
        "wind_direction_100m": [350.0] * 23 + [360.0],
        "temperature_2m": [280.0] * 24,
    }
)
IDLE = utc({"time": HOURS[3:5], "availability": [0.5, 1.0]})
HELD = utc({"time": HOURS[6:8], "curtailed_mw": [0.0, 2.0]})


def farm(**changes) -> FarmData:
    given = {"name": "hill", "capacity_mw": 6.0, "resolution": HOUR, "power": POWER, "weather": WEATHER}
    return FarmData(**(given | {"availability": IDLE, "curtailment": HELD} | changes))


def with_value(table: pl.DataFrame, column: str, row: int, value) -> pl.DataFrame:
    values = table[column].to_list()
    values[row] = value
    return table.with_columns(pl.Series(column, values, table[column].dtype))


def with_values(table: pl.DataFrame, column: str, value, *rows: int) -> pl.DataFrame:
    for row in rows:
        table = with_value(table, column, row, value)
    return table


def test_a_sound_farm_is_sorted_and_typed():
    shuffled = POWER.reverse().with_columns(pl.col("power_mw").cast(pl.Float32))
    found = farm(power=shuffled, weather=WEATHER.sample(fraction=1, shuffle=True, seed=1))
    assert found.power.equals(POWER)
    assert found.weather.equals(WEATHER.sort("valid_time", "available_at"))
    assert (found.start, found.end) == (HOURS[0], HOURS[-1])
    assert found.variables == ("wind_speed_100m", "wind_direction_100m", "temperature_2m")
    assert found.weather_kind == "forecast"
    assert farm(weather=WEATHER.clear()).weather_kind == "none"


def test_nan_is_missing_and_a_row_without_any_value_is_no_forecast():
    table = with_value(WEATHER, "wind_speed_100m", 0, float("nan"))
    assert farm(weather=table).weather["wind_speed_100m"].null_count() == 1
    for column in ("wind_direction_100m", "temperature_2m"):
        table = with_value(table, column, 0, None)
    assert farm(weather=table).weather.height == 23


def test_times_are_the_whole_grid_even_over_a_gap():
    found = farm(power=POWER.filter(pl.col("time") != HOURS[5]))
    assert len(found.times) == 12
    assert found.times[5] == np.datetime64("2021-05-01T05", "us")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"capacity_mw": 0.0}, "hill: capacity is 0.0 MW. Give the installed capacity in MW."),
        (
            {"capacity_mw": 4.2},
            "hill: power column 'power_mw' has 2 values outside [0, 4.2] MW, the first 4.5 (above "
            "4.2) at 2021-05-01 "
            "09:00 UTC. Correct the values or the unit, or raise the farm's capacity (4.2 MW).",
        ),
        (
            {"power": with_value(POWER, "power_mw", 2, -0.25)},
            "has 1 value outside [0, 6] MW, the first -0.25 (below 0) at 2021-05-01 02:00 UTC.",
        ),
        (
            {"resolution": timedelta(minutes=7)},
            "resolution 0:07:00 does not divide a day. Use for example 1 hour.",
        ),
        ({"resolution": timedelta(0)}, "resolution 0:00:00 does not divide a day."),
        (
            {"power": POWER.with_columns(power_mw=pl.lit(None, pl.Float64))},
            "power has no value at all (12 rows, all missing). Check the name of the power column",
        ),
        (
            {"power": pl.concat([POWER, POWER[4:6]])},
            "power has 4 rows that share a time, the first at 2021-05-01 04:00 UTC. Keep one row each.",
        ),
        (
            {"power": with_value(POWER, "time", 3, START + timedelta(hours=3, minutes=10))},
            "power has 1 rows off the 1:00:00 grid, the first at 2021-05-01 03:10:00 UTC. Resample to the grid",
        ),
        (
            {"power": POWER.rename({"power_mw": "power"})},
            "hill: power table: column 'power_mw' is missing; found time, power.",
        ),
        (
            {"power": POWER.with_columns(extra=pl.lit(1.0))},
            "power table: column 'extra' is not part of the contract. Drop or rename it.",
        ),
        (
            {"power": POWER.with_columns(pl.col("time").dt.replace_time_zone(None))},
            "power table: column 'time' is Datetime(time_unit='us', time_zone=None), not "
            "Datetime(time_unit='us', "
            "time_zone='UTC'). Convert it first.",
        ),
        (
            {"power": POWER.with_columns(pl.col("power_mw").cast(pl.String))},
            "column 'power_mw' is String, not Float64. Convert it first.",
        ),
        (
            {"power": with_values(POWER, "time", None, 7, 9)},
            "column 'time' has 2 missing values, the first in row 7. Drop those rows.",
        ),
        (
            {"power": with_value(POWER, "power_mw", 4, float("inf"))},
            "column 'power_mw' has 1 infinite values, the first at 2021-05-01 04:00:00+00:00. Make them missing.",
        ),
        (
            {"weather": with_values(WEATHER, "wind_speed_100m", 80.0, 5, 6)},
            "weather column 'wind_speed_100m' has 2 values outside [0, 75] m/s, the first 80 (above "
            "75) at 2021-05-01 "
            "05:00 UTC. Correct the values or their unit.",
        ),
        (
            {"weather": with_value(WEATHER, "temperature_2m", 1, 7.0)},
            "column 'temperature_2m' has 1 value outside [180, 340] K, the first 7 (below 180)",
        ),
        (
            {"weather": with_value(WEATHER, "available_at", 3, None)},
            "weather table: column 'available_at' has 1 missing values, the first in row 3.",
        ),
        (
            {"weather": WEATHER.with_columns(available_at=pl.lit(START))},
            "weather has 24 rows that share a valid_time and available_at, the first at 2021-05-01 00:00 UTC.",
        ),
        (
            {"weather": WEATHER[:12:3].vstack(WEATHER[4:5]), "weather_resolution": 3 * HOUR},
            "weather has 1 valid times off its 3:00:00 grid, which begins at 2021-05-01 00:00 UTC, "
            "the first at "
            "2021-05-01 04:00 UTC. Drop those rows or state weather_resolution.",
        ),
        (
            {"availability": with_value(IDLE, "availability", 0, 50.0)},
            "availability column 'availability' has 1 value outside [0, 1] fraction, the first 50 "
            "(above 1) at "
            "2021-05-01 03:00 UTC. Give a fraction of 1.",
        ),
        (
            {"availability": with_value(IDLE, "time", 1, HOURS[4] + timedelta(minutes=5))},
            "availability has 1 rows off the 1:00:00 grid, the first at 2021-05-01 04:05:00 UTC.",
        ),
        (
            {"curtailment": with_value(HELD, "curtailed_mw", 1, 7.0)},
            "curtailment column 'curtailed_mw' has 1 value outside [0, 6] MW, the first 7 (above 6) "
            "at 2021-05-01 "
            "07:00 UTC. Give the power held back in MW.",
        ),
        (
            {"curtailment": with_value(HELD, "time", 0, HOURS[6] + timedelta(minutes=5))},
            "curtailment has 1 rows off the 1:00:00 grid, the first at 2021-05-01 06:05:00 UTC.",
        ),
    ],
)
def test_a_broken_table_is_refused_with_place_and_remedy(changes, sentence):
    with pytest.raises(DataContractError) as refused:
        farm(**changes)
    assert sentence in str(refused.value)


def test_the_range_of_a_variable_follows_its_name():
    assert range_of("pressure_msl") == ("Pa", 40_000.0, 110_000.0)
    assert range_of("cloud_cover") is None
    farm(weather=WEATHER.with_columns(cloud_cover=pl.lit(-1e6)))


def test_the_weather_grid_is_found_and_kept_when_rows_go():
    assert farm().weather_resolution == HOUR
    assert farm(weather=WEATHER[:12:3]).weather_resolution == 3 * HOUR
    assert farm(weather=WEATHER.clear()).weather_resolution == HOUR
    fine = farm(resolution=2 * HOUR, power=POWER[::2], availability=None, curtailment=None)
    assert fine.weather_resolution == HOUR
    three_hourly = farm(weather=WEATHER[:12:3].vstack(WEATHER[12::6]))
    assert dataclasses.replace(three_hourly, weather=WEATHER[12::6]).weather_resolution == 3 * HOUR


def test_known_until_keeps_what_was_on_file():
    late = farm(power_delay=timedelta(minutes=30)).known_until(START + 4 * HOUR)
    assert late.power["time"].to_list() == HOURS[:4]
    assert late.weather["available_at"].unique().to_list() == [START - 2 * HOUR, START + 4 * HOUR]
    assert late.availability["time"].to_list() == HOURS[3:5]
    assert late.curtailment.is_empty()
    earlier = farm(availability=None, curtailment=None).known_until(START + 3 * HOUR)
    assert earlier.weather["available_at"].unique().to_list() == [START - 2 * HOUR]
    assert earlier.availability is earlier.curtailment is None
    assert earlier.end == HOURS[3]


def test_known_until_drops_versions_that_came_later():
    first = POWER.with_columns(available_at=pl.col("time") + HOUR)
    second = first.with_columns(pl.col("available_at") + 3 * HOUR, pl.lit(1.0).alias("power_mw"))
    known = farm(power=pl.concat([first, second])).known_until(START + 5 * HOUR)
    assert known.power.height == 5 + 2
    assert known.power["available_at"].max() == START + 5 * HOUR


def test_known_until_keeps_all_reanalysis():
    past = WEATHER[:12].with_columns(available_at=pl.lit(None, UTC_TIME))
    known = farm(weather=past, weather_kind="reanalysis").known_until(START + HOUR)
    assert known.weather.height == 12
    assert known.weather_kind == "reanalysis"


def test_known_until_takes_a_time_without_zone_as_utc():
    naive = datetime(2021, 5, 1, 3)
    assert farm().known_until(naive).checksum == farm().known_until(START + 3 * HOUR).checksum


def test_the_checksum_is_that_of_the_values_and_not_of_their_order_or_name():
    same = [
        farm(name="dale", attribution="someone", repairs=("mended",), interval="start"),
        farm(power=POWER.reverse(), weather=WEATHER.reverse()),
        farm(power=POWER.with_columns(pl.col("power_mw").fill_null(float("nan")))),
        dataclasses.replace(farm()),
    ]
    assert {f.checksum for f in same} == {farm().checksum}


def test_the_checksum_changes_with_any_value():
    changes = [
        {"power": with_value(POWER, "power_mw", row, value)}
        for row, value in ((0, 0.1), (3, 1.6), (5, None), (11, 0.0))
    ]
    changes += [{"power": POWER[1:]}, {"power": POWER.with_columns(available_at=pl.col("time"))}]
    changes += [{"weather": with_value(WEATHER, c, 7, 100.0 if c[0] == "w" else 300.0)} for c in WEATHER.columns[3:]]
    changes += [{"weather": with_value(WEATHER, "available_at", 7, START)}, {"weather": WEATHER.clear()}]
    changes += [{"weather": WEATHER.rename({"wind_speed_100m": "wind_speed_10m"})}]
    changes += [
        {"availability": None},
        {"curtailment": None},
        {"availability": with_value(IDLE, "availability", 1, 0.9)},
    ]
    changes += [
        {"curtailment": with_value(HELD, "curtailed_mw", 0, 0.1)},
        {"capacity_mw": 6.5},
        {"power_delay": HOUR},
    ]
    changes += [{"weather_kind": "reanalysis"}, {"weather_resolution": timedelta(minutes=30)}]
    checksums = {farm(**change).checksum for change in changes} | {farm().checksum}
    assert len(checksums) == len(changes) + 1
