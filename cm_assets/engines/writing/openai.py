"""The writer for topics: a language model behind any OpenAI-compatible endpoint."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from cm_assets.models.base import AskedToWait, PermanentFailure, TransientFailure
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import Scene, Script

PROMPT = "script.v1.md"
"""The version is in the name: another prompt is another file."""

WORDS_PER_SECOND = 2.6

TIME_OUT = 120.0
"""Seconds that one answer may take."""

MOST_TOKENS = 4000


class _SceneDraft(BaseModel):
    text: Annotated[str, Field(min_length=1, max_length=1000)]
    search_terms: Annotated[list[str], Field(min_length=1, max_length=8)]


class _Draft(BaseModel):
    title: Annotated[str, Field(min_length=1, max_length=100)]
    description: Annotated[str, Field(max_length=2000)]
    hashtags: Annotated[list[str], Field(max_length=15)]
    scenes: Annotated[list[_SceneDraft], Field(min_length=1, max_length=60)]


class _Unusable(Exception):
    """An answer that is no script, and why."""


class OpenAIWriter:
    """Asks a model for a script as JSON, checks it, and lets the model mend it once.

    Args:
        model: its name.
        base_url: of the endpoint; OpenAI's own if None.
        api_key: for it; servers of one's own need none.
    """

    name = "openai"

    def __init__(self, *, model: str, base_url: str | None, api_key: str | None, time_out: float = TIME_OUT) -> None:
        self._model = model
        self._base_url = base_url
        self._api_key = api_key
        self._time_out = time_out

    def write(self, request: VideoRequest) -> Script:
        """A script about the request's topic.

        Raises:
            TransientFailure: the endpoint is down, or the model gave no usable script twice.
            AskedToWait: it said when to come back.
            PermanentFailure: it refuses the key, the model or the topic.
        """
        from openai import OpenAI

        messages: list[dict[str, str]] = [
            {"role": "system", "content": (Path(__file__).parent / "prompts" / PROMPT).read_text()},
            {"role": "user", "content": _brief(request)},
        ]
        # Retries are Dagster's: a second layer here would multiply them, unseen.
        with OpenAI(
            base_url=self._base_url, api_key=self._api_key or "none", max_retries=0, timeout=self._time_out
        ) as client:
            answer = self._ask(client, messages)
            try:
                return self._script(answer, request)
            except _Unusable as why:
                messages += [
                    {"role": "assistant", "content": answer},
                    {
                        "role": "user",
                        "content": f"That cannot be used: {why}. Answer again with the whole script as JSON.",
                    },
                ]
            try:
                return self._script(self._ask(client, messages), request)
            except _Unusable as why:
                raise TransientFailure(f"the model {self._model} gave no usable script twice: {why}") from why

    def _ask(self, client: Any, messages: list[dict[str, str]]) -> str:
        import openai

        schema = {"name": "script", "strict": True, "schema": _strict(_Draft.model_json_schema())}
        try:
            completion = client.chat.completions.create(
                model=self._model,
                messages=messages,
                max_completion_tokens=MOST_TOKENS,
                response_format={"type": "json_schema", "json_schema": schema},
            )
        except openai.RateLimitError as error:
            raise _rate_limited(error, self._model) from None
        except (openai.AuthenticationError, openai.PermissionDeniedError):
            raise PermanentFailure("the language model's endpoint refuses the key: check OPENAI_API_KEY") from None
        except openai.NotFoundError:
            raise PermanentFailure(
                f"the endpoint has no model {self._model!r}: set CM_OPENAI_MODEL, or check OPENAI_BASE_URL"
            ) from None
        except openai.BadRequestError as error:
            raise PermanentFailure(f"the endpoint does not take the request: {_said(error)}") from None
        except openai.APIStatusError as error:
            raise TransientFailure(f"the language model's endpoint answers {error.status_code}") from None
        except openai.APITimeoutError:
            raise TransientFailure(f"the language model did not answer within {self._time_out:g} s") from None
        except openai.APIConnectionError:
            raise TransientFailure("the language model's endpoint cannot be reached: check OPENAI_BASE_URL") from None
        if not completion.choices:
            return ""
        choice = completion.choices[0]
        if choice.message.refusal:
            raise PermanentFailure(f"the language model refuses the topic: {choice.message.refusal[:200]}")
        return choice.message.content or ""

    def _script(self, answer: str, request: VideoRequest) -> Script:
        try:
            draft = _Draft.model_validate_json(_json_of(answer))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the answer"
            raise _Unusable(f"{field}: {first['msg']}") from None
        avoided = [word for word in request.brand.avoid if word.lower() in answer.lower()]
        if avoided:
            raise _Unusable(f"it uses words that must be avoided: {', '.join(avoided)}")
        post = request.post
        title = (post.title or draft.title).replace("<", "").replace(">", "").strip()
        return Script(
            title=title or "Video",
            description=post.description if post.description is not None else draft.description,
            hashtags=post.hashtags if post.hashtags is not None else tuple(tag.lstrip("#") for tag in draft.hashtags),
            scenes=tuple(Scene(text=one.text, search_terms=tuple(one.search_terms)) for one in draft.scenes),
            language=request.language,
            writer=self.name,
            model=self._model,
        )


def _brief(request: VideoRequest) -> str:
    wishes: Mapping[str, object] = {
        "topic": request.topic,
        "language": request.language,
        "seconds": request.target_seconds,
        "words": round(request.target_seconds * request.speed * WORDS_PER_SECOND),
        "tone": request.tone,
        "audience": request.audience,
        "use these words": list(request.brand.use),
        "never use these words": list(request.brand.avoid),
    }
    # As JSON the topic cannot end the data and begin an instruction.
    return json.dumps({name: value for name, value in wishes.items() if value}, ensure_ascii=False)


def _json_of(answer: str) -> str:
    """The JSON of an answer; servers that ignore the schema wrap it in a code fence."""
    start, end = answer.find("{"), answer.rfind("}")
    return answer[start : end + 1] if 0 <= start < end else answer


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema as structured output takes it: closed objects, all fields required, no bounds that servers reject."""
    bounds = {"minLength", "maxLength", "minItems", "maxItems", "title"}

    def closed(node: Any, names: bool = False) -> Any:
        if isinstance(node, list):
            return [closed(item) for item in node]
        if not isinstance(node, dict):
            return node
        kept = {
            key: closed(value, key in {"properties", "$defs"})
            for key, value in node.items()
            if names or key not in bounds
        }
        if kept.get("type") == "object" and not names:
            kept |= {"additionalProperties": False, "required": list(kept.get("properties", {}))}
        return kept

    result: dict[str, Any] = closed(schema)
    return result


def _rate_limited(error: Any, model: str) -> Exception:
    if getattr(error, "code", None) == "insufficient_quota":
        return PermanentFailure("the language model's account has no credit left: add some, or set OPENAI_BASE_URL")
    try:
        seconds = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return TransientFailure(f"the endpoint of {model} is asked too often")
    return AskedToWait(f"the endpoint of {model} asks to wait {seconds:g} s", max(seconds, 0.0))


def _said(error: Any) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    return str(body.get("message") or error.message)[:300]
