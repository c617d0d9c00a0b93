"""Containers for the tests of the images: started as a careful operator would, and asked as a client would."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2

ENGINE = os.environ.get("ENGINE", "podman")
SERVE, TRAIN = "localhost/windcast-serve", "localhost/windcast-train"
HARDENED = (
    *("--network", "host", "--pids-limit", "256", "--tmpfs", "/tmp:rw,mode=1777"),
    *("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"),
    *(["--no-healthcheck"] if ENGINE == "podman" else []),
)
MEMORY = ("--memory", "512m")
STORE = ("--volume", "/data")  # a fresh volume, its owner as in the image


def engine(*arguments: str, timeout: float = 600) -> str:
    """What the engine said. Fails with what it said on standard error."""
    done = subprocess.run([ENGINE, *arguments], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{ENGINE} {' '.join(arguments)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def inspected(image: str) -> dict:
    return json.loads(engine("image", "inspect", image))[0]


def inside(image: str, *command: str, data: Path | None = None) -> str:
    """Output of a command in a fresh container. data: a folder that the command works in and may write to."""
    mounted = STORE if data is None else ("--volume", f"{data}:/data")
    return engine("run", "--rm", *HARDENED, *mounted, "--entrypoint", command[0], image, *command[1:])


class Served:
    """A container of the service, a client of it, and the seconds from its start until it was ready."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self.ready_s = 0.0

    def is_ready(self) -> bool:
        try:
            return self.client.get("/ready").status_code == 200
        except httpx2.TransportError:
            return False

    @property
    def process(self) -> dict[str, str]:
        """Linux's record of the container's first process."""
        number = engine("inspect", "--format", "{{.State.Pid}}", self.name).strip()
        lines = Path(f"/proc/{number}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@contextmanager
def serving(models: Path, keys: Path) -> Iterator[Served]:
    """The serving image with these bundles and keys, hardened, on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mounts = ["--volume", f"{models}:/models:ro", "--volume", f"{keys}:/keys:ro"]
    command = ["serve", "/models", "--host", "0.0.0.0", "--port", str(port), "--keys", "/keys/keys.json"]
    name = engine("create", *HARDENED, *MEMORY, *STORE, *mounts, SERVE, *command).strip()
    served = Served(name, port)
    try:
        began = time.monotonic()
        engine("start", name)
        while not served.is_ready():
            assert time.monotonic() - began < 60, _log(name)
            time.sleep(0.02)
        ready = datetime.now(UTC)
        started = json.loads(engine("inspect", "--format", "{{json .State.StartedAt}}", name))
        served.ready_s = (ready - datetime.fromisoformat(started)).total_seconds()
        yield served
    finally:
        served.client.close()
        engine("rm", "--force", "--volumes", name)


def _log(name: str) -> str:
    told = subprocess.run([ENGINE, "logs", name], capture_output=True, text=True, check=False)
    return told.stdout + told.stderr
