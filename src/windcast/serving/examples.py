"""Examples in the description of the API that the running service answers: its own bundle, variables and clock."""

from datetime import datetime
from typing import Any

import numpy as np

from windcast.data.contracts import range_of
from windcast.registry.production import floor
from windcast.serving.documents import stamp, stamps
from windcast.serving.shelf import Served

TYPICAL = {"m/s": 8.2, "degrees": 231.0, "K": 283.4, "Pa": 98_700.0}
SHARES = (0.15, 0.17)  # of capacity
Json = dict[str, Any]


def put(schema: Json, served: Served, now: datetime) -> None:
    """Into an OpenAPI document: bodies, and the farm and bundle in addresses."""
    power, weather = power_of(served, now), weather_of(served, now)
    both = {"power": power} if not served.bundle.forecaster.variables else {"power": power, "weather": weather}
    bodies = {
        "/v1/farms/{farm}/power": ("post", power, _csv(power)),
        "/v1/farms/{farm}/weather": ("post", weather, _csv(weather)),
        "/v1/forecasts": (
            "post",
            {"forecasts": [{"farm": served.farm} | both]},
            _csv(*both.values(), farm=served.farm),
        ),
        "/v1/farms/{farm}": ("put", {"bundle": served.name, "title": "My farm"}, None),
    }
    for path, (method, example, csv) in bodies.items():
        content = schema["paths"][path][method]["requestBody"]["content"]
        content["application/json"]["example"] = example
        if csv is not None:
            content["text/csv"]["example"] = csv
    names = {"farm": served.farm, "bundle": served.name}
    for operations in schema["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] in names:
                    parameter["example"] = names[parameter["name"]]


def power_of(served: Served, now: datetime) -> Json:
    """The last two steps."""
    task = served.bundle.forecaster.task
    issue = floor(now, task.resolution)
    shift = task.resolution if served.bundle.manifest.get("interval") == "start" else 0 * task.resolution
    times = [issue - task.resolution - shift, issue - shift]
    return {"time": [stamp(t) for t in times], "power_mw": [round(share * task.capacity_mw, 2) for share in SHARES]}


def weather_of(served: Served, now: datetime) -> Json:
    """Two times to come, of a forecast that became known at the last issue time."""
    task, (step, phase) = served.bundle.forecaster.task, served.weather_grid
    width = max(step, task.resolution)
    issue = floor(now, task.resolution)
    begin = np.datetime64(floor(issue - phase, width).replace(tzinfo=None), "us") + np.timedelta64(phase, "us")
    times = begin + np.timedelta64(width, "us") * np.arange(1, 3)
    found: Json = {"valid_time": stamps(times), "available_at": stamp(issue)}
    return found | {name: [_typical(name)] * 2 for name in served.bundle.forecaster.variables}


def _typical(variable: str) -> float:
    limits = range_of(variable)
    if limits is None:
        return 1.0
    unit, low, high = limits
    typical = TYPICAL.get(unit, (low + high) / 2)
    return typical if low <= typical <= high else (low + high) / 2


def _csv(*tables: Json, farm: str | None = None) -> str:
    """One table as it is; two under the names that a table of questions has."""
    if farm is None:
        (columns,) = tables
        return _rows(columns, list(columns))
    renamed = [{"time" if name == "valid_time" else name: v for name, v in one.items()} for one in tables]
    header = list(dict.fromkeys(name for one in renamed for name in one))
    rows = [_rows({"farm": farm} | one, ["farm", *header]).split("\n", 1) for one in renamed]
    return rows[0][0] + "\n" + "".join(body for _, body in rows)


def _rows(columns: Json, header: list[str]) -> str:
    count = max(len(values) for values in columns.values() if isinstance(values, list))
    every = {name: values if isinstance(values, list) else [values] * count for name, values in columns.items()}
    lines = [",".join(str(every[name][row]) if name in every else "" for name in header) for row in range(count)]
    return "\n".join([",".join(header), *lines, ""])
