"""Errors as RFC 9457 has them: `application/problem+json`, with a list of fields where a request is wrong."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from cm_assets.client import NotPosted, NotToBeReviewed, UnknownVideo
from cm_assets.lifecycle.documents import Problem, RequestError
from cm_assets.models.artifact import LostArtifact
from cm_assets.models.base import AskedToWait, Model, PermanentFailure, TransientFailure
from cm_assets.models.disk import DiskFull
from cm_assets.storage.away import is_away

MEDIA_TYPE = "application/problem+json"


class FieldProblem(Model):
    """What is wrong with one field.

    Attributes:
        field: dotted path, such as `scenes.0.text`; `request` for the whole.
        message: what to do about it.
    """

    field: str
    message: str


class ProblemDetails(Model):
    """An error.

    Attributes:
        title: of the status.
        status: of the answer.
        detail: what to do about it.
        problems: field by field, where a request is wrong.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    problems: tuple[FieldProblem, ...] = ()


class Refusal(Exception):
    """An answer other than the wanted one.

    Args:
        status: of the answer.
        detail: what to do about it.
        headers: of the answer.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def problem(
    status: int, detail: str, problems: Iterable[Problem] = (), headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer that an error is."""
    details = ProblemDetails(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        problems=tuple(FieldProblem(field=one.field, message=one.message) for one in problems),
    )
    return JSONResponse(
        details.model_dump(mode="json"), status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These answers in the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def answer_with_problems(app: FastAPI) -> None:
    """Have the errors of the house answered so."""

    @app.exception_handler(RequestError)
    def _(_request: Request, error: RequestError) -> JSONResponse:
        return problem(409 if error.conflict else 422, str(error), error.problems)

    @app.exception_handler(RequestValidationError)
    def _(_request: Request, error: RequestValidationError) -> JSONResponse:
        problems = list(_problems_of(error))
        return problem(422, "; ".join(str(one) for one in problems), problems)

    @app.exception_handler(Refusal)
    def _(_request: Request, refusal: Refusal) -> JSONResponse:
        return problem(refusal.status, refusal.detail, headers=refusal.headers)

    @app.exception_handler(UnknownVideo)
    def _(_request: Request, unknown: UnknownVideo) -> JSONResponse:
        return problem(404, f"there is no video {unknown.args[0]}")

    @app.exception_handler(NotToBeReviewed)
    @app.exception_handler(NotPosted)
    def _(_request: Request, refusal: Exception) -> JSONResponse:
        return problem(409, str(refusal))

    @app.exception_handler(LostArtifact)
    def _(_request: Request, lost: LostArtifact) -> JSONResponse:
        return problem(409, str(lost))

    @app.exception_handler(TransientFailure)
    def _(_request: Request, failure: TransientFailure) -> JSONResponse:
        return problem(503, str(failure), headers={"Retry-After": "10"})

    @app.exception_handler(PermanentFailure)
    def _(_request: Request, failure: PermanentFailure) -> JSONResponse:
        return problem(500, str(failure))

    @app.exception_handler(DiskFull)
    def _(_request: Request, full: DiskFull) -> JSONResponse:
        return problem(507, str(full))

    @app.exception_handler(SQLAlchemyError)
    def _(_request: Request, error: SQLAlchemyError) -> JSONResponse:
        if not is_away(error):
            raise error
        return problem(503, "the database does not answer; ask again", headers={"Retry-After": "5"})

    @app.exception_handler(AskedToWait)
    def _(_request: Request, wait: AskedToWait) -> JSONResponse:
        return problem(429, str(wait), headers={"Retry-After": str(max(1, round(wait.seconds + 0.5)))})


def _problems_of(error: RequestValidationError) -> Iterable[Problem]:
    for item in error.errors():
        place, *path = item["loc"]
        message = str(item["msg"]).removeprefix("Value error, ")
        if item["type"] == "json_invalid":
            yield Problem("request", f"is not valid JSON: {item['ctx']['error']}")
            continue
        if item["type"] in {"model_type", "model_attributes_type"}:
            message = "must be an object" if path else "must be a JSON object, sent as Content-Type: application/json"
        if item["type"] == "extra_forbidden":
            message = "is not a known field; docs/requests.md lists them"
        yield Problem(".".join(map(str, path)) or ("request" if place == "body" else str(place)), message)
