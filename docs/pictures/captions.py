"""Makes docs/captions.png, the three caption styles side by side over moving scenes; run from the repository's root."""

import tempfile
from pathlib import Path

from PIL import Image

from cm_assets.engines.footage.illustrated import Illustrated
from cm_assets.media import ass
from cm_assets.media.captions import lay_out
from cm_assets.media.ffmpeg import arguments, find
from cm_assets.media.fonts import fonts_folder
from cm_assets.media.scenery import layered
from cm_assets.models.audio import SceneAudio, Word
from cm_assets.models.clips import FetchedClip, FootageQuery
from cm_assets.models.request import SIZES, Captions, CaptionStyle

SCENES: tuple[tuple[CaptionStyle, str, tuple[str, ...], str, int], ...] = (
    ("bold", "energetic", ("artificial intelligence", "robot"), "Every robot learns by trying.", 1),
    ("clean", "calm", ("ocean", "whale"), "The blue whale sings for a thousand miles.", 3),
    ("playful", "happy", ("travel", "suitcase"), "Pack half, go twice as far!", 3),
)
WORD_SECONDS = 0.4
SMALL = (236, 420)
GAP = 14


def frame(clip: FetchedClip, style: CaptionStyle, text: str, word: int, folder: Path) -> Image.Image:
    """The scene while its word of that number is spoken."""
    width, height = SIZES["portrait"]
    words = tuple(
        Word(text=one, start=number * WORD_SECONDS, end=(number + 1) * WORD_SECONDS)
        for number, one in enumerate(text.split())
    )
    scene = SceneAudio(first_frame=0, frames=240, words=words)
    captions = Captions(style=style)
    cues = lay_out([scene], captions=captions, width=width, height=height)
    at = [one.first_frame for cue in cues for line in cue.lines for one in line][word] + 4
    document = ass.document(cues, first_frame=0, frames=240, captions=captions, width=width, height=height)
    assert document is not None
    (folder / "captions.ass").write_text(document, encoding="utf-8")
    stream = layered(clip.spec, clip.files, width=width, height=height, frames=at + 1)
    stream = stream.filter("ass", filename=str(folder / "captions.ass"), fontsdir=str(fonts_folder()))
    last = stream.filter("trim", start_frame=at).filter("setpts", expr="PTS-STARTPTS")
    path = folder / "frame.png"
    find().run(arguments(last.output(f"file:{path}", **{"frames:v": 1, "update": 1})))
    with Image.open(path) as picture:
        return picture.convert("RGB").resize(SMALL, Image.Resampling.LANCZOS)


def main() -> None:
    """Draws a scene in each style."""
    width, height = SMALL
    sheet = Image.new("RGB", (3 * width + 4 * GAP, height + 2 * GAP), (16, 18, 24))
    source = Illustrated(find().path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (style, mood, terms, text, word) in enumerate(SCENES):
            query = FootageQuery(number, 0, text, terms, None, *SIZES["portrait"], 4.0, mood, 12, frozenset())
            picture = frame(source.fetch(query, folder), style, text, word, folder)
            sheet.paste(picture, (GAP + number * (width + GAP), GAP))
    sheet.save("docs/captions.png", optimize=True)


if __name__ == "__main__":
    main()
