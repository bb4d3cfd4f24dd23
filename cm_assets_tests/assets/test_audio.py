"""The asset `audio` in a real instance: who speaks, what is retried, and what people see of it."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cm_assets import policies
from cm_assets.definitions import build_defs
from cm_assets.media.recordings import decode
from cm_assets.models.audio import Audio
from cm_assets.models.base import SAMPLES_PER_FRAME
from cm_assets.partitions import PARTITIONS
from cm_assets.settings import Settings
from cm_assets.storage.artifacts import ArtifactStore
from cm_assets.storage.database import Database
from cm_assets_tests.emulators.speech_server import (
    COME_BACK_TOMORROW,
    RATE_LIMITED,
    SERVER_ERROR,
    SILENT,
    Fault,
    OpenTTSServer,
    SpeechServer,
)

KEY = "sk-test-5ecret5ecret"
SCENES = ("Hello from a small robot.", "It speaks in two scenes, one after the other.")
RETRIES = policies.STAGES["audio"].retries
WORKS = Fault()


@dataclass
class Desk:
    """A home in which narrations are made."""

    folder: Path
    instance: dg.DagsterInstance

    def run(self, *, voices: str = "openai_speech,hibari", **request: Any) -> dg.ExecuteInProcessResult:
        settings = Settings(home=self.folder, voices=voices)
        database = Database(settings.database)
        self.instance.add_dynamic_partitions(PARTITIONS, ["v"])
        try:
            return (
                build_defs(settings)
                .resolve_implicit_global_asset_job_def()
                .execute_in_process(
                    instance=self.instance,
                    partition_key="v",
                    asset_selection=[dg.AssetKey(name) for name in ("brief", "script", "audio")],
                    run_config={
                        "ops": {"brief": {"config": {"request": {"scenes": [{"text": t} for t in SCENES]} | request}}}
                    },
                    raise_on_error=False,
                )
            )
        finally:
            database.dispose()

    def made(self, **options: Any) -> tuple[Audio, dict[str, Any]]:
        """The narration, and what its materialization says."""
        result = self.run(**options)
        assert result.success, said(result)
        (event,) = [
            one for one in result.all_events if one.is_step_materialization and one.asset_key == dg.AssetKey("audio")
        ]
        metadata = event.step_materialization_data.materialization.metadata
        shown = {name: value.value for name, value in metadata.items()}
        store = ArtifactStore(str(self.folder / "artifacts"), self.folder / "cache")
        audio = Audio.model_validate_json(store.read(str(shown["model"])))
        samples = decode(store.read(audio.track.key), longest=100)
        assert len(samples) == audio.frames * SAMPLES_PER_FRAME
        assert [[word.text for word in scene.words] for scene in audio.scenes] == [text.split() for text in SCENES]
        assert -40 < audio.loudness < -10
        checks = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
        assert checks["narration_silence"]
        assert checks["narration_clipping"]
        return audio, shown

    def retries(self) -> int:
        run = self.instance.get_runs(limit=1)[0]
        return len(self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY))

    def log(self) -> str:
        """Everything that the newest run left behind."""
        run = self.instance.get_runs(limit=1)[0]
        return f"{run.run_config}{run.tags}" + "\n".join(map(str, self.instance.all_logs(run.run_id)))

    def warnings(self) -> list[str]:
        run = self.instance.get_runs(limit=1)[0]
        return [entry.user_message for entry in self.instance.all_logs(run.run_id) if entry.level == 30]


def said(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return str(failure.user_failure_data.description if failure.user_failure_data else failure.error)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    quick = dataclasses.replace(policies.STAGES["audio"], first_delay=0.01)
    monkeypatch.setitem(policies.STAGES, "audio", quick)
    for name in ("CM_SPEECH_BASE_URL", "CM_SPEECH_API_KEY", "CM_OPENTTS_URL", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Desk(tmp_path, instance)


def test_a_server_speaks_the_whole_video(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with SpeechServer(kokoro=True, key=KEY) as server:
        monkeypatch.setenv("CM_SPEECH_BASE_URL", server.base_url)
        monkeypatch.setenv("CM_SPEECH_API_KEY", KEY)
        audio, shown = desk.made(voice="openai_speech:bf_emma")
    assert (audio.engine, audio.voice, audio.timing) == ("openai_speech", "bf_emma", "model")
    assert shown["voice"] == "bf_emma (openai_speech)"
    assert shown["characters"] == shown["characters sent to a service"] == sum(map(len, SCENES))
    assert not {"to mend", "passed over"} & shown.keys()
    # What is heard is where it is said to be: the true times of the second scene, after its lead.
    (true, scene) = (server.said[SCENES[1]], audio.scenes[1])
    shift = scene.words[0].start - true.words[0].start
    assert max(abs(a.start - b.start - shift) for a, b in zip(scene.words, true.words, strict=True)) < 0.01
    assert KEY not in desk.log()


def test_a_failure_that_passes_is_retried_and_nothing_is_paid_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SpeechServer([WORKS, SERVER_ERROR, SILENT], kokoro=True) as server:
        monkeypatch.setenv("CM_SPEECH_BASE_URL", server.base_url)
        audio, shown = desk.made()
    assert (audio.engine, audio.voice) == ("openai_speech", "af_heart")
    assert desk.retries() == 2
    assert [one.body["input"] for one in server.asked] == [SCENES[0], SCENES[1], SCENES[1], SCENES[1]]
    assert shown["characters sent to a service"] == len(SCENES[1])


def test_an_engine_that_stays_down_costs_a_back_off_and_not_the_video(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SpeechServer([SERVER_ERROR] * 9, kokoro=True) as server:
        monkeypatch.setenv("CM_SPEECH_BASE_URL", server.base_url)
        audio, shown = desk.made()
    assert (audio.engine, audio.voice) == ("hibari", "af_heart")
    assert desk.retries() == RETRIES
    assert len(server.asked) == 1 + RETRIES
    assert "openai_speech: the speech server answers 500" in shown["passed over"]
    assert "to mend" not in shown
    assert desk.warnings() == []


def test_a_short_wait_is_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with SpeechServer([RATE_LIMITED], kokoro=True) as server:
        monkeypatch.setenv("CM_SPEECH_BASE_URL", server.base_url)
        audio, _ = desk.made()
    assert audio.engine == "openai_speech"
    assert desk.retries() == 1


def test_a_long_wait_is_another_engines_turn(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with SpeechServer([WORKS, COME_BACK_TOMORROW], kokoro=True) as server:
        monkeypatch.setenv("CM_SPEECH_BASE_URL", server.base_url)
        audio, shown = desk.made()
    assert audio.engine == "hibari"
    assert desk.retries() == 0
    assert "asks to wait 80000 s" in shown["passed over"]


def test_a_long_wait_of_the_only_engine_ends_the_run_until_then(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with SpeechServer([COME_BACK_TOMORROW], kokoro=True) as server:
        monkeypatch.setenv("CM_SPEECH_BASE_URL", server.base_url)
        result = desk.run(voices="openai_speech")
    assert not result.success
    assert "asks to wait 80000 s" in said(result)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert "cm/resume_at" in failure.user_failure_data.metadata


def test_a_bad_key_is_seen_by_a_person_and_costs_no_retry(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with SpeechServer(key="another") as server:
        monkeypatch.setenv("CM_SPEECH_BASE_URL", server.base_url)
        monkeypatch.setenv("CM_SPEECH_API_KEY", KEY)
        audio, shown = desk.made()
    assert audio.engine == "hibari"
    assert desk.retries() == 0
    assert "CM_SPEECH_API_KEY" in shown["to mend"]
    assert any("openai_speech did not speak" in line and "CM_SPEECH_API_KEY" in line for line in desk.warnings())
    assert KEY not in desk.log()
    assert server.base_url not in desk.log()


def test_when_nobody_can_speak_the_reasons_of_all_are_given(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with SpeechServer(key="another") as server:
        monkeypatch.setenv("CM_SPEECH_BASE_URL", server.base_url)
        result = desk.run(voices="openai_speech,opentts", voice="openai_speech:nova")
    assert not result.success
    assert "openai_speech: the speech server refuses the key" in said(result)
    assert "opentts: no server is configured" in said(result)


def test_opentts_speaks_another_language_at_its_own_speed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenTTSServer() as server:
        monkeypatch.setenv("CM_OPENTTS_URL", server.address)
        audio, shown = desk.made(voices="hibari,opentts", language="de", speed=1.2)
    assert (audio.engine, audio.voice, audio.timing) == ("opentts", "larynx:thorsten", "estimated")
    assert shown["word times"] == "estimated"
    assert "hibari has no voice for 'de'" in shown["passed over"]
    assert "to mend" not in shown


def test_our_own_limits_are_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_RATES", "openai_speech=1/day")
    with SpeechServer(kokoro=True) as server:
        monkeypatch.setenv("CM_SPEECH_BASE_URL", server.base_url)
        audio, shown = desk.made()
    assert audio.engine == "hibari"
    assert len(server.asked) == 1
    assert "openai_speech may be called 1 in a day" in shown["passed over"]
