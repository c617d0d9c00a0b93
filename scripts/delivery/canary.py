"""A release in three steps: a revision without traffic that is tried out, a small share that is watched, everything.

Whatever goes wrong, be it that the command is stopped, the revision that served before has the whole traffic again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from cloudrun import Request
from gcloud import DeliveryError


class Deployed(Protocol):
    """What a release needs of a service (see cloudrun.Service)."""

    def address(self) -> str: ...
    def route(self, shares: dict[str, int]) -> None: ...
    def untag(self) -> None: ...
    def requests(self, revision: str, since: datetime) -> list[Request]: ...


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """share: per cent of the traffic that the canary gets, for `minutes`, looked at every `every` seconds.

    errors: share of its answers that may be 5xx. seconds: what 95 % of its answers may take, or `slower` times what
    the former revision takes where that is more. enough: answers below which nothing is judged.
    """

    share: int = 10
    minutes: float = 10
    every: float = 30
    errors: float = 0.01
    seconds: float = 1.0
    slower: float = 2.0
    enough: int = 20


def verdict(canary: Sequence[Request], former: Sequence[Request], bounds: Bounds) -> str:
    """What is wrong with the canary; empty where nothing is, or where too few answers are known to say so."""
    if len(canary) < bounds.enough:
        return ""
    failed = sum(one.status >= 500 for one in canary)
    if failed > bounds.errors * len(canary):
        return f"{failed} of {len(canary)} answers failed, more than {100 * bounds.errors:g} %"
    slow, usual = _p95(canary), _p95(former) if len(former) >= bounds.enough else 0.0
    limit = max(bounds.seconds, bounds.slower * usual)
    if slow > limit:
        return f"5 % of {len(canary)} answers took over {slow:.2f} s; {limit:.2f} s may be"
    return ""


def _p95(requests: Sequence[Request]) -> float:
    ordered = sorted(one.seconds for one in requests)
    return ordered[max(0, -(-95 * len(ordered) // 100) - 1)] if ordered else 0.0


@contextmanager
def way_back(service: Deployed, former: str, say: Callable[[str], None]) -> Iterator[None]:
    """Within it, any failure gives the former revision the whole traffic, then goes on as the failure that it is."""
    try:
        yield
    except BaseException as error:
        say(f"{error or type(error).__name__}. Back to {former}.")
        service.route({former: 100})
        service.untag()
        raise


def release(
    service: Deployed,
    *,
    former: str,
    revision: str,
    smoke: Callable[[str], None],
    bounds: Bounds,
    say: Callable[[str], None] = print,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Gives `revision`, which has no traffic, the whole of it, if it passes the smoke test and bears its share.

    Raises DeliveryError, with `former` serving everything, where it does not, or where its answers cannot be read.
    """
    with way_back(service, former, say):
        address, began = service.address(), datetime.now(UTC)
        smoke(address)
        say(f"{revision} passed the smoke test; it gets {bounds.share} % of the traffic.")
        service.route({former: 100 - bounds.share, revision: bounds.share})
        _watch(service, former=former, revision=revision, smoke=smoke, address=address, since=began,
               bounds=bounds, pause=pause)  # fmt: skip
        service.route({revision: 100})
        smoke(address)
    service.untag()
    say(f"{revision} serves everything.")


def _watch(
    service: Deployed,
    *,
    former: str,
    revision: str,
    smoke: Callable[[str], None],
    address: str,
    since: datetime,
    bounds: Bounds,
    pause: Callable[[float], None],
) -> None:
    looks = max(1, round(bounds.minutes * 60 / bounds.every))
    answered: list[Request] = []
    for _ in range(looks):
        pause(bounds.every)
        smoke(address)  # also so that a quiet service has answers to judge
        answered = service.requests(revision, since)
        wrong = verdict(answered, service.requests(former, since), bounds)
        if wrong:
            raise DeliveryError(f"{revision}: {wrong}.")
    if len(answered) < bounds.enough:
        raise DeliveryError(
            f"{revision}: the log knows {len(answered)} of its answers, {bounds.enough} are needed to judge it. "
            "Watch it for longer, or see whether requests are logged."
        )
