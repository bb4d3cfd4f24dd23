"""`cm upload`, and a whole video of an uploaded clip and a recorded narration."""

import json
import re
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from cm_assets.engines.speech.hibari import Hibari
from cm_assets.media.ffmpeg import find
from cm_assets.models.audio import Speech
from cm_assets_tests.conftest import Home, Mp4, until
from cm_assets_tests.emulators.speech_server import encoded

SCENES = (
    "Robots water the garden at night while everyone sleeps.",
    "They follow a map that the farmer drew in spring.",
    "By morning the beds are wet, and the robots are back in their shed.",
)
BEFORE = 0.8


def upload(home: Home, content: bytes, name: str) -> dict[str, object]:
    path = home.folder / name
    path.write_bytes(content)
    done = home.run("upload", path, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_command_says_what_it_is_and_how_to_name_it(home: Home, mp4: Mp4) -> None:
    first = upload(home, mp4(), "my clip.mp4")
    assert (first["kind"], first["name"], first["width"]) == ("clip", "my clip.mp4", 270)
    again = home.run("upload", home.folder / "my clip.mp4", "--name", "another")
    assert again.stdout == f"upload:{first['id']}\n"
    assert "it was here already" in again.stderr
    assert "a scene's clip" in again.stderr
    listed = home.run("uploads", "--json")
    assert json.loads(listed.stdout) == {"uploads": [first]}
    assert f"upload:{first['id']}" in home.run("uploads").stdout
    assert "1 of " in home.run("doctor").stdout
    request = home.request(scenes=[{"text": "Look.", "clip": f"upload:{first['id']}"}], id="v")
    assert home.run("submit", request).returncode == 0
    refused = home.run("uploads", "--remove", str(first["id"]))
    assert refused.returncode == 2
    assert "v names it" in refused.stderr
    assert home.run("cancel", "v").returncode == 0
    assert home.run("uploads", "--remove", f"upload:{first['id']}", "--json").stdout.strip() == '{\n  "uploads": []\n}'


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("x.mp4", b"a text", "is no video"),
        ("x.wav", b"RIFF\0\0\0\0WAVEfmt ", "x.wav "),
        ("missing.mp4", None, "no file"),
    ],
)
def test_a_wrong_file_is_bad_input(home: Home, name: str, content: bytes | None, why: str) -> None:
    if content is not None:
        (home.folder / name).write_bytes(content)
    done = home.run("upload", home.folder / name)
    assert done.returncode == 2
    assert why in done.stderr
    assert done.stdout == ""


def test_a_file_over_the_bound_is_bad_input(home: Home, mp4: Mp4) -> None:
    home.variables["CM_UPLOAD_BYTES"] = "1kB"
    (home.folder / "x.mp4").write_bytes(mp4())
    done = home.run("upload", home.folder / "x.mp4")
    assert done.returncode == 2
    assert "CM_UPLOAD_BYTES" in done.stderr


def seconds(stamp: str) -> float:
    hours, minutes, rest = stamp.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))


@pytest.mark.live
def test_a_video_of_ones_own_clip_and_voice(home: Home, mp4: Mp4, tmp_path: Path) -> None:
    # Slower than the voice would speak, so that nobody mistakes the one for the other.
    spoken = Hibari().speak(" ".join(SCENES), voice="af_heart", speed=0.8, language="en")
    lead = np.zeros(round(BEFORE * spoken.sample_rate), np.float32)
    take = Speech(np.concatenate([lead, spoken.samples * 0.2]), spoken.sample_rate, (), "model")
    narration = upload(home, encoded(take, "mp3"), "take.mp3")["id"]
    clip = upload(home, mp4(540, 960, 4, "blue"), "blue.mp4")["id"]
    scenes = [{"text": text} | ({"clip": f"upload:{clip}"} if place == 1 else {}) for place, text in enumerate(SCENES)]
    status = home.made(home.request(scenes=scenes, narration=f"upload:{narration}", id="mine"))
    assert status["state"] == "published"

    # Each caption comes when its first word is said; the track begins a tenth of a second before the first.
    cues = re.findall(r"(\d\S+) --> (\d\S+)\n(.+?)\n", home.artifact(status["links"]["srt"]).read_text())
    words = [word for _, _, text in cues for word in text.split()]
    assert words == " ".join(SCENES).split()
    true = [word.start - spoken.words[0].start + 0.1 for word in spoken.words]
    place = 0
    for start, _, text in cues:
        assert seconds(start) == pytest.approx(true[place], abs=0.12), text
        place += len(text.split())

    # What is heard is the recording, but for the limiter and two codecs.
    heard, made = tmp_path / "heard.wav", str(home.artifact(status["links"]["video"]))
    command = [str(find().path), "-v", "error", "-i", made, "-ac", "1", "-ar", "24000"]
    subprocess.run([*command, "-c:a", "pcm_f32le", "-f", "f32le", str(heard)], check=True)
    sound = np.fromfile(heard, "<f4")
    part = spoken.samples[24_000:72_000]
    match = np.correlate(sound[: 24_000 * 5], part, "valid")
    best = int(np.argmax(np.abs(match)))
    piece = sound[best : best + len(part)]
    assert np.dot(piece, part) / np.linalg.norm(piece) / np.linalg.norm(part) > 0.9

    # In the second scene the clip is seen, in the others it is not.
    def blueness(at: float) -> float:
        arguments = ["-v", "error", "-ss", f"{at:.2f}", "-i", made, "-frames:v", "1"]
        scale = ["-vf", "crop=iw:ih/3:0:0,scale=8:8", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        done = subprocess.run([str(find().path), *arguments, *scale], capture_output=True, check=True)
        picture = np.frombuffer(done.stdout, np.uint8).reshape(-1, 3).astype(float)
        return float(np.mean(picture[:, 2] - picture[:, 0]))

    second = true[len(SCENES[0].split())]
    assert blueness(second + 1) > 150
    assert blueness(1.0) < 150


@pytest.mark.live
def test_uploads_that_nobody_uses_expire_where_videos_do(home: Home, mp4: Mp4) -> None:
    old = upload(home, mp4(), "old.mp4")["id"]
    fresh = upload(home, mp4(colour="green"), "fresh.mp4")["id"]
    moment = (datetime.now(UTC) - timedelta(days=3)).replace(tzinfo=None)
    with sqlite3.connect(home.path / "cm.sqlite") as connection:
        connection.execute("update uploads set used_at = ? where id = ?", (str(moment), old))
    connection.close()
    home.variables["CM_KEEP_DAYS"] = "2"
    up = home.start("up", "--port", "0")

    def left() -> list[str]:
        return [one["id"] for one in json.loads(home.run("uploads", "--json").stdout)["uploads"]]

    assert until(lambda: left() == [fresh], 90, every=1)
    assert len(list((home.path / "artifacts" / "_uploads").rglob("*.mp4"))) == 1
    up.terminate()
    up.wait(30)
