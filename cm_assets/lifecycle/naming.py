"""What a request may say of uploads: clips that are shown, and the narration that is heard in the place of a voice."""

from collections.abc import Callable, Collection, Mapping

from cm_assets.lifecycle.documents import Problem
from cm_assets.models.request import VideoRequest
from cm_assets.models.upload import Upload, UploadId, UploadKind, upload_id

Find = Callable[[Collection[UploadId]], Mapping[UploadId, Upload]]


def judge_uploads(request: VideoRequest, find: Find) -> list[Problem]:
    """What cannot be served of what a request says of uploads.

    Args:
        request: well-formed.
        find: the uploads of some ids that there are.
    """
    named = _named(request)
    if not named:
        return []
    known = find({found for _, found, _ in named})
    problems = missing(request, {found for _, found, _ in named} - set(known))
    problems += [
        Problem(field, f"upload:{found} is a {known[found].kind} and not a {kind}")
        for field, found, kind in named
        if found in known and known[found].kind != kind
    ]
    if request.narration is not None:
        problems += _unheard(request)
        narration = known.get(upload_id(request.narration) or "")
        if not problems and narration is not None:
            problems += _unfit(request, narration)
    return problems


def missing(request: VideoRequest, ids: Collection[UploadId]) -> list[Problem]:
    """The fields of a request that name these uploads, which there are none of."""
    return [
        Problem(field, f"there is no upload:{found}; hand the file in with cm upload FILE, or POST /uploads")
        for field, found, _ in _named(request)
        if found in ids
    ]


def _named(request: VideoRequest) -> list[tuple[str, UploadId, UploadKind]]:
    """The uploads of a request, each with its field and what it has to be."""
    clips = [(f"scenes.{index}.clip", scene.clip) for index, scene in enumerate(request.scenes or ())]
    found: list[tuple[str, UploadId, UploadKind]] = [
        (field, one, "clip") for field, name in clips if (one := upload_id(name)) is not None
    ]
    if (narration := upload_id(request.narration)) is not None:
        found.append(("narration", narration, "narration"))
    return found


def _unheard(request: VideoRequest) -> list[Problem]:
    """What nobody would hear, since the recording is heard."""
    from cm_assets.engines.speech.reading import read
    from cm_assets.engines.writing.source import has_no_blanks

    if request.topic is not None:
        said = "needs the words that it says, as scenes or source_text; those about a topic are yet to be written"
        return [Problem("narration", said)]
    defaults = {name: VideoRequest.model_fields[name].default for name in ("voice", "speed", "target_seconds")}
    why = {
        "voice": "is heard of nobody, since narration is: leave it out",
        "speed": "changes a voice, and narration is heard as it is: leave it out",
        "target_seconds": "chooses from a source_text, and narration says all of it: leave it out",
    }
    problems = [Problem(name, why[name]) for name, default in defaults.items() if getattr(request, name) != default]
    problems += [
        Problem(f"scenes.{index}.text", "has no word that narration could say: it cannot be told when it is shown")
        for index, scene in enumerate(request.scenes or ())
        if not any(reading.spoken for reading in read(scene.text))
    ]
    if request.source_text is not None and has_no_blanks(request.source_text):
        problems.append(Problem("source_text", "has no blanks between its words; give scenes with narration"))
    return problems


def _unfit(request: VideoRequest, narration: Upload) -> list[Problem]:
    from cm_assets.engines.speech.recording import misfit

    text = request.source_text or " ".join(scene.text for scene in request.scenes or ())
    why = misfit(text, narration.seconds or 0.0)
    return [Problem("narration", why)] if why else []
