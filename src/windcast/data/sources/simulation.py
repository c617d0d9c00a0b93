"""A simulated wind farm whose true forecast distribution is known, so tests can ask whether a model finds it.

The wind is a latent Gaussian process with Weibull marginals (Brown, Katz & Murphy 1984,
doi:10.1175/1520-0450(1984)023<1184:TSMTSA>2.0.CO;2), split by what a weather run can know of it:

    x(t) = foreseen(t) + unforeseen(t) + noise(t)         ~ N(0, 1), the parts independent
    foreseen, unforeseen: Ornstein-Uhlenbeck, on the farm's grid; noise: white
    wind(t) = scale(t) · (−ln Φ(−x(t)))^(1 / shape)       ~ Weibull(shape, scale(t))
    power(t) = capacity · curve(wind(t)), curve rising

scale(t) has a season and a day. The run that starts at r knows `foreseen` to its own end and `unforeseen` up
to r, thus all that earlier runs knew. Its wind is the median, at x = foreseen(t) + ρ^(t−r) unforeseen(r).
Given a run and the power since, x is exactly Gaussian (a scalar Kalman filter), and as power rises with x,
its quantiles are the power at those of x. Farms lie on a line, correlated by exp(−distance / reach).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

from windcast.data.farm import FarmData, Times
from windcast.data.sources.faults import inject
from windcast.data.task import ForecastTask
from windcast.errors import ConfigError, TaskError, unknown_name

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

# Senvion MM92, 2050 kW: kW at 0, 1, … 25 m/s, from the OpenEnergy Database's turbine library (windpowerlib).
MM92_KW = (0, 0, 0, 22, 93.1, 207.2, 388.2, 642.7, 991.2, 1355.7, 1780, 2012.6, 2048, *[2055] * 13)
# Turbines of a farm do not see the same wind: their curve is smoothed by this spread in m/s
# (Nørgaard & Holttinen 2004, A multi-turbine power curve approach). There is no cut-out: power only rises.
SPREAD = 1.0
WIND, TEMPERATURE, DIRECTION = range(3)


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """What to simulate. The shares are of the variance of x; every run foresees the rest.

    start, days: the power record begins one step after midnight UTC of `start`.
    memory_hours, error_memory_hours: decorrelation times of the foreseen and the unforeseen part.
    run_every_hours, run_delay_hours, run_horizon_hours: from a run to the next, to its arrival, to its end.
    spacing_km, reach_km: x of farms i and j has correlation exp(−|i − j| · spacing / reach).
    """

    days: int = 730
    seed: int = 0
    start: str = "2020-01-01"
    resolution_minutes: int = 60
    capacity_mw: float = 20.5
    turbine: str = "MM92/2050"
    farms: int = 1
    spacing_km: float = 50.0
    reach_km: float = 300.0
    weibull_scale: float = 8.0
    weibull_shape: float = 2.1
    unforeseen_share: float = 0.18
    noise_share: float = 0.01
    memory_hours: float = 30.0
    error_memory_hours: float = 18.0
    run_every_hours: int = 6
    run_delay_hours: float = 4.0
    run_horizon_hours: int = 60

    def __post_init__(self) -> None:
        may_be_zero = ("seed", "spacing_km", "run_delay_hours", "noise_share")
        for name, value in vars(self).items():
            if isinstance(value, str) or value > 0 or (value == 0 and name in may_be_zero):
                continue
            bound = "must not be negative" if name in may_be_zero else "must be positive"
            raise ConfigError(f"simulation.{name} is {value}; it {bound}.")
        if self.unforeseen_share + self.noise_share > 1:
            raise ConfigError("simulation: unforeseen_share and noise_share add up to more than 1, all there is.")
        if 60 % self.resolution_minutes or 24 % self.run_every_hours:
            raise ConfigError("simulation: resolution_minutes must divide an hour, run_every_hours a day.")
        try:
            datetime.fromisoformat(self.start)
        except ValueError:
            raise ConfigError(f"simulation.start is '{self.start}'; write a date like 2020-01-01.") from None

    @property
    def step(self) -> np.timedelta64:
        return np.timedelta64(self.resolution_minutes * 60_000_000, "us")

    @property
    def every(self) -> np.timedelta64:
        return np.timedelta64(self.run_every_hours * 3_600_000_000, "us")

    @property
    def delay(self) -> np.timedelta64:
        return np.timedelta64(round(self.run_delay_hours * 3.6e9), "us")

    @property
    def reach_steps(self) -> int:
        """Steps from the start of a run to its end."""
        return self.run_horizon_hours * 60 // self.resolution_minutes

    @property
    def first(self) -> np.datetime64:
        return np.datetime64(datetime.fromisoformat(self.start).date(), "us")

    @property
    def last(self) -> np.datetime64:
        return self.first + np.timedelta64(self.days, "D")

    @property
    def rho(self) -> float:
        """Correlation of the unforeseen part over one step."""
        return float(np.exp(-self.resolution_minutes / 60 / self.error_memory_hours))

    def newest_run(self, times: Times) -> Times:
        """Start of the newest run available at each time."""
        late = times - self.delay
        newest: Times = late - (late - np.datetime64(0, "us")) % self.every
        return newest


def load(
    *,
    farm: int = 0,
    faults: Sequence[Mapping[str, Any]] = (),
    days: int = SimulationConfig.days,
    seed: int = SimulationConfig.seed,
    start: str = SimulationConfig.start,
    resolution_minutes: int = SimulationConfig.resolution_minutes,
    capacity_mw: float = SimulationConfig.capacity_mw,
    turbine: str = SimulationConfig.turbine,
    farms: int = SimulationConfig.farms,
    spacing_km: float = SimulationConfig.spacing_km,
    reach_km: float = SimulationConfig.reach_km,
    weibull_scale: float = SimulationConfig.weibull_scale,
    weibull_shape: float = SimulationConfig.weibull_shape,
    unforeseen_share: float = SimulationConfig.unforeseen_share,
    noise_share: float = SimulationConfig.noise_share,
    memory_hours: float = SimulationConfig.memory_hours,
    error_memory_hours: float = SimulationConfig.error_memory_hours,
    run_every_hours: int = SimulationConfig.run_every_hours,
    run_delay_hours: float = SimulationConfig.run_delay_hours,
    run_horizon_hours: int = SimulationConfig.run_horizon_hours,
) -> FarmData:
    """Farm number `farm` of a simulation (see SimulationConfig), with faults (see faults.inject)."""
    options = {name: value for name, value in locals().items() if name not in ("farm", "faults")}
    return inject(simulate(SimulationConfig(**options)).farm(farm), faults)


def simulate(config: SimulationConfig) -> "Simulation":
    """Draws the whole process. The same config gives the same bytes."""
    rng = np.random.default_rng(config.seed)
    start = config.newest_run(np.array([config.first]))[0] - config.every
    times = np.arange(start, config.last + config.step * (config.reach_steps + 1), config.step)
    place = config.spacing_km * np.arange(config.farms)
    mix = np.linalg.cholesky(np.exp(-np.abs(place[:, None] - place) / config.reach_km))

    foreseen, unforeseen = rng.standard_normal((2, len(times), 3, config.farms)) @ mix.T
    noise = rng.standard_normal((len(times), config.farms)) @ mix.T
    _remember(foreseen, float(np.exp(-config.resolution_minutes / 60 / config.memory_hours)))
    _remember(unforeseen, config.rho)
    return Simulation(
        config=config,
        times=times,
        foreseen=foreseen * np.sqrt(1 - config.unforeseen_share - config.noise_share),
        unforeseen=unforeseen * np.sqrt(config.unforeseen_share),
        noise=noise * np.sqrt(config.noise_share),
    )


def _remember(shocks: Array, rho: float) -> None:
    """Turns white noise [T, …] into a stationary Ornstein-Uhlenbeck process of unit variance, in place."""
    shocks[1:] *= np.sqrt(1 - rho**2)
    for now, before in zip(shocks[1:], shocks[:-1], strict=True):
        now += rho * before


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulation:
    """The hidden process of N farms at `times` [T], and what it makes known.

    foreseen, unforeseen [T, 3, N]: parts of wind, temperature and direction.  noise [T, N]: of wind alone.
    """

    config: SimulationConfig
    times: Times
    foreseen: Array
    unforeseen: Array
    noise: Array

    def farm(self, farm: int = 0) -> FarmData:
        """The power record of one farm and all weather runs that arrived by its end."""
        config = self.config
        self._check_farm(farm)
        runs = np.arange(self.times[0], config.last - config.delay + np.timedelta64(1, "us"), config.every)
        leads = np.arange(config.reach_steps + 1)
        rows = self._rows(runs)[:, None] + leads
        decay = config.rho ** leads[:, None]
        valid = self.times[rows]
        told = self.foreseen[rows, :, farm] + decay * self.unforeseen[rows[:, :1], :, farm]
        season, day = _phases(valid)
        table = {
            "valid_time": valid,
            "available_at": np.broadcast_to(runs[:, None] + config.delay, valid.shape),
            "wind_speed_100m": _wind(told[..., WIND], valid, config),
            "wind_direction_100m": (230.0 + 60.0 * told[..., DIRECTION]) % 360,
            "temperature_2m": 283.15 - 8.0 * season - 3.0 * day + 3.0 * told[..., TEMPERATURE],
        }
        utc = pl.col(pl.Datetime).dt.replace_time_zone("UTC")
        return FarmData(
            name="simulation" if config.farms == 1 else f"simulation_{farm}",
            capacity_mw=config.capacity_mw,
            resolution=timedelta(minutes=config.resolution_minutes),
            power=pl.DataFrame(
                {"time": self.record, "power_mw": self._power(self.wind_index(farm), self.record)}
            ).with_columns(utc),
            weather=pl.DataFrame({name: column.ravel() for name, column in table.items()}).with_columns(utc),
            attribution="Simulated by windcast; power curve: OpenEnergy Database.",
        )

    @property
    def record(self) -> Times:
        """Ends of the intervals whose power is recorded [P]."""
        return np.arange(self.config.first, self.config.last, self.config.step) + self.config.step

    def wind_index(self, farm: int = 0) -> Array:
        """x at the recorded times [P]: standard normal, and power rises with it."""
        return self._index(farm)[self._rows(self.record)]

    def latent(self, issue_times: Times, task: ForecastTask, farm: int = 0) -> tuple[Array, Array]:
        """Mean and standard deviation [B, H] of the Gaussian x given what Windows hold for this farm.

        That is every run available by then, and the power of the last `task.history` steps, read as x.
        Where power is all but constant in x (in calm, above rated wind) no model can read it so; the truth
        given is then that of a sharper observer: still calibrated, but a bound that a model need not reach.
        Raises TaskError if the task does not fit or asks beyond the end of the newest run.
        """
        config = self.config
        issue = self._checked(issue_times, task, farm)
        run = self._rows(config.newest_run(self.times[issue]))
        leads = np.arange(1, task.horizon + 1)
        if np.max(issue - run, initial=0) + task.horizon > config.reach_steps:
            raise TaskError(
                f"{task.horizon} steps reach beyond the end of the newest run, "
                f"{config.run_horizon_hours} hours from its start. Raise run_horizon_hours or cut horizon."
            )
        x, known, start = self._index(farm), self.foreseen[:, WIND, farm], self.unforeseen[run, WIND, farm]
        rho, shock = config.rho, config.unforeseen_share * (1 - config.rho**2)
        begin = self._rows(self.record[:1])[0]
        # the surprise: unforeseen now less what the run expects of it, which was 0 when the run started
        surprise, variance = np.zeros(len(issue)), np.zeros(len(issue))
        for back in range(int(np.max(issue - run, initial=0)) - 1, -1, -1):
            row = issue - back
            since = row > run
            surprise = np.where(since, rho * surprise, 0.0)
            variance = np.where(since, rho**2 * variance + shock, 0.0)
            seen = since & (row >= begin) & (back < task.history)
            gain = np.divide(variance, variance + config.noise_share, out=np.zeros(len(issue)), where=seen)
            told = x[row] - known[row] - rho ** np.maximum(row - run, 0) * start
            surprise, variance = surprise + gain * (told - surprise), variance * (1 - gain)
        ahead = issue[:, None] + leads
        mean = known[ahead] + rho ** (ahead - run[:, None]) * start[:, None] + rho**leads * surprise[:, None]
        spread = config.unforeseen_share * (1 - rho ** (2 * leads)) + rho ** (2 * leads) * variance[:, None]
        return mean, np.sqrt(spread + config.noise_share)

    def true_quantiles(self, issue_times: Times, task: ForecastTask, farm: int = 0) -> Array:
        """[B, H, Q] MW: the exact quantiles of power at task.levels, given what `latent` says was known."""
        mean, deviation = self.latent(issue_times, task, farm)
        x = mean[..., None] + deviation[..., None] * ndtri(np.array(task.levels))
        ahead = np.asarray(issue_times)[:, None] + self.config.step * np.arange(1, task.horizon + 1)
        return self._power(x, ahead[..., None])

    def true_pit(self, issue_times: Times, task: ForecastTask, farm: int = 0) -> Array:
        """[B, H]: probability that the truth gave to less than what came; uniform on (0, 1) at every lead."""
        mean, deviation = self.latent(issue_times, task, farm)
        ahead = self._rows(np.asarray(issue_times))[:, None] + np.arange(1, task.horizon + 1)
        pit: Array = ndtr((self._index(farm)[ahead] - mean) / deviation)
        return pit

    def _index(self, farm: int) -> Array:
        return self.foreseen[:, WIND, farm] + self.unforeseen[:, WIND, farm] + self.noise[:, farm]

    def _power(self, x: Array, times: Times) -> Array:
        config = self.config
        speed, share = farm_curve(config.turbine)
        return config.capacity_mw * np.interp(_wind(x, times, config), speed, share)

    def _rows(self, times: Times) -> Rows:
        rows: Rows = ((times - self.times[0]) // self.config.step).astype(np.int64)
        return rows

    def _checked(self, issue_times: Times, task: ForecastTask, farm: int) -> Rows:
        config = self.config
        self._check_farm(farm)
        resolution = timedelta(minutes=config.resolution_minutes)
        if (task.resolution, task.capacity_mw) != (resolution, config.capacity_mw):
            raise TaskError(
                f"the task is of {task.capacity_mw:g} MW in steps of {task.resolution}, the simulation of "
                f"{config.capacity_mw:g} MW in steps of {resolution}."
            )
        times = np.asarray(issue_times)
        off = (times - self.times[0]) % config.step != np.timedelta64(0)
        wrong = times[off | (times < config.first) | (times > config.last)]
        if len(wrong):
            raise TaskError(f"issue time {wrong[0]} is off the grid or outside {config.first} to {config.last}.")
        return self._rows(times)

    def _check_farm(self, farm: int) -> None:
        if not 0 <= farm < self.config.farms:
            raise ConfigError(f"farm is {farm}; the simulation has farms 0 to {self.config.farms - 1}.")


def _phases(times: Times) -> tuple[Array, Array]:
    """Season and day as cosines that are highest in mid January and at 03:00."""
    hours = (times - np.datetime64("2000-01-15T03", "us")) / np.timedelta64(1, "h")
    return np.cos(2 * np.pi * hours / 8766), np.cos(2 * np.pi * hours / 24)


def _wind(x: Array, times: Times, config: SimulationConfig) -> Array:
    """Wind in m/s: Weibull with the config's shape for standard normal x, strongest in winter nights."""
    season, day = _phases(times)
    scale = config.weibull_scale * (1 + 0.15 * season + 0.08 * day)
    wind: Array = scale * (-log_ndtr(-x)) ** (1 / config.weibull_shape)
    return wind


@lru_cache(maxsize=8)
def farm_curve(turbine: str) -> tuple[Array, Array]:
    """Wind in m/s [K] and the farm's power as a share of capacity [K], rising: a turbine's curve, smoothed.

    Raises ConfigError for a turbine that windpowerlib does not know, or where it is not installed.
    """
    wind, power = (np.arange(26.0), np.array(MM92_KW)) if turbine == "MM92/2050" else _published(turbine)
    share = np.maximum.accumulate(power) / power.max()
    bends = np.diff(np.diff(share) / np.diff(wind), prepend=0.0, append=0.0)
    speed = np.arange(0.0, 60.0, 0.02)
    over = (speed[:, None] - wind) / SPREAD
    density = np.exp(-(over**2) / 2) / np.sqrt(2 * np.pi)
    smooth = SPREAD * (over * ndtr(over) + density) @ bends
    return speed, np.clip(np.maximum.accumulate(smooth), 0.0, 1.0)


def _published(turbine: str) -> tuple[Array, Array]:
    try:
        table = pl.read_csv(str(files("windpowerlib") / "oedb" / "power_curves.csv"))
    except ImportError:
        raise ConfigError(
            f"turbine '{turbine}' comes from windpowerlib, which is not installed. "
            "Install windcast[turbines], or use MM92/2050."
        ) from None
    known = table["turbine_type"].to_list()
    if turbine not in known:
        raise ConfigError(unknown_name("turbine", turbine, known))
    curve = table.row(known.index(turbine), named=True)
    del curve["turbine_type"]
    points = np.array([(float(wind), watts) for wind, watts in curve.items() if watts is not None])
    return points[:, 0], points[:, 1]
