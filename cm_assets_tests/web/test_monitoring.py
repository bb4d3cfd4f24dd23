"""`deploy/monitoring`: what it asks for is there, and Prometheus's own tool finds nothing wrong with it."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from cm_assets.policies import QUEUES
from cm_assets.storage.database import Step
from cm_assets_tests.web.conftest import SCENES, Site

ROOT = Path(__file__).parents[2]

FOLDER = ROOT / "deploy" / "monitoring"

METRIC = re.compile(r"\bcm_[a-z_]+\b")

OURS = {"cm_assets"}


def expressions() -> list[str]:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    asked = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return asked + [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


@pytest.fixture
def exposed(site: Site, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """The samples of a real `/metrics` of a home where something has happened, with the values of their labels."""
    monkeypatch.setenv("CM_NOTIFY_OPS_URL", "https://example.org/hook")
    client = site.house.client
    site.http.post("/videos", json=SCENES | {"id": "sea"})
    for ended in ("done", "transient", "permanent", "asked_to_wait"):
        client.database.end_attempt("sea", "render", Step(1.0), ended, 2.0)
    site.http.get("/videos/sea")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(site.http.get("/metrics").text):
        found.setdefault(family.name, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels, sample.labels.values())
    return found


def test_every_metric_that_is_asked_for_is_exposed(exposed: dict[str, set[str]]) -> None:
    sometimes = {"cm_worker_places", "cm_llm_budget_day_dollars", "cm_disk_limit_bytes", "cm_engine_looked_seconds"}
    source = (ROOT / "cm_assets" / "web" / "metrics.py").read_text()
    assert all(f'"{name}"' in source for name in sometimes)
    asked = {name for expression in expressions() for name in METRIC.findall(expression)} - OURS
    assert len(asked) > 15
    assert asked - sometimes - exposed.keys() == set()


def test_the_settings_that_add_metrics_add_them(
    site_with: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CM_BROKER_URL", "amqp://127.0.0.1:9//")
    site = site_with(max_disk=10**9, budget_per_day=5)
    site.house.client.database.move_cursor("looked", int(time.time()) - 100)
    families = {one.name: one for one in text_string_to_metric_families(site.http.get("/metrics").text)}
    assert families["cm_disk_limit_bytes"].samples[0].value == 10**9
    assert families["cm_llm_budget_day_dollars"].samples[0].value == 5
    assert {one.labels["queue"] for one in families["cm_worker_places"].samples} == set(QUEUES)
    assert 100 <= families["cm_engine_looked_seconds"].samples[0].value < 300


def test_every_state_stage_and_class_that_is_asked_for_exists(exposed: dict[str, set[str]]) -> None:
    states = exposed["cm_videos"]
    for expression in expressions():
        for wanted in re.findall(r'state="([a-z_]+)"', expression):
            assert wanted in states
        for wanted in re.findall(r'stage="([a-z_]+)"', expression):
            assert wanted in exposed["cm_stage_waiting"]
        for wanted in re.findall(r'ended=~?"([a-z_|]+)"', expression):
            assert set(wanted.split("|")) <= exposed["cm_stage_attempts_total"]


def test_every_alert_names_an_entry_that_is_there() -> None:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}
        assert not anchor or anchor in slugs, rule["alert"]


@pytest.mark.slow  # takes promtool
@pytest.mark.parametrize("arguments", [["check", "config", "prometheus.yml"], ["check", "rules", "alerts.yml"]])
def test_prometheus_takes_it(arguments: list[str]) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow  # takes promtool
def test_prometheus_parses_every_question(tmp_path: Path) -> None:
    rules = [{"record": f"cm:{number}", "expr": one} for number, one in enumerate(expressions())]
    (tmp_path / "all.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    command = ["promtool", "check", "rules", "all.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
