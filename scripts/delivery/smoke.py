"""Asks a service that has just been deployed: is it ready, does it serve the bundle it should, and does it forecast?"""

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from gcloud import DeliveryError

TIMEOUT = 30.0
CHAMPION = ".champion"  # after the farm: the name under which its champion is served


@dataclass(frozen=True)
class Smoke:
    """farm, checksum: the bundle that must answer. key: of windcast's API. identity: a token for Cloud Run, if it asks.

    patience: seconds in which the service may become ready.
    """

    farm: str
    checksum: str
    key: str = ""
    identity: str = ""
    patience: float = 60.0

    def __call__(self, address: str) -> None:
        """Raises DeliveryError with what is wrong."""
        self._until_ready(address)
        card = self._ask(address, f"/v1/bundles/{self.farm}{CHAMPION}")
        if card.get("checksum") != self.checksum:
            raise DeliveryError(f"{address}: serves bundle {card.get('checksum')}, not {self.checksum}.")
        (forecast,) = self._ask(address, "/v1/forecasts", question(card, datetime.now(UTC)))["forecasts"]
        wrong = wrong_with(forecast, horizon=card["horizon"], capacity_mw=card["capacity_mw"])
        if wrong or forecast["bundle"]["checksum"] != self.checksum:
            raise DeliveryError(f"{address}: {wrong or 'another bundle answered'}.")

    def _until_ready(self, address: str) -> None:
        until = time.monotonic() + self.patience
        while True:
            try:
                self._ask(address, "/ready")
                return
            except DeliveryError:
                if time.monotonic() > until:
                    raise
                time.sleep(1)

    def _ask(self, address: str, path: str, body: object = None) -> Any:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        if self.identity:
            headers["X-Serverless-Authorization"] = f"Bearer {self.identity}"
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address + path, data=content, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read(300).decode(errors="replace")
            raise DeliveryError(f"{address}{path}: answers {error.code}: {said}") from None
        except (OSError, ValueError) as error:
            raise DeliveryError(f"{address}{path}: does not answer ({error}).") from None


def question(card: dict[str, Any], now: datetime) -> dict[str, Any]:
    """A body for POST /v1/forecasts: two steps of power, no weather, which stops no bundle. Nothing is kept."""
    step = timedelta(minutes=card["resolution_minutes"])
    issue = datetime.fromtimestamp(now.timestamp() // step.total_seconds() * step.total_seconds(), UTC)
    shift = step if card["interval"] == "start" else timedelta(0)
    times = [(issue - ago * step - shift).isoformat() for ago in (1, 0)]
    power = {"time": times, "power_mw": [0.15 * card["capacity_mw"], 0.17 * card["capacity_mw"]]}
    return {"forecasts": [{"farm": card["farm"], "bundle": card["name"], "power": power}]}


def wrong_with(forecast: dict[str, Any], *, horizon: int, capacity_mw: float) -> str:
    """What is wrong with a forecast's document; empty where nothing is."""
    rows: list[list[float]] = forecast["quantiles_mw"]
    if len(rows) != horizon:
        return f"the forecast has {len(rows)} leads, not {horizon}"
    if any(low > high for row in rows for low, high in pairwise(row)):
        return "the forecast's quantiles cross"
    if not all(0 <= value <= capacity_mw for row in rows for value in row):
        return f"the forecast leaves 0 to {capacity_mw:g} MW"
    return ""
