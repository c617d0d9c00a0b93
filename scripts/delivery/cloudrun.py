"""A Cloud Run service: its revisions, which share of the traffic each has, and what its requests came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gcloud import DeliveryError, gcloud, gcloud_json

TAG = "canary"
LOGGED = 5_000  # requests that are read at most


@dataclass(frozen=True)
class Request:
    """An answered request as Cloud Run logged it."""

    status: int
    seconds: float


@dataclass(frozen=True)
class Service:
    """A service that exists already: Terraform makes it, a deployment gives it revisions."""

    name: str
    project: str
    region: str

    @property
    def _where(self) -> tuple[str, ...]:
        return f"--project={self.project}", f"--region={self.region}"

    def serving(self) -> str:
        """The revision with the most traffic. Raises DeliveryError where none has any."""
        shares = [(one.get("percent") or 0, one.get("revisionName")) for one in self._traffic()]
        share, revision = max(shares, default=(0, None))
        if not share or not revision:
            raise DeliveryError(f"{self.name}: no revision has traffic, so there is none to go back to. Apply infra/.")
        return str(revision)

    def deploy(self, *, image: str, revision: str, arguments: list[str]) -> str:
        """A revision without traffic, reachable under the tag alone. Its full name."""
        gcloud(
            *("run", "deploy", self.name, f"--image={image}", f"--args={','.join(arguments)}"),
            *("--no-traffic", f"--tag={TAG}", f"--revision-suffix={revision}", *self._where),
        )
        return f"{self.name}-{revision}"

    def address(self) -> str:
        """Of the revision that has the tag."""
        found = next((one["url"] for one in self._traffic() if one.get("tag") == TAG), None)
        if not found:
            raise DeliveryError(f"{self.name}: no revision has the tag {TAG}. Look at the service's revisions.")
        return str(found)

    def route(self, shares: Mapping[str, int]) -> None:
        """The whole traffic, in per cent by revision."""
        assert sum(shares.values()) == 100, shares
        told = ",".join(f"{revision}={percent}" for revision, percent in shares.items())
        gcloud("run", "services", "update-traffic", self.name, f"--to-revisions={told}", *self._where)

    def untag(self) -> None:
        gcloud("run", "services", "update-traffic", self.name, f"--remove-tags={TAG}", *self._where)

    def requests(self, revision: str, since: datetime) -> list[Request]:
        """What a revision has answered since then, newest first, from the service's request log."""
        wanted = (
            'resource.type="cloud_run_revision"',
            f'resource.labels.service_name="{self.name}"',
            f'resource.labels.revision_name="{revision}"',
            f'timestamp>="{since:%Y-%m-%dT%H:%M:%SZ}"',
            "httpRequest.status>0",
        )
        found = gcloud_json("logging", "read", " AND ".join(wanted), f"--project={self.project}", f"--limit={LOGGED}")
        return [_request(entry["httpRequest"]) for entry in found or []]

    def _traffic(self) -> list[dict[str, Any]]:
        found = gcloud_json("run", "services", "describe", self.name, *self._where)
        traffic: list[dict[str, Any]] = (found.get("status") or {}).get("traffic") or []
        return traffic


def _request(told: dict[str, Any]) -> Request:
    return Request(int(told["status"]), float(str(told.get("latency", "0s")).removesuffix("s")))
