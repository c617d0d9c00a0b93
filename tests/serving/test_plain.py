"""Questions read together are understood as each would be alone: the same windows to the bit, or the same sentence."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from questions import question

from conftest import hours, iso
from windcast.data.farm import FarmData
from windcast.data.windows import ARRAYS, Windows
from windcast.errors import WindcastError
from windcast.registry.bundles import Bundle
from windcast.serving import asking, plain
from windcast.serving.asking import Question
from windcast.serving.bodies import usual_times
from windcast.serving.shelf import Served, Shelf

Columns = dict[str, Any]
Change = Callable[[Columns], object]


@pytest.fixture(scope="module")
def shelf(bundle: Bundle) -> Iterator[Shelf]:
    opened = Shelf([bundle.folder])
    yield opened
    opened.worker.shutdown()


def asked(shelf: Shelf, *documents: Columns) -> list[Question]:
    return list(asking.from_json({"forecasts": list(documents)}, shelf))


def alone(one: Question) -> Windows | WindcastError:
    return asking._alone(one)


def same(found: Windows | WindcastError, expected: Windows | WindcastError) -> None:
    if isinstance(expected, WindcastError):
        assert isinstance(found, WindcastError), expected
        assert (type(found), str(found)) == (type(expected), str(expected))
        return
    assert isinstance(found, Windows), found
    assert (found.task, found.variables, found.reanalysis) == (expected.task, expected.variables, expected.reanalysis)
    for name in ARRAYS:
        assert getattr(found, name).tobytes() == getattr(expected, name).tobytes(), name


def at(table: str, column: str, row: int, value: Any) -> Change:
    """Puts a value in a place."""

    def change(document: Columns) -> None:
        document[table][column][row % len(document[table][column])] = value

    return change


def every(table: str, change: Callable[[list[Any]], Any]) -> Change:
    def changed(document: Columns) -> None:
        document[table] = {name: change(values) for name, values in document[table].items()}

    return changed


def column(table: str, name: str, value: Any) -> Change:
    return lambda document: document[table].__setitem__(name, value)


VALUES = st.sampled_from([None, 0.0, 1, -1.0, 5.0, 1e9, 10**400, True, "3", "", [], 2.5, -0.0])
TIMES = st.sampled_from([None, "", "2015-06-01T00:30:00Z", "2015-02-29T00:00:00Z", "2015-03-01 00:00", 7, "１0"])
TABLES = st.sampled_from(["power", "weather"])
STAMPS = {"power": ("time",), "weather": ("valid_time", "available_at")}
ROWS = st.integers(0, 40)

CHANGES = st.one_of(
    st.builds(lambda row, value: at("power", "power_mw", row, value), ROWS, VALUES),
    st.builds(lambda row, value: at("weather", "wind_speed_100m", row, value), ROWS, VALUES),
    st.builds(lambda row, value: at("power", "time", row, value), ROWS, TIMES),
    st.builds(
        lambda name, row, value: at("weather", name, row, value), st.sampled_from(STAMPS["weather"]), ROWS, TIMES
    ),
    st.builds(lambda table, row: every(table, lambda v: v[:row] + v[row + 1 :]), TABLES, ROWS),
    st.builds(lambda table, row: every(table, lambda v: [*v[:row], v[row % len(v)], *v[row:]]), TABLES, ROWS),
    st.builds(lambda table: every(table, lambda v: v[::-1]), TABLES),
    st.builds(lambda table: every(table, lambda v: []), TABLES),
    st.builds(lambda table: lambda document: document.pop(table), TABLES),
    st.builds(lambda table: lambda document: document.update({table: []}), TABLES),
    st.builds(lambda value: column("power", "power_mw", value), st.sampled_from([[1.0], None, 2.0, "x", {"a": 1}])),
    st.builds(lambda value: column("power", "available_at", value), st.sampled_from(["2015-06-30T00:00:00Z", None])),
    st.builds(lambda value: column("weather", "available_at", value), st.sampled_from(["2015-06-01T00:00:00Z", None])),
    st.builds(lambda: lambda document: document["weather"].pop("temperature_2m")),
    st.builds(lambda: column("weather", "rain", [0.0])),
    st.builds(lambda table, many: every(table, lambda v: v[-many:]), TABLES, st.integers(1, 5)),
    st.builds(
        lambda steps: lambda document: document.update(issue_times=[later(document, step) for step in steps]),
        st.lists(st.sampled_from([-30, -3, 0, 0.5, 1, 48]), max_size=4),
    ),
    st.just(lambda document: document.update(issue_times=["today"])),
)


def later(document: Columns, step: float) -> str:
    newest = str(document["power"]["time"][-1]) if document.get("power") and document["power"].get("time") else ""
    start = datetime.fromisoformat(newest) if newest.startswith("2") and len(newest) == 20 else datetime(2015, 6, 1)
    return iso(start.replace(tzinfo=UTC) + hours(step))


def copied(document: Columns) -> Columns:
    return {key: {name: list(values) for name, values in table.items()} for key, table in document.items()}


def attempt(change: Change, document: Columns) -> None:
    """A change that follows another may find nothing to change."""
    try:
        change(document)
    except (KeyError, TypeError, ZeroDivisionError, AttributeError, IndexError, ValueError):
        return


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.lists(CHANGES, max_size=2), min_size=1, max_size=4))
def test_in_company_as_alone(shelf: Shelf, farm: FarmData, end: datetime, changes: list[list[Change]]) -> None:
    documents = [copied(question(farm, end - hours(3 * k))) for k in range(len(changes))]
    for document, own in zip(documents, changes, strict=True):
        for change in own:
            attempt(change, document)
    try:
        questions = asked(shelf, *documents)
    except WindcastError:
        return  # refused before anything is read
    for found, one in zip(Question.windows(questions), questions, strict=True):
        same(found, alone(one))


def test_what_is_in_order_needs_no_second_reading(
    shelf: Shelf, farm: FarmData, end: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also gaps, no power at all, one value for all rows, variables that are not sent, and several issue times."""
    gaps, silent, several, bare = (copied(question(farm, end - hours(k))) for k in range(4))
    gaps["power"]["power_mw"][3:9] = [None] * 6
    every("power", lambda values: values[:5] + values[8:])(gaps)
    silent |= {"power": None, "issue_times": [iso(end)]}
    several["issue_times"] = [iso(end), iso(end - hours(5)), iso(end - hours(2))]
    once(bare)
    bare["weather"] |= {"available_at": iso(end - timedelta(days=3)), "temperature_2m": None}
    questions = asked(shelf, gaps, silent, several, bare)
    expected = [alone(one) for one in questions]
    monkeypatch.setattr(asking, "_alone", None)
    for found, one in zip(Question.windows(questions), expected, strict=True):
        same(found, one)
    assert [len(found) for found in expected if isinstance(found, Windows)] == [1, 1, 3, 1]


BROKEN: dict[str, Change] = {
    "power off the grid": lambda document: at("power", "time", -1, document["power"]["time"][-1][:14] + "30:00Z")(
        document
    ),
    "power above the capacity": at("power", "power_mw", 3, 1e4),
    "power below nothing": at("power", "power_mw", 3, -1e-3),
    "infinite": at("weather", "wind_speed_100m", 3, float("inf")),
    "power in the wrong order": every("power", lambda values: [values[1], values[0], *values[2:]]),
    "power twice": every("power", lambda values: [values[0], *values]),
    "too much wind": at("weather", "wind_speed_100m", 3, 99.0),
    "weather off its grid": lambda document: at(
        "weather", "valid_time", 0, document["weather"]["valid_time"][0][:14] + "30:00Z"
    )(document),
    "weather in the wrong order": every("weather", lambda values: values[::-1]),
    "weather twice": every("weather", lambda values: [values[0], *values]),
    "a row without weather": lambda document: [
        at("weather", name, 2, None)(document) for name in document["weather"] if name not in STAMPS["weather"]
    ],
    "issued off the grid": lambda document: document.update(issue_times=["2015-06-01T00:30:00Z"]),
    "no power to issue after": column("power", "power_mw", None),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_in_order_is_left_to_the_second_reading(
    shelf: Shelf, farm: FarmData, end: datetime, case: str
) -> None:
    """And those beside it stay as they are."""
    documents = [copied(question(farm, end - hours(k))) for k in range(3)]
    BROKEN[case](documents[1])
    questions = asked(shelf, *documents)
    broken = questions[1]
    assert plain.windows(broken.served, [broken.power], [broken.weather], [broken.issue_times]) is None
    for found, one in zip(Question.windows(questions), questions, strict=True):
        same(found, alone(one))


@pytest.mark.parametrize("kind", ["forecast", "reanalysis"])
@pytest.mark.parametrize("interval", ["end", "start"])
@pytest.mark.parametrize("step", [0, 60, 180])
def test_whatever_the_bundle_was_trained_on(
    shelf: Shelf, farm: FarmData, end: datetime, kind: str, interval: str, step: int
) -> None:
    """Weather every three hours, or on a grid that nobody knows; reanalysis; times of the beginnings of intervals."""
    served = other(shelf.only(None), kind, interval, step)
    documents = [copied(question(farm, end - hours(k))) for k in range(3)]
    if step == 180:
        for document in documents:
            thirds = [
                place for place, text in enumerate(document["weather"]["valid_time"]) if int(text[11:13]) % 3 == 0
            ]
            every("weather", lambda values, kept=thirds: [values[k] for k in kept])(document)
    if kind == "reanalysis":
        for document in documents:
            once(document)
    questions = [replace(one, served=served) for one in asked(shelf, *documents)]
    together = Question.windows(questions)
    for found, one in zip(together, questions, strict=True):
        same(found, alone(one))
        assert isinstance(found, Windows)
        assert np.isfinite(found.weather).any()


def once(document: Columns) -> None:
    """Keeps the newest run of every time."""
    newest = {time: row for row, time in enumerate(document["weather"]["valid_time"])}
    every("weather", lambda values: [values[row] for row in newest.values()])(document)


def other(served: Served, kind: str, interval: str, step: int) -> Served:
    manifest = served.bundle.manifest
    contract = manifest["contract"] | {"weather_kind": kind}
    grid = {"step_minutes": step, "phase_minutes": 0}
    changed = manifest | {"contract": contract, "interval": interval, "weather_grid": grid}
    return replace(served, bundle=replace(served.bundle, manifest=changed))


@given(st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31)), max_size=20))
def test_usual_times_are_read_as_python_reads_them(times: list[datetime]) -> None:
    whole = [time.replace(microsecond=0) for time in times]
    found = usual_times([f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in whole])
    assert found is not None
    assert found.astype(object).tolist() == whole


@given(st.text("0123456789-T:Z ", min_size=20, max_size=20))
def test_what_is_no_time_is_not_taken_for_one(text: str) -> None:
    found = usual_times([text])
    try:
        expected = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        assert found is None
    else:
        assert found is None or found[0] == np.datetime64(expected)


UNUSUAL = """2015-02-29T00:00:00Z 2015-13-01T00:00:00Z 2015-00-01T00:00:00Z 2015-01-00T00:00:00Z 2015-01-01T24:00:00Z
    2015-01-01T00:60:00Z 2015-01-01T00:00:60Z 1969-12-31T23:59:59Z 2200-01-01T00:00:00Z 2015-01-01t00:00:00Z
    2015-01-01T00:00:00+ /015-01-01T00:00:00Z"""


@pytest.mark.parametrize("text", [*UNUSUAL.split(), None])
def test_unusual_times_are_left_to_others(text: str | None) -> None:
    assert usual_times(["2015-01-01T00:00:00Z", text]) is None


def test_a_table_of_other_columns_is_not_plain(shelf: Shelf, farm: FarmData, end: datetime) -> None:
    document = question(farm, end)
    assert plain.windows(shelf.only(None), [document["power"]], [document["weather"]], [None]) is not None
    for table in ("power", "weather"):
        more = document[table] | {
            "remark": ["x"] * len(document[table]["valid_time" if table == "weather" else "time"])
        }
        tables = {**document, table: more}
        assert plain.windows(shelf.only(None), [tables["power"]], [tables["weather"]], [None]) is None
