"""Spoken words to phonemes, in the alphabet that both neural voices were trained on."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from cm_assets.engines.speech.reading import Reading

SENTENCE_ENDS = frozenset(".!?…")
CLAUSE_ENDS = frozenset(";:—,")


@dataclass(frozen=True, slots=True)
class Item:
    """One spoken word.

    Attributes:
        word: index of the shown word that it belongs to.
        phonemes: in misaki's alphabet, with the mark of a pause at the end where one follows; never empty.
        spelling: what was turned into the phonemes.
    """

    word: int
    phonemes: str
    spelling: str


@functools.cache
def alphabet() -> dict[str, int]:
    """Token numbers by phoneme; 0 is the padding at both ends of an utterance."""
    content = resources.files("hibari").joinpath("assets/vocab.json").read_text(encoding="utf-8")
    return {str(symbol): int(number) for symbol, number in json.loads(content).items()}


class Phonemizer:
    """Looks words up in a pronouncing dictionary by their part of speech, and guesses those that it lacks.

    Args:
        british: British instead of American pronunciation.
    """

    def __init__(self, *, british: bool = False) -> None:
        from hibari.g2p import G2P

        self._g2p = G2P(british=british)

    def items(self, readings: Sequence[Reading]) -> list[Item]:
        """The phonemes of every spoken word; words that came out without any are left out."""
        spelled = [(index, word) for index, reading in enumerate(readings) for word in reading.spoken]
        if not spelled:
            return []
        # All words at once, so that each is tagged and pronounced in its sentence; the text is in plain letters, so
        # every token belongs to exactly one of them, and blanks tell which.
        tokens = self._g2p.phonemize_tokens(self._g2p.tokenize(" ".join(word for _, word in spelled)))
        groups = [""]
        for token in tokens:
            groups[-1] += token.phonemes or ""
            if token.whitespace:
                groups.append("")
        if len(groups) != len(spelled):
            groups = [self._alone(word) for _, word in spelled]
        known = alphabet()
        items = []
        for (index, word), group in zip(spelled, groups, strict=True):
            phonemes = "".join(symbol for symbol in group if symbol in known).strip()
            if any(symbol.isalpha() for symbol in phonemes):
                # The dictionary takes the last full stop of `U.S.` for its own.
                unsaid = word[-1] in SENTENCE_ENDS | CLAUSE_ENDS and phonemes[-1] != word[-1]
                items.append(Item(index, phonemes + word[-1] if unsaid else phonemes, word))
        return items

    def _alone(self, word: str) -> str:
        return "".join(token.phonemes or "" for token in self._g2p.phonemize_tokens(self._g2p.tokenize(word)))


def utterances(items: Sequence[Item], *, ideal: int, limit: int) -> list[list[Item]]:
    """The items in stretches that a model speaks in one go.

    Short sentences go together up to the ideal length. A sentence beyond the limit is cut after the clause nearest to
    its middle, and only where it has none, between words.

    Args:
        items: what is said.
        ideal: phonemes up to which sentences are joined.
        limit: phonemes, blanks included, that the model takes at most.
    """
    sentences: list[list[Item]] = [[]]
    for item in items:
        sentences[-1].append(item)
        if item.phonemes[-1] in SENTENCE_ENDS:
            sentences.append([])
    pieces = [piece for sentence in sentences if sentence for piece in _halved(sentence, limit)]
    joined: list[list[Item]] = []
    for piece in pieces:
        if joined and _length(joined[-1]) + 1 + _length(piece) <= ideal:
            joined[-1].extend(piece)
        else:
            joined.append(piece)
    return joined


def text_of(items: Sequence[Item]) -> str:
    """The phonemes as a model takes them: words parted by blanks."""
    return " ".join(item.phonemes for item in items)


def _length(items: Sequence[Item]) -> int:
    return len(text_of(items))


def _halved(sentence: list[Item], limit: int) -> list[list[Item]]:
    if _length(sentence) <= limit:
        return [sentence]
    if len(sentence) == 1:
        (item,) = sentence
        return [[Item(item.word, item.phonemes[:limit], item.spelling)]]
    clauses = [place + 1 for place, item in enumerate(sentence[:-1]) if item.phonemes[-1] in CLAUSE_ENDS]
    middle = _length(sentence) / 2
    cut = min(clauses or range(1, len(sentence)), key=lambda place: abs(_length(sentence[:place]) - middle))
    return _halved(sentence[:cut], limit) + _halved(sentence[cut:], limit)
