"""Voices behind HTTP: what is sent, what is taken of what comes back, and each fault with its class."""

import itertools
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cm_assets.engines.speech import remote
from cm_assets.engines.speech.openai_speech import LIMIT, OpenAISpeech
from cm_assets.engines.speech.opentts import OpenTTS
from cm_assets.engines.speech.setup import Setup
from cm_assets.media.narration import measure
from cm_assets.models.audio import Speech
from cm_assets.models.base import AskedToWait, Failure, PermanentFailure, TransientFailure
from cm_assets_tests.emulators.speech_server import (
    BROKEN_OFF,
    BUSY,
    COME_BACK_TOMORROW,
    CUT_FILE,
    DRIP,
    EMPTY,
    ENDLESS,
    JSON_ERROR,
    NO_QUOTA,
    NO_TIMES,
    OVERLOADED,
    PAGE,
    RATE_LIMITED,
    RESET,
    SERVER_ERROR,
    SILENT,
    TOO_LONG,
    TRUNCATED,
    WRONG_TYPE,
    Fault,
    OpenTTSServer,
    SpeechServer,
    slow,
)
from cm_assets_tests.engines.sound import COFFEE, onsets

KEY = "sk-test-5ecret5ecret"
TEXT = "Every morning, millions of people reach for coffee. It cost $1,000 once!"
GERMAN = "Jeden Morgen greifen Millionen Menschen zum Kaffee. Aber warum?"


def openai(server: SpeechServer, **options: object) -> OpenAISpeech:
    return OpenAISpeech(Setup(**({"speech_url": server.base_url, "speech_key": KEY} | options)))  # type: ignore[arg-type]


def opentts(server: SpeechServer, **options: object) -> OpenTTS:
    return OpenTTS(Setup(**({"opentts_url": server.address} | options)))  # type: ignore[arg-type]


def say(engine: OpenAISpeech | OpenTTS, text: str = TEXT, **wishes: object) -> Speech:
    voice = "nova" if isinstance(engine, OpenAISpeech) else "larynx:harvard"
    return engine.speak(text, **({"voice": voice, "speed": 1.0, "language": "en"} | wishes))  # type: ignore[arg-type]


def errors(speech: Speech, true: Speech, scale: float = 1.0) -> np.ndarray:
    return np.abs([a.start - b.start * scale for a, b in zip(speech.words, true.words, strict=True)])


def holds(speech: Speech, text: str) -> None:
    """What every speech must be, whoever spoke it."""
    assert speech.samples.dtype == np.float32
    assert speech.samples.ndim == 1
    assert np.max(np.abs(speech.samples)) <= 1
    assert [word.text for word in speech.words] == text.split()
    assert all(a.end <= b.start + 1e-6 for a, b in itertools.pairwise(speech.words))
    assert speech.words[-1].end <= len(speech.samples) / speech.sample_rate + 1e-6


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.5])
def test_openai_speaks_and_its_words_are_found_in_the_recording(speed: float) -> None:
    with SpeechServer(key=KEY) as server:
        speech = say(openai(server), COFFEE, speed=speed)
    holds(speech, COFFEE)
    true = server.said[COFFEE]
    assert speech.timing == "alignment"
    assert len(speech.samples) / speech.sample_rate == pytest.approx(len(true.samples) / true.sample_rate, abs=0.01)
    assert np.median(errors(speech, true)) < 0.03
    assert np.percentile(errors(speech, true), 95) < 0.1
    # Listened to by numbers: it is as loud as what was sent, and its first sound is the first word.
    sent = np.interp(np.arange(len(speech.samples)) / 2, np.arange(len(true.samples)), true.samples).astype(np.float32)
    assert measure(speech.samples)[0] == pytest.approx(measure(sent)[0], abs=0.5)
    assert onsets(speech.samples, speech.sample_rate)[0] == pytest.approx(speech.words[0].start, abs=0.06)


def test_a_call_is_as_the_service_documents_it() -> None:
    with SpeechServer(key=KEY, models=["gpt-4o-mini-tts"]) as server:
        say(openai(server, speech_model="gpt-4o-mini-tts"), speed=1.25)
    (asked,) = server.asked
    assert asked.path == "/v1/audio/speech"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "model": "gpt-4o-mini-tts",
        "input": TEXT,
        "voice": "nova",
        "speed": 1.25,
        "response_format": "flac",
    }


def test_kokoro_fastapi_tells_when_its_words_are_spoken() -> None:
    with SpeechServer(kokoro=True) as server:
        speech = say(openai(server), COFFEE, voice="af_bella")
    holds(speech, COFFEE)
    assert speech.timing == "model"
    assert np.max(errors(speech, server.said[COFFEE])) < 0.002
    (asked,) = server.asked
    assert asked.path == "/dev/captioned_speech"
    assert asked.body["stream"] is False
    assert "lang_code" not in asked.body


def test_numbers_and_marks_in_kokoros_words_are_the_scripts_words() -> None:
    with SpeechServer(kokoro=True) as server:
        speech = say(openai(server))
    holds(speech, TEXT)
    assert speech.timing == "model"


@pytest.mark.parametrize("kokoro", [False, True])
def test_a_server_without_word_times_is_asked_for_them_once(kokoro: bool) -> None:
    with SpeechServer(kokoro=kokoro, captions=False) as server:
        engine = openai(server)
        assert say(engine, TEXT).timing == "alignment"
        assert say(engine, "And again.").timing == "alignment"
    assert server.seen.count("/dev/captioned_speech") == 1
    assert server.seen.count("/v1/audio/speech") == 2


def test_a_captioned_answer_without_times_is_aligned() -> None:
    with SpeechServer([NO_TIMES], kokoro=True) as server:
        speech = say(openai(server))
    holds(speech, TEXT)
    assert speech.timing == "alignment"


@pytest.mark.parametrize(
    "body", [b"null", b"[]", b'{"audio": 5}', b'{"audio": "!"}', b"<html>", b'{"audio": "", "timestamps": [1]}']
)
def test_an_odd_captioned_answer_leaves_the_plain_endpoint(body: bytes) -> None:
    with SpeechServer([Fault(body=body, kind="application/json")], kokoro=True) as server:
        assert say(openai(server)).timing == "alignment"
    assert [one.path for one in server.asked] == ["/dev/captioned_speech", "/v1/audio/speech"]


def test_another_language_has_times_that_are_said_to_be_estimated() -> None:
    with SpeechServer(kokoro=True) as server:
        server.faults.append(NO_TIMES)
        speech = say(openai(server), GERMAN, language="fr", voice="ff_siwis")
        holds(speech, GERMAN)
        assert server.asked[0].body["lang_code"] == "f"
    assert speech.timing == "estimated"
    assert np.median(errors(speech, server.said[GERMAN])) < 0.15


@pytest.mark.parametrize("formats", [["mp3"], ["wav"], ["mp3", "wav"]])
def test_a_server_that_lacks_a_format_is_asked_for_the_next(formats: list[str]) -> None:
    with SpeechServer(formats=formats, endless_header=True) as server:
        engine = openai(server)
        holds(say(engine), TEXT)
        say(engine, "And again.")
    assert server.asked[-1].body["response_format"] == formats[0]
    assert len(server.asked) == (3 if "mp3" in formats else 4)


def test_a_long_text_is_spoken_in_passages_that_the_service_takes() -> None:
    text = " ".join(f"Sentence {number} is neither short nor long, as most of them are." for number in range(40))
    with SpeechServer(key=KEY) as server:
        speech = say(openai(server), text)
    assert LIMIT < len(text) < 2 * LIMIT
    holds(speech, text)
    assert all(len(one.body["input"]) <= LIMIT for one in server.asked)
    assert len(server.asked) == 2
    first = server.said[server.asked[0].body["input"]]
    border = len(server.asked[0].body["input"].split())
    # The second passage's times are moved by the first one's length and the pause.
    assert speech.words[border].start == pytest.approx(len(first.samples) / 24_000 + 0.26, abs=0.25)


def test_a_long_sentence_of_a_script_without_blanks_may_take_its_time() -> None:
    chinese = "每天早晨都有数百万人伸手去拿咖啡可是它为什么有用呢" * 8
    assert remote.longest(chinese, 1.0) > len(chinese) / 4.0, "four syllables a second"
    assert remote.longest("Hi.", 1.0) < 6


def test_a_text_with_nothing_to_say_costs_nothing() -> None:
    with SpeechServer() as server:
        speech = say(openai(server), "🎉 🚀")
    assert server.asked == []
    assert not speech.samples.any()
    assert [word.text for word in speech.words] == ["🎉", "🚀"]


@pytest.mark.parametrize("speed", [0.7, 1.0, 1.6])
def test_opentts_speaks_at_any_speed_and_its_words_move_with_the_sound(speed: float) -> None:
    with OpenTTSServer() as server:
        speech = say(opentts(server), COFFEE, speed=speed)
    holds(speech, COFFEE)
    true = server.said[COFFEE]
    assert len(speech.samples) / 48_000 == pytest.approx(len(true.samples) / true.sample_rate / speed, rel=0.01)
    assert np.median(errors(speech, true, 1 / speed)) < 0.03
    assert np.percentile(errors(speech, true, 1 / speed), 95) < 0.1


def test_opentts_is_asked_as_it_documents() -> None:
    with OpenTTSServer() as server:
        say(opentts(server), "Fish & chips? 100% yes; a=b#c")
    (asked,) = server.asked
    assert asked.path == "/api/tts"
    assert dict(asked.body) == {"voice": "larynx:harvard", "text": "Fish & chips? 100% yes; a=b#c"}
    assert "authorization" not in asked.headers


def test_opentts_takes_long_texts_in_addresses_that_fit() -> None:
    text = " ".join(f"Sätze Nummer {number} über Öl, Äpfel und süße Größen." for number in range(60))
    with OpenTTSServer() as server:
        speech = say(opentts(server), text, language="de", voice="larynx:thorsten")
    holds(speech, text)
    assert len(server.asked) > 1
    assert speech.timing == "estimated"


def test_opentts_names_a_voice_that_it_does_not_have() -> None:
    with OpenTTSServer() as server:
        with pytest.raises(PermanentFailure, match="OpenTTS has no 'larynx:nobody'"):
            say(opentts(server), voice="larynx:nobody")
        assert server.asked == []


def test_the_voices_of_the_servers_are_listed_and_described() -> None:
    with SpeechServer(kokoro=True) as server:
        listed = openai(server).offered()
    assert listed["af_bella"] == "American English, female"
    assert listed["em_alex"] == "Spanish, male"
    with SpeechServer() as server:
        assert openai(server).offered() == {}
    with OpenTTSServer() as server:
        offered = opentts(server).offered()
    assert offered["larynx:thorsten"] == "German, male, thorsten"
    assert list(offered)[-1].startswith("espeak:"), "the natural ones first"


@pytest.mark.parametrize(
    "body",
    ["null", "[]", '{"voices": null}', '{"voices": {"a": 1}}', '{"voices": [null, 5, {}, "", {"id": 7}]}', "<html>"],
)
def test_an_odd_list_of_voices_is_no_list(body: str) -> None:
    with SpeechServer(listed=body) as server:
        assert openai(server).offered() == {}
    with OpenTTSServer(listed=body) as server, pytest.raises(PermanentFailure, match="CM_OPENTTS_URL"):
        opentts(server).offered()


def test_voices_are_listed_by_id_too() -> None:
    with SpeechServer(listed='{"voices": [{"id": "bm_x", "name": "X"}, {"name": "zz"}]}') as server:
        assert openai(server).offered() == {"bm_x": "British English, male", "zz": "any language"}


BOTH = pytest.mark.parametrize(("kind", "engine_of"), [(SpeechServer, openai), (OpenTTSServer, opentts)])
Engine = OpenAISpeech | OpenTTS


@pytest.mark.parametrize(
    ("fault", "failure", "says"),
    [
        (RATE_LIMITED, AskedToWait, "asks to wait 0.2 s"),
        (COME_BACK_TOMORROW, AskedToWait, "asks to wait 80000 s"),
        (BUSY, TransientFailure, "429"),
        (SERVER_ERROR, TransientFailure, "500"),
        (OVERLOADED, TransientFailure, "503"),
        (RESET, TransientFailure, "broke the connection off"),
        (CUT_FILE, TransientFailure, "cannot be read|lacks its last"),
        (TRUNCATED, TransientFailure, "cut off"),
        (BROKEN_OFF, TransientFailure, "ends in the middle of a sound"),
        (SILENT, TransientFailure, "silence"),
        (JSON_ERROR, TransientFailure, "is no sound"),
        (PAGE, TransientFailure, "is no sound"),
        (EMPTY, TransientFailure, "no sound|nothing"),
        (TOO_LONG, TransientFailure, "more than|longer than"),
        (ENDLESS, TransientFailure, "more than"),
        (Fault(403, "no"), PermanentFailure, "403|CM_SPEECH_MODEL"),
        (Fault(302, "elsewhere", headers={"Location": "http://127.0.0.1:1/"}), PermanentFailure, "302"),
        (Fault(400, "what?"), PermanentFailure, "what?"),
    ],
)
@BOTH
def test_every_fault_has_a_class(
    kind: type[SpeechServer], engine_of: Callable[..., Engine], fault: Fault, failure: type[Failure], says: str
) -> None:
    with kind([fault]) as server:
        engine = engine_of(server)
        with pytest.raises(Failure, match=says) as failed:
            say(engine)
        assert type(failed.value) is failure
        assert len(server.asked) == 1, "retries are the stage's"
        holds(say(engine), TEXT)


@BOTH
def test_a_recording_is_judged_by_its_bytes_and_not_by_its_type(
    kind: type[SpeechServer], engine_of: Callable[..., Engine]
) -> None:
    with kind([WRONG_TYPE]) as server:
        holds(say(engine_of(server)), TEXT)


@BOTH
def test_a_silent_server_is_given_up(kind: type[SpeechServer], engine_of: Callable[..., Engine]) -> None:
    with kind([slow(20)]) as server, pytest.raises(TransientFailure, match="did not answer in time"):
        say(engine_of(server, patience=0.5))


@BOTH
def test_a_deaf_server_is_found_out_when_it_is_asked_for_its_voices(
    kind: type[SpeechServer], engine_of: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "LISTING", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf, kind() as server:
        nobody = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        engine = engine_of(server, speech_url=nobody, opentts_url=nobody, patience=1000)
        with pytest.raises(TransientFailure, match="did not answer in time"):
            engine.offered()


@BOTH
def test_a_server_that_drips_is_given_up(
    kind: type[SpeechServer], engine_of: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "LONGEST_CALL", 0.5)
    with kind([DRIP]) as server, pytest.raises(TransientFailure, match="did not finish"):
        say(engine_of(server))


@BOTH
def test_nobody_at_all_is_transient(kind: type[SpeechServer], engine_of: Callable[..., Engine]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with kind() as server:
            engine = engine_of(server, speech_url=nobody, opentts_url=nobody)
        with pytest.raises(TransientFailure, match="cannot be reached"):
            say(engine)


@pytest.mark.parametrize(
    ("fault", "says"),
    [(NO_QUOTA, "no credit"), (Fault(402, "pay"), "no credit"), (Fault(404, "no model"), "CM_SPEECH_MODEL")],
)
def test_what_a_person_must_mend_says_how(fault: Fault, says: str) -> None:
    with SpeechServer([fault]) as server, pytest.raises(PermanentFailure, match=says):
        say(openai(server))


def test_a_key_that_is_refused_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with SpeechServer(key="another") as server:
        with pytest.raises(PermanentFailure, match="CM_SPEECH_API_KEY") as refused:
            say(openai(server))
        with pytest.raises(PermanentFailure, match="CM_SPEECH_API_KEY"):
            openai(server).reach()
    repeats = SpeechServer([Fault(400, f"cannot read 'Bearer {KEY}'")])
    with repeats as server, pytest.raises(PermanentFailure, match=r"\*\*\*") as shown:
        say(openai(server))
    assert KEY not in f"{refused.value}{shown.value}{caplog.text}{Setup(speech_key=KEY)}"


@pytest.mark.parametrize("url", ["localhost:8880/v1", "ftp://here/v1", "http://", "http://[::1", "a b"])
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(PermanentFailure, match="CM_SPEECH_BASE_URL"):
        say(OpenAISpeech(Setup(speech_url=url)))
    with pytest.raises(PermanentFailure, match="CM_OPENTTS_URL"):
        say(OpenTTS(Setup(opentts_url=url)))


def test_what_is_not_configured_says_how_to() -> None:
    with pytest.raises(PermanentFailure, match="CM_SPEECH_BASE_URL"):
        say(OpenAISpeech(Setup()))
    with pytest.raises(PermanentFailure, match="CM_OPENTTS_URL"):
        say(OpenTTS(Setup()))


@BOTH
def test_what_was_spoken_is_not_paid_for_again(
    kind: type[SpeechServer], engine_of: Callable[..., Engine], tmp_path: Path
) -> None:
    counted: list[str] = []
    with kind([Fault(), SERVER_ERROR]) as server:
        first = engine_of(server, cache=tmp_path, before_call=counted.append)
        spoken = say(first, TEXT)
        with pytest.raises(TransientFailure):
            say(first, "And again.")
        another = engine_of(server, cache=tmp_path, before_call=counted.append)
        again = say(another, TEXT)
        say(another, "And again.")
        calls = [one.body.get("input") or one.body.get("text") for one in server.asked]
    assert calls == [TEXT, "And again.", "And again."]
    assert np.array_equal(spoken.samples, again.samples)
    assert spoken.words == again.words
    assert counted == [first.name] * 3
    assert (first.sent, another.sent) == (len(TEXT), len("And again."))


def test_what_is_no_longer_whole_is_asked_for_again(tmp_path: Path) -> None:
    with SpeechServer() as server:
        engine = openai(server, cache=tmp_path)
        say(engine)
        for path in tmp_path.iterdir():
            path.write_bytes(path.read_bytes()[:500])
        holds(say(engine), TEXT)
    assert len(server.asked) == 2


def test_what_is_bad_is_not_kept(tmp_path: Path) -> None:
    with SpeechServer([SILENT]) as server:
        engine = openai(server, cache=tmp_path)
        with pytest.raises(TransientFailure):
            say(engine)
        assert list(tmp_path.iterdir()) == []
        holds(say(engine), TEXT)


def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "KEPT", 150_000)
    with SpeechServer() as server:
        engine = openai(server, cache=tmp_path)
        for number in range(4):
            say(engine, f"{TEXT} {number}")
    assert 0 < sum(path.stat().st_size for path in tmp_path.iterdir()) <= 150_000


def test_an_engine_that_has_no_call_left_says_when(tmp_path: Path) -> None:
    def no_room(service: str) -> None:
        raise AskedToWait(f"{service} may be called twice a day", 40_000)

    with SpeechServer() as server:
        with pytest.raises(AskedToWait, match="openai_speech may be called"):
            say(openai(server, before_call=no_room))
        assert server.asked == []
