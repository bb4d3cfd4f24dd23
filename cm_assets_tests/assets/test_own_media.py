"""The user's own recording and clips in a real instance: what is made of them, and what fails for good."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cm_assets.client import Client
from cm_assets.definitions import build_defs
from cm_assets.engines.speech.hibari import Hibari
from cm_assets.models.audio import Audio
from cm_assets.models.clips import BackgroundClips
from cm_assets.models.upload import Upload
from cm_assets.partitions import PARTITIONS
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets_tests.assets.test_audio import said
from cm_assets_tests.conftest import Mp4
from cm_assets_tests.emulators.speech_server import encoded

SCENES = ("Robots water the garden at night while everyone sleeps.", "By morning the beds are wet.")
STAGES = ("brief", "script", "audio", "background_clips")


class Desk:
    """A home in which videos are made of what was handed in."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.settings = Settings(home=folder, min_free=0)
        self.client = Client(self.settings)
        self.instance = instance
        self.store = ArtifactStore(self.settings.artifacts, self.settings.cache)

    def hand_in(self, content: bytes, name: str) -> Upload:
        with self.client.arrivals.begin() as arrival:
            arrival.write(content)
            return arrival.finish(name)[0]

    def run(self, *stages: str) -> dg.ExecuteInProcessResult:
        self.instance.add_dynamic_partitions(PARTITIONS, ["v"])
        job = build_defs(self.settings).resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance,
            partition_key="v",
            asset_selection=[dg.AssetKey(name) for name in stages],
            raise_on_error=False,
        )

    def ask(self, **request: Any) -> None:
        self.client.submit({"id": "v", "scenes": [{"text": one} for one in SCENES]} | request, source="test")

    def metadata(self, result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
        (event,) = [
            one for one in result.all_events if one.is_step_materialization and one.asset_key == dg.AssetKey(asset)
        ]
        shown = event.step_materialization_data.materialization.metadata
        return {name: value.value for name, value in shown.items()}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("CM_HOME", str(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        one = Desk(tmp_path, instance)
        yield one
        one.client.database.dispose()


@pytest.fixture(scope="module")
def take() -> bytes:
    """The scenes, read aloud."""
    return encoded(Hibari().speak(" ".join(SCENES), voice="af_heart", speed=1, language="en"), "mp3")


def test_a_recording_takes_the_voices_place_and_a_clip_is_shown(desk: Desk, take: bytes, mp4: Mp4) -> None:
    narration, clip = desk.hand_in(take, "my take.mp3"), desk.hand_in(mp4(540, 960), "garden.mp4")
    desk.ask(narration=narration.named, scenes=[{"text": SCENES[0]}, {"text": SCENES[1], "clip": clip.named}])
    result = desk.run(*STAGES)
    assert result.success, said(result)
    shown = desk.metadata(result, "audio")
    assert (shown["voice"], shown["word times"]) == ("my take.mp3 (recording)", "alignment")
    audio = Audio.model_validate_json(desk.store.read(str(shown["model"])))
    assert audio.engine == "recording"
    clips = BackgroundClips.model_validate_json(
        desk.store.read(str(desk.metadata(result, "background_clips")["model"]))
    ).clips
    assert [one.credit.source for one in clips] == ["illustrated", "upload"]
    assert clips[1].label == "garden.mp4"
    assert desk.store.local(clips[1].files[0]).read_bytes() == mp4(540, 960)
    checks = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
    assert checks == dict.fromkeys(checks, True)
    # The video has its own copies by now.
    desk.client.database.close("v", "done", "")
    for one in (narration, clip):
        desk.client.uploads.remove(one.id)
    assert desk.store.local(clips[1].files[0]).read_bytes() == mp4(540, 960)


def test_the_same_recording_gives_the_same_track(desk: Desk, take: bytes) -> None:
    desk.ask(narration=desk.hand_in(take, "take").named)
    first = desk.run("brief", "script", "audio")
    second = desk.run("audio")
    tracks = [desk.metadata(result, "audio")["model"] for result in (first, second)]
    assert tracks[0] == tracks[1]


def test_a_recording_of_other_words_fails_for_good_and_names_the_field(desk: Desk, take: bytes) -> None:
    other = [{"text": "Analysts had expected a weaker month, but employers hired again in spring."}]
    desk.ask(narration=desk.hand_in(take, "take").named, scenes=other)
    result = desk.run("brief", "script", "audio")
    assert not result.success
    assert said(result).startswith("narration: the recording does not say the words of the scenes")
    run = desk.instance.get_runs(limit=1)[0]
    assert not list(desk.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY))


@pytest.mark.parametrize("field", ["narration", "scenes.1.clip"])
def test_what_was_removed_after_its_video_had_ended_is_named_when_it_is_retried(
    desk: Desk, take: bytes, mp4: Mp4, field: str
) -> None:
    clip, narration = desk.hand_in(mp4(), "clip"), desk.hand_in(take, "take")
    desk.ask(narration=narration.named, scenes=[{"text": SCENES[0]}, {"text": SCENES[1], "clip": clip.named}])
    desk.client.cancel("v")
    desk.client.uploads.remove(narration.id if field == "narration" else clip.id)
    result = desk.run(*(one for one in STAGES if field == "narration" or one != "audio"))
    assert not result.success
    assert f"{field}: upload:" in said(result)
    assert "hand the file in again" in said(result)


def test_a_recordings_pauses_are_its_own(desk: Desk) -> None:
    import numpy as np

    from cm_assets.models.audio import Speech

    voice = Hibari()
    parts = [voice.speak(text, voice="af_heart", speed=1, language="en") for text in SCENES[0].split(" at ")]
    pause = np.zeros(round(2.6 * parts[0].sample_rate), np.float32)
    samples = np.concatenate([parts[0].samples, pause, parts[1].samples])
    take = encoded(Speech(samples, parts[0].sample_rate, (), "model"), "flac")
    desk.ask(narration=desk.hand_in(take, "take").named, scenes=[{"text": SCENES[0].replace(" at ", " ")}])
    result = desk.run("brief", "script", "audio")
    assert result.success, said(result)
    (silence,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "narration_silence"]
    assert silence.passed
    assert float(str(silence.metadata["longest pause (s)"].value)) > 2.3
