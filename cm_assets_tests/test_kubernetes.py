"""deploy/kubernetes, as far as it can be proved without a cluster: what is asked of one, in its own models' words."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import kubernetes.client as models
import pytest
import yaml
from dagster._config import process_config
from dagster._core.instance.config import dagster_instance_config_schema
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster_k8s import K8sRunLauncher

from cm_assets.lifecycle.plan import PRODUCE_JOB, PUBLISH_JOB, TAKE_DOWN_JOB
from cm_assets.orchestration.backstop import POD_TAG, Collected
from cm_assets.policies import STAGES
from cm_assets.settings import JOBS, Settings
from cm_assets_tests.emulators.kubernetes_server import KubernetesServer

FOLDER = Path(__file__).parents[1] / "deploy" / "kubernetes"
SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text())
    return found


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / "board.yaml").read_text()))


def environment(values: Mapping[str, Any]) -> dict[str, str]:
    (code,) = values["dagster-user-deployments"]["deployments"]
    return {one["name"]: one["value"] for one in code["env"]}


def snake(name: str) -> str:
    return SNAKE.sub("_", name).lower()


def read(kind: str, document: Any) -> Any:
    """A document as the client's model has it.

    Raises:
        AssertionError: the model has no such field.
    """
    container = re.fullmatch(r"(list|dict)[\[(](?:str, )?(.+)[\])]", kind)
    if container is not None and container[1] == "list":
        assert isinstance(document, list), (kind, document)
        return [read(container[2], one) for one in document]
    if container is not None:
        assert isinstance(document, dict), (kind, document)
        return {name: read(container[2], one) for name, one in document.items()}
    model = getattr(models, kind, None)
    if model is None:
        return document
    by_name = {there: here for here, there in model.attribute_map.items()}
    unknown = document.keys() - by_name.keys()
    assert not unknown, f"{kind} has no {', '.join(unknown)}"
    fields = {by_name[name]: read(model.openapi_types[by_name[name]], one) for name, one in document.items()}
    return model(**fields)


KINDS = {
    ("apps/v1", "Deployment"): "V1Deployment",
    ("v1", "Service"): "V1Service",
    ("networking.k8s.io/v1", "Ingress"): "V1Ingress",
    ("policy/v1", "PodDisruptionBudget"): "V1PodDisruptionBudget",
    ("v1", "PersistentVolumeClaim"): "V1PersistentVolumeClaim",
    ("batch/v1", "Job"): "V1Job",
}


def test_a_field_that_there_is_not_is_found() -> None:
    with pytest.raises(AssertionError, match="V1Container has no comand"):
        read("V1PodSpec", {"containers": [{"name": "a", "comand": ["cm"]}]})


def test_the_manifests_have_fields_that_there_are(manifests: list[dict[str, Any]]) -> None:
    found = [read(KINDS[one["apiVersion"], one["kind"]], one) for one in manifests]
    assert [one.kind for one in found] == [kind for _, kind in KINDS]


def test_the_board_is_watched_where_it_answers(manifests: list[dict[str, Any]]) -> None:
    from cm_assets.web.health import router

    routes = {getattr(route, "path", "") for route in router.routes}
    (container,) = manifests[0]["spec"]["template"]["spec"]["containers"]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        assert container[probe]["httpGet"]["path"] in routes
    (port,) = container["ports"]
    assert container["command"][-1] == str(port["containerPort"])


def test_what_is_mounted_is_a_volume_that_there_is(manifests: list[dict[str, Any]], values: dict[str, Any]) -> None:
    pods = [one["spec"]["template"]["spec"] for one in manifests if one["kind"] in {"Deployment", "Job"}]
    (code,) = values["dagster-user-deployments"]["deployments"]
    for pod in pods:
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= {one["name"] for one in pod["volumes"]}
    assert {mount["name"] for mount in code["volumeMounts"]} == {one["name"] for one in code["volumes"]}
    claims = {one["metadata"]["name"] for one in manifests if one["kind"] == "PersistentVolumeClaim"}
    wanted = [one["persistentVolumeClaim"]["claimName"] for one in code["volumes"] if "persistentVolumeClaim" in one]
    assert set(wanted) <= claims


def test_each_pool_has_its_places(manifests: list[dict[str, Any]]) -> None:
    job = next(one for one in manifests if one["kind"] == "Job")
    (script,) = job["spec"]["template"]["spec"]["containers"][0]["args"]
    said = dict(re.findall(r"\b([a-z_]+)=(\d+)", script))
    assert set(said) == {policy.pool for policy in STAGES.values() if policy.pool}


def test_nothing_secret_is_written_down(manifests: list[dict[str, Any]], values: dict[str, Any]) -> None:
    text = json.dumps([values, manifests])
    assert not re.search(
        r"(password|secret|token|_key)\w*\": *\"(?!postgresql-password|cm-|dagster-tls|videos-tls)\w", text, re.I
    )


def test_the_settings_are_settings(values: dict[str, Any], manifests: list[dict[str, Any]]) -> None:
    board = manifests[0]["spec"]["template"]["spec"]["containers"][0]["env"]
    names = {*environment(values), *(one["name"] for one in board)} - {"DAGSTER_PG_PASSWORD"}
    assert {name.removeprefix("CM_").lower() for name in names} <= set(Settings.model_fields)


def test_jobs_are_what_they_are_called() -> None:
    assert JOBS == (PRODUCE_JOB, PUBLISH_JOB, TAKE_DOWN_JOB)


def test_pods_that_are_no_json_or_of_no_job_are_refused() -> None:
    with pytest.raises(ValueError, match="must be JSON, by job"):
        Settings(pods="[1]")
    with pytest.raises(ValueError, match="publish: there is no such job; there are produce_video"):
        Settings(pods='{"publish": {}}')


def test_where_no_cluster_is_spoken_of_runs_have_no_tag_of_one() -> None:
    collected = Collected(Settings().pods)
    collected.launch("publish_video", (), "a", {"cm/attempt": "1"}, {})
    (request,) = collected.taken()
    assert POD_TAG not in request.tags


def launcher_config(values: Mapping[str, Any], kubeconfig: Path) -> dict[str, Any]:
    """What the chart makes of the values for `dagster.yaml`."""
    ours = values["runLauncher"]["config"]["k8sRunLauncher"]
    run = {snake(name): one for name, one in ours["runK8sConfig"].items()}
    return {
        "load_incluster_config": False,
        "kubeconfig_file": str(kubeconfig),
        "job_namespace": "cm",
        "image_pull_policy": ours["imagePullPolicy"],
        "service_account_name": "cm-dagster",
        "dagster_home": values["global"]["dagsterHome"],
        "instance_config_map": "cm-dagster-instance",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
        "resources": ours["resources"],
        "run_k8s_config": run,
    }


def container_context(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the chart has the code server say of the pods of its runs."""
    (code,) = values["dagster-user-deployments"]["deployments"]
    return {
        "k8s": {
            "image_pull_policy": code["image"]["pullPolicy"],
            "env_config_maps": [one["name"] for one in code["envConfigMaps"]],
            "env_secrets": [one["name"] for one in code["envSecrets"]],
            "env": code["env"],
            "volume_mounts": code["volumeMounts"],
            "volumes": code["volumes"],
            "run_k8s_config": {},
        }
    }


@pytest.fixture
def cluster(tmp_path: Path, values: dict[str, Any]) -> Iterator[tuple[KubernetesServer, dg.DagsterInstance]]:
    with KubernetesServer() as server:
        overrides = {
            "run_launcher": {
                "module": "dagster_k8s",
                "class": "K8sRunLauncher",
                "config": launcher_config(values, server.kubeconfig(tmp_path)),
            }
        }
        with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance:
            yield server, instance


def launched(instance: dg.DagsterInstance, values: Mapping[str, Any], job: str, tags: Mapping[str, str]) -> str:
    """Have a run of a job launched as the daemon does; its id."""
    target = LoadableTargetOrigin(module_name="cm_assets.definitions")
    image = values["dagster-user-deployments"]["deployments"][0]["image"]
    from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin

    repository = RepositoryPythonOrigin(
        executable_path="python",
        code_pointer=dg._core.code_pointer.ModuleCodePointer("cm_assets.definitions", "defs"),
        container_image=f"{image['repository']}:{image['tag']}",
        entry_point=["dagster"],
        container_context=container_context(values),
    )
    run = instance.create_run(
        job_name=job,
        run_id=None,
        run_config={},
        status=dg.DagsterRunStatus.NOT_STARTED,
        tags=dict(tags),
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=None,
        execution_plan_snapshot=None,
        job_snapshot=None,
        parent_job_snapshot=None,
        asset_selection=None,
        asset_check_selection=None,
        resolved_op_selection=None,
        op_selection=None,
        asset_graph=dg.Definitions().get_repository_def().asset_graph,
        remote_job_origin=RemoteJobOrigin(
            RemoteRepositoryOrigin(InProcessCodeLocationOrigin(target, location_name="cm-assets"), "__repository__"),
            job,
        ),
        job_code_origin=JobPythonOrigin(job, repository),
    )
    from dagster._core.launcher.base import LaunchRunContext

    instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
    return run.run_id


def test_a_run_is_a_pod_that_asks_for_what_a_render_needs(
    cluster: tuple[KubernetesServer, dg.DagsterInstance], values: dict[str, Any]
) -> None:
    server, instance = cluster
    launched(instance, values, "produce_video", {"dagster/partition": "a"})
    (job,) = server.jobs.values()
    read("V1Job", {name: one for name, one in job.items() if name != "namespace"})
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    asked = values["runLauncher"]["config"]["k8sRunLauncher"]["resources"]
    assert container["resources"] == asked
    assert pod["nodeSelector"] == {"cm/role": "render"}
    assert container["image"] == "registry.example.com/cm-assets:0.1.0"
    assert {mount["name"] for mount in container["volumeMounts"]} == {"home", "outbox"}
    assert {one["secretRef"]["name"] for one in container["envFrom"] if "secretRef" in one} == {
        "cm-intent",
        "cm-secrets",
    }
    assert job["namespace"] == "cm"
    assert job["spec"]["ttlSecondsAfterFinished"] == 3600
    assert pod["volumes"][0].keys() >= {"name"}
    said = {one["name"]: one.get("value") for one in container["env"]}
    assert said["CM_HOME"] == "/home/cm/home"
    assert job["spec"]["template"]["metadata"]["annotations"] == {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"
    }


@pytest.mark.parametrize("name", ["publish_video", "take_down_video"])
def test_a_pod_that_waits_for_the_network_keeps_no_render_node(
    cluster: tuple[KubernetesServer, dg.DagsterInstance], values: dict[str, Any], name: str
) -> None:
    server, instance = cluster
    settings = Settings(pods=environment(values)["CM_PODS"])
    collected = Collected(settings.pods)
    collected.launch(name, (), "a", {"cm/attempt": "1"}, {})
    (request,) = collected.taken()
    run_id = launched(instance, values, name, request.tags)
    (job,) = server.jobs.values()
    read("V1Job", {one: what for one, what in job.items() if one != "namespace"})
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["requests"]["cpu"] == "250m"
    assert not pod.get("nodeSelector")
    assert not pod.get("tolerations")
    assert {mount["name"] for mount in container["volumeMounts"]} == {"home", "outbox"}
    # Its end, by a cancel.
    assert instance.run_launcher.terminate(run_id)
    assert server.jobs == {}


def test_the_launcher_and_the_limits_are_configuration_that_dagster_takes(
    values: dict[str, Any], tmp_path: Path
) -> None:
    config = launcher_config(values, tmp_path / "kubeconfig.json")
    taken = process_config(K8sRunLauncher.config_type(), config)  # type: ignore[no-untyped-call]
    assert taken.success, taken.errors
    pools, runs = values["concurrency"]["pools"], values["concurrency"]["runs"]
    monitoring = values["dagsterDaemon"]["runMonitoring"]
    limits = [{**one} for one in runs["tagConcurrencyLimits"]]
    instance = {
        "concurrency": {
            "pools": {snake(name): one for name, one in pools.items()},
            "runs": {"max_concurrent_runs": runs["maxConcurrentRuns"], "tag_concurrency_limits": limits},
        },
        "run_monitoring": {snake(name): one for name, one in monitoring.items()},
        "retention": {"sensor": {"purge_after_days": values["retention"]["sensor"]["purgeAfterDays"]}},
    }
    schema = {name: one for name, one in dagster_instance_config_schema().items() if name in instance}
    taken = process_config(schema, instance)
    assert taken.success, taken.errors


def test_pods_have_room_for_a_home(values: dict[str, Any]) -> None:
    limit = values["runLauncher"]["config"]["k8sRunLauncher"]["resources"]["limits"]["ephemeral-storage"]
    (code,) = values["dagster-user-deployments"]["deployments"]
    home = next(one for one in code["volumes"] if one["name"] == "home")
    assert int(home["emptyDir"]["sizeLimit"].removesuffix("Gi")) <= int(limit.removesuffix("Gi"))


CHART = "CM_DAGSTER_CHART"
"""Variable that names a folder with the chart, for whoever has it: `helm pull dagster/dagster --untar`."""


def unknown_keys(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Keys of ours that the chart's defaults do not have, apart from what is left to the user there."""
    if not isinstance(ours, dict) or not isinstance(theirs, dict) or not theirs:
        return []
    missing = [f"{path}{name}" for name in ours if name not in theirs]
    return missing + [
        one for name in ours if name in theirs for one in unknown_keys(ours[name], theirs[name], f"{path}{name}.")
    ]


def test_a_key_that_the_chart_does_not_have_is_found() -> None:
    assert unknown_keys({"a": {"b": 1, "c": 2}, "d": {"e": 1}}, {"a": {"b": 0}, "d": {}}) == ["a.c"]


def test_the_values_are_those_of_the_chart(values: dict[str, Any]) -> None:
    """Against the chart itself where somebody has it; else against the names that were read in it by hand."""
    if os.environ.get(CHART):
        theirs = yaml.safe_load((Path(os.environ[CHART]) / "values.yaml").read_text())
        free = {"runLauncher", "computeLogManager", "retention"}
        assert unknown_keys({name: one for name, one in values.items() if name not in free}, theirs) == []
        return
    top = {
        *("global", "dagster-user-deployments", "runLauncher", "concurrency", "dagsterDaemon", "dagsterWebserver"),
        *("ingress", "postgresql", "generatePostgresqlPasswordSecret", "generateCeleryConfigSecret", "migrate"),
        *("computeLogManager", "retention", "rabbitmq", "redis", "flower", "telemetry", "additionalInstanceConfig"),
    }
    assert set(values) <= top
