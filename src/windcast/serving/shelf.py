"""The bundles that a service has opened: only from the folders it was told, and only if their checksums match.

One of a registry is served under the name of its farm's champion, and another takes its place when the alias moves: the
dictionary of what is served is replaced, never changed, so whoever holds the former bundle finishes with it.
"""

import copy
import re
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from windcast.data.sources.mapping import FarmMapping
from windcast.errors import BundleError, ConfigError, unknown_name
from windcast.models.calibration import Calibrated
from windcast.registry import pointer
from windcast.registry.bundles import MANIFEST, Bundle, open_bundle, sha256
from windcast.registry.pointer import Pointer, slug
from windcast.serving.batching import Batcher
from windcast.serving.problems import NotFound, Unprocessable
from windcast.serving.tables import own_mapping

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
CHAMPION = ".champion"  # after the farm: the name under which its champion is served


@dataclass(frozen=True, eq=False)
class Served:
    """name: of the bundle's folder. farm: name of the farm it was trained on, as it stands in addresses.

    mapping: of the files it was trained on, where their description is still there.
    """

    name: str
    farm: str
    bundle: Bundle
    checksum: str
    batcher: Batcher
    mapping: FarmMapping | None

    @property
    def model(self) -> str:
        """What it is, in words: by the name under which it was configured, where that is known."""
        forecaster = self.bundle.forecaster
        inner = forecaster.model if isinstance(forecaster, Calibrated) else forecaster
        name = str((self.bundle.manifest.get("config") or {}).get("model_choice") or inner.name)
        return f"{name}, calibrated" if isinstance(forecaster, Calibrated) else name

    @property
    def weather_grid(self) -> tuple[timedelta, timedelta]:
        """Step and phase since 1970 of the weather that the model was trained on; (0, 0) where that is not known."""
        grid = self.bundle.manifest.get("weather_grid") or {"step_minutes": 0, "phase_minutes": 0}
        return timedelta(minutes=grid["step_minutes"]), timedelta(minutes=grid["phase_minutes"])

    def promised(self, rung: str) -> list[float | None] | None:
        """CRPS by lead that a backtest measured on a rung, a fraction of capacity; None where none was measured."""
        steps: dict[str, Any] = self.bundle.manifest.get("ladder", {})
        return steps.get(rung)


def question(served: Served) -> tuple[object, ...]:
    """What must stay the same while a service runs: what stored forecasts and farms were made for."""
    task = served.bundle.forecaster.task
    variables = served.bundle.forecaster.variables
    return served.farm, task.capacity_mw, task.resolution, task.horizon, task.levels, variables


class Shelf:
    """Served bundles by name. `worker`: the one thread in which models compute."""

    def __init__(
        self, folders: Sequence[Path], *, champions: Sequence[str] = (), registry: Path = pointer.REGISTRY
    ) -> None:
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.registry = registry
        self.served: dict[str, Served] = {}
        self.pointed: dict[str, Pointer] = {}
        for farm in champions:
            self.follow(pointer.read(registry, farm))
        for folder in _bundles(folders) if folders or not champions else ():
            name = slug(folder.resolve().name)
            if name in self.served:
                raise ConfigError(f"{folder}: another bundle is already served as '{name}'. Rename the folder.")
            self.served[name] = self._opened(name, folder)

    def _opened(self, name: str, folder: Path) -> "Served":
        _check_links(folder)
        bundle = replace(open_bundle(folder), folder=Path(name))  # as errors name it
        farm, batcher = slug(str(bundle.manifest["farm"])), Batcher(bundle, self.worker)
        return Served(name, farm, bundle, sha256(folder / MANIFEST), batcher, own_mapping(bundle))

    def follow(self, to: Pointer) -> "Served":
        """Opens the bundle that a champion's pointer names, then serves it in the place of the one before.

        Raises BundleError, and leaves what is served, if it is not the registered one or answers another question.
        """
        name, folder = f"{to.farm}{CHAMPION}", pointer.bundle_of(self.registry, to)
        found, former = self._opened(name, folder), self.served.get(name)
        if found.checksum != to.checksum:
            raise BundleError(f"{folder}: is not the bundle that was registered. Promote it again.")
        if former is not None and question(found) != question(former):
            raise BundleError(
                f"{folder}: forecasts other levels, leads or weather than {name}. Start the service anew."
            )
        self.served = self.served | {name: found}
        self.pointed = self.pointed | {to.farm: to}
        return found

    def part(self, names: Container[str]) -> "Shelf":
        """The same shelf as one sees it who may know of these bundles alone."""
        seen = copy.copy(self)
        seen.served = {name: served for name, served in self.served.items() if name in names}
        return seen

    def get(self, name: str) -> Served:
        """Raises NotFound, naming the nearest."""
        if name not in self.served:
            raise NotFound(unknown_name("bundle", name[:64], self.served))
        return self.served[name]

    def only(self, name: str | None) -> Served:
        """The bundle of that name, or the only one. Raises NotFound or Unprocessable."""
        if name is not None:
            return self.get(name)
        if not self.served:
            raise NotFound("no bundle is served that you may use.")
        if len(self.served) != 1:
            raise Unprocessable(f"several bundles are served; say which as bundle=NAME: {', '.join(self.served)}.")
        return next(iter(self.served.values()))


def _check_links(folder: Path) -> None:
    """Raises BundleError for a link that leads out of the bundle: what it leads to is nobody's to vouch for."""
    for file in folder.rglob("*"):
        if file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
            raise BundleError(f"{file}: leads out of the bundle. Put the file itself in its place.")


def _bundles(folders: Sequence[Path]) -> list[Path]:
    """Each folder that is a bundle, and the bundles in each that is not."""
    found: list[Path] = []
    for folder in folders:
        inside = sorted(f.parent for f in folder.glob(f"*/{MANIFEST}")) if folder.is_dir() else []
        if (folder / MANIFEST).is_file() or not inside:
            found.append(folder)  # if it is no bundle, opening it says so
        else:
            found.extend(inside)
    if not found:
        raise BundleError("no bundle is given. Make one with `windcast demo` or `windcast train`.")
    return found
