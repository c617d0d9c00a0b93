"""What the tests of the page ask the service, hand to the page and read off it."""

import json
from datetime import datetime, timedelta
from typing import Any
from urllib.request import Request, urlopen

Page = Any


def asked(url: str, path: str, key: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with urlopen(Request(url.rstrip("/") + path, headers=headers), timeout=30) as answer:
        return json.load(answer)


def the_farm(url: str) -> dict[str, Any]:
    farm: dict[str, Any] = asked(url, "/v1/farms")["items"][0]
    return farm


def the_forecast(url: str) -> dict[str, Any]:
    forecast: dict[str, Any] = asked(url, f"/v1/farms/{the_farm(url)['name']}/forecasts/latest?format=json")
    return forecast


def quantile(forecast: dict[str, Any], lead: int, level: float) -> float:
    at = [round(known, 6) for known in forecast["levels"]].index(level)
    return float(forecast["quantiles_mw"][lead][at])


def power_file(farm: dict[str, Any], *, steps: int = 120) -> bytes:
    """A CSV of a sawtooth of power on the farm's grid, with no weather."""
    step = timedelta(minutes=farm["resolution_minutes"])
    rows = (
        f"{datetime(2024, 3, 1) + k * step:%Y-%m-%d %H:%M},{farm['capacity_mw'] * (k % 24) / 30:.3f}"
        for k in range(steps)
    )
    return ("time,power_mw\n" + "\n".join(rows) + "\n").encode()


def csv_file(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "text/csv", "buffer": content}


def table_of(page: Page) -> list[list[str]]:
    rows: list[list[str]] = page.eval_on_selector_all(
        "#table tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return rows


def look_again(page: Page) -> None:
    """As when the reader comes back to the tab."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
