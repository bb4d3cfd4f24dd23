"""A server on loopback that speaks Pexels's video search: https://www.pexels.com/api/documentation/#videos-search.

It holds callers to the documented parameters, counts their calls, and tells what is left in the documented headers: on
2xx alone, and the reset as a time. It searches as the site does: by more than the words that it shows.

    with PexelsServer() as server:
        server.video("goat on a hill", files=[(1080, 1920, content)])
        Pexels(server.search_url, server.key, ...)
"""

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cm_assets.engines.footage.pexels import LOCALES
from cm_assets_tests.emulators.media_server import Answer, Asked, MediaServer

KEY = "pexels-key-0123456789abcdef"


@dataclass
class PexelsServer(MediaServer):
    """A running server with an index of videos.

    Attributes:
        remaining: calls of the month that are left.
        resets_in: seconds until there are new ones.
        hourly: calls of the hour that are left; None for enough.
        faults: answers to the next searches, before it searches again.
    """

    rate: int | None = None
    key: str = KEY
    remaining: int = 20_000
    resets_in: float = 86_400.0
    hourly: int | None = None
    faults: list[Answer] = field(default_factory=list)

    search_path = "/v1/videos/search"

    def __post_init__(self) -> None:
        MediaServer.__init__(self, rate=self.rate)
        self.search_url = self.url + self.search_path
        self.videos: list[dict[str, Any]] = []
        self._found_for: dict[int, frozenset[str]] = {}

    def video(
        self,
        title: str,
        files: Iterable[tuple[int, int, bytes]],
        *,
        seconds: int = 10,
        author: str = "Ana Lima",
        found_for: str = "",
        extra_files: Sequence[dict[str, Any]] = (),
        **how: Any,
    ) -> int:
        """List a video; its id. The first file is the original one.

        Args:
            title: becomes the end of its address.
            files: width, height and content of its renditions.
            seconds: its length.
            author: of it.
            found_for: words that find it although it does not show them.
            extra_files: entries of `video_files` as they are.
            how: of the files, see MediaFile.
        """
        number = 3_000_000 + len(self.videos)
        entries = []
        for place, (width, height, content) in enumerate(files):
            quality = "uhd" if max(width, height) > 1920 else "hd" if min(width, height) >= 720 else "sd"
            link = self.add(f"{number}-{quality}_{width}_{height}_30fps.mp4", content, **how)
            entries.append(_file(number * 10 + place, quality, width, height, link))
        width, height = (entries[0]["width"], entries[0]["height"]) if entries else (1080, 1920)
        slug = "-".join([*re.findall(r"[a-z0-9]+", title.lower()), str(number)])
        self.videos.append(
            {
                "id": number,
                "width": width,
                "height": height,
                "url": f"https://www.pexels.com/video/{slug}/",
                "image": f"https://images.pexels.com/videos/{number}/pictures/preview-0.jpg",
                "full_res": None,
                "tags": [],
                "duration": seconds,
                "user": {"id": 680589, "name": author, "url": "https://www.pexels.com/@ana"},
                "video_files": [*entries, *extra_files],
                "video_pictures": [],
            }
        )
        self._found_for[number] = frozenset(f"{title} {found_for}".lower().split())
        return number

    def search(self, asked: Asked) -> Answer:
        if self.faults:
            return self.faults.pop(0)
        if asked.headers.get("authorization") != self.key:
            return _error(401, "Unauthorized")
        if self.remaining <= 0 or self.hourly == 0:
            return _error(429, "Too Many Requests")
        if (wrong := _wrong(asked.parameters)) is not None:
            return _error(400, wrong)
        self.remaining -= 1
        if self.hourly is not None:
            self.hourly -= 1
        found = [video for video in self.videos if self._is_found(video, asked.parameters)]
        body = {
            "page": 1,
            "per_page": int(asked.parameters.get("per_page", 15)),
            "total_results": len(found),
            "url": "https://www.pexels.com/videos/",
            "videos": found[: int(asked.parameters.get("per_page", 15))],
        }
        headers = {
            "X-Ratelimit-Limit": "20000",
            "X-Ratelimit-Remaining": str(self.remaining),
            "X-Ratelimit-Reset": str(int(time.time() + self.resets_in)),
        }
        return Answer(200, "application/json; charset=utf-8", json.dumps(body).encode(), headers)

    def _is_found(self, video: dict[str, Any], parameters: Any) -> bool:
        shape = "square" if video["width"] == video["height"] else "portrait"
        shape = "landscape" if video["width"] > video["height"] else shape
        wanted = parameters["query"].lower().split()
        return shape == parameters.get("orientation", shape) and any(
            word in self._found_for.get(video["id"], {"goats"}) for word in wanted
        )


def playlist(number: int = 1) -> dict[str, Any]:
    """A rendition that is no file but a playlist: without a size."""
    link = f"https://player.vimeo.com/external/{number}.m3u8?s=x&oauth2_token_id=1"
    return _file(number, "hls", None, None, link)


def _file(number: int, quality: str | None, width: int | None, height: int | None, link: str) -> dict[str, Any]:
    kind = "video/mp4"
    return {
        "id": number,
        "quality": quality,
        "file_type": kind,
        "width": width,
        "height": height,
        "fps": 30.0,
        "link": link,
        "size": 1_000_000,
    }


def _wrong(parameters: Any) -> str | None:
    if not parameters.get("query"):
        return "query is missing"
    if parameters.get("orientation", "portrait") not in {"portrait", "landscape", "square"}:
        return "orientation is invalid"
    if parameters.get("size", "large") not in {"large", "medium", "small"}:
        return "size is invalid"
    if parameters.get("locale", "en-US") not in LOCALES:
        return "locale is invalid"
    return None if 1 <= int(parameters.get("per_page", 15)) <= 80 else "per_page is invalid"


def _error(status: int, words: str) -> Answer:
    return Answer(status, "application/json", json.dumps({"status": status, "error": words}).encode())
