"""Forecasts for whoever brings history and weather along: POST /v1/forecasts, and the bundles behind it."""

import asyncio
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from questions import CSV, PARQUET, as_csv, as_parquet, power_rows, question, seen, table, weather_rows

from conftest import FARM, Running, Start, hours, iso
from windcast.data.farm import FarmData
from windcast.data.windows import Windows, build_windows
from windcast.errors import WindcastError
from windcast.models.forecast import column_of
from windcast.registry.bundles import Bundle, open_bundle
from windcast.registry.production import fitting
from windcast.serving.batching import Batcher

PATH = "/v1/forecasts"


def windows_of(bundle: Bundle, farm: FarmData, issue: datetime, *times: datetime) -> Windows:
    """As the service should build them from what `question` sends."""
    chosen = np.array([time.replace(tzinfo=None) for time in times or (issue,)], "datetime64[us]")
    return build_windows(fitting(bundle, seen(farm, issue)), bundle.forecaster.task, chosen).without_target()


def numbers(document: dict[str, Any]) -> NDArray[np.float32]:
    """[H, Q]"""
    return np.array(document["quantiles_mw"]).astype(np.float32)


def ask(running: Running, *questions: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    answer = running.client.post(f"{PATH}{query}", json={"forecasts": list(questions)})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["forecasts"]
    return found


def refusal(running: Running, document: Any, status: int = 422) -> str:
    answer = running.client.post(PATH, json=document)
    assert answer.status_code == status, answer.text
    said: str = answer.json()["detail"]
    return said


def test_an_answer_in_json_has_the_bits_of_the_forecast_computed_directly(
    running: Running, bundle: Bundle, farm: FarmData, end: datetime
) -> None:
    (found,) = ask(running, question(farm, end))
    expected = bundle.forecaster.predict(windows_of(bundle, farm, end))
    assert numbers(found).tobytes() == expected.values[0].tobytes()
    assert found["levels"] == list(bundle.forecaster.task.levels)
    assert found["issue_time"] == iso(end)
    assert found["valid_times"] == [iso(end + hours(lead)) for lead in range(1, 7)]
    assert found["inputs"]["rung"] == "fresh"


def test_json_csv_and_parquet_give_the_same_numbers(running: Running, farm: FarmData, end: datetime) -> None:
    (in_json,) = ask(running, question(farm, end))
    frame = table(farm, {FARM: end})
    for kind, body in ((CSV, as_csv(frame)), (PARQUET, as_parquet(frame)), (CSV, as_csv(frame.drop("farm")))):
        answer = running.client.post(PATH, content=body, headers={"Content-Type": kind})
        assert answer.status_code == 200, answer.text
        (other,) = answer.json()["forecasts"]
        assert other["quantiles_mw"] == in_json["quantiles_mw"]
        assert other["inputs"] == in_json["inputs"]
        assert other["farm"] == FARM


def test_json_itself_may_be_sent_packed(running: Running, farm: FarmData, end: datetime) -> None:
    import gzip

    import orjson

    body = gzip.compress(orjson.dumps({"forecasts": [question(farm, end)]}))
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = running.client.post(PATH, content=body, headers=headers)
    assert answer.json()["forecasts"][0]["quantiles_mw"] == ask(running, question(farm, end))[0]["quantiles_mw"]


def test_many_farms_and_issue_times_are_answered_in_one_call_in_their_order(
    running: Running, bundle: Bundle, farm: FarmData, end: datetime
) -> None:
    times = [end - hours(2), end - hours(1), end]
    asked = [question(farm, end - hours(k), farm=f"farm {k}") for k in range(40)]
    found = ask(running, question(farm, end, farm="several", issue_times=[iso(t) for t in times]), *asked)
    assert [one["farm"] for one in found] == ["several"] * 3 + [f"farm {k}" for k in range(40)]
    assert [one["issue_time"] for one in found[:3]] == [iso(t) for t in times]
    together = bundle.forecaster.predict(windows_of(bundle, farm, end, *times))
    assert np.stack([numbers(one) for one in found[:3]]).tobytes() == together.values.tobytes()
    for k, one in enumerate(found[3:]):
        alone = bundle.forecaster.predict(windows_of(bundle, farm, end - hours(k)))
        assert numbers(one).tobytes() == alone.values[0].tobytes(), k


def test_one_table_may_hold_many_farms(running: Running, farm: FarmData, end: datetime) -> None:
    frame = table(farm, {"a": end, "b": end - hours(5)})
    answer = running.client.post(PATH, content=as_csv(frame), headers={"Content-Type": CSV})
    a, b = answer.json()["forecasts"]
    assert (a["farm"], b["farm"]) == ("a", "b")
    assert (a["issue_time"], b["issue_time"]) == (iso(end), iso(end - hours(5)))
    assert a["quantiles_mw"] == ask(running, question(farm, end))[0]["quantiles_mw"]
    assert b["quantiles_mw"] == ask(running, question(farm, end - hours(5)))[0]["quantiles_mw"]


def test_issue_times_of_a_table_are_named_in_the_address(running: Running, farm: FarmData, end: datetime) -> None:
    times = [iso(end - hours(1)), iso(end)]
    answer = running.client.post(
        PATH, params={"issue_time": times}, content=as_csv(table(farm, {FARM: end})), headers={"Content-Type": CSV}
    )
    found = answer.json()["forecasts"]
    assert [one["issue_time"] for one in found] == times
    assert [one["quantiles_mw"] for one in found] == [
        one["quantiles_mw"] for one in ask(running, question(farm, end, issue_times=times))
    ]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_answers_come_as_tables_too(running: Running, farm: FarmData, end: datetime, form: str) -> None:
    asked = [question(farm, end, farm="a"), question(farm, end - hours(1), farm="b")]
    answer = running.client.post(f"{PATH}?format={form}", json={"forecasts": asked})
    content = io.BytesIO(answer.content)
    frame = pl.read_csv(content, try_parse_dates=True) if form == "csv" else pl.read_parquet(content)
    expected = ask(running, *asked)
    assert frame["farm"].to_list() == ["a"] * 6 + ["b"] * 6
    levels = [column_of(level) for level in expected[0]["levels"]]
    rows = np.concatenate([numbers(one) for one in expected])
    if form == "csv":
        assert np.abs(frame.select(levels).to_numpy() - rows).max() < 5.1e-5  # four decimals: tenths of a kilowatt
    else:
        assert frame.select(levels).to_numpy().astype(np.float32).tobytes() == rows.tobytes()
    assert [iso(t) for t in frame["valid_time"]] == [time for one in expected for time in one["valid_times"]]


def test_levels_are_chosen_in_the_address(running: Running, farm: FarmData, end: datetime) -> None:
    (every,) = ask(running, question(farm, end))
    (some,) = ask(running, question(farm, end), query="?levels=0.5,0.05,0.95")
    assert some["levels"] == [0.05, 0.5, 0.95]
    columns = [every["levels"].index(level) for level in some["levels"]]
    assert numbers(some).tobytes() == numbers(every)[:, columns].tobytes()
    (between,) = ask(running, question(farm, end), query="?levels=0.52")
    low, high = (numbers(every)[:, every["levels"].index(level)] for level in (0.5, 0.55))
    assert ((low <= numbers(between)[:, 0]) & (numbers(between)[:, 0] <= high)).all()


@pytest.mark.parametrize("levels", ["0.001", "0.999", "nan", "inf", "a", "", "0.5,,0.6"])
def test_levels_that_the_model_does_not_forecast_are_refused(
    running: Running, farm: FarmData, end: datetime, levels: str
) -> None:
    answer = running.client.post(PATH, params={"levels": levels}, json={"forecasts": [question(farm, end)]})
    assert answer.status_code == 422
    assert "levels" in answer.json()["detail"]


class Ready:
    """A question whose windows are there already."""

    def __init__(self, ready: Windows) -> None:
        self.ready = ready

    def __len__(self) -> int:
        return len(self.ready)

    @classmethod
    def windows(cls, asked: Sequence["Ready"]) -> list[Windows | WindcastError]:
        return [one.ready for one in asked]


def test_requests_in_one_batch_get_the_bits_that_they_get_alone(bundle: Bundle, farm: FarmData) -> None:
    """Single issue times and several, in any company; also just after training, where the calibration remembers."""
    opened = open_bundle(bundle.folder)
    begin = opened.trained_until + hours(2)
    asked = [windows_of(opened, farm, begin + hours(k)) for k in range(3)]
    asked.append(windows_of(opened, farm, begin + hours(6), *(begin + hours(k) for k in range(3, 7))))
    with ThreadPoolExecutor(1) as worker:
        batcher = Batcher(opened, worker)

        async def alone() -> list[Any]:
            return [(await batcher.forecast(Ready(windows)))[1] for windows in asked]

        async def together(order: list[int]) -> list[Any]:
            found = await asyncio.gather(*(batcher.forecast(Ready(asked[place])) for place in order))
            return [forecast for _, forecast in found]

        single = asyncio.run(alone())
        for order in ([0, 1, 2], [0, 3], [3, 2, 1, 0], [1, 1, 3, 3]):
            for place, found in zip(order, asyncio.run(together(order)), strict=True):
                assert found.values.tobytes() == single[place].values.tobytes(), (order, place)
                assert found.rung.tobytes() == single[place].rung.tobytes()


def test_callers_at_the_same_time_each_get_their_own_forecast(
    running: Running, bundle: Bundle, farm: FarmData, end: datetime
) -> None:
    def asked(k: int) -> tuple[int, dict[str, Any]]:
        return k, ask(running, question(farm, end - hours(k), farm=f"caller {k}"))[0]

    with ThreadPoolExecutor(12) as callers:
        found = list(callers.map(asked, range(36)))
    for k, one in found:
        assert one["farm"] == f"caller {k}"
        expected = bundle.forecaster.predict(windows_of(bundle, farm, end - hours(k)))
        assert numbers(one).tobytes() == expected.values[0].tobytes(), k


def test_one_caller_s_mistake_is_not_another_s(running: Running, farm: FarmData, end: datetime) -> None:
    good, bad = question(farm, end), question(farm, end)
    bad["power"] = bad["power"] | {"power_mw": ["x"] * len(bad["power"]["time"])}

    def sent(k: int) -> int:
        return running.client.post(PATH, json={"forecasts": [bad if k % 2 else good]}).status_code

    with ThreadPoolExecutor(8) as callers:
        assert list(callers.map(sent, range(16))) == [200, 422] * 8


@pytest.mark.parametrize(
    ("without", "rung", "said"),
    [
        ("power", "no_power", "No power is known"),
        ("weather", "no_weather", "weather"),
        ("both", "nothing", "No power is known"),
    ],
)
def test_what_is_missing_gives_a_rung_and_sentences_and_still_a_forecast(
    running: Running, farm: FarmData, end: datetime, without: str, rung: str, said: str
) -> None:
    asked = question(farm, end, issue_times=[iso(end)])
    for name in ("power", "weather"):
        if without in (name, "both"):
            del asked[name]
    (found,) = ask(running, asked)
    assert found["inputs"]["rung"] == rung
    assert any(said in sentence for sentence in found["inputs"]["missing"])
    assert (np.diff(numbers(found), axis=1) >= 0).all()
    assert numbers(found).shape == (6, 19)


def test_values_that_are_null_count_as_missing(running: Running, farm: FarmData, end: datetime) -> None:
    asked = question(farm, end, issue_times=[iso(end)])
    asked["power"]["power_mw"] = [None] * len(asked["power"]["time"])
    assert ask(running, asked)[0]["inputs"]["rung"] == "no_power"
    partly = question(farm, end)
    partly["power"]["power_mw"][-3:] = [None] * 3
    (found,) = ask(running, partly)
    assert found["issue_time"] == iso(end - hours(3))


def test_old_power_is_said_to_be_old(running: Running, farm: FarmData, end: datetime) -> None:
    asked = question(farm, end, issue_times=[iso(end)])
    asked["power"]["power_mw"][-2:] = [None, None]
    inputs = ask(running, asked)[0]["inputs"]
    assert inputs["power_age_minutes"] == 120
    assert inputs["newest_power"] == iso(end - hours(2))
    assert "The newest power is 2 steps old." in inputs["missing"]


def test_a_variable_that_is_not_sent_is_unknown_and_no_error(running: Running, farm: FarmData, end: datetime) -> None:
    asked = question(farm, end)
    del asked["weather"]["temperature_2m"]
    assert numbers(ask(running, asked)[0]).shape == (6, 19)


def test_a_weather_run_of_tomorrow_does_not_change_the_forecast_of_today(
    running: Running, farm: FarmData, end: datetime
) -> None:
    issue = end - hours(12)
    asked = question(farm, issue)
    (before,) = ask(running, asked)
    run = {
        "valid_time": [iso(issue + hours(lead)) for lead in range(1, 7)],
        "available_at": [iso(issue + hours(1))] * 6,
    }
    run |= {"wind_speed_100m": [25.0] * 6, "wind_direction_100m": [0.0] * 6, "temperature_2m": [280.0] * 6}
    later = {name: [*values, *run[name]] for name, values in asked["weather"].items()}
    (after,) = ask(running, asked | {"weather": later})
    assert after["quantiles_mw"] == before["quantiles_mw"]


def test_one_time_says_for_all_rows_when_they_became_known(running: Running, farm: FarmData, end: datetime) -> None:
    asked = question(farm, end)
    rows = weather_rows(farm, end).unique("valid_time", keep="last", maintain_order=True)
    columns = {"valid_time": [iso(t) for t in rows["valid_time"]]}
    columns |= {name: rows[name].to_list() for name in farm.variables}
    (one,) = ask(running, asked | {"weather": columns | {"available_at": iso(end - hours(30))}})
    (each,) = ask(running, asked | {"weather": columns | {"available_at": [iso(end - hours(30))] * rows.height}})
    assert one["quantiles_mw"] == each["quantiles_mw"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(0, 20.5, width=32), min_size=12, max_size=12), st.floats(0, 30))
def test_every_float_makes_the_way_to_the_client_unchanged(
    running: Running, bundle: Bundle, farm: FarmData, end: datetime, power: list[float], wind: float
) -> None:
    """Sent in JSON and answered in JSON, whatever the numbers are, they are those that the model gives here."""
    asked = question(farm, end)
    asked["power"]["power_mw"][-12:] = power
    asked["weather"]["wind_speed_100m"] = [wind] * len(asked["weather"]["valid_time"])
    (found,) = ask(running, asked)
    known = power_rows(farm, end)["power_mw"].to_list()[:-12] + power
    base = seen(farm, end)
    mine = FarmData(
        **{name: getattr(base, name) for name in ("name", "capacity_mw", "resolution", "weather_kind")},
        power=base.power.with_columns(pl.Series("power_mw", known)),
        weather=base.weather.with_columns(pl.lit(wind).alias("wind_speed_100m")),
        weather_resolution=base.weather_resolution,
    )
    times = np.array([end.replace(tzinfo=None)], "datetime64[us]")
    expected = bundle.forecaster.predict(build_windows(mine, bundle.forecaster.task, times).without_target())
    assert numbers(found).tobytes() == expected.values[0].tobytes()


def test_whole_numbers_and_fractions_may_stand_in_one_column(running: Running, farm: FarmData, end: datetime) -> None:
    asked = question(farm, end)
    count = len(asked["power"]["time"])
    asked["power"]["power_mw"] = [0, 1.5, None, *([2] * (count - 3))]
    whole = question(farm, end)
    whole["power"]["power_mw"] = [0.0, 1.5, None, *([2.0] * (count - 3))]
    assert ask(running, asked)[0]["quantiles_mw"] == ask(running, whole)[0]["quantiles_mw"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"power": {"time": ["2019-01-01T00:00:00Z"]}}, "forecasts[0]: column 'power_mw' is missing"),
        ({"power": {"time": ["x"], "power_mw": [1]}}, "'x' is not a time"),
        ({"power": {"time": [[1]], "power_mw": [1]}}, "must hold plain values"),
        ({"power": {"time": ["2019-01-01T00:00:00Z"], "power_mw": [99]}}, "capacity"),
        ({"power": {"time": ["2019-01-01T00:00:00Z", 1], "power_mw": [1, 2]}}, "mixes kinds of values"),
        ({"power": [1]}, "must be an object of columns"),
        ({"weather": {"valid_time": ["2019-01-01T00:00:00Z"], "wind_speed_100m": [4]}}, "'available_at' is missing"),
        ({"issue_times": []}, "0 issue times"),
        ({"issue_times": ["yesterday"]}, "'yesterday' is not a time"),
        ({"issue_times": "2019-01-01T00:00:00Z"}, "must be a list of times"),
        ({"issue_times": ["2020-02-09T00:30:00Z"]}, "grid"),
        ({"issue_times": ["2020-02-09T00:00:00Z"] * 1001}, "give 1 to 1000"),
        ({"farm": 3}, "must be a text"),
        ({"bundle": "smal"}, "Did you mean 'small'?"),
        ({"powr": {}}, "unknown key 'powr'"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    running: Running, farm: FarmData, end: datetime, change: dict[str, Any], said: str
) -> None:
    document = {"forecasts": [question(farm, end) | change]}
    assert said in refusal(running, document, 404 if "bundle" in change else 422)


@pytest.mark.parametrize(
    ("document", "status"), [({}, 422), ({"forecasts": []}, 422), ([], 400), ({"forecasts": [1]}, 422)]
)
def test_a_body_without_a_question_is_refused(running: Running, document: Any, status: int) -> None:
    assert refusal(running, document, status)


def test_without_power_and_issue_time_it_is_asked_for_which(running: Running) -> None:
    assert "say for which issue_times" in refusal(running, {"forecasts": [{}]})


def test_another_format_is_refused_before_anything_is_computed(running: Running, farm: FarmData, end: datetime) -> None:
    answer = running.client.post(f"{PATH}?format=xlsx", json={"forecasts": [question(farm, end)]})
    assert answer.status_code == 406
    assert "json, csv or parquet" in answer.json()["detail"]


def test_bundles_are_listed_with_what_their_backtest_promises(running: Running, bundle: Bundle) -> None:
    page = running.client.get("/v1/bundles").json()
    (card,) = page["items"]
    assert page["next"] is None
    assert card == running.client.get("/v1/bundles/small").json()
    task = bundle.forecaster.task
    assert (card["name"], card["farm"], card["horizon"]) == ("small", FARM, task.horizon)
    assert card["levels"] == list(task.levels)
    assert datetime.fromisoformat(card["trained_until"]) == bundle.trained_until
    assert set(card["ladder"]) == {"fresh", "older_run", "no_weather", "no_power", "nothing"}
    assert 0 < card["scores"]["crps"] < 0.3
    assert len(card["checksum"]) == 64
    assert "Did you mean 'small'?" in running.client.get("/v1/bundles/smal").json()["detail"]


@pytest.fixture
def three(start: Start, bundle: Bundle, tmp_path: Path) -> Running:
    """A service of three bundles in one folder."""
    import shutil

    for name in ("one", "three", "two"):
        shutil.copytree(bundle.folder, tmp_path / "shelf" / name)
    return start(bundles=(tmp_path / "shelf",))


def test_bundles_are_read_page_by_page(three: Running) -> None:
    names, path = [], "/v1/bundles?limit=2"
    while path:
        page = three.client.get(path).json()
        names += [card["name"] for card in page["items"]]
        path = page["next"]
    assert names == ["one", "three", "two"]


def test_where_several_bundles_are_served_the_question_says_which(
    three: Running, farm: FarmData, end: datetime
) -> None:
    assert "say which as bundle=NAME: one, three, two" in refusal(three, {"forecasts": [question(farm, end)]})
    found = ask(three, question(farm, end, bundle="two"), question(farm, end, bundle="one"))
    assert [one["bundle"]["name"] for one in found] == ["two", "one"]
    frame = table(farm, {FARM: end})
    answer = three.client.post(f"{PATH}?bundle=three", content=as_csv(frame), headers={"Content-Type": CSV})
    assert answer.json()["forecasts"][0]["bundle"]["name"] == "three"


def test_a_forecast_of_a_time_before_the_end_of_training_says_so(
    running: Running, bundle: Bundle, farm: FarmData
) -> None:
    (found,) = ask(running, question(farm, bundle.trained_until - timedelta(days=1)))
    assert any("trained on data later" in note for note in found["notes"])
