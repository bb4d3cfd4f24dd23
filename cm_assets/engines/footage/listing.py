"""Reading the lists that stock sites answer with: what is odd in one clip costs that clip and no more."""

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError

from cm_assets.engines.footage.ranking import Rendition, StockClip
from cm_assets.models.base import Model

LONGEST_TEXT = 300

Id = Annotated[int, Field(ge=0, lt=2**63)]
Length = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
"""Seconds."""

log = logging.getLogger(__name__)


def listed(
    entries: Sequence[Any], kind: type[Model], clip: Callable[[Any], StockClip], service: str
) -> list[StockClip]:
    """The clips of a list in its order, each once; those that cannot be read or have no file are left out.

    Args:
        entries: as they were parsed.
        kind: of an entry.
        clip: makes one of an entry.
        service: whose list it is.
    """
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


def renditions(files: Iterable[tuple[int | None, int | None, str]]) -> tuple[Rendition, ...]:
    """Width, height and address of a clip's files, where there are all three."""
    return tuple(
        Rendition(width, height, link)
        for width, height, link in files
        if link and width and height and min(width, height) > 0
    )


def page(url: str, site: str, otherwise: str) -> str:
    """The address of a clip's page, which people are shown, if it is one of this site; else the other one."""
    return url if re.fullmatch(rf"https://{site}/[A-Za-z0-9/_%.~-]{{1,300}}", url) else otherwise


def printable(text: str) -> str:
    """Somebody's text as one line that can be shown."""
    shown = "".join(c if c.isprintable() else " " for c in text.encode(errors="replace").decode())
    return " ".join(shown.split())[:LONGEST_TEXT]
