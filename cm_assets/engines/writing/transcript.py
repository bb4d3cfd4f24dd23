"""The writer for the text of a narration that is there already: all of its words, in their order, cut into scenes."""

import re

from cm_assets.engines.writing import clauses
from cm_assets.engines.writing.given import TERMS, finished
from cm_assets.engines.writing.keywords import keywords
from cm_assets.models.base import PermanentFailure
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import Scene, Script

_END = re.compile(r"[.!?\u2026\u061f\u0964][\"'\u201d\u2019)\]]*$")


class Transcript:
    """Changes no word and leaves none out: somebody has spoken them."""

    name = "transcript"

    def write(self, request: VideoRequest) -> Script:
        """The source text in scenes, each of a sentence or two, or a part of a long one.

        Raises:
            PermanentFailure: the request gives no source text.
        """
        if not request.source_text:
            raise PermanentFailure("the request gives no source_text")
        scenes = tuple(
            Scene(text=text, search_terms=keywords(text, TERMS, request.language))
            for text in clauses.scenes(sentences(request.source_text))
        )
        return finished(request, scenes, self.name)

    def revise(self, request: VideoRequest, script: Script, feedback: str) -> Script:
        """Not done here: what was spoken cannot be written anew.

        Raises:
            PermanentFailure: always.
        """
        raise PermanentFailure("the words are those of the narration: change both and ask again")


def sentences(text: str) -> list[str]:
    """The words of a text, cut behind those that end a sentence.

    An abbreviation's full stop counts as well: what is cut there too early is short and joined again.
    """
    found: list[list[str]] = [[]]
    for word in text.split():
        found[-1].append(word)
        if _END.search(word):
            found.append([])
    return [" ".join(words) for words in found if words]
