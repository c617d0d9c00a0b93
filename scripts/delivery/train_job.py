"""What the job `windcast-train` does in its container: data by DVC, the pipeline, a challenger for the gate.

From the environment: WINDCAST_RUN names the training. WINDCAST_PARAMS, if set, is params.yaml in base64: values for
windcast to check, not code. WINDCAST_DATA is the DVC remote (gs://…), WINDCAST_MODELS the mounted bucket of models.
Runs in the folder of dvc.yaml. Leaves results/ in WINDCAST_MODELS/runs/WINDCAST_RUN.
"""

import base64
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

KEPT = ("prepared", "run", "bundle", "challenger", "report")
NAME = re.compile(r"[0-9]{1,20}-[0-9]{1,5}|local-[0-9]{1,5}")


def commands(*, remote: str, until: str, versions_alone: bool) -> list[list[str]]:
    """In order. versions_alone: the folder is no git repository."""
    local = ["dvc", "config", "--local"]
    train = ["windcast", "train", "--config", "params.yaml", "data=prepared", "data.folder=results/prepared"]
    return [
        *([[*local, "core.no_scm", "true"]] if versions_alone else []),
        *([["dvc", "remote", "add", "--local", "--force", "--default", "versions", remote]] if remote else []),
        *([["dvc", "pull", "--allow-missing"]] if remote else []),
        ["dvc", "repro"],
        *([["dvc", "push"]] if remote else []),
        [*train, "--scores", "results/run", "--until", until, "--out", "results/challenger"],
    ]


def until_of(params: str) -> str:
    """Where the test span begins: what a challenger has not seen of it, the gate can judge it by."""
    start = (yaml.safe_load(params).get("backtest") or {}).get("start")
    if not start:
        raise SystemExit("params.yaml: backtest.start is not set, so nothing would be left for the gate to judge by.")
    return str(start)


def keep(results: Path, to: Path) -> None:
    """Copies what a promotion and a report need; what is there already is replaced."""
    for name in KEPT:
        if (results / name).exists():
            shutil.rmtree(to / name, ignore_errors=True)
            shutil.copytree(results / name, to / name)


def main() -> int:
    run, models = os.environ.get("WINDCAST_RUN", ""), os.environ.get("WINDCAST_MODELS", "")
    if not NAME.fullmatch(run) or not models:
        print("error: WINDCAST_RUN must name the training, and WINDCAST_MODELS the bucket's folder.", file=sys.stderr)
        return 2
    if given := os.environ.get("WINDCAST_PARAMS"):
        Path("params.yaml").write_bytes(base64.b64decode(given, validate=True))
    until = until_of(Path("params.yaml").read_text("utf-8"))
    remote = os.environ.get("WINDCAST_DATA", "")
    for command in commands(remote=remote, until=until, versions_alone=not Path(".git").exists()):
        print("$", *command, flush=True)
        subprocess.run(command, check=True)
    keep(Path("results"), Path(models) / "runs" / run)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
