"""What is swept and how: the `sweep` group of the Hydra tree beside the settings that every trial starts from."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from windcast.configs import Settings, pairs, settings, sweep_space, wandb_sweeps
from windcast.configs.sweep_space import Range
from windcast.errors import ConfigError, unknown_name

ROOT, SPACE = "sweep", "sweep.space."
SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("median", "hyperband", "none")
BUDGETS = ("sweep.trials", "sweep.minutes")


@dataclass(frozen=True)
class Search:
    """space: ranges by key. trials: that end. minutes: of one call. startup: random trials before the Bayesian ones.

    warmup: epochs in which nothing is pruned. validation_share: of the time before the test, at its end.
    Raises ConfigError naming the key for an impossible value.
    """

    space: dict[str, Range]
    trials: int = 50
    minutes: float | None = None
    sampler: str = "tpe"
    startup: int = 10
    pruner: str = "median"
    warmup: int = 1
    validation_share: float = 0.2

    def __post_init__(self) -> None:
        for key, known in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
            if getattr(self, key) not in known:
                raise ConfigError(unknown_name(f"sweep.{key}", str(getattr(self, key)), known))
        for key, least in (("trials", 1), ("startup", 1), ("warmup", 0)):
            value = getattr(self, key)
            if type(value) is not int or value < least:
                raise ConfigError(f"sweep.{key} is {value!r}; it must be a whole number of at least {least}.")
        for key, most in (("minutes", 1e6), ("validation_share", 0.9)):
            value = getattr(self, key)
            if key == "minutes" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
                raise ConfigError(f"sweep.{key} is {value!r}; give a number above 0 and at most {most:g}.")
        if self.sampler == "grid":
            for one in self.space.values():
                one.grid()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"space": {key: one.to_dict() for key, one in self.space.items()}}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any], document: Mapping[str, Any]) -> "Search":
        return cls(**{**given, "space": sweep_space.read(given["space"], document)})

    def with_budgets(self, overrides: Sequence[str]) -> "Search":
        """With the budgets that such overrides as sweep.trials=60 name; the others are of no interest here."""
        found = {key.removeprefix("sweep."): _parsed(o) for o in overrides if (key := o.partition("=")[0]) in BUDGETS}
        return replace(self, **found)


@dataclass(frozen=True)
class Choice:
    """overrides: what makes `settings` again. notes: sentences on what of a search space file could not be honoured."""

    settings: Settings
    search: Search
    overrides: dict[str, str]
    notes: list[str] = field(default_factory=list)


def choose(overrides: Sequence[str] = (), *, file: Path | None = None) -> Choice:
    """Overrides such as `model=gbm sweep=gbm sweep.trials=30 sweep.space.model.rounds={low:10,high:90}`.

    Without `sweep=` the space is that of the model. file: a W&B sweep in YAML, in place of it.
    Raises ConfigError as `settings` does, and for a search that cannot be.
    """
    given = pairs(overrides)
    plain = {key: value for key, value in given.items() if key != ROOT and not key.startswith(f"{ROOT}.")}
    changed = {key: value for key, value in given.items() if key.startswith(f"{ROOT}.")}
    if file is not None and ROOT in given:
        raise ConfigError(f"sweep={given[ROOT]} and a file of its own space, {file}: choose one of them.")
    read = None if file is None else wandb_sweeps.read(file)
    named = given.get(ROOT)
    if named is not None and "model" not in plain:
        implied = _composed(named, [])["model"]
        plain |= {} if implied is None else {"model": str(implied)}
    if read is not None:
        plain = {key: value for key, value in read.fixed.items() if key not in plain} | plain
    chosen = settings([f"{key}={value}" for key, value in plain.items()])
    own = [f"{key}={value}" for key, value in changed.items() if not key.startswith(SPACE)]
    ranges = [f"{key}={value}" for key, value in changed.items() if key.startswith(SPACE)]
    if read is not None:
        base = {**_composed(None, []), **read.search, **_changes(own)}
    elif named is None and chosen.model_name not in _named():
        if not ranges:
            raise ConfigError(
                f"there is no search space for model={chosen.model_name}. Choose one with sweep=NAME "
                f"({', '.join(_named())}), or give ranges as in sweep.space.model.KEY={{low:1,high:5}}."
            )
        base = _composed(None, own)
    else:
        base = _composed(named or chosen.model_name, own)
    space = dict(base.pop("space"))
    base.pop("model")
    for override in ranges:
        _change(space, override)
    return Choice(
        chosen,
        Search(**base, space=sweep_space.read(space, chosen.document)),
        plain,
        [] if read is None else read.notes,
    )


@cache
def _named() -> tuple[str, ...]:
    GlobalHydra.instance().clear()
    with initialize_config_module("windcast.configs", version_base="1.3"):
        return tuple(map(str, GlobalHydra.instance().config_loader().get_group_options(ROOT)))


def _composed(name: str | None, overrides: Sequence[str]) -> dict[str, Any]:
    """The `sweep` section of the tree, with the space of that name."""
    if name is not None and name not in _named():
        raise ConfigError(unknown_name("sweep", name, _named()))
    return deepcopy(_section(name)) | _changes(overrides)


@cache
def _section(name: str | None) -> dict[str, Any]:
    GlobalHydra.instance().clear()
    with initialize_config_module("windcast.configs", version_base="1.3"):
        config = compose("sweeping", overrides=["~sweep" if name is None else f"sweep={name}"])
    found = OmegaConf.to_container(config[ROOT], resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def _changes(overrides: Sequence[str]) -> dict[str, Any]:
    """Values by the name below `sweep`. Raises ConfigError for an unknown one."""
    found = {}
    for override in overrides:
        key = override.partition("=")[0]
        known = [f"sweep.{one.name}" for one in fields(Search)]
        if key not in known or key == "sweep.space":
            raise ConfigError(unknown_name("key", key, [one for one in known if one != "sweep.space"]))
        found[key.removeprefix("sweep.")] = _parsed(override)
    return found


def _change(space: dict[str, Any], override: str) -> None:
    """Sets the range of a key, or one word of it, or with null takes the key out."""
    key, value = override.partition("=")[0].removeprefix(SPACE), _parsed(override)
    above, _, word = key.rpartition(".")
    if word in sweep_space.PARTS and above in space:
        space[above] = {**space[above], word: value}
    elif value is None:
        if key not in space:
            raise ConfigError(unknown_name("key in the search space", key, space))
        del space[key]
    else:
        space[key] = value


def _parsed(override: str) -> Any:
    """The value of `key=value` in Hydra's grammar."""
    try:
        value = OverridesParser.create().parse_override(override).value()
    except HydraException as error:
        raise ConfigError(f"{override}: {str(error).splitlines()[0]}") from None
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)
