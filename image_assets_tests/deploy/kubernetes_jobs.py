"""The Kubernetes job that the run launcher of `data/deploy/kubernetes/values.yaml` asks a cluster's API for."""

import json
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster_k8s import K8sRunLauncher

from image_assets_tests.serving import served

_IMAGE = "registry.example.org/image-assets:0.1.0"


def job_of_run(values: Mapping[str, Any], folder: Path, tag: Mapping[str, Any]) -> dict[str, Any]:
    """Launch a run with a tag ``dagster-k8s/config``; return what the API was sent."""
    _Api.received.clear()
    with served(ThreadingHTTPServer(("127.0.0.1", 0), _Api)) as api:
        config = _launcher_config(values, _access(folder, f"http://127.0.0.1:{api.server_port}"))
        _launch(config, {"dagster-k8s/config": json.dumps(tag)} if tag else {})
    (job,) = _Api.received
    return job


class _Api(BaseHTTPRequestHandler):
    """Takes every object that is to be made."""

    received: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append(json.loads(body))
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        pass


def _launcher_config(values: Mapping[str, Any], access: Path) -> dict[str, Any]:
    """Return what the chart's template writes into dagster.yaml of the section that the values fill."""
    said = values["runLauncher"]["config"]["k8sRunLauncher"]
    plain = {"volumes", "labels", "resources"}
    renamed = {
        "imagePullPolicy": "image_pull_policy",
        "envVars": "env_vars",
        "volumeMounts": "volume_mounts",
        "securityContext": "security_context",
        "runK8sConfig": "run_k8s_config",
    }
    raw = {"podSpecConfig": "pod_spec_config", "jobSpecConfig": "job_spec_config"}
    assert said.keys() <= plain | renamed.keys()
    config = {renamed.get(name, name): value for name, value in said.items()}
    config["run_k8s_config"] = {raw[name]: value for name, value in said["runK8sConfig"].items()}
    return config | {
        "load_incluster_config": False,
        "kubeconfig_file": str(access),
        "job_namespace": "images",
        "service_account_name": "dagster",
        "dagster_home": values["global"]["dagsterHome"],
        "instance_config_map": "dagster-instance",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
    }


def _launch(config: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    @dg.job
    def nothing() -> None:
        pass

    pointer = ModuleCodePointer("image_assets.definitions", "defs", None)
    code = JobPythonOrigin("nothing", RepositoryPythonOrigin(sys.executable, pointer, _IMAGE, ["dagster"], {}))
    launcher = {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": config}
    with dg.instance_for_test(overrides={"run_launcher": launcher}) as instance:
        run = instance.create_run_for_job(nothing, job_code_origin=code, tags=tags)
        assert isinstance(instance.run_launcher, K8sRunLauncher)
        instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))


def _access(folder: Path, server: str) -> Path:
    """Return a kubeconfig of a cluster without log-in."""
    path = folder / "kubeconfig"
    content = {
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "users": [{"name": "me", "user": {}}],
        "current-context": "here",
    }
    path.write_text(yaml.safe_dump(content))
    return path
