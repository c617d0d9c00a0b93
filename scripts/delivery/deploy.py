"""Deploys what was promoted: `python scripts/delivery/deploy.py release` or `… back`. Settings: see `Settings`.

release  refuses what was not promoted; copies the champions to a folder of their own, which no later promotion touches;
         makes a revision of them without traffic; see canary.release for the rest. On schedule it does nothing where
         the same champions are served already.
back     gives the traffic to the revision that served before the last release that was begun here.
"""

import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from canary import Bounds, release
from cloudrun import Service
from gcloud import DeliveryError, gcloud
from promoted import Promoted, checksum_of, in_bucket, promoted
from smoke import Smoke

FORMER = Path("former-revision.txt")
SERVICE = "windcast"


@dataclass(frozen=True)
class Settings:
    """From the environment: GCP_PROJECT, GCP_REGION, WINDCAST_FARM (farms with a comma between them), GITHUB_SHA (the
    commit whose image is deployed), GITHUB_RUN_ID and GITHUB_RUN_ATTEMPT (they name the revision), GITHUB_EVENT_NAME,
    WINDCAST_WATCH_MINUTES, IDENTITY_TOKEN."""

    project: str
    region: str
    farms: tuple[str, ...]
    commit: str
    run: str
    minutes: float
    identity: str
    scheduled: bool

    @classmethod
    def read(cls) -> "Settings":
        missing = [name for name in ("GCP_PROJECT", "GCP_REGION", "WINDCAST_FARM", "GITHUB_SHA") if not _env(name)]
        if missing:
            raise DeliveryError(f"{', '.join(missing)}: not set. They are variables of the repository, see docs/ci.md.")
        if not re.fullmatch(r"[0-9a-f]{40}", _env("GITHUB_SHA")):
            raise DeliveryError("GITHUB_SHA: is not a commit.")
        return cls(
            project=_env("GCP_PROJECT"),
            region=_env("GCP_REGION"),
            farms=tuple(re.split(r"[,\s]+", _env("WINDCAST_FARM").strip())),
            commit=_env("GITHUB_SHA"),
            run=f"{_env('GITHUB_RUN_ID') or 'local'}-{_env('GITHUB_RUN_ATTEMPT') or '1'}",
            minutes=float(_env("WINDCAST_WATCH_MINUTES") or 10),
            identity=_env("IDENTITY_TOKEN"),
            scheduled=_env("GITHUB_EVENT_NAME") == "schedule",
        )

    @property
    def models(self) -> str:
        return f"gs://{self.project}-windcast-models"

    @property
    def suffix(self) -> str:
        """Of the revision, and the name of its folder below `releases`."""
        return f"r{self.run}"

    @property
    def image(self) -> str:
        return f"{self.region}-docker.pkg.dev/{self.project}/windcast/windcast-serve"


def run_release(settings: Settings) -> None:
    chosen = [promoted(farm, *in_bucket(f"{settings.models}/registry")) for farm in settings.farms]
    for one in chosen:
        print(f"{one.farm}: version {one.version} ({one.key}), {one.how}.")
    service = Service(SERVICE, settings.project, settings.region)
    former = service.serving()
    if settings.scheduled and all(_served(settings, former, one.farm) == one.checksum for one in chosen):
        print(f"{former} serves them already.")
        return
    FORMER.write_text(former)
    snapshot = keep(settings, chosen)
    champions = [word for one in chosen for word in ("--champion", one.farm)]
    where = ["--host", "0.0.0.0", "--keys", "/keys/keys.json"]
    arguments = ["serve", *champions, "--registry", snapshot, *where]
    revision = service.deploy(image=pinned(settings), revision=settings.suffix, arguments=arguments)
    key = gcloud("secrets", "versions", "access", "latest", "--secret=windcast-smoke-key",
                 f"--project={settings.project}").strip()  # fmt: skip
    asked = [Smoke(one.farm, one.checksum, key=key, identity=settings.identity) for one in chosen]

    def smoke(address: str) -> None:
        for ask in asked:
            ask(address)

    release(service, former=former, revision=revision, smoke=smoke, bounds=Bounds(minutes=settings.minutes))


def keep(settings: Settings, chosen: list[Promoted]) -> str:
    """The folder, as the service sees it, that holds these champions alone and is never written again."""
    name = f"releases/{settings.suffix}"
    for one in chosen:
        source, target = f"{settings.models}/registry/{one.farm}", f"{settings.models}/{name}/{one.farm}"
        gcloud("storage", "cp", "--recursive", f"{source}/{one.key}/bundle", f"{target}/{one.key}/")
        gcloud("storage", "cp", f"{source}/champion.json", f"{target}/champion.json")
    return f"/models/{name}"


def _served(settings: Settings, revision: str, farm: str) -> str:
    """The checksum of what a revision that was deployed here serves; empty where none was."""
    read, _ = in_bucket(f"{settings.models}/releases/{revision.removeprefix(f'{SERVICE}-')}")
    try:
        return checksum_of(farm, read)
    except DeliveryError:
        return ""


def pinned(settings: Settings) -> str:
    """The image that was built from the commit, by its digest."""
    digest = gcloud(
        *("artifacts", "docker", "images", "describe", f"{settings.image}:{settings.commit}"),
        *("--format=value(image_summary.digest)", f"--project={settings.project}"),
    ).strip()
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise DeliveryError(f"{settings.image}:{settings.commit}: no such image. Let images.yml push it first.")
    return f"{settings.image}@{digest}"


def run_back(settings: Settings) -> None:
    """Nothing to do where no release was begun."""
    if not FORMER.is_file():
        print("No release was begun here.")
        return
    former = FORMER.read_text().strip()
    service = Service(SERVICE, settings.project, settings.region)
    service.route({former: 100})
    print(f"{former} serves everything.")


def _env(name: str) -> str:
    return os.environ.get(name, "")


def _stopped(*_: object) -> None:
    raise DeliveryError("The release was stopped")


def main(words: list[str]) -> int:
    commands = {"release": run_release, "back": run_back}
    if len(words) != 1 or words[0] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _stopped)
    try:
        commands[words[0]](Settings.read())
    except DeliveryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
