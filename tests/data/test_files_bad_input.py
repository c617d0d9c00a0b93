"""Bad files get one sentence with place and remedy, or a repair that is reported."""

import io
import os
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from farm_files import copenhagen_hours, hours, power, power_rows, write_csv, write_yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windcast.data.farm import FarmData
from windcast.data.sources import files
from windcast.errors import ConfigError, DataContractError, SourceError, WindcastError


def load_rows(folder: Path, rows: list[list[str]], **changes: Any) -> FarmData:
    write_csv(folder / "power.csv", rows, ["time", "power"], separator=";")
    return files.load(config=write_yaml(folder, **changes))


def refusal(folder: Path, rows: list[list[str]], **changes: Any) -> str:
    with pytest.raises(DataContractError) as caught:
        load_rows(folder, rows, **changes)
    message = str(caught.value)
    assert str(folder / "power.csv") in message
    assert "\n" not in message
    return message


def file_refusal(folder: Path, content: bytes, name: str = "power.csv") -> str:
    (folder / name).write_bytes(content)
    with pytest.raises(SourceError) as caught:
        files.load(config=write_yaml(folder, power=power(file=name)))
    message = str(caught.value)
    assert message.startswith(str(folder / name))
    assert "\n" not in message
    return message


# the file as a whole


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    write_csv(tmp_path / "powers.csv", power_rows())
    with pytest.raises(SourceError, match=r"power\.csv: no such file\. Did you mean powers\.csv"):
        files.load(config=write_yaml(tmp_path))
    with pytest.raises(SourceError, match=r"Nothing in .* has a similar name"):
        files.load(config=write_yaml(tmp_path), power=tmp_path / "zzzzzzzzzzz")
    with pytest.raises(SourceError, match="does not exist either"):
        files.load(config=write_yaml(tmp_path), power=tmp_path / "nowhere" / "power.csv")


def test_a_folder_a_pipe_and_a_file_without_permission_are_no_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceError, match="is a folder"):
        files.load(config=write_yaml(tmp_path), power=tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="not a regular file"):
        files.load(config=write_yaml(tmp_path), power=tmp_path / "pipe")
    write_csv(tmp_path / "power.csv", power_rows())

    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(SourceError, match="Permission denied"):
        files.load(config=write_yaml(tmp_path))


def test_a_file_above_the_size_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "power.csv").open("wb") as sparse:
        sparse.truncate(1 << 30)
    config = write_yaml(tmp_path)
    tracemalloc.start()
    with pytest.raises(SourceError, match=r"1,074 MB, more than the limit of 512 MB.* raise max_mb"):
        files.load(config=config)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20


def test_the_size_limit_can_be_set(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", power_rows())
    with pytest.raises(SourceError, match=r"more than the limit of 0\.0001 MB"):
        files.load(config=write_yaml(tmp_path, max_mb=0.0001))


def test_a_small_parquet_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"time": [0] * 500_000}).write_parquet(tmp_path / "power.csv")
    with pytest.raises(SourceError, match="unpacked, it is 4 MB, more than the limit of 1 MB"):
        files.load(config=write_yaml(tmp_path, max_mb=1))


def test_a_broken_or_empty_parquet_is_named(tmp_path: Path) -> None:
    assert "broken Parquet" in file_refusal(tmp_path, b"PAR1 and no more")
    buffer = io.BytesIO()
    pl.DataFrame({"time": []}).write_parquet(buffer)
    assert "no rows" in file_refusal(tmp_path, buffer.getvalue())


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n\x00", "a PNG picture"),
        (_zip(), "Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "old Excel workbook"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"CDF\x01\x00", "NetCDF"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"\xef\xbb\xbf  <html>", "a web page"),
        (b"<?xml version='1.0'?><a/>", "XML"),
        (b'{"error": "quota"}', "JSON"),
        (bytes(range(32)) * 4, "binary data"),
        (b"", "is empty"),
        (b" \n\r\n ", "is empty"),
        (b"time,power\n", "no rows"),
        (b"time,power\n\n\n", "2 blank rows"),
        (b"time,power\n,\n\n", "blank rows"),
        (b"2020-01-01 00:00,1.5\n2020-01-01 01:00,2.5\n", "Add a header row"),
        (b"1,2\n3,4\n", "Add a header row"),
        (b"time,power\n2020-01-01 00:00,1\n2020-01-01 01:00,2,3\n", "row 3 has 3 fields, the header has 2"),
        (b"time,a,power\n2020-01-01 00:00,1,5\n2020-01-01 01:00\n", "row 3 has 1 field, the header has 3"),
        (b'time,power\n2020-01-01 00:00,"1\n', "unclosed quote|cannot be read|row 2 has|row 3 has"),
        (b"\xff\xfet\x00i\x00m", "broken UTF-16"),
        (b"time,power\r2020-01-01 00:00,1\r", "row 1 cannot be read"),
    ],
)
def test_what_is_no_table_is_called_by_its_name(tmp_path: Path, content: bytes, said: str) -> None:
    message = file_refusal(tmp_path, content)
    assert any(part in message for part in said.split("|")), message


def test_a_field_beyond_all_measure_is_named_with_its_row(tmp_path: Path) -> None:
    content = b"time,power\n2020-01-01 00:00," + b"9" * 200_000 + b"\n2020-01-01 01:00\n"
    assert "row 2 cannot be read" in file_refusal(tmp_path, content)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_every_common_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    write_csv(tmp_path / "power.csv", power_rows(), ["time", "puissance é"], encoding=encoding)
    farm = files.load(config=write_yaml(tmp_path, power=power(column="puissance é")))
    assert farm.power.height == 48
    assert len(farm.repairs) == (1 if encoding == "latin-1" else 0)


def test_windows_line_ends_spaces_in_the_header_and_blank_rows_are_no_obstacle(tmp_path: Path) -> None:
    lines = [
        "",
        "time , power",
        *(",".join(r) for r in power_rows(3)),
        ",",
        *(",".join(r) for r in power_rows(5)[3:]),
    ]
    (tmp_path / "power.csv").write_bytes("\r\n".join(lines).encode())
    farm = files.load(config=write_yaml(tmp_path))
    assert farm.power.height == 5
    assert farm.repairs == (f"{tmp_path / 'power.csv'}: 1 blank row left out (first row 5).",)


@given(
    cuts=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 30), st.binary(max_size=6)), max_size=4),
    zone=st.sampled_from(["UTC", "Europe/Copenhagen"]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_bytes_a_farm_or_one_sentence_comes_out(
    tmp_path: Path, cuts: list[tuple[int, int, bytes]], zone: str
) -> None:
    data = write_csv(tmp_path / "power.csv", power_rows(30)).read_bytes()
    for start, length, patch in cuts:
        data = data[:start] + patch + data[start + length :]
    (tmp_path / "power.csv").write_bytes(data)
    try:
        farm = files.load(config=write_yaml(tmp_path, time_zone=zone))
    except WindcastError as error:
        sentence = str(error)
    else:
        sentence, power_mw = "", farm.power["power_mw"].drop_nulls()
        assert power_mw.is_between(0, 10).all()
    assert len(sentence) < 1000


# columns


def test_a_wrong_column_names_the_nearest(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", power_rows(), ["time", "power_kw"])
    with pytest.raises(ConfigError, match=r"power\.csv: power\.column: .*'power'\. Did you mean 'power_kw'"):
        files.load(config=write_yaml(tmp_path))


def test_a_wrong_separator_is_suspected(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", power_rows(), separator=";")
    with pytest.raises(ConfigError, match="Perhaps the separator is ';'"):
        files.load(config=write_yaml(tmp_path, power=power(separator="|")))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", [[*r, "1"] for r in power_rows()], ["time", "power", "power"])
    with pytest.raises(ConfigError, match="two columns are named 'power'"):
        files.load(config=write_yaml(tmp_path))


# numbers


def test_a_text_among_numbers_is_named_with_its_row(tmp_path: Path) -> None:
    rows = power_rows()
    rows[7][1] = "sensor error"
    assert "1 text that is no number: 'sensor error' in row 9. " in refusal(tmp_path, rows)
    rows[9][1] = "inf"
    assert "2 texts that are no numbers, the first: 'sensor error' in row 9" in refusal(tmp_path, rows)
    rows[9][1] = "1"
    farm = load_rows(tmp_path, rows, power=power(missing=["Sensor Error"]))
    assert farm.power["power_mw"].null_count() == 1


@pytest.mark.parametrize("marker", ["", "NA", "NaN", "null", "-", " n/a ", "#N/A"])
def test_well_known_markers_are_missing_values(tmp_path: Path, marker: str) -> None:
    rows = power_rows()
    rows[7][1] = marker
    farm = load_rows(tmp_path, rows)
    assert farm.power["power_mw"].null_count() == 1
    assert farm.repairs == ()


def test_a_sentinel_becomes_missing_and_is_reported(tmp_path: Path) -> None:
    rows = power_rows()
    rows[7][1] = rows[8][1] = "-999"
    farm = load_rows(tmp_path, rows)
    assert farm.power["power_mw"].null_count() == 2
    assert farm.repairs == (
        f"{tmp_path / 'power.csv'}: column 'power': 2 values like -999 (first in row 9) taken as missing.",
    )


def test_decimal_commas_are_read_where_said_and_suspected_where_not(tmp_path: Path) -> None:
    rows = [[t, "1,5"] for t in hours(5)]
    assert "set decimal: ','" in refusal(tmp_path, rows)
    assert load_rows(tmp_path, rows, power=power(decimal=",")).power["power_mw"].to_list() == [1.5] * 5


def test_thousands_points_are_read_only_where_they_cannot_be_decimals(tmp_path: Path) -> None:
    rows = [[t, "1.234,5"] for t in hours(5)]
    farm = load_rows(tmp_path, rows, power=power(decimal=",", unit="kW"))
    assert farm.power["power_mw"].to_list() == pytest.approx([1.2345] * 5)
    rows[2][1] = "1.234"
    assert "'1.234' in row 4. The mapping says decimal: ','" in refusal(
        tmp_path, rows, power=power(decimal=",", unit="kW")
    )


# power and capacity


def test_power_without_any_value_is_refused(tmp_path: Path) -> None:
    assert "all 5 rows are missing" in refusal(tmp_path, [[t, "NA"] for t in hours(5)])


def test_power_above_capacity_names_count_first_and_remedy(tmp_path: Path) -> None:
    rows = power_rows()
    rows[3][1], rows[5][1] = "12.5", "10.05"
    message = refusal(tmp_path, rows)
    assert "2 values above the capacity of 10 MW, the first 12.5 MW at 2020-01-01 03:00 UTC in row 5" in message
    assert "capacity_mw" in message


def test_a_tiny_overshoot_is_clipped_and_reported(tmp_path: Path) -> None:
    rows = power_rows()
    rows[3][1] = "10.05"
    farm = load_rows(tmp_path, rows)
    assert farm.power["power_mw"].max() == 10.0
    assert "1 value set to capacity (10 MW), the first 10.05 MW at 2020-01-01 03:00 UTC" in farm.repairs[0]


def test_standby_consumption_becomes_zero_and_is_reported(tmp_path: Path) -> None:
    rows = power_rows()
    rows[3][1] = rows[4][1] = "-0.02"
    farm = load_rows(tmp_path, rows)
    assert farm.power["power_mw"][3] == 0.0
    assert "2 values set to 0 (standby consumption), the first -0.02 MW" in farm.repairs[0]


def test_large_negative_power_is_refused(tmp_path: Path) -> None:
    rows = power_rows()
    rows[3][1] = "-4"
    assert "1 value below 0, further than standby consumption goes" in refusal(tmp_path, rows)


@pytest.mark.parametrize(
    ("factor", "unit", "said"),
    [
        (1000, "MW", "looks like kW"),
        (1000, "kW", None),
        (1e6, "kW", "looks like W"),
        (10, "fraction", "like percent"),
    ],
)
def test_a_unit_a_thousandfold_too_large_is_recognised(
    tmp_path: Path, factor: float, unit: str, said: str | None
) -> None:
    rows = [[t, str(float(p) * factor)] for t, p in power_rows()]
    if said is None:
        load_rows(tmp_path, rows, power=power(unit=unit))
    else:
        assert said in refusal(tmp_path, rows, power=power(unit=unit))


def test_a_unit_a_thousandfold_too_small_is_recognised_in_a_long_file(tmp_path: Path) -> None:
    rows = power_rows(1500)
    assert "It looks like MW" in refusal(tmp_path, rows, power=power(unit="kW"))
    assert "Is capacity_mw written in kW?" in refusal(tmp_path, rows, capacity_mw=10_000)
    load_rows(tmp_path, power_rows(100), power=power(unit="kW"))


def test_a_calm_week_is_no_wrong_unit(tmp_path: Path) -> None:
    assert load_rows(tmp_path, [[t, "0"] for t in hours(200)]).power["power_mw"].max() == 0


def test_availability_and_curtailment_out_of_range_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", [[*r, "98"] for r in power_rows()], ["time", "power", "up"])
    for key, said in (("availability", "[0, 1]"), ("curtailment", "[0, 10]")):
        series = {"column": "up", "unit": "percent" if key == "availability" else "MW"}
        if key == "availability":
            series["unit"] = "fraction"
        with pytest.raises(DataContractError) as caught:
            files.load(config=write_yaml(tmp_path, **{key: series}))
        assert f"{key} column 'up' has 48 values outside {said}" in str(caught.value)
        assert "the first 98 in row 2" in str(caught.value)


# rows and times


def test_identical_rows_are_dropped_and_reported(tmp_path: Path) -> None:
    rows = power_rows()
    farm = load_rows(tmp_path, [*rows[:5], rows[4], *rows[5:]])
    assert farm.power.height == 48
    assert farm.repairs == (f"{tmp_path / 'power.csv'}: 1 repeated identical row dropped (first row 7).",)


def test_rows_that_contradict_one_another_are_refused(tmp_path: Path) -> None:
    rows = power_rows()
    message = refusal(tmp_path, [*rows, [rows[4][0], "7"], [rows[5][0], ""]])
    assert "rows 6 and 50 are both for 2020-01-01 04:00 UTC but differ" in message
    assert "4.5 and 7" in message
    assert "5.5 and missing" in refusal(tmp_path, [*rows, [rows[5][0], ""]])


def test_unsorted_rows_are_sorted_and_reported(tmp_path: Path) -> None:
    rows = power_rows()
    farm = load_rows(tmp_path, [*rows[:10], rows[11], rows[10], *rows[12:]])
    assert farm.power["power_mw"].equals(load_rows(tmp_path, rows).power["power_mw"])
    assert farm.repairs == (f"{tmp_path / 'power.csv'}: rows were not in time order (first at row 13); sorted.",)


def test_stamps_off_the_grid_are_refused(tmp_path: Path) -> None:
    rows = power_rows()
    rows[3][0] = "2020-01-01 03:10"
    message = refusal(tmp_path, rows)
    assert "1 of 48 stamps are off the grid of 1:00:00, the first 2020-01-01 03:10:00 UTC in row 5" in message


def test_a_resolution_that_the_rows_contradict_is_refused(tmp_path: Path) -> None:
    assert "Set resolution: 60" in refusal(tmp_path, power_rows(), resolution=10)
    assert "off the grid" in refusal(tmp_path, power_rows(minutes=10), resolution=60)
    assert "does not divide a day" in refusal(tmp_path, power_rows(minutes=7))
    assert "one time is too few" in refusal(tmp_path, power_rows(1))


def test_a_missing_or_unreadable_stamp_is_named_with_its_row(tmp_path: Path) -> None:
    rows = power_rows()
    rows[3][0] = " "
    assert "1 missing time stamp, the first in row 5" in refusal(tmp_path, rows)
    rows[3][0] = "yesterday"
    assert "1 stamp that cannot be read as %Y-%m-%d %H:%M, the first 'yesterday' in row 5" in refusal(tmp_path, rows)
    assert "48 stamps that cannot be read in any known way" in refusal(
        tmp_path, power_rows(), power=power(time="power")
    )
    assert "48 stamps that cannot be read" in refusal(tmp_path, power_rows(), power=power(format="%d.%m.%Y"))


def test_a_broken_stamp_among_stamps_with_offsets_is_named(tmp_path: Path) -> None:
    rows = [[f"{t}+01:00", p] for t, p in power_rows()]
    rows[3][0] = "2020-13-01 03:00+01:00"
    assert "'2020-13-01 03:00+01:00' in row 5" in refusal(tmp_path, rows)


def test_a_format_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"format '%Y%H' cannot be used"):
        load_rows(tmp_path, power_rows(), power=power(format="%Y%H"))


def test_stamps_with_and_without_offset_in_one_column_are_refused(tmp_path: Path) -> None:
    rows = power_rows()
    rows[3][0] += "+01:00"
    message = refusal(tmp_path, rows)
    assert "'2020-01-01 03:00+01:00' in row 5" in message
    assert "'2020-01-01 00:00' in row 2" in message


def test_day_and_month_that_could_be_exchanged_are_asked_for(tmp_path: Path) -> None:
    rows = [[f"03/04/2020 {k:02}:00", "1"] for k in range(24)]
    assert "%d/%m/%Y %H:%M and as %m/%d/%Y %H:%M" in refusal(tmp_path, rows)
    farm = load_rows(tmp_path, rows, power=power(format="%m/%d/%Y %H:%M"))
    assert farm.start.month == 3
    load_rows(tmp_path, [*rows, ["13/04/2020 00:00", "1"]])


def test_an_hour_that_local_time_skips_is_refused(tmp_path: Path) -> None:
    rows = power_rows(24, "2020-03-29 00:00")
    message = refusal(tmp_path, rows, time_zone="Europe/Copenhagen")
    assert "1 stamp in the hour that Europe/Copenhagen skips in spring, the first 2020-03-29 02:00 in row 4" in message


def test_a_repeated_hour_that_stands_once_is_refused(tmp_path: Path) -> None:
    rows = power_rows(24, "2020-10-25 00:00")
    message = refusal(tmp_path, rows, time_zone="Europe/Copenhagen")
    assert "2020-10-25 02:00 in row 4 is in the hour that Europe/Copenhagen repeats in autumn" in message
    assert "stands there once" in message


def test_a_repeated_hour_in_unsorted_rows_is_refused(tmp_path: Path) -> None:
    rows = [[t, "1"] for t in copenhagen_hours("2020-10-24 20:00", 12)]
    rows[0], rows[1] = rows[1], rows[0]
    assert "the rows are not in time order" in refusal(tmp_path, rows, time_zone="Europe/Copenhagen")


# weather


def weather_refusal(folder: Path, weather: dict[str, Any], cells: list[str], names: list[str]) -> WindcastError:
    write_csv(folder / "power.csv", [[*row, *cells] for row in power_rows(6)], ["time", "power", *names])
    with pytest.raises(WindcastError) as caught:
        files.load(config=write_yaml(folder, weather=weather))
    return caught.value


def speed(**where: str) -> dict[str, Any]:
    return {"wind_speed": {"unit": "m/s", **where}}


def test_weather_that_does_not_say_when_it_was_known_is_refused(tmp_path: Path) -> None:
    error = weather_refusal(tmp_path, {"variables": speed(column="ws")}, ["5"], ["ws"])
    assert isinstance(error, ConfigError)
    assert "nothing says when a value was known" in str(error)
    assert "kind: reanalysis" in str(error)


def test_weather_in_its_own_file_must_name_its_time(tmp_path: Path) -> None:
    write_csv(tmp_path / "w.csv", [["5"]], ["ws"])
    weather = {"file": "w.csv", "kind": "reanalysis", "variables": speed(column="ws")}
    error = weather_refusal(tmp_path, weather, ["5"], ["ws"])
    assert "weather.valid_time is not given" in str(error)
    write_csv(tmp_path / "power.csv", power_rows(6))
    with pytest.raises(ConfigError, match=r"availability\.time is not given"):
        files.load(config=write_yaml(tmp_path, availability={"file": "w.csv", "column": "ws", "unit": "percent"}))
    with pytest.raises(ConfigError, match="no weather is mapped"):
        files.load(config=write_yaml(tmp_path), weather=tmp_path / "w.csv")


def test_a_pattern_that_fits_nothing_or_twice_is_refused(tmp_path: Path) -> None:
    weather = {"variables": speed(pattern="Ws{lead}")}
    assert "fits no column" in str(weather_refusal(tmp_path, weather, ["5"], ["ws1"]))
    assert "two columns of one lead time: Ws1, Ws01" in str(
        weather_refusal(tmp_path, weather, ["5", "5"], ["Ws1", "Ws01"])
    )


def test_exchanged_issue_and_valid_times_are_recognised(tmp_path: Path) -> None:
    weather = {"issue_time": "time", "valid_time": "run", "variables": speed(column="ws")}
    error = weather_refusal(tmp_path, weather, ["2019-12-31 00:00", "5"], ["run", "ws"])
    assert "6 of 6 rows have their issue_time after their valid_time" in str(error)


@pytest.mark.parametrize(
    ("name", "unit", "value", "said"),
    [
        (
            "temperature",
            "K",
            "12.5",
            "6 values outside [180, 340] K, the first 12.5 K in row 2. It looks like C",
        ),
        ("pressure", "Pa", "1013", "It looks like hPa"),
        ("wind_speed", "m/s", "300", "Correct the values or their unit"),
        ("wind_direction", "degrees", "400", "Correct the values or their unit"),
    ],
)
def test_implausible_weather_names_the_unit_it_looks_like(
    tmp_path: Path, name: str, unit: str, value: str, said: str
) -> None:
    weather = {"kind": "reanalysis", "variables": {name: {"column": "x", "unit": unit}}}
    assert said in str(weather_refusal(tmp_path, weather, [value], ["x"]))


def test_weather_times_out_of_step_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "power.csv", power_rows(6))
    stamps = hours(6)
    stamps[4] = "2020-01-01 04:20"
    write_csv(tmp_path / "w.csv", [[t, "5"] for t in stamps], ["time", "ws"])
    weather = {"file": "w.csv", "valid_time": "time", "kind": "reanalysis", "variables": speed(column="ws")}
    with pytest.raises(DataContractError, match=r"1 of 6 weather times are off the grid.* 04:20:00 UTC in row 6"):
        files.load(config=write_yaml(tmp_path, weather=weather))


# the mapping


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"capacity": 10}, "unknown key 'capacity'. Did you mean 'capacity_mw'"),
        ({"capacity_mw": None}, "'capacity_mw' is not given"),
        ({"capacity_mw": "ten"}, "capacity_mw is 'ten'; it must be a number"),
        ({"capacity_mw": -1}, "capacity_mw is -1; it must be a positive number"),
        ({"capacity_mw": [1]}, "capacity_mw is a list"),
        ({"name": True}, "name is 'True'; it must be a text"),
        ({"power": power(unit="kWh")}, "unknown power.unit 'kWh'. Did you mean 'kW'"),
        ({"power": power(unit={"a": 1})}, "unknown power.unit 'a mapping'"),
        ({"power": power(colum="p")}, "power: unknown key 'colum'. Did you mean 'column'"),
        ({"power": power(separator=";;")}, "power: separator is ';;'"),
        ({"power": "power.csv"}, "power must hold keys and values"),
        ({"interval": "middle"}, "unknown interval 'middle'"),
        ({"time_zone": "Europe/Kopenhagen"}, "Did you mean 'Europe/Copenhagen'"),
        ({"time_zone": "../etc"}, "unknown time_zone"),
        ({"power_delay_minutes": -5}, "power_delay_minutes is -5"),
        ({"availability": {"column": "a", "unit": "MW"}}, "Use fraction or percent"),
        ({"weather": {"variables": {}}}, "weather: variables is empty"),
        ({"weather": {"variables": ["wind_speed"]}}, "weather.variables must map names to columns"),
        ({"weather": {"variables": {"wind_speed": {"unit": "m/s"}}}}, "give either column or pattern"),
        ({"weather": {"variables": speed(pattern="Ws")}}, "must hold {lead} once"),
        (
            {"weather": {"variables": {"wind_speed": {"column": "w"}}}},
            "variables.wind_speed: 'unit' is not given",
        ),
        ({"weather": {"variables": {"wind_speed": {"column": "w", "unit": "kmh"}}}}, "Did you mean 'km/h'"),
        (
            {"weather": {"variables": {"windspeed_10m": {"column": "w"}}}},
            "unknown weather variable 'windspeed_10m'",
        ),
        ({"weather": {"variables": {"wind_u10": {"column": "w"}}}}, "unknown weather variable 'wind_u10'"),
        (
            {"weather": {"variables": {"rain": {"column": "w", "unit": "mm"}}}},
            "unknown weather variable 'rain'",
        ),
        (
            {"weather": {"variables": speed(pattern="W{lead}"), "kind": "reanalysis"}},
            "Keep one of the three ways",
        ),
        ({"weather": {"variables": speed(column="w"), "issue_time": "t", "kind": "reanalysis"}}, "Drop one"),
        ({"weather": {"variables": speed(column="w"), "delay_minutes": -1}}, "delay_minutes is -1"),
    ],
)
def test_a_wrong_mapping_names_key_and_remedy(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        files.load(config=write_yaml(tmp_path, **changes))
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "farm.yaml"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name: [", "is no valid YAML in line 1"),
        (b"time,power\n1,2\n", "holds no mapping"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
        (b"name: \x00", "is no valid YAML"),
        (b"#" * (2 << 20), "is larger than 1 MB"),
    ],
)
def test_a_config_that_is_no_yaml_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "farm.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        files.load(config=tmp_path / "farm.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_config_says_how_to_make_one(tmp_path: Path) -> None:
    for config in (None, tmp_path / "none.yaml"):
        with pytest.raises(ConfigError, match="windcast data init"):
            files.load(config=config)
