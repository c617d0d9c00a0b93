"""Records in MLflow: a database file, or a server."""

import json
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from windcast.errors import TrackingError
from windcast.registry.tracking import database
from windcast.registry.tracking.lock import held
from windcast.registry.tracking.spool import RECORD, Entry

ID, WHOLE = "windcast.id", "windcast.whole"
FORBIDDEN = re.compile(r"[^\w\-. /]")  # in MLflow's keys
LONGEST = 500  # characters of a value that MLflow has taken since its first versions
PARAMS, METRICS = 100, 1000  # of one request
PATIENCE = 60.0  # seconds to wait for whoever makes the database


def send(entry: Entry) -> str:
    """Writes the record as an MLflow run and returns where it is. Sent twice, also after a kill, it is there once.

    A run carries the record's id as a tag, and, last of all, that it is whole. One that is not is completed: MLflow
    takes the same values again without a second copy. Raises TrackingError where the database cannot be used.
    """
    uri = entry.destination.database
    file = database.file_of(uri)
    try:
        return _sent(entry, uri, file)
    except MlflowException as error:
        told = str(error)
        if file is not None and ("sqlite3." in told or "locked" in told):
            cause = re.search(r"\(sqlite3\.\w+\) ([^\n\[]+)", told)
            raise TrackingError(database.reason(file, cause[1].strip() if cause else told)) from None
        raise


def ensure(file: Path) -> None:
    """Makes MLflow's database where there is none: by one process alone, and whole or not at all.

    MLflow itself takes seconds for its tables; a second process, or one after a kill, would go on from half of them.
    Raises TrackingError if another process has been making it for a minute.
    """
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with held(file.with_name(f".{file.name}.lock"), patience=PATIENCE) as alone:
        if not alone:
            raise TrackingError(f"{file}: another program is making this database. Try again when it is done.")
        if file.exists():
            return
        with TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent, ignore_cleanup_errors=True) as folder:
            tables, whole = Path(folder) / file.name, Path(folder) / "whole"
            MlflowClient(tracking_uri=f"{database.SCHEME}{tables.resolve()}").search_experiments(max_results=1)
            shutil.copy2(tables, whole)  # MLflow keeps the other one open
            whole.replace(file)


def _sent(entry: Entry, uri: str, file: Path | None) -> str:
    if file is not None:
        ensure(file)
    client = MlflowClient(tracking_uri=uri)
    experiment = _experiment(client, entry.destination.experiment, file)
    where = f"{uri}, run {{}}"
    known = client.search_runs([experiment], f"tags.`{ID}` = '{entry.id}'")
    if known and WHOLE in known[0].data.tags:
        return where.format(known[0].info.run_id)
    tracked = entry.tracked
    began = _milliseconds(tracked.created)
    run = (
        known[0]
        if known
        else client.create_run(experiment, start_time=began, tags={ID: entry.id}, run_name=tracked.name)
    )
    number = run.info.run_id
    params = [Param(_key(name), str(value)[:LONGEST]) for name, value in tracked.parameters.items()]
    tags = {"kind": tracked.kind, "model": tracked.model, "data": tracked.data} | tracked.tags
    marks = [RunTag(_key(name), str(value)) for name, value in tags.items()]
    times = {"seconds": tracked.seconds, "memory_mb": tracked.memory_mb}
    spent = [(name, value, 0) for name, value in times.items() if value is not None]
    metrics = [Metric(_key(name), value, began, step) for name, value, step in (*tracked.metrics, *spent)]
    for part in _parts(params, PARAMS):
        client.log_batch(number, params=part, tags=marks, synchronous=True)
        marks = []
    for part in _parts(metrics, METRICS):
        client.log_batch(number, metrics=part, synchronous=True)
    client.log_dict(number, json.loads((entry.folder / RECORD).read_text()), RECORD)
    if entry.files.is_dir():
        client.log_artifacts(number, str(entry.files))
    client.set_terminated(number, "FINISHED", end_time=began + int(1000 * tracked.seconds))
    client.set_tag(number, WHOLE, "true")
    return where.format(number)


def _experiment(client: MlflowClient, name: str, file: Path | None) -> str:
    """Its number. Beside a database file, the files of its runs lie in mlflow-files/."""
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    location = None if file is None else (file.parent / "mlflow-files").resolve().as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def _key(name: str) -> str:
    return FORBIDDEN.sub("", name)[:250]


def _milliseconds(time: str) -> int:
    return int(1000 * datetime.fromisoformat(time).timestamp())


def _parts(values: list[Any], most: int) -> Iterator[list[Any]]:
    rest = iter(values)
    while part := list(islice(rest, most)):
        yield part
