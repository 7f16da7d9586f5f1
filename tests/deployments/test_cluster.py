"""Deployed to a real server and run by a real worker: what a team does on the first day."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.deployments.conftest import wait_until

pytestmark = pytest.mark.timeout(1800)
DEPLOYMENTS = {
    "tad/pipeline",
    "tad-collect/collect",
    "tad-collect-worker/collect-worker",
    "tad-filter/filter",
    "tad-distill/distill",
    "tad-evaluate/evaluate",
    "tad-report/report",
}


def words(lines: list[str]) -> dict[str, str]:
    """What happened to each thing, by its name."""
    return {name: word for name, _, word in (line.rpartition(": ") for line in lines) if name}


def test_registered_and_wrong_values_refused(cluster: Any) -> None:
    """The quick one, on SQLite, without a worker."""
    done = words(cluster.deploy())
    assert set(done.values()) == {"created"}
    assert {name.removeprefix("deployment ") for name in done} >= DEPLOYMENTS
    assert limit_of(cluster, "tad/pipeline") == 4
    refused = cluster.start("tad-collect/collect", preset="smoke", changes={"rollout": {"samples": 65}})
    assert refused.status_code == 409
    assert "changes.rollout.samples" in refused.text and "maximum of 64" in refused.text
    accepted = cluster.start("tad-collect/collect", preset="smoke", changes={"rollout": {"samples": 2}})
    assert accepted.status_code == 201, accepted.text


@pytest.mark.slow
def test_a_server_that_forgets_leases_gets_no_limits_and_is_told_so(forgetful_cluster: Any) -> None:
    """Its restart would end the runs under a limit; a limit that is there already goes too."""
    cluster = forgetful_cluster
    flow = made(cluster, "/flows/", {"name": "tad"})
    made(cluster, "/deployments/", {"name": "pipeline", "flow_id": flow, "concurrency_limit": 4})
    assert limit_of(cluster, "tad/pipeline") == 4
    last = cluster.deploy()[-1]
    assert last.startswith("limits of deployments: left out") and "make server" in last
    assert {limit_of(cluster, name) for name in DEPLOYMENTS} == {None}


def made(cluster: Any, path: str, body: dict[str, Any]) -> str:
    """The id of what was made; a server on SQLite that has just started may ask for patience."""
    wait_until(lambda: cluster.request("POST", path, json=body).status_code != 503)
    return str(cluster.request("POST", path, json=body).json()["id"])


def limit_of(cluster: Any, name: str) -> int | None:
    """At most so many runs of a deployment at once; None without a limit."""
    limit = cluster.deployment(name)["global_concurrency_limit"]
    return None if limit is None else int(limit["limit"])


@pytest.mark.slow
def test_triggered_and_collected(cluster: Any) -> None:
    cluster.deploy()
    cluster.worker("tad-gpu")
    started = cluster.start("tad-collect/collect", preset="smoke", changes={"rollout": {"shard_size": 3}})
    run = cluster.finished(started.json()["id"])
    assert run["state"]["type"] == "COMPLETED", (run["state"]["message"], cluster.log("worker"))
    # The preset's store is relative: it goes below TAD_STORE, wherever the worker started the run.
    assert len(list(cluster.store.glob("runs/smoke/collect/*/privileged-*.parquet"))) == 2
    assert cluster.artifacts(run["id"])["collect-progress"]["data"] == 100.0


@pytest.mark.services
def test_on_postgresql_twice_deployed_and_run_to_the_report(postgres_cluster: Any) -> None:
    cluster = postgres_cluster
    assert set(words(cluster.deploy()).values()) == {"created"}
    before = everything(cluster)
    assert set(words(cluster.deploy()).values()) == {"unchanged"}
    assert everything(cluster) == before, "nothing twice, nothing changed"
    assert {d["name"] for d in before["deployments"]} == {name.split("/")[1] for name in DEPLOYMENTS}
    assert not any(s["active"] for d in before["deployments"] for s in d["schedules"])

    check_secrets(cluster)

    cluster.worker("tad-gpu", "gpu")
    cluster.worker("tad-cpu", "cpu")

    # On the CPU pool nothing is collected or trained: what is missing is named, with the deployment that makes it.
    early = cluster.finished(cluster.start("tad-report/report", preset="smoke").json()["id"])
    assert early["state"]["type"] == "FAILED"
    assert (
        early["state"]["message"].startswith("store: ") and "tad-collect/collect" in early["state"]["message"]
    )

    # A value that no field can refuse alone is one message at the start of the run.
    wrong = {"rollout": {"block_length": 5}}
    failed = cluster.finished(cluster.start("tad/pipeline", preset="smoke", changes=wrong).json()["id"])
    assert failed["state"]["type"] == "FAILED"
    assert "block_length: 5 does not divide response_length 32" in failed["state"]["message"]
    assert not cluster.store.exists()

    started = cluster.start("tad/pipeline", preset="smoke").json()
    run = cluster.finished(started["id"])
    assert run["state"]["type"] == "COMPLETED", (run["state"]["message"], cluster.log("gpu"))
    assert run["name"] == started["name"] and {"tad", "smoke", "to report"} <= set(run["tags"])
    assert "data:image/png;base64," in cluster.artifacts(run["id"])["report"]["data"]
    assert len(list(cluster.store.glob("runs/smoke/report/*/report.html"))) == 1

    # Now that all is there the CPU pool takes it as it is.
    again = cluster.finished(cluster.start("tad-report/report", preset="smoke").json()["id"])
    assert again["state"]["type"] == "COMPLETED", again["state"]["message"]
    assert {name for names in cluster.tasks(again["id"]).values() for name in names} == {"Cached"}


def check_secrets(cluster: Any) -> None:
    """A secret is a block; pools and deployments hold references, which a worker looks up when a run starts."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.workers.process import ProcessJobConfiguration

    (automation,) = cluster.request("POST", "/automations/filter", json={}).json()
    edited = {k: v for k, v in automation.items() if k not in ("id", "created", "updated")}
    edited["trigger"] = {**automation["trigger"], "within": 95}
    assert cluster.request("PUT", f"/automations/{automation['id']}", json=edited).status_code == 204

    secret = {"TAD_SECRETS": "HF_TOKEN", "HF_TOKEN": "hf_not_to_be_seen"}
    done = words(cluster.deploy(**secret))
    assert done[f"automation {automation['name']!r}"] == "updated", "what was edited is put right"
    (mended,) = cluster.request("POST", "/automations/filter", json={}).json()
    assert (mended["id"], mended["trigger"]["within"]) == (automation["id"], 300)
    assert done["secret tad-hf-token"] == "created" and done["work pool tad-gpu (process)"] == "updated"
    assert set(words(cluster.deploy(**secret)).values()) == {"unchanged"}
    assert "hf_not_to_be_seen" not in str(everything(cluster))
    template = cluster.request("GET", "/work_pools/tad-gpu").json()["base_job_template"]

    async def environment() -> dict[str, str | None]:
        async with get_client() as client:
            made = await ProcessJobConfiguration.from_template_and_values(template, {}, client=client)
            return dict(made.env)

    with temporary_settings({PREFECT_API_URL: f"{cluster.url}/api"}):
        assert asyncio.run(environment())["HF_TOKEN"] == "hf_not_to_be_seen"


def everything(cluster: Any) -> dict[str, list[dict[str, Any]]]:
    """All that ``make deploy`` registers, without the times at which somebody last looked at it."""
    passing = {"updated", "last_polled", "status"}

    def of(kind: str) -> list[dict[str, Any]]:
        items = cluster.request("POST", f"/{kind}/filter", json={}).json()
        kept = [{k: v for k, v in item.items() if k not in passing} for item in items]
        for item in kept:
            item["schedules"] = [
                {k: s[k] for k in ("slug", "active", "schedule")} for s in item.get("schedules", [])
            ]
        return sorted(kept, key=lambda item: str(item["name"]))

    return {kind: of(kind) for kind in ("deployments", "work_pools", "automations")}
