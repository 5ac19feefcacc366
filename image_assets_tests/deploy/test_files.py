"""The files of `data/deploy` are what Dagster, Compose and Kubernetes take, and say what the repository's own say."""

import ast
import importlib
import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.workspace.config_schema import process_workspace_config
from dagster._serdes import ConfigurableClassData

from image_assets_tests.deploy.team import DEPLOY
from image_assets_tests.end_to_end.dagster_dev import ROOT

VALUES = DEPLOY / "kubernetes/values.yaml"
# Where a team's data is kept is what its files are for.
OWN = {"storage", "local_artifact_storage", "compute_logs", "run_launcher"}
# Runs that have a machine of their own: more of them fit, and each takes longer to start.
MORE_ROOM = {"concurrency.runs.max_concurrent_runs": 10, "run_monitoring.start_timeout_seconds": 600}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def instance_of_values() -> dict[str, Any]:
    """Return the sections of dagster.yaml that the chart writes of the values and the repository's file has, too."""
    values = load(VALUES)
    daemon = values["dagsterDaemon"]
    return {
        **values["additionalInstanceConfig"],
        "telemetry": values["telemetry"],
        "run_monitoring": snake(daemon["runMonitoring"]),
        "sensors": snake(daemon["sensors"]),
    }


def snake(section: dict[str, Any]) -> dict[str, Any]:
    return {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name): value for name, value in section.items()}


def flat(content: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {name.removeprefix("."): content}
    return {key: value for part, inner in content.items() for key, value in flat(inner, f"{name}.{part}").items()}


@pytest.mark.parametrize(
    ("instance", "different"),
    [
        (load(DEPLOY / "dagster.postgres.yaml"), set()),
        (load(DEPLOY / "dagster.ecs.yaml"), set(MORE_ROOM)),
        (instance_of_values(), set(MORE_ROOM)),
    ],
    ids=["postgres", "ecs", "kubernetes"],
)
def test_what_instances_share_is_the_same(instance: dict[str, Any], different: set[str]) -> None:
    own = {name: section for name, section in load(ROOT / "dagster.yaml").items() if name not in OWN}
    shared = {name: section for name, section in instance.items() if name not in OWN}
    expected = flat(own) | {name: MORE_ROOM[name] for name in different}
    assert flat(shared) == expected


def test_runs_that_are_children_of_the_code_server_are_watched() -> None:
    assert load(DEPLOY / "dagster.postgres.yaml")["run_launcher"] == load(ROOT / "dagster.yaml")["run_launcher"]


@pytest.mark.parametrize("path", [ROOT / "dagster.yaml", *DEPLOY.glob("dagster.*.yaml")], ids=lambda path: path.name)
def test_dagster_takes_each_instance(path: Path) -> None:
    reference = InstanceRef.from_dir(str(path.parent), config_filename=path.name)
    parts = {name: value for name, value in reference._asdict().items() if isinstance(value, ConfigurableClassData)}
    assert {"storage_data", "compute_logs_data", "run_coordinator_data", "run_launcher_data"} <= parts.keys()
    for part in parts.values():
        found = importlib.import_module(part.module_name) if importable(part.module_name) else None
        if found is not None:
            validated = validate_config(getattr(found, part.class_name).config_type(), yaml.safe_load(part.config_yaml))
            assert validated.success, (part.class_name, validated.errors)


def importable(module: str) -> bool:
    """Return whether a module is there; that of PostgreSQL comes with an extra."""
    return not module.startswith("dagster_postgres") or importlib.util.find_spec("dagster_postgres") is not None


def test_dagster_takes_the_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_ASSETS_CODE_HOST", "code")
    monkeypatch.setenv("IMAGE_ASSETS_CODE_PORT", "4000")
    content = load(DEPLOY / "workspace.grpc.yaml")
    assert process_workspace_config(content).success
    (server,) = (entry["grpc_server"] for entry in content["load_from"])
    # Runs and sensors of the one are found by the other.
    own = load(ROOT / "workspace.yaml")["load_from"][0]["python_module"]
    assert server["location_name"] == own["location_name"]


def test_compose_gives_what_dagster_asks_the_environment_for() -> None:
    compose = load(DEPLOY / "compose.yaml")
    asked = set(re.findall(r"env: (\w+)", "".join((DEPLOY / name).read_text() for name in INSTANCE_FILES)))
    for service in ("code", "webserver", "daemon"):
        assert asked <= compose["services"][service]["environment"].keys()
    names = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    explained = set(re.findall(r"^#?([A-Z_0-9]+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    assert names - explained == {"IMAGE_ASSETS_IMAGE"}


INSTANCE_FILES = ("dagster.postgres.yaml", "workspace.grpc.yaml")


def test_only_the_web_server_is_published_and_only_on_this_machine() -> None:
    services = load(DEPLOY / "compose.yaml")["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"webserver": ["127.0.0.1:${DAGSTER_PORT:-3000}:3000"]}
    assert all(service["healthcheck"] and service["restart"] for service in services.values())


def test_images_have_versions_and_the_code_a_user_of_its_own() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    images = [service["image"] for service in load(DEPLOY / "compose.yaml")["services"].values()]
    assert all(re.fullmatch(r"[^:]+(:-[^:]+)?:[\w.-]*\d[\w.-]*\}?", image) for image in [*bases, *images])
    user = int(next(line.split()[1] for line in reversed(lines) if line.startswith("USER ")))
    assert user == load(VALUES)["dagsterDaemon"]["podSecurityContext"]["runAsUser"]


def test_the_image_is_built_of_files_that_are_there() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    lines = [line for line in dockerfile.splitlines() if line.startswith("COPY ") and "--from" not in line]
    copied = [line.split()[1:-1] for line in lines]
    sent = set(re.findall(r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
    assert {name for names in copied for name in names} == sent
    assert all((ROOT / name).exists() for name in sent)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"postgres", "kubernetes"} <= project["optional-dependencies"].keys()
    command = ast.literal_eval(re.search(r"^CMD (.+)$", dockerfile, re.MULTILINE)[1])  # type: ignore[index]
    assert command[-2:] == ["--location-name", "image_assets"]


def test_kubernetes_takes_the_job_of_a_run(tmp_path: Path) -> None:
    pytest.importorskip("dagster_k8s", reason="needs image-assets[kubernetes]")
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate").validate
    from image_assets_tests.deploy.kubernetes_jobs import job_of_run

    tags = {"container_config": {"resources": {"requests": {"cpu": "8", "memory": "6Gi"}}}}
    plain, large = (job_of_run(load(VALUES), tmp_path, tag) for tag in ({}, tags))
    for job in (plain, large):
        validate(job, "1.34", strict=True)
    (container,) = large["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": "8", "memory": "6Gi"}, "limits": {"memory": "4Gi"}}


def test_kubernetes_takes_the_objects_beside_the_chart() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate").validate
    objects = list(yaml.safe_load_all((DEPLOY / "kubernetes/objects.yaml").read_text()))
    for item in objects:
        validate(item, "1.34", strict=True)
    volumes = load(VALUES)["runLauncher"]["config"]["k8sRunLauncher"]["volumes"]
    mounted = {volume["configMap"]["name"] for volume in volumes if "configMap" in volume}
    assert mounted <= {item["metadata"]["name"] for item in objects if item["kind"] == "ConfigMap"}
