"""Pretraining of the small base model that the demo starts from."""

from __future__ import annotations

from prefect import flow

from flows.signals import keep_ignored
from tad_core.pretraining.config import PretrainConfig
from tasks.pretrain import pretrain_task
from tasks.progress import Board
from tasks.records import PrefectSink


@flow(name="tad-pretrain", flow_run_name="pretrain {config.out}")
def pretrain_flow(config: PretrainConfig) -> str:
    """Train the base; returns the folder of its checkpoint."""
    keep_ignored()
    return pretrain_task(config, Board([PrefectSink()]))
