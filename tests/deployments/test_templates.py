"""The work pools' templates, as the workers read them, and the settings of ``make deploy``."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
import yaml

from tad_core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "deployments" / "templates").glob("*.json"))


@pytest.fixture(scope="module")
def deploy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tad_deploy", ROOT / "deployments" / "deploy.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_placeholder_has_a_variable_and_every_variable_is_used(file: Path) -> None:
    template = json.loads(file.read_text())
    used = set(re.findall(r"{{ (\w+) }}", json.dumps(template["job_configuration"])))
    # env is merged by the worker, so that a run's own variables do not replace the pool's.
    assert used - {"env"} == set(template["variables"]["properties"]) - {"env"}
    assert template["job_configuration"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"


def test_what_is_deployed_names_flows_and_pools_that_exist(deploy: ModuleType) -> None:
    from prefect.flows import load_flow_from_entrypoint

    tree = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())
    assert tree["pull"] == []
    for entry in tree["deployments"]:
        flow = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
        assert flow.name == ("tad" if entry["name"] == "pipeline" else f"tad-{entry['name']}")
        assert entry["work_pool"]["name"] in deploy.POOLS
        assert not any(schedule["active"] for schedule in entry.get("schedules", []))
    names = {entry["name"] for entry in tree["deployments"]}
    assert {"pipeline", "collect", "filter", "distill", "evaluate", "report"} <= names
    assert names <= set((ROOT / "docs" / "cluster.md").read_text().replace("/", "`").split("`"))


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TAD_POOL_TYPE": "podman"}, "TAD_POOL_TYPE: 'podman' is not accepted; use one of process, docker"),
        ({"TAD_SECRETS": "HF_TOKEN"}, "TAD_SECRETS: HF_TOKEN is not set"),
        ({"TAD_GPU_RUNS": "many"}, "TAD_GPU_RUNS: 'many' is not a number"),
    ],
)
def test_wrong_settings_are_one_message(
    deploy: ModuleType, environment: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        deploy.deploy(environment)


def test_secrets_are_references_and_the_seccomp_profile_is_inside(deploy: ModuleType) -> None:
    settings = {"TAD_GPU_IMAGE": "registry/tad:1", "HF_TOKEN": "hf_secret"}
    template = deploy.base_job_template("docker", "gpu", settings, ("HF_TOKEN",))
    assert "hf_secret" not in json.dumps(template)
    variables = template["variables"]["properties"]
    assert variables["env"]["default"] == {"HF_TOKEN": "{{ prefect.blocks.secret.tad-hf-token }}"}
    assert variables["image"]["default"] == "registry/tad:1"
    profile = json.loads(variables["seccomp"]["default"])
    assert profile == json.loads((ROOT / "docker" / "seccomp.json").read_text())
    assert "TAD_STORE" not in deploy.base_job_template("process", "cpu", {})["job_configuration"]["env"]


def test_the_docker_worker_starts_containers_with_gpus_shared_memory_and_the_profile(
    deploy: ModuleType,
) -> None:
    worker = pytest.importorskip("prefect_docker.worker", reason="pip install -e .[docker]")
    cpu = resolve(worker.DockerWorkerJobConfiguration, deploy.base_job_template("docker", "cpu", {}))
    gpu = resolve(
        worker.DockerWorkerJobConfiguration, deploy.base_job_template("docker", "gpu", {}), {"gpus": 2}
    )
    assert (cpu.image, gpu.image) == ("tad:cpu", "tad:cuda")
    assert cpu.volumes == ["tad-data:/data"] and cpu.networks == ["tad"] and cpu.auto_remove
    assert "device_requests" not in cpu.container_create_kwargs
    wanted = {"Driver": "nvidia", "Count": 2, "Capabilities": [["gpu"]]}
    assert gpu.container_create_kwargs["device_requests"] == [wanted]
    # What docker-py makes of it is what the engine is asked for.
    from docker.types import HostConfig

    given = {k: v for k, v in gpu.container_create_kwargs.items() if k != "name"}
    asked = HostConfig(version="1.44", **given)
    assert asked["ShmSize"] == 16 << 30 and asked["CapDrop"] == ["ALL"]
    assert any(option.startswith('seccomp={"defaultAction"') for option in asked["SecurityOpt"])


def test_the_kubernetes_worker_makes_a_job_with_gpus_shared_memory_and_secrets(deploy: ModuleType) -> None:
    worker = pytest.importorskip("prefect_kubernetes.worker", reason="pip install -e .[kubernetes]")
    template = deploy.base_job_template("kubernetes", "gpu", {"TAD_GPU_IMAGE": "registry/tad:1"})
    configuration = resolve(worker.KubernetesWorkerJobConfiguration, template, {"gpus": 4})
    prepare_for_run(configuration)
    pod = configuration.job_manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry/tad:1"
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 4}
    assert container["envFrom"] == [{"secretRef": {"name": "tad-secrets", "optional": True}}]
    assert {"name": "TAD_STORE", "value": "/data/store"} in container["env"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Gi"}
    assert volumes["data"]["persistentVolumeClaim"] == {"claimName": "tad-data"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["restartPolicy"] == "Never" and configuration.job_manifest["spec"]["backoffLimit"] == 0


def resolve(kind: Any, template: dict[str, Any], values: dict[str, Any] | None = None) -> Any:
    """A run's configuration as a worker makes it of the pool's template."""

    class NoServer:
        """Templates without blocks or variables ask it for nothing."""

        async def read_variable_by_name(self, name: str) -> None:
            raise AssertionError(name)

    return asyncio.run(kind.from_template_and_values(template, values or {}, client=NoServer()))


def prepare_for_run(configuration: Any) -> None:
    from prefect.client.schemas.objects import FlowRun

    configuration.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="smoke to report"))
