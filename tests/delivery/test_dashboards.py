"""Grafana's dashboards: generated, whole, and of the metrics that exist. Grafana itself is not run here."""

import importlib.util
import json
import re
from types import ModuleType
from typing import Any

import pytest
import yaml
from monitored import MONITORING, panels, rules

from windcast.serving.metrics import GAUGES, Metrics

FOLDER = MONITORING / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
SHAPES = ("_bucket", "_count", "_sum", "_total", "_info")
PROCESS = ("process_cpu_seconds_total", "process_resident_memory_bytes")  # prometheus_client's own


def generator() -> ModuleType:
    pytest.importorskip("grafana_foundation_sdk", reason="pip install 'windcast[monitoring]'")
    spec = importlib.util.spec_from_file_location("dashboards", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_dashboards_are_those_that_the_generator_writes() -> None:
    written = {file.stem: file.read_text() for file in FILES}
    assert generator().dashboards() == written, "run python monitoring/dashboards/generate.py"


def test_grafanas_own_model_reads_every_field_of_the_dashboards() -> None:
    generator()
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    for file in FILES:
        given = json.loads(file.read_text())
        assert json.loads(json.dumps(Dashboard.from_json(given), cls=JSONEncoder)) == given


def documents() -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in FILES]


def test_every_panel_asks_the_provisioned_source() -> None:
    sources = yaml.safe_load((MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text())
    known = {(one["type"], one["uid"]) for one in sources["datasources"]}
    for document in documents():
        for panel in document["panels"]:
            if panel["type"] != "row":
                assert (panel["datasource"]["type"], panel["datasource"]["uid"]) in known
                assert panel["targets"]
                assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_panels_do_not_lie_on_one_another() -> None:
    for document in documents():
        taken: set[tuple[int, int]] = set()
        for panel in document["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
            assert not cells & taken, panel["title"]
            assert at["x"] + at["w"] <= 24
            taken |= cells


def test_every_query_is_of_a_metric_that_exists() -> None:
    metrics = Metrics()
    known = {family.name for family in metrics.registry.collect()} | set(GAUGES)
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for where, query in panels() + [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]:
        for name in re.findall(r"\b(?:windcast|process)[a-z0-9_:]*\b(?![\"'])", query):
            bare = next((name.removesuffix(shape) for shape in SHAPES if name.endswith(shape)), name)
            assert name in recorded or {name, bare} & known or name in PROCESS, f"{where}: {name}"
