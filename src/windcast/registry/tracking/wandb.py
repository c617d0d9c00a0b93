"""Records in Weights & Biases: offline, a folder that `wandb sync` uploads; online, an account's project."""

import shutil
from collections import defaultdict
from pathlib import Path

import wandb

from windcast.errors import TrackingError
from windcast.registry.tracking.spool import RECORD, Entry

STEPS = {"lead/*": "lead_minutes", "curve/*": "epoch"}


def send(entry: Entry) -> str:
    """Writes the record as a W&B run with the record's id, and returns where it is.

    What an attempt that was cut short left of it offline is replaced; online W&B itself knows the id. Raises
    TrackingError where an online run is asked for and nobody has logged in.
    """
    to, tracked = entry.destination, entry.tracked
    if to.mode == "online" and wandb.api.api_key is None:
        raise TrackingError("nobody is logged in to Weights & Biases. Run `wandb login`, or use tracking.mode=offline.")
    for rest in (to.folder / "wandb").glob(f"offline-run-*-{entry.id}"):
        shutil.rmtree(rest)
    to.folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        id=entry.id,
        name=tracked.name,
        project=to.project,
        job_type=tracked.kind,
        dir=str(to.folder),
        mode="online" if to.mode == "online" else "offline",
        config=tracked.settings,
        tags=[tracked.kind, tracked.model[:64], tracked.data[:64]],
        resume="allow" if to.mode == "online" else None,
        settings=wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True, x_disable_meta=True
        ),
    )
    place = Path(run.dir)
    with run:
        run.config.update({f"tags/{name}": value for name, value in tracked.tags.items()})
        for pattern, step in STEPS.items():
            run.define_metric(step)
            run.define_metric(pattern, step_metric=step)
        for point in _points(entry):
            run.log(point)
        run.summary.update({name: value for name, value, step in tracked.metrics if not step})
        run.summary.update({"seconds": tracked.seconds, "memory_mb": tracked.memory_mb})
        shutil.copy2(entry.folder / RECORD, place / RECORD)
        if entry.files.is_dir():
            shutil.copytree(entry.files, place, dirs_exist_ok=True)
    return f"W&B project {to.project}, {to.mode}, {place.parent}"


def _points(entry: Entry) -> list[dict[str, float]]:
    """What belongs to one step, together: all scores of a lead time, all losses of an epoch."""
    together: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for name, value, step in entry.tracked.metrics:
        axis = STEPS.get(f"{name.partition('/')[0]}/*")
        if axis is not None and step:
            together[axis, step] |= {axis: step, name: value}
    return [together[key] for key in sorted(together)]
