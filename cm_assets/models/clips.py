"""What is seen under the narration: footage, a picture, or layers that the render puts together."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.base import Model, Seconds

Step = Literal["terms", "broader", "narration", "unconfirmed", ""]


class Credit(Model):
    """Where a clip comes from and on what terms.

    Attributes:
        source: the footage source's name: `illustrated`, `folder`, `pexels`, ...
        author: a name to print, empty if unknown.
        licence: such as `MIT`, `Pexels`, `own`.
        url: the clip's own page, if it has one.
    """

    source: str
    author: str = ""
    licence: str
    url: str | None = None


class Layer(Model):
    """A picture with alpha that moves over the background of a layered clip.

    Times and places are those of a `frame_width` x `frame_height` canvas at 30 fps; motion is periodic, so a layer
    works for any length of scene.

    Attributes:
        file: index into the clip's files: a PNG with alpha at its final size, shadow and blur baked in.
        x, y: centre of the layer at rest, pixels.
        sway_x, sway_y: amplitude of its motion, pixels.
        period: seconds of a full swing.
        phase: where in the swing it starts, 0 to 1.
        enter: seconds after the scene's start at which it arrives (0: there from the first frame).
    """

    file: NonNegativeInt
    x: int
    y: int
    sway_x: float = 0
    sway_y: float = 0
    period: Annotated[float, Field(gt=0)] = 6
    phase: Annotated[float, Field(ge=0, le=1)] = 0
    enter: Annotated[float, Field(ge=0)] = 0


class ClipSpec(Model):
    """What a clip is, wherever its files lie.

    Attributes:
        scene: which scene of the script it belongs to. A scene may have several clips; they share its time equally.
        kind: `video` (one file), `picture` (one file, shown with a Ken Burns move) or `layers` (file 0 is a looping
            background video of any size, the others are the pictures of `layers`).
        key: identity of the content, so that no clip is shown twice.
        label: what a person would call it, such as `rocket, night sky`.
        terms: the search terms that found it; empty when nothing matched.
        found_by: how a stock site was asked: `terms` (one of the scene's, and the clip's own words match it), `broader`
            (a part of one), `narration` (words of the text), `unconfirmed` (the site found it for one of the scene's
            terms, and its own words do not say so); empty for other sources.
        width, height: of the picture as shown, rotation applied; pixels. For layers: the canvas.
        seconds: usable length; None for pictures and layers, which have any length.
        layers: back to front.
        seed: for the choices that the render makes for it (Ken Burns direction).
    """

    scene: NonNegativeInt
    kind: Literal["video", "picture", "layers"]
    key: str
    label: str = ""
    terms: tuple[str, ...] = ()
    found_by: Step = ""
    width: PositiveInt
    height: PositiveInt
    seconds: Seconds | None = None
    layers: tuple[Layer, ...] = ()
    seed: int = 0
    credit: Credit


class Clip(ClipSpec):
    """A clip in the artifact store."""

    files: Annotated[tuple[ArtifactRef, ...], Field(min_length=1)]


class BackgroundClips(Model):
    """The clips of a video, in the order in which they are shown; at least one per scene."""

    clips: Annotated[tuple[Clip, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class FetchedClip:
    """What a footage source returns: the clip and its files on this machine."""

    spec: ClipSpec
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class FootageQuery:
    """What a footage source is asked for.

    Attributes:
        scene: index of the scene.
        shot: which clip of the scene this is; differs where a scene has several.
        text: the scene's narration.
        terms: search terms, best first.
        clip: name of a file of the user's own that must be shown, if the request names one.
        width, height: of the frame to fill, pixels.
        seconds: about how long it will be shown.
        mood: the music's mood, for colours: `calm`, `energetic`, `happy`, `nostalgic`, `tender`.
        seed: for repeatable choices; the same query always gives the same clip.
        used: keys of clips that this video shows already.
        language: of the terms, BCP 47.
    """

    scene: int
    shot: int
    text: str
    terms: tuple[str, ...]
    clip: str | None
    width: int
    height: int
    seconds: Seconds
    mood: str
    seed: int
    used: frozenset[str]
    language: str = "en"

    @property
    def slot(self) -> str:
        """Which place of which video this is a query for: the same as long as what is asked for is the same."""
        asked = (self.scene, self.shot, self.text, self.terms, self.width, self.height, self.language)
        return hashlib.sha256(repr(asked).encode()).hexdigest()[:32]
