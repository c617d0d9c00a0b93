"""Search spaces: of the Hydra tree, from the command line, and from a W&B sweep."""

import math
from pathlib import Path
from typing import Any

import pytest

from windcast.configs import settings, sweeps
from windcast.configs.sweep_space import Range, read
from windcast.configs.sweeps import choose
from windcast.errors import ConfigError

SPACES = ("forest", "gbm", "mlp", "nowcast", "original", "patchtst", "pool", "shared", "tsai_patchtst")


@pytest.mark.parametrize("name", SPACES)
def test_every_space_of_the_tree_fits_its_model_at_both_ends(name: str) -> None:
    chosen = choose([f"sweep={name}"])
    assert chosen.search.space
    for end in (0, -1):
        ends = {key: (one.choices or (one.low, one.high))[end] for key, one in chosen.search.space.items()}
        text = [f"{key}={str(value).replace(' ', '')}" for key, value in ends.items()]
        settings([*(f"{key}={value}" for key, value in chosen.overrides.items()), *text])


def test_the_spaces_tested_are_those_of_the_tree() -> None:
    assert sorted(sweeps._named()) == sorted(SPACES)


def test_the_original_space_is_the_one_it_was_tuned_in() -> None:
    chosen = choose(["sweep=original"])
    assert chosen.settings.model_name == "tsai_patchtst"
    assert chosen.search.sampler == "tpe"
    ends = {key: (one.low, one.high) for key, one in chosen.search.space.items()}
    assert ends == {
        "model.layers": (1, 5),
        "model.d_model": (8, 64),
        "model.d_ff": (128, 384),
        "model.dropout": (0.0, 0.6),
    }


def test_without_a_name_the_space_is_that_of_the_model() -> None:
    assert choose(["model=mlp"]).search.space == choose(["sweep=mlp"]).search.space
    with pytest.raises(ConfigError, match=r"no search space for model=climatology.*gbm.*sweep\.space"):
        choose(["model=climatology"])


def test_ranges_and_budgets_are_set_on_the_command_line() -> None:
    search = choose(
        [
            "model=gbm",
            "sweep.trials=7",
            "sweep.minutes=1.5",
            "sweep.space.model.rounds={low:5,high:9}",
            "sweep.space.model.num_leaves.high=31",
            "sweep.space.model.learning_rate=null",
            "sweep.space.model.max_bin=[63,127]",
            "sweep.space.model.missing_share={low:0,high:1}",
        ]
    ).search
    assert (search.trials, search.minutes) == (7, 1.5)
    assert search.space["model.rounds"] == Range("model.rounds", 5, 9)
    assert search.space["model.num_leaves"] == Range("model.num_leaves", 7, 31, log=True)
    assert "model.learning_rate" not in search.space
    assert search.space["model.max_bin"].choices == (63, 127)
    share = search.space["model.missing_share"]
    assert isinstance(share.low, float), "a key that holds fractions is searched in fractions"
    assert not share.whole


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sweep=gmb", ("unknown sweep 'gmb'", "Did you mean 'gbm'?")),
        ("sweep.trails=3", ("sweep.trails", "Did you mean 'sweep.trials'?")),
        ("sweep.trials=0", ("sweep.trials is 0",)),
        ("sweep.trials=many", ("sweep.trials is 'many'",)),
        ("sweep.minutes=-1", ("sweep.minutes is -1",)),
        ("sweep.sampler=bayes", ("unknown sweep.sampler 'bayes'", "tpe")),
        ("sweep.sampler=grid", ("has no step, which a grid needs",)),
        ("sweep.pruner=mean", ("Did you mean 'median'?",)),
        ("sweep.validation_share=1", ("sweep.validation_share is 1",)),
        ("sweep.space.model.num_leafs={low:1,high:2}", ("'model.num_leafs'", "Did you mean 'model.num_leaves'?")),
        ("sweep.space.model.num_leafs=null", ("'model.num_leafs'", "Did you mean 'model.num_leaves'?")),
        ("sweep.space.task.horizon={low:1,high:2}", ("task.horizon", "of different questions")),
        ("sweep.space.backtest.start=[2015-01-01]", ("backtest.start", "of different questions")),
        ("sweep.space.model.rounds={low:9,high:5}", ("from 9 to 5",)),
        ("sweep.space.model.rounds={low:0,high:5,log:true}", ("logarithmic and starts at 0",)),
        ("sweep.space.model.rounds={low:1,high:5,log:maybe}", ("log is 'maybe'",)),
        ("sweep.space.model.rounds={low:1,high:5,log:true,step:2}", ("logarithmic and has a step",)),
        ("sweep.space.model.rounds={low:1,high:5,step:0}", ("step of 0",)),
        ("sweep.space.model.rounds={low:1}", ("lacks low or high",)),
        ("sweep.space.model.rounds={low:1,high:some}", ("high is 'some'",)),
        ("sweep.space.model.rounds={low:1,hihg:5}", ("'hihg'", "Did you mean 'high'?")),
        ("sweep.space.model.rounds={choices:[]}", ("at least one value",)),
        ("sweep.space.model.rounds=5", ("is 5. Give low and high",)),
        ("sweep.space.model.rounds={low:1", ("sweep.space.model.rounds={low:1",)),
    ],
)
def test_a_mistake_in_a_search_names_the_key(override: str, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as error:
        choose(["model=gbm", override])
    for word in words:
        assert word in str(error.value)


def test_a_search_that_was_written_down_is_read_back() -> None:
    chosen = choose(["model=mlp", "sweep.minutes=3", "sweep.space.model.batch={low:32,high:128,step:32}"])
    document = chosen.settings.document
    assert sweeps.Search.from_dict(chosen.search.to_dict(), document) == chosen.search
    with pytest.raises(ConfigError, match="empty"):
        read({}, document)


# ---- W&B ----

WANDB = """
program: train.py
method: bayes
metric: {name: valid_loss, goal: minimize}
run_cap: 12
early_terminate: {type: hyperband, min_iter: 2, eta: 4}
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 0.1}
  decay: {distribution: log_uniform, min: -7, max: -3}
  epochs: {min: 2, max: 9}
  batch: {distribution: q_uniform, min: 32, max: 128, q: 32}
  noise: {distribution: uniform, min: 0, max: 1}
  seeds: {values: [1, 2], probabilities: [0.9, 0.1]}
  hidden: {value: [16, 16]}
  task: {parameters: {history: {distribution: int_uniform, min: 6, max: 24}}}
"""


def wandb(folder: Path, text: str) -> Path:
    file = folder / "sweep.yaml"
    file.write_text(text)
    return file


def test_a_wandb_sweep_is_a_search_space(tmp_path: Path) -> None:
    chosen = choose(["model=mlp"], file=wandb(tmp_path, WANDB))
    search = chosen.search
    assert (search.sampler, search.pruner, search.warmup, search.trials) == ("tpe", "hyperband", 2, 12)
    assert chosen.settings.document["model"]["hidden"] == [16, 16]
    assert chosen.overrides["model.hidden"] == "[16,16]"
    assert search.space == {
        "model.learning_rate": Range("model.learning_rate", 1e-4, 0.1, log=True),
        "model.decay": Range("model.decay", math.exp(-7), math.exp(-3), log=True),
        "model.epochs": Range("model.epochs", 2, 9),
        "model.batch": Range("model.batch", 32, 128, step=32),
        "model.noise": Range("model.noise", 0.0, 1.0),
        "model.seeds": Range("model.seeds", choices=(1, 2)),
        "task.history": Range("task.history", 6, 24),
    }
    told = " ".join(chosen.notes)
    for word in ("valid_loss", "program", "eta is not used", "model.seeds: the probabilities are not used"):
        assert word in told


def test_what_the_command_line_says_goes_before_the_file(tmp_path: Path) -> None:
    file = wandb(tmp_path, WANDB)
    chosen = choose(
        ["model=mlp", "model.hidden=[8]", "sweep.trials=3", "sweep.space.model.epochs={low:1,high:2}"], file=file
    )
    assert chosen.settings.document["model"]["hidden"] == [8]
    assert chosen.search.trials == 3
    assert chosen.search.space["model.epochs"].high == 2


def test_a_grid_of_wandb_is_a_grid(tmp_path: Path) -> None:
    file = wandb(tmp_path, "{method: grid, parameters: {epochs: {min: 2, max: 4}, seeds: {values: [1, 2]}}}")
    search = choose(["model=mlp"], file=file).search
    assert (search.sampler, search.pruner) == ("grid", "none")
    assert search.space["model.epochs"].grid() == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a list", ("not a W&B sweep",)),
        ("{method: bayes", ("cannot be read",)),
        ("{method: bayse, parameters: {}}", ("Did you mean 'bayes'?",)),
        ("{method: bayes, paramters: {}, parameters: {}}", ("'paramters'", "Did you mean 'parameters'?")),
        ("{method: bayes, parameters: {}}", ("empty",)),
        ("{method: bayes, parameters: {epochs: 5}}", ("epochs is 5",)),
        ("{method: bayes, parameters: {epochs: {min: 5}}}", ("lacks min and max",)),
        ("{method: bayes, parameters: {epochs: {min: 5, max: lots}}}", ("'lots' is not a number",)),
        ("{method: bayes, parameters: {epochs: {distribution: beta, min: 1, max: 2}}}", ("'beta'", "uniform")),
        ("{method: bayes, parameters: {epohcs: {min: 1, max: 2}}}", ("epohcs", "Did you mean 'model.epochs'?")),
    ],
)
def test_a_wandb_sweep_that_cannot_be_is_refused_by_name(text: str, words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        choose(["model=mlp"], file=wandb(tmp_path, text))
    for word in words:
        assert word in str(error.value)


def test_a_file_and_a_name_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose one of them"):
        choose(["sweep=mlp"], file=wandb(tmp_path, WANDB))


@pytest.mark.parametrize("stop", [{"type": "envelope"}, None])
def test_an_early_end_that_is_unknown_is_said(stop: Any, tmp_path: Path) -> None:
    text = f"{{method: random, early_terminate: {stop or 'null'}, parameters: {{epochs: {{min: 1, max: 2}}}}}}"
    chosen = choose(["model=mlp"], file=wandb(tmp_path, text.replace("'", "")))
    assert chosen.search.pruner == ("median" if stop else "none")
    assert bool(chosen.notes) == bool(stop)
