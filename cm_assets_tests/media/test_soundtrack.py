import wave
from pathlib import Path

import numpy as np
import pytest

from cm_assets.media.ffmpeg import Ffmpeg
from cm_assets.media.narration import measure as measure_samples
from cm_assets.media.narration import write_flac
from cm_assets.media.soundtrack import _decode, _write_loop, build, measure
from cm_assets.models.base import SAMPLE_RATE, SAMPLES_PER_FRAME, PermanentFailure

RANDOM = np.random.default_rng(5)


def speechlike(frames: int) -> np.ndarray:  # type: ignore[type-arg]
    """Bursts of noise with pauses, as loud as the voices are."""
    length = frames * SAMPLES_PER_FRAME
    noise = RANDOM.standard_normal(length).astype(np.float32) * 0.06
    beat = (np.arange(length) // (SAMPLE_RATE // 3)) % 3 != 2
    return noise * beat


def music(path: Path, seconds: float = 7.0, level: float = 0.5) -> Path:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = level * (np.sin(2 * np.pi * 220 * time) + 0.3 * np.sin(2 * np.pi * 331 * time)) / 1.3
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.stack([tone, tone], axis=1) * 32767).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize(("with_music", "frames"), [(False, 240), (True, 300), (True, 40)])
def test_it_is_as_long_and_as_loud_as_it_must_be(ffmpeg: Ffmpeg, tmp_path: Path, with_music: bool, frames: int) -> None:
    samples = speechlike(frames)
    write_flac(samples, tmp_path / "narration.flac")
    track = build(
        ffmpeg,
        tmp_path / "narration.flac",
        measure_samples(samples)[0],
        music(tmp_path / "music.wav") if with_music else None,
        len(samples),
        tmp_path,
    )
    assert track.loudness.integrated == pytest.approx(-14, abs=0.5)
    assert track.loudness.true_peak <= -1.0
    assert measure(ffmpeg, track.path) == track.loudness
    import av

    with av.open(str(track.path)) as file:
        stream = file.streams.audio[0]
        assert (stream.rate, stream.channels, stream.codec_context.name) == (SAMPLE_RATE, 2, "aac")
        assert stream.duration == pytest.approx(len(samples), abs=1)


def test_the_same_sound_twice_is_the_same_bytes(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    samples = speechlike(60)
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        write_flac(samples, folder / "narration.flac")
        song = music(folder / "music.wav")
        made.append(build(ffmpeg, folder / "narration.flac", -26, song, len(samples), folder).path.read_bytes())
    assert made[0] == made[1]


def test_music_gives_way_to_speech(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    frames = 300
    samples = speechlike(frames)
    samples[len(samples) // 2 :] = 0
    write_flac(samples, tmp_path / "narration.flac")
    song = music(tmp_path / "music.wav")
    track = build(ffmpeg, tmp_path / "narration.flac", measure_samples(samples)[0], song, len(samples), tmp_path)
    heard = _decode(track.path).mean(axis=1)
    spectrum = lambda part: np.abs(np.fft.rfft(part * np.hanning(len(part))))[int(220 * len(part) / SAMPLE_RATE)]  # noqa: E731
    under, alone = heard[SAMPLE_RATE : 2 * SAMPLE_RATE], heard[7 * SAMPLE_RATE : 8 * SAMPLE_RATE]
    ducked = 20 * np.log10(spectrum(alone) / spectrum(under))
    assert 4 < ducked < 16


def test_the_loop_has_no_click(tmp_path: Path) -> None:
    song = music(tmp_path / "music.wav", seconds=6.123)
    _write_loop(song, tmp_path / "loop.wav")
    loop = _decode(tmp_path / "loop.wav").mean(axis=1)
    twice = np.concatenate([loop, loop])
    steps = np.abs(np.diff(twice))
    seam = steps[len(loop) - 50 : len(loop) + 50].max()
    assert seam <= 1.2 * steps[SAMPLE_RATE : 2 * SAMPLE_RATE].max()


@pytest.mark.parametrize(
    "content", [b"", b"no music", b"ID3\x03" + b"\x00" * 200, b"#EXTM3U\nhttp://127.0.0.1/a.mp3\n"]
)
def test_what_is_no_music_is_refused(ffmpeg: Ffmpeg, tmp_path: Path, content: bytes) -> None:
    write_flac(speechlike(30), tmp_path / "narration.flac")
    bad = tmp_path / "bad.mp3"
    bad.write_bytes(content)
    with pytest.raises(PermanentFailure, match=r"bad\.mp3"):
        build(ffmpeg, tmp_path / "narration.flac", -26, bad, 30 * SAMPLES_PER_FRAME, tmp_path)
