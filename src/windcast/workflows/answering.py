"""Whether a bundle answers: the service itself, started in this process on a store of its own, asked over ASGI."""

import asyncio
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from windcast.data.farm import FarmData
from windcast.errors import WindcastError
from windcast.evaluation.gate import Finding
from windcast.registry.bundles import MANIFEST, Bundle, sha256
from windcast.workflows.serving import Clock, require_extra

NAME = "smoke test"


def smoke_test(bundle: Bundle, farm: FarmData, issue: datetime) -> Finding:
    """Asks the service for the forecast of one issue time, from the power and weather that were known then."""
    require_extra()
    body = question(bundle, farm, issue)
    try:
        # in a thread of its own: in a notebook, this one has an event loop already
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:
            asked = _answered(bundle.folder, Path(folder) / "store.db", issue, body)
            status, answer = thread.submit(asyncio.run, asked).result()
        wrong = _wrong(bundle, status, answer)
    except (WindcastError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        wrong = f"the service did not start or answer: {error!r}"
    said = wrong or f"the service answers for {issue:%Y-%m-%d %H:%M} UTC with {bundle.forecaster.task.horizon} leads."
    return Finding(name=NAME, passed=not wrong, said=said, vital=True)


def question(bundle: Bundle, farm: FarmData, issue: datetime) -> dict[str, Any]:
    """A body for POST /v1/forecasts."""
    task, known = bundle.forecaster.task, farm.known_until(issue)
    since = issue - (max(task.history, task.weather_history) + 2) * task.resolution
    until = issue + (task.horizon + task.weather_lookahead + 2) * task.resolution
    power = known.power.filter(known.power["time"] > since).drop_nulls("power_mw")
    one: dict[str, Any] = {
        "issue_times": [issue.isoformat()],
        "power": {"time": [t.isoformat() for t in power["time"]], "power_mw": power["power_mw"].to_list()},
    }
    valid = known.weather["valid_time"] if bundle.forecaster.variables else None
    if valid is not None:
        step = max(farm.weather_resolution, timedelta(hours=1))
        weather = known.weather.filter((valid > since - step) & (valid < until + step))
        came = [None if t is None else t.isoformat() for t in weather["available_at"]]
        columns = {name: weather[name].to_list() for name in bundle.forecaster.variables}
        one["weather"] = {"valid_time": [t.isoformat() for t in weather["valid_time"]], **columns}
        if None not in came:
            one["weather"]["available_at"] = came
    return {"forecasts": [one]}


async def _answered(folder: Path, store: Path, now: datetime, body: dict[str, Any]) -> tuple[int, bytes]:
    from windcast.serving.app import create_app, open_service
    from windcast.serving.settings import ServiceSettings

    clock = Clock()
    clock.set(max(now, datetime(1971, 1, 1, tzinfo=UTC)))
    app = create_app(open_service(ServiceSettings(bundles=(folder,), store=str(store)), now=clock))
    async with app.router.lifespan_context(app):
        return await ask(app, "POST", "/v1/forecasts", json.dumps(body).encode())


async def ask(app: Any, method: str, path: str, content: bytes = b"") -> tuple[int, bytes]:
    """Status and body of an ASGI application's answer."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    given = [{"type": "http.request", "body": content, "more_body": False}]
    status, parts = 0, []

    async def receive() -> dict[str, Any]:
        return given.pop(0) if given else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, b"".join(parts)


def _wrong(bundle: Bundle, status: int, answer: bytes) -> str:
    """What is wrong with the answer; nothing, if it is a forecast."""
    if status != 200:
        return f"the service answers {status}: {answer[:300].decode(errors='replace')}"
    task = bundle.forecaster.task
    found = json.loads(answer)["forecasts"][0]
    rows = found["quantiles_mw"]
    if found["bundle"]["checksum"] != sha256(bundle.folder / MANIFEST):
        return "another bundle answered."
    if len(rows) != task.horizon:
        return f"the answer has {len(rows)} leads, not {task.horizon}."
    if any(row != sorted(row) or not 0 <= row[0] <= row[-1] <= task.capacity_mw * (1 + 1e-6) for row in rows):
        return "the answer's quantiles cross, or leave 0 to capacity."
    return ""
