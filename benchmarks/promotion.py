"""The promotion gate on simulated farms whose truth is known: how often it lets an equal, a better and a cheat pass.

A run is a year of hourly issue times of 24 hours. Champion and challenger each see the true distribution of x through
an error of their own, an Ornstein-Uhlenbeck process in valid time, and know how large it is: both are calibrated.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from measure import Measurement
from scipy.special import ndtri

from windcast.data.sources.simulation import SimulationConfig, Simulation, simulate
from windcast.data.task import ForecastTask
from windcast.evaluation.gate import judge, passes
from windcast.evaluation.scores import crps
from windcast.models.forecast import Forecast

RUNS = 200
EVERY = 1  # hours from an issue time to the next
MEMORY = 12.0  # hours over which a model's error is alike
EXCESS = 1.05  # the champion's CRPS, against the truth's
LEVELS = tuple(round(k / 20, 2) for k in range(1, 20))


@dataclass(frozen=True)
class Year:
    simulation: Simulation
    task: ForecastTask
    times: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    observed: np.ndarray

    @classmethod
    def draw(cls, seed: int, every: int = EVERY) -> "Year":
        config = SimulationConfig(days=368, seed=seed)
        simulation = simulate(config)
        task = ForecastTask(
            horizon=24, resolution=timedelta(hours=1), capacity_mw=config.capacity_mw, history=24, levels=LEVELS
        )
        first = config.first + np.timedelta64(24, "h")
        times = first + np.timedelta64(every, "h") * np.arange(365 * 24 // every)
        mean, deviation = simulation.latent(times, task)
        ahead = times[:, None] + np.timedelta64(1, "h") * np.arange(1, 25)
        power = simulation.farm().power
        rows = (ahead - simulation.record[0]) // np.timedelta64(1, "h")
        observed = power["power_mw"].to_numpy()[rows.astype(np.int64)]
        return cls(simulation, task, times, mean, deviation, observed.astype(np.float32))

    def model(self, kappa: float, rng: np.random.Generator, memory: float = MEMORY) -> Forecast:
        """kappa: size of the error, in deviations of the truth."""
        rho = np.exp(-1 / memory)
        hours = ((self.times[-1] - self.times[0]) // np.timedelta64(1, "h")).astype(int) + 25
        error = rng.standard_normal(hours)
        error[1:] *= np.sqrt(1 - rho**2)
        for t in range(1, hours):
            error[t] += rho * error[t - 1]
        start = ((self.times - self.times[0]) // np.timedelta64(1, "h")).astype(int)
        place = start[:, None] + np.arange(1, 25)
        mean = self.mean + kappa * self.deviation * error[place]
        x = mean[..., None] + self.deviation[..., None] * np.sqrt(1 + kappa**2) * ndtri(np.array(LEVELS))
        ahead = self.times[:, None] + np.timedelta64(1, "h") * np.arange(1, 25)
        values = self.simulation._power(x, ahead[..., None])
        return Forecast(
            task=self.task,
            issue_times=self.times,
            values=values.astype(np.float32),
            rung=np.zeros(mean.shape, np.int8),
        )
