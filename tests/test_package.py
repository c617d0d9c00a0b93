"""The package as a whole: light to import, complete, and without code that runs what it reads."""

import ast
import subprocess
import sys
from importlib.metadata import requires
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

import windcast
from windcast.data.sources.mapping import parse

SOURCE = Path(windcast.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
HEAVY = ("numpy", "polars", "lightgbm", "scipy", "matplotlib", "hydra", "pandera", "rich")
# what turns data into code, or can
RUNS_CODE = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
CALLS = {"eval", "exec", "compile", "__import__"}


def test_importing_windcast_imports_nothing_heavy() -> None:
    code = f"import sys, windcast; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_help_needs_nothing_heavy() -> None:
    code = (
        "import sys; from windcast.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        f"print([m for m in {HEAVY[:-1]} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", windcast.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    found = getattr(windcast, name)
    assert found.__name__ == name
    assert (found.__doc__ or "").strip()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'forecaster'"):
        windcast.forecaster  # noqa: B018


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_module_runs_what_it_reads(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not RUNS_CODE & {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in RUNS_CODE
        elif isinstance(node, ast.Call):
            assert not (isinstance(node.func, ast.Name) and node.func.id in CALLS)
            called = ast.unparse(node.func)
            assert called not in {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.load", "os.system"}
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert keywords.get("allow_pickle", "False") == "False"
            assert keywords.get("shell", "False") == "False"


def test_every_module_says_what_it_is() -> None:
    assert [m.name for m in MODULES if not ast.get_docstring(ast.parse(m.read_text(encoding="utf-8")))] == []


def test_the_package_is_typed_and_carries_its_data_and_configuration() -> None:
    package = files("windcast")
    assert (package / "py.typed").is_file()
    for name in ("la_haute_borne_hourly.parquet", "la_haute_borne_10min.parquet", "la_haute_borne_weather.parquet"):
        assert (package / "data" / "embedded" / name).is_file()
    assert (package / "configs" / "config.yaml").is_file()
    assert (package / "evaluation" / "report.html.j2").is_file()


def test_the_core_depends_on_nothing_from_the_extras() -> None:
    core = " ".join(r for r in requires("windcast") or [] if "extra ==" not in r)
    assert not [name for name in ("torch", "fastapi", "mlflow", "ray", "pandas", "onnx") if name in core.split()]


def test_the_farm_yaml_of_the_readme_is_one_that_windcast_reads() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    example = readme.split('```yaml title="farm.yaml"\n')[1].split("```")[0]
    mapping = parse(yaml.safe_load(example))
    assert mapping.weather is not None
    assert set(mapping.weather.variables) == {"wind_speed_100m", "wind_direction_100m"}
