"""Recordings from elsewhere: decoded whole, or refused with the reason."""

import io
import struct

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm_assets.engines.speech.hibari import Hibari
from cm_assets.media.narration import resampled
from cm_assets.media.recordings import decode, stretched
from cm_assets.models.audio import Speech
from cm_assets.models.base import PermanentFailure
from cm_assets_tests.emulators.speech_server import FORMATS, encoded
from cm_assets_tests.engines.sound import onsets, pitch


@pytest.fixture(scope="module")
def speech() -> Speech:
    return Hibari().speak("Read this back to me, please.", voice="af_heart", speed=1, language="en")


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"pcm"}))
def test_every_format_comes_out_as_the_same_sound_at_the_same_time(speech: Speech, name: str) -> None:
    samples = decode(encoded(speech, name), longest=10)
    wanted = resampled(speech.samples, speech.sample_rate)
    assert samples.dtype == np.float32
    assert abs(len(samples) - len(wanted)) < 0.1 * 48_000
    assert np.max(np.abs(samples)) <= 1
    heard, told = onsets(samples, 48_000), onsets(wanted, 48_000)
    assert abs(heard[0] - told[0]) < (0.05 if name == "aac" else 0.012), "ADTS does not say how long its encoder waits"


def test_a_wav_whose_writer_did_not_know_its_size_is_read_to_its_end(speech: Speech) -> None:
    known, unknown = (decode(encoded(speech, "wav", endless_header=endless), longest=10) for endless in (False, True))
    assert np.array_equal(known, unknown)


@pytest.mark.parametrize("samples", [0, 2**36 - 1])
def test_a_flac_whose_writer_did_not_know_its_length_is_read_to_its_end(speech: Speech, samples: int) -> None:
    content = bytearray(encoded(speech, "flac"))
    known = decode(bytes(content), longest=10)
    # STREAMINFO ends with 36 bits of samples before the checksum (RFC 9639, 8.2).
    content[21] = content[21] & 0xF0 | samples >> 32
    content[22:26] = (samples & 0xFFFFFFFF).to_bytes(4)
    assert np.array_equal(decode(bytes(content), longest=10), known)


@pytest.mark.parametrize(
    ("name", "why"), [("flac", "cannot be read"), ("wav", "lacks its last"), ("mp3", "ends after")]
)
def test_half_a_file_is_refused(speech: Speech, name: str, why: str) -> None:
    content = encoded(speech, name)
    with pytest.raises(PermanentFailure, match=why):
        decode(content[: len(content) // 2], longest=10)


def test_a_recording_that_is_too_long_is_not_read_to_its_end(speech: Speech) -> None:
    with pytest.raises(PermanentFailure, match="longer than 1 s"):
        decode(encoded(speech, "flac"), longest=1)


def test_samples_that_are_no_numbers_are_refused() -> None:
    samples = struct.pack("<4f", 0.1, float("nan"), float("inf"), 0.2) * 1000
    head = (
        b"RIFF"
        + struct.pack("<I", 36 + len(samples))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 3, 1, 24_000, 96_000, 4, 32)
    )
    with pytest.raises(PermanentFailure, match="no numbers"):
        decode(head + b"data" + struct.pack("<I", len(samples)) + samples, longest=10)


def test_both_channels_are_heard_in_one() -> None:
    data = io.BytesIO()
    with av.open(data, "w", format="wav") as file:
        stream = file.add_stream("pcm_s16le", rate=8_000, layout="stereo")
        both = np.zeros((1, 16_000), np.int16)
        both[0, 1::2] = (8_000 * np.sin(np.arange(8_000) / 5)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(both, format="s16", layout="stereo")
        frame.sample_rate = 8_000
        file.mux(stream.encode(frame))
    samples = decode(data.getvalue(), longest=10)
    assert len(samples) == 48_000
    assert 0.05 < np.max(samples) < 0.25


@pytest.mark.parametrize(
    "content",
    [b"", b"<!doctype html>", b"#EXTM3U\nhttp://127.0.0.1/a.ts\n", b"ffconcat version 1.0\nfile /etc/passwd\n"],
)
def test_what_is_no_sound_is_refused_by_its_first_bytes(content: bytes) -> None:
    with pytest.raises(PermanentFailure, match="is no sound"):
        decode(content, longest=10)


@given(
    st.sampled_from([b"RIFF\x00\x00\x00\x00WAVE", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf1"]),
    st.binary(max_size=400),
)
def test_noise_with_the_head_of_a_sound_is_refused_and_not_a_crash(head: bytes, rest: bytes) -> None:
    try:
        samples = decode(head + rest, longest=10)
    except PermanentFailure:
        return
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.0, 1.3, 2.0])
def test_another_speed_is_another_length_at_the_same_pitch(speech: Speech, speed: float) -> None:
    samples = resampled(speech.samples, speech.sample_rate)
    played = stretched(samples, speed)
    assert len(played) / 48_000 == pytest.approx(len(samples) / 48_000 / speed, abs=0.06)
    tone = (0.4 * np.sin(2 * np.pi * 220 * np.arange(96_000) / 48_000)).astype(np.float32)
    assert pitch(stretched(tone, speed), 48_000) == pytest.approx(220, rel=0.02)
