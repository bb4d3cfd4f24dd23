"""Videos that are rendered as far as records and artifacts say: by runs of a real instance, of pictures in no time."""

import io
from typing import Any

import dagster as dg
from PIL import Image

from cm_assets.assets.stage import Results
from cm_assets.lifecycle.projection import Projection
from cm_assets.lifecycle.worklog import WorkLog
from cm_assets.models.audio import Audio, SceneAudio
from cm_assets.models.base import Model
from cm_assets.models.clips import BackgroundClips, Clip, Credit
from cm_assets.models.render import Loudness, Render
from cm_assets.models.script import Scene, Script
from cm_assets.orchestration import home as homes
from cm_assets.policies import PRODUCE
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets_tests.web.conftest import Site

HOSTILE = "\"><script>alert(1)</script>' onload=alert(2) {{ 7 * 7 }} \u202eevil " + "long" * 30
"""What nobody should put into a page as it is."""


def cover(colour: str) -> bytes:
    """A cover of one colour."""
    out = io.BytesIO()
    Image.new("RGB", (1080, 1920), colour).save(out, "JPEG")
    return out.getvalue()


def rendered(
    site: Site, video: str, *, text: str = "Robots water the garden.", said: str = "", passes: bool = True, **asked: Any
) -> str:
    """Ask for a video, and have a render of it that waits for somebody; the render's sha256.

    Args:
        site: where.
        video: its id.
        text: of its only scene.
        said: what a check says, and everything else that engines can say.
        passes: whether the check passes.
        asked: what the request says besides.
    """
    request = {"scenes": [{"text": text}], "review": "required", "id": video} | asked
    answer = site.http.post("/videos", json=request, headers=site.token("submit") if site.house.tokens.all() else {})
    assert answer.status_code in {200, 202}, answer.text
    return render(site, video, text=text, said=said, passes=passes)


def render(site: Site, video: str, *, text: str, said: str = "", passes: bool = True, colour: str = "teal") -> str:
    """Have another render of a video; its sha256."""
    settings = site.house.settings
    store = ArtifactStore(settings.artifacts, settings.cache)
    files = {
        "video": store.put_bytes(video, "render", f"a film, {colour}".encode(), ".mp4", "video/mp4"),
        "cover": store.put_bytes(video, "render", cover(colour), ".jpg", "image/jpeg"),
        "srt": store.put_bytes(video, "render", b"1\n", ".srt", "application/x-subrip"),
        "vtt": store.put_bytes(video, "render", b"WEBVTT\n", ".vtt", "text/vtt"),
    }
    credit = Credit(source="folder", author=said or "Ada", licence="own", url="javascript:alert(3)" if said else None)
    look: dict[str, Any] = {"kind": "picture", "width": 9, "height": 16, "files": (files["cover"],)}
    clip = Clip(scene=0, key="k", label=said or "a robot", credit=credit, **look)
    models: dict[str, Model] = {
        "script": Script(
            title=(said or "Robots")[:100].replace("<", "").replace(">", ""),
            scenes=(Scene(text=text, search_terms=(said,) if said else ("robot",)),),
            writer="request",
        ),
        "audio": Audio(
            track=files["video"],
            scenes=(SceneAudio(first_frame=0, frames=90, words=()),),
            engine="e",
            voice="v",
            timing="model",
            loudness=-16,
            peak=-1,
        ),
        "background_clips": BackgroundClips(clips=(clip,)),
        "render": Render(
            **files,
            width=1080,
            height=1920,
            frames=90,
            loudness=Loudness(integrated=-14, true_peak=-1),
            caption_style="bold",
            encoder="none",
        ),
    }
    kind = (".json", "application/json")
    keys = {name: store.put_bytes(video, name, one.to_bytes(), *kind).key for name, one in models.items()}
    videos = dg.DynamicPartitionsDefinition(name="videos")

    def stage(name: str) -> dg.AssetsDefinition:
        checks = [dg.AssetCheckSpec("looks", asset=name, blocking=True)] if name == "render" else []

        @dg.asset(name=name, partitions_def=videos, check_specs=checks, deps=list(PRODUCE[: PRODUCE.index(name)]))
        def made() -> Results:
            found = [dg.AssetCheckResult(passed=passes, check_name="looks", description=said)] if checks else []
            metadata = {"model": keys.get(name, ""), "sha256": files["video"].sha256, "title": said or "Robots"}
            yield dg.MaterializeResult(metadata=metadata, check_results=found)

        return made

    with homes.open_instance(settings) as instance:
        instance.add_dynamic_partitions("videos", [video])
        dg.materialize([stage(name) for name in PRODUCE], instance=instance, partition_key=video, raise_on_error=False)
        Projection(site.house.client.database, WorkLog(instance), store).note(video)
    for recent in (site.house.counts, site.house.to_review, site.house.waiting):
        recent.forget()
    return files["video"].sha256
