"""The store against a model of what it promises, on batches made up by hypothesis."""

from datetime import UTC, datetime, timedelta

import numpy as np
from databases import empty, known_farm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windcast.serving.store import Receipt, Store, VersionConflict

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ORIGIN = np.datetime64("2024-01-01", "us")

# Few hours, few times of knowing and few values, so that they meet often.
values = st.sampled_from([None, 0.0, 1.0, 2.0])
rows = st.tuples(st.integers(0, 3), st.none() | st.integers(0, 4), values)
batches = st.lists(st.tuples(st.integers(0, 4), st.lists(rows, max_size=5)), min_size=1, max_size=8)


class Model:
    """What the store should do, in the plainest words: a list of (revision, hour, known, MW)."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, float | None]] = []
        self.revision = 0

    def post(self, received: int, batch: list[tuple[int, int | None, float | None]]) -> Receipt | None:
        before, corrected, repeated = list(self.rows), 0, 0
        placed = [(hour, received if known is None else known, known is not None, mw) for hour, known, mw in batch]
        for hour, known, stated, mw in sorted(placed, key=lambda row: row[:2]):
            versions = sorted((k, v) for _, h, k, v in self.rows if h == hour)  # no two of one k
            same = [v for k, v in versions if k == known]
            if same and same[0] != mw:
                self.rows = before
                return None
            if same or (not stated and versions and versions[-1][1] == mw):
                repeated += 1
                continue
            corrected += any(v != mw for k, v in [row for row in versions if row[0] < known][-1:])
            self.rows.append((self.revision + 1, hour, known, mw))
        added = len(self.rows) - len(before)
        self.revision += added > 0
        return Receipt(revision=self.revision, added=added, corrected=corrected, repeated=repeated)

    def as_of(self, revision: int) -> list[tuple[int, int, float | None]]:
        return sorted((h, k, v) for r, h, k, v in self.rows if r <= revision)

    def newest(self) -> int | None:
        last = {hour: mw for hour, _, mw in self.as_of(self.revision)}
        return max((hour for hour, mw in last.items() if mw is not None), default=None)


def post(store: Store, received: int, batch: list[tuple[int, int | None, float | None]]) -> Receipt | None:
    times = ORIGIN + np.array([hour for hour, _, _ in batch], "timedelta64[h]")
    known = [np.datetime64("NaT") if k is None else ORIGIN + np.timedelta64(k, "h") for _, k, _ in batch]
    power_mw = np.array([mw for _, _, mw in batch], np.float64)
    available_at = np.array(known, "datetime64[us]")
    try:
        return store.append_power(
            "farm", times, power_mw, available_at=available_at, received_at=START + received * HOUR
        )
    except VersionConflict:
        return None


def stored(store: Store, revision: int) -> list[tuple[int, int, float | None]]:
    frame = store.power("farm", START - HOUR, START + 9 * HOUR, revision=revision)
    return [((time - START) // HOUR, (known - START) // HOUR, mw) for time, known, mw in frame.rows()]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(posted=batches)
def test_the_store_answers_as_the_model_does(store: Store, posted) -> None:
    empty(store)
    known_farm(store)
    model = Model()
    for received, batch in posted:
        assert post(store, received, batch) == model.post(received, batch)
    assert store.farm("farm").revision == model.revision
    for revision in range(model.revision + 1):
        assert stored(store, revision) == model.as_of(revision)
    hour = model.newest()
    assert store.newest("farm")[0] == (None if hour is None else START + hour * HOUR)
    last = {hour: mw for hour, _, mw in model.as_of(model.revision)}
    truth = store.truth("farm", ORIGIN + np.arange(4, dtype="timedelta64[h]"))
    assert np.array_equal(truth, np.array([last.get(hour) for hour in range(4)], np.float32), equal_nan=True)
    page = store.power_page("farm", START - HOUR, START + 9 * HOUR, known_at=START + 2 * HOUR)
    known = {hour: mw for hour, known, mw in model.as_of(model.revision) if known <= 2}
    assert page.rows["power_mw"].to_list() == list(known.values())
