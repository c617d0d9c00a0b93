"""Bundles, and forecasts for whoever brings history and weather along."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from windcast.serving import asking, bodies, schemas
from windcast.serving.documents import MEDIA, document, dumps, stamp
from windcast.serving.guards import Reader
from windcast.serving.problems import NotAcceptable
from windcast.serving.routes.reading import Cursor, Levels, Limit, answer, following, read, shelf_of
from windcast.serving.shelf import Served
from windcast.serving.state import Shared

router = APIRouter(prefix="/v1")


@router.get("/bundles", tags=["bundles"], response_model=schemas.BundlePage, responses=schemas.problems(422))
async def bundles(request: Request, service: Shared, key: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The models that are served; with keys, those of the key's farms."""
    served = (await shelf_of(service, key)).served
    names = sorted(name for name in served if cursor is None or name > cursor)
    cards = [card(served[name]) for name in names[:limit]]
    return answer({"items": cards, "next": following(request, names[limit - 1] if len(names) > limit else None)})


@router.get("/bundles/{bundle}", tags=["bundles"], response_model=schemas.BundleCard, responses=schemas.problems(422))
async def bundle(bundle: str, service: Shared, key: Reader) -> Response:
    """A model's card: what it was trained on and what its backtest promises."""
    return answer(card((await shelf_of(service, key)).get(bundle)))


@router.post(
    "/forecasts",
    tags=["forecasts"],
    response_model=schemas.Forecasts,
    responses={
        200: {"content": {"text/csv": {}, "application/vnd.apache.parquet": {}}},
        **schemas.problems(400, 406, 413, 415, 422),
    },
    openapi_extra=schemas.body(schemas.QUESTIONS),
)
async def forecasts(
    request: Request,
    service: Shared,
    key: Reader,
    bundle: Annotated[str | None, Query(max_length=64, description="For CSV and Parquet.")] = None,
    issue_time: Annotated[list[str] | None, Query(max_length=1000, description="For CSV and Parquet.")] = None,
    levels: Levels = None,
    format: Annotated[str, Query(max_length=10, description="json, csv or parquet.")] = "json",
) -> Response:
    """Forecasts from history and weather in the body, of many farms and issue times. Nothing is kept.

    Each farm starts from the calibration that its bundle was trained with; over several issue times it learns from one
    to the next, as in a backtest. In CSV and Parquet, a row with power_mw is power at its time and a row with weather
    is weather of its time.
    """
    if format not in ("json", "csv", "parquet"):
        raise NotAcceptable(f"format '{format}' is not made here. Ask for json, csv or parquet.")
    kind = bodies.media_type(request.headers.get("content-type"))
    content = await read(request, service)
    shelf = await shelf_of(service, key)
    if kind == bodies.JSON:
        asked = asking.from_json(bodies.json_object(content), shelf)
    else:
        table = bodies.frame(content, kind)
        asked = asking.from_table(table, shelf, bundle=bundle, issue_times=issue_time or ())
    loop = asyncio.get_running_loop()
    questions = list(asked) if kind == bodies.JSON else await loop.run_in_executor(service.files, list, asked)
    made = await asyncio.gather(*(one.served.batcher.forecast(one) for one in questions))
    now = service.now()
    issued = [
        issued
        for question, (windows, forecast) in zip(questions, made, strict=True)
        for issued in asking.answers(question, windows, forecast, now)
    ]
    chosen = {q.served.name: bodies.levels(levels, q.served.bundle.forecaster.task.levels) for q in questions}
    for one in issued:
        service.metrics.answered.labels(one.served.name, one.inputs["rung"]).inc()
    if format == "json":
        return Response(
            dumps({"forecasts": [document(one, chosen[one.served.name]) for one in issued]}), media_type=MEDIA["json"]
        )
    return Response(asking.table(issued, chosen, format), media_type=MEDIA[format])


def card(served: Served) -> dict[str, Any]:
    """As schemas.BundleCard."""
    manifest, task = served.bundle.manifest, served.bundle.forecaster.task
    return {
        "name": served.name,
        "checksum": served.checksum,
        "model": served.model,
        "trained_until": stamp(served.bundle.trained_until),
        "farm": served.farm,
        "title": manifest["farm"],
        "attribution": manifest.get("attribution", ""),
        "capacity_mw": task.capacity_mw,
        "resolution_minutes": task.resolution.total_seconds() / 60,
        "horizon": task.horizon,
        "levels": list(task.levels),
        "variables": list(served.bundle.forecaster.variables),
        "weather_kind": manifest["contract"]["weather_kind"],
        "interval": manifest.get("interval", "end"),
        "created": manifest["created"],
        "scores": manifest.get("scores", {}),
        "ladder": manifest.get("ladder", {}),
        "versions": manifest.get("versions", {}),
        "data_checksum": manifest["data_checksum"],
    }
