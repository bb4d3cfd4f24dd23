import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from cm_assets.media.ffmpeg import Ffmpeg
from cm_assets.media.narration import measure as measure_samples
from cm_assets.media.narration import write_flac
from cm_assets.media.soundtrack import build, measure
from cm_assets.models.base import SAMPLE_RATE, SAMPLES_PER_FRAME, PermanentFailure

Samples = npt.NDArray[np.float32]


def heard(path: Path) -> Samples:
    """What a player plays: float, shape (n,), both sides as one."""
    import av

    with av.open(str(path)) as file:
        blocks = [frame.to_ndarray() for frame in file.decode(audio=0)]
    both = np.concatenate([block if block.shape[0] == 2 else block.reshape(-1, 2).T for block in blocks], axis=1)
    mono: Samples = both.astype(np.float32).mean(axis=0)
    return mono


RANDOM = np.random.default_rng(5)


def speechlike(frames: int) -> Samples:
    """Bursts of noise with pauses, as loud as the voices are."""
    length = frames * SAMPLES_PER_FRAME
    noise = RANDOM.standard_normal(length).astype(np.float32) * 0.06
    beat = (np.arange(length) // (SAMPLE_RATE // 3)) % 3 != 2
    spoken: Samples = noise * beat
    return spoken


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


def level_at_220_hz(part: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
    return float(spectrum[int(220 * len(part) / SAMPLE_RATE)])


def test_music_gives_way_to_speech(any_ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    frames = 300
    samples = speechlike(frames)
    samples[len(samples) // 2 :] = 0
    write_flac(samples, tmp_path / "narration.flac")
    song = music(tmp_path / "music.wav")
    track = build(any_ffmpeg, tmp_path / "narration.flac", measure_samples(samples)[0], song, len(samples), tmp_path)
    played = heard(track.path)
    under, alone = played[SAMPLE_RATE : 2 * SAMPLE_RATE], played[7 * SAMPLE_RATE : 8 * SAMPLE_RATE]
    ducked = 20 * np.log10(level_at_220_hz(alone) / level_at_220_hz(under))
    assert 4 < ducked < 16


def test_music_comes_round_without_a_click_and_is_never_away(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    song = music(tmp_path / "music.wav", seconds=6.123)
    silence = np.zeros(600 * SAMPLES_PER_FRAME, dtype=np.float32)
    silence[: SAMPLE_RATE // 2] = speechlike(15)[: SAMPLE_RATE // 2]
    write_flac(silence, tmp_path / "narration.flac")
    track = build(ffmpeg, tmp_path / "narration.flac", -23, song, len(silence), tmp_path)
    played = heard(track.path)[2 * SAMPLE_RATE : 18 * SAMPLE_RATE]
    steps = np.abs(np.diff(played))
    assert steps.max() <= 1.5 * np.quantile(steps, 0.98)
    loudness = np.sqrt((played[: len(played) // 4800 * 4800].reshape(-1, 4800) ** 2).mean(axis=1))
    assert loudness.min() > 0.6 * np.median(loudness)


def test_a_long_song_is_cut_and_not_looped(any_ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    samples = speechlike(90)
    write_flac(samples, tmp_path / "narration.flac")
    build(any_ffmpeg, tmp_path / "narration.flac", -23, music(tmp_path / "m.wav", seconds=30), len(samples), tmp_path)
    with wave.open(str(tmp_path / "loop.wav")) as file:
        assert file.getnframes() <= len(samples) + SAMPLE_RATE


@pytest.mark.parametrize(
    "content", [b"", b"no music", b"ID3\x03" + b"\x00" * 200, b"#EXTM3U\nhttp://127.0.0.1/a.mp3\n"]
)
def test_what_is_no_music_is_refused(any_ffmpeg: Ffmpeg, tmp_path: Path, content: bytes) -> None:
    write_flac(speechlike(30), tmp_path / "narration.flac")
    bad = tmp_path / "bad.mp3"
    bad.write_bytes(content)
    with pytest.raises(PermanentFailure, match=r"bad\.mp3"):
        build(any_ffmpeg, tmp_path / "narration.flac", -26, bad, 30 * SAMPLES_PER_FRAME, tmp_path)


def test_white_noise_comes_to_its_loudness_too(any_ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    """The hardest there is: the encoder takes its treble away and overshoots its peaks."""
    noise = (RANDOM.standard_normal(300 * SAMPLES_PER_FRAME) * 0.06 * speechlike(300).astype(bool)).astype(np.float32)
    write_flac(noise, tmp_path / "narration.flac")
    track = build(any_ffmpeg, tmp_path / "narration.flac", -26, music(tmp_path / "music.wav"), len(noise), tmp_path)
    assert track.loudness.integrated == pytest.approx(-14, abs=0.5)
    assert track.loudness.true_peak <= -1.0


def test_silence_has_no_loudness(any_ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    write_flac(np.zeros(30 * SAMPLES_PER_FRAME, dtype=np.float32), tmp_path / "narration.flac")
    with pytest.raises(PermanentFailure, match="silent"):
        build(any_ffmpeg, tmp_path / "narration.flac", -26, None, 30 * SAMPLES_PER_FRAME, tmp_path)
