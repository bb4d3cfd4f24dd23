"""The client and the engine that it starts."""

import time

import pytest

from cm_assets.client import Client
from cm_assets.models.base import TransientFailure
from cm_assets.orchestration import home as homes
from cm_assets.settings import Settings
from cm_assets_tests.conftest import Home


def test_an_engine_that_was_killed_is_not_taken_for_a_ready_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_HOME", str(home.path))
    monkeypatch.setenv("DAGSTER_HOME", str(home.path))
    client = Client(Settings(home=home.path))
    ready = homes.engine_folder(client.settings) / "ready"
    ready.touch()
    client._starts = [time.monotonic()] * 99  # no engine is to be started here
    with pytest.raises(TransientFailure, match="stay up"):
        client.ensure_engine()
    assert not ready.exists()
    assert not homes.engine_runs(client.settings)


def test_the_mark_of_a_living_engine_is_left_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_HOME", str(home.path))
    monkeypatch.setenv("DAGSTER_HOME", str(home.path))
    client = Client(Settings(home=home.path))
    ready = homes.engine_folder(client.settings) / "ready"
    ready.touch()
    engine = homes.engine_lock(client.settings)
    assert engine.take()
    client.ensure_engine()
    assert ready.exists()
    engine.release()
