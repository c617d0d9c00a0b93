"""What looks at the service from outside: probes, metrics, the page, the description of the API."""

from html import escape
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, HTMLResponse

from windcast.serving import schemas
from windcast.serving.guards import Reader
from windcast.serving.problems import Forbidden, Unavailable
from windcast.serving.state import Shared

router = APIRouter(tags=["service"])

DOCS = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: API</title>
<link rel="stylesheet" href="{root}/docs-assets/swagger-ui.css">
<link rel="icon" href="{root}/page/icon.svg">
</head>
<body>
<main id="swagger-ui"></main>
<script src="{root}/docs-assets/swagger-ui-bundle.js"></script>
<script src="{root}/page/docs.js"></script>
</body>
</html>
"""


@router.get("/health", response_model=schemas.Health)
async def health() -> Response:
    """The process answers."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get("/ready", response_model=schemas.Ready, responses=schemas.problems())
def ready(service: Shared) -> schemas.Ready:
    """Bundles are loaded and the store answers. 503 otherwise, and while the service shuts down."""
    if service.closing.is_set():
        raise Unavailable("the service is shutting down. Ask another instance.")
    service.store.ping()
    count = len(service.store.farms(limit=100_000))
    return schemas.Ready(status="ready", bundles=len(service.shelf.served), farms=count)


@router.get("/metrics", responses=schemas.problems() | {200: {"content": {"text/plain": {}}}}, response_class=Response)
async def metrics(service: Shared, key: Reader) -> Response:
    """For Prometheus. With API keys on, it wants a key that may read every farm."""
    if key is not None and not key.everywhere:
        raise Forbidden(f"key '{key.name}' may not read of all farms. Ask whoever runs this service for another.")
    content = await run_in_threadpool(generate_latest, service.metrics.registry)
    return Response(content, headers={"Content-Type": CONTENT_TYPE_LATEST})


def mount(app: FastAPI) -> None:
    """The page, its files, and the API's description in the browser; none of them asks anyone outside."""
    import fastapi_offline

    page = Path(str(files("windcast.serving") / "page"))
    assets = Path(fastapi_offline.__file__).parent / "static"

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(page / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        root = escape(request.scope.get("root_path", ""))
        return HTMLResponse(DOCS.format(title=escape(app.title), root=root))

    app.mount("/page", StaticFiles(directory=page))
    app.mount("/docs-assets", StaticFiles(directory=assets))
