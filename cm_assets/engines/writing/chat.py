"""A language model behind any OpenAI-compatible endpoint: one question, one answer, paid for once."""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from cm_assets.engines.retry_after import retry_after
from cm_assets.models.base import AskedToWait, PermanentFailure, TransientFailure
from cm_assets.models.protocols import Purse
from cm_assets.models.spending import Reply, Usage

if TYPE_CHECKING:
    from openai import APIError, APIStatusError, OpenAI

TIMEOUT = 240.0
"""Seconds that the endpoint may be silent, which without streaming is until it has written everything. A model on an
ordinary processor takes minutes; the time limit of the stage is five."""

TEMPLATE_TOKENS = 500
"""What servers may put around the messages, at most."""

_PASSING = frozenset({408, 409, 425})

_MAYBE_BILLED = frozenset({408, 502, 504, 524})
"""Answers of those in between, who did not wait for the one that writes."""

_OF_THE_FORMAT = ("response_format", "schema", "grammar")
"""Words of those who complain of the answer's format: OpenAI, vLLM and Ollama, llama.cpp."""

_UNSENT = frozenset({"ConnectError", "ConnectTimeout", "UnsupportedProtocol", "InvalidURL", "LocalProtocolError"})

_TOO_LONG = re.compile(r"context (?:length|size|window)|is too large|at most \d+ completion tokens")

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        messages: roles and contents.
        schema: of the JSON that is to be answered.
        tokens: that the answer may take.
        least: tokens below which no answer fits.
    """

    messages: Messages
    schema: Mapping[str, Any]
    tokens: int
    least: int

    def most(self) -> Usage:
        """The tokens that it can take: no token is shorter than a byte."""
        written = [message["content"] for message in self.messages] + [json.dumps(self.schema)]
        prompt = sum(len(text.encode("utf-8", "surrogatepass")) for text in written) + TEMPLATE_TOKENS
        return Usage(prompt=prompt, completion=self.tokens)


class Chat:
    """Asks a model and pays for it.

    Args:
        model: its name.
        base_url: of the endpoint; OpenAI's own if None.
        api_key: for it; servers of one's own need none.
        timeout: seconds that the endpoint may be silent.
        purse: pays, and keeps the answers.
        before_call: called before each call; may raise AskedToWait.
    """

    def __init__(
        self,
        *,
        model: str,
        base_url: str | None,
        api_key: str | None,
        purse: Purse,
        timeout: float = TIMEOUT,
        before_call: Callable[[], None] = lambda: None,
    ) -> None:
        self._model = model
        self._base_url = base_url.strip() if base_url else None
        self._api_key = api_key.strip() if api_key else None
        self._purse = purse
        self._timeout = timeout
        self._before_call = before_call

    def ask(self, question: Question) -> Reply:
        """The answer; the one that was paid for, if this very question was answered before.

        Raises:
            TransientFailure: the endpoint is down.
            AskedToWait: it said when to come back, or the purse did.
            PermanentFailure: it refuses the key, the model or the topic, the variables make no sense, or the purse is
                empty.
        """
        self._check_variables()
        asked = [self._base_url, self._model, list(question.messages), question.schema, question.tokens]
        call = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        kept = self._purse.kept(call)
        if kept is not None:
            return kept
        reservation = self._purse.reserve(call, question.most())
        completion, seconds = self._paid(reservation, question)
        return self._read(reservation, completion, seconds)

    def without_key(self, text: str) -> str:
        """What a server says may repeat the key that it was sent."""
        return text.replace(self._api_key, "***") if self._api_key else text

    def _check_variables(self) -> None:
        """Say what the client would say late, and with the key in its words."""
        if self._api_key and not re.fullmatch(r"[!-~]+", self._api_key):
            raise PermanentFailure("OPENAI_API_KEY has characters that no key has: set it again")
        if self._base_url and not _is_address(self._base_url):
            raise PermanentFailure("OPENAI_BASE_URL is no address: set it to one such as http://localhost:11434/v1")

    def _paid(self, reservation: int, question: Question) -> tuple[Any, float]:
        """What the endpoint answers, and after how many seconds. What it does not bill is not counted."""
        import openai

        began = time.monotonic()
        # Retries are Dagster's: a second layer here would multiply them, unseen.
        with openai.OpenAI(
            base_url=self._base_url, api_key=self._api_key or "none", max_retries=0, timeout=self._timeout
        ) as client:
            try:
                return self._create(client, question), time.monotonic() - began
            except (AskedToWait, PermanentFailure):
                self._purse.release(reservation)
                raise
            except openai.APIStatusError as error:
                if error.status_code not in _MAYBE_BILLED:
                    self._purse.release(reservation)
                self._fail(error)
            except openai.APITimeoutError as error:
                self._release_unsent(reservation, error)
                raise TransientFailure(f"the language model did not answer within {self._timeout:g} s") from None
            except openai.APIConnectionError as error:
                self._release_unsent(reservation, error)
                raise TransientFailure(
                    "the language model's endpoint cannot be reached: check OPENAI_BASE_URL"
                ) from None
            except (openai.APIError, ValueError, RecursionError):
                return None, time.monotonic() - began

    def _release_unsent(self, reservation: int, error: Exception) -> None:
        """Count nothing for a question that was never sent. Where it broke off later, it may be billed: it stays."""
        # By name: some releases of the client bring an HTTP library of their own, with the same classes.
        if type(error.__cause__).__name__ in _UNSENT:
            self._purse.release(reservation)

    def _create(self, client: "OpenAI", question: Question) -> Any:
        import openai

        options = _Options.first(question, self._base_url)
        create: Any = client.chat.completions.create
        while True:
            self._before_call()
            try:
                return create(model=self._model, messages=list(question.messages), **options.as_asked())
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                complaint = _said(error)
                if _TOO_LONG.search(complaint):
                    if options.tokens // 2 < question.least:
                        raise PermanentFailure(
                            self.without_key(
                                f"the context of {self._model} is too short for this script: give it a longer one "
                                "(OLLAMA_CONTEXT_LENGTH, llama.cpp's --ctx-size, vLLM's --max-model-len), or lower "
                                f"target_seconds. The endpoint says: {complaint}"
                            )
                        ) from None
                    options = replace(options, tokens=options.tokens // 2)
                    continue
                simpler = options.simpler(complaint)
                if simpler is None:
                    raise
                options = simpler

    def _read(self, reservation: int, completion: Any, seconds: float) -> Reply:
        """The answer in what the endpoint sent, settled. The client builds it unchecked: any part may be missing."""
        choices, usage = getattr(completion, "choices", None), _usage(completion)
        if not isinstance(choices, list):
            if isinstance(completion, str):
                self._purse.release(reservation)  # a web page: no model was asked
            raise PermanentFailure(
                "the language model's endpoint does not speak the protocol: check that OPENAI_BASE_URL ends as its "
                "documentation says, often in /v1"
            )
        choice = choices[0] if choices else None
        message, finish = getattr(choice, "message", None), getattr(choice, "finish_reason", None)
        content, refusal = getattr(message, "content", None), getattr(message, "refusal", None)
        content = self.without_key(content) if isinstance(content, str) else ""
        reply = Reply(content=content, cut=finish == "length", usage=usage, seconds=seconds)
        self._purse.settle(reservation, reply)
        if refusal or finish == "content_filter":
            self._purse.forget()
            said = self.without_key(" ".join(str(refusal or "its filter stopped the answer").split()))
            raise PermanentFailure(
                f"the language model refuses the topic: {said[:200]}; change the topic, or give scenes"
            )
        return reply

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
        raise PermanentFailure(self.without_key(f"the language model's endpoint {advice}")) from None


@dataclass(frozen=True, slots=True)
class _Options:
    """Options that not every server knows.

    Attributes:
        limit: the name of the limit of tokens.
        tokens: the limit.
        format: of the answer; None to ask for none.
        renamed: whether the limit's other name was refused.
    """

    limit: str
    tokens: int
    format: Mapping[str, Any] | None
    renamed: bool = False

    @classmethod
    def first(cls, question: Question, base_url: str | None) -> "_Options":
        wanted = {"name": "script", "strict": True, "schema": question.schema}
        return cls(limit_for(base_url), question.tokens, {"type": "json_schema", "json_schema": wanted})

    def as_asked(self) -> dict[str, Any]:
        return {self.limit: self.tokens} | ({"response_format": self.format} if self.format is not None else {})

    def simpler(self, complaint: str) -> "_Options | None":
        """The options without what a server complains of; None if nothing is left.

        The prompt says the shape of the answer as well, and the answer is checked, so that nothing is lost with the
        schema.
        """
        if self.limit in complaint and not self.renamed:
            other = "max_tokens" if self.limit == "max_completion_tokens" else "max_completion_tokens"
            return replace(self, limit=other, renamed=True)
        if self.format is not None and any(word in complaint.lower() for word in _OF_THE_FORMAT):
            schema = self.format["type"] == "json_schema"
            return replace(self, format={"type": "json_object"} if schema else None)
        return None


def limit_for(base_url: str | None) -> str:
    """What an endpoint calls the limit of tokens, as a first guess.

    OpenAI's newer models refuse the older name; several compatible servers overlook the newer one, and write on.
    """
    own = base_url is None or urlsplit(base_url).hostname == "api.openai.com"
    return "max_completion_tokens" if own else "max_tokens"


def _usage(completion: Any) -> Usage | None:
    """The tokens that an endpoint counted, if it did."""
    usage = getattr(completion, "usage", None)
    counts = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
    cached = getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None)
    prompt, written = (count if isinstance(count, int) and count >= 0 else None for count in counts)
    if prompt is None or written is None:
        return None
    return Usage(prompt=prompt, completion=written, cached=cached if isinstance(cached, int) and cached > 0 else 0)


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
