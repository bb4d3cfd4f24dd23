"""Which of a brand's words a script has."""

import re
from collections.abc import Iterable

from cm_assets.models.request import Brand
from cm_assets.models.script import Script


def avoided(brand: Brand, script: Script) -> tuple[str, ...]:
    """The words to avoid that are said or shown, as whole words: avoiding `AI` does not forbid `said`."""
    text = _all_of(script)
    return tuple(word for word in brand.avoid if _has(text, word))


def unused(brand: Brand, script: Script) -> tuple[str, ...]:
    """The words to use that are nowhere."""
    text = _all_of(script)
    return tuple(word for word in brand.use if not _has(text, word))


def _all_of(script: Script) -> str:
    parts: Iterable[str] = (*(scene.text for scene in script.scenes), script.title, script.description)
    return " ".join([*parts, *script.hashtags]).casefold()


def _has(text: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", text) is not None
