"""`cm worker` says what it lacks, and steps go through a broker only where there is one."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from cm_assets.definitions import build_defs
from cm_assets.orchestration import broker
from cm_assets.policies import QUEUE_TAG, QUEUES, STAGES
from cm_assets.settings import Settings
from cm_assets_tests.conftest import Home

AMQP = "amqp://cm:open-sesame-4711@127.0.0.1:9//"
POSTGRES = "postgresql://cm@127.0.0.1:9/cm"


def test_the_queues_are_those_of_the_seed_and_one_for_clips() -> None:
    assert QUEUES == ("script", "audio", "clips", "render", "publish")


@pytest.mark.parametrize(
    ("variables", "arguments", "said"),
    [
        ({}, ["--queues", "render,polka"], "--queues: 'polka' unknown; known: script, audio, clips, render, publish"),
        ({}, ["--queues", ","], "--queues: known: script"),
        ({}, [], "CM_BROKER_URL: is not set; give the broker's address"),
        ({broker.BROKER: AMQP}, [], "CM_DATABASE_URL: where CM_BROKER_URL is set, the records must be in Postgres"),
        ({broker.BROKER: "http://cm:open-sesame-4711@there"}, [], "CM_BROKER_URL: must be amqp://"),
        ({broker.BROKER: "amqp://cm:open-sesame-4711@there:polka"}, [], "CM_BROKER_URL: must be amqp://"),
        ({broker.BROKER: "amqp://cm:open-sesame#4711@there"}, [], "CM_BROKER_URL: has a password with / ? or #"),
        ({broker.BROKER: "amqp://cm:47#open-sesame@there"}, [], "CM_BROKER_URL: has a password with / ? or #"),
        ({broker.BROKER: "amqp://cm:47?open-sesame@there"}, [], "CM_BROKER_URL: has a password with / ? or #"),
        ({broker.BROKER: "amqp://cm:47/open-sesame@there"}, [], "CM_BROKER_URL: has a password with / ? or #"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is_shown(
    home: Home, variables: dict[str, str], arguments: list[str], said: str
) -> None:
    home.variables |= variables
    done = home.run("worker", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "open-sesame" not in done.stderr + done.stdout


def test_a_missing_package_is_said(home: Home) -> None:
    program = (
        "import sys; sys.modules['celery'] = None\n"
        "import importlib.util as util; found = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'celery' else found(name, *rest)\n"
        "from cm_assets.cli import main; sys.argv = ['cm', 'worker']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=home.environment() | {broker.BROKER: AMQP, "CM_DATABASE_URL": POSTGRES},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "install cm-assets[celery,postgres,s3]" in done.stderr


def test_its_help_fits(home: Home) -> None:
    done = home.run("worker", "--help")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "script|audio|clips|render|publish" in done.stdout


@pytest.fixture(params=["", AMQP])
def defs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    monkeypatch.setenv(broker.BROKER, request.param)
    return build_defs(Settings(home=tmp_path))


def test_every_job_has_the_broker_s_executor_where_there_is_one_and_else_those_of_before(defs: dg.Definitions) -> None:
    executors = {
        name: defs.resolve_job_def(name).executor_def.name
        for name in ("produce_video", "publish_video", "take_down_video")
    }
    if broker.address():
        assert set(executors.values()) == {"queued"}
    else:
        assert executors == {
            "produce_video": "forked",
            "publish_video": "in_process",
            "take_down_video": "in_process",
        }


def test_every_stage_has_the_queue_of_the_table(defs: dg.Definitions) -> None:
    for assets in defs.resolve_asset_graph().assets_defs:
        if assets.is_executable:
            assert assets.op.tags[QUEUE_TAG] == STAGES[assets.key.to_user_string()].queue
    (node,) = defs.resolve_job_def("take_down_video").nodes
    assert node.definition.tags[QUEUE_TAG] == STAGES["take_down"].queue == "publish"


def test_without_a_run_nothing_imports_celery() -> None:
    code = "import sys, cm_assets.definitions as d; d.defs(); print(sorted({'celery', 'kombu'} & set(sys.modules)))"
    for address in ("", AMQP):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={"PATH": "/usr/bin:/bin", broker.BROKER: address, "CM_DATABASE_URL": POSTGRES},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == "[]"


def test_a_broker_s_address_is_shown_without_who_may_come() -> None:
    assert broker.shown(AMQP) == "amqp://127.0.0.1:9//"
    for torn in ("amqp://cm:47#open-sesame@there", "amqp://cm:open-sesame#47@there", "amqp://cm:47/open-sesame@there"):
        assert broker.shown(torn) == "the address in CM_BROKER_URL"
    assert broker.refusal("rediss://there/0?ssl_cert_reqs=required") == ""


def test_pools_are_those_of_the_table_and_their_limits_are_numbers() -> None:
    assert Settings(pools="render=4; speech=8").pools == {"render": 4, "speech": 8}
    for wrong in ("polka=1", "render=0", "render", "render=many"):
        with pytest.raises(ValueError, match="pools"):
            Settings(pools=wrong)
