"""From a document (YAML or JSON text, or a mapping) to a request, with errors that name the field."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from cm_assets.models.request import VideoRequest

MAX_DOCUMENT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field.

    Attributes:
        field: dotted path, such as `scenes.0.text`; `request` for the whole.
        message: what to do about it.
    """

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class RequestError(Exception):
    """A request that cannot be taken. Nothing was stored or spent.

    Attributes:
        problems: at least one.
        conflict: whether the fault lies in what was asked before (HTTP 409) and not in the document (HTTP 422).
    """

    def __init__(self, problems: Iterable[Problem], *, conflict: bool = False) -> None:
        self.problems = tuple(problems)
        self.conflict = conflict
        super().__init__("; ".join(str(problem) for problem in self.problems))


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)


def read(text: str | bytes) -> Mapping[str, Any]:
    """The mapping that a YAML or JSON document holds.

    Raises:
        RequestError: it is too large, no YAML, or no mapping.
    """
    if len(text) > MAX_DOCUMENT_BYTES:
        raise RequestError([Problem("request", f"the document is larger than {MAX_DOCUMENT_BYTES:,} bytes")])
    try:
        # JSON by its own rules: YAML reads a character outside the basic plane, escaped as JSON does, as two halves.
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = _read_yaml(text)
    if not isinstance(document, Mapping):
        raise RequestError([Problem("request", "must be a mapping with one of topic, scenes and source_text")])
    return document


def _read_yaml(text: str | bytes) -> object:
    try:
        return yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        where = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise RequestError([Problem("request", f"is not valid YAML or JSON: {error.problem}{where}")]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError([Problem("request", f"is not valid YAML or JSON: {said}")]) from None


def parse(document: Mapping[str, Any]) -> VideoRequest:
    """The request that a mapping describes.

    Raises:
        RequestError: with a problem for each field that is wrong.
    """
    try:
        return VideoRequest.model_validate(document)
    except ValidationError as error:
        raise RequestError(problems_of(error)) from None


def problems_of(
    error: ValidationError, *, under: str = "", known: str = "docs/requests.md lists them"
) -> Iterable[Problem]:
    """A problem for each field that a model refuses.

    Args:
        error: what it said.
        under: whose fields they are.
        known: where the known fields are listed.
    """
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        field = ".".join(str(part) for part in (under, *item["loc"]) if part != "") or "request"
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"is not a known field; {known}"
        yield Problem(field, message)
