"""Set-ups, counts, what an earlier run left and the plans of it, for the tests of planning."""

from __future__ import annotations

from typing import Any

from tad_core.artifacts import Store
from tad_core.config import TADConfig, dump_config, load_config
from tad_core.planning import Counts, Estimate, Machine, count, estimate
from tad_core.planning.speeds import speeds_of
from tad_core.planning.survey import survey
from tad_core.settings import CONFIG_NAME
from tad_core.shapes import shape_of

CPU = Machine("a laptop", None, 0, 16.0, 100.0)


#: What the paper trains under.
ZERO2 = "configs/deepspeed/zero2.json"
#: Every token computed by every forward.
EXACT = ("rollout.cache.mode=none", "evaluate.decode.cache.mode=none")


def llada_8b(**distill: Any) -> TADConfig:
    """The shipped configuration without caches, with fields of distill changed."""
    overrides = list(EXACT)
    overrides += [f"distill.{name}={'null' if value is None else value}" for name, value in distill.items()]
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


def demo(*overrides: str) -> TADConfig:
    return load_config("configs/demo.yaml", overrides)


def leave(config: TADConfig, store: Store, stage: str, fingerprint: str, **info: object) -> None:
    """A finished artifact as a run of ``config`` would have left it."""
    with store.writer(stage, 1, fingerprint, {}) as writer:
        writer.write_text(CONFIG_NAME, dump_config(config))
        writer.commit(dict(info))


def counted(config: TADConfig, store: Store) -> Counts:
    """What `tad plan` counts on a machine of another kind."""
    return count(config, store, survey(config, store, this_machine=False))


def planned(config: TADConfig, store: Store, machine: Machine = CPU) -> Estimate:
    shape, source = shape_of(config.model)
    counts = counted(config, store)
    return estimate(config, shape, source, counts, machine, speeds_of(config, shape, counts, machine, store))
