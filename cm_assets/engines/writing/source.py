"""From a pasted text (plain, Markdown or HTML; wrapped, listed or littered) to the sentences that can be spoken."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from cm_assets.engines.writing.languages import primary, stop_words

SHORTEST, LONGEST = 4, 60
"""Words of a sentence that can be spoken as it is: shorter is a label, longer is a list or a table."""

_PIECE = 1_500
"""Characters that the segmenter is given at a time: its expressions take quadratic time."""

_TERMINAL = re.compile(r"[.!?\u2026\u3002\uff01\uff1f\u061f\u0964][\"'\u201d\u2019)\]]*$")
_BULLET = re.compile(r"^\s{0,12}(?:[-*+\u2022\u2023\u25aa\u25cf\u00b7\u2013]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+|^\s*(?:={3,}|-{3,}|\*{3,}|_{3,})\s*$")
_BOILERPLATE = re.compile(
    r"cookies?\b.*\b(use|accept|consent|policy)|(use|accept)s? .*\bcookies|\bsubscribe\b|\bsign up\b|newsletter|"
    r"all rights reserved|click here|read more|learn more at|copyright \W?\d|©|https?://|www\.|\S+@\S+\.\w|"
    r"^(photo|image|picture|source|credit|share|related|advertisement|tags?|posted|published|updated|by)\s*[:|]|"
    r"\bfollow us\b|terms of (use|service)|privacy policy|this article (was|first|originally)|\|",
    re.IGNORECASE,
)
_MARKUP = (
    (re.compile(r"```.*?(?:```|\Z)", re.DOTALL), "\n\n"),
    (re.compile(r"!\[[^\[\]\n]{0,300}\]\([^)\n]{0,600}\)"), ""),
    (re.compile(r"\[([^\[\]\n]{1,300})\]\((?:[^()\n]|\([^()\n]{0,200}\)){0,600}\)"), r"\1"),
    # Marks of notes, as encyclopedias have them.
    (re.compile(r"\s?\[(?:\d{1,3}|[a-z]|note \d+|citation needed)\]"), ""),
    (re.compile(r"(\*\*|__|`)(?=\S)([^*_`\n]+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])"), r"\1"),
    (re.compile(r"^[ \t]*>[ \t]?", re.MULTILINE), ""),
)
_HTML = re.compile(
    r"<(?:!doctype|html|body|head|p|div|article|section|br|h[1-6]|ul|ol|li|span|a|table)\b[^<>]*>", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the source.

    Attributes:
        text: as written, on one line.
        place: where it stands among all sentences of the source, those included that cannot be spoken.
        whole: whether it ends as sentences do; else it is an item of a list.
    """

    text: str
    place: int
    whole: bool

    @property
    def words(self) -> int:
        """How many it has."""
        return len(self.text.split())


@dataclass(frozen=True, slots=True)
class Source:
    """A text that was read.

    Attributes:
        heading: its title, or empty.
        sentences: those that can be spoken, in order, each once.
    """

    heading: str
    sentences: tuple[Sentence, ...]


def read(text: str, language: str) -> Source:
    """The heading and the speakable sentences of a text."""
    heading, found, seen = "", [], set()
    place = 0
    plain = _plain(text)
    # Some write without capitals; where others do, a small letter is the rest of a sentence that was cut.
    capitals = re.search(r"(?:^|[.!?]\s)[\"'\u201c\u2018(]*[^\W\d_a-z]", plain) is not None
    segmenter = _segmenter(language)
    for number, (paragraph, is_item) in enumerate(_paragraphs(plain)):
        whole = _TERMINAL.search(paragraph) is not None
        if number == 0 and not whole and not is_item and len(paragraph.split()) <= 16:
            heading = paragraph.rstrip(" :")
            continue
        for sentence in _segments(paragraph, segmenter):
            place += 1
            ends = _TERMINAL.search(sentence) is not None
            key = sentence.casefold()
            if (ends or is_item) and key not in seen and _is_speakable(sentence, capitals):
                seen.add(key)
                found.append(Sentence(sentence, place, ends))
    return Source(heading, tuple(found))


def reads_as(sentences: tuple[Sentence, ...], language: str) -> bool:
    """Whether sentences are of a language: prose uses its stop words all the time. True where too few tell."""
    known = stop_words(language)
    words = [word.lower() for one in sentences for word in re.findall(r"[^\W\d_]+", one.text)]
    if not known or len(words) < 40:
        return True
    # By the lists at hand English prose has more than 0.35 of its own, German 0.06 of the English ones.
    return sum(word in known for word in words) / len(words) > 0.15


def has_no_blanks(text: str) -> bool:
    """Whether a text is of a script that sets no blanks between words: Chinese, Japanese, Thai, Khmer, Lao, Burmese."""
    return len(re.findall(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u4e00-\u9fff]", text)) > 0.3 * len(
        text
    )


def _plain(text: str) -> str:
    text = (
        text.replace("\r\n", "\n").replace("\r", "\n").replace("\u00ad", "").replace("\u200b", "").replace("\ufeff", "")
    )
    text = "".join(character if character >= " " or character in "\n\t" else " " for character in text)
    if len(_HTML.findall(text)) >= 2:
        reader = _Text()
        reader.feed(text)
        reader.close()
        text = "".join(reader.parts)
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return text


class _Text(HTMLParser):
    """The text of a page, with blank lines where its blocks end."""

    _SILENT = frozenset({"script", "style", "noscript", "template", "nav", "footer", "form", "button", "svg", "head"})
    _INLINE = frozenset("a abbr b bdi cite code em i mark q s small span strong sub sup time u wbr font".split())  # noqa: SIM905

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._SILENT:
            self._silent.append(tag)
        self._block(tag)
        if tag == "li" and not self._silent:
            self.parts.append("- ")

    def handle_endtag(self, tag: str) -> None:
        if self._silent and tag == self._silent[-1]:
            self._silent.pop()
        self._block(tag)

    def _block(self, tag: str) -> None:
        if tag not in self._INLINE:
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(re.sub(r"\s+", " ", data))


def _paragraphs(text: str) -> Iterator[tuple[str, bool]]:
    """Each paragraph on one line, and whether it is an item of a list."""
    for block in re.split(r"\n\s*\n", text):
        lines = [line.rstrip() for line in block.split("\n") if line.strip()]
        widest = max((len(line) for line in lines), default=0)
        run: list[str] = []
        is_item = False
        for number, line in enumerate(lines):
            bullet, heading = _BULLET.match(line), _HEADING.match(line)
            if run and (bullet or heading or not _goes_on(lines[number - 1], line, widest)):
                yield " ".join(" ".join(run).split()), is_item
                run, is_item = [], False
            is_item = is_item or bullet is not None
            bare = line[(bullet or heading).end() :] if bullet or heading else line  # type: ignore[union-attr]
            if heading and bare.strip(" #"):
                yield " ".join(bare.strip(" #").split()), False
            elif not heading and bare.strip():
                run.append(bare)
        if run:
            yield " ".join(" ".join(run).split()), is_item


def _goes_on(line: str, following: str, widest: int) -> bool:
    """Whether the next line belongs to the same paragraph, or a heading or a verse ended here."""
    word = following.split(maxsplit=1)[0]
    if _TERMINAL.search(line) or word[0].islower() or line.endswith((",", ";", "-", "\u2014")):
        return True
    # Wrapped by a program: the next word would not have fitted.
    return len(line) + 1 + len(word) > widest - 2


def _segmenter(language: str) -> Any:
    with warnings.catch_warnings():
        # Its source has escapes that newer Pythons warn of when they compile it.
        warnings.simplefilter("ignore")
        import pysbd
        from pysbd.languages import LANGUAGE_CODES
    code = primary(language)
    return pysbd.Segmenter(language=code if code in LANGUAGE_CODES else "en", clean=False)


def _segments(paragraph: str, segmenter: Any) -> Iterator[str]:
    start = 0
    while start < len(paragraph):
        piece = paragraph[start : start + _PIECE]
        if start + _PIECE < len(paragraph):
            ends = [match.end() for match in re.finditer(r"[.!?]\s", piece)]
            piece = piece[: ends[-1]] if ends else piece
        start += len(piece)
        for sentence in segmenter.segment(piece):
            if sentence.strip():
                yield sentence.strip()


def _is_speakable(sentence: str, capitals: bool) -> bool:
    words = sentence.split()
    if not SHORTEST <= len(words) <= LONGEST or max(map(len, words)) > 40:
        return False
    first = words[0].lstrip("\"'\u201c\u2018([\u00ab\u00bf\u00a1")
    # The rest of a sentence that was cut; names like iPhone have a capital all the same.
    if not first or (capitals and first[0].islower() and first == first.lower()):
        return False
    letters = sum(character.isalpha() or character.isspace() for character in sentence)
    return letters >= 0.7 * len(sentence) and _is_balanced(sentence) and not _BOILERPLATE.search(sentence)


def _is_balanced(sentence: str) -> bool:
    pairs = (("(", ")"), ("[", "]"), ("\u201c", "\u201d"), ("\u00ab", "\u00bb"))
    return sentence.count('"') % 2 == 0 and all(sentence.count(one) == sentence.count(other) for one, other in pairs)
