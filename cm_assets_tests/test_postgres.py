"""A home whose records are in Postgres: Dagster's, the requests, the rates."""

import subprocess

import pytest

from cm_assets_tests.conftest import Home, until
from cm_assets_tests.emulators.openai_server import OpenAIServer
from cm_assets_tests.postgres import new_database
from cm_assets_tests.test_make import LONG, ONCE, materializations, slots_taken, unfinished

pytestmark = pytest.mark.postgres

PASSWORD = "open-sesame-4711"


@pytest.fixture
def stored(home: Home, postgres: str) -> Home:
    address = new_database(postgres)
    # The server trusts everybody on this machine; the password is there to be found where it must not be.
    home.variables["CM_DATABASE_URL"] = address.replace("//cm@", f"//cm:{PASSWORD}@")
    return home


def test_a_video_is_made_and_its_home_holds_no_password(stored: Home) -> None:
    with OpenAIServer() as server:
        stored.variables |= {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-of-nobody"}
        stored.variables |= {"CM_OPENAI_MODEL": "test-model", "CM_RATES": "openai=5/minute"}
        (stored.folder / "topic.yaml").write_text("topic: why the sea is salty\ntarget_seconds: 15\n")
        made = stored.made(stored.folder / "topic.yaml")
    assert made["state"] == "published"
    assert stored.told(made["id"])["links"] == made["links"]
    assert not list(stored.path.rglob("*.sqlite"))
    assert not list((stored.path / "dagster").rglob("*.db"))
    found = subprocess.run(["grep", "-rl", PASSWORD, str(stored.folder)], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    assert "1 videos" in stored.run("reindex").stderr


def test_after_a_kill_of_everything_the_next_make_resumes(stored: Home) -> None:
    request = stored.request(scenes=LONG)
    process = stored.start("make", request)
    assert until(lambda: "render: " in stored.log(), 120, 0.1), stored.log()
    stored.kill_everything(process)
    assert stored.made(request)["state"] == "published"
    assert materializations(stored) == ONCE
    assert slots_taken(stored) == 0
    assert unfinished(stored) == 0
