"""Who writes: chosen by what a request gives. Imports no writer before it is needed."""

from collections.abc import Callable

from cm_assets.models.base import PermanentFailure
from cm_assets.models.protocols import Purse, ScriptWriter
from cm_assets.models.request import VideoRequest

NO_MODEL = (
    "a topic needs a language model, and none is configured. Three ways on: "
    "set OPENAI_API_KEY, or OPENAI_BASE_URL for any compatible server (Ollama, llama.cpp, vLLM); "
    "or give scenes; or give source_text"
)


def writer_for(
    request: VideoRequest,
    *,
    model: str,
    base_url: str | None,
    api_key: str | None,
    purse: Purse,
    before_call: Callable[[], None] = lambda: None,
) -> ScriptWriter:
    """The writer for a request.

    Args:
        request: with one of scenes, source_text and topic.
        model: name of the language model.
        base_url: of an OpenAI-compatible endpoint; OpenAI's own if None.
        api_key: for it.
        purse: pays for the calls of the language model.
        before_call: called before each call of the language model; may raise AskedToWait.

    Raises:
        PermanentFailure: the request gives a topic, and no language model is configured.
    """
    if request.scenes is not None:
        from cm_assets.engines.writing.given import Given

        return Given()
    if request.source_text is not None and request.narration is not None:
        from cm_assets.engines.writing.transcript import Transcript

        return Transcript()
    if request.source_text is not None:
        from cm_assets.engines.writing.extractive import Extractive

        return Extractive()
    if not base_url and not api_key:
        raise PermanentFailure(NO_MODEL)
    from cm_assets.engines.writing.openai import OpenAIWriter

    return OpenAIWriter(
        model=model, base_url=base_url or None, api_key=api_key or None, purse=purse, before_call=before_call
    )
