"""What a sweep costs beside its trials: 200 trials of an objective that takes no time, on two processes."""

import tempfile
import time
from pathlib import Path

from measure import Measurement

from windcast.errors import SourceError

TRIALS, PROCESSES = 200, 2
OVERRIDES = ("data=simulation", "data.days=30", "model=gbm", f"sweep.trials={TRIALS}")


def run() -> list[Measurement]:
    try:
        import optuna
    except ImportError as error:
        raise SourceError(f"{error}. Install windcast[sweep]") from None
    from windcast.workflows import sweeping

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        sweep = sweeping.begin(OVERRIDES, folder=Path(folder) / "study", command="")
        trials, _ = sweeping.run(sweep, processes=PROCESSES, objective_of=trivial)
        seconds = time.perf_counter() - began
    complete = sum(trial.state == "complete" for trial in trials)
    assert complete == TRIALS, f"{complete} of {TRIALS} trials are complete"
    data = f"Optuna {optuna.__version__}, TPE, 6 keys, {PROCESSES} processes, from start to pictures"
    return [Measurement(name=f"{TRIALS} trials of a trivial objective", value=seconds, unit="s", target=60, data=data)]


def trivial(_record, _processes):
    return _bowl


def _bowl(values, _report) -> float:
    return (values["model.learning_rate"] - 0.05) ** 2 + (values["model.feature_fraction"] - 0.5) ** 2
