"""A server on loopback that speaks Pixabay's video search: https://pixabay.com/api/docs/#api_search_videos.

The key is a parameter, errors are plain text with their status, the headers tell what is left and in how many seconds
there will be more, and a size that a video does not have is there with an empty address.
All words that are searched for must be among the tags.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cm_assets.engines.footage.pixabay import LANGUAGES
from cm_assets_tests.emulators.media_server import Answer, Asked, MediaServer

KEY = "12345678-pixabay0123456789abcdef"

SIZES = ("large", "medium", "small", "tiny")


@dataclass
class PixabayServer(MediaServer):
    """A running server with an index of videos.

    Attributes:
        remaining: calls of the minute that are left.
        resets_in: seconds until there are new ones.
        faults: answers to the next searches, before it searches again.
    """

    rate: int | None = None
    key: str = KEY
    remaining: int = 100
    resets_in: int = 60
    faults: list[Answer] = field(default_factory=list)

    search_path = "/api/videos/"

    def __post_init__(self) -> None:
        MediaServer.__init__(self, rate=self.rate)
        self.search_url = self.url + self.search_path
        self.hits: list[dict[str, Any]] = []

    def video(
        self,
        tags: str,
        files: Mapping[str, tuple[int, int, bytes]],
        *,
        seconds: int = 12,
        user: str = "coverr",
        **how: Any,
    ) -> int:
        """List a video; its id.

        Args:
            tags: apart by commas.
            files: width, height and content by size: `large`, `medium`, `small`, `tiny`.
            seconds: its length.
            user: who made it.
            how: of the files, see MediaFile.
        """
        number = 125 + len(self.hits)
        videos = {}
        for size in SIZES:
            width, height, content = files.get(size, (0, 0, b""))
            url = self.add(f"{number}_{size}.mp4", content, **how) if content else ""
            videos[size] = {"url": url, "width": width, "height": height, "size": len(content), "thumbnail": ""}
        self.hits.append(
            {
                "id": number,
                "pageURL": f"https://pixabay.com/videos/id-{number}/",
                "type": "film",
                "tags": tags,
                "duration": seconds,
                "videos": videos,
                "views": 1,
                "downloads": 1,
                "likes": 1,
                "comments": 0,
                "user_id": 1281706,
                "user": user,
                "userImageURL": "",
            }
        )
        return number

    def search(self, asked: Asked) -> Answer:
        if self.faults:
            return self.faults.pop(0)
        if asked.parameters.get("key") != self.key:
            return self._error(400, "Invalid or missing API key (https://pixabay.com/api/docs/).")
        if self.remaining <= 0:
            return self._answer(429, "text/html; charset=utf-8", b"API rate limit exceeded")
        self.remaining -= 1
        wanted = asked.parameters
        if len(wanted.get("q", "")) > 100:
            return self._error(400, '"q" is out of valid range.')
        if not 3 <= int(wanted.get("per_page", 20)) <= 200:
            return self._error(400, '"per_page" is out of valid range.')
        if wanted.get("lang", "en") not in LANGUAGES:
            return self._error(400, '"lang" is invalid.')
        if wanted.get("safesearch", "false") not in {"true", "false"}:
            return self._error(400, '"safesearch" is invalid.')
        found = [hit for hit in self.hits if _is_found(hit, wanted)]
        page = found[: int(wanted.get("per_page", 20))]
        body = json.dumps({"total": len(found), "totalHits": min(len(found), 500), "hits": page})
        return self._answer(200, "application/json", body.encode())

    def _error(self, status: int, words: str) -> Answer:
        return self._answer(status, "text/html; charset=utf-8", f"[ERROR {status}] {words}".encode())

    def _answer(self, status: int, kind: str, body: bytes) -> Answer:
        left = {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": str(self.remaining)}
        return Answer(status, kind, body, {**left, "X-RateLimit-Reset": str(self.resets_in)})


def _is_found(hit: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    words = hit["tags"].replace(",", " ").lower().split()
    largest = max((video for video in hit["videos"].values()), key=lambda video: video["width"])
    large_enough = largest["width"] >= int(wanted.get("min_width", 0)) and largest["height"] >= int(
        wanted.get("min_height", 0)
    )
    return large_enough and all(word in words for word in wanted.get("q", "").lower().split())
