"""What a video costs its servers: transactions, statements, rows and bytes in Postgres, requests to S3.

    python benchmarks/counts.py [--videos N] [--real] [--s3]

A Postgres server of its own, and a whole `cm up`. First nothing is asked for, so that what polling costs is known; then
videos are made, one after the other. Stages are stand-ins unless `--real`. `--s3` puts artifacts on a real S3 server
(SeaweedFS), behind a proxy that counts requests. Figures are per video, with that of polling taken off.
"""

import argparse
import json
import os
import re
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from bench_home import LIMIT, REQUEST, bench_home, header
from measuring import LONGER

from cm_assets.storage.tables import metadata
from cm_assets_tests import postgres
from cm_assets_tests.conftest import until

OUTPUT = Path(__file__).with_name("measured") / "counts.json"
IDLE = 20.0
"""Seconds in which nothing is asked for."""

VERB = re.compile(r"^\s*(select|insert|update|delete|begin|commit|rollback)", re.IGNORECASE)
TABLE = re.compile(r"\b(?:from|into|update)\s+\"?([a-z_]+)", re.IGNORECASE)
REQUEST_LINE = re.compile(rb"^(GET|HEAD|PUT|POST|DELETE) \S+ HTTP/1\.[01]\r\n")


class Server:
    """Reads Postgres's own counters of a database."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("create extension pg_stat_statements")
        self._name = url.rpartition("/")[2]

    def now(self) -> Counter[str]:
        """Totals since the beginning."""
        found: Counter[str] = Counter()
        ours = set(metadata.tables)
        rows = self._connection.execute(
            "select query, calls from pg_stat_statements s join pg_database d on d.oid = s.dbid where d.datname = %s "
            "and query not like '%%pg_stat%%'",
            [self._name],
        )
        for query, calls in rows:
            verb, table = VERB.match(query), TABLE.search(query)
            kind = verb[1].lower() if verb else "other"
            if kind in {"begin", "commit", "rollback"}:
                continue
            whose = "ours" if table and table[1].lower() in ours else "dagster" if table else "neither"
            writes = kind in {"insert", "update", "delete"}
            found[f"{whose} {'writes' if writes else 'reads'}"] += calls
        commits, rollbacks, sessions = self._one(
            "select xact_commit, xact_rollback, sessions from pg_stat_database where datname = %s", [self._name]
        )
        found["transactions"] = commits + rollbacks
        found["connections opened"] = sessions
        found["bytes of write-ahead log"] = int(self._one("select pg_current_wal_lsn() - '0/0'::pg_lsn")[0])
        found["bytes of database"] = self._one("select pg_database_size(%s)", [self._name])[0]
        for table in ("event_logs", "runs", "run_tags", "asset_event_tags", "job_ticks"):
            with suppress(psycopg.errors.UndefinedTable):
                found[f"rows of {table}"] = self._one(f"select count(*) from {table}")[0]
        with suppress(psycopg.errors.UndefinedTable):
            found["bytes of events"] = self._one("select coalesce(sum(length(event)), 0) from event_logs")[0]
        return found

    def connections(self) -> int:
        """Those of others that are open now."""
        return int(
            self._one(
                "select count(*) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()", [self._name]
            )[0]
        )

    def _one(self, query: str, arguments: Any = None) -> Any:
        return self._connection.execute(query, arguments).fetchone()


class CountingProxy:
    """Passes bytes on to a server and counts the requests that they begin with."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listening.getsockname()[1]
        self.requests: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pass, args=(near, far, "sent"), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, "received"), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with suppress(OSError):
            while content := source.recv(1 << 16):
                with self._lock:
                    self.bytes[way] += len(content)
                    # A client here sends a request's head at the beginning of a write of its own.
                    if way == "sent" and (found := REQUEST_LINE.match(content)):
                        self.requests[found[1].decode()] += 1
                target.sendall(content)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more connections."""
        self._listening.close()


@contextmanager
def most_connections(server: Server) -> Iterator[list[int]]:
    """Look how many connections there are."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            seen.append(server.connections())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def count(videos: int, *, real: bool, s3: bool) -> dict[str, Any]:
    """Make videos and count."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cm-bench-", ignore_cleanup_errors=True)))
        address = stack.enter_context(postgres.server(options="-c shared_preload_libraries=pg_stat_statements"))
        url = postgres.new_database(address)
        server = Server(url)
        variables = {"CM_DATABASE_URL": url, "CM_MAX_CONCURRENT_RUNS": "4"}
        proxy = None
        if s3:
            from cm_assets_tests import s3 as servers

            store = stack.enter_context(servers.server(folder / "s3"))
            proxy = CountingProxy(int(store.variables["AWS_ENDPOINT_URL"].rpartition(":")[2]))
            stack.callback(proxy.close)
            variables |= store.variables | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}
            variables["CM_ARTIFACTS_URL"] = f"s3://{store.new_bucket()}/videos"
        home = stack.enter_context(bench_home(folder, stand_ins=not real, **variables))
        request = LONGER if real else REQUEST

        def make(name: str) -> None:
            home.client.submit({**request, "id": name}, source="benchmark")
            if not until(lambda: not home.client.database.newest(limit=1, wanted=True), LIMIT, 0.2):
                raise SystemExit(f"{name} is not done; the logs are in {folder}")

        make("warm-up")
        time.sleep(3)
        before_idle = server.now()
        time.sleep(IDLE)
        idle = {name: (number - before_idle[name]) / IDLE for name, number in server.now().items()}
        if proxy is not None:
            proxy.requests.clear()
            proxy.bytes.clear()
        before, begun = server.now(), time.monotonic()
        with most_connections(server) as one_at_a_time:
            for number in range(videos):
                make(f"video-{number}")
        took = time.monotonic() - begun
        after = server.now()
        s3_figures = (
            {} if proxy is None else {**proxy.requests, **{f"bytes {way}": n for way, n in proxy.bytes.items()}}
        )
        with most_connections(server) as four_at_once:
            for number in range(8):
                home.client.submit({**request, "id": f"more-{number}"}, source="benchmark")
            until(lambda: not home.client.database.newest(limit=1, wanted=True), 4 * LIMIT, 0.2)
        each = {name: (after[name] - before[name] - idle[name] * took) / videos for name in after}
        return {
            "videos": videos,
            "each": {name: round(number, 1) for name, number in sorted(each.items())},
            "a_second_of_polling": {name: round(number, 2) for name, number in sorted(idle.items()) if number},
            "most_connections": {"idle or one video": max(one_at_a_time), "four at once": max(four_at_once)},
            "s3_each": {name: round(number / videos, 1) for name, number in sorted(s3_figures.items())},
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--real", action="store_true", help="real stages instead of stand-ins")
    parser.add_argument("--s3", action="store_true", help="artifacts on S3")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    print(header(), flush=True)
    found = count(options.videos, real=options.real, s3=options.s3)
    kind = f"{'real' if options.real else 'stand-in'} stages{', artifacts on S3' if options.s3 else ''}"
    for title in ("each", "a_second_of_polling", "most_connections", "s3_each"):
        figures: Mapping[str, float] = found[title]
        print(f"\n{title.replace('_', ' ')}:")
        for name, number in figures.items():
            print(f"  {name:<32}{number:>14,}")
    stored = json.loads(options.output.read_text()) if options.output.is_file() else {}
    stored[kind] = {**found, "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "cores": os.cpu_count()}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
