"""The images as they were built by `make images`, run with little memory, a read-only root and no capabilities."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import ENGINE, SERVE, TRAIN, Served, engine, inside, inspected, serving

from windcast.configs import settings
from windcast.registry.bundles import Bundle
from windcast.serving import keys

pytestmark = pytest.mark.skipif("WINDCAST_IMAGES" not in os.environ, reason="make images builds images and runs this")

BASE = os.environ.get("BASE", "docker.io/library/python:3.11-slim-bookworm")
MOST_BYTES = 350_000_000
USER = 10001
SMALL = ("data=simulation", "data.days=60", "task.horizon=6", "task.levels=9", "threads=1", "tracking=none")
IMPORT_ALL = """
import importlib, pkgutil, windcast
elsewhere = ("torch", "lightning", "onnx", "mlflow", "wandb", "optuna", "tsai", "safetensors", "Optuna")
for module in pkgutil.walk_packages(windcast.__path__, "windcast."):
    if module.name.endswith("__main__") or ".migrations." in module.name:
        continue
    try:
        importlib.import_module(module.name)
    except Exception as error:
        if not any(name in str(error) for name in elsewhere):
            print(module.name, repr(error))
"""


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a file of keys, and the one key in it."""
    folder = tmp_path_factory.mktemp("keys")
    said = keys.add(folder / "keys.json", "test", farms=["*"], scopes=("read", "write"))
    _readable(folder)
    return folder, said


@pytest.fixture(scope="module")
def served(forest: Bundle, token: tuple[Path, str]) -> Iterator[Served]:
    _readable(forest.folder.parent)
    with serving(forest.folder.parent, token[0]) as container:
        yield container


@pytest.fixture(scope="module")
def allowed(token: tuple[Path, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {token[1]}"}


@pytest.fixture(scope="module")
def upload() -> bytes:
    """A farm's last days of power and the weather around them, as CSV."""
    farm = settings(SMALL).farm()
    power = farm.power.tail(48)
    weather = farm.weather.sort("available_at").unique("valid_time", keep="last").drop("available_at")
    both = power.select("time", "power_mw").join(weather, left_on="time", right_on="valid_time", how="left")
    return both.sort("time").write_csv().encode()


def test_the_serving_image_is_at_most_350_mb_larger_than_its_base():
    added = inspected(SERVE)["Size"] - inspected(BASE)["Size"]
    assert 0 < added <= MOST_BYTES, f"{added / 1e6:.1f} MB"


def test_the_serving_image_holds_no_pytorch_no_pandas_no_compiler_and_no_pip():
    modules, programs = ("torch", "lightning", "pandas", "pyarrow", "pip"), ("gcc", "cc", "ld", "make", "pip")
    look = f"""
from importlib.util import find_spec
from shutil import which
print([one for one in {modules} if find_spec(one)], [one for one in {programs} if which(one)])"""
    assert inside(SERVE, "python3", "-c", look).strip() == "[] []"


def test_every_module_of_windcast_can_be_imported_in_the_serving_image_unless_an_extra_is_missing():
    assert inside(SERVE, "python3", "-c", IMPORT_ALL) == ""


def test_the_image_of_the_service_says_what_it_is_and_who_runs_it():
    for image in (SERVE, TRAIN):
        config = inspected(image)["Config"]
        assert config["User"] == f"{USER}:{USER}"
        assert config["Labels"]["org.opencontainers.image.title"] == image.removeprefix("localhost/")
        assert len(config["Labels"]["org.opencontainers.image.revision"]) == 40
        assert inspected(image).get("Healthcheck") or config.get("Healthcheck")


def test_the_service_is_ready_within_three_seconds_of_its_start(served, forest, token):
    again = []
    for _ in range(2):
        with serving(forest.folder.parent, token[0]) as container:
            again.append(container.ready_s)
    assert min(served.ready_s, *again) <= 3.0, [served.ready_s, *again]


def test_the_service_runs_without_root_without_capabilities_and_cannot_gain_any(served):
    process = served.process
    assert set(process["Uid"].split()) == {str(USER)}
    assert int(process["CapEff"], 16) == int(process["CapBnd"], 16) == 0
    assert process["NoNewPrivs"] == "1"


def test_the_service_forecasts_in_512_mb_of_memory(served, allowed, upload):
    files = {"data": ("power.csv", upload, "text/csv")}
    told = served.client.post("/predict?format=json", files=files, headers=allowed)
    assert told.status_code == 200, told.text
    assert "quantiles" in told.text or "forecast" in told.text
    picture = served.client.post("/predict", files=files, headers=allowed)
    assert picture.content.startswith(b"\x89PNG")
    assert served.client.post("/predict", files=files).status_code == 401


def test_the_service_takes_power_and_keeps_the_forecasts_that_it_issues(served, allowed, upload):
    farm = settings(SMALL).farm()
    told = served.client.get("/v1/farms", headers=allowed).json()
    assert farm.name in json.dumps(told)
    body = farm.power.tail(24).select("time", "power_mw").write_csv(datetime_format="%Y-%m-%dT%H:%MZ")
    sent = served.client.post(
        f"/v1/farms/{farm.name}/power", content=body, headers={**allowed, "Content-Type": "text/csv"}
    )
    assert sent.status_code in (200, 201, 202), sent.text
    metrics = served.client.get("/metrics", headers=allowed).text
    assert "windcast_" in metrics


def test_the_image_s_own_health_check_passes_while_the_service_runs(served):
    config = inspected(SERVE)
    test = (config.get("Healthcheck") or config["Config"].get("Healthcheck"))["Test"]
    port = str(served.client.base_url.port)
    assert test[0] == "CMD"
    engine("exec", served.name, *(one.replace("8000", port) for one in test[1:]))


def test_the_service_stops_cleanly_when_it_is_told_to(forest, token):
    with serving(forest.folder.parent, token[0]) as container:
        engine("stop", "--time", "20", container.name)
        assert engine("inspect", "--format", "{{.State.ExitCode}}", container.name).strip() == "0"


@pytest.mark.parametrize("image", [SERVE, TRAIN])
def test_the_command_line_trains_tests_and_draws_in_either_image(image, tmp_path):
    tmp_path.chmod(0o777)
    inside(image, "windcast", "backtest", *SMALL, "model=forest", "model.trees=10", data=tmp_path)
    inside(image, "windcast", "train", *SMALL, "model=gbm", "model.rounds=5", "--out", "bundle", data=tmp_path)
    inside(image, "windcast", "forecast", "bundle", "--plot", "forecast.pdf", data=tmp_path)
    assert (tmp_path / "forecast.pdf").read_bytes().startswith(b"%PDF")
    assert list(tmp_path.glob("runs/*/report.html"))


def test_a_network_is_trained_in_the_training_image_and_forecasts_in_the_serving_image(tmp_path):
    tmp_path.chmod(0o777)
    small = (*SMALL, "model=patchtst", "model.epochs=1", "--out", "bundle")
    inside(TRAIN, "windcast", "train", *small, data=tmp_path)
    inside(SERVE, "windcast", "forecast", "bundle", "--out", "forecast.csv", data=tmp_path)
    assert (tmp_path / "forecast.csv").read_text().count("\n") > 6


def test_an_image_that_is_built_again_has_the_same_layers():
    again = f"{SERVE}-again"
    if not engine("images", "--quiet", again).strip():
        pytest.skip(f"{ENGINE} has no {again}: make images TWICE=1 builds it")
    assert inspected(again)["RootFS"]["Layers"] == inspected(SERVE)["RootFS"]["Layers"]


def _readable(folder: Path) -> None:
    """For the user that the container runs as."""
    for one in (folder, *folder.rglob("*")):
        one.chmod(0o755 if one.is_dir() else 0o644)
