"""The app: all handlers in one place, behind the guard."""

from importlib.metadata import version

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from cm_assets.lifecycle.documents import MAX_DOCUMENT_BYTES
from cm_assets.settings import Settings
from cm_assets.web import (
    asking,
    board,
    decisions,
    events,
    files,
    health,
    login,
    metrics,
    review,
    uploads,
    videos,
)
from cm_assets.web.house import House
from cm_assets.web.metrics import Stopwatch
from cm_assets.web.pages import STATIC, refused
from cm_assets.web.problems import ProblemDetails, answer_with_problems
from cm_assets.web.security import Guard


def create_app(settings: Settings) -> FastAPI:
    """The HTTP API and the board of a home."""
    house = House(settings)
    app = FastAPI(
        title="cm_assets",
        version=version("cm-assets"),
        summary="Short vertical videos: ask for them, follow them, decide about them.",
        max_body_size=MAX_DOCUMENT_BYTES,
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(Stopwatch, registry=house.answers),
            Middleware(Guard, doorman=house.doorman, refused=refused),
        ],
    )
    app.state.house = house
    answer_with_problems(app)

    @app.exception_handler(HTTPException)
    def _(request: Request, error: HTTPException) -> Response:
        return refused(request, error.status_code, str(error.detail), error.headers)

    for room in (videos, uploads, events, files, health, metrics):
        app.include_router(room.router)
    for pages in (board, review, decisions, asking, login):
        app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=STATIC))
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Have the OpenAPI document name the errors and the tokens."""
    made = app.openapi

    def openapi() -> dict[str, object]:
        if app.openapi_schema is None:
            schema = made()
            parts = schema["components"]
            parts["schemas"]["ProblemDetails"] = ProblemDetails.model_json_schema(
                ref_template="#/components/schemas/{model}"
            )
            parts["schemas"] |= parts["schemas"]["ProblemDetails"].pop("$defs", {})
            parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}, {}]
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
