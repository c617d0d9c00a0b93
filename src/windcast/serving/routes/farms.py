"""Live operation: values as they arrive, forecasts as they were issued, and how good they turned out."""

from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from windcast.registry.pointer import slug
from windcast.serving import bodies, ingest, schemas, scoring
from windcast.serving.documents import MEDIA, rendered, stamp
from windcast.serving.guards import Reader, Writer
from windcast.serving.problems import NotFound, Unprocessable
from windcast.serving.routes.reading import (
    PRINTABLE,
    At,
    Cursor,
    Levels,
    Limit,
    answer,
    following,
    read,
    shelf_of,
    span,
    time_of,
    whole,
)
from windcast.serving.state import Service, Shared
from windcast.serving.store import FarmRecord, ForecastEntry, StoredForecast, UnknownFarm

router = APIRouter(prefix="/v1/farms", tags=["farms"])

Name = Annotated[str, Path(max_length=64, pattern=PRINTABLE)]
Id = Annotated[int, Path(ge=1, lt=2**53)]
Format = Annotated[str, Query(max_length=10, description=f"{', '.join(MEDIA)}.")]
MOST_LISTED = 100_000
PICTURES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {}, "image/png": {}, "image/svg+xml": {}, "application/vnd.apache.parquet": {}}}
}


@router.get("", response_model=schemas.FarmPage, responses=schemas.problems(422))
def farms(request: Request, service: Shared, key: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The farms that are forecast; with keys, those that the key may read."""
    if key is None or key.everywhere:
        found = service.store.farms(after=cursor, limit=limit + 1)
    else:
        known = [record for record in service.store.farms(after=cursor, limit=MOST_LISTED) if record.name in key.farms]
        found = known[: limit + 1]
    after = found[limit - 1].name if len(found) > limit else None
    return answer({"items": [described(service, one) for one in found[:limit]], "next": following(request, after)})


@router.get("/{farm}", response_model=schemas.Farm, responses=schemas.problems(422))
def farm(farm: Name, service: Shared, _: Reader) -> Response:
    """One farm, and the age of what is known of it."""
    return answer(described(service, service.store.farm(farm)))


@router.put(
    "/{farm}",
    response_model=schemas.Farm,
    responses=schemas.problems(400, 409, 413, 415, 422),
    openapi_extra=schemas.settings_body(),
)
async def put_farm(farm: Name, request: Request, service: Shared, key: Writer) -> Response:
    """Makes a farm, or changes how it is forecast; what is left out stays as it is."""
    bodies.media_type(request.headers.get("content-type"), (bodies.JSON,))
    settings = bodies.model(await read(request, service), schemas.FarmSettings)
    if farm != slug(farm):
        raise Unprocessable(f"a farm's name has small letters, digits, '_', '-' and '.', such as '{slug(farm)}'.")
    before = None
    with suppress(UnknownFarm):
        before = await run_in_threadpool(service.store.farm, farm)
    shelf = await shelf_of(service, key)
    former = None if before is None else before.bundle
    served = shelf.only(former if settings.bundle is None else settings.bundle)
    record = ingest.record(farm, settings, served, before)
    kept = await run_in_threadpool(service.store.put_farm, record)
    service.issuer.refresh()
    return answer(await run_in_threadpool(described, service, kept))


@router.post(
    "/{farm}/power",
    response_model=schemas.Receipt,
    responses=schemas.problems(400, 409, 413, 415, 422),
    openapi_extra=schemas.body(schemas.COLUMNS | {"required": ["time", "power_mw"]}),
)
async def power(farm: Name, request: Request, service: Shared, _: Writer) -> Response:
    """Appends power, mean MW over the interval at each time; null takes a value back.

    available_at (a column, or one time for all) says when the values became known; by default they become known now.
    Nothing is overwritten: another value for a time is a further version, the same again is counted as repeated. A
    forecast is then issued, unless the farm issues by the clock alone.
    """
    return await _taken(farm, request, service, ingest.power, "power")


@router.post(
    "/{farm}/weather",
    response_model=schemas.Receipt,
    responses=schemas.problems(400, 409, 413, 415, 422),
    openapi_extra=schemas.body(schemas.COLUMNS | {"required": ["valid_time"]}),
)
async def weather(farm: Name, request: Request, service: Shared, _: Writer) -> Response:
    """Appends weather forecasts, in the variables and units of the farm's bundle; otherwise as power."""
    return await _taken(farm, request, service, ingest.weather, "weather")


async def _taken(farm: str, request: Request, service: Service, take: ingest.Take, kind: str) -> Response:
    record = await run_in_threadpool(service.store.farm, farm)
    media = bodies.media_type(request.headers.get("content-type"))
    content = await read(request, service)
    taken = await run_in_threadpool(
        take, service.store, service.operator.served_for(record), record, content, media, service.now()
    )
    service.metrics.ingested.labels(farm, kind).inc(taken.receipt.added)
    if taken.receipt.added and record.issue_on_arrival:
        await service.issuer.arrived(record, taken.known_at)
    return answer(receipt(farm, taken))


@router.get("/{farm}/power", response_model=schemas.PowerPage, responses=schemas.problems(422))
def power_known(
    farm: Name,
    request: Request,
    service: Shared,
    _: Reader,
    start: At = None,
    end: At = None,
    known_at: At = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The newest version of each value, or the newest that was known at `known_at`."""
    return _values(farm, request, service, "power", (start, end, known_at, cursor), limit)


@router.get("/{farm}/weather", response_model=schemas.WeatherPage, responses=schemas.problems(422))
def weather_known(
    farm: Name,
    request: Request,
    service: Shared,
    _: Reader,
    start: At = None,
    end: At = None,
    known_at: At = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """As of power, for weather."""
    return _values(farm, request, service, "weather", (start, end, known_at, cursor), limit)


def _values(
    farm: str, request: Request, service: Service, kind: str, asked: tuple[str | None, ...], limit: int
) -> Response:
    start, end, known_at, cursor = asked
    since, until = span(start, end, last=service.now() + timedelta(days=20), days=50)
    page = (service.store.power_page if kind == "power" else service.store.weather_page)(
        farm,
        start=since,
        end=until,
        known_at=time_of(known_at, "known_at"),
        cursor=time_of(cursor, "cursor"),
        limit=limit,
    )
    times = [name for name in page.rows.columns if name in ("time", "valid_time", "available_at")]
    items = [row | {name: stamp(row[name]) for name in times} for row in page.rows.iter_rows(named=True)]
    return answer({"items": items, "next": following(request, None if page.next is None else stamp(page.next))})


@router.post(
    "/{farm}/forecasts",
    status_code=201,
    tags=["forecasts"],
    response_model=schemas.ForecastDocument,
    responses=schemas.problems(409, 422),
)
async def issue(farm: Name, service: Shared, _: Writer, issue_time: At = None, levels: Levels = None) -> Response:
    """Issues a forecast from what is stored, and keeps it. With nothing new since the last, that one is the answer."""
    at = time_of(issue_time, "issue_time")
    stored = await run_in_threadpool(service.operator.issue, farm, at, now=service.now())
    service.issuer.account(stored)
    content, media = await run_in_threadpool(shown, service, stored, "json", levels)
    return Response(content, 201, {"Location": f"/v1/farms/{farm}/forecasts/{stored.id}"}, media)


@router.get(
    "/{farm}/forecasts",
    tags=["forecasts"],
    response_model=schemas.ForecastPage | schemas.ForecastDocument,
    responses=PICTURES | schemas.problems(406, 422),
)
def forecasts(
    farm: Name,
    request: Request,
    service: Shared,
    _: Reader,
    issue_time: At = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    format: Format = "json",
    levels: Levels = None,
) -> Response:
    """The forecasts that were issued, newest first; with issue_time, the last one issued for it, in full."""
    at = time_of(issue_time, "issue_time")
    if at is None:
        entries = service.store.forecasts(farm, before=whole(cursor, "cursor"), limit=limit + 1)
        after = str(entries[limit - 1].id) if len(entries) > limit else None
        return answer({"items": [entry(one) for one in entries[:limit]], "next": following(request, after)})
    stored = service.store.forecast_at(farm, issue_time=at)
    return found(service, stored, f"no forecast of {farm} was issued at {at:%Y-%m-%d %H:%M} UTC.", format, levels)


@router.get(
    "/{farm}/forecasts/latest",
    tags=["forecasts"],
    response_model=schemas.ForecastDocument,
    responses=PICTURES | schemas.problems(406, 422),
)
def latest(farm: Name, service: Shared, _: Reader, format: Format = "json", levels: Levels = None) -> Response:
    """The newest forecast."""
    stored = service.store.latest_forecast(farm)
    return found(
        service, stored, f"no forecast of {farm} has been issued yet. POST its power and weather.", format, levels
    )


@router.get(
    "/{farm}/forecasts/{id}",
    tags=["forecasts"],
    response_model=schemas.ForecastDocument,
    responses=PICTURES | schemas.problems(406, 422),
)
def forecast(
    farm: Name, id: Id, service: Shared, _: Reader, format: Format = "json", levels: Levels = None
) -> Response:
    """One forecast, as it was issued."""
    return found(service, service.store.forecast(farm, id=id), f"{farm} has no forecast {id}.", format, levels)


@router.get(
    "/{farm}/forecasts/{id}/replay",
    tags=["forecasts"],
    response_model=schemas.Replayed,
    responses=schemas.problems(409, 422),
)
def replay(farm: Name, id: Id, service: Shared, _: Reader) -> Response:
    """Makes a forecast again from what was known when it was issued, and compares every bit."""
    stored = service.store.forecast(farm, id=id)
    if stored is None:
        raise NotFound(f"{farm} has no forecast {id}.")
    outcome = service.operator.replay(stored)
    return answer({"id": id, "equal": outcome.equal, "largest_difference_mw": outcome.largest_mw})


@router.get("/{farm}/scores", response_model=schemas.Scores, responses=schemas.problems(409, 422))
def scores(
    farm: Name, service: Shared, _: Reader, days: Annotated[float, Query(gt=0, le=366)] = 30, end: At = None
) -> Response:
    """How good the forecasts issued in the last days turned out, as far as the truth has arrived."""
    newest = service.store.latest_forecast(farm)
    last = time_of(end, "end") or (service.now() if newest is None else newest.issue_time)
    start = last - timedelta(days=days)
    return answer(scoring.document(farm, scoring.scored(service.operator, farm, start, last), start, last))


def found(service: Service, stored: StoredForecast | None, otherwise: str, form: str, levels: str | None) -> Response:
    """A stored forecast in a format. Raises NotFound, with the sentence, if there is none."""
    if stored is None:
        raise NotFound(otherwise)
    content, media = shown(service, stored, form, levels)
    name = f"{stored.farm}-{stored.issue_time:%Y%m%dT%H%MZ}.{form}"
    return Response(content, headers={"Content-Disposition": f'inline; filename="{name}"'}, media_type=media)


def shown(service: Service, stored: StoredForecast, form: str, levels: str | None) -> tuple[bytes, str]:
    issued = service.operator.issued(stored)
    return rendered(issued, form, bodies.levels(levels, issued.forecast.task.levels))


def entry(one: ForecastEntry) -> dict[str, Any]:
    return {
        "id": one.id,
        "issue_time": stamp(one.issue_time),
        "made_at": stamp(one.made_at),
        "bundle": one.bundle,
        "bundle_checksum": one.bundle_checksum,
        "revision": one.revision,
        "rung": one.document["inputs"]["rung"],
    }


def receipt(farm: str, taken: ingest.Taken) -> dict[str, Any]:
    one = taken.receipt
    return {
        "farm": farm,
        "revision": one.revision,
        "added": one.added,
        "corrected": one.corrected,
        "repeated": one.repeated,
        "set_to_zero": taken.set_to_zero,
        "set_to_capacity": taken.set_to_capacity,
    }


def described(service: Service, record: FarmRecord) -> dict[str, Any]:
    """As schemas.Farm."""
    served = service.shelf.served.get(record.bundle)
    newest_power, newest_weather = service.operator.newest(record)
    newest = service.store.forecasts(record.name, limit=1)
    every = record.issue_every
    return {
        "name": record.name,
        "title": record.title,
        "bundle": record.bundle,
        "model": None if served is None else served.model,
        "capacity_mw": record.capacity_mw,
        "resolution_minutes": record.resolution / timedelta(minutes=1),
        "horizon": None if served is None else served.bundle.forecaster.task.horizon,
        "variables": list(record.variables),
        "weather_kind": record.weather_kind,
        "attribution": record.attribution,
        "interval": record.interval,
        "grace_minutes": record.grace / timedelta(minutes=1),
        "issue_on_arrival": record.issue_on_arrival,
        "issue_every_minutes": None if every is None else every / timedelta(minutes=1),
        "trained_until": None if served is None else stamp(served.bundle.trained_until),
        "newest_power": None if newest_power is None else stamp(newest_power),
        "newest_weather": None if newest_weather is None else stamp(newest_weather),
        "latest_issue_time": stamp(newest[0].issue_time) if newest else None,
        "revision": record.revision,
        "now": stamp(service.now().replace(microsecond=0)),
    }
