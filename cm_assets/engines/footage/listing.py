"""Reading the lists that stock sites answer with: what is odd in one clip costs that clip and no more."""

import logging
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from cm_assets.engines.footage.ranking import StockClip
from cm_assets.models.base import Model, TransientFailure

LONGEST_TEXT = 300

log = logging.getLogger(__name__)


def listed(
    answer: Any, field: str, kind: type[Model], clip: Callable[[Any], StockClip], service: str
) -> list[StockClip]:
    """The clips of an answer in its order, each once; those that cannot be read or have no file are left out.

    Args:
        answer: as it was parsed.
        field: of the list.
        kind: of its entries.
        clip: makes one of an entry.
        service: whose answer it is.

    Raises:
        TransientFailure: there is no list.
    """
    entries = answer.get(field) if isinstance(answer, dict) else None
    if not isinstance(entries, list):
        raise TransientFailure(f"{service} answers without a list of {field}")
    found: dict[str, StockClip] = {}
    odd = 0
    for entry in entries:
        try:
            one = clip(kind.model_validate(entry))
        except ValidationError:
            odd += 1
            continue
        if one.renditions:
            found.setdefault(one.key, one)
    if odd:
        log.warning("footage: %d clips of %s cannot be read and are left out", odd, service)
    return list(found.values())


def printable(text: str) -> str:
    """Somebody's text as one line that can be shown."""
    shown = "".join(c if c.isprintable() else " " for c in text.encode(errors="replace").decode())
    return " ".join(shown.split())[:LONGEST_TEXT]
