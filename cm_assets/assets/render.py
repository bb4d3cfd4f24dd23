"""`render`: the finished video, its cover and its captions."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from cm_assets.assets.stage import Results, Stage, Stages, policy_of, results
from cm_assets.checks.render import check_render
from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.audio import Audio
from cm_assets.models.base import FPS
from cm_assets.models.brief import Brief
from cm_assets.models.clips import BackgroundClips
from cm_assets.models.render import Render
from cm_assets.models.request import VideoRequest
from cm_assets.models.script import Script
from cm_assets.resources import Studio
from cm_assets.storage.artifacts import ArtifactStore

if TYPE_CHECKING:
    from cm_assets.media.captions import Cue
    from cm_assets.media.composition import ShotPicture

PICTURE_SHARE = 0.9
"""Part of the stage's work that the picture is; sound and checks are the rest."""


@dg.asset(
    **policy_of("render"),
    group_name="media",
    kinds={"ffmpeg"},
    code_version="1",
    description="The finished MP4 with burnt-in captions, at -14 LUFS, with its cover, SubRip and WebVTT.",
)
def render(
    context: dg.AssetExecutionContext,
    brief: Brief,
    script: Script,
    audio: Audio,
    background_clips: BackgroundClips,
    stages: dg.ResourceParam[Stages],
    store: dg.ResourceParam[ArtifactStore],
    studio: Studio,
) -> Results:
    """The finished video."""
    from cm_assets.media import captions, cover, soundtrack
    from cm_assets.media.composition import CRF, Look, compose
    from cm_assets.media.fonts import fonts_folder
    from cm_assets.media.subtitles import srt, vtt

    with stages.run(context) as stage:
        request, ffmpeg = brief.request, studio.binary()
        width, height = request.size
        cues = captions.lay_out(audio.scenes, captions=request.captions, width=width, height=height)
        music = studio.music(request.music, request.random_seed)
        sound = soundtrack.build(ffmpeg, store.local(audio.track), audio.loudness, music, audio.samples, stage.folder)
        video = compose(
            ffmpeg,
            _shots(store, audio, background_clips, cues, request),
            Look(width=width, height=height, preset=studio.preset, fonts=fonts_folder()),
            sound.path,
            stage.folder,
            studio.segments(),
            lambda share: stage.progress(share * PICTURE_SHARE),
        )
        picture = stage.folder / "cover.jpg"
        shown = cover.write_cover(ffmpeg, video, cover.candidates(audio.scenes), picture)
        made = Render(
            video=store.put_file(stage.video, "render", video, "video/mp4"),
            cover=store.put_file(stage.video, "render", picture, "image/jpeg"),
            srt=_keep(stage, store, "captions.srt", srt(cues), "application/x-subrip"),
            vtt=_keep(stage, store, "captions.vtt", vtt(cues), "text/vtt"),
            width=width,
            height=height,
            frames=audio.frames,
            cover_frame=shown,
            loudness=sound.loudness,
            caption_style=request.captions.style,
            encoder=f"ffmpeg {ffmpeg.version}, x264 {studio.preset} crf {CRF}",
        )
        yield from results(
            made,
            {
                "sha256": made.video.sha256,
                "cover": dg.MetadataValue.md(_inline(cover.thumbnail(picture))),
                "video": dg.MetadataValue.url(_link(store.address(made.video))),
                "path": dg.MetadataValue.path(store.address(made.video)),
                "seconds": round(made.seconds, 2),
                "size (MB)": round(made.video.size / 1e6, 2),
                "frame": f"{width}x{height}, {made.frames} frames at {FPS} fps",
                "loudness (LUFS)": made.loudness.integrated,
                "true peak (dBTP)": made.loudness.true_peak,
                "captions": made.caption_style,
                "music": request.music,
                "encoder": made.encoder,
            },
            check_render(made, audio, background_clips, cues, video),
        )


def _shots(
    store: ArtifactStore, audio: Audio, clips: BackgroundClips, cues: "Sequence[Cue]", request: VideoRequest
) -> "list[ShotPicture]":
    from cm_assets.media.ass import document
    from cm_assets.media.composition import ShotPicture
    from cm_assets.media.timeline import shots
    from cm_assets.models.clips import ClipSpec

    width, height = request.size
    pictures = []
    for shot in shots(audio.scenes, clips.clips):
        clip = clips.clips[shot.clip]
        pictures.append(
            ShotPicture(
                spec=ClipSpec(**clip.model_dump(exclude={"files"})),
                files=tuple(store.local(file) for file in clip.files),
                digest=" ".join(file.sha256 for file in clip.files),
                first_frame=shot.first_frame,
                frames=shot.frames,
                captions=document(
                    cues,
                    first_frame=shot.first_frame,
                    frames=shot.frames,
                    captions=request.captions,
                    width=width,
                    height=height,
                ),
            )
        )
    return pictures


def _keep(stage: Stage, store: ArtifactStore, name: str, text: str, media_type: str) -> ArtifactRef:
    path = stage.folder / name
    path.write_text(text, encoding="utf-8")
    return store.put_file(stage.video, "render", path, media_type)


def _inline(picture: bytes) -> str:
    """A picture as Markdown: Dagster's metadata has no type for one."""
    return f"![cover](data:image/jpeg;base64,{base64.b64encode(picture).decode()})"


def _link(address: str) -> str:
    return Path(address).as_uri() if address.startswith("/") else address
