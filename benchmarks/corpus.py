"""The corpus `ten-grainy-clips`: generated clips that cost what real footage costs, and a narration.

It is no real footage: 1/f textures and hard-edged shapes (the statistics of photographs), a camera that pans by several
pixels a frame, things that pass in front of it, and film grain that is new in every frame. Ten clips of 5 s, 1080p,
half of them upright, about 10 Mb/s. `--clips` of the benchmark takes a folder of real footage instead.
"""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cm_assets.media.narration import narrate, write_flac
from cm_assets.models.audio import SceneAudio, Word
from cm_assets.models.base import FPS, SAMPLES_PER_FRAME

CLIPS = 10
CLIP_SECONDS = 5
BIT_RATE = "10M"

TEXT = (
    "every morning the harbour wakes before the town does and the first boats slide out under a sky the colour of "
    "slate while gulls argue over yesterday's catch"
)
WORDS = tuple(TEXT.split())


def clips(folder: Path, ffmpeg: Path) -> list[Path]:
    """The ten clips, made on first use; the same bytes wherever the same ffmpeg makes them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"grainy-{number}.mp4" for number in range(CLIPS)]
    for number, path in enumerate(paths):
        if not path.exists():
            _clip(number, path, ffmpeg)
    return paths


def narration(folder: Path, frames: int) -> Path:
    """The default voice, which repeats itself: 48 kHz mono FLAC of exactly `frames` frames."""
    path = folder / f"narration-{frames}.flac"
    if not path.exists():
        from cm_assets.engines.speech.catalogue import engine_for

        engine = engine_for("af_heart", ["hibari"])
        spoken = narrate(
            [f"{TEXT.capitalize()}."],
            lambda text: engine.speak(text, voice="af_heart", speed=1, language="en"),
            progress=lambda _share: None,
        )
        write_flac(np.resize(spoken.samples, frames * SAMPLES_PER_FRAME), path)
    return path


def scenes(frames: int, count: int, changed: Callable[[int, str], str] = lambda _scene, word: word) -> list[SceneAudio]:
    """`count` adjoining scenes with 2.7 words a second; `changed` may replace words of a scene."""
    made, first = [], 0
    for number in range(count):
        length = frames // count + (number < frames % count)
        spoken = round(length / FPS * 2.7)
        step = length / FPS / (spoken + 1)
        words = tuple(
            Word(
                text=changed(number, WORDS[(number * 5 + place) % len(WORDS)]),
                start=round(place * step, 3),
                end=round((place + 0.9) * step, 3),
            )
            for place in range(spoken)
        )
        made.append(SceneAudio(first_frame=first, frames=length, words=words))
        first += length
    return made


def digest(paths: list[Path]) -> str:
    """One hash of all clips, to tell corpora apart."""
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths)).hexdigest()[:12]


def main() -> None:
    """Make what is missing: `corpus.py FOLDER FFMPEG FRAMES`. In a process of its own, so that nobody measures it."""
    folder, ffmpeg, frames = sys.argv[1:]
    clips(Path(folder), Path(ffmpeg))
    narration(Path(folder), int(frames))


def _clip(number: int, path: Path, ffmpeg: Path) -> None:
    from PIL import Image

    width, height = (1920, 1080) if number % 2 == 0 else (1080, 1920)
    random = np.random.default_rng(number)
    # The camera passes over a wall and a half.
    wall, thing = path.with_suffix(".wall.png"), path.with_suffix(".thing.png")
    Image.fromarray(_texture(random, width + 900, height + 400)).save(wall, compress_level=1)
    Image.fromarray(_texture(random, width // 3, height // 3)).save(thing, compress_level=1)
    speed = 3 + number % 4
    graph = (
        f"[0]loop=-1:1,setpts=N/30/TB,fps=30,crop={width}:{height}:"
        f"x='450+{speed * 60}*sin(n/30)':y='200+180*sin(n/{37 + number})'[back];"
        f"[1]loop=-1:1,setpts=N/30/TB,fps=30[thing];"
        f"[back][thing]overlay=x='mod(n*{5 + number},W+w)-w':y='H/3+H/6*sin(n/17)',"
        f"eq=brightness='0.05*sin(n/40)':eval=frame,format=yuv420p,noise=c0s=9:c1s=3:c2s=3:allf=t:all_seed={number}"
    )
    part = path.with_suffix(".part.mp4")
    command = [str(ffmpeg), "-v", "error", "-y", "-i", str(wall), "-i", str(thing), "-filter_complex", graph]
    command += ["-t", str(CLIP_SECONDS), "-c:v", "libx264", "-preset", "veryfast", "-b:v", BIT_RATE, "-maxrate", "13M"]
    command += ["-bufsize", "20M", "-bf", "2", "-colorspace", "bt709", "-color_primaries", "bt709"]
    command += ["-color_trc", "bt709", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "2", str(part)]
    subprocess.run(command, check=True)
    part.replace(path)
    wall.unlink()
    thing.unlink()


def _texture(random: np.random.Generator, width: int, height: int) -> npt.NDArray[np.uint8]:
    """A picture with the spectrum of a photograph, and edges."""
    spectrum = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    spectrum[0, 0] = 1
    layers = []
    for _ in range(3):
        noise = np.fft.rfft2(random.standard_normal((height, width))) / spectrum
        layer = np.fft.irfft2(noise, (height, width))
        layers.append(layer / np.abs(layer).max())
    light, red, blue = layers
    for _ in range(60):
        x, y = int(random.integers(width)), int(random.integers(height))
        w, h = int(random.integers(20, width // 6)), int(random.integers(20, height // 6))
        light[y : y + h, x : x + w] = light[y : y + h, x : x + w] * 0.6 + random.uniform(-0.5, 0.5)
    colours = np.stack([light + 0.4 * red, light, light + 0.4 * blue], axis=-1)
    return np.clip(128 + 150 * colours, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
