"""The registry between a runner and its bucket: `python scripts/delivery/bucket.py pull | push`.

pull  gs://PROJECT-windcast-models/registry into runs/registry, as it was left by the last promotion.
push  back: bundles, verdicts and moves first, the pointers last, so that who follows a pointer finds what it names.

One promotion at a time: the workflow's concurrency group sees to its own, and a push is refused where somebody else,
such as a scheduled training, has moved a pointer since. MLflow's database stays where it is; these files fill it again.
"""

import json
import os
import sys
from pathlib import Path

from gcloud import DeliveryError, gcloud

REGISTRY = Path("runs") / "registry"
POINTER = "champion.json"
PULLED = "registry-pulled.json"
LATER = r"(^|.*/)(champion\.json|lock|lock-journal)$"


def pull(bucket: str, folder: Path = REGISTRY) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    gcloud("storage", "rsync", "--recursive", bucket, str(folder))
    found = {file.parent.name: file.read_text("utf-8") for file in folder.glob(f"*/{POINTER}")}
    (folder.parent / PULLED).write_text(json.dumps(found), encoding="utf-8")


def push(bucket: str, folder: Path = REGISTRY) -> None:
    """Raises DeliveryError, with nothing written, where a pointer is no longer the one that was pulled."""
    pulled = folder.parent / PULLED
    for farm, pointer in (json.loads(pulled.read_text("utf-8")) if pulled.exists() else {}).items():
        if gcloud("storage", "cat", f"{bucket}/{farm}/{POINTER}") != pointer:
            raise DeliveryError(f"{farm}: its champion was moved meanwhile. Pull, and judge beside that one.")
    gcloud("storage", "rsync", "--recursive", f"--exclude={LATER}", str(folder), bucket)
    for file in sorted(folder.glob(f"*/{POINTER}")):
        gcloud("storage", "cp", str(file), f"{bucket}/{file.parent.name}/{POINTER}")


def main(words: list[str]) -> int:
    commands = {"pull": pull, "push": push}
    project = os.environ.get("GCP_PROJECT", "")
    if len(words) != 1 or words[0] not in commands or not project:
        print(f"{__doc__}\nGCP_PROJECT must be set.", file=sys.stderr)
        return 2
    try:
        commands[words[0]](f"gs://{project}-windcast-models/registry")
    except DeliveryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
