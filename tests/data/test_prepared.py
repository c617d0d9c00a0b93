"""A farm that was prepared is the farm that it was made from, or is refused."""

import json
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from windcast.data import sources
from windcast.data.farm import FarmData
from windcast.data.sources import prepared
from windcast.errors import ConfigError, SourceError


@pytest.fixture
def farm() -> FarmData:
    return sources.load("simulation", {"days": 5})


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("simulation", {"days": 5, "faults": ({"name": "drift"},)}),
        ("la_haute_borne", {}),
        ("la_haute_borne", {"resolution_minutes": 10, "weather": ("era5",)}),
        ("klim", {}),
        ("gefcom2014", {"zone": 3}),
    ],
)
def test_a_farm_of_any_source_is_read_back_the_same(
    source: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.skip(f"{source} is not on this machine"))
    try:
        farm = sources.load(source, options)
    except SourceError as error:
        pytest.skip(str(error))
    same(prepared.load(folder=prepared.save(farm, tmp_path / "farm")), farm)


def test_what_the_numbers_mean_is_read_back_too(farm: FarmData, tmp_path: Path) -> None:
    told = replace(
        farm,
        interval="start",
        power_delay=timedelta(minutes=17),
        attribution="Ørsted, „Hügel“",
        repairs=("three rows twice",),
    )
    same(prepared.load(folder=prepared.save(told, tmp_path / "farm")), told)


def same(found: FarmData, farm: FarmData) -> None:
    assert found.checksum == farm.checksum
    for name in (f.name for f in fields(farm)):
        here, there = getattr(found, name), getattr(farm, name)
        assert here.equals(there) if isinstance(there, pl.DataFrame) else here == there


def test_a_farm_prepared_twice_gives_the_same_bytes(farm: FarmData, tmp_path: Path) -> None:
    one, other = (prepared.save(farm, tmp_path / name) for name in ("one", "other"))
    assert {f.name: f.read_bytes() for f in one.iterdir()} == {f.name: f.read_bytes() for f in other.iterdir()}


def test_a_farm_is_replaced_whole_and_nothing_else_is(farm: FarmData, tmp_path: Path) -> None:
    folder = prepared.save(replace(farm, availability=farm.power.select("time", availability=1.0)), tmp_path / "farm")
    assert {f.name for f in prepared.save(farm, folder).iterdir()} == {"farm.json", "power.parquet", "weather.parquet"}
    (tmp_path / "mine").mkdir()
    with pytest.raises(SourceError, match="is no prepared farm"):
        prepared.save(farm, tmp_path / "mine")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["farm", "mine"]


def test_an_altered_table_is_refused(farm: FarmData, tmp_path: Path) -> None:
    folder = prepared.save(farm, tmp_path / "farm")
    farm.power.with_columns(pl.col("power_mw") / 2).write_parquet(folder / "power.parquet")
    with pytest.raises(SourceError, match="changed after they were written"):
        prepared.load(folder=folder)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("farm.json", "[]", "not a readable farm"),
        ("farm.json", "{", "not a readable farm"),
        ("farm.json", json.dumps({"format": 2}), "is of format 2, not 1"),
        ("power.parquet", "time,power_mw", "not a readable farm"),
        ("power.parquet", None, "not a readable farm"),
    ],
)
def test_a_broken_folder_is_refused(file: str, content: str | None, said: str, farm: FarmData, tmp_path: Path) -> None:
    folder = prepared.save(farm, tmp_path / "farm")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(SourceError, match=said):
        prepared.load(folder=folder)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs folder"):
        prepared.load()
    with pytest.raises(SourceError, match="no prepared farm there"):
        prepared.load(folder=tmp_path)
