"""Sweeps: begun, gone on with after a kill, run on several processes, and what came of them.

runs/NAME/
  sweep.json            what is swept, of which data, scored on which span
  journal.log           every trial, as Optuna's journal
  trials.csv            every trial, for people
  best.yaml, best.txt   the best values, and as overrides for `windcast train`
  history.png, importance.png
"""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from windcast.configs import Settings
from windcast.configs import settings as default_settings
from windcast.configs.sweeps import BUDGETS, Search, choose
from windcast.data.farm import FarmData
from windcast.errors import BundleError, ConfigError, TaskError, WindcastError
from windcast.registry import bundles, runs
from windcast.registry.tracking import NOWHERE, Destination
from windcast.workflows.sweep_record import RECORD, Record, differences_of, of_search, read, unknown
from windcast.workflows.sweep_results import Trial, trial_of, write_results
from windcast.workflows.sweep_scoring import Course, Spans
from windcast.workflows.sweep_study import Objective, Study

MOST_TOLD = 5  # differences that are named
GLANCE = 0.5  # seconds between two looks at the study while other processes work on it


@dataclass(frozen=True)
class Sweep:
    """A sweep in its folder. notes: what a person should know before it runs, in sentences."""

    folder: Path
    record: Record
    search: Search
    notes: list[str]
    tracking: Destination = NOWHERE

    @property
    def settings(self) -> Settings:
        return Settings(self.record.settings)

    def study(self) -> Study:
        return Study(self.folder, self.search, seed=self.record.settings["seed"])


def begin(
    overrides: Sequence[str] = (),
    *,
    folder: Path,
    command: str,
    file: Path | None = None,
    known: bool = False,
) -> Sweep:
    """The sweep in `folder`, to go on with where it stopped; or, where there is none, a sweep begun there.

    file: a W&B sweep as its search space. known: the folder was named as that of a study; then one that does not exist
    is begun only where something is said of it. Raises ConfigError where a study has other data, another configuration
    or another space than the one asked for, naming what differs; budgets may be others.
    """
    changes = [override for override in overrides if override.partition("=")[0] not in BUDGETS]
    if (folder / RECORD).is_file():
        return _go_on(folder, overrides, changes, file)
    if known and not overrides and file is None:
        raise ConfigError(unknown(folder))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"{folder}: holds something else than a sweep. Choose another --study.")
    chosen = choose(overrides, file=file)
    farm = chosen.settings.farm()
    spans = Spans.of(farm, chosen.settings.plan(farm), share=chosen.search.validation_share)
    record = Record(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        overrides=chosen.overrides,
        settings=chosen.settings.document,
        search=chosen.search.to_dict(),
        spans=spans.to_dict(),
        data_checksum=_checksum(farm, spans),
        code=runs.code_version(),
        packages=bundles.versions(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder)
    return Sweep(folder, record, chosen.search, chosen.notes, chosen.settings.tracking)


def _go_on(folder: Path, overrides: Sequence[str], changes: Sequence[str], file: Path | None) -> Sweep:
    record = read(folder)
    search = Search.from_dict(record.search, record.settings)
    notes, differences, tracking = [], [], default_settings().tracking
    if changes or file is not None:
        chosen = choose(overrides, file=file)
        tracking = chosen.settings.tracking
        notes += chosen.notes
        differences += differences_of(record.settings, chosen.settings.document)
        differences += differences_of(of_search(search), of_search(chosen.search), "sweep.")
    settings = Settings(record.settings)
    farm = settings.farm()
    spans = Spans.of(farm, settings.plan(farm), share=search.validation_share)
    differences += differences_of(record.spans, spans.to_dict())
    if not differences and _checksum(farm, spans) != record.data_checksum:
        differences.append(f"the data of {farm.name} before {spans.tuned_until:%Y-%m-%d %H:%M} UTC")
    if differences:
        more = f"; and {len(differences) - MOST_TOLD} more" if len(differences) > MOST_TOLD else ""
        raise ConfigError(
            f"{folder}: this study is of something else: {'; '.join(differences[:MOST_TOLD])}{more}. "
            f"Go on with it by --study {folder.name} alone, or begin another."
        )
    here = runs.code_version()
    if here != record.code:
        notes.append(f"the study began with windcast {record.code}; this is {here}.")
    search = search.with_budgets(overrides)
    record = replace(record, search=search.to_dict())
    record.write(folder)
    return Sweep(folder, record, search, notes, tracking)


def _checksum(farm: FarmData, spans: Spans) -> str:
    """Of what was known where the test begins: what comes after it may change and grow."""
    return farm.known_until(spans.tuned_until).checksum


def score_of(record: Record, processes: int) -> Objective:
    """What the trials of a sweep are judged by."""
    share = record.search["validation_share"]
    return Course.of(Settings(record.settings), share=share, processes=processes).score


ObjectiveOf = Callable[[Record, int], Objective]


def run(
    sweep: Sweep,
    *,
    processes: int = 1,
    on_change: Callable[[list[Trial]], None] = lambda _: None,
    objective_of: ObjectiveOf = score_of,
) -> tuple[list[Trial], list[str]]:
    """Runs trials until a budget is spent, writes the results, and returns all trials of the study and notes.

    on_change: shown all trials now and then. objective_of: with several processes, a function of a module. Stopped by
    hand (KeyboardInterrupt), results are written all the same. Raises TaskError where no trial succeeded.
    """
    if processes < 1:
        raise ConfigError(f"--processes is {processes}; give at least 1.")
    until = float("inf") if sweep.search.minutes is None else time.monotonic() + 60 * sweep.search.minutes
    study, notes = sweep.study(), []

    def trials() -> list[Trial]:
        return [trial_of(trial, sweep.search) for trial in study.trials()]

    try:
        if processes == 1:
            study.run(
                objective_of(sweep.record, 1),
                until=until,
                on_change=lambda: on_change(trials()),
            )
        else:
            notes = _together(sweep, processes, until, lambda: on_change(trials()), objective_of)
    finally:
        ended = trials()
        write_results(sweep.folder, ended, study, sweep.record)
    told = [trial for trial in ended if not trial.killed and trial.ended]
    if told and not any(trial.state == "complete" for trial in told):
        raise TaskError(
            f"no trial of {len(told)} succeeded; the last: {told[-1].reason} See {sweep.folder}/trials.csv."
        )
    return ended, notes


def _together(
    sweep: Sweep,
    processes: int,
    until: float,
    on_change: Callable[[], None],
    objective_of: ObjectiveOf,
) -> list[str]:
    """Several processes on the study. Returns a sentence for each that was killed; raises what one of them raised."""
    context = multiprocessing.get_context("spawn")
    failures = context.SimpleQueue()
    left = None if until == float("inf") else until - time.monotonic()
    given = (sweep, processes, left, objective_of, failures)
    workers = [context.Process(target=_work, args=given, daemon=True) for _ in range(processes)]
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers):
            on_change()
            for worker in workers:
                worker.join(GLANCE / processes)
    except KeyboardInterrupt:
        for worker in workers:
            worker.join()
        raise
    on_change()
    if not failures.empty():
        raise TaskError(failures.get())
    killed = [worker for worker in workers if worker.exitcode]
    return [f"process {worker.pid} ended by itself (exit status {worker.exitcode})." for worker in killed]


def _work(
    sweep: Sweep,
    processes: int,
    left: float | None,
    objective_of: ObjectiveOf,
    failures: Any,
) -> None:
    """One process of several. left: seconds until no trial begins."""
    until = float("inf") if left is None else time.monotonic() + left
    try:
        sweep.study().run(
            objective_of(sweep.record, processes),
            until=until,
        )
    except WindcastError as error:
        failures.put(str(error))
    except KeyboardInterrupt:
        pass
