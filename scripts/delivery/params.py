"""params.yaml of a pull request, by its number: `python scripts/delivery/params.py NUMBER FILE`. Nothing else of it.

The file is a pull request's only part that a training takes: values that windcast checks, never code. So a training
with credentials runs what main holds, whoever wrote the pull request.
"""

import re
import subprocess
import sys
from pathlib import Path

MOST = 16_000


def fetch(number: str, file: Path) -> None:
    """Raises ValueError where the number is none, or the pull request has no such file of a fitting size."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", number):
        raise ValueError("the pull request is not a number.")
    subprocess.run(["git", "fetch", "--quiet", "--depth=1", "origin", f"refs/pull/{number}/head"], check=True)
    kind = _git("cat-file", "-t", "FETCH_HEAD:params.yaml").strip()
    size = int(_git("cat-file", "-s", "FETCH_HEAD:params.yaml")) if kind == b"blob" else 0
    if not 0 < size <= MOST:
        raise ValueError(f"pull request {number}: params.yaml is no file of up to {MOST} bytes.")
    file.write_bytes(_git("cat-file", "blob", "FETCH_HEAD:params.yaml"))


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], check=True, capture_output=True).stdout


def main(words: list[str]) -> int:
    if len(words) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        fetch(words[0], Path(words[1]))
    except (ValueError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
