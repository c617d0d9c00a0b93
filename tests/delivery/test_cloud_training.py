"""A training leaves no GPU running, takes values and no code from a pull request, and tells of a failure."""

import base64
import json
import subprocess
from pathlib import Path

import pytest
from clouds import Cloud, cloud_of_files  # noqa: F401 (a fixture)

# isort: split
import bucket
import params
import train_job
import training
from gcloud import DeliveryError
from training import Training

DONE = {"completionTime": "2026-01-01T00:00:00Z", "succeededCount": 1}
OURS = Training("p", "europe-west1", "77-1", "c" * 40)


def test_a_training_waits_until_its_execution_is_done(cloud: Cloud) -> None:
    name = OURS.start(b"seed: 1\n")
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        cloud.put("status.json", DONE)

    OURS.wait(name, pause=pause)
    assert len(waited) == 1
    told = cloud.get("executions.json")[0]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {one["name"]: one["value"] for one in told} == {
        "WINDCAST_RUN": "77-1",
        "WINDCAST_COMMIT": "c" * 40,
        "WINDCAST_MODELS": "/models",
        "WINDCAST_PARAMS": base64.b64encode(b"seed: 1\n").decode(),
    }


def test_a_training_that_fails_says_why(cloud: Cloud) -> None:
    name = OURS.start(b"")
    reason = {"status": "False", "message": "Task windcast-train-x1-task0 failed: out of memory"}
    cloud.put("status.json", {"completionTime": "2026-01-01T00:00:00Z", "failedCount": 1, "conditions": [reason]})
    with pytest.raises(DeliveryError, match="out of memory"):
        OURS.wait(name)


def test_a_training_that_never_ends_is_given_up(cloud: Cloud) -> None:
    name = OURS.start(b"")
    with pytest.raises(DeliveryError, match="not done after"):
        Training("p", "europe-west1", "77-1", patience=60).wait(name, pause=lambda _: None)


def test_stop_cancels_what_this_run_began_and_nothing_else(cloud: Cloud) -> None:
    OURS.start(b"")
    mine = cloud.get("executions.json")[0]
    other = json.loads(json.dumps(mine).replace("77-1", "88-1").replace("windcast-train-x1", "windcast-train-x2"))
    ended = json.loads(json.dumps(mine).replace("windcast-train-x1", "windcast-train-x3")) | {"status": DONE}
    cloud.put("executions.json", [other, mine, ended])
    assert OURS.stop() == ["windcast-train-x1"]
    assert OURS.stop() == []
    assert [one["metadata"]["name"] for one in cloud.get("executions.json")] == [
        "windcast-train-x2",
        "windcast-train-x3",
    ]


def test_stop_does_not_need_to_know_what_start_answered(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    OURS.start(b"")
    for name, value in {
        "GCP_PROJECT": "p",
        "GCP_REGION": "r",
        "GITHUB_RUN_ID": "77",
        "GITHUB_RUN_ATTEMPT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert training.main(["stop"]) == 0
    assert cloud.get("executions.json") == []


def test_a_gpu_that_cannot_be_released_is_no_success(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    OURS.start(b"")
    for name, value in {
        "GCP_PROJECT": "p",
        "GCP_REGION": "r",
        "GITHUB_RUN_ID": "77",
        "GITHUB_RUN_ATTEMPT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    cloud.break_down("executions cancel")
    assert training.main(["stop"]) == 1


def test_params_too_long_for_the_job_are_refused_before_it_begins(cloud: Cloud) -> None:
    with pytest.raises(DeliveryError, match="more than 16000"):
        OURS.start(b"x" * 16_001)
    assert cloud.calls == []


def test_the_job_pulls_data_reproduces_the_pipeline_and_leaves_the_test_span_to_the_gate() -> None:
    found = [
        " ".join(words) for words in train_job.commands(remote="gs://b/dvc", until="2015-07-01", versions_alone=True)
    ]
    assert [text.split()[:2] for text in found if text.startswith("dvc ")][-3:] == [
        ["dvc", "pull"], ["dvc", "repro"], ["dvc", "push"],
    ]  # fmt: skip
    assert found[-1].endswith("--scores results/run --until 2015-07-01 --out results/challenger")


def test_the_challenger_has_seen_nothing_of_the_test_span() -> None:
    assert train_job.until_of("backtest:\n  start: '2015-07-01'\n") == "2015-07-01"
    with pytest.raises(SystemExit, match=r"backtest\.start is not set"):
        train_job.until_of("seed: 1\n")


def test_the_job_refuses_a_name_that_leads_out_of_the_bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WINDCAST_MODELS", str(tmp_path))
    monkeypatch.setenv("WINDCAST_RUN", "../registry")
    assert train_job.main() == 2


@pytest.fixture
def pull_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of main, whose origin has pull request 7 with other values, and with code."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]

    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=origin, check=True, capture_output=True)

    origin.mkdir()
    git("init", "--initial-branch=main")
    (origin / "params.yaml").write_text("seed: 1\n")
    (origin / "code.py").write_text("print('main')\n")
    git("add", ".")
    git(*identity, "commit", "--message=main")
    git("switch", "--create=theirs")
    (origin / "params.yaml").write_text("seed: 2\n")
    (origin / "code.py").write_text("print('theirs')\n")
    git(*identity, "commit", "--all", "--message=theirs")
    git("update-ref", "refs/pull/7/head", "theirs")
    git("switch", "main")
    subprocess.run(["git", "clone", "--quiet", str(origin), str(clone)], check=True)
    monkeypatch.chdir(clone)
    return clone


def test_a_pull_request_gives_its_params_and_nothing_else(pull_request: Path) -> None:
    assert params.main(["7", "theirs.yaml"]) == 0
    assert (pull_request / "theirs.yaml").read_text() == "seed: 2\n"
    assert (pull_request / "params.yaml").read_text() == "seed: 1\n"
    assert (pull_request / "code.py").read_text() == "print('main')\n"


@pytest.mark.parametrize("number", ["", "0", "7; rm -rf .", "$(id)", "8", "--upload-pack=x"])
def test_what_is_no_pull_request_gives_nothing(pull_request: Path, number: str) -> None:
    assert params.main([number, "theirs.yaml"]) == 1
    assert not (pull_request / "theirs.yaml").exists()


def test_the_pointer_reaches_the_bucket_after_all_that_it_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "hill").mkdir()
    (tmp_path / "hill" / "champion.json").write_text("{}")
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(bucket, "gcloud", lambda *words: calls.append(words))
    bucket.push("gs://b/registry", tmp_path)
    assert [call[1] for call in calls] == ["rsync", "cp"]
    assert "champion" in next(word for word in calls[0] if word.startswith("--exclude="))
    assert calls[1][-1] == "gs://b/registry/hill/champion.json"


def test_the_job_runs_the_commits_own_script_and_gcloud_cannot_split_it() -> None:
    assert "," not in training.SCRIPT
    assert subprocess.run(["bash", "-n", "-c", training.SCRIPT], check=False).returncode == 0
    (file,) = (word for word in training.SCRIPT.split() if word.endswith(".py"))
    assert (Path(training.__file__).parents[2] / file).is_file()


def test_a_champion_that_somebody_else_moved_meanwhile_is_not_overwritten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "registry"
    (folder / "hill").mkdir(parents=True)
    (folder / "hill" / "champion.json").write_text("one")
    calls: list[str] = []
    there = ["one"]

    def gcloud(*words: str) -> str:
        calls.append(words[1])
        return there[0] if words[1] == "cat" else ""

    monkeypatch.setattr(bucket, "gcloud", gcloud)
    bucket.pull("gs://b/registry", folder)
    (folder / "hill" / "champion.json").write_text("ours")
    bucket.push("gs://b/registry", folder)
    assert calls == ["rsync", "cat", "rsync", "cp"]
    there[0] = "theirs"
    with pytest.raises(DeliveryError, match="moved meanwhile"):
        bucket.push("gs://b/registry", folder)
    assert calls[4:] == ["cat"]
