"""How written text is read aloud: for each word as it is shown, the words that a voice says."""

# ruff: noqa: RUF001 - typographic signs are what is read here

import re
import unicodedata
from dataclasses import dataclass

from cm_assets.engines.speech import lexicon, numbers, quantities

MOST_ITEMS = 40
"""Spoken words for one shown word; what a longer address or identifier has beyond them is not read."""

MOST_LETTERS = 40
"""Letters of one spoken word; the longest real ones are shorter, and noise is cut there."""

_MOST_CHARACTERS = 300
"""What is looked at of one shown word, so that a hostile one costs nothing."""

_PAUSES = "?!….;:—,"  # the strongest first
_LEADING = re.compile(r"^[\s\"'“”‘’«»„‚()\[\]{}*_`|\\/.,;:!?…—–¿¡•·^]+")
_TRAILING = re.compile(r"[\s\"'“”‘’«»„‚()\[\]{}*_`|\\/.,;:!?…—–-•·^~<>=]+$")
_DASH_ALONE = re.compile(r"[-–—]+")

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII)
_URL = re.compile(
    r"(?:https?://|ftp://|www\.)(\S+)|((?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|io|co|uk|de|fr|info|ai|app|dev|tv|me|ly|eu)(?:/\S*)?)",
    re.IGNORECASE,
)
_INITIALS = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")
_PIECE = re.compile(r"[²³]|[^\W\d_²³]+(?:['-][^\W\d_²³]+)*|\d+(?:,\d{3})*(?:\.\d+)?|[^\w\s]|_", re.UNICODE)
_KEPT = frozenset("…²³°") | quantities.VULGAR.keys()
_IN_ADDRESSES = {".": "dot", "-": "dash", "_": "underscore", "+": "plus"}
_POWERS = {"²": "squared", "³": "cubed"}
_UNSPOKEN = frozenset({"Cf", "Cc", "Cs", "Me"})
_PICTURES = frozenset({"So", "Sk", "Co", "Cn"})


@dataclass(frozen=True, slots=True)
class Reading:
    """A shown word and what is said for it.

    Attributes:
        shown: the word as `text.split()` gives it.
        spoken: what a voice says for it: words of the letters A to Z, apostrophes, hyphens and inner full stops, each
            with at most one mark of a pause at its end. Empty for what is not said, such as an emoji.
    """

    shown: str
    spoken: tuple[str, ...]


def read(text: str) -> tuple[Reading, ...]:
    """One reading for each word of `text.split()`, in order."""
    shown = text.split()
    spoken = _Reader(shown).spoken()
    return tuple(Reading(word, tuple(items)) for word, items in zip(shown, spoken, strict=True))


def foreign_share(text: str) -> float:
    """Share of the letters that are not of the Latin alphabet, 0 to 1."""
    letters = [char for char in unicodedata.normalize("NFKC", text) if char.isalpha()]
    latin = sum(char.isascii() or unicodedata.name(char, "").startswith("LATIN") for char in letters)
    return 1 - latin / len(letters) if letters else 0.0


class _Reader:
    """Reads words with their neighbours in view, as `5` and `km`, or `$3` and `million`, need it."""

    def __init__(self, shown: list[str]) -> None:
        cleaned = [_clean(word) for word in shown]
        self.parts = [_peel(word) for word in cleaned]
        self.opening = [word.lstrip("\"'“‘*_").startswith(("(", "[", "—", "–")) and len(word) > 1 for word in cleaned]
        self.dashes = [bool(_DASH_ALONE.fullmatch(word)) for word in cleaned]
        self.carried: dict[int, str] = {}

    def spoken(self) -> list[list[str]]:
        result: list[list[str]] = []
        for index in range(len(self.parts)):
            words = self._words(index)
            if index in self.carried:
                words = f"{words} {self.carried[index]}"
            items = _speakable(words)
            pause = self._pause(index)
            if items and pause and items[-1][-1] not in _PAUSES:
                items[-1] += pause
            elif not items and self.dashes[index]:
                _add_pause(result, "—")
            elif not items and pause:
                _add_pause(result, pause)
            if items and self.opening[index]:
                _add_pause(result, ",")
            result.append(items)
        return result

    def _core(self, index: int) -> str:
        return self.parts[index][0] if 0 <= index < len(self.parts) else ""

    def _tail(self, index: int) -> str:
        return self.parts[index][1]

    def _pause(self, index: int) -> str:
        core, tail = self.parts[index]
        following = self._core(index + 1)
        if ")" in tail and not any(mark in tail for mark in _PAUSES):
            return ","
        if tail.startswith(".") and "?" not in tail and "!" not in tail and following:
            if core in lexicon.TITLES and following[:1].isupper() and core != "St":
                return ""
            if core in {"St", "Mt", "Ft", "No", "Nos"} and (following[:1].isupper() or following[:1].isdigit()):
                return ""
            if len(core) == 1 and core.isupper() and core != "I":
                return ""
            abbreviated = core in lexicon.ABBREVIATIONS or core in lexicon.MONTHS or _INITIALS.fullmatch(core)
            clock = core.lower() in {"a.m", "p.m"}
            if abbreviated and not (clock and following[:1].isupper()):
                return "," if "," in tail else ""
        return next((mark for mark in _PAUSES if mark in tail.replace("–", "—")), "")

    def _words(self, index: int) -> str:
        core = self._core(index)
        if not core:
            return ""
        return (
            self._abbreviation(index, core)
            or _address(core)
            or _handle(core)
            or self._number(index, core)
            or self._roman(index, core)
            or _mixed(core)
        )

    def _abbreviation(self, index: int, core: str) -> str:
        stopped = self._tail(index).startswith(".")
        following = self._core(index + 1)
        previous = self._core(index - 1)
        if core in lexicon.MONTHS and (stopped or following[:1].isdigit() or previous[-1:].isdigit()):
            return lexicon.MONTHS[core] if core != "Mar" or following[:1].isdigit() or previous[-1:].isdigit() else ""
        if core == "St" and not following[:1].isupper():
            return "street" if stopped or previous[:1].isupper() else ""
        if core in lexicon.TITLES and following[:1].isupper() and (stopped or core in {"Mr", "Mrs", "Ms", "Dr", "St"}):
            return lexicon.TITLES[core]
        if core in {"No", "Nos"} and stopped and following[:1].isdigit():
            return "number" if core == "No" else "numbers"
        if core in lexicon.WITH_FULL_STOP and not stopped:
            return ""
        shown = core + "/" if core == "w" and self._tail(index).startswith("/") else core
        known = lexicon.ABBREVIATIONS.get(shown) or lexicon.ABBREVIATIONS.get(shown.lower())
        if known and not (shown.lower() in lexicon.WITH_FULL_STOP and not stopped):
            return known
        if core in lexicon.UNITS and core not in lexicon.WORDLIKE_UNITS and re.fullmatch(r".*\d", previous):
            return lexicon.UNITS[core][0 if numbers.is_one(previous) else 1]
        return ""

    def _number(self, index: int, core: str) -> str:
        if not any(char in quantities.VULGAR or char.isdecimal() for char in core):
            return ""
        following, previous = self._core(index + 1), self._core(index - 1)
        if said := quantities.money(core):
            if following in lexicon.MAGNITUDES and not self._tail(index):
                self.carried[index + 1] = quantities.currency(core)
                return quantities.money(core, following)
            return said
        month = previous if previous in lexicon.MONTH_NAMES else lexicon.MONTHS.get(previous, "")
        if month and re.fullmatch(r"[12]?\d|3[01]", core):
            return numbers.ordinal(int(core))
        if re.fullmatch(r"[12]?\d|3[01]", core) and (following in lexicon.MONTH_NAMES or following in lexicon.MONTHS):
            return f"{numbers.ordinal(int(core))} of"
        if re.fullmatch(r"\d{3}", core) and (re.fullmatch(r"\d{3}-\d{4}", following) or previous.startswith("+")):
            return f"{numbers.digits(core)},"
        stem = core.removesuffix("'s")
        if stem != core and not stem.endswith("0") and (said := quantities.quantity(stem)):
            return f"{said}'s"
        amount, _, each = core.partition("/")
        said = quantities.money(amount) or quantities.quantity(amount)
        if said and each.isalpha() and not quantities.quantity(core):
            return f"{said} per {each}"
        unit_follows = following in lexicon.UNITS and following not in lexicon.WORDLIKE_UNITS
        return quantities.quantity(core, plain=unit_follows or following in lexicon.MAGNITUDES)

    def _roman(self, index: int, core: str) -> str:
        previous = self._core(index - 1)
        if core not in lexicon.ROMAN or not previous[:1].isupper() or previous.isupper() or self._tail(index - 1):
            return ""
        if core in {"V", "X"} and previous not in lexicon.MONARCHS:
            return ""
        value = lexicon.ROMAN[core]
        return f"the {numbers.ordinal(value)}" if previous in lexicon.MONARCHS else numbers.cardinal(value)


def _clean(word: str) -> str:
    """Without what is never said: emoji, marks that direct or join, control characters; quotes made straight."""
    word = word[:_MOST_CHARACTERS]
    word = re.sub(r"\.{2,}", "…", re.sub(r"[’‘ʼ`´]", "'", word))
    kept = []
    for char in word:
        # The compatible form of a square is a plain digit, and that of a half joins the number before it.
        if char in _KEPT:
            kept.append(char)
        elif (kind := unicodedata.category(char)) in _PICTURES:
            kept.append("|")
        elif kind not in _UNSPOKEN and not "\ufe00" <= char <= "\ufe0f":
            kept.append(char if char.isascii() else unicodedata.normalize("NFKC", char))
    return "".join("".join(kept).split())


def _peel(word: str) -> tuple[str, str]:
    """The word without its punctuation, and the punctuation after it."""
    leading = _LEADING.match(word)
    body = word[leading.end() :] if leading else word
    # A decimal's point and a decade's apostrophe belong to the number.
    if leading and leading.group().endswith(".") and body[:1].isdigit():
        body = "." + body
    trailing = _TRAILING.search(body)
    if not trailing:
        return body, ""
    core, tail = body[: trailing.start()], trailing.group()
    return (core, tail) if core else ("", tail + word[: leading.end()] if leading else tail)


def _add_pause(result: list[list[str]], pause: str) -> None:
    for items in reversed(result):
        if items:
            if items[-1][-1] not in _PAUSES:
                items[-1] += pause
            return


def _address(core: str) -> str:
    if _EMAIL.fullmatch(core):
        name, _, host = core.partition("@")
        return f"{_spelled(name)} at {_spelled(host)}"
    match = _URL.fullmatch(core)
    if not match:
        return ""
    address = re.split(r"[?#]", (match.group(1) or match.group(2)).removeprefix("www."))[0].rstrip("/")
    return " slash ".join(_spelled(part) for part in address.split("/") if part)


def _spelled(part: str) -> str:
    pieces = re.findall(r"[^\W\d_]+|\d+|[^\w]|_", part)
    return " ".join(_IN_ADDRESSES.get(piece) or _mixed(piece) for piece in pieces)


def _handle(core: str) -> str:
    if len(core) > 1 and core[0] in "#@" and (core[1].isalpha() or core[1] == "_"):
        said = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", core[1:])
        return f"{'hashtag' if core[0] == '#' else 'at'} {' '.join(_mixed(part) for part in said.split())}"
    return ""


def _mixed(core: str) -> str:
    """A word as it is, or the pieces of one that mixes letters, digits and symbols."""
    if re.fullmatch(r"[A-Za-z]+(?:['-][A-Za-z]+)*", core) or _INITIALS.fullmatch(core):
        return core
    parts = [part for part in re.split(r"[-–]", core) if part]
    if len(parts) > 1 and any(char.isdecimal() for char in core):
        span = len(parts) == 2 and all(part[0].isdecimal() for part in parts)
        return (" to " if span else " ").join(quantities.quantity(part) or _mixed(part) for part in parts)
    said: list[str] = []
    pieces = _PIECE.findall(core)
    for before, piece, after in zip(["", *pieces], pieces, [*pieces[1:], ""], strict=False):
        if piece[0].isdecimal():
            said.append(numbers.year(int(piece)) if re.fullmatch(r"[1-9]\d{3}", piece) else numbers.decimal(piece))
        elif piece[0].isalpha():
            said.append(piece)
        elif said and after and (piece in "—…" or (piece == "." and _ends_sentence(before, after))):
            said[-1] += piece
        else:
            said.append(_symbol(piece, inside=bool(said and after), last=bool(said)))
    return " ".join(filter(None, said))


def _ends_sentence(before: str, after: str) -> bool:
    """Whether a full stop only lacks the space after it, as in `end.Next` and not in `Node.js`."""
    return after[0].isupper() and before.islower() and len(before) > 1


def _symbol(symbol: str, *, inside: bool, last: bool) -> str:
    if symbol == ".":
        return "dot" if inside else ""
    if symbol == "#":
        return "sharp" if last else ""
    if symbol in lexicon.CURRENCIES:
        return lexicon.CURRENCIES[symbol][1]
    return _POWERS.get(symbol) or lexicon.SYMBOLS.get(symbol, "")


def _speakable(words: str) -> list[str]:
    """The words in plain letters, none without a letter, none too long, and not too many."""
    from anyascii import anyascii

    items: list[str] = []
    for word in words.split():
        pause = word[-1] if word[-1] in _PAUSES else ""
        plain = anyascii(word.rstrip(_PAUSES))
        for part in plain.split():
            letters = re.sub(r"[^A-Za-z'.-]+", "", part).strip("'.-")[:MOST_LETTERS].strip("'.-")
            if letters:
                items.append(letters)
        if pause and items:
            items[-1] = items[-1].rstrip(_PAUSES) + pause
    return items[:MOST_ITEMS]
