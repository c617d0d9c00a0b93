"""The leak-proof gate: windows hold what was known at the issue time, all of it, and nothing else."""

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windcast.data.contracts import UTC as UTC_TIME
from windcast.data.farm import FarmData
from windcast.data.sources import simulation
from windcast.data.task import ForecastTask
from windcast.data.windows import ARRAYS, Windows, build_windows
from windcast.errors import ConfigError, TaskError

ORIGIN = datetime(2021, 3, 4, tzinfo=UTC)
KNOWN = tuple(name for name in ARRAYS if name not in ("target", "free"))
CAPACITY = 10.0
MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    return ORIGIN + minutes * MINUTE


@dataclasses.dataclass(frozen=True)
class Small:
    """A small random farm as lists of rows, so that rows can be taken out, added and altered."""

    step: int
    weather_step: int
    delay: int
    power: list[tuple]  # time, known at, MW; minutes from ORIGIN
    versioned: bool
    weather: list[tuple]  # valid, available, speed, direction
    idle: list[tuple]  # time, availability

    def farm(self) -> FarmData:
        columns = list(zip(*self.power, strict=True))
        power = {
            "time": [at(t) for t in columns[0]],
            "available_at": [at(k) for k in columns[1]],
            "power_mw": columns[2],
        }
        if not self.versioned:
            del power["available_at"]
        rows = [(at(v), at(k), *values) for v, k, *values in self.weather]
        names = {
            "valid_time": UTC_TIME,
            "available_at": UTC_TIME,
            "wind_speed": pl.Float64,
            "wind_direction": pl.Float64,
        }
        idle = {"time": [at(t) for t, _ in self.idle], "availability": [a for _, a in self.idle]}
        return FarmData(
            name="small",
            capacity_mw=CAPACITY,
            resolution=self.step * MINUTE,
            power=pl.DataFrame(power, schema_overrides={"power_mw": pl.Float64}).with_columns(
                pl.col(pl.Datetime).cast(UTC_TIME)
            ),
            power_delay=self.delay * MINUTE,
            weather=pl.DataFrame(rows, schema=names, orient="row"),
            weather_resolution=self.weather_step * MINUTE,
            availability=pl.DataFrame(idle).with_columns(pl.col("time").cast(UTC_TIME)) if self.idle else None,
        )


def power_row(rng, small_step, time, delay, versioned):
    late = delay if not versioned else int(rng.integers(0, 4 * small_step))
    return time, time + late, None if rng.random() < 0.2 else float(rng.uniform(0, CAPACITY))


def weather_row(rng, valid, available):
    speed, direction = rng.uniform(0, 25), rng.uniform(0, 360)
    return (
        valid,
        available,
        None if rng.random() < 0.2 else float(speed),
        None if rng.random() < 0.1 else float(direction),
    )


def one_each(rows):
    return list({row[:2]: row for row in rows}.values())


@st.composite
def smalls(draw):
    step, weather_step = draw(st.sampled_from([(60, 60), (60, 180), (10, 60), (60, 30), (10, 10)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    versioned = draw(st.booleans())
    delay = draw(st.sampled_from([0, step // 2, step, 3 * step]))
    length = draw(st.integers(2, 16))
    times = [t * step for t in range(length) if rng.random() < 0.85] or [0]
    power = [
        power_row(rng, step, t, delay, versioned) for t in times for _ in range(1 + versioned * int(rng.integers(0, 3)))
    ]
    power[0] = (*power[0][:2], 1.0)
    runs = rng.integers(-6 * step, length * step, draw(st.integers(0, 6)))
    # a run may say nothing of some hours, arrive at any minute, and speak of the past as well
    starts = [int(r) // weather_step * weather_step for r in runs]
    weather = [
        weather_row(rng, start + k * weather_step, int(run))
        for run, start in zip(runs, starts, strict=True)
        for k in range(-1, draw(st.integers(1, 8)))
        if rng.random() < 0.9
    ]
    idle = [(t * step, float(rng.random() < 0.5)) for t in range(length) if rng.random() < 0.5]
    return Small(step, weather_step, delay, one_each(power), versioned, one_each(weather), idle)


def task_of(small: Small, **changes) -> ForecastTask:
    given = {"history": 5, "weather_history": 3, "weather_lookahead": 2, "horizon": 6}
    return ForecastTask(resolution=small.step * MINUTE, capacity_mw=CAPACITY, **(given | changes))


def assert_same(first: Windows, second: Windows, names=ARRAYS) -> None:
    for name in names:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


def with_another_future(small: Small, issue: int, seed: int) -> Small:
    """Every row not yet known at `issue` is altered, removed or kept, and rows are added."""
    rng = np.random.default_rng(seed)

    def altered(rows, again):
        return [
            row if row[1] <= issue or dice < 0.2 else again(row)
            for row, dice in zip(rows, rng.random(len(rows)), strict=True)
            if row[1] <= issue or dice < 0.8
        ]

    power = altered(small.power, lambda row: (*row[:2], float(rng.uniform(0, CAPACITY))))
    weather = altered(small.weather, lambda row: weather_row(rng, *row[:2]))
    for _ in range(10):
        time = issue + small.step * int(rng.integers(-8, 8))
        known = max(issue + 1, time) + int(rng.integers(0, 90)) if small.versioned else time + small.delay
        if known > issue:
            power.append((time, known, float(rng.uniform(0, CAPACITY))))
        valid = (issue // small.weather_step + int(rng.integers(-8, 8))) * small.weather_step
        weather.append(weather_row(rng, valid, issue + int(rng.integers(1, 500))))
    power.append((issue + 10_080, issue + 10_080 + small.delay, 1.0))
    idle = [(small.step * int(t), 0.0) for t in set(rng.integers(-5, 20, 6))]
    return dataclasses.replace(small, power=one_each(power), weather=one_each(weather), idle=idle)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(small=smalls(), step=st.integers(-2, 18), seed=st.integers(0, 2**32))
def test_a_window_does_not_change_when_anything_not_yet_known_changes(small, step, seed):
    issue = step * small.step
    task = task_of(small)
    before = build_windows(small.farm(), task, [at(issue)])
    after = build_windows(with_another_future(small, issue, seed).farm(), task, [at(issue)])
    assert_same(before, after, KNOWN)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(small=smalls(), step=st.integers(0, 18))
def test_a_window_is_the_same_from_the_farm_as_it_stood_at_the_issue_time(small, step):
    issue = at(step * small.step)
    farm = small.farm()
    known = [value for _, available, value in small.power if at(available) <= issue and value is not None]
    if known:
        assert_same(
            build_windows(farm, task_of(small), [issue]),
            build_windows(farm.known_until(issue), task_of(small), [issue]),
            KNOWN,
        )


# ---- the obvious implementation ----


def newest(rows, time, known_at):
    """Versions of a time known then, the newest last."""
    return sorted((row for row in rows if row[0] == time and row[1] <= known_at), key=lambda row: row[1])


def slow_weather(small: Small, time: int, issue: int, back: int):
    """(values, age) of the newest run (back = 1) or the one before (back = 2), interpolated."""
    rows = [row for row in small.weather if row[2] is not None or row[3] is not None]
    if not rows:
        return [np.nan, np.nan], np.nan
    grid = max(small.weather_step, small.step)
    phase = 0 if small.weather_step < small.step else min(row[0] for row in rows)
    left = (time - phase) // grid * grid + phase
    versions = [newest(rows, stamp, issue) for stamp in (left, left + grid)]
    here, there = (v[-back] if len(v) >= back else None for v in versions)
    if here is None:
        return [np.nan, np.nan], np.nan
    values = [np.nan if v is None else np.float32(v) for v in here[2:]]
    if time != left and there is not None and there[2] is not None and here[2] is not None:
        values[0] += np.float32((time - left) / grid) * (np.float32(there[2]) - values[0])
    return values, (issue - here[1]) / 60


def slow_windows(small: Small, task: ForecastTask, issue: int, truth_known_at: float = np.inf):
    def power_at(time, known_at):
        rows = newest(small.power, time, known_at)
        return np.nan if not rows or rows[-1][2] is None else np.float32(rows[-1][2])

    step = small.step
    around = [issue + step * k for k in range(1 - task.weather_history, task.horizon + task.weather_lookahead + 1)]
    ahead = [issue + step * k for k in range(1, task.horizon + 1)]
    told = [[slow_weather(small, t, issue, back) for t in around] for back in (1, 2)]
    idle = dict(small.idle)
    return {
        "power": [power_at(issue + step * k, issue) for k in range(1 - task.history, 1)],
        "weather": [values for values, _ in told[0]],
        "weather_earlier": [values for values, _ in told[1]],
        "weather_age": [age for _, age in told[0]],
        "weather_earlier_age": [age for _, age in told[1]],
        "target": [power_at(t, truth_known_at) for t in ahead],
        "free": [idle.get(t, 1.0) >= 0.98 for t in ahead],
    }


@settings(max_examples=40, deadline=None, derandomize=True)
@given(small=smalls(), hidden_after=st.one_of(st.none(), st.integers(0, 900)))
def test_windows_agree_with_the_obvious_implementation(small, hidden_after):
    task = task_of(small)
    issues = [small.step * k for k in range(-1, 18, 2)]
    truth = None if hidden_after is None else at(hidden_after)
    windows = build_windows(small.farm(), task, [at(i) for i in issues], truth_known_at=truth)
    for b, issue in enumerate(issues):
        expected = slow_windows(small, task, issue, np.inf if hidden_after is None else hidden_after)
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(windows, name)[b], value, rtol=1e-5, err_msg=f"{name} at {issue}")


@settings(max_examples=8, deadline=None, derandomize=True)
@given(small=smalls())
def test_in_bulk_and_one_issue_time_at_a_time_are_the_same(small):
    farm, task = small.farm(), task_of(small, history=0)
    issues = [at(small.step * k) for k in range(-3, 18)]
    bulk = build_windows(farm, task, issues[::-1])
    assert_same(bulk, Windows.concatenate([build_windows(farm, task, [i]) for i in issues]))


# ---- examples ----


@pytest.fixture(scope="module")
def farm():
    return simulation.load(days=6, seed=1)


TASK = ForecastTask(horizon=12, resolution=timedelta(hours=1), capacity_mw=20.5, history=6, weather_history=4)


def test_all_grid_times_are_issue_times_by_default(farm):
    windows = build_windows(farm, TASK)
    assert len(windows) == 144
    assert windows.issue_times.tolist() == farm.times.tolist()
    assert windows.valid_times[0, -1] - windows.issue_times[0] == np.timedelta64(12, "h")
    assert windows.weather.shape == (144, TASK.weather_steps, 3)
    power = farm.power["power_mw"].to_numpy().astype(np.float32)
    np.testing.assert_array_equal(windows.power[:, -1], power)
    np.testing.assert_array_equal(windows.target[:-12, 0], power[1:-11])


def test_truth_known_at_hides_what_came_later(farm):
    cut = datetime(2020, 1, 4, tzinfo=UTC)
    delayed = dataclasses.replace(farm, power_delay=timedelta(hours=2))
    windows = build_windows(delayed, TASK, truth_known_at=cut)
    hidden = windows.valid_times > np.datetime64("2020-01-03T22")
    assert np.isnan(windows.target[hidden]).all()
    assert not np.isnan(windows.target[~hidden]).any()
    assert_same(windows, build_windows(delayed, TASK), KNOWN)


def test_a_correction_is_the_truth_only_once_it_is_known(farm):
    late = timedelta(days=2)
    first = farm.power.with_columns(available_at=pl.col("time"))
    corrected = first.with_columns(available_at=pl.col("time") + late, power_mw=pl.lit(7.0))
    versions = dataclasses.replace(farm, power=pl.concat([first, corrected]))
    issue = [datetime(2020, 1, 3, tzinfo=UTC)]
    early = build_windows(versions, TASK, issue, truth_known_at=datetime(2020, 1, 4, tzinfo=UTC))
    final = build_windows(versions, TASK, issue)
    np.testing.assert_array_equal(early.target, build_windows(farm, TASK, issue).target)
    assert (final.target == 7).all()
    np.testing.assert_array_equal(final.power, build_windows(farm, TASK, issue).power)


def test_unavailable_or_curtailed_hours_are_not_free(farm):
    hours = farm.power["time"]
    idle = pl.DataFrame({"time": hours[24:27], "availability": [0.97, 0.98, None]})
    held = pl.DataFrame({"time": hours[28:31], "curtailed_mw": [0.2, 0.21, 20.5]})
    windows = build_windows(dataclasses.replace(farm, availability=idle, curtailment=held), TASK, [hours[23]])
    assert windows.free[0].tolist() == [False] + [True] * 4 + [False, False] + [True] * 5
    assert not np.isnan(windows.target).any()
    assert build_windows(farm, TASK).free.all()


def test_a_quarter_hourly_forecast_counts_on_the_hour_wherever_it_begins():
    power = pl.DataFrame({"time": [ORIGIN + timedelta(hours=k) for k in range(4)], "power_mw": [1.0] * 4})
    stamps = [ORIGIN + timedelta(minutes=15 * k) for k in range(3, 20)]
    weather = pl.DataFrame({"valid_time": stamps, "available_at": ORIGIN, "wind_speed": np.arange(3.0, 20.0)})
    farm = FarmData(
        name="fine",
        capacity_mw=1.0,
        resolution=timedelta(hours=1),
        power=power.with_columns(pl.col("time").cast(UTC_TIME)),
        weather=weather.with_columns(pl.col(pl.Datetime).cast(UTC_TIME)),
    )
    task = ForecastTask(horizon=4, resolution=farm.resolution, capacity_mw=1.0)
    windows = build_windows(farm, task, [ORIGIN])
    assert windows.weather[0, windows.future, 0].tolist() == [4, 8, 12, 16]


def test_a_finer_run_that_comes_later_does_not_change_how_the_earlier_one_is_read(farm):
    first, issue = farm.weather["available_at"][0], datetime(2020, 1, 1, 3, tzinfo=UTC)
    three_hourly = pl.col("valid_time").dt.hour() % 3 == 0
    mixed = dataclasses.replace(farm, weather=farm.weather.filter((pl.col("available_at") > first) | three_hourly))
    assert first < issue < farm.weather["available_at"].unique().sort()[2]
    task = dataclasses.replace(TASK, history=2)
    known = mixed.known_until(issue)
    coarse_only = dataclasses.replace(known, weather=known.weather.filter(pl.col("available_at") == first))
    later = dataclasses.replace(
        mixed, weather=mixed.weather.filter(pl.col("available_at") != first + timedelta(hours=6))
    )
    assert_same(build_windows(later, task, [issue]), build_windows(coarse_only, task, [issue]), KNOWN)


def test_a_farm_without_weather_has_windows_of_power_alone(farm):
    bare = dataclasses.replace(farm, weather=farm.weather.select("valid_time", "available_at").clear())
    windows = build_windows(bare, TASK)
    assert windows.weather.shape == (144, TASK.weather_steps, 0)
    assert np.isnan(windows.weather_age).all()
    empty = build_windows(farm, TASK, [])
    assert len(empty) == 0
    assert empty.weather.shape == (0, TASK.weather_steps, 3)


def test_reanalysis_is_known_in_advance_and_says_so(farm):
    hours = farm.weather.unique("valid_time", keep="last").with_columns(available_at=pl.lit(None, UTC_TIME))
    past = dataclasses.replace(farm, weather=hours, weather_kind="reanalysis")
    windows = build_windows(past, TASK, past.times[:20])
    assert windows.reanalysis
    assert not np.isnan(windows.weather).any()
    assert (windows.weather_age == 0).all()
    assert not build_windows(farm, TASK).reanalysis


def test_a_window_can_do_without_parts_of_itself(farm):
    windows = build_windows(farm, TASK).take(slice(30, 40))
    assert len(windows) == 10
    blind = windows.without_target()
    assert np.isnan(blind.target).all()
    assert blind.free.all()
    assert np.isnan(windows.without_power().power).all()
    assert np.isnan(windows.without_weather().weather).all()
    assert np.isnan(windows.without_weather().weather_earlier_age).all()
    assert_same(windows, windows.without_power(), ("weather", "target"))


def test_without_the_newest_run_the_one_before_it_speaks_of_the_future(farm):
    windows = build_windows(farm, TASK).take(slice(30, 40))
    fallen = windows.with_earlier_run()
    late = slice(TASK.weather_history, None)
    np.testing.assert_array_equal(fallen.weather[:, late], windows.weather_earlier[:, late])
    np.testing.assert_array_equal(fallen.weather_age[:, late], windows.weather_age[:, late] + 6)
    np.testing.assert_array_equal(fallen.weather[:, :4], windows.weather[:, :4])
    assert np.isnan(fallen.weather_earlier[:, late]).all()


def test_windows_refuse_what_does_not_fit(farm):
    with pytest.raises(TaskError, match=r"the task steps by 0:10:00, the farm's data by 1:00:00"):
        build_windows(farm, dataclasses.replace(TASK, resolution=timedelta(minutes=10)))
    with pytest.raises(TaskError, match=r"the task is for 21 MW, the farm has 20\.5 MW"):
        build_windows(farm, dataclasses.replace(TASK, capacity_mw=21.0))
    with pytest.raises(TaskError, match=r"issue time 2020-01-02T00:30.* is off the farm's grid of 1:00:00"):
        build_windows(farm, TASK, [datetime(2020, 1, 2, tzinfo=UTC), datetime(2020, 1, 2, 0, 30, tzinfo=UTC)])
    whole, other = build_windows(farm, TASK), build_windows(farm, dataclasses.replace(TASK, horizon=3))
    with pytest.raises(TaskError, match="cannot be joined"):
        Windows.concatenate([whole, other])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"horizon": 0}, r"task\.horizon is 0; it must be .*at least 1"),
        ({"horizon": 2.5}, r"task\.horizon is 2\.5; it must be a whole number"),
        ({"history": -1}, r"task\.history is -1"),
        ({"weather_history": 0}, r"task\.weather_history is 0"),
        ({"resolution": timedelta(0)}, r"task\.resolution is 0:00:00; it must be positive"),
        ({"capacity_mw": 0.0}, r"task\.capacity_mw is 0\.0; it must be positive"),
        ({"levels": (0.5, 0.1)}, "in ascending order"),
        ({"levels": ()}, "distinct quantile levels"),
        ({"levels": (0.5, 1.0)}, "between 0 and 1"),
    ],
)
def test_an_impossible_task_says_what_is_wrong(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TASK, **change)


def test_a_task_survives_its_document():
    assert ForecastTask.from_dict(TASK.to_dict()) == TASK
