"""A request for a video: the document that every way in takes.

What needs the world to judge (which voices are installed, whether a time is past) is judged in `lifecycle`.
"""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from cm_assets.models.upload import UPLOAD_PATTERN
from cm_assets.partitions import VideoId
from cm_assets.settings import EndpointName

Orientation = Literal["portrait", "landscape", "square"]

SIZES: Mapping[Orientation, tuple[int, int]] = {
    "portrait": (1080, 1920),
    "landscape": (1920, 1080),
    "square": (1080, 1080),
}
"""Width and height in pixels."""

CaptionStyle = Literal["bold", "clean", "playful", "none"]
CaptionPosition = Literal["top", "center", "bottom"]

MAX_SCENE_CHARACTERS = 10_000


def _clean(value: object) -> object:
    """Control characters mean nothing in spoken or shown text, and much to terminals and files."""
    if not isinstance(value, str):
        return value
    return "".join(" " if unicodedata.category(character) == "Cc" else character for character in value)


_CLEAN = BeforeValidator(_clean)
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_SCENE_CHARACTERS), _CLEAN]
_Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), _CLEAN]
_FileName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^/\\\x00-\x1f]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        loc_by_alias=False,
    )


class SceneRequest(_Part):
    """One scene as the requester wrote it.

    Attributes:
        text: what is spoken and captioned, 1 to 10,000 characters.
        search_terms: what to show; taken from the text when empty.
        clip: name of a file of the user's own footage folder, or `upload:<id>`.
    """

    text: _Text
    search_terms: Annotated[tuple[_Line, ...], Field(max_length=20)] = ()
    clip: _FileName | None = None

    @field_validator("search_terms", mode="before")
    @classmethod
    def _one_term_is_a_list_of_one(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class Captions(_Part):
    """How the words are shown.

    Attributes:
        style: `none` shows none; the caption files are written all the same.
        highlight: colour of the word that is being spoken, `#RRGGBB`; the style's own by default.
    """

    style: CaptionStyle = "bold"
    position: CaptionPosition = "bottom"
    highlight: Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None


class PostText(_Part):
    """What a post says; what is not given is taken from the script."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), _CLEAN] | None = None
    description: Annotated[str, StringConstraints(max_length=5000)] | None = None
    hashtags: Annotated[tuple[_Line, ...], Field(max_length=60)] | None = None
    privacy: Literal["public", "unlisted", "private"] | None = None
    category: _Line | None = None
    made_for_kids: bool | None = None
    ai_disclosure: bool | None = None
    account: _Line | None = None


class PostRequest(PostText):
    """What the posts say, and what differs by platform."""

    per_platform: Mapping[str, PostText] = {}

    def on(self, platform: str) -> PostText:
        """The text for one platform: its own where it has one, else the common one."""
        own = self.per_platform.get(platform)
        common = self.model_dump(exclude={"per_platform"})
        return PostText(**(common | (own.model_dump(exclude_none=True) if own else {})))


class Brand(_Part):
    """Words for the writer to use and to avoid."""

    use: Annotated[tuple[_Line, ...], Field(max_length=50)] = ()
    avoid: Annotated[tuple[_Line, ...], Field(max_length=50)] = ()


class VideoRequest(_Part):
    """What to make, how it looks and sounds, and where it goes. `docs/requests.md` explains each field."""

    schema_version: Literal[1] = 1
    id: VideoId | None = None

    topic: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), _CLEAN] | None = None
    scenes: Annotated[tuple[SceneRequest, ...], Field(min_length=1, max_length=200)] | None = None
    source_text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200_000)] | None = (
        None
    )

    narration: Annotated[str, StringConstraints(pattern=UPLOAD_PATTERN)] | None = None
    voice: _Line = "af_heart"
    speed: Annotated[float, Field(ge=0.5, le=2.0)] = 1.0
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] = "en"
    music: _Line = "chill"
    orientation: Orientation = "portrait"
    captions: Captions = Captions()

    target_seconds: Annotated[int, Field(ge=5, le=600)] = 45
    tone: _Line | None = None
    audience: _Line | None = None
    brand: Brand = Brand()
    budget: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] | None = None

    platforms: Annotated[tuple[_Line, ...], Field(min_length=1)] = ("outbox",)
    post: PostRequest = PostRequest()
    review: Literal["required", "auto"] | None = None
    on_partial_failure: Literal["keep", "take_down"] = "keep"
    max_revisions: Annotated[int, Field(ge=0, le=20)] = 3

    priority: Annotated[int, Field(ge=1, le=10)] = 10
    not_before: AwareDatetime | None = None
    publish_at: AwareDatetime | None = None
    notify: Annotated[tuple[EndpointName, ...], Field(max_length=20)] = ()
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _config_is_flat(cls, document: object) -> object:
        """The body of other tools nests the look under `config`; here it lies beside the content."""
        if not isinstance(document, Mapping) or not isinstance(document.get("config"), Mapping):
            return document
        flat: dict[str, Any] = {key: value for key, value in document.items() if key != "config"}
        for key, value in document["config"].items():
            if key in flat:
                raise ValueError(f"{key} is given twice: at the top and in config")
            flat[key] = value
        return flat

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        given = [name for name in ("topic", "scenes", "source_text") if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(given) if given else "none of them"
            raise ValueError(f"give exactly one of topic, scenes and source_text (got {said})")
        if len(set(self.platforms)) != len(self.platforms):
            raise ValueError("platforms: each platform once")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the video in pixels."""
        return SIZES[self.orientation]

    @property
    def needs_review(self) -> bool:
        """Whether a person must approve the render: by default where it leaves this house."""
        if self.review is not None:
            return self.review == "required"
        return any(platform != "outbox" for platform in self.platforms)

    @property
    def random_seed(self) -> int:
        """The seed for repeatable choices: the request's own, else taken from its content."""
        return self.seed if self.seed is not None else int(self.content_sha256()[:8], 16)

    def canonical(self) -> dict[str, Any]:
        """The document without what is at its default: equal for requests that ask for the same."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def content_sha256(self) -> str:
        """Hash of the canonical document, whatever its spelling, order or format was."""
        return hashlib.sha256(json.dumps(self.canonical(), sort_keys=True).encode()).hexdigest()


def working_title(document: Mapping[str, Any]) -> str:
    """What a video is called before it has a script: the beginning of what its canonical request asks for."""
    title = document.get("post", {}).get("title")
    text = title or document.get("topic") or document.get("source_text")
    if not text:
        text = next((scene["text"] for scene in document.get("scenes", ())), "")
    return " ".join(text.split())[:100]
