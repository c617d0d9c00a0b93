"""The promotion gate on simulated farms whose truth is known: how often an equal, a better model and a cheat pass.

A run is a year of hourly power and forecasts of 24 hours. Champion and challenger see the true distribution of the
weather's index through an error of their own, an Ornstein-Uhlenbeck process in valid time, and know how large it is:
both are calibrated. The errors are independent, so the two are as hard to tell apart as errors of that size can be:
by issue time their losses differ by 0.27 of the CRPS (one standard deviation), those of the pool and the power curve at
La Haute Borne by 0.24. What counts beside that is how long errors last; there, with 48 leads, for longer.
"""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from measure import Measurement
from scipy.signal import lfilter
from scipy.special import ndtri

from windcast.data.sources.simulation import Simulation, SimulationConfig, simulate
from windcast.data.task import ForecastTask
from windcast.errors import TaskError
from windcast.evaluation.gate import CRITERIA, judge, passes
from windcast.models.forecast import Forecast
from windcast.registry.spans import Seen, unseen

RUNS, YEAR, HORIZON, EVERY = 200, 365, 24, 3  # EVERY: hours from an issue time to the next
FIRST = 1000  # seed; the gate's criteria were chosen on seeds 0 to 199
MEMORY = 12.0  # hours over which a model's error is alike
EXCESS = 1.04  # the champion's CRPS, against that of the truth
BETTER = 0.968  # the better challenger's, against the champion's: of the index; of power it is 0.97
LEVELS = tuple(round(k / 20, 2) for k in range(1, 20))
HOUR = np.timedelta64(3_600_000_000, "us")


def run() -> list[Measurement]:
    with ProcessPoolExecutor(2) as pool:
        found = [dict(one) for one in pool.map(_run, range(FIRST, FIRST + RUNS))]
    share = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    data = f"{RUNS} simulated years, issued every {EVERY} h, {HORIZON} leads"
    rows = [
        ("an equal challenger is promoted", "equal", 0.05, "lower"),
        ("a challenger with 3 % lower CRPS is promoted", "better", 0.9, "higher"),
        ("a challenger that saw test data is refused", "refused", 1.0, "higher"),
    ]
    told = [
        ("… difference in CRPS of the better, mean", "change"),
        ("… it passes the test of the mean", "plain"),
        ("… it passes the weighted test", "weighted"),
        ("… it passes one of them", "accurate"),
        ("… spread of the difference by issue time / CRPS, equals", "scatter"),
    ]
    return [
        *(Measurement(name=n, value=share[k], target=t, better=b, unit="share", data=data) for n, k, t, b in rows),
        *(Measurement(name=name, value=share[key], unit="share", data=data) for name, key in told),
    ]


def _run(seed: int) -> dict[str, float]:
    rng = np.random.default_rng([7, seed])
    year = Year.draw(seed)
    size, smaller = (np.sqrt((factor * EXCESS) ** 2 - 1) for factor in (1, BETTER))
    champion, equal, better = (year.model(one, rng) for one in (size, size, smaller))
    as_equal, as_better = (judge(one, champion, year.observed) for one in (equal, better))
    return {
        "equal": passes(as_equal),
        "better": passes(as_better),
        "plain": as_better[0].figures["p_plain"] < CRITERIA.level / 2,
        "weighted": as_better[0].figures["p_weighted"] < CRITERIA.level / 2,
        "accurate": as_better[0].passed,
        "change": as_better[0].figures["change"],
        "scatter": _scatter(equal, champion, year.observed),
        "refused": _refused(year.times, rng),
    }


def _scatter(challenger: Forecast, champion: Forecast, observed: np.ndarray) -> float:
    from windcast.evaluation.scores import crps

    ours, theirs = crps(challenger, observed), crps(champion, observed)
    return float((ours - theirs).mean(axis=1).std() / theirs.mean())


def _refused(times: np.ndarray, rng: np.random.Generator) -> bool:
    """Trained or tuned until some time within the year, asked for on the whole year, or until its end."""
    began = _utc(times[0])
    within = _utc(times[int(rng.integers(1, len(times)))])
    champion = Seen(name="the champion", trained_until=began)
    cheats = [
        (Seen(name="the challenger", trained_until=within), began),
        (Seen(name="the challenger", trained_until=began, tuned_until=within), began),
        (Seen(name="the challenger", trained_until=_utc(times[-1]) + timedelta(days=2)), None),
    ]
    refused = 0
    for cheat, since in cheats:
        try:
            unseen(times, cheat, champion, since=since, least=timedelta(days=CRITERIA.least_days))
        except TaskError:
            refused += 1
    return refused == len(cheats)


@dataclass(frozen=True)
class Year:
    """A simulated farm: mean and deviation [B, H] of the true forecast of its index, and the power that came."""

    simulation: Simulation
    task: ForecastTask
    times: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    observed: np.ndarray

    @classmethod
    def draw(cls, seed: int) -> "Year":
        config = SimulationConfig(days=YEAR + 3, seed=seed)
        simulation = simulate(config)
        task = ForecastTask(
            horizon=HORIZON, resolution=timedelta(hours=1), capacity_mw=config.capacity_mw, levels=LEVELS
        )
        times = config.first + 24 * HOUR + EVERY * HOUR * np.arange(YEAR * 24 // EVERY)
        mean, deviation = simulation.latent(times, task)
        power = simulation.farm().power["power_mw"].to_numpy()
        first = (times - simulation.record[0]) // HOUR
        ahead = first[:, None] + np.arange(1, HORIZON + 1)
        return cls(simulation, task, times, mean, deviation, power[ahead].astype(np.float32))

    def model(self, size: float, rng: np.random.Generator) -> Forecast:
        """size: of its error, in deviations of the truth."""
        first = (self.times - self.times[0]) // HOUR
        rho = np.exp(-1 / MEMORY)
        shocks = rng.standard_normal(int(first[-1]) + HORIZON + 1)
        shocks[1:] *= np.sqrt(1 - rho**2)
        error = lfilter([1.0], [1.0, -rho], shocks)[first[:, None] + np.arange(1, HORIZON + 1)]
        centre = self.mean + size * self.deviation * error
        x = centre[..., None] + self.deviation[..., None] * np.sqrt(1 + size**2) * ndtri(np.array(LEVELS))
        ahead = self.times[:, None] + HOUR * np.arange(1, HORIZON + 1)
        values = self.simulation._power(x, ahead[..., None]).astype(np.float32)
        return Forecast(task=self.task, issue_times=self.times, values=values, rung=np.zeros(centre.shape, np.int8))


def _utc(time: np.datetime64) -> datetime:
    return time.astype("datetime64[us]").item().replace(tzinfo=UTC)
