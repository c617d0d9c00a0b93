"""A training on Google Cloud: `python scripts/delivery/training.py run | stop | fetch`.

run    executes the Cloud Run job `windcast-train`, which has the GPU, and waits until it is done.
stop   cancels every execution that this workflow run has begun and that still goes on; asked twice it does nothing.
fetch  copies what the training left (bundle, report, scores, verdict's inputs) from the bucket into results/.

The job's machine exists only while an execution does, and Cloud Run ends an execution at the job's time limit, so a GPU
that nobody stops is not possible; `stop` ends it sooner.
"""

import base64
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcloud import DeliveryError, gcloud, gcloud_json

JOB, RUN = "windcast-train", "WINDCAST_RUN"
MOST_PARAMS = 16_000  # bytes of params.yaml: an environment variable of Cloud Run holds 32 KB
EVERY = 30.0
# What the job's shell runs: this commit's code, and no comma, which gcloud would split at.
SCRIPT = (
    'cd "$(mktemp -d)" && git init --quiet && git fetch --quiet --depth=1 "$WINDCAST_SOURCE" "$WINDCAST_COMMIT" && '
    "git checkout --quiet FETCH_HEAD && exec python scripts/delivery/train_job.py"
)


@dataclass(frozen=True)
class Training:
    """run: names this training, in the job's environment and in the bucket. commit: whose code it runs.

    patience: seconds to wait for it.
    """

    project: str
    region: str
    run: str
    commit: str = "HEAD"
    patience: float = 5 * 3600

    @classmethod
    def read(cls) -> "Training":
        """From GCP_PROJECT, GCP_REGION, GITHUB_RUN_ID, GITHUB_RUN_ATTEMPT and, else main's newest, GITHUB_SHA."""
        given = {n: os.environ.get(n, "") for n in ("GCP_PROJECT", "GCP_REGION", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT")}
        missing = [name for name, value in given.items() if not value]
        if missing:
            raise DeliveryError(f"{', '.join(missing)}: not set. See docs/ci.md.")
        run = f"{given['GITHUB_RUN_ID']}-{given['GITHUB_RUN_ATTEMPT']}"
        return cls(given["GCP_PROJECT"], given["GCP_REGION"], run, os.environ.get("GITHUB_SHA") or "HEAD")

    @property
    def _where(self) -> tuple[str, ...]:
        return f"--project={self.project}", f"--region={self.region}"

    def start(self, params: bytes) -> str:
        """Begins an execution with this params.yaml; its name."""
        if len(params) > MOST_PARAMS:
            raise DeliveryError(f"params.yaml has {len(params)} bytes, more than {MOST_PARAMS}. Leave defaults out.")
        told = {
            RUN: self.run,
            "WINDCAST_COMMIT": self.commit,
            "WINDCAST_MODELS": "/models",
            "WINDCAST_PARAMS": base64.b64encode(params).decode(),
        }
        values = ",".join(f"{name}={value}" for name, value in told.items())
        given = (f"--args={SCRIPT}", f"--update-env-vars={values}")
        found = gcloud_json("run", "jobs", "execute", JOB, "--async", *given, *self._where)
        return str(found["metadata"]["name"])

    def wait(self, execution: str, *, pause: Callable[[float], None] = time.sleep) -> None:
        """Until it is done. Raises DeliveryError where it failed, was cancelled, or takes longer than `patience`."""
        for _ in range(max(1, round(self.patience / EVERY))):
            found = gcloud_json("run", "jobs", "executions", "describe", execution, *self._where)
            status = found.get("status") or {}
            if status.get("completionTime"):
                if int(status.get("succeededCount") or 0) < 1:
                    raise DeliveryError(f"{execution} failed: {_reason(status)}. Its log: {status.get('logUri', '?')}")
                return
            pause(EVERY)
        raise DeliveryError(f"{execution}: not done after {self.patience / 3600:g} h.")

    def running(self) -> list[str]:
        """Executions of this run that go on, found by what the job was told and not by what `start` returned."""
        every = gcloud_json("run", "jobs", "executions", "list", f"--job={JOB}", *self._where) or []
        return [one["metadata"]["name"] for one in every if self._ours(one) and not _ended(one)]

    def stop(self) -> list[str]:
        """Cancels them all, also where cancelling one fails; then raises DeliveryError. The names."""
        names, failures = self.running(), []
        for name in names:
            try:
                gcloud("run", "jobs", "executions", "cancel", name, *self._where)
            except DeliveryError as error:
                failures.append(str(error))
        if failures:
            raise DeliveryError("; ".join(failures))
        return names

    def fetch(self, to: Path) -> None:
        """What the job left in the bucket of models, below runs/."""
        to.mkdir(parents=True, exist_ok=True)
        gcloud("storage", "cp", "--recursive", f"gs://{self.project}-windcast-models/runs/{self.run}/*", f"{to}/")

    def _ours(self, execution: dict[str, Any]) -> bool:
        template = ((execution.get("spec") or {}).get("template") or {}).get("spec") or {}
        variables = [one for container in template.get("containers") or [] for one in container.get("env") or []]
        return any(one.get("name") == RUN and one.get("value") == self.run for one in variables)


def _ended(execution: dict[str, Any]) -> bool:
    return bool((execution.get("status") or {}).get("completionTime"))


def _reason(status: dict[str, Any]) -> str:
    said = [str(one.get("message", "")) for one in status.get("conditions") or [] if one.get("status") == "False"]
    return re.sub(r"\s+", " ", " ".join(said))[:300] or "no reason given"


def main(words: list[str]) -> int:
    try:
        training = Training.read()
        if words == ["run"]:
            name = training.start(Path(os.environ.get("WINDCAST_PARAMS_FILE") or "params.yaml").read_bytes())
            print(f"{name} has begun.", flush=True)
            training.wait(name)
            print(f"{name} is done.")
        elif words == ["stop"]:
            print("Cancelled:", ", ".join(training.stop()) or "nothing, none was running.")
        elif words == ["fetch"]:
            training.fetch(Path("results"))
        else:
            print(__doc__, file=sys.stderr)
            return 2
    except (DeliveryError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
