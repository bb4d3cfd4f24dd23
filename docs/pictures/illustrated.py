"""Makes docs/illustrated.jpg: illustrated scenes in the three orientations. Run it from the repository's root."""

import tempfile
from pathlib import Path

from PIL import Image

from cm_assets.engines.footage.illustrated import Illustrated
from cm_assets.media.ffmpeg import arguments, find
from cm_assets.media.scenery import layered
from cm_assets.models.clips import FetchedClip, FootageQuery

TOPICS = (
    ("energetic", ("artificial intelligence", "robot"), "Three AI trends that small teams can use today."),
    ("nostalgic", ("coffee",), "Coffee began as a story about goats."),
    ("calm", ("stock market", "money"), "Patience is what compound interest pays for."),
    ("tender", ("sleep", "moon"), "Your brain tidies up while you sleep."),
    ("happy", ("planet", "telescope"), "On Saturn it may rain diamonds."),
    ("nostalgic", ("roman empire", "gladiator"), "Rome was not only built by soldiers."),
    ("energetic", ("gym workout", "protein"), "Lift twice a week, and mean it."),
    ("calm", ("ocean", "whale"), "The blue whale sings for a thousand miles."),
    ("happy", ("travel", "suitcase"), "Pack half of it and go twice as far."),
    ("tender", ("healthy food", "salad"), "Eat the whole rainbow."),
    ("calm", ("habits", "checklist"), "Small steps beat big plans."),
    ("energetic", ("video game",), "The arcade game that nobody could finish."),
    ("happy", ("dinosaur",), "The day the asteroid came."),
    ("nostalgic", ("history", "castle"), "Castles were cold, dark and surprisingly loud."),
)
AT_FRAME = 45
SEED = 12
GAP = 12


def frame(clip: FetchedClip, width: int, height: int, folder: Path) -> Image.Image:
    """The clip at one and a half seconds."""
    stream = layered(clip.spec, clip.files, width=width, height=height, frames=AT_FRAME + 1)
    last = stream.filter("trim", start_frame=AT_FRAME).filter("setpts", expr="PTS-STARTPTS")
    path = folder / "frame.png"
    find().run(arguments(last.output(f"file:{path}", **{"frames:v": 1, "update": 1})))
    with Image.open(path) as picture:
        return picture.convert("RGB")


def main() -> None:
    """Draws all topics upright, some of them also wide and square."""
    rows = (
        ((1080, 1920), TOPICS[:7], 400),
        ((1080, 1920), TOPICS[7:], 400),
        ((1920, 1080), TOPICS[8::-2][:4], 221),
        ((1080, 1080), TOPICS[1:14:2], 221),
    )
    sheet_width = 7 * 225 + 8 * GAP
    sheet = Image.new("RGB", (sheet_width, sum(row[2] for row in rows) + GAP * (len(rows) + 1)), (16, 18, 24))
    source, top = Illustrated(find().path), GAP
    with tempfile.TemporaryDirectory() as name:
        folder, used = Path(name), set[str]()
        for (width, height), topics, tall in rows:
            wide = (sheet_width - GAP * (len(topics) + 1)) // len(topics)
            for number, (mood, terms, text) in enumerate(topics):
                clip = source.fetch(
                    FootageQuery(number, 0, text, terms, None, width, height, 4.0, mood, SEED, frozenset(used)), folder
                )
                used.add(clip.spec.key)
                small = frame(clip, width, height, folder).resize((wide, tall), Image.Resampling.LANCZOS)
                sheet.paste(small, (GAP + number * (wide + GAP), top))
            top += tall + GAP
    sheet.save("docs/illustrated.jpg", quality=86, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
