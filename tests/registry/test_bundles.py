"""A bundle comes back as it was, or says what is wrong with it; and it cannot run code."""

import json
import pickletools
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from windcast.data.farm import FarmData
from windcast.data.sources import simulation
from windcast.data.task import ForecastTask
from windcast.data.windows import Windows, build_windows
from windcast.errors import BundleError, DataContractError
from windcast.models import arrays
from windcast.models.base import Forecaster, build
from windcast.models.climatology import Climatology
from windcast.registry import bundles

UNTIL = datetime(2020, 1, 20, tzinfo=UTC)
GBM = {"name": "gbm", "rounds": 2, "knots": [0.1, 0.5, 0.9], "max_rows": 500, "threads": 1, "num_leaves": 5}
FOREST = {"name": "forest", "trees": 3, "num_leaves": 20, "max_rows": 500, "threads": 1}
MLP = {"name": "mlp", "seeds": 1, "epochs": 1, "hidden": [4], "max_issue_times": 200, "threads": 1}
# one of everything that writes files
CONFIG = {
    "name": "calibrated",
    "holdout": 0.0,
    "model": {"name": "pool", "members": {"gbm": GBM, "forest": FOREST, "mlp": MLP, "last": {"name": "persistence"}}},
}


@lru_cache
def farm() -> FarmData:
    return simulation.load(days=30, run_horizon_hours=24, seed=2)


def task() -> ForecastTask:
    return ForecastTask(horizon=2, resolution=timedelta(hours=1), capacity_mw=20.5, history=4, levels=(0.1, 0.5, 0.9))


@lru_cache
def windows() -> Windows:
    return build_windows(farm(), task()).take(slice(30, -2))


@lru_cache
def forecaster() -> Forecaster:
    return build(CONFIG).fit(windows())


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundles.save(
        tmp_path / "bundle", forecaster(), farm(), trained_until=UNTIL, config={"seed": 1}, scores={"a": 1}
    )


def test_a_bundle_comes_back_with_the_same_bits_and_its_manifest(bundle: Path) -> None:
    opened = bundles.open_bundle(bundle)
    first, second = (f.predict(windows().take(slice(0, 30))) for f in (forecaster(), opened.forecaster))
    np.testing.assert_array_equal(first.values, second.values)
    assert opened.trained_until == UNTIL
    assert opened.manifest["config"] == {"seed": 1}
    assert opened.manifest["scores"] == {"a": 1}
    assert opened.manifest["data_checksum"] == farm().checksum
    assert opened.manifest["model"] == "calibrated"
    assert opened.manifest["contract"]["variables"] == list(farm().variables)
    assert set(opened.manifest["versions"]) >= {"python", "windcast", "numpy", "lightgbm"}
    assert ForecastTask.from_dict(opened.manifest["task"]) == task()


def test_every_file_is_listed_with_its_checksum(bundle: Path) -> None:
    listed = json.loads((bundle / "manifest.json").read_text())["files"]
    present = {str(f.relative_to(bundle)) for f in bundle.rglob("*") if f.is_file()} - {"manifest.json"}
    assert set(listed) == present
    assert all(bundles.sha256(bundle / name) == sha for name, sha in listed.items())
    assert [f.name for f in bundle.parent.iterdir()] == ["bundle"]


def test_no_file_holds_a_pickle(bundle: Path) -> None:
    suffixes = {f.suffix for f in bundle.rglob("*") if f.is_file()}
    assert suffixes == {".json", ".txt", ".npz"}
    for file in bundle.rglob("*"):
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as content:
                assert all(content[name].dtype != object for name in content.files)
        elif file.is_file():
            assert file.read_text().isprintable() or "\n" in file.read_text()
            with pytest.raises(ValueError, match=r"pickle|opcode|STOP|stack"):
                list(pickletools.genops(file.read_bytes()))


def test_arrays_with_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}, None], dtype=object)
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        arrays.save(tmp_path, quantiles=objects)
    np.savez(tmp_path / arrays.FILE, quantiles=objects)
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        arrays.load(tmp_path)


def test_a_bundle_with_pickled_arrays_is_refused_even_if_its_checksums_match(tmp_path: Path) -> None:
    plain = bundles.save(tmp_path / "b", Climatology().fit(windows()), farm(), trained_until=UNTIL)
    np.savez(plain / "model" / arrays.FILE, quantiles=np.array([None], dtype=object))
    manifest = json.loads((plain / "manifest.json").read_text())
    manifest["files"]["model/arrays.npz"] = bundles.sha256(plain / "model" / arrays.FILE)
    (plain / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"not a readable forecaster.*Object arrays cannot be loaded"):
        bundles.open_bundle(plain)


# ---- what is wrong with it ----


def test_any_changed_byte_is_found(bundle: Path) -> None:
    rng = np.random.default_rng(0)
    for file in [f for f in bundle.rglob("*") if f.is_file() and f.name != "manifest.json"]:
        content = bytearray(file.read_bytes())
        place = int(rng.integers(len(content)))
        content[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(content)
        with pytest.raises(BundleError, match=rf"file {file.relative_to(bundle)} was changed since training"):
            bundles.open_bundle(bundle)
        content[place] = bundle_byte(bundle, file, content, place)
        file.write_bytes(content)
    bundles.open_bundle(bundle)


def bundle_byte(bundle: Path, file: Path, content: bytearray, place: int) -> int:
    """The byte that makes the checksum right again."""
    wanted = json.loads((bundle / "manifest.json").read_text())["files"][str(file.relative_to(bundle))]
    for bit in range(8):
        tried = bytearray(content)
        tried[place] ^= 1 << bit
        file.write_bytes(tried)
        if bundles.sha256(file) == wanted:
            return tried[place]
    raise AssertionError(file)


def test_a_missing_and_an_extra_file_are_named(bundle: Path) -> None:
    lost = bundle / "model" / "model" / "gbm" / "group0.txt"
    content = lost.read_text()
    lost.unlink()
    with pytest.raises(BundleError, match=r"file model/model/gbm/group0\.txt is missing"):
        bundles.open_bundle(bundle)
    lost.write_text(content)
    (bundle / "model" / "evil.py").write_text("")
    with pytest.raises(BundleError, match=r"file model/evil\.py is not in the manifest\. Remove it"):
        bundles.open_bundle(bundle)


def test_a_bundle_of_a_later_format_says_which_windcast_made_it(bundle: Path) -> None:
    change(bundle, lambda m: m | {"format": 3, "versions": {"windcast": "9.1"}})
    with pytest.raises(
        BundleError, match=r"bundle format 3, but windcast .* reads formats 1 to 2\. .*windcast 9\.1: use that"
    ):
        bundles.open_bundle(bundle)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"format": 1}', '{"format": "x", "files": {}}', '{"format": 1, "files": 3}', "\udc80"]
)
def test_a_broken_manifest_is_named(bundle: Path, text: str) -> None:
    (bundle / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BundleError, match=r"manifest\.json: not a readable manifest"):
        bundles.open_bundle(bundle)


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BundleError, match=rf"{folder}: no bundle there \(manifest\.json is missing\)"):
            bundles.open_bundle(folder)


def change(bundle: Path, how: Callable[[dict], dict]) -> None:
    file = bundle / "manifest.json"
    file.write_text(json.dumps(how(json.loads(file.read_text()))))


# ---- writing ----


class Failing(Climatology):
    """Writes half of itself."""

    def _save(self, folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise OSError("disk full")


@pytest.mark.parametrize("before", [True, False])
def test_nothing_is_half_written_when_saving_fails(tmp_path: Path, before: bool) -> None:
    place = tmp_path / "models" / "bundle"
    if before:
        bundles.save(place, Climatology().fit(windows()), farm(), trained_until=UNTIL)
    with pytest.raises(OSError, match="disk full"):
        bundles.save(place, Failing().fit(windows()), farm(), trained_until=UNTIL)
    assert [f.name for f in place.parent.iterdir()] == (["bundle"] if before else [])
    if before:
        assert bundles.open_bundle(place).forecaster.name == "climatology"


def test_a_bundle_takes_the_place_of_another_but_of_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    for model in ("climatology", "persistence"):
        bundles.save(place, build({"name": model}).fit(windows()), farm(), trained_until=UNTIL)
        assert bundles.open_bundle(place).forecaster.name == model
    shutil.rmtree(place)
    place.mkdir()
    (place / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match=r"exists and is not a bundle\. Choose another"):
        bundles.save(place, Climatology().fit(windows()), farm(), trained_until=UNTIL)
    assert (place / "thesis.tex").read_text() == "years of work"


# ---- the farm it is for ----


def test_a_farm_that_fits_passes_and_one_that_does_not_is_told_what_differs(bundle: Path) -> None:
    opened = bundles.open_bundle(bundle)
    opened.check_farm(farm())
    opened.check_farm(farm().known_until(UNTIL))
    bare = farm().weather.select("valid_time", "available_at")
    variants = {
        r"capacity in MW is 30\.0, but bundle .* was trained with 20\.5": replace(farm(), capacity_mw=30.0),
        "weather is wind_speed_100m, temperature_2m, but": replace(
            farm(), weather=farm().weather.drop("wind_direction_100m")
        ),
        r"weather is none, but .* with wind_speed_100m, wind_direction_100m": replace(farm(), weather=bare.clear()),
        "resolution in minutes is 10": simulation.load(days=2, resolution_minutes=10, run_horizon_hours=24),
        "kind of weather is reanalysis, but": replace(
            farm(),
            weather=farm()
            .weather.unique("valid_time")
            .with_columns(available_at=None)
            .cast({"available_at": farm().weather.schema["available_at"]}),
            weather_kind="reanalysis",
        ),
    }
    for message, other in variants.items():
        with pytest.raises(DataContractError, match=message):
            opened.check_farm(other)
