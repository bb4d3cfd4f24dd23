"""Checks of a script: its length, its repetitions, the words of the brand."""

import re
from collections import Counter

from cm_assets.checks.finding import Finding
from cm_assets.models.brand import avoided, unused
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import WORDS_PER_SECOND, Script

SHORTEST, LONGEST = 0.5, 1.5
"""Bounds of the spoken length, as shares of the length that was asked for."""


def check_script(script: Script, request: VideoRequest) -> list[Finding]:
    """What there is to say about a script, before a word of it is spoken."""
    return [_length(script, request), _repetition(script), _brand(script, request)]


def _length(script: Script, request: VideoRequest) -> Finding:
    words = sum(len(scene.text.split()) for scene in script.scenes)
    seconds = words / WORDS_PER_SECOND / request.speed
    figures = {"words": words, "seconds, about": round(seconds, 1), "asked for": request.target_seconds}
    if request.scenes is not None:
        return Finding("script_length", True, "The request brought its own scenes; their length is its own.", figures)
    fits = SHORTEST * request.target_seconds <= seconds <= LONGEST * request.target_seconds
    return Finding("script_length", fits, f"About {seconds:.0f} s for {request.target_seconds} s asked for.", figures)


def _repetition(script: Script) -> Finding:
    sentences = [
        " ".join(re.findall(r"\w+", sentence.lower()))
        for scene in script.scenes
        for sentence in re.split(r"[.!?]+\s", scene.text)
    ]
    repeated = [sentence for sentence, count in Counter(sentences).items() if count > 1 and len(sentence.split()) > 3]
    why = f"Said twice: {repeated[0][:80]!r}." if repeated else "No sentence is said twice."
    return Finding("script_repetition", not repeated, why, {"repeated sentences": len(repeated)})


def _brand(script: Script, request: VideoRequest) -> Finding:
    wrong, missing = avoided(request.brand, script), unused(request.brand, script)
    said = [f"Says what is to be avoided: {', '.join(wrong)}."] if wrong else []
    said += [f"Does not say: {', '.join(missing)}."] if missing else []
    why = " ".join(said) or "The words to use are there, and those to avoid are not."
    return Finding("script_brand", not said, why, {"avoided": len(wrong), "unused": len(missing)})
