"""The study of a sweep: an Optuna journal that several processes write, each trial asked for and told under a lock.

A lock is the system's: it is free again when the process that held it has ended, however it ended. So is known
which running trials have nobody left who runs them; such a trial failed, and its values are tried once more.
"""

import itertools
import json
import math
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windcast.configs.sweep_space import Range
from windcast.configs.sweeps import Search
from windcast.errors import ConfigError, TaskError, WindcastError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

try:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import FrozenTrial, TrialState
except ImportError as error:
    raise ConfigError(f"a sweep needs Optuna ({error}). Install it with: pip install 'windcast[sweep]'") from None

optuna.logging.set_verbosity(optuna.logging.ERROR)

JOURNAL, WORKERS = "journal.log", "workers"
PATIENCE = 60.0  # seconds for which a lock is waited for
MOST_FAILED = 10  # trials in a row from the first that fail, before the sweep gives up
MOST_GRID = 2_000
DONE = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
KILLED, REASON, WORKER, AGAIN = "killed", "reason", "worker", "again"

Objective = Callable[[dict[str, Any], Callable[[int, float], None]], float]
"""Values by key, and where to report the score after an epoch (it raises `Pruned`), to the score, lower is better."""

Pruned = optuna.TrialPruned


class Lock:
    """Held by one process at a time. Raises ConfigError where it cannot be had in time."""

    def __init__(self, file: Path) -> None:
        self.file, self.handle = file, -1

    def acquire(self) -> bool:
        handle = os.open(self.file, os.O_CREAT | os.O_RDWR, 0o644)
        until, pause = time.monotonic() + PATIENCE, 0.001
        while not _locked(handle):
            if time.monotonic() > until:
                os.close(handle)
                raise ConfigError(
                    f"{self.file}: has been locked by another process for {PATIENCE:g} s. "
                    "End the process of this sweep that hangs, then go on."
                )
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        self.handle = handle
        return True

    def release(self) -> None:
        os.close(self.handle)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def _locked(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the one on POSIX, the other on Windows
        return False
    return True


@dataclass
class Study:
    """The study in `folder`, which must exist; begun there if it has none.

    Raises ConfigError where the journal is damaged, naming the line, or is locked for too long.
    """

    folder: Path
    search: Search
    seed: int
    worker: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
        self.journal = self.folder / JOURNAL
        writing = Lock(self.folder / f"{JOURNAL}.lock")
        self.asking = Lock(self.folder / "asking.lock")
        with self.asking, reading(self.journal):
            with writing:
                _mend(self.journal)
            storage = JournalStorage(JournalFileBackend(str(self.journal), writing))
            self.optuna = optuna.create_study(
                storage=storage, study_name=self.folder.name, load_if_exists=True, pruner=self._pruner()
            )
            if self.search.sampler == "grid" and not self.optuna.get_trials(deepcopy=False):
                self._enqueue_grid()

    def trials(self) -> list[FrozenTrial]:
        with reading(self.journal):
            found: list[FrozenTrial] = self.optuna.get_trials(deepcopy=False)
        return found

    def run(
        self,
        objective: Objective,
        *,
        until: float = float("inf"),
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Trial after trial until the study has as many as it may, or the clock (time.monotonic) has passed `until`.

        A trial whose objective raises has failed with that reason. Raises TaskError where none but failed ones come.
        """
        (self.folder / WORKERS).mkdir(exist_ok=True)
        alive = Lock(self.folder / WORKERS / self.worker)
        with alive:
            while time.monotonic() < until:
                with self.asking, reading(self.journal):
                    trial = self._ask()
                if trial is None:
                    return
                on_change()
                self._try(trial, objective)
                on_change()
                self._check_any_succeeds()

    def _ask(self) -> optuna.Trial | None:
        """The next trial, drawn by its number alone and by what the others told; None when there are enough."""
        self._reap()
        trials = self.optuna.get_trials(deepcopy=False)
        waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        if len(counted(trials)) + len(running) >= self.search.trials:
            return None
        if self.search.sampler == "grid" and not waiting:
            return None
        self.optuna.sampler = self._sampler(number=len(trials) - len(waiting))
        trial = self.optuna.ask({key: distribution(one) for key, one in self.search.space.items()})
        trial.set_user_attr(WORKER, self.worker)
        return trial

    def _try(self, trial: optuna.Trial, objective: Objective) -> None:
        values = {key: one.value(trial.params[key]) for key, one in self.search.space.items()}

        def report(epoch: int, score: float) -> None:
            trial.report(score, epoch)
            if trial.should_prune():
                raise Pruned

        try:
            score = float(objective(values, report))
            if score != score:
                raise TaskError("the score is not a number: nothing was known to score against.")
        except Pruned:
            self.optuna.tell(trial, state=TrialState.PRUNED)
        except KeyboardInterrupt:
            with self.asking:
                self._give_up(self.trials()[trial.number], "it was stopped by hand")
            raise
        except Exception as error:  # whatever a model does not bear is one trial's failure
            text = str(error) if isinstance(error, WindcastError) else f"{type(error).__name__}: {error}"
            trial.set_user_attr(REASON, " ".join(text.split())[:500])
            self.optuna.tell(trial, state=TrialState.FAIL)
        else:
            self.optuna.tell(trial, score)

    def _reap(self) -> None:
        """Ends the trials whose process has ended without a word."""
        for trial in self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            worker = trial.user_attrs.get(WORKER)
            if worker is None or not self._lives(worker):
                self._give_up(trial, "its process was killed")

    def _lives(self, worker: str) -> bool:
        try:
            handle = os.open(self.folder / WORKERS / worker, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not _locked(handle)
        finally:
            os.close(handle)

    def _give_up(self, trial: FrozenTrial, reason: str) -> None:
        """Failed and not counted; its values are tried once more, if this was not that already."""
        storage, known = self.optuna._storage, trial.user_attrs
        storage.set_trial_user_attr(trial._trial_id, KILLED, True)
        storage.set_trial_user_attr(trial._trial_id, REASON, reason)
        self.optuna.tell(trial.number, state=TrialState.FAIL)
        if trial.params and not known.get(AGAIN):
            self.optuna.enqueue_trial(trial.params, user_attrs={AGAIN: True})

    def _check_any_succeeds(self) -> None:
        told = counted(self.trials())
        if len(told) >= MOST_FAILED and all(trial.state == TrialState.FAIL for trial in told):
            raise TaskError(
                f"{len(told)} trials, and each has failed; the last: {told[-1].user_attrs.get(REASON)} "
                f"Mend that in a new study; {self.folder} keeps the reasons."
            )

    def _sampler(self, *, number: int) -> optuna.samplers.BaseSampler:
        """Seeded by the number of the trial: one process draws the same whether or not it was resumed."""
        seed = (1_000_003 * self.seed + number) % 2**32
        if self.search.sampler == "tpe":
            return optuna.samplers.TPESampler(n_startup_trials=self.search.startup, seed=seed)
        return optuna.samplers.RandomSampler(seed=seed)

    def _pruner(self) -> optuna.pruners.BasePruner:
        if self.search.pruner == "median":
            return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=self.search.warmup)
        if self.search.pruner == "hyperband":
            return optuna.pruners.HyperbandPruner(min_resource=max(1, self.search.warmup))
        return optuna.pruners.NopPruner()

    def _enqueue_grid(self) -> None:
        grids = {key: one.grid() for key, one in self.search.space.items()}
        count = math.prod(len(grid) for grid in grids.values())
        if count > MOST_GRID:
            raise ConfigError(
                f"the grid has {count:,} points, more than {MOST_GRID:,}. Take larger steps, or another sampler."
            )
        for values in itertools.product(*grids.values()):
            self.optuna.enqueue_trial(dict(zip(grids, values, strict=True)))


def counted(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that ended, but for those whose process was killed."""
    return [trial for trial in trials if trial.state in DONE and not trial.user_attrs.get(KILLED)]


def distribution(one: Range) -> BaseDistribution:
    if one.choices:
        return CategoricalDistribution(one.grid())
    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.log, step=int(one.step or 1))
    return FloatDistribution(one.low, one.high, log=one.log, step=one.step)


@contextmanager
def reading(journal: Path) -> Iterator[None]:
    """What Optuna makes of a damaged journal, as one ConfigError that names the line."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AssertionError, AttributeError) as error:
        line = _first_damaged(journal)
        if line is None:
            raise
        raise ConfigError(
            f"{journal}: line {line} is damaged ({type(error).__name__}). Cut the file before it to keep the trials up "
            "to there, or begin another study."
        ) from None


def _first_damaged(journal: Path) -> int | None:
    for number, line in enumerate(journal.read_bytes().splitlines(), start=1):
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict) or not isinstance(entry.get("op_code"), int) or "worker_id" not in entry:
                return number
        except ValueError:
            return number
    return None


def _mend(journal: Path) -> None:
    """Takes away a last line that was being written when its process was killed."""
    if not journal.is_file():
        return
    text = journal.read_bytes()
    whole = text.rfind(b"\n") + 1
    if text and not whole:
        raise ConfigError(f"{journal}: is not the journal of a sweep. Begin another study.")
    if whole < len(text):
        os.truncate(journal, whole)
