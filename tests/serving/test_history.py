"""A store filled from data on file: whole in the end, however often it was cut off, and saying what it is."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from conftest import FARM, Running, Start, hours, iso
from windcast.data.farm import FarmData
from windcast.serving import history
from windcast.serving.store import Store

DAYS = 2


def contents(running: Running, end: datetime) -> tuple[pl.DataFrame, pl.DataFrame, list[datetime]]:
    """Power, weather and the issue times that have a forecast."""
    store, start = running.service.store, end - timedelta(days=90)
    found = [store.power(FARM, start=start, end=end), store.weather(FARM, start=start, end=end + timedelta(days=9))]
    return *found, sorted({entry.issue_time for entry in store.forecasts(FARM, limit=1000)})


def cut_off(at: int) -> Any:
    def on_progress(done: int, _: int) -> None:
        if done == at:
            raise KeyboardInterrupt

    return on_progress


def stopping_at_the_second(call: Callable[..., Any]) -> Callable[..., Any]:
    calls: list[int] = []

    def called(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return call(*arguments, **named)

    return called


@pytest.mark.parametrize("where", ["among the values", "among the forecasts", "before the last forecast"])
def test_a_filling_that_was_cut_off_is_finished_by_the_next(
    where: str, start: Start, farm: FarmData, end: datetime, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "CHUNK", 500)
    whole, broken = start(store=str(tmp_path / "whole.db")), start(store=str(tmp_path / "broken.db"))
    count = history.fill(whole.service, FARM, farm, days=DAYS)
    at = {"among the forecasts": 3, "before the last forecast": count - 1}.get(where, -1)
    with monkeypatch.context() as during:
        if where == "among the values":
            during.setattr(type(broken.service.store), "append_weather", stopping_at_the_second(Store.append_weather))
        with pytest.raises(KeyboardInterrupt):
            history.fill(broken.service, FARM, farm, days=DAYS, on_progress=cut_off(at))
    assert len(contents(broken, end)[2]) < count
    history.fill(broken.service, FARM, farm, days=DAYS)
    for expected, found in zip(contents(whole, end), contents(broken, end), strict=True):
        assert found.equals(expected) if isinstance(found, pl.DataFrame) else found == expected
    assert history.fill(broken.service, FARM, farm, days=DAYS) == 0
    for entry in broken.service.store.forecasts(FARM):
        stored = broken.service.store.forecast(FARM, id=entry.id)
        assert stored is not None
        assert broken.service.operator.replay(stored).equal


def test_what_is_stored_already_stays_where_the_file_says_something_else(
    start: Start, farm: FarmData, end: datetime
) -> None:
    running = start()
    history.fill(running.service, FARM, farm, days=DAYS)
    before = contents(running, end)
    corrected = replace(farm, power=farm.power.with_columns(pl.col("power_mw") / 2))
    history.fill(running.service, FARM, corrected, days=DAYS + 1)
    after = contents(running, end)
    overlap = after[0].filter(pl.col("time") >= before[0]["time"][0])
    assert overlap.equals(before[0])
    assert len(after[2]) == len(before[2]) + 4


def test_one_forecast_follows_where_another_ends_and_the_last_time_is_among_them(
    end: datetime, filled: Running
) -> None:
    task = filled.service.shelf.get("small").bundle.forecaster.task
    times = history._issue_times(replace(task, horizon=3), end, 1)
    assert times[-1] == end
    assert max(later - sooner for sooner, later in pairwise(times)) <= hours(3)
    far = history._issue_times(replace(task, horizon=48), end, 1)
    assert 4 <= len(far) <= 6


def test_what_was_filled_in_afterwards_says_so_and_is_scored(filled: Running, end: datetime) -> None:
    older, newest = (
        filled.client.get(f"/v1/farms/{FARM}/forecasts?issue_time={iso(time)}").json()
        for time in (contents(filled, end)[2][0], end)
    )
    assert any("filled in afterwards" in note for note in older["notes"])
    assert not any("filled in afterwards" in note for note in newest["notes"])
    scores = filled.client.get(f"/v1/farms/{FARM}/scores").json()
    assert scores["filled_in"] == scores["forecasts"] == 15
    assert scores["pairs"] == 90
    assert scores["measured_end"] == iso(end)
