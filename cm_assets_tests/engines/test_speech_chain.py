"""Who speaks: by the request, the settings and what is reachable; always one voice for the whole narration."""

import time
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from cm_assets.engines.speech.casting import DEFAULT, is_known, order, split, voice_of
from cm_assets.engines.speech.catalogue import engines
from cm_assets.engines.speech.chain import Narrated, tell
from cm_assets.engines.speech.hibari import Hibari
from cm_assets.engines.speech.setup import Setup
from cm_assets.models.audio import Speech
from cm_assets.models.base import AskedToWait, Failure, PermanentFailure, TransientFailure
from cm_assets.models.protocols import Voice
from cm_assets_tests.emulators.speech_server import (
    COME_BACK_TOMORROW,
    RATE_LIMITED,
    SERVER_ERROR,
    Fault,
    OpenTTSServer,
    SpeechServer,
)

TEXTS = ("Hello from a small robot.", "It speaks in two scenes.")
NAMES = ("openai_speech", "opentts", "hibari")


def never(_failure: Failure) -> bool:
    return False


def told(
    chain: tuple[Voice, ...],
    *,
    voice: str = DEFAULT,
    language: str = "en",
    preferred: Mapping[str, str] | None = None,
    comes_back: Callable[[Failure], bool] = never,
    texts: tuple[str, ...] = TEXTS,
    time_limit: float = 60,
) -> Narrated:
    return tell(
        texts,
        chain,
        voice=voice,
        speed=1.0,
        language=language,
        preferred=preferred or {},
        progress=lambda _share: None,
        comes_back=comes_back,
        time_limit=time_limit,
    )


class Stub:
    """An engine with voices that are only names; it raises what it is given."""

    def __init__(self, name: str, voices: Mapping[str, str], failure: Failure | None = None) -> None:
        self.name = name
        self._voices = voices
        self._failure = failure
        self.heard: list[str] = []

    def voices(self) -> Mapping[str, str]:
        return self._voices

    def speak(self, text: str, *, voice: str, speed: float, language: str) -> Speech:
        self.heard.append(voice)
        if self._failure is not None:
            raise self._failure
        return Hibari().speak(text, voice="af_heart", speed=speed, language="en")


LOCAL = {"af_heart": "American English, female, warm", "bm_george": "British English, male, deep"}
REMOTE = {
    "nova": "any language, female",
    "onyx": "any language, male, deep",
    "fable": "any language, male, British",
}
SPANISH = {"em_alex": "Spanish, male", "ef_dora": "Spanish, female", "af_heart": "American English, female"}


@pytest.mark.parametrize(
    ("voice", "engine", "name"),
    [
        ("af_heart", None, "af_heart"),
        ("hibari:af_heart", "hibari", "af_heart"),
        ("opentts:larynx:harvard", "opentts", "larynx:harvard"),
        ("larynx:harvard", "opentts", "larynx:harvard"),
        ("openai_speech:a:b", "openai_speech", "a:b"),
        ("kokoro:am_michael", None, "kokoro:am_michael"),
        ("hibari:", None, "hibari:"),
    ],
)
def test_a_voice_may_name_its_engine(voice: str, engine: str | None, name: str) -> None:
    assert split(voice, NAMES) == (engine, name)


@pytest.mark.parametrize(
    ("voice", "known"),
    [
        ("af_heart", True),
        ("nova", True),
        ("hibari:af_heart", True),
        ("hibari:nova", False),
        ("openai_speech:anything", True),
        ("opentts:larynx:harvard", True),
        ("larynx:harvard", True),
        ("am_adam", False),
        ("elevenlabs_voice", False),
        ("kokoro:af_heart", False),  # an engine that is not in use, and no system of OpenTTS's
    ],
)
def test_what_a_request_may_ask_for_is_known_without_a_call(voice: str, known: bool) -> None:
    voices = {"hibari": ("af_heart",), "openai_speech": None, "opentts": None}
    assert is_known(voice, voices, ["af_heart", "nova"]) is known


def test_without_servers_only_installed_voices_are_known() -> None:
    assert is_known(DEFAULT, {"openai_speech": None}, []), "the server's own stands in for it"
    for voice in ("openai_speech:nova", "larynx:harvard", "hibari:nobody", "hibari:", ":af_heart", "nova"):
        assert not is_known(voice, {"hibari": ("af_heart",)}, ["af_heart"])


@pytest.mark.parametrize(
    ("voice", "names"),
    [
        (DEFAULT, ["first", "second", "third"]),  # the order of the settings
        ("bm_george", ["second", "first", "third"]),  # whoever has it
        ("third:nova", ["third", "first", "second"]),  # whom the request names
        ("unheard", ["first", "second", "third"]),
    ],
)
def test_engines_are_tried_in_order(voice: str, names: list[str]) -> None:
    chain = [Stub("first", REMOTE), Stub("second", LOCAL), Stub("third", REMOTE)]
    assert [engine.name for engine in order(voice, chain)] == names


@pytest.mark.parametrize(
    ("voices", "wanted", "language", "preferred", "spoken"),
    [
        (LOCAL, "af_heart", "en", "", "af_heart"),
        (REMOTE, "af_heart", "en", "", "nova"),  # by gender
        (REMOTE, "bm_george", "en-GB", "", "fable"),  # by gender and accent
        (REMOTE, "bm_george", "en", "onyx", "onyx"),  # as the settings say
        (LOCAL, "af_heart", "en", "bm_george", "af_heart"),  # it has the one that is wanted
        (REMOTE, "remote:custom", "en", "onyx", "custom"),  # the request named it
        (SPANISH, "af_heart", "es-MX", "", "ef_dora"),  # nobody reads Spanish with an English voice
        (SPANISH, "bm_george", "es", "", "em_alex"),
        ({"one": "hoarse"}, "af_heart", "de", "", "one"),  # says nothing of languages
    ],
)
def test_an_engine_speaks_with_the_nearest_voice(
    voices: Mapping[str, str], wanted: str, language: str, preferred: str, spoken: str
) -> None:
    engine = Stub("remote", voices)
    assert voice_of(engine, wanted, language, preferred, [engine, Stub("local", LOCAL)]) == spoken


def test_an_engine_without_a_voice_for_the_language_is_passed_over() -> None:
    spanish = Stub("spanish", {"em_alex": "Spanish, male"})
    result = told((Stub("english", LOCAL), spanish), language="es")
    assert (result.engine, result.voice) == ("spanish", "em_alex")
    assert result.passed_over[0].reason == "language: english has no voice for 'es'"
    assert not result.passed_over[0].to_mend


def test_the_first_engine_speaks() -> None:
    with SpeechServer() as server:
        result = told(engines(["openai_speech", "hibari"], Setup(speech_url=server.base_url)))
    assert (result.engine, result.voice, result.passed_over) == ("openai_speech", "nova", ())


def test_an_engine_that_is_not_installed_is_not_tried() -> None:
    assert [engine.name for engine in order(DEFAULT, [Stub("absent", {}), Stub("there", LOCAL)])] == ["there"]


def test_a_server_that_lists_its_voices_gets_one_of_them() -> None:
    with SpeechServer(kokoro=True) as server:
        setup = Setup(speech_url=server.base_url)
        assert told(engines(["openai_speech"], setup)).voice == "af_heart"
        assert told(engines(["openai_speech"], setup), language="es").voice == "ef_dora"
    with OpenTTSServer() as server:
        setup = Setup(opentts_url=server.address)
        assert told(engines(["opentts"], setup)).voice == "larynx:harvard"
        assert told(engines(["opentts"], setup), language="de").voice == "larynx:thorsten"
        assert told(engines(["opentts"], setup), voice="espeak:en").voice == "espeak:en"


def test_what_passes_is_left_to_the_stage_as_long_as_it_comes_back() -> None:
    with SpeechServer([SERVER_ERROR, SERVER_ERROR], kokoro=True) as server:
        chain = engines(["openai_speech", "hibari"], Setup(speech_url=server.base_url))
        with pytest.raises(TransientFailure, match="500"):
            told(chain, comes_back=lambda failure: isinstance(failure, TransientFailure))
        result = told(chain)
    assert result.engine == "hibari"
    (other,) = result.passed_over
    assert (other.engine, other.to_mend) == ("openai_speech", False)
    assert "500" in other.reason


@pytest.mark.parametrize("place", [1, 2])
def test_another_engine_speaks_the_whole_narration(place: int) -> None:
    """A server that fails at its second scene must not leave its first one in the track."""
    with SpeechServer([*[Fault()] * (place - 1), SERVER_ERROR], kokoro=True) as server:
        result = told(engines(["openai_speech", "hibari"], Setup(speech_url=server.base_url)))
    alone = told(engines(["hibari"], Setup()))
    assert result.engine == "hibari"
    assert np.array_equal(result.narration.samples, alone.narration.samples)


def test_a_short_wait_is_waited_for_and_a_long_one_is_not() -> None:
    def short(failure: Failure) -> bool:
        return isinstance(failure, AskedToWait) and failure.seconds < 60

    with SpeechServer([RATE_LIMITED, COME_BACK_TOMORROW], kokoro=True) as server:
        chain = engines(["openai_speech", "hibari"], Setup(speech_url=server.base_url))
        with pytest.raises(AskedToWait):
            told(chain, comes_back=short)
        result = told(chain, comes_back=short)
    assert result.engine == "hibari"
    assert not result.passed_over[0].to_mend


def test_what_a_person_must_mend_is_told_as_such() -> None:
    with SpeechServer(key="right") as server:
        setup = Setup(speech_url=server.base_url, speech_key="wrong")
        result = told(engines(["openai_speech", "opentts", "hibari"], setup))
    assert result.engine == "hibari"
    assert [(other.engine, other.to_mend) for other in result.passed_over] == [
        ("openai_speech", True),
        ("opentts", True),
    ]
    assert "CM_SPEECH_API_KEY" in result.passed_over[0].reason
    assert "CM_OPENTTS_URL" in result.passed_over[1].reason


def test_a_slow_engine_is_passed_over_when_others_can_speak() -> None:
    class Slow(Stub):
        def speak(self, text: str, *, voice: str, speed: float, language: str) -> Speech:
            time.sleep(0.1)
            return super().speak(text, voice=voice, speed=speed, language=language)

    slow = Slow("slow", LOCAL)
    result = told((slow, Stub("quick", LOCAL)), time_limit=0.1)
    assert result.engine == "quick"
    assert result.passed_over[0].reason == "slow is too slow"
    assert told((slow,), time_limit=0.1).engine == "slow", "nobody else can"


WAIT, LONG_WAIT = AskedToWait("later", 300), AskedToWait("tomorrow", 80_000)
PASSES, STAYS = TransientFailure("down"), PermanentFailure("refused")


@pytest.mark.parametrize(
    ("failures", "kind", "says"),
    [
        ([PASSES], TransientFailure, "down"),
        ([STAYS, STAYS], PermanentFailure, "a: refused; b: refused"),
        ([STAYS, PASSES], TransientFailure, "a: refused; b: down"),
        ([LONG_WAIT, WAIT], AskedToWait, "a: tomorrow; b: later"),
        ([PASSES, LONG_WAIT], AskedToWait, "a: down; b: tomorrow"),
    ],
)
def test_when_nobody_can_the_failure_that_passes_soonest_stands_for_all(
    failures: list[Failure], kind: type[Failure], says: str
) -> None:
    chain = tuple(Stub(name, LOCAL, failure) for name, failure in zip("ab", failures, strict=False))
    with pytest.raises(Failure, match=says) as failed:
        told(chain)
    assert type(failed.value) is kind
    if len(failures) == 2 and isinstance(failed.value, AskedToWait):
        assert failed.value.seconds == min(one.seconds for one in failures if isinstance(one, AskedToWait))


def test_a_text_that_nobody_can_speak_is_the_texts_failure() -> None:
    chain = (Stub("first", LOCAL), Stub("second", LOCAL))
    with pytest.raises(PermanentFailure, match="nothing in the script can be spoken"):
        told(chain, texts=("🎉",))
    assert chain[1].heard == []


def test_no_engine_at_all_says_what_to_set() -> None:
    with pytest.raises(PermanentFailure, match="CM_VOICES"):
        told(())
