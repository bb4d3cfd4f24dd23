"""What `cm` prints: within 80 columns on a terminal, whole for a program, and nothing that a terminal would obey."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner

from cm_assets.cli import app
from cm_assets.cli_list import show_list, show_status
from cm_assets.models.status import StageStatus, Status

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]

LONG = "2026-11-24-how-bees-find-their-way-back-to-the-hive-in-the-e-0a1b2c"
STAGES = ("brief", "script", "audio", "background_clips", "render", "published_post/outbox", "published_post/youtube")


def status(**changes: Any) -> Status:
    return Status(
        **{
            "id": LONG[:64],
            "title": "How bees find their way back to the hive in the evening, and what happens to those that do not",
            "state": "producing",
            "stages": [StageStatus(stage=stage, state="running", share=0.4, attempt=2) for stage in STAGES],
            "received_at": datetime.now(UTC) - timedelta(hours=90),
            **changes,
        }
    )


def printed(show: Any, what: Any, *, terminal: bool, width: int = 80) -> list[str]:
    out = io.StringIO()
    show(what, Console(file=out, width=width, force_terminal=terminal, color_system=None))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns_and_cuts_nothing_off(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(app, [*command.split(), "--help"])
    assert done.exit_code == 0
    usage, *lines = done.stdout.splitlines()
    assert usage.startswith("Usage: ")
    assert [line for line in [usage, *lines] if len(line) > 80] == []
    assert [line for line in lines if "..." in line or "dynamic" in line] == []


@pytest.mark.parametrize("state", ["partially_published", "published", "producing"])
@pytest.mark.parametrize("title", ["Bees", "How bees find their way " * 9, "蜂" * 90])
def test_a_list_fits_80_columns(state: str, title: str) -> None:
    shown = printed(show_list, [status(state=state, title=title), status(id="b", priority=1)], terminal=True)
    assert [line for line in shown if cell_len(line) > 80] == []
    assert LONG[:64] in shown
    assert any(line.startswith("  producing published_post") or "youtube 40%" in line for line in shown)
    assert any("priority 1" in line for line in shown)


def test_a_list_on_a_wide_terminal_has_a_line_each() -> None:
    shown = printed(show_list, [status(), status(id="b")], terminal=True, width=140)
    assert len(shown) == 3
    assert all(len(line) <= 140 for line in shown)
    assert shown[1].endswith("…")


def test_a_status_fits_80_columns_and_breaks_between_words() -> None:
    reason = (
        "script: the service refused the request; set OPENAI_API_KEY to a key that may use the model, and try again"
    )
    shown = printed(show_status, status(state="failed", reason=reason, feedback="x" * 30), terminal=True)
    assert [line for line in shown if len(line) > 80] == []
    begin = next(place for place, line in enumerate(shown) if line.startswith("reason"))
    assert " ".join(line[13:] for line in shown[begin : begin + 2]) == reason


def test_an_address_is_never_broken() -> None:
    links = {"video": "/home/somebody with a space/" + "long/" * 40 + "video.mp4"}
    for terminal in (True, False):
        assert f"video        {links['video']}" in printed(show_status, status(links=links), terminal=terminal)


def test_a_program_gets_each_thing_whole_on_a_line_of_its_own() -> None:
    reason = "word " * 100 + "end"
    shown = printed(show_status, status(state="failed", reason=reason), terminal=False)
    assert f"reason       {reason}" in shown
    shown += printed(show_list, [status(state="failed", reason=reason), status(id="b")], terminal=False)
    assert [line for line in shown if line.endswith(" ")] == []
    assert shown[-2].split()[0] == LONG[:64]
    assert shown[-2].endswith(reason)
    assert shown[-1].split()[:3] == ["b", "producing", "youtube"]


@pytest.mark.parametrize("terminal", [True, False])
def test_others_words_do_not_steer_the_terminal(*, terminal: bool) -> None:
    bad = "a\x1b]0;owned\x07\x1b[2J\x9b31m\rb\nc[red]d[/red]\u202e"
    one = status(title=bad, state="failed", reason=bad, feedback=bad, links={"post": bad})
    shown = "".join(printed(show_status, one, terminal=terminal) + printed(show_list, [one], terminal=terminal))
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(shown)
    assert "c[red]d[/red]" in shown
