"""Which footage source has which name. Opens nothing."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cm_assets.models.base import PermanentFailure
from cm_assets.models.protocols import FootageSource


def sources(names: Sequence[str], *, folder: Path | None, ffmpeg: Path | None) -> tuple[FootageSource, ...]:
    """The sources of these names, in this order, without those that are not configured.

    Args:
        names: as in `CM_FOOTAGE`.
        folder: the user's own footage.
        ffmpeg: the binary to use, if it is not to be searched for.

    Raises:
        PermanentFailure: a name is unknown, or no ffmpeg is fit.
    """
    from cm_assets.media.ffmpeg import find

    check_names(names)
    binary = find(ffmpeg).path
    return tuple(source for name in names if (source := _SOURCES[name](folder, binary)) is not None)


def check_names(names: Sequence[str]) -> None:
    """Hold the names against those that there are.

    Raises:
        PermanentFailure: one is unknown.
    """
    unknown = [name for name in names if name not in _SOURCES]
    if unknown:
        raise PermanentFailure(f"CM_FOOTAGE: {', '.join(unknown)} is unknown; known: {', '.join(_SOURCES)}")


def _folder(folder: Path | None, binary: Path) -> FootageSource | None:
    from cm_assets.engines.footage.folder import Folder

    return Folder(folder, binary) if folder else None


def _illustrated(_folder: Path | None, binary: Path) -> FootageSource:
    from cm_assets.engines.footage.illustrated import Illustrated

    return Illustrated(binary)


_SOURCES: Mapping[str, Callable[[Path | None, Path], FootageSource | None]] = {
    "folder": _folder,
    "illustrated": _illustrated,
}
