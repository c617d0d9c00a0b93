"""Rules, routes and runbook as files: checked by Prometheus' and Alertmanager's own tools, and held together."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitored import INSTALL, MISSING, MONITORING, panels, read, rules

needs_programs = pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)}: {INSTALL}")
DOCS = MONITORING.parent / "docs"
NAMES = {
    "WindcastDown",
    "WindcastNotReady",
    "WindcastSlow",
    "WindcastErrors",
    "WindcastPowerStale",
    "WindcastWeatherStale",
    "WindcastLowRung",
    "WindcastCoverageOutOfBounds",
    "WindcastCrpsWorseThanBacktest",
}
ALERTS = [rule for rule in rules() if "alert" in rule]
NEVER, ALWAYS = "vector(1) < 0", "vector(1)"
BROKEN = [
    pytest.param(file.name, place, broken, id=f"{rule.get('alert') or rule['record']}-{place}-{broken}")
    for file in sorted((MONITORING / "rules").glob("*.yml"))
    for place, rule in enumerate(read(f"rules/{file.name}")["groups"][0]["rules"])
    for broken in ((NEVER, ALWAYS) if "alert" in rule else (NEVER,))
]


def said(*command: str | Path, cwd: Path = MONITORING) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=60)


@needs_programs
def test_the_configurations_are_understood_by_the_programs_that_read_them(tmp_path: Path) -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    key = config["scrape_configs"][0]["authorization"]["credentials_file"]
    (tmp_path / "key").write_text("wc_key")
    here = (MONITORING / "prometheus.yml").read_text().replace(key, "key")
    shutil.copytree(MONITORING / "rules", tmp_path / "rules")
    (tmp_path / "prometheus.yml").write_text(here)
    checked = said("promtool", "check", "config", "--lint-fatal", "prometheus.yml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    routes = said("amtool", "check-config", "alertmanager.yml")
    assert routes.returncode == 0, routes.stdout + routes.stderr


@needs_programs
def test_every_rule_does_what_its_tests_say() -> None:
    found = said("promtool", "test", "rules", *sorted((MONITORING / "tests").glob("*.yml")))
    assert found.returncode == 0, found.stdout + found.stderr


@needs_programs
@pytest.mark.parametrize(("file", "place", "broken"), BROKEN)
def test_a_rule_that_never_or_always_holds_fails_its_tests(file: str, place: int, broken: str, tmp_path: Path) -> None:
    shutil.copytree(MONITORING / "tests", tmp_path / "tests")
    shutil.copytree(MONITORING / "rules", tmp_path / "rules")
    document = read(f"rules/{file}")
    document["groups"][0]["rules"][place]["expr"] = broken
    (tmp_path / "rules" / file).write_text(yaml.safe_dump(document))
    assert said("promtool", "test", "rules", f"tests/{file}", cwd=tmp_path).returncode == 1


def test_every_rule_has_a_case_that_holds_and_one_that_does_not() -> None:
    firing, silent = set(), set()
    for file in (MONITORING / "tests").glob("*.yml"):
        for case in read(f"tests/{file.name}")["tests"]:
            for one in case.get("alert_rule_test", []):
                (firing if one["exp_alerts"] else silent).add(one["alertname"])
            for one in case.get("promql_expr_test", []):
                (firing if one["exp_samples"] else silent).update(re.findall(r"windcast:[\w:]+", one["expr"]))
    names = {rule.get("alert") or rule["record"] for rule in rules()}
    assert names - firing == set()
    assert names - silent == set()


def test_the_alerts_are_those_that_are_promised_each_with_what_its_reader_needs() -> None:
    assert {rule["alert"] for rule in ALERTS} == NAMES
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("critical", "warning")
        told = rule["annotations"]
        assert told["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert told["summary"].endswith(".")
        assert "farm" in told["description"] or rule["labels"].get("kind") == "requests"


def test_every_alert_has_a_section_of_the_runbook_and_every_section_an_alert() -> None:
    text = (DOCS / "runbook.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    bodies = {section.splitlines()[0].strip(): section for section in sections}
    assert bodies.keys() - {"Before anything else"} == NAMES
    for name in NAMES:
        for part in ("**For the user.**", "**See it.**", "**Likely causes.**", "**Do.**", "**Silence.**"):
            assert part in bodies[name], f"{name} lacks {part}"
        assert f"alertname={name}" in bodies[name], f"{name} says how it is silenced"


def test_every_recorded_series_is_shown_or_alerted_on() -> None:
    asked = " ".join([query for _, query in panels()] + [rule["expr"] for rule in ALERTS])
    assert [rule["record"] for rule in rules() if "record" in rule and rule["record"] not in asked] == []


def routed(**labels: str) -> str:
    """Names of the receivers of an alert."""
    given = [f"{name}={value}" for name, value in labels.items()]
    found = said("amtool", "config", "routes", "test", "--config.file=alertmanager.yml", *given)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


@needs_programs
@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_who_must_act_at_once_is_called_and_the_others_are_written_to(rule: dict[str, Any]) -> None:
    severity = rule["labels"]["severity"]
    to = "oncall" if severity == "critical" else "operators"
    assert routed(alertname=rule["alert"], severity=severity, job="windcast") == to


@needs_programs
def test_an_alert_without_a_severity_is_not_lost() -> None:
    assert routed(alertname="Another") == "operators"


def test_no_secret_stands_in_the_configuration() -> None:
    for file in MONITORING.rglob("*.yml"):
        keys = re.findall(r"^\s*-?\s*(\w*(?:password|credentials|token|secret)\w*):", file.read_text(), re.MULTILINE)
        assert [key for key in keys if not key.endswith("_file")] == [], file
