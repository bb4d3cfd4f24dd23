import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm_assets.media.timeline import shots
from cm_assets.models.audio import SceneAudio
from cm_assets.models.base import PermanentFailure
from cm_assets.models.clips import ClipSpec, Credit


def a_clip(scene: int, number: int) -> ClipSpec:
    credit = Credit(source="folder", licence="own")
    return ClipSpec(scene=scene, kind="picture", key=f"{scene}-{number}", width=100, height=100, credit=credit)


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 6)), min_size=1, max_size=12))
def test_every_frame_has_exactly_one_clip_of_its_scene(scenes: list[tuple[int, int]]) -> None:
    audio, clips, first = [], [], 0
    for number, (frames, count) in enumerate(scenes):
        audio.append(SceneAudio(first_frame=first, frames=frames, words=()))
        clips += [a_clip(number, one) for one in range(count)]
        first += frames
    placed = shots(audio, clips)
    shown = [clips[shot.clip].scene for shot in placed for _ in range(shot.frames)]
    expected = [number for number, (frames, _) in enumerate(scenes) for _ in range(frames)]
    assert shown == expected
    assert [shot.first_frame for shot in placed] == [sum(s.frames for s in placed[:n]) for n in range(len(placed))]
    assert all(shot.frames > 0 for shot in placed)


def test_a_scene_without_a_clip_is_an_error() -> None:
    with pytest.raises(PermanentFailure, match="scene 2"):
        shots(
            [SceneAudio(first_frame=0, frames=30, words=()), SceneAudio(first_frame=30, frames=30, words=())],
            [a_clip(0, 0)],
        )
