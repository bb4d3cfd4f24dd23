"""`cm doctor`: what is installed, configured and reachable; what is missing, and how to get it."""

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cm_assets.models.base import AskedToWait, Failure, PermanentFailure
from cm_assets.orchestration import broker
from cm_assets.settings import STOCK_KEYS, Settings

if TYPE_CHECKING:
    from cm_assets.models.protocols import VoiceServer
    from cm_assets.storage.credentials import Credentials

NEEDED_SPACE = 2_000_000_000
"""Bytes that some videos in the making need."""

PATIENCE = 3.0
"""Seconds for all voice servers together, and for all accounts."""

MOST_VOICES = 20
"""Voices of an engine that are named."""


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
        ("uploads", _uploads),
        ("disk", _disk),
        ("calendar", _calendar),
        ("engine", _engine),
    ]
    if broker.address():
        looks += [("broker", _broker), ("workers", _workers)]
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
    from cm_assets.engines.speech.catalogue import ENGINES
    from cm_assets.models.protocols import VoiceServer
    from cm_assets.resources import speakers

    # Made as the runs make them: the same variables, the same choice of key and address.
    engines = speakers(settings).process_config_and_initialize().engines(patience=PATIENCE)
    servers = [engine for engine in engines if isinstance(engine, VoiceServer)]
    asked = _at_once({engine.name: partial(_server, engine) for engine in servers})
    lines, fine = [], True
    for engine in engines:
        if engine.name in asked:
            reached, said = asked[engine.name]
            fine = fine and reached
        elif there := engine.voices():
            said = _some(there)
        else:
            said = f"not installed; .venv/bin/uv pip install -e '.[{engine.name}]'"
        lines.append(f"{engine.name}: {said}")
    if others := [name for name in ENGINES if name not in settings.voices]:
        lines.append(f"not in CM_VOICES: {', '.join(others)}; docs/voices.md says how to use them")
    if not fine:
        raise PermanentFailure("\n".join(lines))
    return "\n".join(lines)


def _server(engine: "VoiceServer") -> str:
    where = engine.reach()
    return f"{where}; {_some(engine.offered()) or 'it does not list its voices'}"


def _some(voices: Collection[str]) -> str:
    """The voices, and how many more there are."""
    more = f" and {len(voices) - MOST_VOICES} more" if len(voices) > MOST_VOICES else ""
    return ", ".join(name[:60] for name in list(voices)[:MOST_VOICES]) + more


def _at_once(questions: Mapping[str, Callable[[], str]], *, to_the_end: bool = False) -> dict[str, tuple[bool, str]]:
    """Ask all at the same time and wait for none longer than `PATIENCE`: whether each is fine, and what it said.

    In threads of their own that nobody waits for: looking a name up may take long, and cannot be cut short. Where a
    question must come to its end, the process lives until it has.
    """
    answers = dict.fromkeys(questions, (False, f"no answer within {PATIENCE:g} s"))
    until = time.monotonic() + PATIENCE

    def ask(name: str) -> None:
        try:
            answers[name] = (True, questions[name]())
        except Failure as failure:
            answers[name] = (False, str(failure))

    threads = [threading.Thread(target=ask, args=(name,), daemon=not to_the_end) for name in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return dict(answers)


def _footage(settings: Settings) -> str:
    from cm_assets.engines.footage.catalogue import check_names
    from cm_assets.engines.footage.library import read

    check_names(settings.footage)
    lines, fine = [], True
    used = settings.footage_sources
    for name in (*used, *(other for other in ("folder", *STOCK_KEYS) if other not in used)):
        said = "needs nothing"
        if name == "folder":
            said = "none of your own; set CM_FOOTAGE_FOLDER"
            if settings.footage_folder is not None:
                said = f"{len(read(settings.footage_folder))} files in {settings.footage_folder}"
        elif name in STOCK_KEYS:
            said, works = _stock_site(settings, name)
            fine = fine and works
        lines.append(f"{name}: {said}")
    if not fine:
        raise PermanentFailure("\n".join(lines))
    return "\n".join(lines)


def _stock_site(settings: Settings, name: str) -> tuple[str, bool]:
    """What there is to say of a stock site, and whether it works as far as it is wanted."""
    key, url = STOCK_KEYS[name], {"pexels": settings.pexels_url, "pixabay": settings.pixabay_url}[name]
    if name not in settings.footage_sources:
        unnamed = "" if not settings.footage else f", and name {name} in CM_FOOTAGE"
        return f"not used; set {key} (free of charge, docs/footage.md){unnamed}", True
    if not os.environ.get(key):
        return f"has no key: set {key}, or take {name} out of CM_FOOTAGE", False
    try:
        return f"has a key; {_answers(url)}", True
    except OSError:
        return f"has a key, but nothing answers at {urlsplit(url).hostname}", False


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
        return f"{settings.openai_model} at OpenAI; {_costs(settings)}"
    try:
        return f"{settings.openai_model} at {_answers(address)}; {_costs(settings)}"
    except ConnectionError as error:
        raise OSError(f"{error}: check OPENAI_BASE_URL") from None


def _answers(address: str) -> str:
    """Where somebody takes connections, for people: without what an address may hold beside the host.

    Raises:
        ConnectionError: nobody does.
    """
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=2):
            return f"{parts.scheme}://{parts.hostname}:{port}"
    except OSError:
        raise ConnectionError(f"nothing answers at {parts.hostname}:{port}") from None


def _platforms(settings: Settings) -> str:
    from sqlalchemy.exc import SQLAlchemyError

    from cm_assets.engines.platforms.catalogue import connectable
    from cm_assets.resources import vault

    accounts, lines = vault(settings), [f"outbox: {settings.channel}"]
    asked: dict[str, Callable[[], str]] = {}
    try:
        for platform in connectable():
            names = accounts.accounts(platform)
            asked |= {f"{platform}: {name}": partial(_consent, settings, accounts, platform, name) for name in names}
            lines += [] if names else [f"{platform}: not connected; cm connect {platform}"]
    except SQLAlchemyError:
        raise OSError("the database does not answer: check CM_DATABASE_URL") from None
    # Not given up in the middle: with the answer to a renewal, a platform's only valid refresh token would be lost.
    answers = _at_once(asked, to_the_end=True)
    lines += [f"{account}, {said}" if fine else f"{account}: {said}" for account, (fine, said) in answers.items()]
    if outdated := accounts.outdated():
        older = ", ".join(" ".join(one) for one in outdated)
        lines.append(f"sealed with an older key, which is needed until an engine has started: {older}")
    if not all(fine for fine, _ in answers.values()):
        raise PermanentFailure("\n".join(lines))
    return "\n".join(lines)


def _consent(settings: Settings, accounts: "Credentials", platform: str, account: str) -> str:
    """Whether an account's consent holds, as the platform says.

    Raises:
        Failure: it does not, or that cannot be found out.
    """
    from cm_assets.engines.platforms.catalogue import own_name, service_of
    from cm_assets.engines.platforms.oauth import Tokens

    service = service_of(platform, settings.addresses)
    assert service is not None
    token = Tokens(service, accounts)
    try:
        try:
            own = own_name(platform, token(account), settings.addresses)
        except PermanentFailure:
            own = own_name(platform, token(account, renewed=True), settings.addresses)
    except AskedToWait as wait:
        return f"connected; {wait}"
    return "connected" if own == account else f"connected as {own}"


def _costs(settings: Settings) -> str:
    from sqlalchemy.exc import SQLAlchemyError

    from cm_assets.engines.writing.prices import price_of
    from cm_assets.models.spending import dollars
    from cm_assets.storage.database import Database
    from cm_assets.storage.spending import spent_on, unpriced

    price = price_of(settings.openai_model, settings.prices)
    bounds = {"a video": settings.budget_per_video, "a day": settings.budget_per_day}
    limits = [f"{dollars(most)} {what}" for what, most in bounds.items() if most is not None]
    if price is None and limits:
        raise PermanentFailure(unpriced(settings.openai_model))
    try:
        spent = spent_on(Database(settings.database), datetime.now(UTC))
    except SQLAlchemyError:
        raise OSError("the database does not answer: check CM_DATABASE_URL") from None
    said = "its price is not known" if price is None else f"${price.prompt}/${price.completion} a million tokens"
    return f"{said}; {dollars(spent)} spent today; budget: {', '.join(limits) or 'none'}"


def _artifacts(settings: Settings) -> str:
    from cm_assets.models.disk import size
    from cm_assets.storage.artifacts import ArtifactStore

    ArtifactStore(settings.artifacts, settings.cache).check()
    copies = f", with copies of at most {size(settings.artifact_cache_bytes)} here (CM_ARTIFACT_CACHE_BYTES)"
    return f"{settings.artifacts}{copies if settings.artifacts_folder is None else ''}"


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


def _uploads(settings: Settings) -> str:
    from sqlalchemy.exc import SQLAlchemyError

    from cm_assets.models.disk import size
    from cm_assets.storage.database import Database
    from cm_assets.storage.uploads import count_uploads

    try:
        count, taken = count_uploads(Database(settings.database))
    except SQLAlchemyError:
        raise OSError("the database does not answer: check CM_DATABASE_URL") from None
    kept = f"{count} of {size(taken)}" if count else "none; cm upload FILE hands a clip or a narration in"
    return f"{kept}; at most {size(settings.upload_bytes)} each (CM_UPLOAD_BYTES)"


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
    from sqlalchemy.exc import SQLAlchemyError

    from cm_assets.orchestration import home as homes
    from cm_assets.storage.database import Database

    if waits := homes.why_standing_by(settings):
        return f"stands by: {waits}"
    try:
        host = homes.engine_host(settings, Database(settings.database))
    except SQLAlchemyError:
        raise OSError("the database does not answer: check CM_DATABASE_URL") from None
    return f"runs on {host}" if host else "does not run; cm make starts one, cm up keeps one"


def _broker(_settings: Settings) -> str:
    url = broker.address()
    if wrong := broker.refusal(url):
        raise PermanentFailure(f"{broker.BROKER}: {wrong}")
    waiting = broker.depths(url)
    return f"{broker.shown(url)} answers; steps that wait: " + ", ".join(f"{q} {n}" for q, n in waiting.items())


def _workers(settings: Settings) -> str:
    from sqlalchemy.exc import SQLAlchemyError

    from cm_assets.storage.database import Database
    from cm_assets.storage.fleet import places_by_queue, step_workers_of

    try:
        workers = step_workers_of(Database(settings.database))
    except SQLAlchemyError:
        raise OSError("the database does not answer: check CM_DATABASE_URL") from None
    lines = [
        f"{one.host}: {', '.join(one.queues)}; {one.places} at once" + ("" if one.alive else "; says nothing any more")
        for one in workers
    ]
    unserved = [queue for queue, places in places_by_queue(workers).items() if not places]
    if unserved:
        lines.append(f"nobody serves {', '.join(unserved)}: cm worker --queues {','.join(unserved)}")
        raise PermanentFailure("\n".join(lines))
    return "\n".join(lines)
