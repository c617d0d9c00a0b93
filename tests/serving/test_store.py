"""What the store promises of values: every version, once, in an order that does not change."""

import math
import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from databases import empty, hours, known_farm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windcast.errors import DataContractError
from windcast.serving.store import Store, StoreError, UnknownFarm, VersionConflict

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALWAYS = {"start": datetime(1990, 1, 1, tzinfo=UTC), "end": datetime(2090, 1, 1, tzinfo=UTC)}
NAN = float("nan")


def post(store: Store, power_mw: list[float], *, at: datetime | None = None, received: datetime = NOON, first: int = 0):
    times = hours(NOON - 12 * HOUR, len(power_mw), first=first)
    return store.append_power("farm", times, np.array(power_mw), available_at=at, received_at=received)


def stored(store: Store, revision: int | None = None) -> list[tuple[int, float | None, float | None]]:
    """(hour, hours after noon when known, MW) of every version."""
    frame = store.power("farm", **ALWAYS, revision=revision)
    return [((t - NOON) // HOUR + 12, (a - NOON) / HOUR, mw) for t, a, mw in frame.rows()]


def test_a_batch_said_twice_is_stored_once(store: Store) -> None:
    known_farm(store)
    first = post(store, [1.0, 2.0, NAN], at=NOON)
    again = post(store, [1.0, 2.0, NAN], at=NOON, received=NOON + HOUR)
    assert (first.revision, first.added, first.repeated) == (1, 3, 0)
    assert (again.revision, again.added, again.repeated) == (1, 0, 3)
    assert stored(store) == [(0, 0, 1.0), (1, 0, 2.0), (2, 0, None)]


def test_a_value_without_a_time_of_knowing_counts_from_its_receipt_and_is_not_stored_again(store: Store) -> None:
    known_farm(store)
    post(store, [1.0, 2.0])
    again = post(store, [1.0, 2.5], received=NOON + HOUR)
    assert (again.added, again.corrected, again.repeated) == (1, 1, 1)
    assert stored(store) == [(0, 0, 1.0), (1, 0, 2.0), (1, 1, 2.5)]


def test_what_its_owner_says_was_known_at_another_time_is_a_version_even_if_equal(store: Store) -> None:
    known_farm(store)
    post(store, [1.0], at=NOON)
    receipt = post(store, [1.0], at=NOON - HOUR)
    assert (receipt.added, receipt.corrected, receipt.repeated) == (1, 0, 0)
    assert stored(store) == [(0, -1, 1.0), (0, 0, 1.0)]


def test_late_and_corrected_values_keep_every_version(store: Store) -> None:
    known_farm(store)
    post(store, [1.0, 2.0], at=NOON)
    late = post(store, [0.5], at=NOON - HOUR)
    corrected = post(store, [1.5, NAN], at=NOON + HOUR)
    assert (late.added, late.corrected) == (1, 0)
    assert (corrected.added, corrected.corrected) == (2, 2)
    assert stored(store) == [(0, -1, 0.5), (0, 0, 1.0), (0, 1, 1.5), (1, 0, 2.0), (1, 1, None)]


def test_two_values_of_one_time_known_at_one_time_are_refused_and_nothing_is_stored(store: Store) -> None:
    known_farm(store)
    post(store, [1.0, 2.0], at=NOON)
    with pytest.raises(VersionConflict, match=r"power of farm at 2024-06-01 01:00:00 UTC.* both 2\.0 and 3\.0"):
        post(store, [1.0, 3.0, 4.0], at=NOON)
    twice = np.repeat(hours(NOON, 1), 2)
    with pytest.raises(VersionConflict, match=r"both 5\.0 and missing"):
        store.append_power("farm", twice, np.array([5.0, NAN]), received_at=NOON)
    assert stored(store) == [(0, 0, 1.0), (1, 0, 2.0)]
    assert store.farm("farm").revision == 1


def test_reading_as_of_a_revision_does_not_change_under_later_appends(store: Store) -> None:
    known_farm(store)
    post(store, [1.0, 2.0], at=NOON)
    store.append_weather("farm", hours(NOON, 2), np.ones((2, 2)), available_at=NOON, received_at=NOON)
    power, weather = store.power("farm", **ALWAYS, revision=2), store.weather("farm", **ALWAYS, revision=2)
    post(store, [9.0], at=NOON - 5 * HOUR)
    post(store, [1.5], at=NOON + HOUR)
    store.append_weather("farm", hours(NOON, 3), np.zeros((3, 2)), available_at=NOON - HOUR, received_at=NOON)
    assert store.power("farm", **ALWAYS, revision=2).equals(power)
    assert store.weather("farm", **ALWAYS, revision=2).equals(weather)
    assert len(store.power("farm", **ALWAYS)) == 4
    assert len(store.weather("farm", **ALWAYS)) == 5


def test_a_range_takes_its_end_and_not_its_start(store: Store) -> None:
    known_farm(store)
    post(store, [0.0, 1.0, 2.0, 3.0])
    frame = store.power("farm", NOON - 12 * HOUR, NOON - 10 * HOUR)
    assert frame["power_mw"].to_list() == [1.0, 2.0]
    assert store.power("farm", NOON, NOON).is_empty()
    assert store.weather("farm", NOON, NOON).columns == ["valid_time", "available_at", "wind_speed_100m", "pressure"]


def test_weather_comes_back_bit_for_bit_and_a_missing_variable_as_null(store: Store) -> None:
    known_farm(store)
    values = np.array([[0.1, 1e-320], [NAN, -0.0], [1 / 3, 1.7976931348623157e308], [NAN, NAN]])
    store.append_weather("farm", hours(NOON, 4), values, received_at=NOON)
    frame = store.weather("farm", **ALWAYS)
    assert frame.null_count().row(0) == (0, 0, 2, 1)
    back = frame.select("wind_speed_100m", "pressure").to_numpy()
    assert np.array_equal(back, values, equal_nan=True)
    assert math.copysign(1, back[1, 1]) == -1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_every_finite_number_round_trips_save_that_zero_has_no_sign(store: Store, values: list[float]) -> None:
    empty(store)
    known_farm(store)
    store.append_power("farm", hours(NOON, len(values)), np.array(values), received_at=NOON)
    back = store.power("farm", **ALWAYS)["power_mw"].to_list()
    assert [struct.pack("d", value) for value in back] == [struct.pack("d", value + 0.0) for value in values]


def test_a_run_of_weather_is_a_version_of_all_its_variables(store: Store) -> None:
    known_farm(store)
    run = np.array([[5.0, 1000.0], [6.0, 1001.0]])
    store.append_weather("farm", hours(NOON, 2), run, available_at=NOON, received_at=NOON)
    run[1, 1] = 999.0
    later = store.append_weather("farm", hours(NOON, 2), run, available_at=NOON + HOUR, received_at=NOON)
    said_again = store.append_weather("farm", hours(NOON, 2), run, received_at=NOON + 2 * HOUR)
    assert (later.added, later.corrected, later.repeated) == (2, 1, 0)
    assert (said_again.added, said_again.repeated, said_again.revision) == (0, 2, 2)
    with pytest.raises(VersionConflict, match="weather of farm"):
        store.append_weather("farm", hours(NOON, 2), run + 1, available_at=NOON, received_at=NOON)


@pytest.mark.parametrize(
    ("times", "values", "sentence"),
    [
        (hours(NOON, 2), np.ones(3), "values for"),
        (np.array(["NaT", "2024-01-01"], "datetime64[us]"), np.ones(2), "1 times are missing"),
        (hours(NOON, 2), np.array([1.0, np.inf]), "1 rows are infinite"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(store: Store, times, values, sentence: str) -> None:
    known_farm(store)
    with pytest.raises(DataContractError, match=sentence):
        store.append_power("farm", times, values, received_at=NOON)
    with pytest.raises(DataContractError, match="values for"):
        store.append_weather("farm", hours(NOON, 2), np.ones((2, 5)), received_at=NOON)


def test_an_empty_batch_is_accepted_and_changes_nothing(store: Store) -> None:
    known_farm(store)
    assert post(store, []).revision == 0


def test_pages_give_the_newest_version_known_at_a_time(store: Store) -> None:
    known_farm(store)
    post(store, [1.0, 2.0, 3.0], at=NOON)
    post(store, [1.5], at=NOON + HOUR)
    post(store, [4.0], at=NOON + 2 * HOUR, first=3)
    page = store.power_page("farm", **ALWAYS, known_at=NOON + HOUR, limit=2)
    assert page.rows["power_mw"].to_list() == [1.5, 2.0]
    rest = store.power_page("farm", **ALWAYS, known_at=NOON + HOUR, cursor=page.next, limit=2)
    assert rest.rows["power_mw"].to_list() == [3.0]
    assert rest.next is None
    assert store.power_page("farm", **ALWAYS).rows["power_mw"].to_list() == [1.5, 2.0, 3.0, 4.0]


def test_pages_join_whatever_the_number_of_versions(store: Store) -> None:
    known_farm(store)
    for version in range(70):
        post(store, [version + hour / 100 for hour in range(20)], at=NOON + version * HOUR)
    found, cursor = [], None
    for _ in range(7):
        page = store.power_page("farm", **ALWAYS, cursor=cursor, limit=3)
        found += page.rows["power_mw"].to_list()
        cursor = page.next
    assert cursor is None
    assert found == [69 + hour / 100 for hour in range(20)]


def test_pages_of_weather_have_a_column_for_each_variable(store: Store) -> None:
    known_farm(store)
    for run in range(3):
        values = np.full((5, 2), float(run))
        store.append_weather("farm", hours(NOON, 5), values, available_at=NOON + run * HOUR, received_at=NOON)
    page = store.weather_page("farm", **ALWAYS, known_at=NOON + HOUR, limit=5)
    assert page.rows["pressure"].to_list() == [1.0] * 5
    assert page.next is None


def test_the_newest_are_the_last_known_power_and_the_last_run(store: Store) -> None:
    known_farm(store)
    assert store.newest("farm") == (None, None)
    post(store, [1.0, 2.0, NAN])
    store.append_weather("farm", hours(NOON, 2), np.ones((2, 2)), available_at=NOON + HOUR, received_at=NOON)
    store.append_weather("farm", hours(NOON, 2), np.ones((2, 2)), available_at=NOON - HOUR, received_at=NOON)
    assert store.newest("farm") == (NOON - 11 * HOUR, NOON + HOUR)


def test_taking_back_the_newest_power_makes_the_one_before_it_the_newest(store: Store) -> None:
    known_farm(store)
    post(store, [1.0] * 700)
    post(store, [NAN] * 650, first=50, received=NOON + HOUR)
    assert store.newest("farm")[0] == NOON + 37 * HOUR
    post(store, [NAN] * 50, received=NOON + HOUR)
    assert store.newest("farm")[0] is None
    post(store, [3.0], first=4, received=NOON + 2 * HOUR)
    assert store.newest("farm")[0] == NOON - 8 * HOUR


def test_truth_is_the_newest_version_of_each_time_in_the_shape_asked_for(store: Store) -> None:
    known_farm(store)
    post(store, [1.0, 2.0, 3.0], at=NOON)
    post(store, [1.5, NAN], at=NOON + HOUR)
    asked = hours(NOON - 12 * HOUR, 4).reshape(2, 2)[::-1]
    far = np.array([["1999-01-01", "2024-06-01"]], "datetime64[us]")
    assert np.array_equal(store.truth("farm", asked), np.array([[3.0, NAN], [1.5, NAN]], "f4"), equal_nan=True)
    assert np.array_equal(store.truth("farm", far), np.array([[NAN, 1.5]], "f4"), equal_nan=True)


def test_a_farms_settings_change_and_its_revision_stays(store: Store) -> None:
    record = known_farm(store)
    post(store, [1.0])
    changed = store.put_farm(replace(record, title="Another", grace=HOUR, issue_every=2 * HOUR, revision=77))
    assert (changed.title, changed.grace, changed.issue_every, changed.revision) == ("Another", HOUR, 2 * HOUR, 1)
    assert store.farm("farm") == changed
    assert changed.created == record.created


@pytest.mark.parametrize(
    "change", [{"capacity_mw": 9.0}, {"resolution": HOUR / 2}, {"variables": ("pressure",)}, {"weather_kind": "none"}]
)
def test_what_values_were_stored_under_cannot_change(store: Store, change) -> None:
    record = known_farm(store)
    store.put_farm(replace(record, **change))
    store.put_farm(record)
    post(store, [1.0])
    with pytest.raises(VersionConflict, match=f"{next(iter(change))} is .* and cannot become"):
        store.put_farm(replace(record, **change))
    assert store.farm("farm") == replace(record, revision=1)


def test_an_unknown_farm_is_answered_with_the_nearest_known(store: Store) -> None:
    with pytest.raises(UnknownFarm, match="the store has none"):
        store.farm("farm")
    for number in range(15):
        known_farm(store, f"park_{number:02}")
    with pytest.raises(UnknownFarm, match="Did you mean 'park_03'"):
        store.power("parc_03", **ALWAYS)
    for number in range(15, 30):
        known_farm(store, f"park_{number:02}")
    with pytest.raises(UnknownFarm) as error:
        store.append_power("parc_29", hours(NOON, 1), np.ones(1), received_at=NOON)
    assert str(error.value) == "unknown farm 'parc_29'. Did you mean 'park_29'?"
    assert isinstance(error.value, StoreError)


def test_farms_are_listed_by_name_page_after_page(store: Store) -> None:
    for name in ("c", "a", "b"):
        known_farm(store, name)
    assert [farm.name for farm in store.farms(limit=2)] == ["a", "b"]
    assert [farm.name for farm in store.farms(after="b")] == ["c"]


def test_values_of_one_farm_are_not_those_of_another(store: Store) -> None:
    known_farm(store)
    known_farm(store, "other")
    post(store, [1.0])
    assert store.power("other", **ALWAYS).is_empty()
    assert store.farm("other").revision == 0
