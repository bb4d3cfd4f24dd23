"""The writer for requests that bring their own scenes: it adds only what they lack."""

from cm_assets.engines.writing.keywords import keywords
from cm_assets.engines.writing.titles import hashtags_from, title_from
from cm_assets.models.base import PermanentFailure
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import Scene, Script

TERMS = 4


class Given:
    """Takes the request's scenes as they are."""

    name = "request"

    def write(self, request: VideoRequest) -> Script:
        """The request's scenes, with search terms, a title and hashtags where it gives none."""
        if request.scenes is None:
            raise PermanentFailure("the request gives no scenes")
        scenes = tuple(
            Scene(text=scene.text, search_terms=scene.search_terms or keywords(scene.text, TERMS), clip=scene.clip)
            for scene in request.scenes
        )
        return finished(request, scenes, self.name)


def finished(request: VideoRequest, scenes: tuple[Scene, ...], writer: str) -> Script:
    """A script of scenes, with what its post says."""
    terms = [term for scene in scenes for term in scene.search_terms[:2]]
    post = request.post
    return Script(
        title=(post.title or title_from(scenes[0].text)).replace("<", "").replace(">", "").strip() or "Video",
        description=post.description or "",
        hashtags=post.hashtags if post.hashtags is not None else hashtags_from(terms),
        scenes=scenes,
        language=request.language,
        writer=writer,
    )
