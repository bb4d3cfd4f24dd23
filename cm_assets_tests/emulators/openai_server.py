"""A server on loopback that speaks OpenAI's Chat Completions as documented, and writes plausible scripts.

It holds callers to the documented rules (the key, the model, strict schemas), so that what works here is what the
service takes (platform.openai.com/docs/api-reference/chat). Faults are answered in the order given, one a request;
after the last, it works. With a `context` it refuses what is longer, in the words of vLLM (docs.vllm.ai,
"OpenAI-Compatible Server").

    with OpenAIServer(faults=[RATE_LIMITED, answer("no JSON")]) as server:
        OpenAIWriter(model="test-model", base_url=server.base_url, api_key=server.key)
"""

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cm_assets_tests.emulators.loopback import Handler, LoopbackServer

MODEL = "test-model"


@dataclass(frozen=True)
class Fault:
    """One answer that is not the usual one.

    With a status, an error as the service words it. Without: a completion whose parts are replaced, or whose sending
    goes wrong.
    """

    status: int = 200
    message: str = "The server had an error while processing your request."
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: str | None = None
    usage: Mapping[str, Any] | None = None
    finish_reason: str = "stop"
    refusal: str | None = None
    page: str | None = None
    kind: str = "text/html"
    delay: float = 0
    cut: int | None = None
    reset: bool = False


RATE_LIMITED = Fault(429, "Rate limit reached for requests", "rate_limit_exceeded", {"Retry-After": "7"})
BUSY = Fault(429, "Rate limit reached for requests", "rate_limit_exceeded")
NO_QUOTA = Fault(429, "You exceeded your current quota, please check your plan", "insufficient_quota")
SERVER_ERROR = Fault(500)
OVERLOADED = Fault(503, "The engine is currently overloaded, please try again later")
BAD_KEY = Fault(401, "Incorrect API key provided", "invalid_api_key")
FORBIDDEN = Fault(403, "Project does not have access to the model", "model_not_found")
NO_SCHEMAS = Fault(400, "'response_format.type' must be 'text' or 'json_object'")
NO_FORMATS = Fault(400, "Unrecognized request argument supplied: response_format")
NEW_LIMIT = Fault(
    400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)
UNKNOWN_LIMIT = Fault(422, "Extra inputs are not permitted: body.max_completion_tokens")
INVALID_JSON = Fault(content='{"title": "Half a scr')
REFUSAL = Fault(refusal="I'm sorry, I can't help with that.")
FILTERED = Fault(content="", finish_reason="content_filter")
HTML_PAGE = Fault(page="<!doctype html><title>Welcome to nginx!</title>")
RESET = Fault(reset=True)


def answer(content: str) -> Fault:
    """A completion with this content instead of a script."""
    return Fault(content=content)


def truncated(characters: int = 200) -> Fault:
    """A script that ends in the middle, as at the token limit."""
    return Fault(cut=characters, finish_reason="length")


def counted(prompt: int, completion: int, cached: int = 0) -> Fault:
    """The usual answer, of so many tokens."""
    details = {"prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0}}
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return Fault(usage=usage | details)


UNCOUNTED = Fault(usage={})
"""The usual answer of a server that does not count tokens."""


def slow(seconds: float) -> Fault:
    """The usual answer, late."""
    return Fault(delay=seconds)


@dataclass(frozen=True)
class Recorded:
    """A request as it came; names of headers in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class OpenAIServer(LoopbackServer):
    """A running server; stopped at the end of the `with` block.

    Attributes:
        base_url: to be given as OPENAI_BASE_URL.
        requests: the completions that were asked for, faults included.
        context: tokens that prompt and answer may take together; no bound if None.
    """

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        key: str | None = None,
        models: Iterable[str] = (),
        context: int | None = None,
    ) -> None:
        super().__init__(_Handler)
        self.base_url = f"{self.address}/v1"
        self.key = key
        self.context = context
        self.models = frozenset(models)
        self.faults = list(faults)
        self.requests: list[Recorded] = []

    def take(self, recorded: Recorded) -> Fault:
        """Note a request; what to do with it."""
        with self.lock:
            self.requests.append(recorded)
            return self.faults.pop(0) if self.faults else Fault()


class _Handler(Handler):
    owner: ClassVar[OpenAIServer]

    def do_GET(self) -> None:
        if not self._allowed():
            return
        if self.path == "/v1/models":
            models = sorted(self.owner.models or {MODEL})
            listed = [{"id": one, "object": "model", "created": 1_700_000_000, "owned_by": "test"} for one in models]
            self._send(200, {"object": "list", "data": listed})
        else:
            self._error(404, f"Invalid URL (GET {self.path})")

    def do_POST(self) -> None:
        raw = self.body()
        if self.path != "/v1/chat/completions":
            self._error(404, f"Invalid URL (POST {self.path})")
            return
        try:
            body = json.loads(raw)
        except ValueError:
            self._error(400, "We could not parse the JSON body of your request.")
            return
        fault = self.owner.take(Recorded(self.path, self.named(), body))
        if not self._allowed():
            return
        self._answer(body, fault)

    def _answer(self, body: Mapping[str, Any], fault: Fault) -> None:
        if fault.delay:
            self.owner.wait(fault.delay)
        if fault.reset:
            self.reset()
        elif fault.page is not None:
            self._send_bytes(fault.status, fault.page.encode(), fault.kind, fault.headers)
        elif fault.status != 200:
            self._error(fault.status, fault.message, fault.code, fault.headers)
        elif (wrong := _wrong(body)) is not None or (wrong := _too_long(body, self.owner.context)) is not None:
            self._error(400, wrong)
        elif self.owner.models and body["model"] not in self.owner.models:
            self._error(404, f"The model `{body['model']}` does not exist", "model_not_found")
        else:
            self._send(200, _completion(body, fault))

    def _allowed(self) -> bool:
        if self.owner.key is None or self.headers.get("Authorization") == f"Bearer {self.owner.key}":
            return True
        self._error(401, f"Incorrect API key provided: {self.headers.get('Authorization')}.", "invalid_api_key")
        return False

    def _error(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        kind = {429: code or "requests"}.get(status, "server_error" if status >= 500 else "invalid_request_error")
        error = {"message": message, "type": kind, "param": None, "code": code}
        self._send(status, {"error": error}, headers)

    def _send(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self._send_bytes(status, json.dumps(body).encode(), "application/json", headers or {})

    def _send_bytes(self, status: int, content: bytes, kind: str, headers: Mapping[str, str]) -> None:
        self.send(status, content, {"Content-Type": kind, "x-request-id": "req_test", **headers})


def _completion(body: Mapping[str, Any], fault: Fault) -> dict[str, Any]:
    content: str | None = fault.content
    if content is None and fault.refusal is None:
        script = _script(_asked(body))
        if any("<feedback>" in message["content"] for message in body["messages"] if message["role"] == "user"):
            script["scenes"][0]["text"] = "Here is the better version. " + script["scenes"][0]["text"]
        content = json.dumps(script, ensure_ascii=False)[: fault.cut]
    spoken = len(content or "") // 4
    usage = {
        "prompt_tokens": 500,
        "completion_tokens": spoken,
        "total_tokens": 500 + spoken,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": fault.refusal, "annotations": []},
                "logprobs": None,
                "finish_reason": fault.finish_reason,
            }
        ],
        "usage": (usage if fault.usage is None else fault.usage) or None,
        "service_tier": "default",
    }


def _too_long(body: Mapping[str, Any], context: int | None) -> str | None:
    """What vLLM says when prompt and answer do not fit its context."""
    prompt = sum(len(message["content"]) for message in body["messages"]) // 4
    asked = int(body.get("max_tokens") or body.get("max_completion_tokens") or 0)
    if context is None or prompt + asked <= context:
        return None
    return (
        f"'max_tokens' or 'max_completion_tokens' is too large: {asked}. This model's maximum context length is "
        f"{context} tokens and your request has {prompt} input tokens"
    )


def _wrong(body: Mapping[str, Any]) -> str | None:
    """What the service would say against a request, or None."""
    if not isinstance(body.get("model"), str):
        return "you must provide a model parameter"
    if not body.get("messages"):
        return "Invalid 'messages': empty array."
    if {"max_tokens", "max_completion_tokens"} <= body.keys():
        return "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
    if body.get("stream"):
        return "this server does not stream"
    wanted = body.get("response_format") or {"type": "text"}
    if wanted.get("type") == "json_schema":
        spec = wanted.get("json_schema") or {}
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", str(spec.get("name", ""))):
            return "Invalid 'response_format.json_schema.name'."
        reason = _not_strict(spec.get("schema")) if spec.get("strict") else None
        return reason and f"Invalid schema for response_format '{spec['name']}': {reason}"
    return None


def _not_strict(schema: Any) -> str | None:
    """Why strict structured output would refuse a schema: objects must be closed and all their fields required."""
    if isinstance(schema, list):
        return next((reason for one in schema if (reason := _not_strict(one))), None)
    if not isinstance(schema, dict):
        return None
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            return "'additionalProperties' is required to be supplied and to be false."
        if sorted(schema.get("required", [])) != sorted(schema.get("properties", {})):
            return "'required' is required to be supplied and to be an array including every key in properties."
    if banned := {"default", "minLength", "maxLength", "oneOf", "allOf"} & schema.keys():
        return f"'{sorted(banned)[0]}' is not permitted."
    return _not_strict(list(schema.values()))


def _asked(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The brief in the first message of the user, or the whole message as the topic."""
    text = next((one["content"] for one in body["messages"] if one["role"] == "user"), "")
    try:
        found = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except ValueError:
        found = None
    return found if isinstance(found, dict) and found.get("topic") else {"topic": text}


_BEATS: tuple[tuple[str, ...], ...] = (
    ("{topic} looks simple, until you see what happens behind the scenes.", "city skyline", "clock"),
    ("Ten years ago almost nobody talked about it at the dinner table.", "family dinner", "calendar"),
    ("Today you can find it in kitchens, in offices and on the train.", "train station", "office desk"),
    ("The first big step was cheap tools that anybody could try at home.", "workbench tools", "laptop"),
    ("Then small teams showed that patience beats money most of the time.", "team meeting", "coffee cup"),
    ("Teachers noticed it next, and they brought it into the classroom.", "classroom", "blackboard"),
    ("A doctor in a small town used it to save an hour every day.", "doctor hospital", "stethoscope"),
    ("Farmers check it on their phones before the sun comes up.", "farm sunrise", "tractor"),
    ("Not everything works, and the failures teach more than the wins.", "broken machine", "notebook"),
    ("The hardest part is starting, because the first try is never good.", "runner start line", "mountain"),
    ("Measure one thing a week, and you will see where it leads.", "measuring tape", "growth chart"),
    ("Ask somebody who did it before, and listen to what they regret.", "two people talking", "microphone"),
    ("Money helps less than people think, while time helps much more.", "coins piggy bank", "hourglass"),
    ("Every city now has a group that meets to talk about it.", "community meeting", "city street"),
    ("Children learn it faster, since nobody told them it was difficult.", "children playing", "building blocks"),
    ("Keep what works, drop what does not, and write both down.", "writing notebook", "pencil"),
    ("So pick one small part of {topic}, and try it before tonight.", "checklist", "evening light"),
)


def _script(brief: Mapping[str, Any]) -> dict[str, Any]:
    """A script about the brief's topic of about as many words as it asks for; the same brief, the same script."""
    topic = " ".join(str(brief["topic"]).split()[:6]).strip(" .,!?")[:60] or "This"
    wanted = int(brief.get("words") or 110)
    avoided = [str(word).lower() for word in brief.get("avoid_words") or ()]
    hook, *middle, end = (beat for beat in _BEATS if not any(word in beat[0].lower() for word in avoided))
    beats: list[tuple[str, ...]] = [hook]
    words = len(hook[0].split()) + len(end[0].split())
    for turn in range(200):
        text, *terms = middle[turn % len(middle)]
        if turn >= len(middle):
            text = f"Chapter {turn // len(middle) + 1}, and again: {text}"
        if words + len(text.split()) // 2 >= wanted:
            break
        beats.append((text, *terms))
        words += len(text.split())
    beats.append(end)
    scenes = [{"text": text.format(topic=topic), "search_terms": list(terms)} for text, *terms in beats]
    tags = [word.lower() for word in re.findall(r"\w{4,}", topic)[:3]]
    return {
        "title": f"What {topic} teaches us",
        "description": f"A short look at {topic}, and one thing to try today.",
        "hashtags": [*tags, "shorts"],
        "scenes": scenes,
    }
