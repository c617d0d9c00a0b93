"""The PatchTST of tsai 1.0.1 and of neuralforecast 3.3 on Klim, hourly, from power alone, and windcast's beside them.

The same windows for all: 104 hours of power in, leads 1 to 48 h out, the last 20 % of the data as the test. The same
architecture where speed is compared, on two threads, all in turn in one run so that the ratio holds on a busy machine.
The peers are no dependencies of windcast. To run this: `pip install torch==2.13.0`, then
`pip install tsai==1.0.1 neuralforecast==3.3.0` and `pip install -e ".[deep]"`.
"""

import logging
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import peer_models as peers
from measure import Measurement
from peer_models import DROPOUT, FEEDFORWARD, HEADS, HORIZON, LAYERS, PATCH, STRIDE, WIDTH, Split

from windcast.data.sources import klim
from windcast.errors import SourceError
from windcast.models.base import build

DATA = "Klim, hourly power alone, test 2002-06-18 to 2003-04-30"
SPEED = "Klim, hourly power alone, same architecture, two threads"
THREADS = 2
LEADS = (1, 6, 24)
ENOUGH = 16.2  # % of capacity, mean over the leads
MOST_STEPS = 1000  # of neuralforecast
ROUNDS = 3
ALONE: dict[str, Any] = {"name": "patchtst", "inputs": ["power"], "threads": THREADS}
# both chosen on the validation period, 2002-01-11 to 2002-06-18: the best, and the cheapest that is good enough there
PERCEPTRON = ALONE | {"network": "mlp", "dropout": 0.2, "noise": 0.2, "decay": 0.1}
OWN = {
    "name": "pool",
    "members": {"mlp": PERCEPTRON, "patchtst": ALONE},
    "weights": {"mlp": 0.5, "patchtst": 0.5},
}
QUICK = PERCEPTRON | {"seeds": 1, "epochs": 1, "max_issue_times": 6400}
OWN_ALIKE = ALONE | {  # the architecture of the peers; they have one answer a lead, a quantile network at least two
    "seeds": 1,
    "knots": (0.4, 0.6),
    "noise": 0.0,
    "depth": LAYERS,
    "heads": HEADS,
    "width": WIDTH,
    "feedforward": FEEDFORWARD,
    "patch": PATCH,
    "stride": STRIDE,
    "dropout": DROPOUT,
    "holdout": 0.0,
    "missing_share": 0.0,
    "learning_rate": 0.001,
    "epochs": 1,
}


# ---- windcast ----


def own_fit(split: Split, config: dict[str, Any], *, most: int | None = None) -> tuple[Any, float, float]:
    """windcast's forecaster of the same windows; seconds of its training alone, and until it can forecast.

    The training is counted from before the network is built; the peers' only from their first step.
    """
    from windcast.models.deep import training

    learn, spent = training.learn, []

    def timed(*args: Any, **named: Any) -> Any:
        start = time.perf_counter()
        learned = learn(*args, **named)
        spent.append(time.perf_counter() - start)
        return learned

    train = split.train if most is None else split.train.take(slice(0, most))
    start = time.perf_counter()
    with patch.object(training, "learn", timed):
        forecaster = build(config).fit(train)
    return forecaster, sum(spent), time.perf_counter() - start


# ---- what is measured ----


def run() -> list[Measurement]:
    split = Split.load()
    try:
        import neuralforecast  # noqa: F401
        import torch
        import tsai  # noqa: F401
    except ImportError as error:
        raise SourceError(f"the peers are not installed ({error}); the top of benchmarks/peers.py says how.") from None
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(THREADS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [*accuracy(split), *speed(split)]


def accuracy(split: Split) -> list[Measurement]:
    learner, tsai_seconds = peers.tsai_fit(split, batch=16, epochs=5)
    of_tsai = split.nmae(peers.tsai_points(learner, split.test))
    until, seconds, of_neuralforecast = neuralforecast_accuracy(split)
    rows = [
        *_by_lead("tsai", of_tsai),
        *_by_lead("neuralforecast", of_neuralforecast),
        _row("training of tsai, 5 epochs", tsai_seconds, "s", SPEED),
        _row(f"training of neuralforecast, {MOST_STEPS} steps", seconds, "s", SPEED),
        _row(f"training of neuralforecast to a mean NMAE of {ENOUGH} %", until, "s", SPEED),
    ]
    return rows + own_accuracy(split, np.minimum(of_tsai, of_neuralforecast), until)


def neuralforecast_accuracy(split: Split) -> tuple[float, float, np.ndarray]:
    """Seconds of training until ENOUGH is reached, NaN if never, and of all steps; NMAE [48] by lead after them."""
    reached: list[float] = []
    last = [0.0]

    def look(network: Any, seconds: float) -> bool:
        last[0] = seconds
        if not reached:
            if split.nmae(peers.neuralforecast_points(network, split.test)).mean() <= ENOUGH:
                reached.append(seconds)
            network.train()
        return False

    network = peers.neuralforecast_fit(split, batch=128, steps=MOST_STEPS, watch=look)
    nmae = split.nmae(peers.neuralforecast_points(network, split.test))
    return reached[0] if reached else float("nan"), last[0], nmae


def own_accuracy(split: Split, best: np.ndarray, until: float) -> list[Measurement]:
    """windcast beside the better peer: NMAE `best` [48] by lead, and the seconds in which ENOUGH was reached."""
    own_fit(split, QUICK, most=1000)  # what is loaded once is loaded for the peers as well
    quick, alone, ready = own_fit(split, QUICK)
    forecaster, seconds, _ = own_fit(split, OWN)
    of_quick, of_own = (split.nmae(f.predict(split.test).median / klim.CAPACITY_MW) for f in (quick, forecaster))
    return [
        *_by_lead("windcast", of_own, best),
        _row("leads at which a peer is better", float((of_own >= best).sum()), "leads", DATA, target=0),
        _row("training of windcast", seconds, "s", SPEED),
        _row("NMAE of windcast's quick training, mean", of_quick.mean(), "% of capacity", DATA, target=ENOUGH),
        _row("windcast's quick training", alone, "s", SPEED),
        _row("windcast's quick training, with scaling and export", ready, "s", SPEED),
        _row("windcast's quick training / neuralforecast's", alone / until, "ratio", SPEED, target=0.2),
    ]


def speed(split: Split) -> list[Measurement]:
    """Samples a second in training, from the time of twice the samples less that of once: start-up cancels out."""
    contenders: dict[str, Callable[[int, int], float]] = {
        "tsai": lambda batch, samples: peers.tsai_fit(split, batch=batch, epochs=1, most=samples + 1)[1],
        "neuralforecast": lambda batch, samples: _neuralforecast_seconds(split, batch, samples),
        "windcast": lambda batch, samples: own_fit(split, OWN_ALIKE | {"batch": batch}, most=samples)[1],
    }
    rows = []
    for batch, samples in ((16, 1600), (128, 2560)):
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for seconds in contenders.values():
            seconds(batch, 2 * batch)  # warm
        for _ in range(ROUNDS):
            for name, seconds in contenders.items():
                rates[name].append(samples / (seconds(batch, 2 * samples) - seconds(batch, samples)))
        rows += [
            _row(f"training of {name}, batch {batch}", median(rates[name]), "samples/s", SPEED) for name in contenders
        ]
        faster = np.maximum(rates["tsai"], rates["neuralforecast"])
        ratio = float(np.median(np.array(rates["windcast"]) / faster))
        name = f"windcast / faster peer, batch {batch}"
        rows.append(_row(name, ratio, "ratio", SPEED, target=1.8, aim=3.0, better="higher"))
    return rows


def _neuralforecast_seconds(split: Split, batch: int, samples: int) -> float:
    start = time.perf_counter()
    peers.neuralforecast_fit(split, batch=batch, steps=samples // batch)
    return time.perf_counter() - start


def _by_lead(name: str, nmae: np.ndarray, best: np.ndarray | None = None) -> list[Measurement]:
    """best: what must not be exceeded."""
    rows = [
        _row(
            f"NMAE of {name}, {lead} h", nmae[lead - 1], "% of capacity", DATA, None if best is None else best[lead - 1]
        )
        for lead in LEADS
    ]
    held = None if best is None else 16.0
    return [*rows, _row(f"NMAE of {name}, mean of 1 to {HORIZON} h", nmae.mean(), "% of capacity", DATA, held)]


def _row(
    name: str,
    value: float,
    unit: str,
    data: str,
    target: float | None = None,
    aim: float | None = None,
    better: Any = "lower",
) -> Measurement:
    return Measurement(
        name=name,
        value=float(value),
        unit=unit,
        target=None if target is None else float(target),
        aim=aim,
        better=better,
        data=data,
    )
