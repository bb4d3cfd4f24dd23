"""`cm doctor`: what is installed, configured and reachable; what is missing, and how to get it."""

import os
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from cm_assets.models.base import Failure, PermanentFailure
from cm_assets.settings import Settings

NEEDED_SPACE = 2_000_000_000
"""Bytes that some videos in the making need."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        fine: whether videos can be made with it as it is.
        said: what was found, and what to do where it is not fine.
    """

    name: str
    fine: bool
    said: str

    def as_dict(self) -> Mapping[str, object]:
        """For `--json`."""
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; slow things, such as models, are only looked for."""
    looks: list[tuple[str, Callable[[Settings], str]]] = [
        ("home", _home),
        ("ffmpeg", _ffmpeg),
        ("voices", _voices),
        ("footage", _footage),
        ("music", _music),
        ("language model", _model),
        ("platforms", _platforms),
        ("artifacts", _artifacts),
        ("notifications", _notifications),
        ("disk", _disk),
        ("calendar", _calendar),
        ("engine", _engine),
    ]
    findings = []
    for name, look in looks:
        try:
            findings.append(Finding(name, True, look(settings)))
        except (Failure, OSError, ImportError) as error:
            findings.append(Finding(name, False, str(error)))
    return findings


def report(findings: list[Finding]) -> None:
    """Print the findings as a table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 1))
    table.add_column()
    table.add_column()
    table.add_column(overflow="fold")
    for finding in findings:
        mark = "[green]ok[/green]" if finding.fine else "[red]no[/red]"
        table.add_row(mark, finding.name, escape(finding.said))
    Console().print(table, highlight=False)


def _home(settings: Settings) -> str:
    settings.home.mkdir(parents=True, exist_ok=True)
    probe = settings.home / f".doctor.{os.getpid()}"
    probe.touch()
    probe.unlink()
    free = shutil.disk_usage(settings.home).free
    if free < NEEDED_SPACE:
        raise OSError(f"{settings.home}: only {free / 1e9:.1f} GB are free; make room or set CM_HOME")
    return f"{settings.home}, {free / 1e9:.0f} GB free"


def _ffmpeg(settings: Settings) -> str:
    from cm_assets.media.ffmpeg import find

    found = find(settings.ffmpeg)
    return f"{found.version} at {found.path}"


def _voices(settings: Settings) -> str:
    from cm_assets.engines.speech.catalogue import engines

    lines = []
    for engine in engines(settings.voices, kokoro_model=settings.kokoro_model):
        there = engine.voices()
        if there:
            lines.append(f"{engine.name}: {', '.join(there)}")
        else:
            lines.append(f"{engine.name}: not installed; .venv/bin/uv pip install -e '.[{engine.name}]'")
    return "\n".join(lines)


def _footage(settings: Settings) -> str:
    from cm_assets.engines.footage.catalogue import check_names
    from cm_assets.engines.footage.library import read

    check_names(settings.footage)
    own = "none of your own: set CM_FOOTAGE_FOLDER"
    if settings.footage_folder is not None:
        own = f"{len(read(settings.footage_folder))} files in {settings.footage_folder}"
    return f"sources {', '.join(settings.footage)}; {own}"


def _music(settings: Settings) -> str:
    from cm_assets.media.music import MOODS, NONE, known

    own = [name for name in known(settings.music_folder) if name not in MOODS and name != NONE]
    folder = f"; {len(own) // 2} tracks in {settings.music_folder}" if settings.music_folder else ""
    return f"moods {', '.join(sorted(set(MOODS.values())))}{folder}"


def _model(settings: Settings) -> str:
    if not settings.has_language_model:
        return "none, which scenes and source_text do not need; for topics set OPENAI_API_KEY or OPENAI_BASE_URL"
    address = os.environ.get("OPENAI_BASE_URL")
    if not address:
        return f"{settings.openai_model} at OpenAI"
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=2):
            return f"{settings.openai_model} at {parts.scheme}://{parts.hostname}:{port}"
    except OSError:
        raise OSError(f"nothing answers at {parts.hostname}:{port}: check OPENAI_BASE_URL") from None


def _platforms(settings: Settings) -> str:
    from sqlalchemy.exc import SQLAlchemyError

    from cm_assets.engines.platforms.catalogue import connectable
    from cm_assets.resources import vault

    accounts, lines = vault(settings), [f"outbox: {settings.channel}"]
    try:
        for platform in connectable():
            names = accounts.accounts(platform)
            for name in names:
                accounts.get(platform, name)  # it can be opened with the key that is here
            lines.append(f"{platform}: {', '.join(names) or f'not connected; cm connect {platform}'}")
    except SQLAlchemyError:
        raise OSError("the database does not answer: check CM_DATABASE_URL") from None
    return "\n".join(lines)


def _artifacts(settings: Settings) -> str:
    from cm_assets.storage.artifacts import ArtifactStore

    store = ArtifactStore(settings.artifacts, settings.cache)
    return str(store.root)


def _notifications(settings: Settings) -> str:
    from sqlalchemy.exc import SQLAlchemyError

    from cm_assets.engines.notifying.endpoint import Endpoint, known_endpoints
    from cm_assets.storage.database import Database
    from cm_assets.storage.deliveries import Deliveries

    names = known_endpoints(settings.notify)
    if not names:
        return "nobody is told what happens; set CM_NOTIFY"
    try:
        tallies = Deliveries(Database(settings.database)).tallies()
    except SQLAlchemyError:
        raise OSError("the database does not answer: check CM_DATABASE_URL") from None
    lines, fine = [], True
    for name in names:
        endpoint, tally = Endpoint(name), tallies.get(name)
        said = endpoint.wrong() or [endpoint.way]
        fine = fine and not endpoint.wrong()
        if name not in settings.notify:
            said.append("only for requests that name it")
        if tally is not None and (tally.waiting or tally.given_up):
            said.append(f"{tally.waiting} to be told, {tally.given_up} given up")
            said += [f"the last one failed: {tally.last_error}"] if tally.last_error else []
            fine = fine and not tally.is_lost
        lines.append(f"{name}: {'; '.join(said)}")
    if not fine:
        raise PermanentFailure("\n".join(lines))
    return "\n".join(lines)


def _disk(settings: Settings) -> str:
    from sqlalchemy.exc import SQLAlchemyError

    from cm_assets.client import Client
    from cm_assets.models.disk import size

    try:
        use = Client(settings).disk()
    except SQLAlchemyError as error:
        raise OSError(f"the database does not answer ({type(error).__name__}): check CM_DATABASE_URL") from None
    parts = sorted(use.parts.items(), key=lambda part: -part[1])
    shown = ", ".join(f"{name} {size(count)}" for name, count in parts if count)
    bound = f" of CM_MAX_DISK={size(use.limit)}" if use.limit is not None else ""
    said = f"{size(use.used)}{bound} are taken: {shown}; {size(use.free)} are free"
    if use.full:
        raise OSError(f"{said}\n{use.full}")
    return said


def _calendar(settings: Settings) -> str:
    from cm_assets.client import Client

    calendar = Client(settings).calendar(days=366)
    if not calendar.exists:
        return f"none; docs/calendar.md says what {calendar.file} may hold"
    if calendar.all_problems:
        raise PermanentFailure(f"{calendar.file}\n" + "\n".join(calendar.all_problems))
    dates = sorted(date for entry in calendar.entries for date in entry.next)
    return f"{len(calendar.entries)} entries, " + (f"the next due at {dates[0].isoformat()}" if dates else "none due")


def _engine(settings: Settings) -> str:
    from cm_assets.orchestration.home import engine_runs

    return "runs" if engine_runs(settings) else "does not run; cm make starts one, cm up keeps one"
