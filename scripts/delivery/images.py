"""Pushes the images that `make images` built: `python scripts/delivery/images.py REPOSITORY …`, such as ghcr.io/owner.

Each image goes to every repository under the commit's name (GITHUB_SHA), and under the tag's if GITHUB_REF is one. With
GITHUB_OUTPUT set, the digests that the registries name are written there, for what attests them.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = ("windcast-serve", "windcast-train", "windcast-train-gpu")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def tags(commit: str, ref: str) -> list[str]:
    """Under which an image is pushed. Raises ValueError for a commit that is none."""
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise ValueError(f"GITHUB_SHA is '{commit}', not a commit.")
    version = re.fullmatch(r"refs/tags/(v[0-9]+(?:\.[0-9]+){2})", ref)
    return [commit, *([version[1]] if version else [])]


def push(image: str, target: str, tag: str) -> str:
    """The digest of localhost/IMAGE as the registry has it."""
    with tempfile.NamedTemporaryFile("r", suffix=".digest") as file:
        words = ["podman", "push", "--digestfile", file.name, f"localhost/{image}", f"{target}/{image}:{tag}"]
        subprocess.run(words, check=True)
        digest = Path(file.name).read_text().strip()
    if not DIGEST.fullmatch(digest):
        raise ValueError(f"{target}/{image}:{tag}: podman names no digest, but '{digest[:80]}'.")
    return digest


def main(repositories: list[str]) -> int:
    if not repositories:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        for tag in tags(os.environ.get("GITHUB_SHA", ""), os.environ.get("GITHUB_REF", "")):
            for image in IMAGES:
                digests = {push(image, target.lower(), tag) for target in repositories}
                if len(digests) != 1:
                    raise ValueError(f"{image}: the registries name different digests: {', '.join(sorted(digests))}.")
                if output := os.environ.get("GITHUB_OUTPUT"):
                    with Path(output).open("a") as file:
                        file.write(f"{image}={digests.pop()}\n")
    except (ValueError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
