"""Which footage sources are used, by what is set."""

from pathlib import Path

import pytest

from cm_assets.lifecycle.catalogue import catalogue
from cm_assets.models.base import PermanentFailure
from cm_assets.settings import RATES, Settings


def test_without_keys_nothing_needs_a_network(tmp_path: Path) -> None:
    assert Settings(home=tmp_path).footage_sources == ("illustrated",)
    assert Settings(home=tmp_path, footage_folder=tmp_path).footage_sources == ("folder", "illustrated")


def test_a_key_is_enough_for_its_site_to_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXABAY_API_KEY", "k")
    assert Settings(home=tmp_path).footage_sources == ("pixabay", "illustrated")
    monkeypatch.setenv("PEXELS_API_KEY", "k")
    both = Settings(home=tmp_path, footage_folder=tmp_path)
    assert both.footage_sources == ("folder", "pexels", "pixabay", "illustrated")


def test_what_is_named_is_used_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEXELS_API_KEY", "k")
    assert Settings(home=tmp_path, footage="illustrated").footage_sources == ("illustrated",)
    assert Settings(home=tmp_path, footage="pixabay, pexels").footage_sources == ("pixabay", "pexels")


def test_a_request_is_refused_where_a_named_site_has_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path, footage="pexels,pixabay,illustrated")
    with pytest.raises(PermanentFailure, match="set PEXELS_API_KEY and PIXABAY_API_KEY"):
        catalogue(settings)
    monkeypatch.setenv("PEXELS_API_KEY", "k")
    monkeypatch.setenv("PIXABAY_API_KEY", "k")
    catalogue(settings)


def test_calls_can_be_limited(tmp_path: Path) -> None:
    rates = Settings(home=tmp_path, rates="pexels=180/hour;pixabay=50/minute").rates
    assert rates == {**RATES, "pexels": ((180, 3600.0),), "pixabay": ((50, 60.0),)}


def test_an_unknown_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure, match="unsplash is unknown; known: pexels, pixabay, folder, illustrated"):
        catalogue(Settings(home=tmp_path, footage="unsplash"))
