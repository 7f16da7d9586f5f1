"""The stages that ``scale.py`` measures: one run's settings, each stage at a number of processes, and what it made.

Imported by ``scale.py``, which lies beside it.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import median_step, memory, timed

ROOT = Path(__file__).resolve().parents[1]

if TYPE_CHECKING:
    from tad_core.artifacts import ArtifactRef
    from tad_core.config import TADConfig
    from tad_core.workers.pool import Pool


@dataclass(frozen=True)
class Setup:
    """What is run.

    Attributes:
        options: the command line.
        processes: GPUs, or processes of a CPU.
    """

    options: argparse.Namespace
    processes: int

    @property
    def tiny(self) -> bool:
        """Whether this is a CPU's."""
        return bool(self.options.size == "tiny")

    @property
    def work(self) -> Path:
        """Of this number of processes."""
        return Path(self.options.work).resolve() / f"at-{self.processes}"

    def config(
        self,
        name: str = "scale",
        problems: int | None = None,
        models: Sequence[str] = ("base",),
        **distill: Any,
    ) -> TADConfig:
        """configs/llada-8b.yaml's settings with made-up data.

        Args:
            name: of the store, under ``work``.
            problems: to collect from, and to evaluate half as many; all that were asked for by default.
            models: that are evaluated, and so trained.
            distill: settings of training.
        """
        from tad_core.config import parse_config

        asked, length = self.options, self.options.response
        block = 8 if self.tiny else 32
        shard = max(1, asked.samples // asked.shards)
        steps = {"min_steps": 1, "max_steps": 2}
        return parse_config({
            "name": "scale", "store": str(self.work / name),
            "model": {
                "path": str(Path(asked.work).resolve() / f"llada-{asked.size}" / "model"),
                "dtype": "float32" if self.tiny else "bfloat16", "threads": 1 if self.tiny else None,
            },
            "data": [{
                "name": "sums", "source": "arithmetic", "count": problems or asked.samples, "options": steps,
            }],
            "rollout": {
                "response_length": length, "block_length": block, "shard_size": shard, "batch_size": shard,
                "finish_early": False, "workers": self.processes, "cache": {"mode": asked.cache},
            },
            "calibrate": {"quality_window": min(8, length), "speed_window": min(20, length)},
            "distill": {
                "max_steps": asked.steps, "states_per_trajectory": length, "save_steps": 10_000, "log_steps": 1,
                "global_batch_size": asked.global_batch, "micro_batch_size": 1 if self.tiny else 4,
                "bf16": not self.tiny, "lora": {"rank": 2, "alpha": 2} if self.tiny else {"rank": 128, "alpha": 128},
                "processes": self.processes, "launcher": "torchrun" if self.processes > 1 else "python", **distill,
            },
            "evaluate": {
                "tasks": [{
                    "name": "sums", "source": "arithmetic", "split": "heldout",
                    "count": (problems or asked.samples) // 2,
                }],
                "models": models, "harness": "direct", "thresholds": [0.5],
                "batch_size": shard, "slice_size": shard, "workers": self.processes,
                "decode": {"block_length": block, "cache": {"mode": asked.cache}, "early_stop": False},
            },
        })  # fmt: skip


@dataclass
class Measured:
    """Of one stage at one number of processes.

    Attributes:
        rate: samples, answers or states a second.
        memory_mib: peak of each GPU, or of each process of a CPU.
        planned_s: seconds that ``tad plan`` gives; None where it knows nothing of the machine.
        took_s: those that were measured; of a training its steps alone.
        made: what came out, comparable between runs.
    """

    rate: float
    memory_mib: list[int]
    planned_s: float | None = None
    took_s: float = 0.0
    made: Any = field(default=None, repr=False)


# --- the stages -------------------------------------------------------------------------------------------


def collect(setup: Setup, pool: Pool) -> Measured:
    """Shards of trajectories by warm processes."""
    from tad_core.artifacts import Store
    from tad_core.stages.collect import collect as run

    config = setup.config()
    store, planned_s = Store(config.store), planned(config, "collect")
    with memory() as peak, timed() as took:
        collection = run(config, store, pool=pool)
    rows = int(collection.manifest.info["trajectories"])
    return Measured(rows / took["s"], peak, planned_s, took["s"], trajectories(collection))


def evaluate(setup: Setup, pool: Pool) -> Measured:
    """The base token by token and at a threshold, in slices."""
    from tad_core.artifacts import Store
    from tad_core.stages.evaluate import evaluate as run

    config = setup.config()
    planned_s = planned(config, "evaluate")
    with memory() as peak, timed() as took:
        ref = run(config, "base", None, Store(config.store), pool=pool)
    answers = 2 * config.evaluate.tasks[0].count  # type: ignore[operator]
    return Measured(answers / took["s"], peak, planned_s, took["s"], answers_of(ref))


def distil(setup: Setup, what: str) -> Measured:
    """``two`` models in one pass, ``one``, or one with ``zero2``, which a CPU has not."""
    from tad_core.training.launch import launch

    two, zero = what == "two", what == "zero2" and not setup.tiny
    how = (
        {"launcher": "deepspeed", "deepspeed": str(ROOT / "configs" / "deepspeed" / "zero2.json")}
        if zero
        else {}
    )
    output = setup.work / what
    shutil.rmtree(output, ignore_errors=True)
    config = setup.config(models=["base", "quality", *["speed"] * two], **how)
    planned_s = planned(config, "distill")
    with memory() as peak:
        launch(training_spec(setup, config, output, two))
    losses = [json.loads(line) for line in (output / "losses.jsonl").read_text().splitlines()]
    step_s = median_step(losses)
    made = [round(entry["loss"], 3) for entry in losses]
    return Measured(setup.options.global_batch / step_s, peak, planned_s, step_s * setup.options.steps, made)


def training_spec(setup: Setup, config: TADConfig, output: Path, two: bool) -> Any:
    """What a training is told: every row that the first number of processes collected, right or wrong."""
    from tad_core.artifacts import Store
    from tad_core.stages.collect import find_collection, plan_collection
    from tad_core.training.spec import TrainingSpec

    first = Setup(setup.options, setup.options.gpus[0]).config()
    collection = find_collection(plan_collection(first), Store(first.store))
    assert collection is not None, "collect first"
    rows = [str(collection.local(f"{s['name']}.parquet")) for s in collection.manifest.info["shards"]]
    speed = {
        "name": "speed",
        "window": 20,
        "run_id": "speed",
        "output": str(output.with_name(f"{output.name}-speed")),
    }
    return TrainingSpec(
        model=config.model, distill=config.distill, trajectories=rows, window=8, output=str(output),
        problems=str(collection.local("problems.jsonl")), response_length=config.rollout.response_length,
        name="quality", also=[speed] if two else []
    )  # fmt: skip


# --- what is compared and measured --------------------------------------------------------------------------


def trajectories(collection: ArtifactRef) -> Any:
    """Tokens and order of every sample."""
    from tad_core.stages.collect import iter_trajectories

    return {
        (t.problem_id, t.sample): (list(t.response_ids), list(t.revealed_at))
        for t in iter_trajectories(collection)
    }


def answers_of(ref: ArtifactRef) -> Any:
    """Text and forwards of every answer."""
    import pyarrow.parquet as pq

    rows = pq.read_table(
        ref.local("results.parquet"), columns=["task", "threshold", "problem_id", "text", "forwards"]
    )
    return sorted(map(str, rows.to_pylist()))


def planned(config: TADConfig, stage: str) -> float | None:
    """Wall seconds that the plan gives for a stage of this run, on the machine at hand."""
    from flows.plan import plan_run

    plan = plan_run(config, gpu=None, gpus=None, measure=False, read_data=True)
    return next(s.wall_s for s in plan.stages if s.stage == stage)
