"""compose.yaml: what it mounts is there, what it runs is pinned, and nothing of it is open to others."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MADE = ("./demo/bundle",)  # by `make demo`
PINNED = re.compile(r"^[a-z0-9.-]+/[a-z0-9/_-]+:v?\d+\.\d+[\w.-]*$")
OWN = "${WINDCAST_SERVE_IMAGE:-localhost/windcast-serve:latest}"
ONCE = ("mlflow-folder",)  # ends before the others start

each = pytest.mark.parametrize("name", list(SERVICES))


def test_the_whole_system_is_there():
    assert {"windcast", "postgres", "mlflow", "prometheus", "alertmanager", "grafana"} <= set(SERVICES)


@each
def test_every_image_is_pinned_to_a_release(name):
    image = SERVICES[name]["image"]
    assert image == OWN or PINNED.match(image), image


@each
def test_every_port_is_open_to_this_machine_alone(name):
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@each
def test_every_service_has_a_read_only_root_no_capabilities_and_cannot_gain_any(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert set(service.get("cap_add", [])) <= ({"CHOWN"} if name in ONCE else set())


@each
def test_every_service_has_limits_of_memory_processors_and_processes(name):
    assert {"mem_limit", "cpus", "pids_limit"} <= set(SERVICES[name])


@each
def test_every_service_that_stays_has_a_health_check_and_starts_again(name):
    service = SERVICES[name]
    if name in ONCE:
        assert service["healthcheck"] == {"disable": True}
        assert service["restart"] == "no"
    else:
        assert {"test", "interval", "timeout", "start_period"} <= set(service["healthcheck"])
        assert service["restart"] == "unless-stopped"


@each
def test_whoever_waits_for_another_says_for_what(name):
    for other, waited in SERVICES[name].get("depends_on", {}).items():
        assert waited["condition"].startswith("service_")
        if waited["condition"] == "service_healthy":
            assert "test" in SERVICES[other]["healthcheck"]


@each
def test_every_file_that_is_mounted_is_in_the_repository_and_read_only(name):
    for volume in SERVICES[name].get("volumes", []):
        source, _, rest = volume.partition(":")
        if source.startswith("."):
            assert rest.endswith(":ro"), volume
            assert source in MADE or (ROOT / source).exists(), f"{source} is not there"
        else:
            assert source in COMPOSE["volumes"], volume


@each
def test_no_secret_is_written_into_the_file(name):
    for key, value in SERVICES[name].get("environment", {}).items():
        if re.search("PASSWORD|SECRET|TOKEN|KEY", key):
            assert key.endswith("FILE"), f"{key} holds a secret"
            assert value.startswith("/run/secrets/")
        assert not re.search(r"://[^/]*:[^/]*@", str(value)), f"{key} holds a password"


def test_every_secret_comes_from_the_folder_that_git_does_not_see_and_is_made_by_one_script():
    made = (ROOT / "docker" / "secrets.py").read_text()
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f".compose/{name}"}
        assert f'"{name}"' in made
    assert "/.compose/" in (ROOT / ".gitignore").read_text().splitlines()


@each
def test_every_secret_that_a_service_reads_is_given_to_it(name):
    given = set(SERVICES[name].get("secrets", []))
    read = set(re.findall(r"/run/secrets/([\w.-]+)", yaml.dump(SERVICES[name])))
    for file in SERVICES[name].get("volumes", []):
        source = ROOT / file.partition(":")[0]
        if file.startswith("./") and source.suffix == ".yml" and source.is_file():
            read |= set(re.findall(r"/run/secrets/([\w.-]+)", source.read_text()))
    assert read == given


def test_the_script_makes_secrets_once_and_for_their_owner_alone(tmp_path, monkeypatch):
    import importlib.util

    found = importlib.util.spec_from_file_location("compose_secrets", ROOT / "docker" / "secrets.py")
    assert found is not None
    assert found.loader is not None
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    monkeypatch.setattr(script, "FOLDER", tmp_path / ".compose")
    script.main()
    first = {one.name: one.read_bytes() for one in script.FOLDER.iterdir()}
    script.main()
    assert {one.name: one.read_bytes() for one in script.FOLDER.iterdir()} == first
    assert set(COMPOSE["secrets"]) <= set(first)
    assert script.FOLDER.stat().st_mode & 0o077 == 0
    assert first["postgres-password"] != first["grafana-password"]
    assert first["postgres-password"] in first["windcast-store"]


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not there to read compose.yaml")
def test_docker_compose_understands_the_file():
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker has no compose plugin")
    told = subprocess.run(
        ["docker", "compose", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
