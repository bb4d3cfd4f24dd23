"""The footage source `upload`: clips that users have handed in, each shown only where a request names it."""

from pathlib import Path

from cm_assets.models.base import PermanentFailure
from cm_assets.models.clips import ClipSpec, Credit, FetchedClip, FootageQuery
from cm_assets.models.upload import upload_id
from cm_assets.storage.uploads import Uploads

NAME = "upload"


class Uploaded:
    """Shows uploads. They were examined when they came, and do not change."""

    name = NAME

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    def fetch(self, query: FootageQuery, into: Path) -> FetchedClip | None:
        """The upload that the query names; None if it names none.

        Raises:
            PermanentFailure: it is gone, or no clip.
        """
        if query.clip is None or upload_id(query.clip) is None:
            return None
        try:
            upload = self._uploads.named(query.clip, "clip")
            path = self._uploads.local(upload)
        except PermanentFailure as failure:
            raise PermanentFailure(f"scenes.{query.scene}.clip: {failure}") from None
        spec = ClipSpec(
            scene=query.scene,
            kind="picture" if upload.seconds is None else "video",
            key=f"upload:{upload.id[:16]}",
            label=upload.name or upload.named,
            width=upload.width or 1,
            height=upload.height or 1,
            seconds=upload.seconds,
            seed=(query.seed + query.scene + query.shot) % 2**32,
            credit=Credit(source=NAME, licence="own"),
        )
        return FetchedClip(spec, (path,))
