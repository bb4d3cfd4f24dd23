"""What is used by what is set, and what is said about nonsense."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cm_assets.cli import app
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


TAKES_NONSENSE = {name for name, field in Settings.model_fields.items() if field.annotation in {str, Path, Path | None}}
"""Fields that any text may be for. Which voices, sources and endpoints there are, others know."""


@pytest.mark.parametrize("value", ["nonsense!", "-1", "1e999", "nan", "\N{SNOWMAN}"])
@pytest.mark.parametrize(
    "name", sorted(set(Settings.model_fields) - TAKES_NONSENSE - {"voices", "footage", "notify", "serve_hosts"})
)
def test_nonsense_is_refused_by_its_variable_and_with_what_is_expected(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"CM_{name.upper()}"
    monkeypatch.setenv(variable, value)
    done = CliRunner().invoke(app, ["list"])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert re.match(rf"cm: {variable}: .*\b(must be|say it as in|give) ", line)
    assert not re.search("Input|Value error|parse|valid ", line)


@pytest.mark.parametrize("value", ["a b", "http://example.com", "example.com:80", "-a", "a/b", "*", "\N{SNOWMAN}"])
def test_a_host_is_a_name_alone(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_SERVE_HOSTS", f"shorts.example.com,{value}")
    done = CliRunner().invoke(app, ["list"])
    assert done.exit_code == 2
    assert done.stderr.startswith("cm: CM_SERVE_HOSTS: must be names of hosts")


@pytest.mark.parametrize("name", ["artifacts_url", "pexels_url", "pixabay_url", "tiktok_url", "youtube_url"])
def test_an_address_of_no_kind_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CM_{name.upper()}", "s3x://bucket/folder")
    done = CliRunner().invoke(app, ["list"])
    assert done.exit_code == 2
    assert re.match(rf"cm: CM_{name.upper()}: .*must be ", done.stderr)


@pytest.mark.parametrize(
    "url", ["/mnt/here", "s3://bucket/folder", "file:///mnt/there", "memory://x", "simplecache::s3://b"]
)
def test_stores_of_known_kinds_are_taken(url: str) -> None:
    assert Settings(artifacts_url=url).artifacts == url


def test_all_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_MAX_DISK", "much")
    monkeypatch.setenv("CM_NOTIFY", "A,B,c")
    done = CliRunner().invoke(app, ["list"])
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == ["CM_NOTIFY", "CM_MAX_DISK"]


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_variable_that_is_empty_is_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(f"CM_{name.upper()}", raising=False)
    usual = Settings()
    monkeypatch.setenv(f"CM_{name.upper()}", "")
    assert Settings() == usual


def test_a_password_in_a_wrong_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_DATABASE_URL", "mysql://me:hunter2@host/db")
    done = CliRunner().invoke(app, ["list"])
    assert done.exit_code == 2
    assert "hunter2" not in done.output
