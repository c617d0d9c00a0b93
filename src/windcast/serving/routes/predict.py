"""Anyone with curl and a file gets a picture."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from windcast.data.windows import build_windows
from windcast.registry.production import fitting, forecast, recent_power
from windcast.serving import bodies, tables, uploads
from windcast.serving.documents import Issued, inputs_of, past_steps, rendered, stamp
from windcast.serving.guards import Reader
from windcast.serving.operating import notes_of, titled
from windcast.serving.problems import NotAcceptable
from windcast.serving.routes.reading import At, Levels, shelf_of, time_of
from windcast.serving.schemas import problems
from windcast.serving.shelf import Served
from windcast.serving.state import Service, Shared

router = APIRouter(tags=["forecasts"])

FORMATS = ("png", "svg", "json", "csv")
Zone = Annotated[
    str | None,
    Query(
        max_length=60,
        examples=["Europe/Copenhagen"],
        description="Of stamps without an offset. Default: that of the files the bundle was trained on, else guessed.",
    ),
]
FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["data"],
                    "properties": {"data": {"type": "string", "format": "binary", "description": "CSV or Parquet."}},
                }
            }
        },
    }
}


@router.post(
    "/predict",
    responses={
        200: {
            "description": "The forecast",
            "content": {"image/png": {}, "image/svg+xml": {}, "application/json": {}, "text/csv": {}},
        },
        **problems(400, 406, 413, 415, 422),
    },
    openapi_extra=FORM,
    response_class=Response,
)
async def predict(
    request: Request,
    service: Shared,
    key: Reader,
    format: Annotated[str, Query(max_length=10, description="png, svg, json or csv.")] = "png",
    bundle: Annotated[str | None, Query(max_length=64, description="Where several are served.")] = None,
    issue_time: At = None,
    levels: Levels = None,
    time_zone: Zone = None,
) -> Response:
    """The forecast of the hours after the last known power in a file, as a picture. Nothing is kept.

    The form field `data` holds a CSV or Parquet with power, and the weather forecasts if there are any; columns are
    recognised by their names and values, and the notes of a JSON answer say how. Accept is ignored: ask for another
    format with `format`.
    """
    if format not in FORMATS:
        raise NotAcceptable(f"format '{format}' is not made here. Ask for {', '.join(FORMATS)}.")
    served = (await shelf_of(service, key)).only(bundle)
    at = time_of(issue_time, "issue_time")
    chosen = bodies.levels(levels, served.bundle.forecaster.task.levels)
    upload = await uploads.read_upload(
        request.stream(),
        content_type=request.headers.get("content-type"),
        most_bytes=service.settings.most_bytes,
        content_encoding=request.headers.get("content-encoding"),
        content_length=request.headers.get("content-length"),
    )
    loop = asyncio.get_running_loop()
    issued = await loop.run_in_executor(service.files, from_file, service, served, upload, at, time_zone)
    service.metrics.answered.labels(served.name, issued.inputs["rung"]).inc()
    content, media = await loop.run_in_executor(service.files, rendered, issued, format, chosen)
    name = f"{served.farm}-{stamp(issued.forecast.issue_times[0]).replace(':', '')}.{format}"
    return Response(content, headers={"Content-Disposition": f'inline; filename="{name}"'}, media_type=media)


def from_file(
    service: Service, served: Served, upload: uploads.Upload, at: datetime | None, time_zone: str | None
) -> Issued:
    """As `windcast forecast` would from the same file. Raises WindcastError."""
    bundle = served.bundle
    read = tables.farm_from_table(upload.data, upload.name, bundle=bundle, own=served.mapping, time_zone=time_zone)
    farm = fitting(bundle, read.farm)
    made, issue = forecast(bundle, farm, at, predict=service.operator.cache(served).predict)
    windows = build_windows(farm, made.task, made.issue_times)
    inputs = inputs_of(windows, made, served)
    times, power = recent_power(farm, made, steps=past_steps(made.task))
    return Issued(
        served=served,
        farm=served.farm,
        title=f"{titled(str(bundle.manifest['farm']))}, from {upload.name}",
        forecast=made,
        made_at=datetime.now(UTC),
        inputs=inputs | {"missing": [*read.missing, *inputs["missing"]]},
        interval=farm.interval,
        notes=(*notes_of(made, served, issue), *read.said),
        past=(times, power),
        observed=windows.target[0] if np.isfinite(windows.target).any() else None,
    )
