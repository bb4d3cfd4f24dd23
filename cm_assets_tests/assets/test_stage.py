"""How a stage fails: by its class, at its time limit, on a full disk; and what it leaves behind."""

import dataclasses
import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psutil
import pytest
import time_machine

from cm_assets import policies
from cm_assets.assets.stage import Results, Stage, Stages, policy_of, results
from cm_assets.lifecycle.worklog import ATTEMPT_TAG, VIDEO_TAG, Ended, WorkLog
from cm_assets.media.ffmpeg import find
from cm_assets.models.base import AskedToWait, PermanentFailure, TransientFailure
from cm_assets.models.script import Scene, Script
from cm_assets.partitions import PARTITIONS
from cm_assets.storage.database import Database, Step
from cm_assets_tests.conftest import called
from cm_assets_tests.storage.test_database import NOW, ROW

UP_FOR_RETRY = dg.DagsterEventType.STEP_UP_FOR_RETRY
MADE = Script(title="A title", scenes=(Scene(text="Hello."),), writer="test")


@dataclasses.dataclass
class Shop:
    """A place where one stage runs."""

    folder: Path
    instance: dg.DagsterInstance
    database: Database

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def run(
        self,
        body: Callable[[Stage], None],
        video: str = "a-video",
        tags: dict[str, str] | None = None,
        after: Callable[[], None] = lambda: None,
    ) -> tuple[dg.ExecuteInProcessResult, int]:
        """Materialize `script` with this body; the result and how often the body was called.

        What comes `after` happens when Dagster knows of the materialization.
        """
        calls = 0

        @dg.asset(**policy_of("script") | {"check_specs": None})
        def script(context: dg.AssetExecutionContext, stages: dg.ResourceParam[Stages]) -> Results:
            nonlocal calls
            calls += 1
            with stages.run(context) as stage:
                body(stage)
                yield from results(MADE, {})
            after()

        self.instance.add_dynamic_partitions(PARTITIONS, [video])
        result = dg.materialize(
            [script],
            partition_key=video,
            instance=self.instance,
            resources={"stages": Stages(self.database, self.work), "io_manager": dg.mem_io_manager},
            raise_on_error=False,
            tags=tags,
        )
        return result, calls


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    quick = dataclasses.replace(policies.STAGES["script"], first_delay=0.01)
    monkeypatch.setitem(policies.STAGES, "script", quick)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Shop(tmp_path, instance, Database(f"sqlite:///{tmp_path / 'cm.sqlite'}"))


def said(result: dg.ExecuteInProcessResult) -> str:
    """What the failure tells a person."""
    failures = [event for event in result.all_events if event.is_step_failure]
    assert len(failures) == 1
    metadata = failures[0].step_failure_data
    shown = metadata.user_failure_data
    return str(shown.description) if shown is not None else str(metadata.error)


def test_what_is_made_is_stored_and_the_work_folder_goes(shop: Shop) -> None:
    seen: list[Path] = []

    def body(stage: Stage) -> None:
        (stage.folder / "half").write_text("made")
        seen.append(stage.folder)
        stage.progress(0.4)

    result, calls = shop.run(body)
    assert result.success
    assert calls == 1
    assert not seen[0].exists()
    assert shop.database.progress(["a-video"]) == {"a-video": {"script": Step(1.0)}}


def test_a_run_whose_place_was_taken_does_no_work(shop: Shop) -> None:
    shop.database.add(replace(ROW, id="a-video"))
    stored = shop.database.get("a-video")
    assert stored is not None
    assert shop.database.claim(stored, NOW, NOW, lost=False) == 1
    assert shop.run(lambda _stage: None, tags={ATTEMPT_TAG: "1"})[0].success
    stored = shop.database.get("a-video")
    assert stored is not None
    assert shop.database.claim(stored, NOW, NOW, lost=False) == 2
    made: list[Stage] = []
    result, _ = shop.run(made.append, tags={ATTEMPT_TAG: "1"})
    assert not result.success
    assert made == []
    assert said(result) == "another run has taken its place"


def test_nobodys_work_is_lost_because_nobody_can_be_told_how_far_it_is(shop: Shop) -> None:
    def body(stage: Stage) -> None:
        # A real error of a real server that is not there.
        stage._database = Database("postgresql+psycopg://cm@127.0.0.1:1/nowhere")
        stage.progress(0.5)

    assert shop.run(body)[0].success


def test_a_transient_failure_is_tried_again_as_often_as_the_table_says(shop: Shop) -> None:
    def body(_stage: Stage) -> None:
        raise TransientFailure("the service is not up")

    result, calls = shop.run(body)
    assert not result.success
    assert calls == 1 + policies.STAGES["script"].retries
    assert said(result) == "the service is not up"


def test_a_transient_failure_that_passes_costs_nothing_more(shop: Shop) -> None:
    attempts: list[int] = []

    def body(_stage: Stage) -> None:
        attempts.append(1)
        if len(attempts) < 2:
            raise TransientFailure("the service is not up")

    result, calls = shop.run(body)
    assert result.success
    assert calls == 2


def test_what_a_run_has_made_it_does_not_make_again(shop: Shop) -> None:
    def die() -> None:
        raise MemoryError

    result, calls = shop.run(lambda _: None, after=die)
    assert calls == 2
    assert said(result) == "script was made when its process ended; another run goes on"
    assert len(result.asset_materializations_for_node("script")) == 1
    (end,) = WorkLog(shop.instance).failures(result.dagster_run)
    assert end.resume_at is not None
    assert end.resume_at <= datetime.now(UTC)


def test_a_permanent_failure_is_not_tried_again(shop: Shop) -> None:
    def body(_stage: Stage) -> None:
        raise PermanentFailure("the text is empty: give some")

    result, calls = shop.run(body)
    assert calls == 1
    assert said(result) == "the text is empty: give some"


def test_asked_to_wait_comes_back(shop: Shop) -> None:
    attempts: list[float] = []

    def body(_stage: Stage) -> None:
        attempts.append(time.monotonic())
        if len(attempts) == 1:
            raise AskedToWait("slow down", 0.3)

    result, _ = shop.run(body)
    assert result.success
    assert attempts[1] - attempts[0] >= 0.3


def test_waits_and_failures_have_budgets_of_their_own(shop: Shop) -> None:
    story = [AskedToWait("slow down", 0.01), TransientFailure("one"), AskedToWait("slow down", 0.01)]
    told = iter([*story, TransientFailure("two")])

    def body(_stage: Stage) -> None:
        for what in told:
            raise what

    result, calls = shop.run(body)
    assert policies.STAGES["script"].retries == 2
    assert result.success
    assert calls == 5


def test_a_body_knows_which_failures_bring_it_back(shop: Shop) -> None:
    known: list[dict[str, bool]] = []

    def body(stage: Stage) -> None:
        kinds = {
            "passes": TransientFailure("x"),
            "stays": PermanentFailure("x"),
            "short": AskedToWait("x", 1),
            "long": AskedToWait("x", 3600),
        }
        known.append({name: stage.comes_back(failure) for name, failure in kinds.items()})
        raise TransientFailure("not yet")

    _, calls = shop.run(body)
    # It is told the truth: it was called again exactly as often as it said.
    assert [one["passes"] for one in known] == [True] * (calls - 1) + [False]
    assert all((one["stays"], one["short"], one["long"]) == (False, True, False) for one in known)


def test_failures_between_waits_are_counted(shop: Shop) -> None:
    told = iter([TransientFailure("one"), AskedToWait("slow down", 0.01), TransientFailure("two"), OSError("three")])

    def body(_stage: Stage) -> None:
        raise next(told)

    result, calls = shop.run(body)
    assert not result.success
    assert calls == 4
    assert said(result) == "OSError: three"


def test_a_long_wait_ends_the_run_and_says_until_when(shop: Shop) -> None:
    def body(_stage: Stage) -> None:
        raise AskedToWait("the daily cap is reached", 3600)

    before = time.time()
    result, calls = shop.run(body)
    assert calls == 1
    assert not result.success
    assert said(result) == "the daily cap is reached"
    (ended,) = WorkLog(shop.instance).failures(result.dagster_run)
    assert ended.stage == "script"
    assert ended.resume_at is not None
    assert 3500 < ended.resume_at.timestamp() - before < 3700


def away(_stage: Stage) -> None:
    """A body whose service is away."""
    raise TransientFailure("the service is away")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> float:
    """Gives the stage that the shop runs a day of patience; in seconds."""
    policy = dataclasses.replace(policies.STAGES["script"], retries=1, patience=policies.DAY)
    monkeypatch.setitem(policies.STAGES, "script", policy)
    return policy.patience


def run_again(shop: Shop, attempt: int, body: Callable[[Stage], None] = away) -> dg.ExecuteInProcessResult:
    """Run the stage as the so-manyth run of its video that the intake launches."""
    if attempt == 1:
        shop.database.add(replace(ROW, id="a-video"))
    stored = shop.database.get("a-video")
    assert stored is not None
    assert shop.database.claim(stored, NOW, NOW, lost=False) == attempt
    return shop.run(body, tags={ATTEMPT_TAG: str(attempt), VIDEO_TAG: "a-video"})[0]


def ended(shop: Shop, result: dg.ExecuteInProcessResult) -> Ended:
    """How the run's one stage ended."""
    (one,) = WorkLog(shop.instance).failures(result.dagster_run)
    return one


@pytest.mark.usefixtures("patient")
def test_a_patient_stage_waits_without_a_run_for_a_service_that_is_away(shop: Shop) -> None:
    pauses = []
    for attempt, minutes_later in enumerate([0, 1, 3, 60, 720], 1):
        with time_machine.travel(timedelta(minutes=minutes_later), tick=True):
            one = ended(shop, run_again(shop, attempt))
            assert one.resume_at is not None
            assert one.reason == "the service is away"
            pauses.append(one.resume_at.timestamp() - time.time())
    expected = [60, 60, 180, 3600, 6 * 3600]
    assert pauses == [pytest.approx(pause, rel=0.15) for pause in expected]


def test_a_patient_stage_gives_up_in_the_end_and_begins_anew_when_asked(shop: Shop, patient: float) -> None:
    run_again(shop, 1)
    with time_machine.travel(timedelta(seconds=patient + 60), tick=True):
        one = ended(shop, run_again(shop, 2))
        assert one.resume_at is None
        assert one.reason == "the service is away; that has lasted for 1 days"
        # Whoever asks for it then has all of the patience again.
        assert ended(shop, run_again(shop, 3)).resume_at is not None


@pytest.mark.usefixtures("patient")
def test_patience_is_for_services_not_for_mistakes(shop: Shop) -> None:
    def body(_stage: Stage) -> None:
        raise ValueError("odd")

    assert ended(shop, run_again(shop, 1, body)).resume_at is None


@pytest.mark.usefixtures("patient")
def test_a_patient_stage_that_is_late_goes_on_in_another_run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        policies.STAGES, "script", dataclasses.replace(policies.STAGES["script"], retries=3, time_limit=0.2)
    )
    calls = []

    def body(_stage: Stage) -> None:
        calls.append(1)
        time.sleep(10)

    assert ended(shop, run_again(shop, 1, body)).resume_at is not None
    assert len(calls) == 1


def test_what_is_not_known_to_be_permanent_is_tried_again(shop: Shop) -> None:
    def body(_stage: Stage) -> None:
        raise ValueError("odd")

    result, calls = shop.run(body)
    assert calls == 3
    assert said(result) == "ValueError: odd"


def test_delays_grow_and_differ(shop: Shop) -> None:
    moments: list[float] = []

    def body(_stage: Stage) -> None:
        moments.append(time.monotonic())
        raise TransientFailure("not yet")

    shop.run(body)
    events = shop.instance.all_logs(shop.instance.get_runs(limit=1)[0].run_id, of_type=UP_FOR_RETRY)
    delays = [entry.dagster_event.step_retry_data.seconds_to_wait for entry in events if entry.dagster_event]
    assert len(delays) == 2
    assert all(delay is not None for delay in delays)
    first, second = (delay or 0 for delay in delays)
    assert 0.005 <= first <= 0.015
    assert 0.01 <= second <= 0.03


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_in_words(shop: Shop, number: int) -> None:
    def body(_stage: Stage) -> None:
        raise OSError(number, "No space")

    result, _ = shop.run(body)
    assert "the disk is full" in said(result)


def test_the_time_limit_ends_the_work_and_what_it_started(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    short = dataclasses.replace(policies.STAGES["script"], time_limit=0.5, retries=0)
    monkeypatch.setitem(policies.STAGES, "script", short)
    ffmpeg = find()

    def body(_stage: Stage) -> None:
        ffmpeg.run(["-re", "-f", "lavfi", "-i", "anullsrc", "-t", "100", "-f", "null", "-"])

    start = time.monotonic()
    result, calls = shop.run(body)
    assert time.monotonic() - start < 20
    assert calls == 1
    assert "took longer than its" in said(result)
    assert not called("ffmpeg", psutil.Process().children(recursive=True))


def test_no_engine_can_catch_its_time_limit(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    short = dataclasses.replace(policies.STAGES["script"], time_limit=0.3, retries=0)
    monkeypatch.setitem(policies.STAGES, "script", short)

    def body(_stage: Stage) -> None:
        try:
            time.sleep(30)
        except Exception as error:
            raise TransientFailure("the fallback's own story") from error

    result, _ = shop.run(body)
    assert "took longer than its" in said(result)


def test_a_partition_that_is_no_video_id_is_refused_before_anything(shop: Shop) -> None:
    result, _ = shop.run(lambda _stage: None, video="../etc")
    assert "is no video id" in said(result)
    assert not shop.work.exists()
