"""Runs the blocks of one page in one folder, in order, with the project's own programs on PATH."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from snippets import ROOT, Block, changed, commands, serves

PATIENCE = 1200  # seconds for one piece
START = 240  # seconds until a server answers


def missing(block: Block) -> list[str]:
    """What the block needs and this machine lacks: programs, modules, environment variables, the last in capitals."""
    return [
        name
        for name in block.needs
        if not (name in os.environ if name.isupper() else shutil.which(name) or find_spec(name.replace("-", "_")))
    ]


class Page:
    """One folder, and one server at most."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.printed, self.port = folder, "", 0
        self.server: subprocess.Popen[bytes] | None = None
        programs = Path(sys.executable).parent
        own = folder / "src"  # of a copy of the repository
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("COV_", "PYTEST_"))} | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(own if own.is_dir() else ROOT / "src"),
            "COLUMNS": "160",
            "MPLBACKEND": "agg",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{
                f"GIT_{who}_{what}": "windcast@example.com"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        self.environment.pop("WINDCAST_TRACKING", None)
        (folder.with_name(".curlrc")).write_text(
            "fail-with-body\nsilent\nshow-error\nretry = 20\nretry-delay = 1\nretry-all-errors\n"
        )  # 404 is none; a forecast follows its values
        self.environment["CURL_HOME"] = str(folder.parent)
        if own.is_dir():
            self.environment["VENV"] = str(_made(folder.with_name(folder.name + "-venv"), programs))

    def run(self, block: Block) -> None:
        """Raises AssertionError, with what was printed, where the block does not do what the page says."""
        if "printed" in block.marks:
            for line in filter(None, map(_plain, block.text.splitlines())):
                assert line in _plain(self.printed), f"{block.place}: '{line}' was not printed, but:\n{self.printed}"
        elif block.language == "diff":
            path = self.folder / block.title
            path.write_text(changed(path.read_text(encoding="utf-8"), block.text), encoding="utf-8")
        elif block.title:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            self._done(block, [sys.executable, "-W", "error", "-c", block.text])
        else:
            for piece in commands(block.text):
                if serves(piece):
                    self._serve(block, piece)
                else:
                    self._done(block, ["bash", "-euo", "pipefail", "-c", self._here(piece)])

    def _done(self, block: Block, words: list[str]) -> None:
        log = self.folder.with_name(self.folder.name + ".log")
        with log.open("wb") as output:
            status = subprocess.run(
                words,
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                timeout=PATIENCE,
            ).returncode
        self.printed = log.read_text(encoding="utf-8", errors="replace")
        wanted = int(block.marks.get("exits", 0))
        assert status == wanted, (
            f"{block.place}: exit status {status}, not {wanted}:\n{words[-1]}\n{self.printed[-4000:]}"
        )

    def _here(self, piece: str) -> str:
        return re.sub(r"(localhost|127\.0\.0\.1):8000", rf"127.0.0.1:{self.port}", piece) if self.server else piece

    def _serve(self, block: Block, command: str) -> None:
        self.stop()
        command = command.partition(" #")[0].strip()
        if command.startswith("make"):
            said = subprocess.run(
                ["make", "-n", *command.split()[1:]],
                cwd=self.folder,
                env=self.environment,
                check=True,
                capture_output=True,
                text=True,
            )
            command = said.stdout.splitlines()[-1]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = f"exec {command} --port {self.port}"
        log = self.folder.with_name(self.folder.name + ".server")
        with log.open("wb") as output:
            self.server = subprocess.Popen(
                ["bash", "-c", words], cwd=self.folder, env=self.environment, stdout=output, stderr=output
            )
        end = time.monotonic() + START
        while not self._answers():
            said = log.read_text(encoding="utf-8", errors="replace")[-4000:]
            assert self.server.poll() is None, f"{block.place}: {words} ended:\n{said}"
            assert time.monotonic() < end, f"{block.place}: {words} does not answer:\n{said}"
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def stop(self) -> None:
        """Ends the server as an operator would, and wants it to end."""
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(60)
            self.server = None


def _plain(text: str) -> str:
    return " ".join(text.split())


def _made(folder: Path, programs: Path) -> Path:
    """What `make` takes for its own virtual environment, complete: the one that runs the tests."""
    folder.mkdir()
    (folder / "bin").symlink_to(programs)
    for mark in ("installed", "installed-dev", "installed-docs"):
        (folder / mark).touch()
    return folder
