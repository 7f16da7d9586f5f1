"""Register work pools, secrets, the automation and all deployments with a Prefect server: ``make deploy``.

May be run at any time, again and again: what is as it should be is left alone, what differs is put right, nothing is
made twice. Settings come from the environment:

  PREFECT_API_URL   the server (needed)
  TAD_POOL_TYPE     process (default), docker or kubernetes
  TAD_IMAGE         image of runs on CPUs (default tad:cpu)    TAD_GPU_IMAGE   image of runs on GPUs (default tad:cuda)
  TAD_STORE         folder or URL below which stores go: set for every run of the pools
  TAD_SECRETS       names of variables, e.g. HF_TOKEN,WANDB_API_KEY: kept on the server as secret blocks, handed to runs
  TAD_PRESETS       a folder of your own configurations, which the form then offers too; set it for the workers as well
  TAD_CPU_RUNS, TAD_GPU_RUNS   at most so many runs at once in a pool (default: no limit)
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from flows.automation import heartbeat_automation, put_automation  # noqa: E402
from flows.environment import check_server, settle  # noqa: E402
from tad_core.errors import ConfigError, TADError  # noqa: E402

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

POOL_TYPES = ("process", "docker", "kubernetes")
POOLS = {"tad-cpu": "cpu", "tad-gpu": "gpu"}
_DATA = "/data"
_MEMORY = "prefect.server.concurrency.lease_storage.memory"
_UNLIMITED = (
    f"limits of deployments: left out, since this server keeps their leases in memory ({_MEMORY}), and its restart "
    "would end the runs that hold one; start it with `make server`, then `make deploy` again"
)

Environment = Mapping[str, str]


def main(argv: list[str] | None = None) -> int:
    """Register everything; print one line for each thing; 2 if the settings are wrong."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(argv)
    settle(loud=True)
    try:
        for line in deploy(os.environ):
            print(line, flush=True)
    except TADError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def deploy(environment: Environment) -> list[str]:
    """Bring the server to the state that the repository and ``environment`` describe.

    Returns:
        A line for each thing: ``created``, ``updated`` or ``unchanged``.

    Raises:
        ConfigError: no server, or a setting that is wrong; nothing was registered.
    """
    kind, secrets, limits = _pool_type(environment), _secrets(environment), _limits(environment)
    url = check_server()
    if url is None:
        raise ConfigError("PREFECT_API_URL: not set; give the server, e.g. http://127.0.0.1:4200/api")
    from prefect.client.orchestration import get_client

    done = [f"server {url}"]
    for name, value in secrets.items():
        done.append(_put_secret(name, value))
    with get_client(sync_client=True) as client:
        for pool, hardware in POOLS.items():
            template = base_job_template(kind, hardware, environment, tuple(secrets))
            done.append(_put_pool(client, pool, kind, template, limits[hardware]))
        done.append(put_automation(client, heartbeat_automation()))
        before = deployments(client)
        limited = not leases_are_in_memory(client)
        _prefect_deploy(environment, limited)
        after = deployments(client)
    for name in sorted(after):
        word = "created" if name not in before else "unchanged" if before[name] == after[name] else "updated"
        done.append(f"deployment {name}: {word}")
    if not limited:
        done.append(_UNLIMITED)
    return done


# --- settings -----------------------------------------------------------------------------------------


def _pool_type(environment: Environment) -> str:
    kind = environment.get("TAD_POOL_TYPE") or "process"
    if kind not in POOL_TYPES:
        raise ConfigError(f"TAD_POOL_TYPE: {kind!r} is not accepted; use one of {', '.join(POOL_TYPES)}")
    return kind


def _secrets(environment: Environment) -> dict[str, str]:
    names = [name.strip() for name in environment.get("TAD_SECRETS", "").split(",") if name.strip()]
    for name in names:
        if not environment.get(name):
            raise ConfigError(f"TAD_SECRETS: {name} is not set; export it, or take it out of TAD_SECRETS")
    return {name: environment[name] for name in names}


def _limits(environment: Environment) -> dict[str, int | None]:
    limits: dict[str, int | None] = {}
    for hardware in POOLS.values():
        field = f"TAD_{hardware.upper()}_RUNS"
        raw = environment.get(field, "")
        if raw and not (raw.isdigit() and int(raw) > 0):
            raise ConfigError(f"{field}: {raw!r} is not a number of runs; use 1, 2, …, or unset it")
        limits[hardware] = int(raw) if raw else None
    return limits


# --- work pools ---------------------------------------------------------------------------------------


def base_job_template(
    kind: str, hardware: str, environment: Environment, secrets: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The template of ``deployments/templates`` with image, store, seccomp profile and secrets filled in.

    A secret appears as a reference to its block; the worker looks it up when it starts a run.
    """
    file = HERE / "templates" / (f"{kind}.json" if kind == "process" else f"{kind}-{hardware}.json")
    template: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    variables = template["variables"]["properties"]
    fixed = template["job_configuration"]["env"]
    if kind != "process":
        fixed["TAD_STORE"] = environment.get("TAD_STORE") or f"{_DATA}/store"
        image = environment.get("TAD_GPU_IMAGE" if hardware == "gpu" else "TAD_IMAGE")
        variables["image"]["default"] = image or variables["image"]["default"]
    elif environment.get("TAD_STORE"):
        fixed["TAD_STORE"] = environment["TAD_STORE"]
    if kind == "docker":
        # The engine's API takes the profile itself, not the name of a file.
        profile = json.loads((ROOT / "docker" / "seccomp.json").read_text(encoding="utf-8"))
        variables["seccomp"]["default"] = json.dumps(profile, separators=(",", ":"))
    # As defaults of a variable: the server refuses references in the configuration itself. A run's own variables
    # are merged with them.
    references = {name: f"{{{{ prefect.blocks.secret.{_block_name(name)} }}}}" for name in secrets}
    variables["env"]["default"] = {**variables["env"]["default"], **references}
    return template


def _put_pool(
    client: SyncPrefectClient, name: str, kind: str, template: dict[str, Any], limit: int | None
) -> str:
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(name=name, type=kind, base_job_template=template, concurrency_limit=limit)
        )
        return f"work pool {name} ({kind}): created"
    if pool.type != kind:
        raise ConfigError(
            f"TAD_POOL_TYPE: the work pool {name} is of type {pool.type} already, which cannot be changed to {kind}; "
            f"delete it first: prefect work-pool delete {name}"
        )
    if pool.base_job_template == template and pool.concurrency_limit == limit:
        return f"work pool {name} ({kind}): unchanged"
    client.update_work_pool(name, WorkPoolUpdate(base_job_template=template, concurrency_limit=limit))
    return f"work pool {name} ({kind}): updated"


# --- secrets ------------------------------------------------------------------------------------------


def _block_name(variable: str) -> str:
    return f"tad-{variable.lower().replace('_', '-')}"


def _put_secret(variable: str, value: str) -> str:
    from prefect.blocks.system import Secret

    name = _block_name(variable)
    try:
        known = Secret.load(name).get()
    except ValueError:  # there is no such block
        known = None
    if known == value:
        return f"secret {name}: unchanged"
    Secret(value=value).save(name, overwrite=True)
    return f"secret {name}: {'created' if known is None else 'updated'}"


# --- deployments --------------------------------------------------------------------------------------


def deployments(client: SyncPrefectClient) -> dict[str, dict[str, Any]]:
    """All deployments of the repository by ``flow/deployment``, without what only says when they were made."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=["tad"]))
    out: dict[str, dict[str, Any]] = {}
    for item in client.read_deployments(deployment_filter=tagged, limit=200):
        flow = client.read_flow(item.flow_id)
        out[f"{flow.name}/{item.name}"] = _content(item.model_dump(mode="json"))
    return out


_NO_CONTENT = {
    "created",
    "updated",
    "created_by",
    "updated_by",
    "last_polled",
    "status",
    "version_info",
    "id",
}


def _content(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _content(v) for k, v in node.items() if k not in _NO_CONTENT and not k.endswith("_id")}
    return [_content(entry) for entry in node] if isinstance(node, list) else copy.copy(node)


def leases_are_in_memory(client: SyncPrefectClient) -> bool:
    """Whether a restart of the server takes the leases of limits with it, as it does unless the server is told else.

    A run whose lease is gone is ended by Prefect three minutes later. Prefect Cloud does not tell, and keeps them.
    """
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        settings = client.request("GET", "/admin/settings").json()
    except PrefectHTTPStatusError:
        return False
    return bool(settings.get("server", {}).get("concurrency", {}).get("lease_storage") == _MEMORY)


def _prefect_deploy(environment: Environment, limited: bool) -> None:
    """Prefect's own command, which knows every field of ``prefect.yaml``; not ``limited``: without their limits."""
    import yaml

    described = yaml.safe_load((HERE / "prefect.yaml").read_text(encoding="utf-8"))
    if not limited:
        for deployment in described["deployments"]:
            deployment["concurrency_limit"] = None
    path = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(described), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "prefect",
            "--no-prompt",
            "deploy",
            "--all",
            "--prefect-file",
            str(file),
        ]
        done = subprocess.run(
            command, cwd=ROOT, env={**environment, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
    if done.returncode:
        raise TADError(
            f"prefect deploy failed (exit code {done.returncode}):\n{(done.stdout + done.stderr)[-3000:]}"
        )


if __name__ == "__main__":
    sys.exit(main())
