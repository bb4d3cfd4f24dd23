"""`deploy/docker` and `deploy/celery`, as far as they can be judged without an engine and systemd.

So that they do not rot; `test_docker.py` runs the one.
"""

import fnmatch
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cm_assets.cli import app
from cm_assets.orchestration.containers import _variables
from cm_assets.orchestration.home import _dagster_yaml
from cm_assets.policies import QUEUES
from cm_assets.settings import Settings
from cm_assets_tests import dockerfile

COMPOSE: dict[str, Any] = yaml.safe_load((dockerfile.FOLDER / "compose.yaml").read_text())
WORKER = (dockerfile.CHECKOUT / "deploy" / "celery" / "cm-worker@.service").read_text()
DAGSTER: dict[str, Any] = yaml.safe_load((dockerfile.FOLDER / "dagster.yaml").read_text())


def _pins(lock: str) -> dict[str, str]:
    text = (dockerfile.CHECKOUT / "requirements" / lock).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,-]+\])?==(\S+)", text, re.MULTILINE))


def test_its_instance_is_that_of_cm_but_for_where_runs_are() -> None:
    settings = Settings(home=Path("/var/lib/cm"), database_url="postgresql://cm@postgres/cm", max_concurrent_runs=4)
    of_cm = yaml.safe_load(_dagster_yaml(settings))
    of_cm["run_monitoring"]["start_timeout_seconds"] = 180
    of_cm["run_launcher"] = DAGSTER["run_launcher"]
    assert of_cm == DAGSTER
    assert DAGSTER["run_launcher"]["class"] == "ContainerLauncher"


def test_no_address_and_no_password_is_written_anywhere() -> None:
    for name in ("dagster.yaml", "compose.yaml", "Dockerfile", "settings.example.env"):
        text = (dockerfile.FOLDER / name).read_text()
        assert not re.findall(r"://[^\s/@$]+:[^\s/@$]+@", text), name
        assert not re.findall(r"(?im)^[^#\n]*(?:password|secret|key)[\"']?[:=] ?[\"']?[a-z0-9]+[\"']?$", text), name


def test_images_are_pinned_and_ports_are_of_this_machine_alone() -> None:
    for service in COMPOSE["services"].values():
        assert re.search(r":[\d.]+-|cm-assets:", service["image"]), service["image"]
        for port in service.get("ports", ()):
            assert port.startswith("${CM_BIND:-127.0.0.1}:"), port
    assert next(rest for word, rest in dockerfile.instructions() if word == "FROM").startswith("debian:bookworm-20")
    assert {name for name, one in COMPOSE["services"].items() if "ports" in one} == {"proxy"}


def test_every_service_has_limits_and_only_three_reach_the_engine() -> None:
    services = COMPOSE["services"]
    assert all("mem_limit" in one and "cpus" in one for one in services.values())
    assert {name for name, one in services.items() if "docker.sock" in str(one)} == {"code", "daemon", "webserver"}
    assert dockerfile.user() != 0
    assert all("privileged" not in one for one in services.values())


def test_what_the_image_is_made_of_is_there_and_not_ignored() -> None:
    lines = [line for line in (dockerfile.CHECKOUT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    let_in = [line[1:] for line in lines]
    for name in ("build", "runtime"):
        for sources, _ in dockerfile.copied(name):
            for source in sources:
                assert (dockerfile.CHECKOUT / source).exists(), source
                assert any(fnmatch.fnmatch(source, one) for one in let_in), source


def test_the_image_has_the_packages_that_are_tested_here() -> None:
    pins = _pins("server.lock")
    assert {"dagster-postgres", "dagster-docker", "botocore", "apprise", "dagster-k8s", "celery"} <= pins.keys()
    tested = _pins("dev.lock")
    assert {name: pin for name, pin in pins.items() if tested.get(name) != pin} == {}
    assert version("dagster") == pins["dagster"]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("", "http://localhost:3000"),
        ("dagster.example.com", "https://dagster.example.com"),
        ("dagster.example.com:8443", "https://dagster.example.com:8443"),
        ("http://localhost:3001", "http://localhost:3001"),
        ("https://dagster.example.com", "https://dagster.example.com"),
    ],
)
def test_the_board_links_to_the_name_that_the_proxy_serves(
    host: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = COMPOSE["services"]
    template = services["api"]["environment"]["CM_DAGSTER_URL"]
    assert template == services["proxy"]["environment"]["CM_DAGSTER_HOST"]
    (default,) = re.findall(r"^\$\{CM_DAGSTER_HOST:-(.*)\}$", template)
    monkeypatch.setenv("CM_DAGSTER_URL", host or default)
    assert Settings().dagster_url == address


@pytest.mark.parametrize("value", ["dagster example.com", "javascript:alert(1)", "ftp://example.com", "-a", "a/b"])
def test_what_is_no_address_of_the_ui_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_DAGSTER_URL", value)
    done = CliRunner().invoke(app, ["list"])
    assert done.exit_code == 2
    assert done.stderr.startswith("cm: CM_DAGSTER_URL: must be a name")


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Runs `setup` in a copy of its folder, which it returns, with a compose that only notes what it is told."""
    folder = tmp_path / "docker"
    folder.mkdir()
    for name in ("setup", "settings.example.env"):
        shutil.copy(dockerfile.FOLDER / name, folder)
    compose = tmp_path / "compose"
    compose.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/told\n[ "$1" = build ] || cat >> {tmp_path}/piped\necho said\n'
    )
    compose.chmod(0o755)
    monkeypatch.setenv("COMPOSE", str(compose))
    monkeypatch.setenv("CM_DOCKER_SOCKET", str(tmp_path))
    for name in ("COMPOSE_PROJECT_NAME", "CM_IMAGE"):
        monkeypatch.delenv(name, raising=False)

    def run() -> Path:
        done = subprocess.run(["./setup"], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        (folder / "said").write_bytes(done.stderr)
        return folder

    return run


def test_the_password_of_the_ui_is_on_no_command_line(setup: Callable[[], Path], tmp_path: Path) -> None:
    folder = setup()
    (password,) = re.findall(r" the password (\w+)$", (folder / "said").read_text(), re.MULTILINE)
    assert (tmp_path / "piped").read_text() == f"{password}\n"
    assert "caddy hash-password\n" in (tmp_path / "told").read_text()
    assert password not in (tmp_path / "told").read_text()
    assert "CM_LOGIN_HASH='said'\n" in (folder / ".env").read_text()


def test_a_deployment_keeps_the_name_that_its_volumes_have(setup: Callable[[], Path]) -> None:
    env = setup() / ".env"
    assert env.read_text().startswith("COMPOSE_PROJECT_NAME=cm\n")
    # One that was made before there was a name: its project is called after the folder.
    old = "".join(line for line in env.read_text().splitlines(keepends=True) if not line.startswith("COMPOSE"))
    env.write_text(old)
    setup()
    assert env.read_text() == old


def test_runs_get_settings_and_keys_but_no_secret_that_only_others_need(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {"CM_SECRET_KEY", "OPENAI_API_KEY", "CM_NOTIFY"}
    others = {"CM_WEBHOOK_SECRET", "CM_NOTIFY_N8N_SECRET", "CM_LOGIN_HASH", "POSTGRES_PASSWORD"}
    for name in theirs | others:
        monkeypatch.setenv(name, "x")
    assert set(_variables()) & (theirs | others) == theirs


def test_commands_are_programs_of_the_environment() -> None:
    for name in ("code", "daemon", "webserver"):
        (program, *_) = COMPOSE["services"][name]["command"]
        assert (Path(sys.prefix) / "bin" / program).exists(), program


def test_a_unit_names_its_queues_as_the_worker_knows_them() -> None:
    # %i would be the name as systemd escapes it; %I is without that, but has slashes for hyphens.
    assert "%i" not in re.sub(r"^#.*", "", WORKER, flags=re.MULTILINE)
    assert re.search(r"^ExecStart=\S+/cm worker --queues %I ", WORKER, re.MULTILINE)
    assert not any("-" in queue for queue in QUEUES)
