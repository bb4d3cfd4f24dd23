"""What a render costs: CPU seconds against encoding alone, after a change of one caption, and peak memory.

    python benchmarks/render.py [--ffmpeg PATH] [--kind footage|illustrated] [--clips FOLDER] [--memory SECONDS]

Counted: probing, scenes, captions, sound with its loudness passes, join, verification, cover; for `illustrated` the
making of the clips too. The floor is what x264 alone takes for the very same frames, read from raw files, at the same
preset and threads. CPU seconds are those of this process and all its children. Told apart, since they belong to the
fetching of clips and to the asset checks: what it takes to decode every clip once to its end, and to look for black and
frozen stretches.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import corpus
import psutil
from goals import Goals

from cm_assets.media import ass, captions, cover, soundtrack
from cm_assets.media.composition import FileCache, Look, ShotPicture, compose
from cm_assets.media.ffmpeg import Ffmpeg, arguments, find
from cm_assets.media.fonts import fonts_folder
from cm_assets.media.music import choose
from cm_assets.media.probe import probe, validate_video
from cm_assets.media.segments import drawn
from cm_assets.media.timeline import shots
from cm_assets.models.audio import SceneAudio
from cm_assets.models.base import FPS, SAMPLES_PER_FRAME
from cm_assets.models.clips import ClipSpec, Credit, FetchedClip, FootageQuery
from cm_assets.models.request import Captions

SCENES = 10
SECONDS = 40
WIDTH, HEIGHT = 1080, 1920
LOUDNESS = -26.0
"""LUFS of the narration."""
STYLE = Captions(style="bold")

GOALS = {
    "ratio to the floor": 1.7,
    "CPU s per output s": 1.5,
    "one caption changed, ratio to a full render": 0.2,
    "peak memory of the tree, MB": 700.0,
}
"""The most that each may be, of those that are measured."""

TOPICS = ("rocket", "coffee", "ocean", "music", "money", "robot", "garden", "train", "book", "city")


def cpu() -> float:
    """CPU seconds of this process and of its children that ended."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


@dataclass
class Meter:
    """CPU seconds by part, and the memory of the process tree."""

    parts: dict[str, float] = field(default_factory=dict)
    peak: int = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what the block takes."""
        before = cpu()
        yield
        self.parts[name] = self.parts.get(name, 0.0) + cpu() - before

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Sample the memory of the tree: each process's own share of what several of them map."""
        over = threading.Event()

        def watch() -> None:
            me = psutil.Process()
            while not over.wait(0.1):
                total = 0
                for process in [me, *me.children(recursive=True)]:
                    try:
                        total += process.memory_full_info().pss
                    except psutil.Error:
                        continue
                self.peak = max(self.peak, total)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @property
    def total(self) -> float:
        """CPU seconds of all parts."""
        return sum(self.parts.values())


Clips = Callable[[Meter, Path], list[FetchedClip]]


@dataclass
class Job:
    """One video to be made."""

    ffmpeg: Ffmpeg
    preset: str
    scenes: list[SceneAudio]
    narration: Path
    music: Path | None
    clips: Clips

    @property
    def frames(self) -> int:
        """Its length."""
        return self.scenes[-1].first_frame + self.scenes[-1].frames

    @property
    def look(self) -> Look:
        """How it is encoded."""
        return Look(width=WIDTH, height=HEIGHT, preset=self.preset, fonts=fonts_folder())

    def render(self, clips: Sequence[FetchedClip], folder: Path, cache: Path, meter: Meter) -> list[ShotPicture]:
        """Do all that the stage `render` does."""
        with meter.part("captions"):
            cues = captions.lay_out(self.scenes, captions=STYLE, width=WIDTH, height=HEIGHT)
            placed = [
                ShotPicture(
                    spec=clips[shot.clip].spec,
                    files=clips[shot.clip].files,
                    digest=clips[shot.clip].spec.key,
                    first_frame=shot.first_frame,
                    frames=shot.frames,
                    captions=ass.document(
                        cues,
                        first_frame=shot.first_frame,
                        frames=shot.frames,
                        captions=STYLE,
                        width=WIDTH,
                        height=HEIGHT,
                    ),
                )
                for shot in shots(self.scenes, [clip.spec for clip in clips])
            ]
        with meter.part("sound"):
            samples = self.frames * SAMPLES_PER_FRAME
            sound = soundtrack.build(self.ffmpeg, self.narration, LOUDNESS, self.music, samples, folder)
        with meter.part("picture, join, verification"):
            video = compose(
                self.ffmpeg, placed, self.look, sound.path, folder, FileCache(cache, 10**10), lambda _share: None
            )
        with meter.part("cover"):
            cover.write_cover(self.ffmpeg, video, cover.candidates(self.scenes), folder / "cover.jpg")
            cover.thumbnail(folder / "cover.jpg")
        return placed


def footage(paths: Sequence[Path], count: int) -> Clips:
    """Clips of a folder, one a scene."""

    def fetch(meter: Meter, _folder: Path) -> list[FetchedClip]:
        made = []
        for scene in range(count):
            path = paths[scene % len(paths)]
            with meter.part("probing"):
                info = probe(path)
            spec = ClipSpec(
                scene=scene,
                kind=info.kind,
                key=f"{path.stem}-{scene}",
                width=info.width,
                height=info.height,
                seconds=info.seconds,
                seed=scene,
                credit=Credit(source="benchmark", licence="own"),
            )
            made.append(FetchedClip(spec, (path,)))
        return made

    return fetch


def illustrated(ffmpeg: Ffmpeg, scenes: Sequence[SceneAudio]) -> Clips:
    """Clips of the source `illustrated`, made anew."""
    from cm_assets.engines.footage.illustrated import Illustrated

    def fetch(meter: Meter, folder: Path) -> list[FetchedClip]:
        made: list[FetchedClip] = []
        source = Illustrated(ffmpeg.path)
        for number, scene in enumerate(scenes):
            into = folder / f"clip-{number}"
            into.mkdir()
            query = FootageQuery(
                scene=number,
                shot=0,
                text=" ".join(word.text for word in scene.words),
                terms=(TOPICS[number % len(TOPICS)],),
                clip=None,
                width=WIDTH,
                height=HEIGHT,
                seconds=scene.frames / FPS,
                mood="calm",
                seed=1,
                used=frozenset(clip.spec.key for clip in made),
            )
            with meter.part("clips"):
                made.append(source.fetch(query, into))
        return made

    return fetch


def floor(job: Job, placed: Sequence[ShotPicture], folder: Path) -> float:
    """CPU seconds that the encoder alone takes for the frames of the shots."""
    folder.mkdir()
    total = 0.0
    raw = folder / "frames.yuv"
    for number, shot in enumerate(placed):
        graph = drawn(shot, job.look, folder, str(number)).output(f"file:{raw}", format="rawvideo", frames=shot.frames)
        job.ffmpeg.run(arguments(graph))
        encoder: list[str] = []
        for name, value in job.look.encoder().items():
            encoder += [f"-{'c:v' if name == 'vcodec' else name}", str(value)]
        command = [str(job.ffmpeg.path), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p"]
        command += ["-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", str(raw), *encoder, str(folder / "floor.mp4")]
        before = cpu()
        subprocess.run(command, check=True)
        total += cpu() - before
    shutil.rmtree(folder)
    return total


def looked_at(video: Path) -> int:
    """Decode the key frames, as the check of the finished picture does; how many there were."""
    import av

    with av.open(str(video)) as file:
        file.streams.video[0].codec_context.skip_frame = "NONKEY"
        return sum(1 for frame in file.decode(video=0) if frame.reformat(width=90, height=160, format="gray"))


def a_job(options: argparse.Namespace, ffmpeg: Ffmpeg, seconds: int) -> Job:
    """The video of so many seconds, scenes of four seconds each."""
    folder = options.work / "corpus"
    make = [sys.executable, str(Path(corpus.__file__)), str(folder), str(ffmpeg.path), str(seconds * FPS)]
    subprocess.run(make, check=True)
    count = max(1, seconds * SCENES // SECONDS)
    scenes = corpus.scenes(seconds * FPS, count)
    made = sorted(options.clips.glob("*.mp4")) if options.clips else corpus.clips(folder, ffmpeg.path)
    music = choose(options.music, seed=1, folder=None)
    return Job(
        ffmpeg=ffmpeg,
        preset=options.preset,
        scenes=scenes,
        narration=corpus.narration(folder, seconds * FPS),
        music=None if music is None else music.path,
        clips=illustrated(ffmpeg, scenes) if options.kind == "illustrated" else footage(made, count),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ffmpeg", type=Path)
    parser.add_argument("--kind", choices=("footage", "illustrated"), default="footage")
    parser.add_argument("--clips", type=Path, help="a folder of real footage, instead of the corpus")
    parser.add_argument("--music", default="calm")
    parser.add_argument("--preset", default="superfast")
    parser.add_argument("--memory", type=int, help="only measure the memory of a video of so many seconds")
    parser.add_argument("--keep", type=Path, help="where to put the video")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "cm-benchmark")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    ffmpeg = find(options.ffmpeg)
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        folder = Path(name)
        found = measured(options, ffmpeg, folder)
    goals = Goals()
    said = {
        f"{what}, at most {most:g}": goals.judge(what, met=found[what] <= most)
        for what, most in GOALS.items()
        if what in found
    }
    print(json.dumps(found | {"goals": said}, indent=1))
    goals.end()


def measured(options: argparse.Namespace, ffmpeg: Ffmpeg, folder: Path) -> dict[str, Any]:
    seconds = options.memory or SECONDS
    job = a_job(options, ffmpeg, seconds)
    first, second = folder / "one", folder / "two"
    first.mkdir()
    meter = Meter()
    started = time.monotonic()
    if options.memory:
        with meter.watching():
            job.render(job.clips(meter, first), first, folder / "cache", meter)
        return {
            "seconds of video": seconds,
            "peak memory of the tree, MB": round(meter.peak / 1e6),
            "CPU s per output s": round(meter.total / seconds, 2),
        }
    clips = job.clips(meter, first)
    placed = job.render(clips, first, folder / "cache", meter)
    wall = time.monotonic() - started
    video = first / "video.mp4"
    size = video.stat().st_size
    if options.keep:
        shutil.copyfile(video, options.keep)
    base = floor(job, placed, folder / "floor")
    beside = Meter()
    if options.kind == "footage":
        with beside.part("clips decoded to their end"):
            for clip in clips:
                validate_video(ffmpeg, clip.files[0])
    with beside.part("key frames looked at"):
        looked_at(video)
    again = Meter()
    job.scenes = corpus.scenes(
        job.frames, len(job.scenes), lambda scene, word: word.upper() + "!" if scene == 4 else word
    )
    second.mkdir()
    job.render(clips, second, folder / "cache", again)
    return {
        "corpus": options.kind if options.kind != "footage" else str(options.clips or "ten-grainy-clips"),
        "ffmpeg": ffmpeg.version,
        "preset": job.preset,
        "seconds of video": seconds,
        "MB": round(size / 1e6, 1),
        "wall s": round(wall, 1),
        "CPU s": {name: round(value, 2) for name, value in meter.parts.items()},
        "floor, CPU s": round(base, 2),
        "ratio to the floor": round(meter.total / base, 3),
        "not in it, CPU s": {name: round(value, 2) for name, value in beside.parts.items()},
        "ratio with that": round((meter.total + beside.total) / base, 3),
        "CPU s per output s": round(meter.total / seconds, 3),
        "one caption changed, ratio to a full render": round(again.total / meter.total, 3),
        "one caption changed, CPU s": {name: round(value, 2) for name, value in again.parts.items()},
    }


if __name__ == "__main__":
    main()
