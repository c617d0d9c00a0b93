"""The training job's script: what it writes to the bucket, and when nothing. git, python and windcast are stand-ins."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

INFRA = Path(__file__).parents[2] / "infra"
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")

GIT = 'mkdir -p "${@: -1}"; echo "git $*" >> "$LOG"'
TRAIN = 'echo "python $* as $WINDCAST_RUN into $WINDCAST_MODELS from $WINDCAST_DATA" >> "$LOG"'
PROMOTE = """echo "windcast $*" >> "$LOG"
registry="${@: -1}"; mkdir -p "$registry/hill/two/bundle"
for n in {1..20}; do echo two > "$registry/hill/two/bundle/part-$n"; done
echo two > "$registry/hill/two/bundle/manifest.json"; echo two > "$registry/hill/champion.json"
echo moved >> "$registry/hill/moves.jsonl"; echo held > "$registry/hill/lock"
"""


class Job:
    """A bucket with one champion, and programs that stand in for those of the image."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.models, self.log = folder / "bin", folder / "models", folder / "log"
        self.bin.mkdir()
        self.farm = self.models / "registry" / "hill"
        (self.farm / "one" / "bundle").mkdir(parents=True)
        (self.farm / "one" / "bundle" / "manifest.json").write_text("one\n")
        (self.farm / "champion.json").write_text("one\n")
        for name, script in (("git", GIT), ("python", TRAIN), ("windcast", PROMOTE)):
            self.stands_in(name, script)

    def stands_in(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/usr/bin/env bash\nset -e\n{script}\n")
        (self.bin / name).chmod(0o755)

    def run(self, **more: str) -> subprocess.CompletedProcess[str]:
        named = {"SOURCE": "https://github.com/owner/name.git", "BRANCH": "main", "DATA": "gs://data"}
        environment = {f"WINDCAST_{name}": value for name, value in named.items()}
        environment |= {"WINDCAST_MODELS": str(self.models), "LOG": str(self.log)} | more
        environment["PATH"] = f"{self.bin}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-c", (INFRA / "retrain.sh").read_text()],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def files(self) -> dict[str, str]:
        found = (file for file in self.farm.rglob("*") if file.is_file())
        return {str(file.relative_to(self.farm)): file.read_text() for file in found}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


BEFORE = {"one/bundle/manifest.json": "one\n", "champion.json": "one\n"}


def test_a_better_model_is_in_the_bucket_with_its_pointer_and_without_the_lock(job: Job) -> None:
    done = job.run()
    assert done.returncode == 0, done.stderr
    written = {f"two/bundle/part-{n}": "two\n" for n in range(1, 21)}
    written |= {"champion.json": "two\n", "two/bundle/manifest.json": "two\n", "moves.jsonl": "moved\n"}
    assert job.files() == BEFORE | written


def test_the_branch_is_fetched_trained_and_judged_in_this_order(job: Job) -> None:
    job.run()
    clone, train, promote = job.log.read_text().splitlines()
    assert clone.startswith("git clone --quiet --depth 1 --branch main https://github.com/owner/name.git ")
    assert re.fullmatch(rf"python scripts/delivery/train_job.py as \d+-0 into {job.models} from gs://data", train)
    assert promote.startswith("windcast promote results/challenger --registry ")


def test_a_run_that_a_workflow_started_is_trained_under_its_name_and_judged_by_the_workflow(job: Job) -> None:
    assert job.run(WINDCAST_RUN="77-1").returncode == 0
    assert " as 77-1 " in job.log.read_text()
    assert "windcast promote" not in job.log.read_text()
    assert job.files() == BEFORE


def test_the_pointer_is_written_after_all_that_it_names(job: Job) -> None:
    job.stands_in("cp", 'echo "cp ${@: -1}" >> "$LOG"; exec /bin/cp "$@"')
    job.run()
    copied = [line for line in job.log.read_text().splitlines() if line.startswith("cp ") and "/models/" in line]
    assert copied[-1].endswith("champion.json")
    assert sum("champion.json" in line for line in copied) == 1


def test_a_model_that_is_not_better_leaves_the_champion_and_is_no_failure(job: Job) -> None:
    job.stands_in("windcast", "exit 1")
    assert job.run().returncode == 0
    assert job.files() == BEFORE


@pytest.mark.parametrize(
    ("name", "script", "status"), [("windcast", "exit 2", 2), ("python", "exit 4", 4), ("git", "exit 128", 128)]
)
def test_what_fails_fails_the_job_and_writes_nothing(job: Job, name: str, script: str, status: int) -> None:
    job.stands_in(name, script)
    assert job.run().returncode == status
    assert job.files() == BEFORE


def test_a_champion_that_was_moved_meanwhile_is_not_overwritten(job: Job) -> None:
    elsewhere = job.farm / "champion.json"
    job.stands_in("windcast", f"{PROMOTE}\necho other > {elsewhere}")
    done = job.run()
    assert done.returncode == 3
    assert "moved by someone else" in done.stderr
    assert job.files() == BEFORE | {"champion.json": "other\n"}
