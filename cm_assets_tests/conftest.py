"""Homes, and `cm` as its users run it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
import yaml
from hypothesis import settings as of_hypothesis

from cm_assets.media.ffmpeg import find
from cm_assets.orchestration.home import MARKER

if TYPE_CHECKING:
    from cm_assets_tests.s3 import S3

of_hypothesis.register_profile("without a clock", deadline=None)
of_hypothesis.load_profile("without a clock")

Mp4 = Callable[..., bytes]

KEPT_OUT = ("CM_", "AWS_", "OPENAI_", "DAGSTER_", "PEXELS_", "PIXABAY_")
"""Variables of whoever runs the tests that are none of theirs."""

SHORT: dict[str, Any] = {"scenes": [{"text": "Hello from a small robot.", "search_terms": ["robot"]}], "music": "none"}
"""A request whose video takes seconds to make."""


@pytest.fixture(scope="session")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> Mp4:
    """`mp4(270, 480, seconds=2, colour="red")`: the bytes of a video; each colour is another one."""
    folder = tmp_path_factory.mktemp("mp4")

    @cache
    def make(width: int = 270, height: int = 480, seconds: float = 2, colour: str = "red") -> bytes:
        path = folder / f"{width}x{height}-{seconds}-{colour}.mp4"
        source = f"color={colour}:size={width}x{height}:rate=30:duration={seconds}"
        command = [str(find().path), "-v", "error", "-y", "-f", "lavfi", "-i", source, "-vf", "noise=alls=20"]
        encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        subprocess.run([*command, *encoder, str(path)], check=True)
        return path.read_bytes()

    return make


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks a stock site because whoever runs it has a key."""
    for name in ("PEXELS_API_KEY", "PIXABAY_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@dataclass
class Home:
    """A home in a folder of its own, and the `cm` processes that work in it."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return Path(self.variables.get("CM_HOME", self.folder / "home"))

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(KEPT_OUT)}
        return kept | {"CM_HOME": str(self.path), "COLUMNS": "80"} | self.variables

    def request(self, name: str = "request.yaml", **changes: Any) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(SHORT | changes))
        return path

    def start(self, *arguments: str | Path, log: str = "cm.log") -> subprocess.Popen[bytes]:
        if arguments[0] == "up" and "--web-port" not in arguments:
            # Two that start at once both find the usual port free.
            arguments = (*arguments, "--web-port", "0")
        with (self.folder / log).open("wb") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "cm_assets.cli", *map(str, arguments)],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def run(self, *arguments: str | Path, stdin: str = "", seconds: float = 150) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cm_assets.cli", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def artifacts(self) -> list[str]:
        """The keys of what is in the artifact store."""
        if url := self.variables.get("CM_ARTIFACTS_URL"):
            from cm_assets_tests import s3

            return s3.keys(self.variables, url)
        root = self.path / "artifacts"
        return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]

    def artifact(self, address: str) -> Path:
        """A file to which a status links, or a copy of it."""
        if not address.startswith("s3://"):
            return Path(address)
        from cm_assets_tests import s3

        path = self.folder / address.rpartition("/")[2]
        path.write_bytes(s3.content(self.variables, address))
        return path

    def made(self, *arguments: str | Path) -> dict[str, Any]:
        done = self.run("make", *arguments, "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def told(self, video: str) -> dict[str, Any]:
        """What `cm status` says."""
        done = self.run("status", video, "--json")
        assert done.returncode == 0, done.stderr
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def processes(self) -> list[psutil.Process]:
        """What an engine of this home has running."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARKER) == str(self.path) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def kill_everything(self, *own: subprocess.Popen[bytes]) -> None:
        for one in own:
            one.kill()
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for one in own:
            one.wait()
        assert until(lambda: not self.processes(), 10)

    def log(self, name: str = "cm.log") -> str:
        return (self.folder / name).read_text()

    def dagster(self, code: str) -> Any:
        """Evaluate an expression over `instance` and `dg` in this home; its value by JSON."""
        postgres = self.variables.get("CM_DATABASE_URL", "").replace("postgresql:", "postgresql+psycopg2:")
        program = (
            "import json, dagster as dg\nwith dg.DagsterInstance.get() as instance:\n"
            f"    print('=> ' + json.dumps({code}))"
        )
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            env=self.environment() | {"DAGSTER_HOME": str(self.path), "CM_DAGSTER_POSTGRES_URL": postgres},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return json.loads(done.stdout.partition("=> ")[2])


def called(name: str, among: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The living among some processes whose program's name holds this one."""
    found = []
    for process in among:
        with suppress(psutil.Error, OSError):
            if name in process.name() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def until(condition: Callable[[], Any], seconds: float = 60, every: float = 0.1) -> Any:
    """Wait for a condition; its value, falsy if it never came."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(every)
    return condition()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a Postgres server."""
    from cm_assets_tests import postgres

    with postgres.server() as address:
        yield address


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator["S3"]:
    """A real S3 server."""
    from cm_assets_tests import s3

    with s3.server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A new home; whatever still runs in it afterwards is killed."""
    one = Home(tmp_path)
    yield one
    one.kill_everything()


@dataclass
class Up:
    """A home with `cm up` running in it."""

    home: Home
    url: str

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60)
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        assert "errors" not in body, body["errors"]
        data: dict[str, Any] = body["data"]
        return data

    def launch(
        self, job: str, video: str, config: dict[str, Any] | None = None, assets: list[str] | None = None
    ) -> str:
        selector = {"repositoryLocationName": "cm_assets", "repositoryName": "__repository__", "jobName": job}
        if assets:
            selector |= {"assetSelection": [{"path": asset.split("/")} for asset in assets]}  # type: ignore[dict-item]
        answer = self.graphql(
            "mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename "
            "... on LaunchRunSuccess { run { runId } } ... on RunConfigValidationInvalid { errors { message } } } }",
            p={
                "selector": selector,
                "runConfigData": config or {},
                "executionMetadata": {"tags": [{"key": "dagster/partition", "value": video}]},
            },
        )["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def add(self, video: str) -> str:
        return str(
            self.graphql(
                'mutation($k: String!) { addDynamicPartition(partitionsDefName: "videos", partitionKey: $k, '
                'repositorySelector: {repositoryLocationName: "cm_assets", repositoryName: "__repository__"}) '
                "{ __typename } }",
                k=video,
            )["addDynamicPartition"]["__typename"]
        )

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.graphql(
            "query($id: ID!) { runOrError(runId: $id) "
            "{ ... on Run { status startTime endTime stepStats { stepKey status } } } }",
            id=run_id,
        )["runOrError"]
        return found

    def ended(self, run_id: str, seconds: float = 120) -> dict[str, Any]:
        ends = {"SUCCESS", "FAILURE", "CANCELED"}
        run = until(lambda: (r := self.run(run_id))["status"] in ends and r, seconds, 0.5)
        assert run, self.run(run_id)
        found: dict[str, Any] = run
        return found


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`cm up` in a home of its own, for all tests that only look at it or add videos."""
    home = Home(tmp_path_factory.mktemp("up"))
    process = home.start("up", "--port", "0")
    try:
        assert until(lambda: "http://" in home.log(), 90), home.log()
        url = next(word for word in home.log().split() if word.startswith("http://"))
        yield Up(home, url)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(15)
        home.kill_everything()
