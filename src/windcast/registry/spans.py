"""What a bundle has seen: the time until which it learned, and until which its settings were chosen.

Two bundles are compared on issue times that neither has seen. Both times stand in the bundle's manifest, or in the
record of the run that it came from, and the later counts.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from windcast.data.farm import Times
from windcast.errors import TaskError
from windcast.registry.bundles import Bundle


@dataclass(frozen=True, kw_only=True)
class Seen:
    """name: whose. trained_until: no power after it was learned from. tuned_until: nor chosen by; None if not tuned."""

    name: str
    trained_until: datetime
    tuned_until: datetime | None = None

    @property
    def until(self) -> datetime:
        return self.trained_until if self.tuned_until is None else max(self.trained_until, self.tuned_until)

    def to_dict(self) -> dict[str, str | None]:
        tuned = None if self.tuned_until is None else self.tuned_until.isoformat()
        return {"trained_until": self.trained_until.isoformat(), "tuned_until": tuned}


def seen_by(bundle: Bundle, name: str, *, recorded: dict[str, str] | None = None) -> Seen:
    """recorded: tags of the tracked run, `fitted_until` and `tuned_until`, where there is one."""
    tags = recorded or {}
    trained = [bundle.trained_until, *_times(tags.get("fitted_until"))]
    tuned = _times(bundle.manifest["config"].get("tuned_until"), tags.get("tuned_until"))
    return Seen(name=name, trained_until=max(trained), tuned_until=max(tuned, default=None))


def unseen(times: Times, *seen: Seen, since: datetime | None = None, least: timedelta) -> Times:
    """The issue times [N] that none has seen; with `since`, all from then on, or none.

    A forecast issued at the very time until which a model learned is unseen: all of its valid times are later.
    Raises TaskError, naming the overlap, where `since` reaches into a span, or where less than `least` is left.
    """
    wanted = times if since is None else times[times >= us(since)]
    for one in seen if since is not None else ():
        shared = wanted[wanted < us(one.until)]
        if len(shared):
            raise TaskError(
                f"{one.name} has seen {_span(shared)}: {len(shared):,} of the {len(wanted):,} issue times to compare "
                f"on ({_how(one)}). Compare from {one.until:%Y-%m-%d %H:%M} UTC on, or train it until {since:%Y-%m-%d}."
            )
    last = max(seen, key=lambda one: one.until)
    free = wanted[wanted >= us(last.until)]
    if not len(free) or free[-1] - free[0] < np.timedelta64(least, "us"):
        end = f"the data's last issue time is {_text(times[-1])}" if len(times) else "the data have no issue time"
        raise TaskError(
            f"{len(free):,} issue times are left that nobody has seen: {last.name} has seen everything until "
            f"{last.until:%Y-%m-%d %H:%M} UTC ({_how(last)}), and {end}. At least {least / timedelta(days=1):g} days "
            f"are due: train it until an earlier time (windcast train --until), or wait for more data."
        )
    return free


def us(time: datetime) -> np.datetime64:
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")


def _times(*texts: str | None) -> list[datetime]:
    found = [datetime.fromisoformat(text) for text in texts if text]
    return [time.replace(tzinfo=UTC) if time.tzinfo is None else time for time in found]


def _how(one: Seen) -> str:
    trained = f"trained until {one.trained_until:%Y-%m-%d %H:%M}"
    return trained if one.tuned_until is None else f"{trained}, tuned until {one.tuned_until:%Y-%m-%d %H:%M}"


def _span(times: Times) -> str:
    return f"{_text(times[0])} to {_text(times[-1])} UTC"


def _text(time: np.datetime64) -> str:
    return str(time)[:16].replace("T", " ")
