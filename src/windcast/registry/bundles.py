"""A bundle: a fitted forecaster on disk, with all that is needed to trust it, in formats that cannot run code.

bundle/
  manifest.json   farm, task, data contract, training span, configuration, versions, scores, sha256 of every file
  model/          what the forecaster wrote: JSON, LightGBM text, npz without objects
"""

import hashlib
import json
import platform
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from windcast.data.farm import FarmData
from windcast.errors import BundleError, DataContractError
from windcast.models.base import Forecaster, load

FORMAT, OLDEST = 2, 1  # in 2 a model's boosters lie joined
MANIFEST = "manifest.json"
CONTRACT = {
    "capacity_mw": "capacity in MW",
    "resolution_minutes": "resolution in minutes",
    "variables": "weather",
    "weather_kind": "kind of weather",
}
PACKAGES = ("windcast", "numpy", "polars", "lightgbm", "scipy")


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle: its files matched their checksums."""

    folder: Path
    manifest: dict[str, Any]
    forecaster: Forecaster

    @property
    def trained_until(self) -> datetime:
        return datetime.fromisoformat(self.manifest["trained_until"])

    def check_farm(self, farm: FarmData) -> None:
        """Raises DataContractError where the farm's data are not what the model was trained on."""
        contract = self.manifest["contract"]
        found = contract_of(farm)
        for key, wanted in contract.items():
            if found[key] != wanted:
                raise DataContractError(
                    f"{farm.name}: {CONTRACT[key]} is {_shown(found[key])}, but bundle {self.folder} was "
                    f"trained with {_shown(wanted)}. Map the data the same way, or train on this farm."
                )


def contract_of(farm: FarmData) -> dict[str, Any]:
    """What data must agree on to be forecast by a model trained on this farm."""
    return {
        "capacity_mw": farm.capacity_mw,
        "resolution_minutes": farm.resolution / timedelta(minutes=1),
        "variables": list(farm.variables),
        "weather_kind": farm.weather_kind,
    }


def weather_grid(farm: FarmData) -> dict[str, float]:
    """Step and phase, in minutes since 1970, of the weather's valid times; neither where there is no weather."""
    if farm.weather.is_empty():
        return {}
    minutes = farm.weather_resolution / timedelta(minutes=1)
    return {"step_minutes": minutes, "phase_minutes": farm.weather["valid_time"][0].timestamp() / 60 % minutes}


def save(
    folder: Path,
    forecaster: Forecaster,
    farm: FarmData,
    *,
    trained_until: datetime,
    config: dict[str, Any] | None = None,
    scores: dict[str, Any] | None = None,
    ladder: dict[str, list[float | None]] | None = None,
) -> Path:
    """Writes a bundle beside its place and moves it there, so a half-written bundle is never found.

    scores, ladder: what a backtest measured, overall and on every rung (see `evaluation.ladder`).
    Raises BundleError if something other than a bundle stands at `folder`; a bundle there is replaced.
    """
    told = {
        "farm": farm.name,
        "attribution": farm.attribution,
        "interval": farm.interval,
        "contract": contract_of(farm),
        "weather_grid": weather_grid(farm),
        "data_checksum": farm.checksum,
        "trained_until": trained_until.isoformat(),
        "config": config or {},
        "scores": scores or {},
        "ladder": ladder or {},
    }
    return _write(folder, forecaster, told)


def save_changed(folder: Path, bundle: Bundle, forecaster: Forecaster, **told: Any) -> Path:
    """Writes the bundle with another forecaster of the same task, trained on the same data, as `save` does.

    told: what its manifest says besides.
    """
    return _write(folder, forecaster, bundle.manifest | told)


def check_place(folder: Path) -> None:
    """Raises BundleError where something other than a bundle stands."""
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder}: exists and is not a bundle. Choose another folder.")


def _write(folder: Path, forecaster: Forecaster, told: dict[str, Any]) -> Path:
    check_place(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        forecaster.save(part / "model")
        files = [file for file in sorted(part.rglob("*")) if file.is_file()]
        manifest = told | {
            "format": FORMAT,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": forecaster.name,
            "task": forecaster.task.to_dict(),
            "versions": versions() | _runtime(files),
            "files": {file.relative_to(part).as_posix(): sha256(file) for file in files},
        }
        (part / MANIFEST).write_text(json.dumps(manifest, indent=1))
        part.chmod(0o755)
        if folder.exists():
            former = part.with_name(f"{part.name}-former")
            folder.replace(former)
            part.replace(folder)
            shutil.rmtree(former)
        else:
            part.replace(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return folder


def open_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`. Raises BundleError, saying why, if it is absent, newer, incomplete or altered."""
    file = folder / MANIFEST
    if not file.is_file():
        raise BundleError(f"{folder}: no bundle there ({MANIFEST} is missing). Train one with `windcast train`.")
    try:
        manifest = json.loads(file.read_text())
        form, listed = int(manifest["format"]), dict(manifest["files"])
        datetime.fromisoformat(manifest["trained_until"])
        dict(manifest["contract"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{file}: not a readable manifest ({error!r}). Copy or train the bundle again.") from None
    if not OLDEST <= form <= FORMAT:
        raise BundleError(
            f"{folder}: bundle format {form}, but windcast {version('windcast')} reads formats {OLDEST} to {FORMAT}. "
            f"It was made by windcast {manifest.get('versions', {}).get('windcast', '?')}: use that version."
        )
    present = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()} - {MANIFEST}
    for name in sorted(set(listed) | present):
        if name not in listed:
            raise BundleError(f"{folder}: file {name} is not in the manifest. Remove it or train the bundle again.")
        if name not in present:
            raise BundleError(f"{folder}: file {name} is missing. Copy or train the bundle again.")
        if sha256(folder / name) != listed[name]:
            raise BundleError(f"{folder}: file {name} was changed since training. Copy or train the bundle again.")
    return Bundle(folder, manifest, load(folder / "model"))


def versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def _runtime(files: list[Path]) -> dict[str, str]:
    """The version of ONNX Runtime, imported only where one of a model's files needs it."""
    if not any(file.suffix == ".onnx" for file in files):
        return {}
    import onnxruntime

    return {"onnxruntime": str(onnxruntime.__version__)}


def sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
