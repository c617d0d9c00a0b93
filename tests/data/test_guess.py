"""What `windcast data init` makes of files that nobody has described."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from farm_files import copenhagen_hours, hours, power_rows, write_csv

from windcast.data.sources import files, guess, klim, names, published, zones
from windcast.data.sources.mapping import VariableMapping
from windcast.errors import ConfigError, SourceError

KLIM = published.find("klim/cex4WindDataInterpolated.csv")


@pytest.mark.skipif(KLIM is None, reason="the Klim data set is not in WINDCAST_DATA or ../shared/data")
def test_klim_in_local_time_kw_and_decimal_commas_is_klim_again(tmp_path: Path) -> None:
    published_farm = klim.load()
    table = pl.read_csv(KLIM, null_values=["NA"], infer_schema_length=None)
    local = pl.col("t").str.to_datetime(time_zone="UTC").dt.convert_time_zone("Europe/Copenhagen")
    leads = [
        pl.col(f"{column}{lead}").cast(pl.Float64).alias(f"{name}_{lead}h")
        for lead in (1, 2, 3)
        for column, name in (("Ws", "Speed"), ("Wd", "Richtung"), ("T", "Temp"))
    ]
    table.select(local.dt.strftime("%d.%m.%Y %H:%M").alias("Tid"), (pl.col("p") * 1e3).alias("P_kW"), *leads).write_csv(
        tmp_path / "klim.csv", separator=";", decimal_comma=True
    )
    said = guess.init(tmp_path / "klim.csv", out=tmp_path / "farm.yaml")
    assert any("5 springs" in s and "Confirm that time_zone is Europe/Copenhagen" in s for s in said.sentences)
    farm = files.load(config=said.path)
    assert farm.capacity_mw == published_farm.capacity_mw
    assert farm.resolution == published_farm.resolution
    assert farm.weather.equals(published_farm.weather)
    assert farm.power["time"].equals(published_farm.power["time"])
    assert (farm.power["power_mw"] - published_farm.power["power_mw"]).abs().max() < 1e-12  # type: ignore[operator]
    assert farm.power["power_mw"].null_count() == published_farm.power["power_mw"].null_count()
    assert farm.repairs == ()


def test_the_written_yaml_tells_what_was_seen_and_can_be_loaded(tmp_path: Path) -> None:
    write_csv(tmp_path / "hill.csv", power_rows(), ["timestamp_utc", "Active power (kW)"])
    said = guess.init(tmp_path / "hill.csv", out=tmp_path / "farm.yaml")
    text = said.path.read_text()
    assert "# - capacity_mw is" in text
    assert said.mapping.name == "hill"
    assert said.mapping.power.unit == "kW"
    assert any("time_zone is UTC, as the name" in s for s in said.sentences)
    assert any("no column looks like weather" in s for s in said.sentences)
    assert files.load(config=said.path).power.height == 48
    assert sorted(p.name for p in tmp_path.iterdir()) == ["farm.yaml", "hill.csv"]


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    write_csv(tmp_path / "hill.csv", power_rows())
    (tmp_path / "farm.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        guess.init(tmp_path / "hill.csv", out=tmp_path / "farm.yaml")
    assert (tmp_path / "farm.yaml").read_text() == "mine"
    with pytest.raises(ConfigError, match=r"does not exist. Make it first"):
        guess.init(tmp_path / "hill.csv", out=tmp_path / "nowhere" / "farm.yaml")


def test_a_weather_file_with_issue_times_is_mapped_and_its_delay_asked_for(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", power_rows(), ["period_start", "MW"])
    runs = [[hours(1)[0], t, "8", "9", "190", "12.5", "1013"] for t in hours(6)]
    header = ["model_run", "valid", "u100", "v100", "wdir_100m", "temp_2m", "pressure"]
    write_csv(tmp_path / "sky.csv", runs, header, separator="\t")
    said = guess.init(tmp_path / "power.csv", tmp_path / "sky.csv", tmp_path / "farm.yaml")
    weather = said.mapping.weather
    assert weather is not None
    assert (weather.issue_time, weather.valid_time) == ("model_run", "valid")
    assert {k: (v.column, v.unit) for k, v in weather.variables.items()} == {
        "wind_u_100m": ("u100", "m/s"),
        "wind_v_100m": ("v100", "m/s"),
        "wind_direction_100m": ("wdir_100m", "degrees"),
        "temperature_2m": ("temp_2m", "C"),
        "pressure": ("pressure", "hPa"),
    }
    assert said.mapping.interval == "start"
    assert any("weather services take hours" in s for s in said.sentences)
    assert files.load(config=said.path).weather["pressure"][0] == 101_300


def test_issue_and_valid_time_in_the_power_file_are_told_apart_without_names(tmp_path: Path) -> None:
    rows = [[hours(1)[0], *row, "8"] for row in power_rows(6)]
    write_csv(tmp_path / "both.csv", rows, ["a", "b", "power", "ws"])
    mapping, _ = guess.guess(tmp_path / "both.csv")
    assert mapping.weather is not None
    assert mapping.weather.issue_time == "a"


def test_weather_that_may_be_measured_is_not_taken_for_a_forecast(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", [[*row, "8"] for row in power_rows()], ["time", "power", "wind_speed"])
    mapping, said = guess.guess(tmp_path / "power.csv")
    assert mapping.weather is None
    assert any("nothing says when they were known: left out" in s for s in said)
    write_csv(tmp_path / "sky.csv", [[t, "8"] for t in hours(48)], ["time", "wind_speed"])
    found = guess.init(tmp_path / "power.csv", tmp_path / "sky.csv", tmp_path / "farm.yaml")
    assert any("cannot be loaded before" in s for s in found.sentences)
    with pytest.raises(ConfigError, match="nothing says when a value was known"):
        files.load(config=found.path)


def test_availability_is_seen_by_name_and_magnitude(tmp_path: Path) -> None:
    header = ["time", "power", "avail_turbines", "availability"]
    write_csv(tmp_path / "power.csv", [[*row, "35", "97.5"] for row in power_rows()], header)
    mapping, _ = guess.guess(tmp_path / "power.csv")
    assert mapping.availability is not None
    assert (mapping.availability.column, mapping.availability.unit) == ("availability", "percent")
    write_csv(tmp_path / "power.csv", [[*row, "0.97"] for row in power_rows()], ["time", "power", "availability"])
    again, _ = guess.guess(tmp_path / "power.csv")
    assert again.availability is not None
    assert again.availability.unit == "fraction"


def test_relative_power_leaves_the_capacity_open(tmp_path: Path) -> None:
    rows = [[t, f"{float(p) / 10}"] for t, p in power_rows()]
    write_csv(tmp_path / "power.csv", rows)
    mapping, said = guess.guess(tmp_path / "power.csv")
    assert mapping.power.unit == "fraction"
    assert mapping.capacity_mw == 1
    assert any("Write the installed capacity" in s for s in said)


def test_stamps_with_offsets_need_no_time_zone(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", [[f"{t}+01:00", p] for t, p in power_rows()])
    _, said = guess.guess(tmp_path / "power.csv")
    assert any("carry their offset" in s for s in said)


def test_day_or_month_first_is_written_down_and_asked_for(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", [[f"03/04/2020 {k:02}:00", f"{k % 9}.5"] for k in range(24)])
    mapping, said = guess.guess(tmp_path / "power.csv")
    assert mapping.power.format == "%d/%m/%Y %H:%M"
    assert any("could also be %m/%d/%Y %H:%M: confirm" in s for s in said)


def test_a_file_of_one_row_or_an_odd_step_leaves_the_resolution_open(tmp_path: Path) -> None:
    for rows in (power_rows(1), power_rows(9, minutes=7)):
        write_csv(tmp_path / "power.csv", rows)
        mapping, said = guess.guess(tmp_path / "power.csv")
        assert mapping.resolution is None
        assert any("set resolution: in minutes" in s for s in said)


def test_typed_parquet_is_described_too(tmp_path: Path) -> None:
    first = pl.datetime(2020, 1, 1, time_zone="UTC")
    times = pl.select(pl.datetime_range(first, first + timedelta(hours=9), "1h")).to_series()
    frame = pl.DataFrame({"at": times, "power": range(10), "note": ["a"] * 10, "empty": [None] * 10})
    frame.write_parquet(tmp_path / "p.parquet")
    mapping, _ = guess.guess(tmp_path / "p.parquet")
    assert (mapping.power.time, mapping.power.column, mapping.capacity_mw) == ("at", "power", 9.0)


def test_unix_stamps_are_seen_under_a_name_that_says_time(tmp_path: Path) -> None:
    rows = [[str(1_577_836_800 + 3600 * k), "1234567890", p] for k, (_, p) in enumerate(power_rows())]
    write_csv(tmp_path / "power.csv", rows, ["unix time", "serial", "power"])
    mapping, _ = guess.guess(tmp_path / "power.csv")
    assert (mapping.power.time, mapping.power.column, mapping.resolution) == ("unix time", "power", 60)


def test_files_without_time_or_power_are_refused_with_their_columns(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [["1", "2"]], ["x", "y"])
    with pytest.raises(SourceError, match=r"no column reads as time. The columns are x, y"):
        guess.guess(tmp_path / "a.csv")
    write_csv(tmp_path / "b.csv", [[*row, "2"] for row in power_rows()], ["time", "x", "y"])
    with pytest.raises(SourceError, match="no column looks like power"):
        guess.guess(tmp_path / "b.csv")


def test_a_lone_number_is_taken_for_power(tmp_path: Path) -> None:
    write_csv(tmp_path / "b.csv", power_rows(), ["time", "x"])
    assert guess.guess(tmp_path / "b.csv")[0].power.column == "x"


def test_a_second_column_of_one_meaning_is_left_out_and_said(tmp_path: Path) -> None:
    rows = [[*row, "5", "5", "6", "6"] for row in power_rows()]
    write_csv(tmp_path / "p.csv", rows, ["time", "power", "ws1", "ws2", "ff1", "ff2"])
    mapping, said = guess.guess(tmp_path / "p.csv")
    assert mapping.weather is not None
    assert mapping.weather.variables == {"wind_speed": VariableMapping(pattern="ws{lead}", unit="m/s")}
    assert any("'ff{lead}' looks like wind_speed as well; left out" in s for s in said)


@pytest.mark.parametrize(
    ("columns", "families"),
    [
        (["Ws1", "Ws2", "Ws3"], {"Ws{lead}": [1, 2, 3]}),
        (["t_00h", "t_06h", "t_12h"], {"t_{lead}h": [0, 6, 12]}),
        (["u10", "v10", "u100", "v100"], {}),
        (["ws_10m", "ws_20m"], {}),
        (["ws_1min", "ws_2min"], {"ws_{lead}min": [1, 2]}),
        (["Ws1"], {}),
        (["ws50", "ws100"], {}),
    ],
)
def test_lead_times_are_told_from_heights(columns: list[str], families: dict[str, list[int]]) -> None:
    assert names.lead_families(columns) == families


@pytest.mark.parametrize(
    ("name", "quantity"),
    [
        ("Windgeschwindigkeit", "wind_speed"),
        ("wind_speed_100m", "wind_speed"),
        ("Wd{lead}", "wind_direction"),
        ("u10", "wind_u"),
        ("wind_v_100m", "wind_v"),
        ("T{lead}", "temperature"),
        ("surface pressure", "pressure"),
        ("Rotor speed", None),
        ("power", None),
        ("turbine", None),
    ],
)
def test_names_of_weather_are_recognised(name: str, quantity: str | None) -> None:
    assert names.quantity_named(name) == quantity


@pytest.mark.parametrize(
    ("name", "top", "unit"),
    [
        ("P_kW", 1.0, "kW"),
        ("power [MW]", 900.0, "MW"),
        ("p w", 1.0, "W"),
        ("power %", 1.0, "percent"),
        ("power pct", 99.0, "percent"),
        ("normalised power", 1.0, "fraction"),
        ("p", 1.0, "fraction"),
        ("p", 20.3, "MW"),
        ("p", 20_300.0, "kW"),
        ("p", 2e7, "W"),
    ],
)
def test_the_unit_of_power_follows_name_and_magnitude(name: str, top: float, unit: str) -> None:
    assert names.power_unit(name, pl.Series([0.0, top]))[0] == unit


@pytest.mark.parametrize(
    ("name", "quantity", "value", "unit"),
    [
        ("ws", "wind_speed", 20.0, "m/s"),
        ("ws", "wind_speed", 90.0, "km/h"),
        ("ws_kmh", "wind_speed", 20.0, "km/h"),
        ("ws_kn", "wind_speed", 20.0, "knots"),
        ("ws mph", "wind_speed", 20.0, "mph"),
        ("dir", "wind_direction", 6.2, "radians"),
        ("t", "temperature", 70.0, "F"),
        ("t", "temperature", 280.0, "K"),
        ("ps", "pressure", 100_000.0, "Pa"),
    ],
)
def test_the_unit_of_weather_follows_name_and_magnitude(name: str, quantity: str, value: float, unit: str) -> None:
    assert names.weather_unit(name, quantity, pl.Series([value]))[0] == unit


def test_the_traces_of_daylight_saving_name_the_zone() -> None:
    def wall(stamps: list[str]) -> pl.Series:
        return pl.Series(stamps).str.to_datetime("%Y-%m-%d %H:%M")

    hour = timedelta(hours=1)
    autumn = zones.local_zone(wall(copenhagen_hours("2020-10-20 00:00", 200)), hour)
    assert autumn == zones.Traces("Europe/Copenhagen", 0, 1)
    spring = zones.local_zone(wall(copenhagen_hours("2020-03-25 00:00", 200)), hour)
    assert spring == zones.Traces("Europe/Copenhagen", 1, 0)
    assert zones.local_zone(wall(hours(20_000)), hour) is None
    assert zones.local_zone(wall(hours(100)), hour) is None


def test_columns_that_nothing_was_made_of_are_named_and_so_is_missing_wind(tmp_path: Path) -> None:
    rows = [
        f"2024-01-{1 + h // 24:02d} {h % 24:02d}:00,{h % 7},{9 + h % 5},{280 + h % 3},{280 + h % 4},{h % 9}"
        for h in range(72)
    ]
    file = tmp_path / "power.csv"
    file.write_text("time,power_MW,blaest1,temp1,temp2,unrelated thing\n" + "\n".join(rows))
    _, said = guess.guess(file)
    (left,) = [sentence for sentence in said if "not used" in sentence]
    assert "blaest1" in left
    assert "unrelated thing" in left
    assert "power_MW" not in left
    assert any("No wind was recognised" in sentence for sentence in said)


def test_a_weather_file_is_said_to_have_a_clock_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("time,power_MW\n" + "\n".join(f"2024-01-01 {h:02d}:00,{h}" for h in range(24)))
    (tmp_path / "w.csv").write_text(
        "issue_time,valid_time,wind_speed\n"
        + "\n".join(f"2024-01-01 00:00,2024-01-01 {h:02d}:00,{h}" for h in range(24))
    )
    _, said = guess.guess(tmp_path / "p.csv", weather=tmp_path / "w.csv")
    assert any("give weather a time_zone of its own" in sentence for sentence in said)
