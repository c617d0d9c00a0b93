"""The configuration: every choice builds what it says, and every mistake is a sentence that names the key."""

import copy
import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from windcast.configs import GROUPS, POOLS, Settings, farm_of, settings
from windcast.data.farm import FarmData
from windcast.data.sources import SOURCES, load
from windcast.errors import ConfigError, SourceError, WindcastError
from windcast.models.base import MODELS, build
from windcast.models.calibration import Calibrated
from windcast.models.pool import Pool

TREE = Path(__file__).parents[1] / "src" / "windcast" / "configs"
SIMULATED = ("data=simulation", "data.days=4")
CHOICES = [
    *(f"{group}={file.stem}" for group in ("data", "task", "calibration") for file in (TREE / group).glob("*.yaml")),
    *(f"model={name}" for name in {*MODELS, *POOLS} - {"calibrated"}),
]


@pytest.fixture(scope="module")
def farm() -> FarmData:
    return load("simulation", {"days": 4})


def plain(document: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(document))


# --- what the tree offers --------------------------------------------------------------------------------------------


def test_there_is_a_choice_for_every_source() -> None:
    assert {file.stem for file in (TREE / "data").glob("*.yaml")} == set(SOURCES)


@pytest.mark.parametrize("choice", sorted(CHOICES))
def test_every_choice_composes_and_builds(choice: str, farm: FarmData) -> None:
    chosen = settings([choice])
    group, _, name = choice.partition("=")
    assert chosen.document[group]
    assert chosen.task(farm).horizon == chosen.document["task"]["horizon"]
    for config in chosen.contenders().values():
        build(config)
    assert chosen.plan(farm).issue_every >= farm.resolution
    if group == "model":
        assert chosen.model_name == name


@pytest.mark.parametrize("source", sorted(set(SOURCES) - {"files", "prepared"}))
def test_every_source_that_is_there_gives_a_farm(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.skip(f"{source} is not on this machine"))
    chosen = settings([f"data={source}", *(["data.days=4"] if source == "simulation" else [])])
    try:
        farm = chosen.farm()
    except SourceError as error:
        pytest.skip(str(error))
    assert chosen.task(farm).resolution == farm.resolution
    assert farm.start < chosen.plan(farm).start < farm.end


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"calibrated", "pool"}))
def test_a_models_choice_is_its_own_defaults(name: str) -> None:
    built = build(settings([f"model={name}", "calibration=none"]).forecaster())
    given = {f.name for f in fields(built.Config)} - {"seed", "threads"}
    assert built.name == name
    assert all(getattr(built.config, key) == getattr(built.Config(), key) for key in given)


@pytest.mark.parametrize("name", sorted(POOLS))
def test_a_pool_has_its_members_weights_and_changed_keys(name: str) -> None:
    built = build(settings([f"model={name}", "calibration=none"]).forecaster())
    assert isinstance(built, Pool)
    assert built.config.weights == {member: weight for member, (weight, _) in POOLS[name].items()}
    for member, (_, changed) in POOLS[name].items():
        config = build(built.config.members[member]).config
        due = {key: tuple(value) if isinstance(value, list) else value for key, value in changed.items()}
        assert {key: getattr(config, key) for key in due} == due


def test_the_default_is_the_calibrated_pool_on_the_embedded_farm() -> None:
    chosen = settings()
    built = build(chosen.forecaster())
    assert isinstance(built, Calibrated)
    assert chosen.document["data"]["source"] == "la_haute_borne"
    assert list(chosen.contenders()) == ["climatology", "persistence", "power_curve", "pool", "pool, calibrated"]


@pytest.mark.parametrize(("data", "history"), [("gefcom2014", 0), ("klim", 24)])
def test_a_published_data_set_brings_its_own_task_and_pool_unless_told_otherwise(data: str, history: int) -> None:
    own = settings([f"data={data}"])
    assert own.model_name in POOLS
    assert own.document["model"] == settings([f"model={own.model_name}"]).document["model"]
    assert own.document["task"]["history"] == history
    other = settings([f"data={data}", "model=gbm", "task=hours_48"])
    assert (other.model_name, other.document["task"]["horizon"]) == ("gbm", 48)


# --- overrides -------------------------------------------------------------------------------------------------------


def test_an_override_reaches_the_model() -> None:
    built = build(
        settings(["model=gbm", "calibration=none", "model.num_leaves=7", "model.knots=[0.1,0.9]"]).forecaster()
    )
    assert (built.config.num_leaves, built.config.knots) == (7, (0.1, 0.9))


def test_an_override_reaches_the_member_of_a_pool() -> None:
    members = settings(["model=pool", "model.members.gbm.rounds=3"]).document["model"]["members"]
    assert members["gbm"]["rounds"] == 3


def test_seed_and_threads_reach_every_model_that_has_them() -> None:
    chosen = settings(["model=gbm", "seed=11", "threads=2", f"backtest.against=[{','.join(POOLS)}]"])
    contenders = chosen.contenders()
    members = [member for pool in POOLS for member in contenders[pool]["members"].values()]
    assert len(members) == sum(len(pool) for pool in POOLS.values())
    assert {(m["seed"], m["threads"]) for m in [contenders["gbm"], *members]} == {(11, 2)}


def test_a_reference_model_is_the_one_that_its_name_chooses() -> None:
    against = settings(["model=gbm", f"backtest.against=[{','.join(POOLS)}]"]).contenders()
    for name in POOLS:
        assert against[name] == settings([f"model={name}"]).document["model"]


def test_levels_are_a_count_or_a_list(farm: FarmData) -> None:
    assert settings(["task.levels=3"]).task(farm).levels == (0.25, 0.5, 0.75)
    assert settings(["task.levels=[0.1,0.5]"]).task(farm).levels == (0.1, 0.5)


def test_a_count_may_be_written_as_a_whole_float() -> None:
    assert settings(["model=gbm", "model.max_rows=1e4"]).document["model"]["max_rows"] == 10_000


def test_the_plan_is_in_utc_with_a_quarter_of_the_data_to_score_by_default(farm: FarmData) -> None:
    assert settings(SIMULATED).plan(farm).start == datetime(2020, 1, 4, tzinfo=UTC)
    overrides = ["backtest.start=2020-01-03T06:00+02:00", "backtest.refit_every_days=0.5", "backtest.end=2020-01-04"]
    plan = settings([*SIMULATED, *overrides, "backtest.train_from=2020-01-02"]).plan(farm)
    assert plan.start == datetime(2020, 1, 3, 4, tzinfo=UTC)
    assert plan.end == datetime(2020, 1, 4, tzinfo=UTC)
    assert plan.train_from == datetime(2020, 1, 2, tzinfo=UTC)
    assert plan.refit_every == timedelta(hours=12)


def test_options_of_the_source_reach_it() -> None:
    farm = settings([*SIMULATED, "data.seed=5"]).farm()
    assert farm.checksum == load("simulation", {"days": 4, "seed": 5}).checksum
    assert farm_of({"source": "la_haute_borne", "weather": ["era5"]}).variables[0].endswith("era5")


@pytest.mark.parametrize(
    "overrides",
    [(), ("data=simulation",), ("data=gefcom2014",), ("data=files", "model=mlp"), ("task.levels=[0.1,0.9]",)],
)
def test_the_document_survives_json(overrides: tuple[str, ...], farm: FarmData) -> None:
    chosen = settings(overrides)
    again = Settings(plain(chosen.document))
    assert again == chosen
    assert again.task(farm) == chosen.task(farm)
    assert again.forecaster() == chosen.forecaster()
    assert again.contenders() == chosen.contenders()
    assert again.plan(farm) == chosen.plan(farm)


# --- mistakes --------------------------------------------------------------------------------------------------------

MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("data=klimm",), "Did you mean 'klim'?"),
    (("model=gmb",), "Did you mean 'gbm'?"),
    (("model=calibrated",), "unknown model 'calibrated'"),
    (("model=[gbm,mlp]",), "unknown model"),
    (("modl=gbm",), "Did you mean 'model'?"),
    (("sed=3",), "Did you mean 'seed'?"),
    (("model=gbm", "model.num_leafs=3"), "Did you mean 'model.num_leaves'?"),
    (("model=pool", "model.members.gmb.rounds=3"), "Did you mean 'model.members.gbm'?"),
    (("backtest.strat=2015-01-01",), "Did you mean 'backtest.start'?"),
    (("seed.x=3",), "seed is a single value"),
    (("model_choice=gbm",), "unknown key 'model_choice'"),
    (("hydra.run.dir=x",), "unknown key 'hydra.run.dir'"),
    (("backtest=3",), "Set its keys one by one: backtest.start"),
    (("model=pool", "model.weights={gbm:1}"), "Set its keys one by one: model.weights."),
    (("+foo=1",), "'+foo=1' is not key=value"),
    (("++seed=1",), "'++seed=1' is not key=value"),
    (("~model",), "'~model' is not key=value"),
    (("~task.horizon=48",), "is not key=value"),
    (("",), "'' is not key=value"),
    (("=3",), "'=3' is not key=value"),
    (("model@x=gbm",), "is not key=value"),
    (("gbm",), "For example"),
    (("data=klim", "data=simulation"), "'data' is given twice"),
    (("seed=1", "seed=2"), "'seed' is given twice"),
    (("seed=${sed}",), "sed"),
    (("seed=1,2",), "seed"),
    (("seed=[1",), "configuration"),
    (("seed=x",), "seed is 'x'; it must be a whole number"),
    (("seed=-1",), "seed is -1"),
    (("seed=1.5",), "seed is 1.5; it must be a whole number"),
    (("seed=null",), "seed is null"),
    (("seed=true",), "seed is True"),
    (("threads=many",), "threads is 'many'"),
    (("threads=-2",), "threads is -2"),
    (("task.levels=abc",), "task.levels is 'abc'; it must be a whole number or a list"),
    (("task.levels=0",), "task.levels is 0"),
    (("task.levels=[]",), "task.levels"),
    (("task.levels=[0.9,0.1]",), "task.levels"),
    (("task.levels=[a]",), "task.levels[0] is 'a'; it must be a number"),
    (("task.horizon=abc",), "task.horizon is 'abc'"),
    (("task.horizon=0",), "task.horizon is 0"),
    (("task.history=-1",), "task.history is -1"),
    (("model=gbm", "model.num_leaves=abc"), "model.num_leaves is 'abc'; it must be a whole number"),
    (("model=gbm", "model.num_leaves="), "model.num_leaves is ''"),
    (("model=gbm", "model.rounds=nan"), "model.rounds is nan"),
    (("model=gbm", "model.learning_rate=inf"), "model.learning_rate is inf"),
    (("model=gbm", "model.learning_rate=fast"), "model.learning_rate is 'fast'; it must be a number"),
    (("model=gbm", "model.knots=[0.5]"), "model.knots"),
    (("model=gbm", "model.knots=0.5"), "model.knots is 0.5; it must be a list"),
    (("model=gbm", "model.seed=-4"), "model.seed is -4"),
    (("model=gbm", "model.name=gmb"), "Did you mean 'gbm'?"),
    (("model=gbm", "model.name=climatology"), "model.knots"),
    (("model=pool", "model.members.gbm.rounds=abc"), "model.members.gbm.rounds is 'abc'"),
    (("model=pool", "model.weights.gbm=-1"), "model.weights.gbm is -1"),
    (("model=pool", "model.weights.gbm=x"), "model.weights.gbm is 'x'"),
    (("calibration.rate=x",), "calibration.rate is 'x'"),
    (("calibration.rate=0.7",), "calibration.rate is 0.7"),
    (("calibration.name=gbm",), "calibration.name is 'gbm'"),
    (("calibration=none", "calibration.rate=0.1"), "unknown key 'calibration.rate'"),
    (("backtest.start=yesterday",), "backtest.start is 'yesterday'; give a UTC time"),
    (("backtest.start=2015",), "backtest.start is '2015'"),
    (("backtest.end=0001-01-01T00:00+09:00",), "backtest.end"),
    (("backtest.train_from=[1]",), "backtest.train_from is [1]"),
    (("backtest.issue_every_hours=0",), "backtest.issue_every_hours is 0"),
    (("backtest.train_every_hours=-3",), "backtest.train_every_hours is -3"),
    (("backtest.refit_every_days=1e12",), "backtest.refit_every_days is 1e+12"),
    (("backtest.issue_offset_hours=50",), "backtest.issue_offset_hours is 50"),
    (("backtest.against=climatology",), "backtest.against is 'climatology'; it must be a list"),
    (("backtest.against=[persistense]",), "Did you mean 'persistence'?"),
    (("backtest.against=[climatology,climatology]",), "names a model twice"),
    (("data=simulation", "data.days=many"), "data.days is 'many'; it must be a whole number"),
    (("data=simulation", "data.seed=-3"), "data.seed is -3"),
    (("data.weather=era5",), "data.weather is 'era5'; it must be a list"),
    (("data.source=nowhere",), "unknown data source 'nowhere'"),
    (("data.source=klim",), "data.resolution_minutes"),
]


@pytest.mark.parametrize(("overrides", "sentence"), MISTAKES, ids=[" ".join(o) for o, _ in MISTAKES])
def test_a_mistake_is_named_when_the_configuration_is_composed(overrides: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings(overrides)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("data=simulation", "data.days=-3"), "simulation.days is -3"),
        (("data.resolution_minutes=7",), "data.resolution_minutes is 7"),
        (("data.weather=[gfs]",), "data.weather has 'gfs'"),
        (("data=files",), "farm.yaml"),
        (("data=klim", "data.path=nowhere.csv"), "nowhere.csv"),
        (("data=gefcom2014", "data.zone=11"), "data.zone is 11"),
    ],
)
def test_a_value_that_the_source_cannot_take_is_named_by_it(
    overrides: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WindcastError, match=sentence.replace(".", r"\.")):
        settings(overrides).farm()


@pytest.mark.parametrize("name", ["seed", "task", "model", "calibration", "backtest", "data", "model_choice"])
def test_a_record_that_lost_a_part_is_refused_with_its_name(name: str) -> None:
    document = copy.deepcopy(settings(SIMULATED).document)
    del document[name]
    with pytest.raises(ConfigError, match=f"no '{name}'"):
        Settings(document)


@pytest.mark.parametrize(
    ("section", "value", "sentence"),
    [
        ("task", None, "task is None"),
        ("task", {"horizon": 3}, "task.history is missing"),
        ("data", {}, "data.source is not given"),
        ("model", {"name": "pool", "members": {"a": 3}, "weights": {}}, "model.members.a is 3"),
        ("model", {"name": "pool", "members": {"a": {}}, "weights": {}}, "model.members.a.name"),
        ("model", {"name": "pool", "members": [], "weights": {}}, "model.members is []; it must be keys and values"),
        ("elsewhere", 1, "unknown key 'elsewhere'"),
    ],
)
def test_a_record_that_was_spoiled_is_refused_with_the_key(section: str, value: Any, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        Settings(settings(SIMULATED).document | {section: value})
    assert sentence in str(error.value)


ODD = ["[1,a]", "{a: 1}", "null", "${x}", "''", "1,2", "a=b", "\\"]
VALUES = st.one_of(st.text(max_size=12), st.integers().map(str), st.floats().map(str), st.sampled_from(ODD))
KEYS = st.sampled_from(["seed", "data", "task.levels", "task.horizon", "model.rounds", "backtest.start", "foo", "~x"])


@hypothesis_settings(max_examples=25, deadline=None, derandomize=True)
@given(key=KEYS, value=VALUES)
def test_whatever_is_typed_either_composes_or_is_a_sentence(key: str, value: str) -> None:
    try:
        chosen = settings(["model=climatology" if key != "model.rounds" else "model=gbm", f"{key}={value}"])
    except ConfigError:
        return
    assert Settings(plain(chosen.document)) == chosen


def test_the_groups_are_the_folders_of_the_tree_and_the_models() -> None:
    folders = {folder.name for folder in TREE.iterdir() if list(folder.glob("*.yaml"))}
    assert set(GROUPS) == folders - {"sweep"} | {"model"}  # a sweep's space is no part of what a run is made of


def test_a_key_without_its_group_is_found_in_the_group() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'horizon'\. Did you mean 'task\.horizon'\?"):
        settings(["horizon=3"])
