"""Which footage source has which name. Opens nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cm_assets.models.base import PermanentFailure
from cm_assets.models.protocols import ClipHistory, FootageSource, Rests

if TYPE_CHECKING:
    from cm_assets.engines.footage.gathering import Source
    from cm_assets.engines.footage.stock import Site, Stock


@dataclass(frozen=True, slots=True)
class Access:
    """How a stock site is asked.

    Attributes:
        url: of its video search.
        key: of its API.
        key_variable: where people set the key.
        before_call: called before each call; may raise AskedToWait.
    """

    url: str
    key: str
    key_variable: str
    before_call: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Means:
    """What sources work with.

    Attributes:
        folder: the user's own footage, if there is any.
        ffmpeg: the binary to use, if it is not to be searched for.
        cache: folder for downloads and answers.
        cache_bytes: bound of the downloads.
        allow_private: whether clips may be loaded from hosts that are not public.
        sites: how to ask stock sites, by name; those without a key are missing or have an empty one.
    """

    folder: Path | None
    ffmpeg: Path | None
    cache: Path
    cache_bytes: int
    allow_private: bool
    sites: Mapping[str, Access]


def sources(names: Sequence[str], means: Means, history: ClipHistory, rests: Rests) -> "tuple[Source, ...]":
    """The sources of these names, in this order; `folder` is left out where there is none.

    Args:
        names: as in `CM_FOOTAGE`.
        means: what they work with.
        history: which clips were shown.
        rests: until when sites are not to be called.

    Raises:
        PermanentFailure: a name is unknown, a site has no key, or no ffmpeg is fit.
    """
    from cm_assets.media.ffmpeg import find

    check_names(names)
    binary = find(means.ffmpeg).path
    found: list[Source | None] = []
    for name in names:
        if name in _SITES:
            found.append(_stock(name, means, binary, history, rests))
        else:
            found.append(_LOCAL[name](means.folder, binary))
    return tuple(source for source in found if source is not None)


def check_names(names: Sequence[str], missing_keys: Sequence[str] = ()) -> None:
    """Hold the names against those that there are.

    Raises:
        PermanentFailure: one is unknown, or needs a key that is not set.
    """
    known = (*_SITES, *_LOCAL)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise PermanentFailure(f"CM_FOOTAGE: {', '.join(unknown)} is unknown; known: {', '.join(known)}")
    if missing_keys:
        raise _without_keys(missing_keys)


def _without_keys(variables: Sequence[str]) -> PermanentFailure:
    return PermanentFailure(
        f"CM_FOOTAGE names a source without its key: set {' and '.join(variables)}, or take it out of CM_FOOTAGE"
    )


def _stock(name: str, means: Means, binary: Path, history: ClipHistory, rests: Rests) -> "Stock":
    from cm_assets.engines.footage.downloads import Downloads
    from cm_assets.engines.footage.stock import Stock

    access = means.sites.get(name)
    if access is None or not access.key.strip():
        raise _without_keys([access.key_variable if access else f"the key of {name}"])
    site = _SITES[name](access, means.cache / "answers", rests)
    downloads = Downloads(means.cache / "footage", means.cache_bytes, allow_private=means.allow_private)
    return Stock(site, downloads, binary, history)


def _pexels(access: Access, answers: Path, rests: Rests) -> "Site":
    from cm_assets.engines.footage.pexels import Pexels

    return Pexels(access, answers, rests)


def _pixabay(access: Access, answers: Path, rests: Rests) -> "Site":
    from cm_assets.engines.footage.pixabay import Pixabay

    return Pixabay(access, answers, rests)


def _folder(folder: Path | None, binary: Path) -> FootageSource | None:
    from cm_assets.engines.footage.folder import Folder

    return Folder(folder, binary) if folder else None


def _illustrated(_folder: Path | None, binary: Path) -> FootageSource:
    from cm_assets.engines.footage.illustrated import Illustrated

    return Illustrated(binary)


_SITES: "Mapping[str, Callable[[Access, Path, Rests], Site]]" = {"pexels": _pexels, "pixabay": _pixabay}

_LOCAL: Mapping[str, Callable[[Path | None, Path], FootageSource | None]] = {
    "folder": _folder,
    "illustrated": _illustrated,
}
