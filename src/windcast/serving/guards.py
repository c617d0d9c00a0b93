"""Who may do what, and how often."""

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from windcast.errors import ConfigError
from windcast.serving.keys import Key, Keys, Scope
from windcast.serving.problems import Forbidden, TooMany, Unauthorised, Unavailable

log = logging.getLogger("windcast.service")
CLIENTS = 10_000  # whose allowance is remembered

bearer = HTTPBearer(auto_error=False, description="A key made with `windcast keys add NAME`.")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


@dataclass
class Bucket:
    left: float
    at: float


class Allowance:
    """A token bucket a client: `rate` requests a second on average, `burst` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self.buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, client: str) -> None:
        """Raises TooMany when nothing is left."""
        now = time.monotonic()
        bucket = self.buckets.get(client)
        if bucket is None:
            bucket = self.buckets[client] = Bucket(self.burst, now)
            while len(self.buckets) > CLIENTS:
                self.buckets.popitem(last=False)
        self.buckets.move_to_end(client)
        bucket.left = min(self.burst, bucket.left + (now - bucket.at) * self.rate)
        bucket.at = now
        if bucket.left < 1:
            wait = max(1, round((1 - bucket.left) / self.rate))
            raise TooMany(
                f"more than {self.rate:g} requests a second. Wait {wait} s.", headers={"Retry-After": str(wait)}
            )
        bucket.left -= 1


class Guard:
    """A dependency of routes: the key, if keys are on, must allow `scope` on the farm in the path."""

    def __init__(self, scope: Scope) -> None:
        self.scope: Scope = scope

    async def __call__(self, request: Request, credentials: Bearer = None) -> Key | None:
        state = request.app.state
        host = request.client.host if request.client else "?"
        keys: Keys | None = state.keys
        if keys is None:
            state.allowance.take(host)
            return None
        key = _known(keys, credentials.credentials) if credentials else None
        state.allowance.take(f"key {key.name}" if key else f"host {host}")
        if key is None:
            said = "the API key is not known" if credentials else "an API key is needed"
            raise Unauthorised(f"{said}. Send `Authorization: Bearer wc_…`; ask whoever runs this service for a key.")
        request.state.key = key
        check(key, self.scope, request.path_params.get("farm"))
        return key


def _known(keys: Keys, token: str) -> Key | None:
    try:
        return keys.find(token)
    except ConfigError as error:
        log.error("keys", extra={"reason": str(error)})
        raise Unavailable("the API keys cannot be read. Tell whoever runs this service.") from None


def check(key: Key | None, scope: Scope, farm: str | None) -> None:
    """Raises Forbidden unless the key allows it. farm: None where the route names none; each is checked later."""
    if key is None:
        return
    allowed = key.allows(scope, farm) if farm is not None else scope in key.scopes
    if not allowed:
        where = "" if farm is None else f" on farm {farm[:64]}"
        raise Forbidden(f"key '{key.name}' may not {scope}{where}. Ask whoever runs this service for another.")


reads, writes = Guard("read"), Guard("write")
Reader = Annotated[Key | None, Depends(reads)]
Writer = Annotated[Key | None, Depends(writes)]
