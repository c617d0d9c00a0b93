"""Tracking: what a run was asked, on which data and code, and what came of it, sent to MLflow or Weights & Biases.

A run is a folder (see `registry.runs`); tracking mirrors it and never stands in its way. `keep` writes a record to
disk, which takes milliseconds, and leaves the sending to a process of its own. A record that could not be sent waits.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from windcast.errors import TrackingError
from windcast.registry import runs
from windcast.registry.tracking.database import SCHEME, file_of

log = logging.getLogger("windcast.tracking")

SPANS = ("fitted_until", "tested_from", "tested_until", "tuned_until")
Metric = tuple[str, float, int]  # name, value, step


@dataclass(frozen=True, kw_only=True)
class Destination:
    """backend: mlflow, wandb or none. folder: where records lie. uri: of MLflow; mode: of W&B, offline or online."""

    backend: str
    folder: Path = Path("runs")
    uri: str | None = None
    experiment: str = "windcast"
    project: str = "windcast"
    mode: str = "offline"

    @property
    def database(self) -> str:
        """MLflow's tracking URI; a database file in full, so that it is the same from everywhere."""
        file = self.folder / "mlflow.db" if self.uri is None else file_of(self.uri)
        return f"{SCHEME}{file.resolve()}" if file is not None else str(self.uri)

    def shown(self) -> dict[str, Any]:
        """The keys that its configuration has."""
        keys = {"mlflow": ("folder", "uri", "experiment"), "wandb": ("folder", "project", "mode")}
        told = asdict(self) | {"folder": str(self.folder)}
        return {"name": self.backend} | {key: told[key] for key in keys.get(self.backend, ())}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"folder": str(self.folder.resolve()), "uri": self.database}


NOWHERE = Destination(backend="none")


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """One run, training or trial.

    kind: backtest, train or, of a sweep, trial. model, data: names. settings: the whole resolved configuration.
    seconds, memory_mb: wall time, and the most memory that the process had held by then.
    metrics: name, value, step. A score of the model itself is called `crps`, of another `persistence/crps`, at a lead
        time `lead/gbm/crps` with the minutes as its step, a loss `curve/…` with the epoch. In shares of capacity.
    tags: data checksum, code, packages, fingerprints, and those of SPANS that apply, in ISO 8601.
    files: name -> path. run: the backtest's own record or the bundle's manifest, from which it can be made again.
    """

    name: str
    kind: str
    created: str
    model: str
    data: str
    settings: dict[str, Any]
    seconds: float
    memory_mb: float | None = None
    metrics: list[Metric] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    run: dict[str, Any] | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings by their full keys, as `model.num_leaves`."""
        return flattened(self.settings)

    def metric(self, name: str) -> float | None:
        return next((value for known, value, _ in self.metrics if known == name), None)


def keep(destination: Destination, tracked: Tracked, *, send: bool = True) -> None:
    """Writes the record and has it sent in the background. Never raises: what fails is logged as a warning."""
    from windcast.registry.tracking import sending, spool

    if destination.backend == "none":
        return
    try:
        spool.write(destination, tracked)
    except (OSError, ValueError, TypeError) as error:
        log.warning("tracking: no record of %s could be written (%s). The run itself is whole.", tracked.name, error)
        return
    try:
        sending.check(destination)
        if send:
            sending.start(destination.folder)
    except (TrackingError, OSError) as error:
        log.warning("tracking: %s The record of %s waits for: windcast runs sync", error, tracked.name)


def of_run(record: runs.Record, folder: Path) -> Tracked:
    """What a run's own record tells: everything but scores by lead, curves and memory."""
    models = list(record.scores)
    metrics: list[Metric] = []
    for name, scores in record.scores.items():
        prefix = "" if name == models[-1] else f"{name}/"
        metrics += [(f"{prefix}{score}", value, 0) for score, value in scores.items()]
    taken = record.seconds.items()
    metrics += [(f"{part}_seconds/{name}", value, 0) for name, parts in taken for part, value in parts.items()]
    return Tracked(
        name=folder.resolve().name,
        kind="backtest",
        created=record.created,
        model=models[-1] if models else "",
        data=str(record.settings.get("data", {}).get("source", "")),
        settings=record.settings,
        seconds=sum(sum(parts.values()) for parts in record.seconds.values()),
        metrics=metrics,
        tags={
            "command": record.command,
            "code": record.code,
            "data_sha256": record.data_checksum,
            **{f"package.{name}": found for name, found in record.packages.items()},
            **{f"fingerprint.{name}": found for name, found in record.fingerprint.items()},
        },
        files={f.name: str(f.resolve()) for f in _small_files(folder)},
        folder=str(folder.resolve()),
        run=asdict(record),
    )


def _small_files(folder: Path) -> list[Path]:
    found = (folder / name for name in (runs.RECORD, "leaderboard.csv", "report.html"))
    return [file for file in found if file.is_file()]


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
