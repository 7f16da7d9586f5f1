"""Every stage of a run on 1, 2, 4, 8 GPUs of a host: rates, their ratio to one GPU, memory, and what the plan had said.

Random weights of the full shape, and as few problems as keep every process busy. Collection and evaluation go through
the pool that a run uses; its processes have loaded the model and compiled before the clock starts, since that is paid
once and not by the shard. Distillation is both models in one pass (plain data parallel), and one model with ZeRO-2 on
several GPUs; of a training the median step counts. What the stages make must not depend on the number of
processes: trajectories and answers are compared. Markdown on stdout, for docs/results/scale.md.

    python benchmarks/scale.py --gpus 1,2,4,8 --work /scratch/scale           # about 20 GB of disk
    python benchmarks/scale.py --gpus 1,2,4,8 --work /tmp/scale --size tiny   # so many processes of a CPU
    … --kill                                                                  # and kill one half way
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from common import machine, median_step, memory, timed, write_checkpoint  # noqa: E402

if TYPE_CHECKING:
    from tad_core.artifacts import ArtifactRef
    from tad_core.config import TADConfig
    from tad_core.workers.pool import Pool

STAGES = ("collect", "evaluate", "distil two", "distil zero2")


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
            "calibrate": {"quality_window": 8, "speed_window": 20},
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


def distil(setup: Setup, two: bool) -> Measured:
    """Both models in one pass, or one; with ZeRO-2 on several GPUs if it is one."""
    from tad_core.training.launch import launch

    zero = not two and setup.processes > 1 and not setup.tiny
    how = (
        {"launcher": "deepspeed", "deepspeed": str(ROOT / "configs" / "deepspeed" / "zero2.json")}
        if zero
        else {}
    )
    output = setup.work / ("two" if two else "one")
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


# --- a process dies ---------------------------------------------------------------------------------------


def killed(setup: Setup, pool: Pool, whole: dict[str, Measured]) -> dict[str, str]:
    """Collection and evaluation again, each with a process killed half way and run again: what was done twice."""
    from tad_core.artifacts import Store
    from tad_core.stages.collect import collect as run_collect
    from tad_core.stages.evaluate import evaluate as run_evaluate

    config = setup.config("killed")
    shutil.rmtree(config.store, ignore_errors=True)
    store = Store(config.store)
    told = {}
    for stage, run, made in (
        ("collect", lambda: run_collect(config, store, pool=pool), trajectories),
        ("evaluate", lambda: run_evaluate(config, "base", None, store, pool=pool), answers_of)
    ):  # fmt: skip
        before = pieces(Path(config.store))
        error = half_way(run, pool, Path(config.store), before)
        kept = pieces(Path(config.store))
        ref = run()
        again = sum(kept[name] != at for name, at in pieces(Path(config.store)).items() if name in kept)
        same = made(ref) == whole[stage].made
        told[stage] = (
            f"killed with {len(kept) - len(before)} pieces done ({error}); {again} of them made again; "
            f"{'the same' if same else 'NOT THE SAME'} as undisturbed"
        )
    return told


def half_way(run: Callable[[], Any], pool: Pool, store: Path, before: dict[str, int]) -> str:
    """Run it, and kill one of the pool's processes when a few pieces are there; what the run ended with."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            if len(pieces(store)) - len(before) >= max(1, len(pool.pids())):
                with contextlib.suppress(psutil.Error, IndexError):
                    psutil.Process(pool.pids()[-1]).kill()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    from tad_core.errors import TADError

    try:
        run()
        return "it ended all the same"
    except TADError as error:
        return type(error).__name__
    finally:
        stop.set()
        thread.join()


def pieces(store: Path) -> dict[str, int]:
    """Manifests of shards and slices in a store, and when each was written, in nanoseconds."""
    return {
        str(f.relative_to(store)): f.stat().st_mtime_ns
        for f in store.glob("**/*-[0-9]*.json")
        if "leases" not in f.parts
    }


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


# --- all of it ----------------------------------------------------------------------------------------------


def measure(setup: Setup, only: list[str]) -> dict[str, Measured]:
    """Every stage at one number of processes."""
    from tad_core.workers.pool import Pool

    found: dict[str, Measured] = {}
    shutil.rmtree(setup.work, ignore_errors=True)
    with Pool(setup.config().model) as pool:
        if decoding := {"collect", "evaluate"} & set(only):
            warm(setup, pool)
        if decoding or setup.processes == setup.options.gpus[0]:  # training needs rows
            found["collect"] = collect(setup, pool)
            say(setup, "collect", found)
        if "evaluate" in only:
            found["evaluate"] = evaluate(setup, pool)
            say(setup, "evaluate", found)
        if setup.options.kill and setup.processes == max(setup.options.gpus):
            for stage, text in killed(setup, pool, found).items():
                print(f"{stage}, {setup.processes} processes: {text}\n", flush=True)
    if not decoding:  # it was not warm: no rate
        found.pop("collect", None)
    for name in ("distil two", "distil zero2"):
        if name in only:
            found[name] = distil(setup, two=name == "distil two")
            say(setup, name, found)
    return found


def warm(setup: Setup, pool: Pool) -> None:
    """Every process loads the model and decodes a shard of each stage's size."""
    from tad_core.artifacts import Store
    from tad_core.stages.collect import collect as run
    from tad_core.stages.evaluate import evaluate as run_evaluate

    shard = max(1, setup.options.samples // setup.options.shards)
    config = setup.config("warm", problems=setup.processes * max(2, shard))
    store = Store(config.store)
    run(config, store, pool=pool)
    run_evaluate(config, "base", None, store, pool=pool)


def say(setup: Setup, name: str, found: dict[str, Measured]) -> None:
    """How far it is, on stderr."""
    one = found[name]
    print(f"{setup.processes}: {name} {one.rate:.3f}/s, {one.took_s:.1f} s", file=sys.stderr, flush=True)


def main() -> None:
    """Write the checkpoint, measure, print the tables."""
    options = read_options()
    os.environ["HF_HUB_OFFLINE"] = "1"
    model = Path(options.work).resolve() / f"llada-{options.size}" / "model"
    if not (model / "config.json").exists():
        write_checkpoint(model, "llada", options.size)
    print(f"`python benchmarks/scale.py {' '.join(sys.argv[1:])}`, {time.strftime('%Y-%m-%d')}\n")
    print(f"{json.dumps(machine())}\n", flush=True)
    found = {count: measure(Setup(options, count), options.only) for count in options.gpus}
    table(found)


def table(found: dict[int, dict[str, Measured]]) -> None:
    """Rates and ratios by stage, memory, and whether all made the same."""
    counts = list(found)
    print("| stage | " + " | ".join(f"{n}: a second, ratio, peak MiB" for n in counts) + " | same |")
    print("|---|" + "---|" * (len(counts) + 1))
    for stage in STAGES:
        cells = []
        having = [n for n in counts if stage in found[n]]
        if not having:
            continue
        first = found[having[0]][stage]
        for n in counts:
            one = found[n].get(stage)
            if one is None:
                cells.append("not run")
                continue
            planned_s = f", plan {one.planned_s:.0f} s, took {one.took_s:.0f}" if one.planned_s else ""
            peak = "/".join(map(str, one.memory_mib)) or "?"
            cells.append(f"{one.rate:.2f}, {one.rate / first.rate:.2f} x, {peak}{planned_s}")
        same = all(found[n][stage].made == first.made for n in having)
        print(f"| {stage} | " + " | ".join(cells) + f" | {'yes' if same else 'no'} |", flush=True)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpus", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2, 4, 8])
    parser.add_argument("--size", choices=["full", "tiny"], default="full")
    parser.add_argument("--work", required=True, help="folder of everything written")
    parser.add_argument("--samples", type=int, default=1024, help="to collect; half as many are evaluated")
    parser.add_argument("--shards", type=int, default=32)
    parser.add_argument("--response", type=int, default=64, help="tokens of a response")
    parser.add_argument("--cache", choices=["none", "dual"], default="dual")
    parser.add_argument("--steps", type=int, default=12, help="of distillation")
    parser.add_argument("--global-batch", type=int, default=32)
    parser.add_argument(
        "--kill", action="store_true", help="kill a process of the largest number in each stage"
    )
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES))
    return parser.parse_args()


if __name__ == "__main__":
    main()
