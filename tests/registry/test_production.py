"""A bundle at work: going on from a memory is the same as having been there all the time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from windcast.configs import settings
from windcast.data.farm import FarmData
from windcast.errors import BundleError
from windcast.evaluation.backtest import replay
from windcast.registry.bundles import Bundle
from windcast.registry.production import Memory, advance, fitting, grid, reach
from windcast.workflows import jobs

UNTIL = datetime(2020, 1, 20, tzinfo=UTC)
STEP = timedelta(hours=1)
GBM = ("data=simulation", "data.days=26", "task.horizon=4", "task.history=6", "task.levels=9", "model=gbm")
QUICK = ("model.rounds=4", "model.max_rows=1500", "threads=1", "calibration.rate=0.05")


@pytest.fixture(scope="module")
def farm() -> FarmData:
    return settings((*GBM, *QUICK)).farm()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return jobs.train(settings((*GBM, *QUICK)), tmp_path_factory.mktemp("b") / "bundle", until=UNTIL)


def test_a_chain_of_forecasts_equals_the_replay_to_the_bit_whatever_the_steps(bundle: Bundle, farm: FarmData) -> None:
    times = grid(UNTIL, UNTIL + timedelta(hours=40), STEP)
    expected = [forecast.values[0] for forecast in replay(bundle.forecaster, farm, times)]
    memory, place = None, 0
    for skip in (3, 1, 1, 9, 2, 14, 1, 1):
        place += skip
        issue = UNTIL + place * STEP
        seen = fitting(bundle, farm.known_until(issue))
        forecast, memory = advance(bundle, seen, issue, memory)
        assert forecast.values[0].tobytes() == expected[place - 1].tobytes(), place
        assert memory is not None
        memory = Memory.from_bytes(memory.to_bytes())


def test_a_forecast_looks_no_further_back_than_it_says(bundle: Bundle, farm: FarmData) -> None:
    issue = UNTIL + timedelta(hours=20)
    _, memory = advance(bundle, farm.known_until(issue), issue)
    later = issue + timedelta(hours=5)
    whole, _ = advance(bundle, farm.known_until(later), later, memory)
    start = reach(bundle, later, memory)
    assert farm.start < start
    part = farm.known_until(later)
    part = beginning(part, start)
    cut, _ = advance(bundle, part, later, memory)
    assert cut.values.tobytes() == whole.values.tobytes()


def beginning(farm: FarmData, start: datetime) -> FarmData:
    return replace(
        farm,
        power=farm.power.filter(farm.power["time"] > start),
        weather=farm.weather.filter(farm.weather["valid_time"] > start),
    )


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04cut"])
def test_a_memory_that_cannot_be_read_is_said_to_be_so(content: bytes) -> None:
    with pytest.raises(BundleError, match="calibration cannot be read"):
        Memory.from_bytes(content)


def test_a_memory_of_another_model_is_refused(bundle: Bundle, farm: FarmData) -> None:
    memory = Memory(UNTIL, UNTIL, np.zeros((2, 2)), np.zeros(3, np.int64))
    with pytest.raises(BundleError, match="another model"):
        advance(bundle, farm.known_until(UNTIL + STEP), UNTIL + STEP, memory)


def test_a_model_that_learns_nothing_online_leaves_no_memory(farm: FarmData, tmp_path: Path) -> None:
    plain = jobs.train(settings((*GBM, *QUICK[:-1], "calibration=none")), tmp_path / "b", until=UNTIL)
    forecast, memory = advance(plain, farm.known_until(UNTIL), UNTIL)
    assert memory is None
    assert forecast.values.shape == (1, 4, 9)
