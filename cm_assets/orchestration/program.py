"""Runs a program of Dagster's, such as its daemon, with this project's logs instead of its own."""

import logging
import sys
from importlib.metadata import entry_points

import structlog

from cm_assets import logs
from cm_assets.settings import Settings

OF_DAGSTER = frozenset({"dagster", "dagit", "dagster-webserver"})
"""Loggers that the programs configure themselves."""


def log_as_configured(form: logs.Form) -> None:
    """Have this process, and Dagster in it, write its lines in this form. Runs that are executed here included."""
    logs.configure(form)
    import dagster._loggers
    import dagster._utils.log

    def console(name: str, level: str | int) -> logging.Logger:
        # What is below INFO is each event of a run, which the event log has anyway.
        made = logging.Logger(name, max(logging.INFO, logging.getLevelName(level) if isinstance(level, str) else level))
        made.addHandler(logs.handler(form))
        return made

    def formatter() -> structlog.stdlib.ProcessorFormatter:
        return logs.formatter(form)

    dagster._loggers.create_console_logger = console  # type: ignore[attr-defined]
    dagster._utils.log.get_structlog_json_formatter = formatter


def main() -> None:
    """Arguments: the name of the program, then its own."""
    run(sys.argv[1], sys.argv[2:])


def run(name: str, arguments: list[str]) -> None:
    """Become a program of Dagster's that takes `--log-format`.

    Args:
        name: of its console script.
        arguments: its own.
    """
    form = Settings().log_format
    log_as_configured(form)
    # These loggers get a handler of their own, and hand their lines on to the root's as well.
    logging.getLogger().handlers[0].addFilter(lambda line: line.name.partition(".")[0] not in OF_DAGSTER)
    if name == "dagster-webserver":
        import uvicorn.config

        # It configures uvicorn by this table, which is what uvicorn offers for it.
        for made in uvicorn.config.LOGGING_CONFIG["formatters"].values():
            made.clear()
            made["()"] = lambda: logs.formatter(form)
    # Its name for the form whose formatter was replaced.
    sys.argv = [name, *arguments, "--log-format", "json"]
    entry_points(group="console_scripts")[name].load()()


if __name__ == "__main__":
    main()
