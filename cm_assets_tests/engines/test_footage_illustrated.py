"""The illustrated scenes: repeatable, different from each other, decodable, with their credit."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from cm_assets.engines.footage import backgrounds, layout
from cm_assets.engines.footage.canvas import Canvas
from cm_assets.engines.footage.illustrated import Illustrated
from cm_assets.engines.footage.palettes import PALETTES, palettes
from cm_assets.media.ffmpeg import find
from cm_assets.models.clips import FetchedClip, FootageQuery

QUERY = FootageQuery(
    scene=1,
    shot=0,
    text="Coffee began as a story about goats.",
    terms=("coffee",),
    clip=None,
    width=1080,
    height=1920,
    seconds=4.0,
    mood="calm",
    seed=7,
    used=frozenset(),
)


@pytest.fixture(scope="module")
def source() -> Illustrated:
    return Illustrated(find().path)


def _contents(clip: FetchedClip) -> list[bytes]:
    return [path.read_bytes() for path in clip.files]


def test_the_same_query_gives_the_same_bytes(source: Illustrated, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = source.fetch(QUERY, tmp_path / "a"), source.fetch(QUERY, tmp_path / "b")
    assert first.spec == second.spec
    assert _contents(first) == _contents(second)


def test_no_clip_of_a_video_is_shown_twice_and_no_two_look_alike(source: Illustrated, tmp_path: Path) -> None:
    used: set[str] = set()
    pictures = set()
    for scene in range(6):  # the same words six times, which is the hardest case
        clip = source.fetch(replace(QUERY, scene=scene, used=frozenset(used)), tmp_path)
        assert clip.spec.key not in used
        used.add(clip.spec.key)
        pictures.add(clip.files[0].name)
    assert len(pictures) == 6
    again = source.fetch(replace(QUERY, used=frozenset(used)), tmp_path)
    assert again.spec.key not in used


def test_a_scene_shows_another_main_illustration_where_it_has_one(source: Illustrated, tmp_path: Path) -> None:
    first = source.fetch(QUERY, tmp_path).spec
    second = source.fetch(replace(QUERY, shot=1, used=frozenset({first.key})), tmp_path).spec
    assert first.key.split(":")[1] != second.key.split(":")[1]


def test_a_scene_without_a_match_is_calm_and_not_empty(source: Illustrated, tmp_path: Path) -> None:
    clip = source.fetch(replace(QUERY, text="And so it went on.", terms=("abstract",)), tmp_path)
    assert clip.spec.layers == ()
    assert clip.spec.terms == ()
    assert len(clip.files) == 1
    assert clip.spec.credit.licence == "MIT"


def test_the_credit_of_the_illustrations_is_carried(source: Illustrated, tmp_path: Path) -> None:
    spec = source.fetch(QUERY, tmp_path).spec
    assert (spec.credit.source, spec.credit.licence) == ("illustrated", "MIT")
    assert "Microsoft" in spec.credit.author
    assert spec.terms == ("coffee",)
    assert "hot beverage" in spec.label


def test_hostile_text_becomes_no_path_and_no_error(source: Illustrated, tmp_path: Path) -> None:
    text = "../../robot;rm -rf / {\\an8} \x00 %s \u202e \ud800 'quote' : = ,[0:v]"
    clip = source.fetch(replace(QUERY, text=text * 40, terms=(text, "-i /etc/passwd", "")), tmp_path)
    assert all(path.parent == tmp_path and path.stem.isalnum() for path in clip.files)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in clip.files)
    clip.spec.to_bytes()


@pytest.mark.parametrize(("width", "height"), [(1080, 1920), (1920, 1080), (1080, 1080)])
def test_illustrations_leave_the_captions_alone(source: Illustrated, tmp_path: Path, width: int, height: int) -> None:
    for scene in range(4):
        spec = source.fetch(replace(QUERY, scene=scene, width=width, height=height), tmp_path).spec
        assert (spec.width, spec.height) == (width, height)
    for template in layout.templates(width, height):
        unit = min(width, height)
        for place in template.places:
            bottom = place.y + place.size * unit / height / 2
            aside = place.x < 0.15 or place.x > 0.85
            assert bottom <= 0.67 or (place.depth == "front" and aside), (template.name, place)
        assert template.hero.y + template.hero.size * unit / height / 2 <= 0.59


def test_everything_is_there_in_the_first_picture_of_a_video(source: Illustrated, tmp_path: Path) -> None:
    opening = source.fetch(replace(QUERY, scene=0), tmp_path).spec
    later = source.fetch(QUERY, tmp_path).spec
    assert {layer.enter for layer in opening.layers} == {0}
    assert min(layer.enter for layer in later.layers) > 0
    assert max(layer.enter for layer in later.layers) < 1.2


@pytest.mark.parametrize("family", backgrounds.FAMILIES)
def test_a_background_moves_and_its_end_meets_its_start(family: str) -> None:
    canvas = Canvas(108, 192, (0.5, 0.35), "glow")
    pictures = [frame.astype(int) for frame in backgrounds.frames(family, canvas, palettes("calm")[1], 5)]
    assert len(pictures) == backgrounds.LOOP_SECONDS * backgrounds.LOOP_FPS
    steps = [np.abs(b - a).mean() for a, b in zip(pictures, [*pictures[1:], pictures[0]], strict=True)]
    assert np.abs(pictures[len(pictures) // 4] - pictures[0]).max() > 4
    assert steps[-1] <= 1.5 * max(steps[:-1]) + 0.05


@pytest.mark.parametrize("mood", PALETTES)
def test_white_captions_can_be_read_on_every_palette(mood: str) -> None:
    canvas = Canvas(54, 96, (0.5, 0.35), "glow")
    for number, palette in enumerate(palettes(mood)):
        for family in backgrounds.FAMILIES:
            frame = next(iter(backgrounds.frames(family, canvas, palette, number)))
            band = frame[:, 58:76].reshape(3, -1).mean(axis=1)
            luma = float(band @ np.asarray([0.2126, 0.7152, 0.0722]))
            assert luma < 150, (family, palette)


def test_an_unknown_mood_is_calm() -> None:
    assert palettes("no such mood") == PALETTES["calm"]


def test_files_decode_and_sprites_have_alpha(source: Illustrated, tmp_path: Path) -> None:
    clip = source.fetch(QUERY, tmp_path)
    with av.open(str(clip.files[0])) as file:
        frames = list(file.decode(video=0))
        assert len(frames) == backgrounds.LOOP_SECONDS * backgrounds.LOOP_FPS
        assert frames[0].format.name == "yuv420p"
        assert file.streams.video[0].average_rate == backgrounds.LOOP_FPS
    assert {layer.file for layer in clip.spec.layers} == set(range(1, len(clip.files)))
    for path in clip.files[1:]:
        with Image.open(path) as sprite:
            assert sprite.mode == "RGBA"
            assert sprite.width % 2 == sprite.height % 2 == 0
            alpha = np.asarray(sprite.getchannel("A"))
            assert alpha.min() == 0
            assert alpha.max() > 180
