"""The notebook runs from top to bottom, and what it claims is so."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

WHY = "not installed: pip install windcast[notebook]"
nbclient = pytest.importorskip("nbclient", reason=f"nbclient is {WHY}")
nbformat = pytest.importorskip("nbformat", reason=f"nbformat is {WHY}")
pytest.importorskip("ipykernel", reason=f"ipykernel is {WHY}")

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "windcast.ipynb"
CLAIMS = """
import json
crps = dict(zip(board["model"], board["crps"]))
coverage = dict(zip(board["model"], board["coverage_90"]))
print(json.dumps({
    "same_inputs": bool(same_inputs),
    "future_hidden": future_hidden,
    "crps": crps,
    "coverage": coverage,
    "gap": gap,
    "width": [mean_width(with_weather), mean_width(without)],
    "inputs": without.to_frame()["inputs"].unique().to_list(),
    "mine": [mine.weather_kind, mine.capacity_mw, float(mine.power["power_mw"].max())],
}))
"""

# the jupyter machinery warns of its own future
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def stored() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(stored: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The notebook after a run, with a last cell that prints its claims."""
    notebook = nbformat.from_dict(json.loads(json.dumps(stored)))
    notebook.cells.append(nbformat.v4.new_code_cell(CLAIMS))
    folder = tmp_path_factory.mktemp("notebook")
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    yield client.execute()
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def claims(executed: Any) -> dict[str, Any]:
    return json.loads(executed.cells[-1].outputs[0].text)


def test_it_is_stored_without_outputs_and_without_traces_of_a_machine(stored: Any) -> None:
    nbformat.validate(stored)
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert not any(cell.metadata for cell in stored.cells)
    assert set(stored.metadata) == {"kernelspec", "language_info"}
    assert stored.metadata.kernelspec.name == "python3"
    for trace in ("/home", "/root", "/tmp", "/work", "C:\\"):
        assert trace not in NOTEBOOK.read_text()


def test_it_uses_only_what_the_package_makes_public(stored: Any) -> None:
    source = "\n".join(cell.source for cell in stored.cells if cell.cell_type == "code")
    assert "import windcast as wc" in source
    assert "from windcast" not in source
    assert "import windcast." not in source


def test_it_shows_three_pictures_and_no_error(executed: Any) -> None:
    outputs = [output for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3


def test_the_future_is_not_in_the_windows(claims: dict[str, Any]) -> None:
    assert claims["same_inputs"]
    assert claims["future_hidden"]


def test_the_pool_beats_every_reference(claims: dict[str, Any]) -> None:
    crps = claims["crps"]
    references = ("climatology", "persistence", "power curve")
    assert all(crps[name] < crps[reference] for name in ("gbm", "pool") for reference in references)
    assert min(crps, key=crps.__getitem__).startswith("pool")


def test_the_forecasts_are_calibrated_to_a_few_percent(claims: dict[str, Any]) -> None:
    assert claims["gap"]["pool, calibrated"] < 0.06
    assert 80 < claims["coverage"]["pool, calibrated"] < 98


def test_a_forecast_without_weather_is_wider_and_says_so(claims: dict[str, Any]) -> None:
    with_weather, without = claims["width"]
    assert without > with_weather
    assert claims["inputs"] == ["no_weather"]


def test_your_own_files_become_a_farm(claims: dict[str, Any]) -> None:
    assert claims["mine"] == ["forecast", 10.0, 9.0]
