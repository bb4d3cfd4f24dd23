"""What a post says under its video: the user's text, and who made the clips, as their licences ask. Pure."""

from collections.abc import Callable, Sequence

from cm_assets.models.base import PermanentFailure
from cm_assets.models.clips import Credit

SITES = {"pexels": ("Pexels", "https://www.pexels.com"), "pixabay": ("Pixabay", "https://pixabay.com")}
"""Stock sites ask for a link to themselves, and for the author's name and a link to the clip where that is possible
(https://www.pexels.com/api/documentation/#guidelines, https://pixabay.com/api/docs/)."""

ASK_FOR_NOTHING = frozenset({"", "own", "cc0", "cc0 1.0", "public domain"})
"""Licences of the user's own footage that want nobody named."""

LONGEST_NAME = 80
LONGEST_WORD = 30
"""Characters; scripts without spaces are cut anywhere."""


def describe(text: str, owed: Sequence[Credit], limit: int, *, size: Callable[[str], int] = len) -> str:
    """The text with the credits below it, within a platform's limit. The credits are never cut, the text gives way.

    Where they do not fit, they are said more briefly: without the links to the clips, then by naming the sites alone.

    Args:
        text: of the user or of the script.
        owed: credits of the clips; those that need no mention are left out, and each is said once.
        limit: of the whole, in what `size` counts.
        size: `len` for characters; platforms count bytes or UTF-16 units as well.

    Raises:
        PermanentFailure: not even the briefest credits fit.
    """
    due = [credit for credit in dict.fromkeys(owed) if _is_due(credit)]
    for said in (_each(due), _by_source(due), _briefest(due)):
        below = "\n".join(dict.fromkeys(said))
        if size(below) <= limit:
            return _above(text.strip(), below, limit, size)
    raise PermanentFailure(
        f"the credits of the clips do not fit into {limit}: show fewer clips that want their authors named"
    )


def _is_due(credit: Credit) -> bool:
    if credit.source in SITES:
        return True
    return credit.source == "folder" and credit.licence.strip().casefold() not in ASK_FOR_NOTHING


def _each(owed: Sequence[Credit]) -> list[str]:
    """`Video by Ana Lima on Pexels: https://...`, a line each."""
    lines = []
    for credit in owed:
        link = f": {credit.url}" if credit.url else ""
        if credit.source in SITES:
            by = f" by {_name(credit)}" if _name(credit) else ""
            lines.append(f"Video{by} on {SITES[credit.source][0]}{link}")
        else:
            lines.append(f"Footage{_by(credit)}{link}")
    return lines


def _by_source(owed: Sequence[Credit]) -> list[str]:
    """`Videos by Ana Lima, Bo Ek on Pexels: https://www.pexels.com`, a line for each site."""
    lines = []
    for source, (name, link) in SITES.items():
        if of_site := [credit for credit in owed if credit.source == source]:
            names = ", ".join(dict.fromkeys(filter(None, map(_name, of_site))))
            lines.append(f"Videos{' by ' if names else ''}{names} on {name}: {link}")
    return lines + [f"Footage{_by(credit)}" for credit in owed if credit.source not in SITES]


def _briefest(owed: Sequence[Credit]) -> list[str]:
    sites = [f"Videos: {link}" for source, (_, link) in SITES.items() if any(one.source == source for one in owed)]
    return sites + [f"Footage{_by(credit)}" for credit in owed if credit.source not in SITES]


def _by(credit: Credit) -> str:
    licence = _plain(credit.licence)
    return f" by {_name(credit)} ({licence})" if _name(credit) else f" ({licence})"


def _name(credit: Credit) -> str:
    return _plain(credit.author)


def _plain(text: str) -> str:
    """A name as one short line; angle brackets are refused by YouTube."""
    return " ".join("".join(c if c.isprintable() and c not in "<>" else " " for c in text).split())[:LONGEST_NAME]


def _above(text: str, below: str, limit: int, size: Callable[[str], int]) -> str:
    """The text, or as much of it as there is room for, over the credits."""

    def whole(length: int) -> str:
        shown = text if length == len(text) else _cut(text, length)
        return "\n\n".join(filter(None, (shown, below)))

    # More of the text is never less to count, so that halving finds the most that fits.
    fits, too_long = 0, len(text) + 1
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        fits, too_long = (middle, too_long) if size(whole(middle)) <= limit else (fits, middle)
    return whole(fits)


def _cut(text: str, length: int) -> str:
    """The beginning of a text, cut between words where there is such a place near."""
    if not length:
        return ""
    head = text[:length]
    space = max((head.rfind(mark) for mark in " \n\t"), default=-1)
    near = head[:space] if length - space <= LONGEST_WORD and space > 0 else head
    return f"{near.rstrip(' ,;:.')}\u2026"
