"""The footage source `illustrated`: illustrations of what the scene is about over a moving background.

It needs no network, and it never has nothing. The query alone decides everything, down to the bytes.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cm_assets.engines.footage import backgrounds, layout, loops, sprites
from cm_assets.engines.footage.matching import Match, Vocabulary, load, matches
from cm_assets.engines.footage.palettes import Palette, palettes
from cm_assets.models.clips import ClipSpec, Credit, FetchedClip, FootageQuery, Layer

MOST_ILLUSTRATIONS = 7
"""In one scene: each costs the render by its area, and more than this is a crowd."""

MOST_FROM_NARRATION = 1
"""Beside what the search terms name: they say what the scene is about, single words of a sentence do so less surely."""

PALETTES_PER_VIDEO = 3

CREDIT = Credit(
    source="illustrated",
    author="Microsoft (Fluent Emoji)",
    licence="MIT",
    url="https://github.com/microsoft/fluentui-emoji",
)
PLAIN_CREDIT = Credit(source="illustrated", licence="MIT")


class Illustrated:
    """Draws a scene for every query; it never has nothing."""

    name = "illustrated"

    def __init__(self, ffmpeg: Path) -> None:
        self._ffmpeg = ffmpeg

    def fetch(self, query: FootageQuery, into: Path) -> FetchedClip:
        """A layered clip: a background loop and the illustrations over it. A calm background where no word matches.

        Raises:
            TransientFailure: the disk is full.
            PermanentFailure: ffmpeg did not make the background.
        """
        vocabulary = load()
        found = matches(query.terms, query.text, vocabulary)
        hero = _hero(found, query.used)
        key, random = _identity(query, hero)
        palette, family = _style(query, empty=hero is None)
        template = _template(query, random)
        stages = backgrounds.FAMILIES[family].stages
        stage = stages[int(random.integers(len(stages)))] if hero else "none"
        if template.name == "orbit" and hero:
            stage = "rings" if "rings" in stages else stage
        focus = (template.hero.x, template.hero.y)
        loop = loops.make(
            family, palette, query.width, query.height, focus, stage, int(random.integers(2**32)), self._ffmpeg, into
        )
        files, layers = [loop], []
        cast: tuple[str, ...] = _cast(found, hero, vocabulary, random) if hero else ()
        opening = query.scene == 0 and query.shot == 0
        for place, code, look, layer in _arranged(template, cast, query, palette, random, opening=opening):
            files.append(_kept(sprites.draw(code, look), into))
            layers.append((place.depth, layer.model_copy(update={"file": len(files) - 1})))
        order = {"far": 0, "hero": 1, "near": 2, "front": 3}
        layers.sort(key=lambda entry: order[entry[0]])
        names = [vocabulary.names[code] for code in dict.fromkeys(cast[: len(layers)])]
        spec = ClipSpec(
            scene=query.scene,
            kind="layers",
            key=key,
            label=", ".join([*names[:3], family]),
            terms=tuple(dict.fromkeys(_storable(match.term) for match in found if match.term)) if hero else (),
            width=query.width,
            height=query.height,
            layers=tuple(layer for _, layer in layers),
            seed=query.seed,
            credit=CREDIT if hero else PLAIN_CREDIT,
        )
        return FetchedClip(spec, tuple(files))


def _hero(found: Sequence[Match], used: frozenset[str]) -> str | None:
    """The main illustration: the best that this video does not show yet, else the best."""
    shown = {key.split(":")[1] for key in used if key.startswith("illustrated:")}
    choice = [code for match in found for code in match.pictures[:2]]
    return next((code for code in choice if code not in shown), choice[0] if choice else None)


def _identity(query: FootageQuery, hero: str | None) -> tuple[str, np.random.Generator]:
    asked = (
        f"{query.seed}|{query.scene}|{query.shot}|{query.width}x{query.height}|{query.mood}|{query.terms}|{query.text}"
    )
    for attempt in range(len(query.used) + 1):
        digest = hashlib.sha256(f"{attempt}|{hero}|{asked}".encode(errors="surrogatepass")).digest()
        key = f"illustrated:{hero or 'calm'}:{digest.hex()[:12]}"
        if key not in query.used:
            break
    return key, np.random.default_rng(list(digest))


def _style(query: FootageQuery, *, empty: bool) -> tuple[Palette, str]:
    """Few palettes in one video so that it looks like one, and another kind of background in each scene."""
    look = np.random.default_rng([query.seed, sum(query.mood.encode())])
    colours = palettes(query.mood)
    chosen = look.permutation(len(colours))[:PALETTES_PER_VIDEO]
    kinds = [name for name, family in backgrounds.FAMILIES.items() if family.alone or not empty]
    families = look.permutation(kinds)
    turn = query.scene + query.shot
    return colours[chosen[turn % len(chosen)]], str(families[turn % len(families)])


def _template(query: FootageQuery, random: np.random.Generator) -> layout.Template:
    choice = layout.templates(query.width, query.height)
    order = np.random.default_rng(query.seed + 1).permutation(len(choice))
    template = choice[int(order[(query.scene + query.shot) % len(choice)])]
    return template.mirrored() if random.integers(2) else template


def _cast(found: Sequence[Match], hero: str, vocabulary: Vocabulary, random: np.random.Generator) -> tuple[str, ...]:
    """The illustrations of the scene, the main one first; no two alike."""
    others = [match for match in found if hero not in match.pictures]
    named = [match for match in others if match.term is not None]
    spoken = [match for match in others if match.term is None][: MOST_FROM_NARRATION if named else 3]
    beside = [match.pictures[0] for match in (*named, *spoken)]
    related = list(vocabulary.companions(hero))
    random.shuffle(related)
    alike = [code for match in found if hero in match.pictures for code in match.pictures]
    return tuple(dict.fromkeys([hero, *beside, *alike, *related]))[:MOST_ILLUSTRATIONS]


def _arranged(
    template: layout.Template,
    cast: Sequence[str],
    query: FootageQuery,
    palette: Palette,
    random: np.random.Generator,
    *,
    opening: bool,
) -> list[tuple[layout.Place, str, sprites.Look, Layer]]:
    unit = min(query.width, query.height)
    arranged = []
    places = template.places[: len(cast)] if len(cast) > 1 else _alone(template)
    for index, place in enumerate(places if cast else ()):
        jitter_x, jitter_y, turn, phase, period = (float(value) for value in random.uniform(-1, 1, 5))
        main = place.depth == "hero"
        wander = 0.0 if main else 0.012
        layer = Layer(
            file=0,
            x=round(place.x * query.width + wander * jitter_x * unit),
            y=round(place.y * query.height + wander * jitter_y * unit),
            sway_x=round(unit * _SWAY[place.depth] * 0.55, 1),
            sway_y=round(unit * _SWAY[place.depth], 1),
            period=round(_PERIOD[place.depth] + 0.8 * period, 2),
            phase=round((phase + 1) / 2 % 1, 3),
            # The first picture of a video is what its platform shows before it plays: nothing may be missing there.
            enter=0 if opening else round(0.08 + 0.11 * index, 2),
        )
        look = _look(place, unit, palette, turn)
        arranged.append((place, cast[index % len(cast)], look, layer))
    return arranged


def _alone(template: layout.Template) -> tuple[layout.Place, ...]:
    """One illustration and nothing that goes with it: itself again, only where it is out of focus."""
    return tuple(place for place in template.places if place.depth in {"hero", "front", "far"})[:4]


_SWAY = {"hero": 0.017, "near": 0.014, "far": 0.009, "front": 0.024}
_PERIOD = {"hero": 4.6, "near": 4.2, "far": 6.0, "front": 5.4}


def _look(place: layout.Place, unit: int, palette: Palette, turn: float) -> sprites.Look:
    size = round(place.size * unit)
    if place.depth == "hero":
        return sprites.Look(size, turn * 3, 0, 0.5, 0, palette.deep)
    if place.depth == "near":
        return sprites.Look(size, turn * 12, 0, 0.42, 0, palette.deep)
    if place.depth == "far":
        return sprites.Look(size, turn * 16, 0.028 * size + 1.5, 0, 0.22, palette.mid, 0.85)
    return sprites.Look(size, turn * 20, 0.05 * size, 0, 0.12, palette.deep, 0.94)


def _storable(term: str) -> str:
    """Half of a surrogate pair can be in a text, but not in a file."""
    return term.encode(errors="replace").decode()


def _kept(content: bytes, into: Path) -> Path:
    path = into / f"{hashlib.sha256(content).hexdigest()[:16]}.png"
    path.write_bytes(content)
    return path
