"""The delivery's scripts as modules, and a cloud of files behind a gcloud on PATH."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "delivery"))


class Cloud:
    """What the fake gcloud works on; see fake_gcloud.py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        shutil.copy(Path(__file__).with_name("fake_gcloud.py"), folder / "fake_gcloud.py")
        program = folder / "gcloud"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{folder / "fake_gcloud.py"}" "$@"\n')
        program.chmod(0o755)

    def put(self, name: str, value: object) -> None:
        (self.folder / name).write_text(json.dumps(value))

    def get(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    def break_down(self, word: str) -> None:
        (self.folder / "fail.txt").write_text(word)

    @property
    def calls(self) -> list[list[str]]:
        log = self.folder / "calls.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def shares(self) -> dict[str, int]:
        return {one["revisionName"]: one["percent"] for one in self.get("traffic.json") if one["percent"]}

    def bucket(self, name: str) -> Path:
        return self.folder / "bucket" / name


@pytest.fixture(name="cloud")
def cloud_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    if sys.platform == "win32":
        pytest.skip("the fake gcloud is a shell script")
    made = Cloud(tmp_path / "cloud")
    monkeypatch.setenv("PATH", str(made.folder), prepend=":")
    return made
