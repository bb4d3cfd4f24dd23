"""An engine for containers of the tests' own, and the deployment of `deploy/docker` in it, without any image registry.

The images are a few empty folders; what is in them is this machine's own userland, mounted read-only. All that the real
image says of itself, and the files that it has of ours, come from its Dockerfile.
"""

import io
import os
import pwd
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import httpx
import yaml

from cm_assets.orchestration.daemon import answers
from cm_assets_tests import dockerfile
from cm_assets_tests.test_proxy import free_port

IMAGE = "cm-assets:tests"

RUN_LABEL = "dagster/run_id"

PARTS_OF_ETC = ("ssl", "passwd", "group", "nsswitch.conf", "ld.so.cache", "alternatives", "localtime", "mime.types")


class NoEngine(Exception):
    """No container can be run here; says why."""


def userland() -> list[str]:
    """The mounts that fill an empty image."""
    places = {Path("/usr"), Path(sys.base_prefix), Path(sys.prefix), dockerfile.CHECKOUT}
    places |= {Path("/etc") / part for part in PARTS_OF_ETC if (Path("/etc") / part).exists()}
    inner = {place for place in places for other in places if place != other and place.is_relative_to(other)}
    return [*(f"{place}:{place}:ro" for place in sorted(places - inner)), f"{sys.prefix}:/opt/venv:ro"]


def _empty(folders: dict[str, int], files: dict[str, Path]) -> bytes:
    """A file system of empty folders, by owner, and a few files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, owner in folders.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if path == "tmp" else 0o755
            entry.uid = entry.gid = owner
            tar.addfile(entry)
        for name in ("bin", "lib", "lib64"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(entry)
        for path, source in files.items():
            tar.add(source, path)
    return out.getvalue()


@contextmanager
def engine() -> Iterator[str]:
    """The address of a new engine.

    One that runs already is left alone: a real deployment in it would have the same names.

    Raises:
        NoEngine: there can be none, or it cannot run a container with limits.
    """
    program = shutil.which("dockerd")
    if program is None or os.getuid() != 0:
        raise NoEngine("these tests need dockerd, and root to start it: apt-get install docker.io")
    folder = Path(tempfile.mkdtemp(prefix="cm-docker-"))
    said = ""
    try:
        # vfs works on every file system, and copies each layer, which costs little where the images are empty.
        for driver in ("overlay2", "vfs"):
            process = _start(program, folder, driver)
            try:
                said = _why_not(folder, process)
                if not said:
                    yield f"unix://{folder}/docker.sock"
                    return
            finally:
                _stop(process, folder)
        raise NoEngine(f"dockerd runs no container here: {said}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(program: str, folder: Path, driver: str) -> subprocess.Popen[bytes]:
    options = ["--bridge=none", "--iptables=false", "--ip6tables=false", f"--storage-driver={driver}"]
    places = [f"--data-root={folder / driver}", f"--exec-root={folder / 'exec'}", f"--pidfile={folder / 'pid'}"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [program, *options, *places, "-H", f"unix://{folder}/docker.sock"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End an engine; it ends its containers first."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
    (folder / "docker.sock").unlink(missing_ok=True)


def _why_not(folder: Path, process: subprocess.Popen[bytes]) -> str:
    """Why an engine is of no use; empty if a container ran, in a network, with limits."""
    deadline = time.monotonic() + 60
    while not answers(folder / "docker.sock"):
        if process.poll() is not None or time.monotonic() > deadline:
            return (folder / "log").read_text()[-1500:]
        time.sleep(0.1)
    client = docker.DockerClient(base_url=f"unix://{folder}/docker.sock", timeout=120)
    try:
        build_images(client)
        network = client.networks.create("probe")
        ran = client.containers.run(
            IMAGE,
            ["sh", "-c", "id -u"],
            network="probe",
            remove=True,
            init=True,
            volumes=userland(),
            mem_limit=100_000_000,
            memswap_limit=100_000_000,
            nano_cpus=1_000_000_000,
        )
        network.remove()
        return "" if ran.split() == [b"%d" % dockerfile.user()] else f"a container said {ran!r}"
    except docker.errors.DockerException as error:
        return str(error)
    finally:
        client.close()


def build_images(client: docker.DockerClient) -> None:
    """The images that compose.yaml names."""
    owner, postgres = dockerfile.user(), pwd.getpwnam("postgres").pw_uid if _has_postgres() else 0
    inside = {
        f"{target.strip('/')}/{Path(source).name}": dockerfile.CHECKOUT / source
        for sources, target in dockerfile.copied("runtime")
        for source in sources
    }
    plain = dict.fromkeys(("usr", "etc", "proc", "sys", "dev", "tmp", "run", "sbin", "opt", "var", "var/lib"), 0)
    folders = plain | {"opt/cm": 0, "var/lib/cm": owner, "var/lib/postgresql": 0, "var/lib/postgresql/data": postgres}
    compose = yaml.safe_load((dockerfile.FOLDER / "compose.yaml").read_text())
    for name, changes in {
        IMAGE: dockerfile.metadata(),
        compose["services"]["postgres"]["image"]: ["ENV PGDATA=/var/lib/postgresql/data"],
        compose["services"]["proxy"]["image"]: ["CMD caddy run --config /etc/caddy/Caddyfile"],
    }.items():
        repository, _, tag = name.rpartition(":")
        client.api.import_image_from_data(
            _empty(folders, inside if name == IMAGE else {}), repository=repository, tag=tag, changes=changes
        )


def _has_postgres() -> bool:
    return any(entry.pw_name == "postgres" for entry in pwd.getpwall())


@dataclass
class Deployment:
    """`deploy/docker`, as its README has it brought up.

    Attributes:
        folder: a copy of it, with what `setup` has made.
        client: of the engine.
        environment: for programs that speak to the engine.
        board: address of the board and API, through the proxy.
        ui: address of Dagster's UI, through the proxy.
    """

    folder: Path
    client: docker.DockerClient
    environment: dict[str, str]
    board: str
    ui: str
    login: tuple[str, str] = ("", "")

    def compose(self, *arguments: str, seconds: float = 240) -> str:
        """Run compose; what it wrote to stdout."""
        done = subprocess.run(
            [*self.environment["COMPOSE"].split(), *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def logs(self) -> str:
        """The end of what all services and the containers of runs said."""
        said = [self.compose("logs", "--no-color", "--timestamps", "--tail", "60")]
        for run in self.runs(all_of_them=True):
            said += [f"{run.name} {run.status}", run.logs(timestamps=True, tail=60).decode(errors="replace")]
        return "\n".join(said)

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """What the API answers to whoever has the token that `setup` made."""
        token = (self.folder / "token").read_text().strip()
        answer = httpx.request(
            method, self.board + path, headers={"Authorization": f"Bearer {token}"}, timeout=30, **arguments
        )
        assert answer.is_success, (answer.status_code, answer.text)
        return answer.json()

    def state(self, video: str) -> str:
        """Of a video."""
        return str(self.call("GET", f"/videos/{video}")["state"])

    def runs(self, *, all_of_them: bool = False) -> list[Any]:
        """The containers of runs, the newest first; those that run, or all."""
        found: list[Any] = self.client.containers.list(
            all=all_of_them, filters={"label": RUN_LABEL}, ignore_removed=True
        )
        return found

    def sql(self, statement: str) -> list[str]:
        """Ask the database; a line for each row."""
        command = ["psql", "--host=127.0.0.1", "--username=cm", "--no-align", "--tuples-only", "-c", statement, "cm"]
        return self.compose("exec", "-T", "postgres", *command).splitlines()


def _override(port_of_programs: Path) -> dict[str, Any]:
    """What tests change of compose.yaml: the userland, and how Postgres starts, since its image is not the real one."""
    mounts = userland()
    postgres = pwd.getpwnam("postgres")
    begin = (
        "set -e; cd /tmp; "
        'if [ ! -e "$$PGDATA/PG_VERSION" ]; then echo "$$POSTGRES_PASSWORD" > /tmp/password; '
        "initdb --username=cm --encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256 --pwfile=/tmp/password --no-sync "
        "> /dev/null; "
        'echo "host all all all scram-sha-256" >> "$$PGDATA/pg_hba.conf"; '
        'echo "create database cm" | postgres --single -D "$$PGDATA" postgres > /dev/null; fi; '
        "exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c fsync=off"
    )
    services: dict[str, Any] = {name: {"volumes": mounts} for name in ("init", "code", "daemon", "webserver", "api")}
    services["postgres"] = {
        "volumes": mounts,
        "user": f"{postgres.pw_uid}:{postgres.pw_gid}",
        "command": ["sh", "-c", begin],
        "environment": {"PATH": f"{port_of_programs}:/usr/bin:/bin", "PGPASSWORD": "${POSTGRES_PASSWORD}"},
    }
    services["proxy"] = {
        "volumes": mounts,
        "environment": {"XDG_DATA_HOME": "/data", "XDG_CONFIG_HOME": "/tmp", "HOME": "/tmp"},
    }
    return {"services": services}


@contextmanager
def deployment(address: str, folder: Path, settings: dict[str, str]) -> Iterator[Deployment]:
    """A deployment, brought up by its own `setup` and compose.yaml.

    Args:
        address: of the engine.
        folder: an empty one.
        settings: for settings.env.
    """
    from cm_assets_tests.postgres import _programs

    copy = folder / "deploy" / "docker"
    for part in ("docker", "proxy"):
        shutil.copytree(
            dockerfile.FOLDER.parent / part,
            folder / "deploy" / part,
            ignore=shutil.ignore_patterns(".env", "settings.env", "token"),
        )
    (copy / "override.yaml").write_text(yaml.safe_dump(_override(_programs())))
    (copy / "settings.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    board, ui = free_port(), free_port()
    compose = "docker-compose" if shutil.which("docker-compose") else "docker compose"
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "DOCKER_HOST": address,
        "COMPOSE": f"{compose} --file compose.yaml --file override.yaml",
        "CM_DOCKER_SOCKET": address.removeprefix("unix://"),
        "CM_IMAGE": IMAGE,
        "CM_RUN_VOLUMES": ",".join(userland()),
        "CM_BOARD_PORT": str(board),
        "CM_UI_PORT": str(ui),
    }
    client = docker.DockerClient(base_url=address, timeout=120)
    made = Deployment(copy, client, environment, f"http://localhost:{board}", f"http://localhost:{ui}")
    try:
        done = subprocess.run(
            ["./setup"], cwd=copy, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        made.login = ("me", done.stderr.split(" the password ")[1].split()[0])
        made.compose("up", "--detach")
        yield made
    finally:
        for container in client.containers.list(all=True, ignore_removed=True):
            container.remove(force=True)
        client.close()
