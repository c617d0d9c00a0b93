"""The embedded La Haute Borne files keep what LA_HAUTE_BORNE.md promises, the corrected clock above all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

EMBEDDED = Path(__file__).parents[2] / "src/windcast/data/embedded"
CAPACITY_MW = 8.2
HOUR, TEN_MINUTES = timedelta(hours=1), timedelta(minutes=10)
SEASONS = {"winter": (12, 1, 2), "spring": (3, 4, 5), "summer": (6, 7, 8), "autumn": (9, 10, 11)}


def read(name: str) -> pl.DataFrame:
    return pl.read_parquet(EMBEDDED / f"la_haute_borne_{name}.parquet")


def peak_lag_minutes(power: pl.DataFrame, weather: pl.DataFrame, *, step_minutes: int) -> int:
    """The shift of ERA5 wind against power that correlates best; positive if the power's stamps are early."""
    power = power.drop_nulls("power_mw")
    seconds, hours = power["time"].dt.epoch("s").to_numpy(), weather["valid_time"].dt.epoch("s").to_numpy()
    lags = np.arange(-180, 181, step_minutes)
    wind = weather["wind_speed_100m_era5"].to_numpy()
    shifted = [np.interp(seconds + 60 * lag, hours, wind) for lag in lags]
    return int(lags[np.argmax([np.corrcoef(power["power_mw"], x)[0, 1] for x in shifted])])


@pytest.mark.parametrize(
    ("name", "column", "step", "rows"),
    [
        ("hourly", "time", HOUR, 17_520),
        ("10min", "time", TEN_MINUTES, 105_120),
        ("weather", "valid_time", HOUR, 17_593),
    ],
)
def test_the_grid_is_regular_complete_and_utc(name: str, column: str, step: timedelta, rows: int) -> None:
    stamps = read(name)[column]
    assert stamps.dtype == pl.Datetime("us", "UTC")
    assert len(stamps) == rows
    assert stamps.diff().drop_nulls().unique().to_list() == [step]


@pytest.mark.parametrize("name", ["hourly", "10min"])
def test_power_lies_within_capacity_and_little_is_missing(name: str) -> None:
    power = read(name)["power_mw"]
    assert power.min() >= 0
    assert power.max() <= CAPACITY_MW
    assert 0.005 < power.null_count() / len(power) < 0.015
    assert 0.15 < power.mean() / CAPACITY_MW < 0.20


@pytest.mark.parametrize("name", ["hourly", "10min"])
def test_availability_is_a_fraction_and_known_wherever_power_is(name: str) -> None:
    frame = read(name)
    assert frame["availability"].drop_nulls().is_between(0, 1).all()
    assert (frame["availability"].is_null() == frame["power_mw"].is_null()).all()
    assert frame["curtailed_mw"].drop_nulls().is_between(0, CAPACITY_MW).all()


def test_an_hour_is_the_mean_of_the_six_rows_that_end_in_it() -> None:
    end_of_hour = (pl.col("time") - TEN_MINUTES).dt.truncate("1h") + HOUR
    power = pl.col("power_mw")
    # at the bounds the 10-minute rows are clipped one by one, the hour as a whole
    unclipped = ((power > 0) & (power < 8.19)).sum()
    hours = read("10min").group_by(end_of_hour.alias("time")).agg(mean=power.mean(), unclipped=unclipped)
    both = read("hourly").join(hours.filter(pl.col("unclipped") == 6), on="time")
    assert both.height > 12_000
    np.testing.assert_allclose(both["power_mw"], both["mean"], atol=2e-4)


@pytest.mark.parametrize("season", SEASONS)
def test_power_follows_the_wind_without_a_shift_in_every_season(season: str) -> None:
    hourly = read("hourly").filter(pl.col("time").dt.month().is_in(SEASONS[season]))
    assert abs(peak_lag_minutes(hourly, read("weather"), step_minutes=60)) <= 60


def test_daylight_saving_time_leaves_no_trace_in_the_clock() -> None:
    # the stamps as published differ by 62 minutes between the two halves of the year
    dst = pl.col("time").dt.convert_time_zone("Europe/Paris").dt.dst_offset() > timedelta(0)
    summer = peak_lag_minutes(read("10min").filter(dst), read("weather"), step_minutes=10)
    winter = peak_lag_minutes(read("10min").filter(~dst), read("weather"), step_minutes=10)
    assert abs(summer - winter) <= 30


@pytest.mark.parametrize("day", [datetime(2014, 3, 30, tzinfo=UTC), datetime(2015, 3, 29, tzinfo=UTC)])
def test_the_two_hours_that_share_stamps_in_spring_are_missing(day: datetime) -> None:
    night = read("10min").filter(pl.col("time").is_between(day + HOUR, day + 5 * HOUR))
    missing = night.filter(pl.col("power_mw").is_null())["time"]
    assert missing.to_list() == [day + 2 * HOUR + k * TEN_MINUTES for k in range(1, 13)]


@pytest.mark.parametrize("day", [datetime(2014, 10, 26, tzinfo=UTC), datetime(2015, 10, 25, tzinfo=UTC)])
def test_no_hour_is_missing_in_autumn(day: datetime) -> None:
    night = read("10min").filter(pl.col("time").is_between(day, day + 5 * HOUR))
    assert night["power_mw"].null_count() == 0


def test_weather_is_complete_and_in_its_units() -> None:
    weather = read("weather")
    assert weather.null_count().sum_horizontal().item() == 0
    ranges = {
        "wind_speed": (0, 40),
        "wind_direction": (0, 360),
        "temperature": (255, 310),
        "pressure_surface": (93_000, 101_000),
    }
    for quantity, (low, high) in ranges.items():
        columns = weather.select(pl.col(f"^{quantity}_.*$"))
        assert columns.width >= 2
        for column in columns:
            assert column.is_between(low, high, closed="left").all(), column.name


def test_both_reanalyses_agree_on_direction_and_the_warmest_hour_is_in_the_afternoon() -> None:
    weather = read("weather")
    turn = (weather["wind_direction_100m_era5"] - weather["wind_direction_50m_merra2"] + 180) % 360 - 180
    assert abs(turn.median()) < 10
    for column in ("temperature_2m_era5", "temperature_2m_merra2"):
        by_hour = weather.group_by(weather["valid_time"].dt.hour()).agg(pl.col(column).mean()).sort(column)
        assert 12 <= by_hour["valid_time"][-1] <= 16


def test_the_files_stay_small() -> None:
    assert sum(path.stat().st_size for path in EMBEDDED.glob("la_haute_borne_*.parquet")) < 3_000_000
