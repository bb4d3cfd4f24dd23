"""The request of one video, as the first asset keeps it."""

from cm_assets.models.base import Model
from cm_assets.models.request import VideoRequest
from cm_assets.partitions import VideoId


class Brief(Model):
    """What was asked for, judged and unchangeable.

    Attributes:
        video_id: whose it is.
        request: the whole document.
    """

    video_id: VideoId
    request: VideoRequest
