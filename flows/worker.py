"""Taking part in a collection from another host: a child run of the pipeline, or ``tad collect-worker``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.context import FlowRunContext
from prefect.task_runners import ThreadPoolTaskRunner

from flows.collect import FanOut
from flows.orphans import look_after_itself
from flows.signals import keep_ignored
from tad_core.config import parse_config
from tad_core.errors import ConfigError
from tasks.progress import Board
from tasks.records import PrefectSink
from tasks.work import Work

_ROOT = Path(__file__).resolve().parents[1]


@flow(
    name="tad-collect-worker",
    flow_run_name="collect {config[name]} on host {host}",
    task_runner=ThreadPoolTaskRunner(),
)
def collect_worker_flow(
    config: dict[str, Any], host: int = 0, hosts: int = 1, collection: str = "", judge: bool = True
) -> dict[str, int]:
    """Decode the shards that nobody has finished and nobody works on, until none is left, and judge them here too.

    It closes nothing: the run that it helps does, and so does any later run.

    Args:
        config: the whole configuration, resolved.
        host: which of the hosts this is; each begins elsewhere in the list of shards.
        hosts: how many there are.
        collection: the fingerprint of the collection to help with; empty takes what the configuration asks for.
        judge: whether answers are judged as soon as they are decoded; if not, the run that it helps does.

    Returns:
        ``{"shards": how many were decoded here, "judged": of how many the answers were judged here}``.

    Raises:
        ConfigError: this host sees other problems or another model than the run that it helps.
    """
    keep_ignored()
    look_after_itself()
    context = FlowRunContext.get()
    deployed = context is not None and context.flow_run is not None and context.flow_run.deployment_id
    # A deployed run has a folder of the worker's choice; relative paths mean the project's files.
    with contextlib.chdir(_ROOT) if deployed else contextlib.nullcontext():
        settings = parse_config(config)
        with Work(settings, Board([PrefectSink()])) as work:
            if collection and work.plan.fingerprint != collection:
                raise ConfigError(
                    f"collection: this host would make {work.plan.fingerprint} and the run that it helps makes "
                    f"{collection}; give every host the same model files and data"
                )
            work.begin_at(host, hosts)
            work.shares.drop_present()
            done = FanOut(work, judge, helps=True).run()
            return {"shards": len(done.collected), "judged": len(done.judged)}
