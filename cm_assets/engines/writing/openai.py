"""The writer for topics: has a language model write a script as JSON, checks it, and lets it mend that once."""

from collections.abc import Callable

from cm_assets.engines.writing import wording
from cm_assets.engines.writing.chat import TIMEOUT, Chat, Question
from cm_assets.engines.writing.drafts import Unusable, schema, script_from
from cm_assets.models.base import TransientFailure
from cm_assets.models.protocols import Purse
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import Script

TOKENS = 4000
"""Room for the JSON around a script, and for models that think before they write."""


class OpenAIWriter:
    """Asks a model for a script.

    Args:
        model: its name.
        base_url: of an OpenAI-compatible endpoint; OpenAI's own if None.
        api_key: for it; servers of one's own need none.
        purse: pays for the calls, and keeps their answers until the script is made.
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
        purse: Purse,
        timeout: float = TIMEOUT,
        before_call: Callable[[], None] = lambda: None,
    ) -> None:
        self._model = model
        self._purse = purse
        self._chat = Chat(
            model=model, base_url=base_url, api_key=api_key, purse=purse, timeout=timeout, before_call=before_call
        )

    def write(self, request: VideoRequest) -> Script:
        """A script about the request's topic.

        Raises:
            TransientFailure: the endpoint is down, or the model gave no usable script twice.
            AskedToWait: it said when to come back, or the day's budget is used up.
            PermanentFailure: it refuses the key, the model or the topic, or the variables make no sense, or the video's
                budget is used up.
        """
        return self._written(request, [])

    def revise(self, request: VideoRequest, script: Script, feedback: str) -> Script:
        """A script about the request's topic that answers what a person said of another one.

        Raises:
            Failure: as `write`.
        """
        return self._written(request, wording.revision(script, feedback))

    def _written(self, request: VideoRequest, conversation: list[dict[str, str]]) -> Script:
        messages = [*wording.opening(request), *conversation]
        words = wording.words_wanted(request)
        tokens, least = TOKENS + 8 * words, 300 + 3 * words
        answer = ""
        try:
            answer = self._ask(messages, tokens, least)
            return self._script(answer, request)
        except Unusable as error:
            messages += wording.repair(answer, str(error))
        try:
            # Twice the room: a model that thought to the limit would be cut off again.
            return self._script(self._ask(messages, 2 * tokens, least), request)
        except Unusable as error:
            # Kept, these answers would be found again by every retry.
            self._purse.forget()
            reason = f"the language model {self._model} gave no usable script twice: {error}"
            raise TransientFailure(self._chat.without_key(reason)) from None

    def _ask(self, messages: list[dict[str, str]], tokens: int, least: int) -> str:
        reply = self._chat.ask(Question(messages, schema(), tokens, least))
        if reply.cut:
            after = f" after {reply.usage.completion} tokens" if reply.usage else ""
            raise Unusable(f"the answer was cut off{after}, at the token limit or the end of the context; be brief")
        return reply.content

    def _script(self, answer: str, request: VideoRequest) -> Script:
        return script_from(answer, request, writer=self.name, model=self._model, prompt=wording.version())
