"""What a user's own files become."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from farm_files import copenhagen_hours, hours, power, power_rows, write_csv, write_yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from windcast.data import sources
from windcast.data.sources import files, mapping, stamps, values
from windcast.data.sources.mapping import VariableMapping
from windcast.data.sources.reading import Table
from windcast.data.task import ForecastTask
from windcast.data.windows import build_windows
from windcast.errors import DataContractError

LEADS = {"variables": {"wind_speed": {"pattern": "Ws{lead}", "unit": "m/s"}}}


def test_a_csv_and_a_yaml_make_a_farm_in_utc_and_mw(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", power_rows(48))
    farm = sources.load("files", {"config": str(write_yaml(tmp_path, power_delay_minutes=15))})
    assert farm.name == "hill"
    assert farm.resolution == timedelta(hours=1)
    assert farm.power["time"][0] == datetime(2020, 1, 1, tzinfo=UTC)
    assert farm.power["power_mw"][:3].to_list() == [0.5, 1.5, 2.5]
    assert farm.weather_kind == "none"
    assert farm.power_delay == timedelta(minutes=15)
    assert farm.repairs == ()


@pytest.mark.parametrize(
    ("unit", "text", "power_mw"),
    [
        ("MW", "2.5", 2.5),
        ("kW", "2500", 2.5),
        ("W", "2500000", 2.5),
        ("fraction", "0.25", 2.5),
        ("percent", "25", 2.5),
    ],
)
def test_every_unit_of_power_becomes_mw(tmp_path: Path, unit: str, text: str, power_mw: float) -> None:
    write_csv(tmp_path / "power.csv", [[t, text] for t in hours(5)])
    farm = files.load(config=write_yaml(tmp_path, power=power(unit=unit)))
    assert farm.power["power_mw"].to_list() == pytest.approx([power_mw] * 5)


def test_stamps_that_mark_the_start_of_an_interval_are_moved_to_its_end(tmp_path: Path) -> None:
    rows = [[*row, "1", "0"] for row in power_rows(5)]
    write_csv(tmp_path / "power.csv", rows, ["time", "power", "up", "held"])
    series = {
        "availability": {"column": "up", "unit": "fraction"},
        "curtailment": {"column": "held", "unit": "MW"},
    }
    farm = files.load(config=write_yaml(tmp_path, interval="start", **series))
    assert farm.interval == "start"
    assert farm.availability is not None
    assert farm.curtailment is not None
    for table in (farm.power, farm.availability, farm.curtailment):
        assert table["time"][0] == datetime(2020, 1, 1, 1, tzinfo=UTC)


def test_the_value_of_lead_k_was_known_k_hours_before_its_valid_time(tmp_path: Path) -> None:
    rows = [[*row, "5", "6", "7"] for row in power_rows(6)]
    write_csv(tmp_path / "power.csv", rows, ["time", "power", "Ws1", "Ws02", "Ws3"])
    farm = files.load(config=write_yaml(tmp_path, weather=LEADS))
    at = farm.weather.filter(pl.col("valid_time") == datetime(2020, 1, 1, 3, tzinfo=UTC))
    known = [t.hour for t in at["available_at"]]
    assert list(zip(known, at["wind_speed"], strict=True)) == [(0, 7.0), (1, 6.0), (2, 5.0)]
    windows = build_windows(
        farm,
        ForecastTask(horizon=3, resolution=farm.resolution, capacity_mw=10.0, history=1, weather_history=1),
        issue_times=[datetime(2020, 1, 1, 2, tzinfo=UTC)],
    )
    np.testing.assert_array_equal(windows.weather[0, windows.future, 0], [5, 6, 7])


@pytest.mark.parametrize(("unit", "minutes"), [("hours", 60), ("minutes", 1), ("steps", 10)])
def test_leads_count_hours_minutes_or_steps_as_the_mapping_says(tmp_path: Path, unit: str, minutes: int) -> None:
    rows = [[*row, "5"] for row in power_rows(12, minutes=10)]
    write_csv(tmp_path / "power.csv", rows, ["time", "power", "Ws1"])
    farm = files.load(config=write_yaml(tmp_path, weather={**LEADS, "lead_unit": unit}))
    age = (farm.weather["valid_time"] - farm.weather["available_at"]).unique().to_list()
    assert age == [timedelta(minutes=minutes)]


def test_a_lead_that_one_variable_lacks_is_missing_for_it_alone(tmp_path: Path) -> None:
    rows = [[*row, "5", "6", "280"] for row in power_rows(3)]
    write_csv(tmp_path / "power.csv", rows, ["time", "power", "Ws1", "Ws2", "T1"])
    both = {"variables": {**LEADS["variables"], "temperature": {"pattern": "T{lead}", "unit": "K"}}}
    farm = files.load(config=write_yaml(tmp_path, weather=both))
    first = farm.weather.filter(pl.col("valid_time") == farm.start)
    assert first["temperature"].to_list() == [None, 280.0]


def test_weather_by_issue_time_is_known_after_its_delay(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", power_rows(48))
    runs = [[hours(1)[0], t, "8", "0.1"] for t in hours(6, "2020-01-01 03:00", 180)]
    write_csv(tmp_path / "weather.csv", runs, ["init", "valid", "ff", "rain"], separator=";")
    weather = {
        "file": "weather.csv",
        "issue_time": "init",
        "valid_time": "valid",
        "delay_minutes": 90,
        "variables": {"wind_speed_100m": {"column": "ff", "unit": "knots"}, "rain": {"column": "rain"}},
    }
    farm = files.load(config=write_yaml(tmp_path, weather=weather))
    assert farm.weather["available_at"].unique().to_list() == [datetime(2020, 1, 1, 1, 30, tzinfo=UTC)]
    assert farm.weather["wind_speed_100m"][0] == pytest.approx(8 * 1852 / 3600)
    assert farm.variables == ("wind_speed_100m", "rain")
    assert farm.weather_kind == "forecast"


def test_reanalysis_is_marked_and_has_no_time_of_availability(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", [[*row, "5"] for row in power_rows(5)], ["time", "power", "ws"])
    weather = {"kind": "reanalysis", "variables": {"wind_speed": {"column": "ws", "unit": "m/s"}}}
    farm = files.load(config=write_yaml(tmp_path, weather=weather))
    assert farm.weather_kind == "reanalysis"
    assert farm.weather["available_at"].null_count() == 5


def test_given_files_stand_in_for_those_of_the_mapping(tmp_path: Path) -> None:
    write_csv(tmp_path / "fresh.csv", power_rows(7))
    write_csv(tmp_path / "sky.csv", [[t, "5"] for t in hours(9)], ["time", "Ws1"])
    config = write_yaml(tmp_path, weather={**LEADS, "file": "gone.csv", "valid_time": "time"})
    farm = files.load(config=config, power=tmp_path / "fresh.csv", weather=tmp_path / "sky.csv")
    assert farm.power.height == 7
    assert farm.weather.height == 9


def test_parquet_with_typed_columns_is_read_as_it_is(tmp_path: Path) -> None:
    start = datetime(2020, 1, 1)
    naive = pl.datetime_range(start, start + timedelta(hours=5), "1h", eager=True)
    frame = pl.DataFrame({"time": naive, "power": [1, 2, 3, None, 5, 6], "Ws1": [float("nan"), 1.0, 2, 3, 4, 5]})
    frame.write_parquet(tmp_path / "naive.parquet")
    frame.with_columns(pl.col("time").dt.replace_time_zone("Asia/Tokyo")).write_parquet(tmp_path / "aware.parquet")
    config = write_yaml(tmp_path, power=power(file="naive.parquet"), weather=LEADS, time_zone="Asia/Tokyo")
    naive_farm = files.load(config=config)
    aware_farm = files.load(config=config, power=tmp_path / "aware.parquet")
    assert naive_farm.start == datetime(2019, 12, 31, 15, tzinfo=UTC)
    assert naive_farm.power["power_mw"].null_count() == 1
    assert naive_farm.weather.height == 5
    assert naive_farm.checksum == aware_farm.checksum


@pytest.mark.parametrize(
    ("stamp", "said"),
    [
        ("2020-02-13 05:00", None),
        ("2020-02-13T05:00:00.000", None),
        ("2020-02-13T05:00:00Z", None),
        ("2020-02-13 05:00:00+00:00", None),
        ("2020-02-13T06:00+0100", None),
        ("2020-02-12 23:30:00-05:30", None),
        ("2020/02/13 05:00", None),
        ("13.02.2020 05:00", None),
        ("13.02.20 05:00", None),
        ("13/02/2020 05:00:00", None),
        ("02/13/2020 05:00 AM", None),
        ("202002130500", None),
        ("1581570000", None),
        ("1581570000000", None),
        ("13|2|2020|5|00", "%d|%m|%Y|%H|%M"),
        ("2020-02-13T05:00Z", "%Y-%m-%dT%H:%M%z"),
    ],
)
def test_every_common_way_to_write_a_time_is_understood(tmp_path: Path, stamp: str, said: str | None) -> None:
    write_csv(tmp_path / "power.csv", [[stamp, "1"]], separator=";")
    change = {"separator": ";"} | ({"format": said} if said else {})
    farm = files.load(config=write_yaml(tmp_path, resolution=60, power=power(**change)))
    assert farm.start == datetime(2020, 2, 13, 5, tzinfo=UTC)


def test_mixed_offsets_of_one_utc_line_are_converted(tmp_path: Path) -> None:
    stamps = ["2020-10-25 02:00+02:00", "2020-10-25 02:00+01:00", "2020-10-25 03:00+01:00"]
    write_csv(tmp_path / "power.csv", [[t, str(k)] for k, t in enumerate(stamps)])
    farm = files.load(config=write_yaml(tmp_path))
    assert [t.hour for t in farm.power["time"]] == [0, 1, 2]


@pytest.mark.parametrize("newest_first", [False, True])
def test_local_time_through_both_clock_changes_is_one_line_in_utc(tmp_path: Path, newest_first: bool) -> None:
    for first in ("2020-03-28 12:00", "2020-10-24 12:00"):
        rows = [[t, f"{k / 10}"] for k, t in enumerate(copenhagen_hours(first, 30))]
        write_csv(tmp_path / "power.csv", rows[::-1] if newest_first else rows)
        farm = files.load(config=write_yaml(tmp_path, time_zone="Europe/Copenhagen"))
        assert farm.start == datetime.fromisoformat(first).replace(tzinfo=UTC)
        assert farm.power["time"].diff().drop_nulls().unique().to_list() == [timedelta(hours=1)]
        assert farm.power["power_mw"].to_list() == pytest.approx([k / 10 for k in range(30)])


def test_the_repeated_hour_is_told_apart_within_each_weather_run(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", power_rows(48, "2020-10-24 00:00"))
    valid = copenhagen_hours("2020-10-24 20:00", 8)
    runs = [[issue, t, str(k)] for issue in ("2020-10-24 08:00", "2020-10-24 14:00") for k, t in enumerate(valid)]
    write_csv(tmp_path / "weather.csv", runs, ["init", "valid", "ws"])
    weather = {
        "file": "weather.csv",
        "issue_time": "init",
        "valid_time": "valid",
        "time_zone": "Europe/Copenhagen",
        "variables": {"wind_speed": {"column": "ws", "unit": "m/s"}},
    }
    farm = files.load(config=write_yaml(tmp_path, weather=weather))
    for (_,), run in farm.weather.group_by("available_at"):
        assert run.sort("valid_time")["wind_speed"].to_list() == list(range(8))
        assert run["valid_time"].n_unique() == 8


@given(
    zone=st.sampled_from(["Europe/Copenhagen", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    start=st.datetimes(datetime(2019, 1, 1), datetime(2022, 1, 1)),
    minutes=st.sampled_from([15, 30, 60]),
    turned=st.booleans(),
)
@example(zone="Europe/Copenhagen", start=datetime(2020, 10, 24, 12), minutes=60, turned=True)
@example(zone="Australia/Lord_Howe", start=datetime(2020, 4, 4, 0), minutes=30, turned=False)
@settings(max_examples=40, deadline=None)
def test_local_time_is_read_exactly_or_refused(zone: str, start: datetime, minutes: int, turned: bool) -> None:
    start = start.replace(minute=0, second=0, microsecond=0, tzinfo=UTC)
    stop = start + 100 * timedelta(minutes=minutes)
    true = pl.datetime_range(start, stop, timedelta(minutes=minutes), time_unit="us", eager=True)
    true = true.reverse() if turned else true
    wall = true.dt.convert_time_zone(zone).dt.replace_time_zone(None)
    table = Table(Path("any.csv"), wall.alias("time").to_frame(), pl.Series(range(len(wall))))
    with contextlib.suppress(DataContractError):
        assert stamps.local_to_utc(table, "time", wall, zone).to_list() == true.to_list()


@pytest.mark.parametrize(
    ("variable", "unit", "value", "si"),
    [
        ("wind_speed_10m", "km/h", "36", 10.0),
        ("wind_u", "mph", "-10", -4.4704),
        ("wind_direction", "radians", "3.141592653589793", 180.0),
        ("wind_direction", "degrees", "-90", 270.0),
        ("wind_direction", "degrees", "360", 360.0),
        ("temperature_2m", "C", "10", 283.15),
        ("temperature", "F", "50", 283.15),
        ("pressure", "hPa", "1013.25", 101325.0),
    ],
)
def test_weather_becomes_si(tmp_path: Path, variable: str, unit: str, value: str, si: float) -> None:
    write_csv(tmp_path / "power.csv", [[*row, value] for row in power_rows(3)], ["time", "power", "x"])
    weather = {"kind": "reanalysis", "variables": {variable: {"column": "x", "unit": unit}}}
    farm = files.load(config=write_yaml(tmp_path, weather=weather))
    assert farm.weather[variable].to_list() == pytest.approx([si] * 3)


def test_a_mapping_survives_being_written_and_read() -> None:
    document = {
        "name": "hill",
        "capacity_mw": 10.5,
        "resolution": 10,
        "interval": "start",
        "power": {**power(), "decimal": ",", "separator": ";", "missing": ["error"]},
        "weather": {
            "issue_time": "init",
            "valid_time": "t",
            "variables": {"wind_speed": {"column": "ws", "unit": "m/s"}},
        },
        "availability": {"file": "up.csv", "time": "t", "column": "up", "unit": "percent"},
    }
    first = mapping.parse(document)
    assert first.weather is not None
    assert first.weather.variables == {"wind_speed": VariableMapping(column="ws", unit="m/s")}
    assert mapping.parse(yaml.safe_load(mapping.to_yaml(first))) == first


def test_every_canonical_quantity_has_units_and_one_of_them_is_si() -> None:
    for units in values.WEATHER_UNITS.values():
        assert (1.0, 0.0) in units.values()


def test_availability_may_stand_in_its_own_file(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", power_rows(4))
    write_csv(tmp_path / "up.csv", [[t, "97,5"] for t in hours(4)], ["when", "up"], separator=";")
    series = {"file": "up.csv", "time": "when", "column": "up", "unit": "percent", "decimal": ","}
    farm = files.load(config=write_yaml(tmp_path, availability=series))
    assert farm.availability is not None
    assert farm.availability["availability"].to_list() == pytest.approx([0.975] * 4)
