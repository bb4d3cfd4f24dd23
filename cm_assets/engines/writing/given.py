"""The writer for requests that bring their own scenes: it adds only what they lack."""

from cm_assets.engines.writing.keywords import keywords
from cm_assets.engines.writing.titles import (
    LONGEST_TITLE,
    description_from,
    fitted,
    hashtags_from,
    hashtags_given,
    one_line,
    title_from,
)
from cm_assets.models.base import PermanentFailure
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import Scene, Script

TERMS = 4
"""Search terms of a scene."""


class Given:
    """Takes the request's scenes as they are."""

    name = "request"

    def write(self, request: VideoRequest) -> Script:
        """The request's scenes, with search terms, a title, a description and hashtags where it gives none.

        Raises:
            PermanentFailure: the request gives no scenes.
        """
        if request.scenes is None:
            raise PermanentFailure("the request gives no scenes")
        scenes = tuple(
            Scene(
                text=scene.text,
                search_terms=scene.search_terms or keywords(scene.text, TERMS, request.language),
                clip=scene.clip,
            )
            for scene in request.scenes
        )
        return finished(request, scenes, self.name)

    def revise(self, request: VideoRequest, script: Script, feedback: str) -> Script:
        """Not done here: people revise their own scenes.

        Raises:
            PermanentFailure: always.
        """
        raise PermanentFailure("the request brings its own scenes: change them and ask again")


def finished(request: VideoRequest, scenes: tuple[Scene, ...], writer: str, heading: str = "") -> Script:
    """A script of scenes, with what its post says: the request's own words, else made from the scenes.

    Args:
        request: its `post` comes first.
        scenes: at least one.
        writer: for the record.
        heading: a title that the source has, if any.
    """
    post = request.post
    terms = [term for scene in scenes for term in scene.search_terms]
    texts = [scene.text for scene in scenes]
    return Script(
        title=fitted(one_line(post.title or heading), LONGEST_TITLE) or title_from(texts[0]),
        description=post.description if post.description is not None else description_from(texts),
        hashtags=hashtags_given(post.hashtags) if post.hashtags is not None else hashtags_from(terms),
        scenes=scenes,
        language=request.language,
        writer=writer,
    )
