"""Builds the images with docker or podman, and says what they weigh on top of their base.

    python docker/build.py serve train train-gpu
    BASE=registry.example/python:3.11 ENGINE=podman python docker/build.py serve

$BASE: the base image, in place of the one in the Dockerfiles. $ENGINE: docker, podman or buildah; else the first of
podman and docker that is there. $SUFFIX: of the images' names. $SOURCE_DATE_EPOCH: the time of all files; else that of
the last commit. $STAND_IN: builds without rights that a machine inside a container does not have.
How pip finds its packages here (`pip config list`, and the file of authorities) goes to the build as a secret.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_BASE = "docker.io/library/python:3.11-slim-bookworm"
AUTHORITIES = "/run/authorities.pem"  # where the Dockerfiles mount the secret of that name
IMAGES: dict[str, dict[str, str]] = {
    "serve": {},
    "train": {"TORCH_INDEX": os.environ.get("TORCH_INDEX", "https://download.pytorch.org/whl/cpu")},
    "train-gpu": {"LOCK": "train-gpu.lock", "TORCH": ""},
}


def main() -> None:
    names = sys.argv[1:]
    unknown = set(names) - set(IMAGES)
    if unknown or not names:
        sys.exit(f"name images out of {', '.join(IMAGES)}" + (f"; there is no {', '.join(unknown)}" if unknown else ""))
    engine = os.environ.get("ENGINE") or next(filter(shutil.which, ("podman", "docker")), None)
    if engine is None:
        sys.exit("neither podman nor docker is there. Install one, or run `make images STAND_IN=1` as root on Debian.")
    for name in names:
        build(engine, name)


def build(engine: str, name: str) -> None:
    base = os.environ.get("BASE") or DEFAULT_BASE
    tag = f"localhost/windcast-{name}{os.environ.get('SUFFIX', '')}"
    time = os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or "0"
    arguments = IMAGES[name] | {
        "BASE": base,
        "SOURCE_DATE_EPOCH": time,
        "VERSION": version(),
        "REVISION": git("rev-parse", "HEAD") or "unknown",
    }
    with tempfile.TemporaryDirectory() as folder:
        secrets, volumes = pip_settings(Path(folder))
        run(
            *command(engine, time, volumes),
            *(f"--build-arg={key}={value}" for key, value in arguments.items()),
            *(f"--secret=id={key},src={file}" for key, file in secrets.items()),
            f"--file=docker/{name.removesuffix('-gpu')}.Dockerfile",
            f"--tag={tag}",
            ".",
        )
    if engine != "buildah":
        own, below = size(engine, tag), size(engine, base)
        print(f"{tag}: {(own - below) / 1e6:.0f} MB on top of {base} ({below / 1e6:.0f} MB)")


def command(engine: str, time: str, volumes: list[str]) -> list[str]:
    """How the engine builds with every file's time set to `time`, so that two builds give the same layers."""
    if engine == "docker":
        return ["docker", "buildx", "build", "--output=type=docker,rewrite-timestamp=true"]
    rooted = ["--isolation=chroot"] if os.environ.get("STAND_IN") else []
    mounts = [f"--volume={folder}:{folder}:ro" for folder in volumes]
    return [
        "buildah",
        "bud",
        "--network=host",
        "--layers=false",
        "--format=docker",
        f"--timestamp={time}",
        *rooted,
        *mounts,
    ]


def pip_settings(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """pip's settings here as files for the build, and the folders that they name. Nothing where there are none."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    lines, secrets, folders = ["[global]"], {}, set()
    for line in listed.stdout.splitlines():
        key, _, quoted = line.partition("=")
        name, value = key.split(".")[-1], quoted.strip("'\"")
        if name == "cert":
            secrets["authorities"] = Path(value)
            value = AUTHORITIES
        for one in value.split():  # an index of files names files beside its own folder
            place = Path(one.removeprefix("file://"))
            folders |= {str(place.parent if one.startswith("file://") else place)} if place.is_dir() else set()
        lines.append(f"{name} = {value}")
    if len(lines) > 1:
        secrets["pip"] = folder / "pip.conf"
        secrets["pip"].write_text("\n".join(dict.fromkeys(lines)) + "\n")
    return secrets, sorted(folders)


def size(engine: str, image: str) -> int:
    told = subprocess.run([engine, "image", "inspect", image], check=True, capture_output=True, text=True)
    found: int = json.loads(told.stdout)[0]["Size"]
    return found


def version() -> str:
    return next(
        line.split('"')[1] for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("version")
    )


def git(*arguments: str) -> str:
    told = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return told.stdout.strip()


def run(*arguments: str) -> None:
    print(" ".join(arguments), flush=True)
    subprocess.run(arguments, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
