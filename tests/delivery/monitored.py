"""A service with a real Prometheus and Alertmanager in the project's own configuration, whose time runs faster.

Intervals, timeouts and the ranges of expressions are divided by FASTER; what only waits (`for`, and Alertmanager's
groups) by WAITING. Addresses and secret files are the test's; the operators' e-mail becomes a webhook. Nothing else is
changed.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import yaml

MONITORING = Path(__file__).parents[2] / "monitoring"
PROGRAMS = ("prometheus", "prometheus-alertmanager", "promtool", "amtool")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
INSTALL = "run `make monitoring` as root on Debian, or install prometheus and prometheus-alertmanager"
FASTER, WAITING = 30, 100
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
PACES = ("scrape_interval", "scrape_timeout", "evaluation_interval")
WAITS = ("for", "group_wait", "group_interval", "repeat_interval")
T = TypeVar("T")
TOKEN = "token of the one on call"


def seconds(duration: str) -> float:
    return sum(float(count) * UNITS[unit] for count, unit in re.findall(r"(\d+)([smhd])", duration))


def faster(duration: str, times: int = FASTER) -> str:
    return f"{round(1000 * seconds(duration) / times)}ms"


def quick(value: Any, key: str = "") -> Any:
    """A configuration at the test's pace."""
    if isinstance(value, dict):
        return {name: quick(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [quick(one) for one in value]
    if key == "expr":
        return re.sub(r"\[(\w+)\]", lambda found: f"[{faster(found[1])}]", value)
    if key in WAITS:
        return faster(value, WAITING)
    return faster(value) if key in PACES else value


def read(name: str) -> Any:
    return yaml.safe_load((MONITORING / name).read_text())


def rules() -> list[dict[str, Any]]:
    """Every rule of the project, as in its file."""
    files = sorted((MONITORING / "rules").glob("*.yml"))
    return [rule for file in files for group in read(f"rules/{file.name}")["groups"] for rule in group["rules"]]


def panels() -> list[tuple[str, str]]:
    """Title and query of every panel's every target, for all farms."""
    found = []
    for file in sorted((MONITORING / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            found += [(panel["title"], one["expr"].replace("$farm", ".*")) for one in panel.get("targets", [])]
    return found


@dataclass
class Told:
    """Messages that came to the webhooks: path, Authorization, one alert each."""

    alerts: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def find(self, name: str, status: str, since: float) -> tuple[str, str, dict[str, Any]] | None:
        """The first of an alert that started, or was resolved, since then."""
        key = "startsAt" if status == "firing" else "endsAt"
        for path, key_of, alert in list(self.alerts):
            fits = alert["labels"]["alertname"] == name and alert["status"] == status
            if fits and datetime.fromisoformat(alert[key]).timestamp() >= since:
                return path, key_of, alert
        return None


class System:
    """The service, Prometheus, Alertmanager and the webhook, each on a free port. Leaving it ends them all."""

    def __init__(self, folder: Path, bundle: Path, keys: Path, key: str) -> None:
        self.folder, self.bundle, self.keys, self.key = folder, bundle, keys, key
        self.told, self.stack = Told(), ExitStack()
        self.ports = {name: free_port() for name in ("service", "prometheus", "alertmanager", "webhook")}
        self.evaluation = seconds(read("prometheus.yml")["global"]["evaluation_interval"]) / FASTER
        self.service: subprocess.Popen[str] | None = None

    def __enter__(self) -> "System":
        try:
            self._listen()
            self._configure()
            self.serve()
            self._run(
                "prometheus-alertmanager",
                "--config.file=alertmanager.yml",
                "--storage.path=alertmanager",
                "--cluster.listen-address=",
                f"--web.listen-address=127.0.0.1:{self.ports['alertmanager']}",
            )
            self._run(
                "prometheus",
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=tsdb",
                f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
            )
            wait(self.watching, 20, "the first evaluation")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.stack.close()

    def kill(self) -> None:
        """The service, without a word of warning."""
        if self.service is not None:
            end(self.service)

    def serve(self) -> None:
        """Starts the service, and returns when it answers."""
        command = [sys.executable, str(Path(__file__).with_name("served.py"))]
        given = [self.bundle, self.folder / "live.db", self.keys, self.ports["service"]]
        with (self.folder / "service.log").open("a") as log:
            self.service = subprocess.Popen(
                [*command, *map(str, given)], stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.folder
            )
        assert self.service.stdout is not None
        assert self.service.stdout.readline(), (self.folder / "service.log").read_text()[-2000:]

    def ask(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Any:
        """Of the service, with the key that may read and write all farms."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"} | (headers or {})
        with urlopen(Request(f"http://127.0.0.1:{self.ports['service']}{path}", data, sent), timeout=20) as answer:
            return json.load(answer)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus finds. Raises HTTPError for what it does not understand."""
        found: list[dict[str, Any]] = self.api(f"query?{urlencode({'query': expression})}")["result"]
        return found

    def api(self, path: str) -> Any:
        """Of Prometheus."""
        with urlopen(f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def manager(self, path: str, body: Any = None) -> Any:
        """Of Alertmanager: what it holds, or alerts sent to it."""
        data = None if body is None else json.dumps(body).encode()
        at = f"http://127.0.0.1:{self.ports['alertmanager']}/api/v2/{path}"
        with urlopen(Request(at, data, {"Content-Type": "application/json"}), timeout=10) as answer:
            return json.loads(answer.read() or "null")

    def watching(self) -> bool:
        """Whether Prometheus has started and evaluated its rules."""
        try:
            return bool(self.query("windcast_ready") and self.query("windcast:rung"))
        except OSError:  # does not listen yet, or answers 503
            return False

    def alerted(self, name: str, since: float, *, within: float = 30) -> tuple[str, str, dict[str, Any]]:
        """The alert that started since then, when it has come to a webhook."""
        return wait(lambda: self.told.find(name, "firing", since), within, f"{name} at a webhook")

    def resolved(self, name: str, since: float, *, within: float = 30) -> None:
        wait(lambda: self.told.find(name, "resolved", since), within, f"{name} resolved at a webhook")

    def delay(self, name: str, alert: dict[str, Any], since: float) -> float:
        """Evaluation intervals from a fault to its alert, the rule's own `for` not counted."""
        held = min(seconds(rule.get("for", "0s")) for rule in rules() if rule.get("alert") == name) / WAITING
        return (datetime.fromisoformat(alert["startsAt"]).timestamp() - since - held) / self.evaluation

    def _configure(self) -> None:
        (self.folder / "rules").mkdir()
        for file in (MONITORING / "rules").glob("*.yml"):
            (self.folder / "rules" / file.name).write_text(yaml.safe_dump(quick(read(f"rules/{file.name}"))))
        (self.folder / "key").write_text(self.key)
        (self.folder / "token").write_text(TOKEN)
        prometheus = quick(read("prometheus.yml"))
        job = prometheus["scrape_configs"][0]
        job["authorization"]["credentials_file"] = "key"
        job["static_configs"][0]["targets"] = [f"127.0.0.1:{self.ports['service']}"]
        manager = prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]
        manager["targets"] = [f"127.0.0.1:{self.ports['alertmanager']}"]
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(prometheus))
        routes = quick(read("alertmanager.yml"))
        routes["global"] = {}
        at = f"http://127.0.0.1:{self.ports['webhook']}"
        oncall, operators = routes["receivers"]
        oncall["webhook_configs"][0]["url"] = f"{at}/oncall"
        oncall["webhook_configs"][0]["http_config"]["authorization"]["credentials_file"] = "token"
        del operators["email_configs"]
        operators["webhook_configs"] = [{"url": f"{at}/operators", "send_resolved": True}]
        (self.folder / "alertmanager.yml").write_text(yaml.safe_dump(routes))

    def _listen(self) -> None:
        told = self.told

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                sent = self.headers.get("Authorization", "")
                told.alerts.extend((self.path, sent, alert) for alert in body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.ports["webhook"]), Hook)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.stack.callback(server.server_close)
        self.stack.callback(server.shutdown)

    def _run(self, *command: str) -> None:
        log = self.stack.enter_context((self.folder / f"{command[0]}.log").open("w"))
        self.stack.callback(end, subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def end(process: "subprocess.Popen[Any]") -> None:
    process.kill()
    process.wait(timeout=20)
    if process.stdout is not None:
        process.stdout.close()


def wait(found: Callable[[], T | None], within: float, what: str) -> T:
    """What is found, as soon as it is true. Fails after `within` seconds."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        if result := found():
            return result
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {within:g} s.")
