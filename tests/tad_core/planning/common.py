"""A set-up of full size and counts, for the tests of planning."""

from __future__ import annotations

from typing import Any

from tad_core.config import TADConfig, load_config
from tad_core.planning import Counts


def llada_8b(**distill: Any) -> TADConfig:
    """The shipped configuration, with fields of distill changed."""
    overrides = [f"distill.{name}={'null' if value is None else value}" for name, value in distill.items()]
    if distill.get("processes") == 1:
        overrides += ["rollout.workers=1", "distill.launcher=python"]
    return load_config("configs/llada-8b.yaml", overrides)


def counts_of(**fields: Any) -> Counts:
    """Counts with round numbers where none are given."""
    given: dict[str, Any] = {
        "problems": 1000, "compared": 0, "left_out": {}, "samples": 1000, "shards": 16, "programs": 0.0,
        "kept": 1000, "states": 256_000, "steps": 1000, "models": 2, "prompts": 100,
        "student": 150.0, "teacher": 300.0, "task": 300.0,
    }  # fmt: skip
    return Counts(**{**given, **fields})
