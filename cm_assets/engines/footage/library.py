"""A folder of the user's own footage: which files it has and which words describe them."""

import logging
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError, field_validator

from cm_assets.engines.footage.matching import stem
from cm_assets.models.base import Model, PermanentFailure

VIDEOS = frozenset({".mp4", ".mov", ".mkv", ".webm"})
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
INDEX = "index.yaml"
LARGEST_INDEX = 4_000_000
"""Bytes."""

MOST_FILES = 20_000
"""Looked at in one folder, subfolders included."""

_CAMEL = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])")
_LETTERS = re.compile(r"[^\W\d_]+")
_STOP = frozenset("a an and at by for from in into is of on or the to with".split())  # noqa: SIM905

log = logging.getLogger(__name__)


class IndexEntry(Model):
    """What the index says about a file.

    Attributes:
        keywords: words that describe it, beside those of its name.
        author: a name to print.
        licence: such as `CC BY 4.0`; `own` by default.
        url: of the page that it comes from.
    """

    keywords: Annotated[tuple[str, ...], Field(max_length=200)] = ()
    author: str = ""
    licence: str = "own"
    url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=2000)] | None = None

    @field_validator("keywords", mode="before")
    @classmethod
    def _one_text_is_a_list(cls, value: object) -> object:
        return value.split(",") if isinstance(value, str) else value


_INDEX = TypeAdapter(dict[str, IndexEntry])


@dataclass(frozen=True, slots=True)
class Item:
    """A file of the folder.

    Attributes:
        path: where its bytes lie; links are resolved.
        name: relative to the folder, with `/`, as a person sees it.
        words: stems of what describes it.
        entry: of the index.
    """

    path: Path
    name: str
    words: frozenset[str]
    entry: IndexEntry

    @property
    def is_video(self) -> bool:
        """By its name; what it is in truth, `probe` says."""
        return self.path.suffix.lower() in VIDEOS

    @property
    def shown_name(self) -> str:
        """The name as text that can be printed and stored, whatever bytes are in it."""
        return "".join(c if c.isprintable() else "?" for c in self.name.encode(errors="replace").decode())


def words(text: str) -> frozenset[str]:
    """The stems of a text's words; `SunSet-over_sea2` has sun, set, over and sea."""
    parts = _LETTERS.findall(_CAMEL.sub(" ", unicodedata.normalize("NFC", text)))
    return frozenset(stem(part.casefold()) for part in parts) - _STOP


def read(folder: Path) -> list[Item]:
    """The footage of a folder and its subfolders, by name.

    Hidden files, links that lead out of the folder and whatever is no plain file are left out.

    Raises:
        PermanentFailure: there is no such folder, or its index cannot be read.
    """
    if not folder.is_dir():
        raise PermanentFailure(f"CM_FOOTAGE_FOLDER: {folder} is no folder; create it or unset the variable")
    index = _index(folder)
    root = folder.resolve()
    items = []
    for found in _files(folder):
        name = found.relative_to(folder).as_posix()
        path = _inside(found, root)
        if path is None:
            log.warning("footage: %r leads out of the folder or is no plain file, and is left out", name)
            continue
        entry = index.get(name) or index.get(found.name) or IndexEntry()
        described = words(" ".join((str(Path(name).with_suffix("")), *entry.keywords)))
        items.append(Item(path, name, described, entry))
    unknown = set(index) - {item.name for item in items} - {Path(item.name).name for item in items}
    if unknown:
        log.warning("footage: %s names files that are not there: %s", INDEX, ", ".join(map(repr, sorted(unknown)[:5])))
    return items


def _files(folder: Path) -> Iterator[Path]:
    count = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or Path(name).suffix.lower() not in VIDEOS | PICTURES:
                continue
            count += 1
            if count > MOST_FILES:
                log.warning("footage: only the first %d files of %s are looked at", MOST_FILES, folder)
                return
            yield Path(parent) / name


def _inside(path: Path, root: Path) -> Path | None:
    try:
        resolved = path.resolve(strict=True)
        plain = stat.S_ISREG(resolved.stat().st_mode)
    except (OSError, RuntimeError):
        return None
    return resolved if plain and resolved.is_relative_to(root) else None


def _index(folder: Path) -> Mapping[str, IndexEntry]:
    path = _inside(folder / INDEX, folder.resolve())
    if path is None:
        return {}
    import yaml

    try:
        if path.stat().st_size > LARGEST_INDEX:
            raise PermanentFailure(f"{INDEX} in the footage folder is larger than {LARGEST_INDEX:,} bytes")
        return _INDEX.validate_python(yaml.safe_load(path.read_text("utf-8")) or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise PermanentFailure(f"{INDEX} in the footage folder: {place}: {first['msg']}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise PermanentFailure(f"{INDEX} in the footage folder is no YAML: {error}") from None
