"""Data versions go to a remote and come back the same: a folder, S3 (moto), Google Cloud Storage (an emulator)."""

import hashlib
import http.client
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

import dvc_project
from dvc_project import Project

pytestmark = pytest.mark.skipif(bool(dvc_project.ABSENT), reason=dvc_project.REASON)


def needs(*modules: str) -> pytest.MarkDecorator:
    absent = [name for name in modules if find_spec(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with two files and a folder under DVC."""
    project = dvc_project.started(tmp_path / "farm")
    dvc_project.write_farm(project.folder, days=5)
    project.windcast("data", "prepare", "data=files", "--out", "prepared")
    project.dvc("add", "power.csv", "weather.csv", "prepared")
    return project


def contents(folder: Path) -> dict[str, str]:
    files = [folder / "power.csv", folder / "weather.csv", *sorted((folder / "prepared").iterdir())]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def assert_they_come_back(project: Project) -> None:
    """Push, lose the files and the cache, pull: the same bytes, and nothing left to push."""
    before = contents(project.folder)
    assert len(before) == 5
    project.dvc("push")
    shutil.rmtree(project.folder / ".dvc" / "cache")
    shutil.rmtree(project.folder / "prepared")
    for name in ("power.csv", "weather.csv"):
        (project.folder / name).unlink()
    project.dvc("pull")
    assert contents(project.folder) == before
    assert "in sync" in project.dvc("status", "--cloud")


@contextmanager
def serving(*command: str, port: int) -> Iterator[str]:
    """A server's address, once it answers."""
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            assert server.poll() is None, f"{command} ended with {server.returncode}"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_folder(project: Project, tmp_path: Path) -> None:
    project.dvc("remote", "add", "--default", "versions", str(tmp_path / "versions"))
    assert_they_come_back(project)


@needs("dvc_s3", "moto", "flask")
def test_s3(project: Project) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
    with serving("-m", "moto.server", "--port", str(port := free_port()), port=port) as address:
        create = urllib.request.Request(f"{address}/farm-data", method="PUT")
        assert urllib.request.urlopen(create).status == http.client.OK
        project.dvc("remote", "add", "--default", "versions", "s3://farm-data/hill")
        project.dvc("remote", "modify", "versions", "endpointurl", address)
        assert_they_come_back(replace(project, environment=keys))
        listed = urllib.request.urlopen(f"{address}/farm-data?list-type=2").read().decode()
        assert listed.count("<Key>hill/files/md5/") == 6  # five files and the list of the folder


@needs("dvc_gs", "gcp_storage_emulator")
def test_google_cloud_storage(project: Project) -> None:
    port = free_port()
    command = ("-m", "gcp_storage_emulator", "start", "--port", str(port), "--in-memory", "--default-bucket=farm-data")
    with serving(*command, port=port) as address:
        project.dvc("remote", "add", "--default", "versions", "gs://farm-data/hill")
        project.dvc("remote", "modify", "versions", "allow_anonymous_login", "true")
        # gcsfs would ask Google, not the emulator, what kind of bucket it is, and wait for ever without a network
        environment = {"STORAGE_EMULATOR_HOST": address, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
        assert_they_come_back(replace(project, environment=environment))
        listed = urllib.request.urlopen(f"{address}/storage/v1/b/farm-data/o?prefix=hill/files/md5/").read().decode()
        assert listed.count('"storage#object"') == 6
