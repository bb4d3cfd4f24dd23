"""What the checks let through and what they catch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cm_assets.checks.audio import check_audio
from cm_assets.checks.clips import check_clips
from cm_assets.checks.finding import CHECKS, Finding, specs
from cm_assets.checks.render import check_render
from cm_assets.checks.script import check_script
from cm_assets.media.captions import lay_out
from cm_assets.media.ffmpeg import find
from cm_assets.models.artifact import ArtifactRef
from cm_assets.models.audio import Audio, SceneAudio, Word
from cm_assets.models.base import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from cm_assets.models.clips import BackgroundClips, Clip, Credit
from cm_assets.models.render import Loudness, Render
from cm_assets.models.request import Captions, VideoRequest
from cm_assets.models.script import Scene, Script

REF = ArtifactRef(key="v/a/0.bin", sha256="0" * 64, size=1, media_type="video/mp4")
TEN = "one two three four five six seven eight nine ten"


def by_name(findings: Sequence[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def an_audio(seconds: int = 4, scenes: int = 1, rate: float = 2.5) -> Audio:
    """A narration of so many seconds a scene, at `rate` words a second."""
    count = int(seconds * rate)
    words = tuple(Word(text=f"word{n}", start=n / rate, end=(n + 1) / rate) for n in range(count))
    return Audio(
        track=REF,
        scenes=tuple(
            SceneAudio(first_frame=n * seconds * FPS, frames=seconds * FPS, words=words) for n in range(scenes)
        ),
        engine="test",
        voice="af_heart",
        timing="model",
        loudness=-20,
        peak=-3,
    )


def a_voice(audio: Audio, level: float = 0.2) -> Any:
    time = np.arange(audio.samples) / SAMPLE_RATE
    return (level * np.sin(2 * np.pi * 220 * time)).astype(np.float32)


def a_clip(key: str, kind: str = "video", width: int = 1080, height: int = 1920, scene: int = 0) -> Clip:
    credit = Credit(source="folder", licence="own")
    made = {"scene": scene, "kind": kind, "key": key, "width": width, "height": height, "credit": credit}
    return Clip.model_validate(made | {"seconds": 4, "files": (REF,)})


def a_script(*texts: str) -> Script:
    return Script(title="A title", scenes=tuple(Scene(text=text) for text in texts), writer="test")


class TestScript:
    def test_a_writer_that_keeps_to_the_time_passes(self) -> None:
        found = by_name(check_script(a_script(*[f"{TEN} {n}." for n in range(10)]), VideoRequest(topic="numbers")))
        assert found["script_length"].passed
        assert found["script_repetition"].passed

    @pytest.mark.parametrize("count", [1, 40])
    def test_far_too_short_or_long_is_found(self, count: int) -> None:
        found = by_name(check_script(a_script(*[f"{TEN} {n}." for n in range(count)]), VideoRequest(topic="numbers")))
        assert not found["script_length"].passed

    def test_speed_counts(self) -> None:
        script = a_script(*[f"{TEN} {n}." for n in range(17)])
        assert not by_name(check_script(script, VideoRequest(topic="numbers")))["script_length"].passed
        assert by_name(check_script(script, VideoRequest(topic="numbers", speed=1.5)))["script_length"].passed

    def test_own_scenes_have_the_length_they_have(self) -> None:
        request = VideoRequest.model_validate({"scenes": [{"text": TEN}]})
        assert by_name(check_script(a_script(TEN), request))["script_length"].passed

    def test_a_sentence_said_twice_is_found_however_it_is_written(self) -> None:
        script = a_script("The sea is very salty. Rivers are not.", "The SEA is very salty! Truly.")
        found = by_name(check_script(script, VideoRequest(topic="sea")))["script_repetition"]
        assert not found.passed
        assert "the sea is very salty" in found.why

    @pytest.mark.parametrize(
        ("text", "passed", "says"),
        [
            ("Alpina tents last.", True, ""),
            ("alpina tents are not cheap.", False, "to be avoided: cheap"),
            ("Tents last.", False, "Does not say: Alpina"),
            ("Alpina makes a cheapskate happy.", True, ""),
        ],
    )
    def test_the_brands_words_are_looked_for(self, text: str, passed: bool, says: str) -> None:
        request = VideoRequest.model_validate({"topic": "tents", "brand": {"use": ["Alpina"], "avoid": ["cheap"]}})
        found = by_name(check_script(a_script(text), request))["script_brand"]
        assert found.passed is passed
        assert says in found.why

    def test_short_refrains_are_style(self) -> None:
        script = a_script("And so on. One.", "And so on. Two.")
        assert by_name(check_script(script, VideoRequest(topic="sea")))["script_repetition"].passed


class TestAudio:
    request = VideoRequest(topic="sea")

    def test_an_ordinary_voice_passes(self) -> None:
        audio = an_audio()
        assert all(finding.passed for finding in check_audio(audio, a_voice(audio), self.request))

    @pytest.mark.parametrize("rate", [1.0, 6.0])
    def test_a_voice_that_drags_or_races_is_found(self, rate: float) -> None:
        audio = an_audio(seconds=10, rate=rate)
        assert not by_name(check_audio(audio, a_voice(audio), self.request))["speech_rate"].passed

    def test_a_scene_in_which_nobody_speaks_is_found(self) -> None:
        audio = an_audio(scenes=3)
        samples = a_voice(audio)
        samples[4 * SAMPLE_RATE : 8 * SAMPLE_RATE] = 0
        found = by_name(check_audio(audio, samples, self.request))["narration_silence"]
        assert not found.passed
        assert "[2]" in found.why

    def test_a_long_hole_is_found_and_a_short_one_is_a_pause(self) -> None:
        audio = an_audio(seconds=6)
        samples = a_voice(audio)
        samples[SAMPLE_RATE : int(2.5 * SAMPLE_RATE)] = 0
        assert by_name(check_audio(audio, samples, self.request))["narration_silence"].passed
        samples[SAMPLE_RATE : int(3.5 * SAMPLE_RATE)] = 0
        assert not by_name(check_audio(audio, samples, self.request))["narration_silence"].passed

    def test_clipping_is_found_and_one_full_sample_is_not_it(self) -> None:
        audio = an_audio()
        samples = a_voice(audio)
        samples[500] = 1.0
        assert by_name(check_audio(audio, samples, self.request))["narration_clipping"].passed
        samples[600:605] = -1.0
        assert not by_name(check_audio(audio, samples, self.request))["narration_clipping"].passed


class TestClips:
    def test_clips_that_fill_the_frame_pass(self) -> None:
        clips = BackgroundClips(clips=(a_clip("a"), a_clip("b", width=1920, height=1080)))
        assert all(finding.passed for finding in check_clips(clips, (1080, 1920)))

    def test_a_small_clip_is_found(self) -> None:
        clips = BackgroundClips(clips=(a_clip("a"), a_clip("b", width=320, height=240)))
        found = by_name(check_clips(clips, (1080, 1920)))["clip_sizes"]
        assert not found.passed
        assert found.metadata["largest enlargement"] == 8.0

    def test_a_clip_shown_twice_is_found(self) -> None:
        clips = BackgroundClips(clips=(a_clip("a"), a_clip("a", scene=1)))
        assert not by_name(check_clips(clips, (1080, 1920)))["clips_differ"].passed


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Eight seconds each: moving, frozen from the second second on, black in between."""
    folder = tmp_path_factory.mktemp("videos")
    ffmpeg = find()
    graphs = {
        "moving": "testsrc2=s=180x320:r=30:d=8",
        "frozen": "testsrc2=s=180x320:r=30:d=1,tpad=stop_mode=clone:stop_duration=7",
        "black": "testsrc2=s=180x320:r=30:d=8,drawbox=t=fill:c=black:enable='between(t,0.5,7)'",
    }
    made = {}
    for name, graph in graphs.items():
        made[name] = folder / f"{name}.mp4"
        sound = f"sine=f=220:r={SAMPLE_RATE}:d=9"
        ffmpeg.run(
            [
                *("-f", "lavfi", "-i", graph, "-f", "lavfi", "-i", sound, "-t", "8"),
                *("-c:v", "libx264", "-preset", "ultrafast", "-g", "60", "-c:a", "aac", str(made[name])),
            ]
        )
    return made


class TestRender:
    audio = an_audio(seconds=8)

    def found(self, video: Path, audio: Audio | None = None, kind: str = "video", **changes: Any) -> dict[str, Finding]:
        audio = audio or self.audio
        loud = Loudness(integrated=-14.1, true_peak=-1.4)
        values: dict[str, Any] = {"loudness": loud, "frames": 240, "caption_style": "bold", "encoder": "test"}
        values |= {"video": REF, "cover": REF, "srt": REF, "vtt": REF, "width": 1080, "height": 1920} | changes
        cues = lay_out(self.audio.scenes, captions=Captions(style="bold"), width=1080, height=1920)
        clips = BackgroundClips(clips=(a_clip("a", kind=kind),))
        return by_name(check_render(Render.model_validate(values), audio, clips, cues, video))

    def test_an_ordinary_video_passes(self, videos: dict[str, Path]) -> None:
        found = self.found(videos["moving"])
        assert {name: finding.why for name, finding in found.items() if not finding.passed} == {}
        assert set(found) == set(CHECKS["render"])

    def test_another_length_is_found(self, videos: dict[str, Path]) -> None:
        found = self.found(videos["moving"], audio=an_audio(seconds=5))
        assert not found["render_length"].passed

    @pytest.mark.parametrize(("name", "word"), [("frozen", "frozen"), ("black", "black")])
    def test_black_and_frozen_stretches_are_found(self, videos: dict[str, Path], name: str, word: str) -> None:
        found = self.found(videos[name])["render_picture"]
        assert not found.passed
        assert word in found.why

    def test_a_picture_of_the_users_may_stand_still(self, videos: dict[str, Path]) -> None:
        assert self.found(videos["frozen"], kind="picture")["render_picture"].passed

    @pytest.mark.parametrize(("integrated", "peak"), [(-13.4, -1.5), (-14.6, -1.5), (-14.0, -0.5)])
    def test_wrong_loudness_is_found(self, videos: dict[str, Path], integrated: float, peak: float) -> None:
        loud = Loudness(integrated=integrated, true_peak=peak)
        assert not self.found(videos["moving"], loudness=loud)["render_loudness"].passed

    def test_captions_that_leave_the_frame_are_found(self, videos: dict[str, Path]) -> None:
        assert not self.found(videos["moving"], width=540)["captions_fit"].passed

    def test_captions_out_of_step_are_found(self, videos: dict[str, Path]) -> None:
        scene = self.audio.scenes[0]
        late = tuple(Word(text=word.text, start=word.start + 0.2, end=word.end + 0.2) for word in scene.words)
        moved = self.audio.model_copy(update={"scenes": (scene.model_copy(update={"words": late}),)})
        found = self.found(videos["moving"], audio=moved)["captions_fit"]
        assert not found.passed
        assert "out of step" in found.why


def test_a_finding_that_blocks_is_an_error_and_another_a_warning() -> None:
    for asset, checks in CHECKS.items():
        assert {spec.name: spec.blocking for spec in specs(asset)} == {name: one[0] for name, one in checks.items()}
        for name, (blocking, _) in checks.items():
            severity = Finding(name, passed=False, why="").result().severity
            assert severity.value == ("ERROR" if blocking else "WARN")


def test_the_grid_is_whole() -> None:
    assert SAMPLES_PER_FRAME * FPS == SAMPLE_RATE
