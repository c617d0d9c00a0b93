"""What the jobs leave for tracking: a record made when a job is done, which never makes the job fail."""

import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windcast.errors import ConfigError
from windcast.evaluation.backtest import Backtest
from windcast.evaluation.scores import Scores
from windcast.models.base import Forecaster
from windcast.registry import bundles, runs
from windcast.registry.tracking import Destination, Metric, Tracked, keep, of_run, spool

if TYPE_CHECKING:
    from windcast.workflows import sweep_record, sweep_results

log = logging.getLogger("windcast.tracking")

BY_LEAD = ("crps", "nmae", "nrmse", "bias", "coverage_90", "width_90")
LOSSES = ("training loss", "validation loss")


class Watch:
    """Wall time since it was made, and the most memory that the process has held."""

    def __init__(self) -> None:
        self.began = time.perf_counter()

    def spent(self) -> dict[str, Any]:
        return {"seconds": time.perf_counter() - self.began, "memory_mb": peak_memory_mb()}


def peak_memory_mb() -> float | None:
    """Resident, of this process since it began; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def backtested(
    to: Destination,
    record: runs.Record,
    folder: Path,
    result: Backtest,
    scores: Mapping[str, Scores],
    watch: Watch,
) -> None:
    """Keeps the record of a backtest, with its scores by model."""
    if to.backend == "none":
        return
    try:
        tracked = of_run(record, folder)
        spans = {
            "fitted_until": result.folds[-1].fitted_at,
            "tested_from": _utc(result.folds[0].issue_times[0]),
            "tested_until": _utc(result.folds[-1].issue_times[-1]) + result.task.horizon * result.task.resolution,
        }
        spent = watch.spent()
        metrics = [*tracked.metrics, *_by_lead(scores), *_curves(list(result.fitted.values())[-1])]
        tags = tracked.tags | _iso(spans) | _asked(record.settings) | {"farm": result.farm.name}
        tracked = replace(tracked, metrics=metrics, tags=tags, **spent)
    except Exception as error:  # a run that is done does not fail for its record
        log.warning("tracking: no record of %s could be made (%r). The run itself is whole.", folder, error)
        return
    keep(to, tracked)


def trained(to: Destination, bundle: bundles.Bundle, watch: Watch, command: str = "") -> None:
    """Keeps the record of a bundle: its configuration, what it learned from, and the scores it carries."""
    if to.backend == "none":
        return
    try:
        manifest, folder = bundle.manifest, bundle.folder.resolve()
        settings, scores = manifest["config"], manifest["scores"]
        tags = {
            "command": command,
            "code": runs.code_version(),
            "data_sha256": manifest["data_checksum"],
            "manifest_sha256": bundles.sha256(folder / bundles.MANIFEST),
            "farm": manifest["farm"],
            **{f"package.{name}": found for name, found in manifest["versions"].items()},
        }
        metrics: list[Metric] = [(name, float(value), 0) for name, value in scores.items() if value is not None]
        tracked = Tracked(
            name=folder.name,
            kind="train",
            created=manifest["created"],
            model=_model(settings),
            data=str(settings.get("data", {}).get("source", "")),
            settings=settings,
            metrics=[*metrics, *_curves(bundle.forecaster)],
            tags=tags | _iso({"fitted_until": bundle.trained_until}) | _asked(settings),
            files={"bundle": str(folder)},
            folder=str(folder),
            run=manifest,
            **watch.spent(),
        )
    except Exception as error:  # as above
        log.warning("tracking: no record of %s could be made (%r). The bundle itself is whole.", bundle.folder, error)
        return
    keep(to, tracked)


def swept(
    to: Destination, folder: Path, record: "sweep_record.Record", trials: "Sequence[sweep_results.Trial]"
) -> None:
    """Keeps a record of every trial that has ended and has none yet."""
    known = {entry.tracked.name for entry in spool.entries(to.folder)} if to.backend != "none" else set()
    fresh = [trial for trial in trials if trial.ended and f"{folder.name}-{trial.number}" not in known]
    for trial in fresh if to.backend != "none" else ():
        scores: list[Metric] = [] if trial.crps is None else [("crps", trial.crps, 0)]
        tracked = Tracked(
            name=f"{folder.name}-{trial.number}",
            kind="trial",
            created=record.created,
            model=str(record.settings.get("model_choice", "")),
            data=str(record.settings.get("data", {}).get("source", "")),
            settings=record.settings | {"drawn": trial.values},
            seconds=trial.seconds or 0.0,
            metrics=[*scores, *(("curve/validation crps", value, epoch) for epoch, value in trial.curve.items())],
            tags={
                "study": folder.name,
                "state": "killed" if trial.killed else trial.state,
                "reason": trial.reason,
                "code": record.code,
                "data_sha256": record.data_checksum,
                "tuned_until": record.spans["tuned_until"],
            },
            folder=str(folder.resolve()),
        )
        keep(to, tracked, send=trial is fresh[-1])


def found(name: str, store: Path) -> tuple[runs.Record | dict[str, Any], str, Path]:
    """The record of a backtest, or the manifest of a training; the code that made it, empty if unknown; its folder.

    name: the folder, or the name or id of a tracked one. Raises TrackingError or BundleError, naming the nearest, if
    there is none, and ConfigError if it was a trial.
    """
    folder = Path(name)
    if (folder / bundles.MANIFEST).is_file():
        return bundles.open_bundle(folder).manifest, "", folder
    if (folder / runs.RECORD).is_file() or not spool.entries(store):
        record = runs.read(folder)
        return record, record.code, folder
    tracked = spool.find(name, store).tracked
    if tracked.run is None:
        raise ConfigError(
            f"{name}: was a {tracked.kind}, whose record is not enough to make it again. Reproduce a backtest or a "
            "training."
        )
    if tracked.kind == "train":
        return tracked.run, tracked.tags["code"], Path(tracked.folder)
    record = runs.of_document(tracked.run, name)
    return record, record.code, Path(tracked.folder)


def _model(settings: dict[str, Any]) -> str:
    calibrated = settings.get("calibration", {}).get("name", "none") != "none"
    return f"{settings.get('model_choice', '')}{', calibrated' if calibrated else ''}"


def _asked(settings: dict[str, Any]) -> dict[str, str]:
    tuned = settings.get("tuned_until")
    asked = {"seed": str(settings.get("seed", "")), "threads": str(settings.get("threads", ""))}
    return asked if tuned is None else asked | {"tuned_until": str(tuned)}


def _iso(times: dict[str, datetime]) -> dict[str, str]:
    return {name: time.isoformat() for name, time in times.items()}


def _utc(time: Any) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(time.astype("datetime64[us]").astype(int)))


def _by_lead(scores: Mapping[str, Scores]) -> Iterator[Metric]:
    for name, scored in scores.items():
        leads = scored.leads
        for column in BY_LEAD:
            if column in leads.columns:
                pairs = zip(leads["lead_minutes"], leads[column], strict=True)
                yield from ((f"lead/{name}/{column}", float(v), round(lead)) for lead, v in pairs if v is not None)


def _curves(forecaster: Forecaster, name: str = "") -> Iterator[Metric]:
    """The losses of every epoch of the networks in a forecaster, within pools and calibrations too."""
    inner = getattr(forecaster, "model", None)
    if isinstance(inner, Forecaster):
        yield from _curves(inner, name)
    for member, its in getattr(forecaster, "members", {}).items():
        yield from _curves(its, f"{name}{member}/")
    label = name or f"{forecaster.name}/"
    for number, epochs in enumerate(getattr(forecaster, "curves", [])):
        for epoch, losses in enumerate(epochs):
            for what, loss in zip(LOSSES, losses, strict=False):
                if loss is not None:
                    yield f"curve/{label}network {number + 1} {what}", float(loss), epoch + 1
