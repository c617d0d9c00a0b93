"""The simulation's truth is the truth, and it is drawn the same way each time."""

import dataclasses
from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import kstest

from windcast.data import sources
from windcast.data.sources import simulation
from windcast.data.sources.simulation import SimulationConfig, farm_curve, simulate
from windcast.data.task import ForecastTask
from windcast.data.windows import build_windows
from windcast.errors import ConfigError, TaskError

CONFIG = SimulationConfig(days=400, seed=3)
TASK = ForecastTask(horizon=36, resolution=timedelta(hours=1), capacity_mw=20.5, levels=(0.05, 0.25, 0.5, 0.75, 0.95))


@pytest.fixture(scope="module")
def world():
    return simulate(CONFIG)


@pytest.fixture(scope="module")
def issues(world):
    return world.record[48:-48:7]


def pinball(world, task, times):
    observed = build_windows(world.farm(), task, times).target.astype(float)
    error = observed[..., None] - world.true_quantiles(times, task)
    levels = np.array(task.levels)
    return np.maximum(levels * error, (levels - 1) * error).mean(axis=-1)


@pytest.mark.parametrize("history", [0, 1, 24])
def test_the_probability_of_what_came_is_uniform_at_every_lead(world, history):
    far_apart = world.record[48:-48:41]
    pit = world.true_pit(far_apart, dataclasses.replace(TASK, history=history))
    for lead in (0, 5, 11, 35):
        assert kstest(pit[:, lead], "uniform").pvalue > 0.01


@pytest.mark.parametrize("options", [{}, {"resolution_minutes": 10, "days": 60}, {"run_delay_hours": 0.0, "days": 200}])
def test_observed_power_falls_below_each_true_quantile_as_often_as_its_level_says(options):
    world = simulate(dataclasses.replace(CONFIG, **options))
    farm = world.farm()
    task = dataclasses.replace(TASK, resolution=farm.resolution)
    times = farm.times[100:-100:5]
    below = build_windows(farm, task, times).target[..., None] <= world.true_quantiles(times, task)
    # 60 days hold some 40 independent weather situations, hence the width
    assert np.abs(below.mean(axis=(0, 1)) - task.levels).max() < 0.07


def test_the_true_moments_are_those_of_many_worlds():
    # one instant on many farms: standardised errors are standard normal and unrelated to the forecast
    config = SimulationConfig(days=2, farms=40, spacing_km=1e6, noise_share=0.1)
    world = simulate(config)
    at = world.record[29:30]
    task = dataclasses.replace(TASK, horizon=6)
    means, errors = [], []
    for farm in range(config.farms):
        mean, deviation = world.latent(at, task, farm)
        truth = world.wind_index(farm)[30:36]
        means.append(mean[0])
        errors.append((truth - mean[0]) / deviation[0])
    assert np.abs(np.mean(errors)) < 0.3
    assert 0.7 < np.std(errors) < 1.3
    assert np.abs(np.corrcoef(np.ravel(means), np.ravel(errors))[0, 1]) < 0.3


def test_the_filter_agrees_with_conditioning_the_joint_gaussian(world):
    """The mean and spread equal those of the textbook formula on the covariance of all that was seen."""
    config, task = world.config, dataclasses.replace(TASK, horizon=3, history=5)
    at = world.record[505:506]  # 10 hours after the newest run at the earliest, 4 at least
    row = int((at[0] - world.times[0]) / config.step)
    run = int((config.newest_run(at)[0] - world.times[0]) / config.step)
    seen = np.arange(max(run + 1, row - 4), row + 1)
    ahead = np.arange(row + 1, row + 4)

    def covariance(a, b):  # of the unforeseen part given its value at the run
        a, b = a[:, None] - run, b - run
        return config.unforeseen_share * (config.rho ** np.abs(a - b) - config.rho ** (a + b))

    told = world.foreseen[:, 0, 0] + config.rho ** (np.arange(len(world.times)) - run) * world.unforeseen[run, 0, 0]
    x = world.foreseen[:, 0, 0] + world.unforeseen[:, 0, 0] + world.noise[:, 0]
    gain = np.linalg.solve(covariance(seen, seen) + config.noise_share * np.eye(len(seen)), covariance(seen, ahead)).T
    mean = told[ahead] + gain @ (x[seen] - told[seen])
    variance = np.diag(covariance(ahead, ahead) - gain @ covariance(seen, ahead)) + config.noise_share
    found_mean, found_deviation = world.latent(at, task)
    np.testing.assert_allclose(found_mean[0], mean, rtol=1e-9)
    np.testing.assert_allclose(found_deviation[0] ** 2, variance, rtol=1e-9)


def test_a_weather_run_says_the_median_wind_of_the_truth_without_power(world):
    task = dataclasses.replace(TASK, history=0, levels=(0.5,))
    times = world.record[100:140]
    windows = build_windows(world.farm(), task, times)
    speed = windows.weather[:, windows.future, windows.variables.index("wind_speed_100m")]
    power = task.capacity_mw * np.interp(speed, *farm_curve("MM92/2050"))
    np.testing.assert_allclose(power, world.true_quantiles(times, task)[..., 0], atol=1e-4)


def test_a_newer_run_is_sharper_for_the_same_hours():
    world = simulate(dataclasses.replace(CONFIG, days=20))
    task = dataclasses.replace(TASK, history=0, horizon=30)
    before, after = world.record[104:105], world.record[110:111]
    _, wide = world.latent(before, task)
    _, narrow = world.latent(after, task)
    assert (narrow[:, :24] < wide[:, 6:]).all()


def test_recent_power_helps_most_at_the_first_leads(world, issues):
    with_power = pinball(world, TASK, issues).mean(axis=0)
    without = pinball(world, dataclasses.replace(TASK, history=0), issues).mean(axis=0)
    assert with_power[0] < 0.7 * without[0]
    assert abs(with_power[-1] / without[-1] - 1) < 0.02


def test_errors_grow_with_lead_and_beat_climatology(world, issues):
    by_lead = pinball(world, TASK, issues).mean(axis=0)
    assert by_lead[:3].mean() < by_lead[6:9].mean() < by_lead[30:].mean()
    power = world.farm().power["power_mw"].to_numpy()
    error = power[:, None] - np.quantile(power, TASK.levels)
    climatology = np.maximum(np.array(TASK.levels) * error, (np.array(TASK.levels) - 1) * error).mean()
    assert by_lead[-1] < 0.6 * climatology


def test_farms_are_correlated_as_asked():
    config = SimulationConfig(days=900, farms=3, spacing_km=90, reach_km=200, memory_hours=5, error_memory_hours=5)
    world = simulate(config)
    found = np.corrcoef([world.wind_index(i) for i in range(3)])
    place = 90 * np.arange(3)
    np.testing.assert_allclose(found, np.exp(-np.abs(place[:, None] - place) / 200), atol=0.04)
    assert world.farm(2).name == "simulation_2"


def test_the_wind_index_is_standard_normal_and_remembers():
    x = simulate(SimulationConfig(days=4000)).wind_index()
    assert abs(x.mean()) < 0.04
    assert abs(x.std() - 1) < 0.03
    expected = 0.81 * np.exp(-6 / 30) + 0.18 * np.exp(-6 / 18)
    assert abs(np.corrcoef(x[6:], x[:-6])[0, 1] - expected) < 0.02


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    first, second, other = (simulation.load(days=10, seed=s).checksum for s in (1, 1, 2))
    assert first == second != other


def test_the_source_loads_by_name_and_defaults_are_those_of_the_config():
    farm = sources.load("simulation", {"days": 3, "resolution_minutes": 30, "faults": [{"name": "missing_power"}][:0]})
    assert farm.resolution == timedelta(minutes=30)
    assert farm.power.height == 3 * 48
    assert farm.variables == ("wind_speed_100m", "wind_direction_100m", "temperature_2m")
    defaults = simulation.load.__kwdefaults__
    assert {k: defaults[k] for k in vars(SimulationConfig())} == vars(SimulationConfig())
    with pytest.raises(ConfigError, match=r"unknown option .* 'day'. Did you mean 'days'"):
        sources.load("simulation", {"day": 3})
    with pytest.raises(ConfigError, match=r"unknown data source 'simulaton'. Did you mean 'simulation'"):
        sources.load("simulaton")


def test_runs_come_every_six_hours_and_four_hours_late():
    weather = simulation.load(days=3).weather
    arrivals = weather["available_at"].unique().sort()
    assert (arrivals.diff().drop_nulls() == timedelta(hours=6)).all()
    assert set(arrivals.dt.hour()) == {4, 10, 16, 22}
    first = weather.filter(weather["available_at"] == arrivals[0])["valid_time"]
    assert arrivals[0] - first[0] == timedelta(hours=4)
    assert first[-1] - first[0] == timedelta(hours=60)


@pytest.mark.parametrize("turbine", ["MM92/2050", "V90/2000"])
def test_the_farm_curve_rises_from_nothing_to_all(turbine):
    if turbine != "MM92/2050":
        pytest.importorskip("windpowerlib")
    speed, share = farm_curve(turbine)
    assert (np.diff(share) >= 0).all()
    assert (np.diff(share[speed < 14]) > 0).all()
    assert share[0] < 0.001
    assert share[-1] == 1
    assert 0.1 < np.interp(6.0, speed, share) < 0.35


def test_an_unknown_turbine_names_the_nearest():
    pytest.importorskip("windpowerlib")
    with pytest.raises(ConfigError, match="Did you mean 'V90/2000'"):
        simulation.load(days=1, turbine="V90/200")


def test_another_turbine_without_windpowerlib_says_what_to_install(monkeypatch):
    def missing(package):
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(simulation, "files", missing)
    with pytest.raises(ConfigError, match=r"Install windcast\[turbines\], or use MM92/2050"):
        simulation.load(days=1, turbine="V80/2000")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"days": 0}, "simulation.days is 0; it must be positive"),
        ({"noise_share": -0.1}, "noise_share is -0.1; it must not be negative"),
        ({"noise_share": 0.9}, "add up to more than 1"),
        ({"resolution_minutes": 45}, "resolution_minutes must divide an hour"),
        ({"run_every_hours": 5}, "run_every_hours a day"),
        ({"start": "yesterday"}, "simulation.start is 'yesterday'; write a date"),
        ({"farm": 1}, "farm is 1; the simulation has farms 0 to 0"),
    ],
)
def test_an_impossible_config_says_what_is_wrong(options, message):
    with pytest.raises(ConfigError, match=message):
        simulation.load(**options)


def test_a_truth_that_cannot_be_told_is_refused(world):
    at = world.record[50:51]
    with pytest.raises(TaskError, match="beyond the end of the newest run"):
        world.true_quantiles(at, dataclasses.replace(TASK, horizon=60))
    with pytest.raises(TaskError, match=r"the task is of 10 MW .* the simulation of 20\.5 MW"):
        world.true_quantiles(at, dataclasses.replace(TASK, capacity_mw=10.0))
    with pytest.raises(TaskError, match="off the grid or outside"):
        world.true_quantiles(at + np.timedelta64(5, "m"), TASK)
    with pytest.raises(TaskError, match="off the grid or outside"):
        world.true_quantiles(world.record[-1:] + world.config.step, TASK)
    assert world.true_quantiles(at[:0], TASK).shape == (0, 36, 5)
