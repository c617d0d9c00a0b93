"""gcloud as a function: what it prints, or a DeliveryError that says which command failed and why."""

import json
import subprocess
from typing import Any


class DeliveryError(Exception):
    """A delivery cannot go on; the message says why and what to do."""


def gcloud(*words: str) -> str:
    """Standard output of `gcloud WORDS`. Raises DeliveryError where it fails or is missing."""
    try:
        done = subprocess.run(["gcloud", *words, "--quiet"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DeliveryError("gcloud is not on PATH. Install the Google Cloud CLI.") from None
    if done.returncode:
        raise DeliveryError(f"gcloud {' '.join(words[:4])} failed ({done.returncode}): {done.stderr.strip()[-800:]}")
    return done.stdout


def gcloud_json(*words: str) -> Any:
    """What `gcloud WORDS --format=json` prints, read."""
    said = gcloud(*words, "--format=json")
    try:
        return json.loads(said or "null")
    except ValueError:
        raise DeliveryError(f"gcloud {' '.join(words[:4])} printed no JSON: {said[:200]}") from None
