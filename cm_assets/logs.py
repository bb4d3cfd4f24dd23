"""How every process of this project writes what happens to it: for people, or as one JSON object a line.

structlog does the work, on top of the standard library's logging, so that Dagster's and everybody else's lines take the
same form. Whoever begins to do something for a video says so with `about`, and every line until the end of the block
names it, whoever writes it.
"""

import logging
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import structlog

Form = Literal["text", "json"]

SILENT = (
    *("alembic", "httpx", "httpcore"),
    *("celery.worker.strategy", "celery.app.trace"),  # the arguments of each step; its guard says more in fewer words
    *("dagster.daemon.SensorDaemon", "dagster.daemon.MonitoringDaemon"),  # every five seconds, that there is nothing
)
"""Loggers of which only warnings are written: they would tell what nobody needs, or addresses that may be secret."""

PARTITION = "dagster/partition"
"""Tag of a run that names its video."""


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Have the lines of this thread name these, such as `video="..."`, until the end of the block. Nothing empty."""
    from structlog.contextvars import bound_contextvars

    with bound_contextvars(**{name: value for name, value in fields.items() if value}):
        yield


def handler(form: Form) -> logging.Handler:
    """A handler for stderr in this form."""
    made = logging.StreamHandler()
    made.setFormatter(formatter(form))
    return made


def formatter(form: Form) -> "structlog.stdlib.ProcessorFormatter":
    """What makes lines of the records of any logger."""
    import structlog

    last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    else:
        plain = structlog.dev.plain_traceback
        last += [
            _shortened,
            structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, pad_level=False, exception_formatter=plain),
        ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if form == "json" else "%Y-%m-%dT%H:%M:%SZ", utc=True),
            structlog.stdlib.ExtraAdder(),
            _from_dagster,
        ],
        processors=last,
    )


def configure(form: Form, *, level: int = logging.INFO) -> None:
    """Have this process write so to stderr, whoever in it says something. Its forks do the same."""
    root = logging.getLogger()
    root.handlers[:] = [handler(form)]
    root.setLevel(level)
    for name in SILENT:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.addFilter(_matters)  # Dagster's daemons set their loggers' levels themselves
    if form == "json":
        # A line that is no object breaks whoever reads them.
        logging.captureWarnings(True)
        sys.excepthook = _uncaught
        threading.excepthook = _uncaught_in_thread


def _matters(line: logging.LogRecord) -> bool:
    return line.levelno >= logging.WARNING


def _from_dagster(_logger: object, _name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Name video, run and step of what Dagster says of a run, and leave out what else it hands along."""
    said = line.pop("dagster_meta", None)
    if isinstance(said, dict):
        known = {"video": said["job_tags"].get(PARTITION), "run": said["run_id"], "step": said["step_key"]}
        line.update({name: value for name, value in known.items() if value})
    return line


def _shortened(_logger: object, _name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For people: the logger without our own name."""
    line["logger"] = str(line.get("logger", "")).removeprefix("cm_assets.")
    return line


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("cm_assets").critical("ended by an error", exc_info=(kind, error, trace))


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    error = arguments.exc_value
    if error is not None:
        name = arguments.thread.name if arguments.thread is not None else "?"
        trace = (arguments.exc_type, error, arguments.exc_traceback)
        logging.getLogger("cm_assets").error("the thread %s was ended by an error", name, exc_info=trace)
