"""Deploys what was promoted: `python scripts/delivery/deploy.py release` or `… back`. Settings: see `Settings`.

release  refuses what was not promoted; copies the champion to a folder of its own, which no later promotion touches;
         makes a revision of it without traffic; see canary.release for the rest.
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
from promoted import Promoted, in_bucket, promoted
from smoke import Smoke

FORMER = Path("former-revision.txt")


@dataclass(frozen=True)
class Settings:
    """From the environment: GCP_PROJECT, GCP_REGION, WINDCAST_FARM, GITHUB_SHA (the commit whose image is deployed),
    GITHUB_RUN_ID and GITHUB_RUN_ATTEMPT (they name the revision), WINDCAST_WATCH_MINUTES, IDENTITY_TOKEN."""

    project: str
    region: str
    farm: str
    commit: str
    run: str
    minutes: float
    identity: str

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
            farm=_env("WINDCAST_FARM"),
            commit=_env("GITHUB_SHA"),
            run=f"{_env('GITHUB_RUN_ID') or 'local'}-{_env('GITHUB_RUN_ATTEMPT') or '1'}",
            minutes=float(_env("WINDCAST_WATCH_MINUTES") or 10),
            identity=_env("IDENTITY_TOKEN"),
        )

    @property
    def models(self) -> str:
        return f"gs://{self.project}-windcast-models"

    @property
    def image(self) -> str:
        return f"{self.region}-docker.pkg.dev/{self.project}/windcast/windcast-serve"


def run_release(settings: Settings) -> None:
    chosen = promoted(settings.farm, *in_bucket(f"{settings.models}/registry"))
    print(f"{chosen.farm}: version {chosen.version} ({chosen.key}), {chosen.how}.")
    service = Service("windcast", settings.project, settings.region)
    former = service.serving()
    FORMER.write_text(former)
    snapshot = keep(settings, chosen)
    where = ["--host", "0.0.0.0", "--keys", "/keys/keys.json"]
    arguments = ["serve", "--champion", chosen.farm, "--registry", snapshot, *where]
    revision = service.deploy(image=pinned(settings), revision=f"v{chosen.version}-{settings.run}", arguments=arguments)
    key = gcloud("secrets", "versions", "access", "latest", "--secret=windcast-smoke-key",
                 f"--project={settings.project}").strip()  # fmt: skip
    smoke = Smoke(chosen.farm, chosen.checksum, key=key, identity=settings.identity)
    release(service, former=former, revision=revision, smoke=smoke, bounds=Bounds(minutes=settings.minutes))


def keep(settings: Settings, chosen: Promoted) -> str:
    """The folder, as the service sees it, that holds this champion alone and is never written again."""
    name = f"releases/v{chosen.version}-{settings.run}"
    source, target = f"{settings.models}/registry/{chosen.farm}", f"{settings.models}/{name}/{chosen.farm}"
    gcloud("storage", "cp", "--recursive", f"{source}/{chosen.key}/bundle", f"{target}/{chosen.key}/")
    gcloud("storage", "cp", f"{source}/champion.json", f"{target}/champion.json")
    return f"/models/{name}"


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
    service = Service("windcast", settings.project, settings.region)
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
