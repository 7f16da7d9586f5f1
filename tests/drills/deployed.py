"""What the drills deploy: the flows of the pipeline with ``fake_worker`` in the place of real workers."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.orphans import look_after_itself
from flows.pipeline import collect_flow
from flows.worker import collect_worker_flow
from tad_core.config import parse_config
from tad_core.workers import pool
from tests.drills.fake_worker import without_tokenizer

__all__ = ["collect", "collect_worker_flow"]

pool.MODULE = "tests.drills.fake_worker"
without_tokenizer()


@flow(name="drill", task_runner=ThreadPoolTaskRunner())
def collect(config: dict[str, Any]) -> Any:
    """Collect, as ``flows.deployed`` does it: the pipeline's flow inside the deployed one."""
    look_after_itself()
    return collect_flow.fn(parse_config(config))
