"""The writer for topics: a language model behind any OpenAI-compatible endpoint."""

import json
import re
from collections.abc import Callable, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from cm_assets.engines.retry_after import retry_after
from cm_assets.engines.writing.drafts import Unusable, schema, script_from, words_wanted
from cm_assets.models.base import AskedToWait, PermanentFailure, TransientFailure
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import Script

if TYPE_CHECKING:
    from openai import APIError, APIStatusError, OpenAI

PROMPT = "script.v2.md"
"""The version is in the name: another prompt is another file."""

TIMEOUT = 120.0
"""Seconds that the endpoint may be silent."""

_PASSING = frozenset({408, 409, 425})


class OpenAIWriter:
    """Asks a model for a script as JSON, checks it, and lets the model mend it once.

    Args:
        model: its name.
        base_url: of the endpoint; OpenAI's own if None.
        api_key: for it; servers of one's own need none.
        timeout: seconds that the endpoint may be silent.
        before_call: called before each call; may raise AskedToWait.
    """

    name = "openai"

    def __init__(
        self,
        *,
        model: str,
        base_url: str | None,
        api_key: str | None,
        timeout: float = TIMEOUT,
        before_call: Callable[[], None] = lambda: None,
    ) -> None:
        self._model = model
        self._base_url = base_url.strip() if base_url else None
        self._api_key = api_key.strip() if api_key else None
        self._timeout = timeout
        self._before_call = before_call

    def write(self, request: VideoRequest) -> Script:
        """A script about the request's topic.

        Raises:
            TransientFailure: the endpoint is down, or the model gave no usable script twice.
            AskedToWait: it said when to come back.
            PermanentFailure: it refuses the key, the model or the topic, or the variables make no sense.
        """
        return self._written(request, [])

    def revise(self, request: VideoRequest, script: Script, feedback: str) -> Script:
        """A script about the request's topic that answers what a person said of another one.

        Raises:
            Failure: as `write`.
        """
        old = {
            "title": script.title,
            "description": script.description,
            "hashtags": list(script.hashtags),
            "scenes": [{"text": one.text, "search_terms": list(one.search_terms)} for one in script.scenes],
        }
        wish = (
            "A reviewer rejected the video that was made of this script and wants it changed as follows. Keep what the "
            "reviewer does not object to. Answer with the whole script as JSON.\n<feedback>\n"
            + json.dumps(feedback, ensure_ascii=False).replace("<", "\\u003c")
            + "\n</feedback>"
        )
        return self._written(
            request,
            [
                {"role": "assistant", "content": json.dumps(old, ensure_ascii=False)},
                {"role": "user", "content": wish},
            ],
        )

    def _written(self, request: VideoRequest, conversation: list[dict[str, str]]) -> Script:
        from openai import OpenAI

        self._check_variables()
        messages = [{"role": "system", "content": _prompt()}, {"role": "user", "content": brief(request)}]
        messages += conversation
        # Room for the script, for the JSON around it, and for models that think before they write.
        tokens = 4000 + 8 * words_wanted(request)
        # Retries are Dagster's: a second layer here would multiply them, unseen.
        with OpenAI(
            base_url=self._base_url, api_key=self._api_key or "none", max_retries=0, timeout=self._timeout
        ) as client:
            answer = ""
            try:
                answer = self._ask(client, messages, tokens)
                return script_from(answer, request, writer=self.name, model=self._model)
            except Unusable as error:
                complaint = f"That cannot be used: {error}. Answer again with the whole script as JSON."
            # A message without content is refused by many servers.
            messages += [{"role": "assistant", "content": answer or "{}"}, {"role": "user", "content": complaint}]
            try:
                # Twice the room: a model that thought to the limit would be cut off again.
                answer = self._ask(client, messages, 2 * tokens)
                return script_from(answer, request, writer=self.name, model=self._model)
            except Unusable as error:
                reason = f"the language model {self._model} gave no usable script twice: {error}"
                raise TransientFailure(self._without_key(reason)) from None

    def _check_variables(self) -> None:
        """Say what the client would say late, and with the key in its words."""
        if self._api_key and not re.fullmatch(r"[!-~]+", self._api_key):
            raise PermanentFailure("OPENAI_API_KEY has characters that no key has: set it again")
        if self._base_url and not _is_address(self._base_url):
            raise PermanentFailure("OPENAI_BASE_URL is no address: set it to one such as http://localhost:11434/v1")

    def _ask(self, client: "OpenAI", messages: list[dict[str, str]], tokens: int) -> str:
        import openai

        try:
            completion = self._create(client, messages, tokens)
        except openai.APIStatusError as error:
            self._fail(error)
        except openai.APITimeoutError:
            raise TransientFailure(f"the language model did not answer within {self._timeout:g} s") from None
        except openai.APIConnectionError:
            raise TransientFailure("the language model's endpoint cannot be reached: check OPENAI_BASE_URL") from None
        except (openai.APIError, ValueError, RecursionError):
            completion = None
        return self._content(completion)

    def _create(self, client: Any, messages: list[dict[str, str]], tokens: int) -> Any:
        import openai

        wanted = {"type": "json_schema", "json_schema": {"name": "script", "strict": True, "schema": schema()}}
        options: dict[str, Any] = {"max_completion_tokens": tokens, "response_format": wanted}
        while True:
            self._before_call()
            try:
                return client.chat.completions.create(model=self._model, messages=messages, **options)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                simpler = _simpler(options, _said(error))
                if simpler is None:
                    raise
                options = simpler

    def _content(self, completion: Any) -> str:
        choices = getattr(completion, "choices", None)
        if not isinstance(choices, list):
            raise PermanentFailure(
                "the language model's endpoint does not speak the protocol: check that OPENAI_BASE_URL ends as its "
                "documentation says, often in /v1"
            )
        # The client builds what was sent without checking it: any part may be missing or of another kind.
        choice = choices[0] if choices else None
        message = getattr(choice, "message", None)
        refusal = getattr(message, "refusal", None)
        finish = getattr(choice, "finish_reason", None)
        if refusal or finish == "content_filter":
            said = self._without_key(" ".join(str(refusal or "its filter stopped the answer").split()))
            raise PermanentFailure(
                f"the language model refuses the topic: {said[:200]}; change the topic, or give scenes"
            )
        if finish == "length":
            raise Unusable("the answer was cut off at the token limit; be brief")
        content = getattr(message, "content", None)
        return content if isinstance(content, str) else ""

    def _fail(self, error: "APIStatusError") -> NoReturn:
        status = error.status_code
        if status == 402 or getattr(error, "code", None) == "insufficient_quota":
            raise PermanentFailure(
                "the language model's account has no credit left: add some, or set OPENAI_API_KEY or OPENAI_BASE_URL "
                "to another"
            ) from None
        if status in {429, 503} and (seconds := retry_after(error.response.headers)) is not None:
            raise AskedToWait(f"the endpoint of {self._model} asks to wait {seconds:g} s", seconds) from None
        if status == 429:
            raise TransientFailure(f"the endpoint of {self._model} is asked too often") from None
        if status >= 500 or status in _PASSING:
            raise TransientFailure(f"the language model's endpoint answers {status}") from None
        if status == 401:
            advice = "refuses the key: set OPENAI_API_KEY to a valid one"
        elif status == 403:
            advice = f"does not let this key use {self._model!r}: check OPENAI_API_KEY, or set CM_OPENAI_MODEL"
        elif status == 404:
            advice = f"has no model {self._model!r}, or lies elsewhere: set CM_OPENAI_MODEL, or check OPENAI_BASE_URL"
        else:
            advice = f"does not take the request ({status}): {_said(error)}"
        raise PermanentFailure(self._without_key(f"the language model's endpoint {advice}")) from None

    def _without_key(self, text: str) -> str:
        """What a server says may repeat the key that it was sent."""
        return text.replace(self._api_key, "***") if self._api_key else text


def _simpler(options: Mapping[str, Any], complaint: str) -> dict[str, Any] | None:
    """The options without what a server complains of, as some compatible ones know only the older ones; None if all is.

    The prompt says the shape of the answer as well, and the answer is checked, so that nothing is lost with the schema.
    """
    rest = dict(options)
    if "max_completion_tokens" in complaint and "max_completion_tokens" in rest:
        rest["max_tokens"] = rest.pop("max_completion_tokens")
    elif "response_format" in rest and any(word in complaint for word in ("response_format", "json_schema")):
        if rest.pop("response_format")["type"] == "json_schema":
            rest["response_format"] = {"type": "json_object"}
    else:
        return None
    return rest


def brief(request: VideoRequest) -> str:
    """The request as data for the model: JSON between tags that it cannot close."""
    wishes: Mapping[str, object] = {
        "topic": request.topic,
        "language": request.language,
        "seconds": request.target_seconds,
        "words": words_wanted(request),
        "tone": request.tone,
        "audience": request.audience,
        "use_words": list(request.brand.use),
        "avoid_words": list(request.brand.avoid),
    }
    data = json.dumps({name: value for name, value in wishes.items() if value}, ensure_ascii=False)
    # Quotes are escaped by JSON; with `<` escaped as well, no topic can end the data and begin an instruction.
    return "<brief>\n" + data.replace("<", "\\u003c") + "\n</brief>"


def _prompt() -> str:
    return (resources.files("cm_assets.engines.writing") / "prompts" / PROMPT).read_text(encoding="utf-8")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # judged only when it is read
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"\s", url)


def _said(error: "APIError") -> str:
    body = error.body if isinstance(error.body, dict) else {}
    return " ".join(str(body.get("message") or error.message).split())[:300]
