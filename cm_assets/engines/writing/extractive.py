"""The writer for source texts: their best sentences, in their order, cut into scenes. No language model.

LexRank (Erkan and Radev, 2004) ranks the sentences; pysbd finds them.
"""

import functools
import math
import re
from typing import Any

from cm_assets.engines.writing.given import TERMS, finished
from cm_assets.engines.writing.keywords import keywords
from cm_assets.models.base import PermanentFailure
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import Scene, Script

WORDS_PER_SECOND = 2.6

SHORTEST, LONGEST = 4, 45
"""Words of a sentence that can be spoken as it is: shorter is a heading, longer is a list or a table."""

SCENE_WORDS = 22
"""Words of the longest scene; a longer sentence is shown as several."""

MOST_SENTENCES = 400
"""Sentences that are ranked: the comparison of each with each grows with the square."""

# A sentence that begins so leans on one that may not be there.
_LEANING = re.compile(
    r"^(however|but|and|or|so|then|therefore|thus|moreover|furthermore|also|this|that|these|those|it|its|he|she|they|"
    r"his|her|their|such|as a result|in addition|for example|for instance|instead|otherwise|meanwhile)\b",
    re.IGNORECASE,
)
_BOILERPLATE = re.compile(
    r"(cookie|subscribe|sign up|newsletter|all rights reserved|click here|read more|copyright|©|https?://|www\.)",
    re.IGNORECASE,
)


class Extractive:
    """Chooses sentences; never changes what one says."""

    name = "extractive"

    def write(self, request: VideoRequest) -> Script:
        """A script of about the length that was asked for.

        Raises:
            PermanentFailure: the text has no sentence that could be spoken.
        """
        sentences = _sentences(request.source_text or "")
        if not sentences:
            raise PermanentFailure(
                f"source_text: has no sentence of {SHORTEST} to {LONGEST} words; give whole sentences, or scenes"
            )
        chosen = _choose(sentences, round(request.target_seconds * request.speed * WORDS_PER_SECOND))
        texts = [part for sentence in chosen for part in _scenes(sentence)]
        scenes = tuple(Scene(text=text, search_terms=keywords(text, TERMS)) for text in texts)
        return finished(request, scenes, self.name)


def _sentences(text: str) -> list[str]:
    import pysbd

    segmenter = pysbd.Segmenter(language="en", clean=False)
    found: list[str] = []
    # Paragraph by paragraph: the segmenter's expressions take long over a text without an end.
    for paragraph in re.split(r"\n\s*\n|\n\s*[-*\u2022]\s+|\n#+\s", text):
        plain = " ".join(paragraph.split()).lstrip("-*\u2022# ")
        for start in range(0, len(plain), 20_000):
            found += (sentence.strip() for sentence in segmenter.segment(plain[start : start + 20_000]))
        if len(found) >= MOST_SENTENCES:
            break
    fit = [one for one in found if SHORTEST <= len(one.split()) <= LONGEST and _reads_well(one)]
    return list(dict.fromkeys(fit))[:MOST_SENTENCES]


def _reads_well(sentence: str) -> bool:
    letters = sum(character.isalpha() or character.isspace() for character in sentence)
    return letters >= 0.75 * len(sentence) and not _BOILERPLATE.search(sentence)


def _choose(sentences: list[str], words: int) -> list[str]:
    """The sentences to speak, in the order of the source."""
    if sum(len(sentence.split()) for sentence in sentences) <= 1.15 * words:
        return sentences
    ranks = _ranks(sentences)
    kept: set[int] = set()
    length = 0
    for index in sorted(range(len(sentences)), key=lambda number: (-ranks[number], number)):
        count = len(sentences[index].split())
        if _leans(sentences, index, kept) or length + count > 1.1 * words:
            continue
        kept.add(index)
        length += count
    if not kept:
        kept = {max(range(len(sentences)), key=lambda number: ranks[number])}
    return [sentences[index] for index in sorted(kept)]


def _leans(sentences: list[str], index: int, kept: set[int]) -> bool:
    """Whether a sentence needs the one before it, which was not chosen."""
    return bool(_LEANING.match(sentences[index])) and index - 1 not in kept


def _ranks(sentences: list[str]) -> list[float]:
    from sumy.summarizers.lex_rank import LexRankSummarizer

    summarizer = LexRankSummarizer(_stem)
    words = [_words(sentence) for sentence in sentences]
    frequency = summarizer._compute_tf(words)
    inverse = summarizer._compute_idf(words)
    matrix = summarizer._create_matrix(words, summarizer.threshold, frequency, inverse)
    scores = summarizer.power_method(matrix, summarizer.epsilon)
    # The opening of a text says what it is about; the weight fades over its first tenth.
    fade = max(1.0, len(sentences) / 10)
    return [float(score) * (1 + math.exp(-number / fade)) for number, score in enumerate(scores)]


def _words(sentence: str) -> list[str]:
    return [_stem(word) for word in re.findall(r"\w+", sentence.lower())]


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word))


def _scenes(sentence: str) -> list[str]:
    """A sentence as one scene, or, where it is long, as several that end at its own commas and dashes."""
    if len(sentence.split()) <= SCENE_WORDS:
        return [sentence]
    parts: list[str] = []
    for clause in re.split(r"(?<=[,;:\u2014])\s", sentence):
        if parts and len(parts[-1].split()) + len(clause.split()) <= SCENE_WORDS:
            parts[-1] += f" {clause}"
        else:
            parts.append(clause)
    # A rest of a few words is no scene.
    if len(parts) > 1 and len(parts[-1].split()) < SHORTEST:
        rest = parts.pop()
        parts[-1] += f" {rest}"
    return parts
