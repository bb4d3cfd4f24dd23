"""The app over a home of its own, without an engine."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cm_assets.settings import Settings
from cm_assets.web.app import create_app
from cm_assets.web.house import House

SCENES: dict[str, Any] = {"scenes": [{"text": "Robots water the garden.", "search_terms": ["garden"]}]}


class Site:
    """A served home, and a browser or program in front of it."""

    def __init__(self, settings: Settings) -> None:
        app = create_app(settings)
        self.house: House = app.state.house
        self.http = TestClient(app, base_url="http://127.0.0.1:8080", raise_server_exceptions=False)

    def token(self, *scopes: Any) -> dict[str, str]:
        """Headers with a new token."""
        return {"Authorization": f"Bearer {self.house.tokens.create('somebody', scopes)}"}


@pytest.fixture
def site_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """Makes a site with these settings."""
    monkeypatch.chdir(tmp_path)
    for variable in ("CM_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / ".cm"))
    made: list[Site] = []

    def make(**settings: Any) -> Site:
        values: dict[str, Any] = {"home": tmp_path / ".cm", "min_free": 0} | settings
        site = Site(Settings(**values))
        made.append(site)
        return site

    yield make
    for site in made:
        site.http.close()
        site.house.client.database.dispose()


@pytest.fixture
def site(site_with: Callable[..., Site]) -> Site:
    """A site with the usual settings."""
    return site_with()
