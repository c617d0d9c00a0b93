"""What the store promises of forecasts: the bits that were issued, once, and found again."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from databases import hours, known_farm

from windcast.serving.store import Store, StoredForecast, UnknownFarm

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def issue(store: Store, hour: int, *, revision: int = 1, farm: str = "farm", **changed) -> StoredForecast:
    values = np.random.default_rng(hour).random((4, 3)).astype(np.float32)
    given = {
        "issue_time": NOON + hour * HOUR,
        "made_at": NOON + hour * HOUR + timedelta(seconds=7, microseconds=1),
        "revision": revision,
        "bundle": "bundle",
        "bundle_checksum": "c0ffee",
        "after": None,
        "values": values,
        "rung": np.array([0, 1, -1, 4], np.int8),
        "state": b"\x00\xff",
        "document": {"sentence": "all inputs fresh", "ages": [0, None, 1.5], "größe": "µ"},
    }
    return store.add_forecast(farm, **(given | changed))


def test_a_forecast_comes_back_with_the_bits_that_were_issued(store: Store) -> None:
    known_farm(store)
    values = np.array([[np.nan, -0.0, 1e-45], [0.1, np.inf, 3.0]], np.float32)
    kept = issue(store, 0, values=np.asfortranarray(values), rung=np.array([3, -128], np.int8))
    back = store.forecast("farm", kept.id)
    assert back is not None
    assert back.values.tobytes() == values.tobytes()
    assert (back.values.dtype, back.values.shape) == (np.float32, (2, 3))
    assert back.rung.tolist() == [3, -128]
    assert (back.state, back.after, back.farm) == (b"\x00\xff", None, "farm")
    assert back.made_at == NOON + timedelta(seconds=7, microseconds=1)
    assert back.document == {"sentence": "all inputs fresh", "ages": [0, None, 1.5], "größe": "µ"}


def test_a_second_forecast_of_the_same_knowledge_is_the_first(store: Store) -> None:
    known_farm(store)
    first = issue(store, 0)
    again = issue(store, 0, made_at=NOON + HOUR, document={}, state=None)
    assert again.id == first.id
    assert (again.made_at, again.document, again.state) == (first.made_at, first.document, first.state)
    others = [issue(store, 0, revision=2), issue(store, 0, bundle_checksum="other"), issue(store, 1)]
    assert len({first.id, *(other.id for other in others)}) == 4


def test_the_latest_is_the_last_made_of_the_newest_issue_time(store: Store) -> None:
    known_farm(store)
    assert store.latest_forecast("farm") is None
    issue(store, 1)
    second = issue(store, 1, revision=2)
    back_filled = issue(store, 0, revision=3)
    latest, at = store.latest_forecast("farm"), store.forecast_at("farm", NOON)
    assert latest is not None
    assert at is not None
    assert (latest.id, at.id) == (second.id, back_filled.id)
    assert store.forecast_at("farm", NOON - HOUR) is None


def test_the_forecast_before_is_the_last_made_of_the_newest_earlier_issue_time_by_that_bundle(store: Store) -> None:
    known_farm(store)
    issue(store, 0)
    wanted = issue(store, 0, revision=2)
    issue(store, 1, bundle_checksum="other")
    issue(store, 2, after=wanted.id)
    before = store.forecast_before("farm", NOON + 2 * HOUR, bundle_checksum="c0ffee")
    assert before is not None
    assert before.id == wanted.id
    assert store.forecast_before("farm", NOON, bundle_checksum="c0ffee") is None
    latest = store.latest_forecast("farm")
    assert latest is not None
    assert latest.after == wanted.id


def test_the_list_is_newest_first_and_its_pages_join_without_gap_or_repetition(store: Store) -> None:
    known_farm(store)
    for hour in (3, 0, 2, 1):
        issue(store, hour)
    issue(store, 2, revision=2)
    whole = store.forecasts("farm")
    assert [(entry.issue_time - NOON) // HOUR for entry in whole] == [3, 2, 2, 1, 0]
    assert [entry.revision for entry in whole] == [1, 2, 1, 1, 1]
    pages, before = [], None
    while page := store.forecasts("farm", before=before, limit=2):
        pages += [entry.id for entry in page]
        before = page[-1].id
    assert pages == [entry.id for entry in whole]


def test_scoring_gets_what_was_not_made_again_in_time(store: Store) -> None:
    known_farm(store)
    known_farm(store, "other")
    for hour in range(4):
        issue(store, hour)
        issue(store, hour, farm="other")
    again = issue(store, 2, revision=2)
    afterwards = issue(store, 2, revision=3, made_at=NOON + 3 * HOUR)
    found = store.forecasts_between("farm", NOON, NOON + 3 * HOUR)
    assert [(one.issue_time - NOON) // HOUR for one in found] == [1, 2, 2, 3]
    assert [found[1].id, found[2].id] == [again.id, afterwards.id]
    assert all(one.farm == "farm" and one.values.shape == (4, 3) for one in found)


def test_a_farm_is_pending_from_new_values_until_a_forecast_saw_them(store: Store) -> None:
    for name in ("quiet", "farm", "new"):
        known_farm(store, name)
    for name in ("farm", "new"):
        store.append_power(name, hours(NOON, 1), np.ones(1), received_at=NOON)
    issue(store, 0, revision=1)
    assert store.pending() == ["new"]
    store.append_power("farm", hours(NOON, 1, first=1), np.ones(1), received_at=NOON)
    assert store.pending() == ["farm", "new"]
    issue(store, 1, revision=2)
    assert store.pending() == ["new"]


def test_a_forecast_of_another_farm_is_not_found(store: Store) -> None:
    known_farm(store)
    known_farm(store, "other")
    kept = issue(store, 0)
    assert store.forecast("other", kept.id) is None
    assert store.forecast("farm", kept.id + 1) is None
    with pytest.raises(UnknownFarm):
        store.latest_forecast("nowhere")
