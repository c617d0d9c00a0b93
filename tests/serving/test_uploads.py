"""Whatever a client uploads, the service answers with a forecast or one sentence, and keeps no more than it may."""

import asyncio
import gzip
import io
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windcast.data.sources import files, guess, klim, mapping, published
from windcast.data.task import ForecastTask
from windcast.errors import WindcastError
from windcast.models.base import build
from windcast.registry import production
from windcast.registry.bundles import Bundle
from windcast.serving.problems import BadRequest, ServiceError, TooLarge, Unprocessable, Unsupported
from windcast.serving.tables import UploadedFarm, farm_from_table
from windcast.serving.uploads import Upload, read_body, read_upload, shown

FORM = "multipart/form-data; boundary=xYz"
CSV = b"time,power\r\n2020-01-01 00:00,1\r\n--xY\r\n\r\n--x"


async def chunks(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def body(*pieces: bytes, most: int = 10_000, encoding: str | None = None, length: str | None = None) -> bytes:
    read = read_body(chunks(pieces), most_bytes=most, content_encoding=encoding, content_length=length)
    return asyncio.run(read)


def upload(*pieces: bytes, kind: str | None = FORM, most: int = 10_000, encoding: str | None = None) -> Upload:
    read = read_upload(chunks(pieces), content_type=kind, most_bytes=most, content_encoding=encoding)
    return asyncio.run(read)


def part(content: bytes = CSV, *, field: str = "data", name: str | None = "power.csv", boundary: str = "xYz") -> bytes:
    file = "" if name is None else f'; filename="{name}"'
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"{file}\r\nContent-Type: text/csv\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = b"--xYz--\r\n"


# bodies


def test_a_body_is_read_whole_however_it_arrives():
    assert body(b"ab", b"", b"c") == b"abc"
    assert body() == b""


@pytest.mark.parametrize(
    ("encoding", "packed"), [("gzip", gzip.compress), ("GZip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_packed_body_is_inflated(encoding, packed):
    data = bytes(range(256)) * 30
    content = packed(data)
    assert body(*(content[k : k + 7] for k in range(0, len(content), 7)), encoding=encoding) == data


def test_gzip_members_may_follow_one_another():
    assert body(gzip.compress(b"one ") + gzip.compress(b"two"), encoding="gzip") == b"one two"


def test_an_endless_upload_is_refused_as_soon_as_it_passes_the_limit():
    came = 0

    async def endless():
        nonlocal came
        while True:
            came += 65_536
            yield bytes(65_536)

    with pytest.raises(TooLarge, match=r"is more than 1 MB\. Send the rows"):
        asyncio.run(read_body(endless(), most_bytes=1_000_000))
    assert came <= 1_000_000 + 65_536


def test_an_upload_that_says_that_it_is_too_large_is_not_read_at_all():
    async def untouched():
        raise AssertionError
        yield b""

    with pytest.raises(TooLarge):
        asyncio.run(read_body(untouched(), most_bytes=1000, content_length="2000000000"))


@pytest.mark.parametrize("read", [body, upload])
def test_a_bomb_is_refused_while_it_inflates(read):
    bomb = gzip.compress(bytes(300_000_000), compresslevel=1)
    assert len(bomb) < 2_000_000
    tracemalloc.start()
    with pytest.raises((TooLarge, BadRequest)):
        read(bomb, most=2_000_000, encoding="gzip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize(
    ("content", "encoding", "error"),
    [
        (gzip.compress(b"abc" * 100, mtime=0)[:-9], "gzip", BadRequest),
        (b"", "gzip", BadRequest),
        (b"no gzip", "gzip", BadRequest),
        (gzip.compress(b"abc", mtime=0) + b"tail", "gzip", BadRequest),
        (b"abc", "br", Unsupported),
        (b"abc", "gzip, gzip", Unsupported),
    ],
)
def test_a_broken_or_unknown_encoding_is_named(content, encoding, error):
    with pytest.raises(error) as caught:
        body(content, encoding=encoding)
    assert str(caught.value).endswith(".")


# forms


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 600), max_size=12))
@settings(max_examples=200, deadline=None)
def test_a_form_gives_the_same_file_however_it_is_cut_into_chunks(data, cuts):
    if b"\r\n--xYz" in b"\r\n" + data:
        return
    content = part(data) + END
    edges = [0, *sorted(min(c, len(content)) for c in cuts), len(content)]
    pieces = [content[a:b] for a, b in pairwise(edges)]
    assert upload(*pieces) == Upload("power.csv", data)


def test_every_byte_of_a_form_may_come_alone():
    content = part() + END
    assert upload(*(content[k : k + 1] for k in range(len(content)))) == Upload("power.csv", CSV)


def test_a_packed_form_is_inflated():
    assert upload(gzip.compress(part() + END), encoding="gzip").data == CSV


def test_a_file_without_a_name_is_still_a_table():
    assert upload(part(name=None) + END).name == "the table"


@pytest.mark.parametrize(
    ("content", "kind", "error", "said"),
    [
        (part(field="file") + END, FORM, Unprocessable, "has a field 'file'; the table belongs in 'data'"),
        (part(field="", name=None) + END, FORM, Unprocessable, "belongs in 'data'"),
        (part() + part() + END, FORM, Unprocessable, "two files"),
        (part() + part(field="more") + END, FORM, Unprocessable, "field 'more'"),
        (END, FORM, Unprocessable, "has no field 'data'"),
        (b"", FORM, BadRequest, "cut off"),
        (part(), FORM, BadRequest, "cut off"),
        (part() + END, "multipart/form-data; boundary=other", BadRequest, "multipart|boundary"),
        (part() + END, "multipart/form-data", BadRequest, "names no boundary"),
        (part() + END, f"multipart/form-data; boundary={'x' * 300}", BadRequest, "too long"),
        (CSV, "text/csv", Unsupported, "curl -F data=@"),
        (CSV, None, Unsupported, "curl -F data=@"),
        (b'{"a": 1}', "application/json", Unsupported, "multipart/form-data"),
        (b"--xYz\r\n" + b"a: b\r\n" * 500 + b"\r\n", FORM, BadRequest, "cannot be read"),
        (b"--xYz\r\nContent-Disposition: " + b"x" * 9000, FORM, BadRequest, "cannot be read"),
        (b"--xYz\r\n\r\nno header\r\n" + END, FORM, Unprocessable, "belongs in 'data'"),
    ],
)
def test_a_form_that_is_none_is_refused_with_a_sentence_that_helps(content, kind, error, said):
    with pytest.raises(error) as caught:
        upload(content, kind=kind)
    assert any(words in str(caught.value) for words in said.split("|")), str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\power.csv", "power.csv"),
        ("a\x00b\x1b[31m\u202ec.csv", "ab[31mc.csv"),
        ("x" * 500, "x" * 79 + "…"),
        ("..", ".."),
        ("Größe.csv", "Größe.csv"),
    ],
)
def test_a_file_name_is_only_shown_and_cleaned_for_that(name, safe):
    assert shown(name) == safe


@given(name=st.text(max_size=200))
def test_any_file_name_becomes_one_short_printable_line(name):
    assert len(shown(name)) <= 80
    assert shown(name).isprintable()


# tables

START = datetime(2020, 1, 1)


def stub(
    variables=("wind_speed",), *, kind="forecast", capacity=10.0, minutes=60.0, horizon=3, interval="end"
) -> Bundle:
    """A bundle of which only what it says of its farm is used."""
    step = timedelta(minutes=minutes)
    task = ForecastTask(horizon=horizon, resolution=step, capacity_mw=capacity, levels=(0.1, 0.5, 0.9))
    forecaster = build({"name": "persistence"})
    forecaster.task, forecaster.variables = task, tuple(variables)
    contract = {
        "capacity_mw": capacity,
        "resolution_minutes": minutes,
        "variables": list(variables),
        "weather_kind": kind,
    }
    manifest = {
        "farm": "hill",
        "interval": interval,
        "contract": contract,
        "trained_until": "2019-12-01T00:00:00+00:00",
        "model": "persistence",
        "config": {},
    }
    return Bundle(None, manifest, forecaster)


def csv(columns: dict[str, Sequence[object]], separator: str = ",") -> bytes:
    rows = [separator.join(columns), *(separator.join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    return ("\n".join(rows) + "\n").encode()


def hours(count: int) -> list[str]:
    return [f"{START + timedelta(hours=k):%Y-%m-%d %H:%M}" for k in range(count)]


def powers(count: int, most: float = 9.0) -> list[float]:
    return [round(most * (k % 10) / 9, 4) for k in range(count)]


def farm(data: bytes, bundle: Bundle | None = None, own=None, time_zone: str | None = None) -> UploadedFarm:
    return farm_from_table(data, "up.csv", bundle=bundle or stub(), own=own, time_zone=time_zone)


def refusal(data: bytes, bundle: Bundle | None = None) -> str:
    with pytest.raises(WindcastError) as caught:
        farm(data, bundle)
    message = str(caught.value)
    assert "\n" not in message
    assert not isinstance(caught.value, ServiceError) or caught.value.status == 422
    assert "not foreseen" not in message
    assert "cannot be understood" not in message, message
    return message


def test_future_rows_without_power_are_weather_for_the_hours_to_come():
    power = [*powers(30), "", "", ""]
    wind = [float(k) for k in range(33)]
    data = csv({"t": hours(33), "p": power, "Ws1": wind, "Ws2": wind, "Ws3": wind})
    found = farm(data)
    assert found.missing == ()
    last = found.farm.power.drop_nulls("power_mw")["time"][-1]
    windows = production.build_windows(found.farm, stub().forecaster.task, [last])
    assert windows.weather[0, windows.future, 0].tolist() == [30.0, 31.0, 32.0]


@pytest.mark.parametrize(("second", "minutes"), [(0, 120), (1, 60)])
def test_the_step_of_the_weather_is_that_of_the_rows_that_hold_any_of_it(second, minutes):
    one, other = ([5.0 if k % 2 == phase else "" for k in range(48)] for phase in (0, second))
    found = farm(csv({"t": hours(48), "p": powers(48), "Ws1": one, "Ws2": other, "Ws3": one}))
    assert found.farm.weather_resolution == timedelta(minutes=minutes)


def test_without_weather_a_farm_still_comes_and_what_is_missing_is_said():
    found = farm(csv({"time": hours(48), "power": powers(48)}))
    assert found.farm.weather.is_empty()
    assert "no weather" in found.missing[0]


def test_a_variable_that_is_missing_is_unknown_and_named():
    wind = powers(48)
    data = csv({"time": hours(48), "power": powers(48), "Ws1": wind, "Ws2": wind})
    found = farm(data, stub(("wind_speed", "temperature")))
    assert found.farm.variables == ("wind_speed", "temperature")
    assert found.farm.weather["temperature"].null_count() == found.farm.weather.height
    assert any("temperature" in sentence for sentence in found.missing)


@pytest.mark.parametrize(
    ("wanted", "columns", "matched"),
    [
        (["wind_speed_100m"], ["wind_speed_100m"], ["wind_speed_100m"]),
        (["wind_speed_100m"], ["ws"], ["wind_speed_100m"]),
        (["wind_speed"], ["wind_speed_80m"], ["wind_speed"]),
        (["wind_speed_10m", "wind_speed_100m"], ["ws"], []),
        (["wind_speed"], ["wind_speed_10m", "wind_speed_100m"], []),
        (["wind_speed_10m", "wind_speed_100m"], ["ws100m", "ws10m"], ["wind_speed_10m", "wind_speed_100m"]),
        (["wind_speed_10m"], ["wind_speed_100m"], []),
        (["cloud"], ["cloud"], ["cloud"]),
    ],
)
def test_variables_are_matched_by_name_else_by_quantity_and_height_if_that_is_unambiguous(wanted, columns, matched):
    data = csv({"time": hours(48), "power": powers(48)} | {c: [k + 5.0 for k in powers(48)] for c in columns})
    found = farm(data, stub(wanted, kind="reanalysis"))
    known = [v for v in found.farm.variables if found.farm.weather[v].null_count() < found.farm.weather.height]
    assert known == matched
    if matched:
        assert found.farm.weather_kind == "reanalysis"


def test_weather_of_which_nothing_says_when_it_was_known_counts_as_known_at_the_issue_time():
    data = csv({"time": hours(33), "power": [*powers(30), "", "", ""], "wind_speed": [float(k) for k in range(33)]})
    found = farm(data)
    last = START + timedelta(hours=29)
    known = found.farm.weather["available_at"].dt.replace_time_zone(None)
    assert found.farm.weather_kind == "forecast"
    assert known.max() == last
    assert (known <= found.farm.weather["valid_time"].dt.replace_time_zone(None)).all()
    assert "taken as known" in found.missing[-1]


@pytest.mark.parametrize(
    ("capacity", "top", "count", "name", "in_mw"),
    [
        (21.0, 20.0, 48, "power", 20.0),
        (21.0, 20_000.0, 48, "power", 20.0),
        (21.0, 300.0, 48, "power", 0.3),
        (21.0, 1.0, 48, "power", 1.0),
        (21.0, 0.98, 2000, "power", 20.58),
        (21.0, 98.0, 2000, "power", 20.58),
        (21.0, 20e6, 48, "power", 20.0),
        (21.0, 0.5, 48, "power_kw", 0.0005),
        (1.0, 0.9, 2000, "power", 0.9),
    ],
)
def test_the_unit_of_power_is_the_one_that_suits_the_capacity(capacity, top, count, name, in_mw):
    found = farm(csv({"time": hours(count), name: powers(count, top)}), stub(capacity=capacity))
    assert found.farm.power["power_mw"].max() == pytest.approx(in_mw)


def test_power_slightly_above_the_capacity_is_no_other_unit():
    assert "above the capacity of 21 MW" in refusal(
        csv({"time": hours(48), "power": powers(48, 25.0)}), stub(capacity=21.0)
    )


def test_stamps_that_mark_the_start_of_an_interval_are_read_as_the_bundle_does():
    found = farm(csv({"time": hours(48), "power": powers(48)}), stub(interval="start"))
    assert found.farm.power["time"][-1].replace(tzinfo=None) == START + timedelta(hours=48)


def test_the_description_that_the_bundle_was_trained_with_comes_first():
    own = mapping.parse(
        {
            "name": "hill",
            "capacity_mw": 10,
            "power": {"file": "x.csv", "time": "Z", "column": "A", "unit": "kW", "format": "%d/%m/%Y %H:%M"},
            "weather": {"variables": {"wind_speed": {"pattern": "B{lead}", "unit": "km/h"}}},
        }
    )
    times = [f"{START + timedelta(hours=k):%d/%m/%Y %H:%M}" for k in range(10)]
    data = csv({"Z": times, "A": powers(10, 9000), "power": powers(10), "B1": [36] * 10, "B2": [36] * 10})
    found = farm(data, own=own)
    assert found.farm.power["power_mw"].max() == 9.0
    assert found.farm.weather["wind_speed"].unique().to_list() == [10.0]
    assert farm(data).farm.weather.is_empty()
    assert farm(csv({"time": hours(48), "power": powers(48)}), own=own).farm.power.height == 48


DANISH = {
    "name": "hill",
    "capacity_mw": 10,
    "time_zone": "Europe/Copenhagen",
    "power": {"file": "x.csv", "time": "Tid", "column": "P", "unit": "MW"},
}


@pytest.mark.parametrize(
    ("time", "described", "asked", "hours_before_utc", "said"),
    [
        ("Tid", True, None, 1, "read in Europe/Copenhagen, as those of the files that this bundle was trained on"),
        ("stamp", True, None, 1, "read in Europe/Copenhagen, as those of the files that this bundle was trained on"),
        ("Tid", True, "UTC", 0, "read in UTC, as was asked for"),
        ("stamp", False, "Europe/Helsinki", 2, "read in Europe/Helsinki, as was asked for"),
        ("time_utc", True, None, 0, "time_zone is UTC, as the name of column"),
        ("stamp", False, None, 0, "ask with time_zone=, such as time_zone=Europe/Copenhagen"),
    ],
)
def test_stamps_without_an_offset_are_in_the_zone_asked_for_else_in_the_bundle_s_own(
    time, described, asked, hours_before_utc, said
):
    own = mapping.parse(DANISH) if described else None
    data = csv({time: hours(48), "P" if described else "power": powers(48)})
    found = farm(data, own=own, time_zone=asked)
    first = found.farm.power["time"][0].replace(tzinfo=None)
    assert START - first == timedelta(hours=hours_before_utc)
    assert said in " ".join(found.said)


def test_an_unknown_time_zone_is_refused_with_the_nearest():
    with pytest.raises(WindcastError, match="Did you mean 'Europe/Copenhagen'"):
        farm(csv({"time": hours(48), "power": powers(48)}), time_zone="Europe/Kopenhagen")


def test_a_parquet_file_is_a_table_like_any_other():
    times = pl.datetime_range(START, START + timedelta(hours=47), "1h", eager=True)
    buffer = io.BytesIO()
    pl.DataFrame({"time": times, "power": powers(48)}).write_parquet(buffer)
    assert farm(buffer.getvalue()).farm.power.height == 48


def _parquet(**columns) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


TIMES = pl.datetime_range(START, START + timedelta(hours=47), "1h", eager=True)
ROWS = csv({"time": hours(48), "power": powers(48)})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"%PDF-1.7", "a PDF"),
        (b"\x89PNG\r\n\x1a\n\x00", "a PNG"),
        (b"PK\x03\x04xl/workbook", "Excel"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'{"power": []}', "JSON"),
        (b"PAR1 and no more", "broken Parquet"),
        (b"\x00" * 5000, "binary"),
        (b"time,power\n", "no rows"),
        (b"1,2\n3,4\n", "header"),
        (b"a,b\nx,y\n", "no column reads as time"),
        (("a," * 1_000_000).encode() + b"b\n", "1,000,001 columns"),
        (csv({"time": hours(48), "power": [""] * 48}), "column 'power' has no value in any of 48 rows"),
        (csv({"time": hours(48), "power": ["NA"] * 48}), "no value"),
        (csv({"time": hours(48), "power": ["=cmd()"] * 48}), "'=cmd()' in row 2"),
        (csv({"time": hours(48), "power": [*powers(47), "sensor error"]}), "'sensor error' in row 49"),
        (csv({"time": hours(48), "power": powers(48), "ws1": [*powers(47), "x"], "ws2": powers(48)}), "column 'ws1'"),
        (csv({"time": hours(48), "power": [*powers(47), -4]}), "below 0"),
        (csv({"time": hours(48), "a": powers(48), "b": powers(48)}), "Name one 'power'"),
        (csv({"time": [*hours(47), "9999-01-01 00:00"], "power": powers(48)}), "'9999-01-01 00:00' in row 49"),
        (csv({"time": [*hours(47), "0001-01-01 00:00"], "power": powers(48)}), "'0001-01-01 00:00' in row 49"),
        (csv({"time": [*hours(47), ""], "power": powers(48)}), "missing time stamp"),
        (csv({"time": hours(1) * 100_000, "power": range(100_000)}), "are both for 2020-01-01 00:00 UTC"),
        (csv({"time": [f"{d:02}/02/2020 00:00" for d in range(1, 5)], "power": powers(4)}), "can be read as"),
        (ROWS.replace(b"\n", b",9\n", 5).replace(b",9\n", b"\n", 1), "fields"),
        (ROWS + b"2020-01-03 00:00," + b"9" * 300_000 + b"\n", "row 50"),
        (ROWS + b"2020-01-03 00:00,1\x002\n", "binary"),
        (csv({"time": hours(400), "power": [*powers(399), "1\x002"]}), "in row 401"),
        (ROWS.replace(b"power", b"power,power", 1), "fields"),
        (csv({"time": [f"{h}:00" for h in hours(48)][::2], "power": powers(24)}), "120 minutes apart"),
        (_parquet(time=TIMES, power=[[1.0]] * 48), "holds List"),
        (_parquet(time=TIMES, power=[{"a": 1}] * 48), "holds Struct"),
        (_parquet(time=TIMES, power=[b"1"] * 48), "holds Binary"),
        (_parquet(time=TIMES, power=TIMES), "no column looks like power|no value"),
        (_parquet(time=[datetime(1, 1, 1), datetime(9999, 1, 1)], power=[1.0, 2.0]), "outside 1950 to 2100"),
        (_parquet(time=TIMES, power=[float("inf")] * 48), "'inf' in row 1"),
        (_parquet(power=[1.0] * 48), "no column reads as time"),
    ],
)
def test_what_is_no_table_of_power_gets_one_sentence_with_place_and_remedy(data, said):
    message = refusal(data)
    assert any(words in message for words in said.split("|")), message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_every_common_encoding_is_read(encoding):
    assert farm(ROWS.decode().encode(encoding)).farm.power.height == 48


def test_a_table_that_reaches_over_centuries_takes_no_more_memory_than_its_rows():
    times = [*TIMES, datetime(2099, 1, 1), datetime(1951, 1, 1)]
    data = _parquet(time=times, power=[*powers(48), None, 1.0], ws1=powers(50), ws2=powers(50))
    found = farm(data)
    windows = production.build_windows(found.farm, stub().forecaster.task, [TIMES[-1]])
    assert windows.power[0, -1] == powers(48)[-1]
    assert found.farm.power.height == 48


@given(cuts=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 30), st.binary(max_size=6)), max_size=4))
@settings(max_examples=80, deadline=None)
def test_whatever_the_bytes_a_farm_or_one_sentence_comes_out(cuts):
    data = csv({"time": hours(30), "power": powers(30), "ws1": powers(30), "ws2": powers(30)})
    for start, length, patch in cuts:
        data = data[:start] + patch + data[start + length :]
    try:
        found, sentence = farm(data), ""
    except WindcastError as error:
        found, sentence = None, str(error)
    assert "cannot be understood" not in sentence
    assert found is None or found.farm.power["power_mw"].drop_nulls().is_between(0, 10).all()


def test_the_part_of_a_long_file_that_a_forecast_sees_gives_the_forecast_of_the_whole(tmp_path):
    try:
        path = published.find(f"klim/{klim.FILE}", None)
    except WindcastError:
        path = None
    path = path and path.resolve()
    if path is None:
        pytest.skip("the Klim data are not here")
    described, _ = guess.guess(path)
    described = replace(described, capacity_mw=21.0, power=replace(described.power, file=str(path)))
    (tmp_path / "farm.yaml").write_text(mapping.to_yaml(described))
    whole = files.load(config=tmp_path / "farm.yaml")
    bundle = stub(("wind_speed", "wind_direction", "temperature"), capacity=21.0)
    seen = farm_from_table(path.read_bytes(), path.name, bundle=bundle)
    assert seen.missing == ()
    assert seen.farm.power.height < 1000
    task = bundle.forecaster.task
    end = np.datetime64(whole.power.drop_nulls("power_mw")["time"][-1].replace(tzinfo=None), "us")
    times = end - np.timedelta64(1, "h") * np.arange(24)
    one, other = (production.build_windows(f, task, times).without_target() for f in (seen.farm, whole))
    for name in ("power", "weather", "weather_earlier", "weather_age", "weather_earlier_age"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
