"""Every step of a run at the full size of a family, with random weights; nothing is downloaded.

Writes a checkpoint in the hub's format, loads it, collects trajectories, distils, is killed and resumes, merges and
exports, loads the export and decodes; prints times and peak memory as JSON. Each step is a process of its own, so
that its peak is its own and the next one starts with an empty GPU. Steps that are done are not repeated: run it
again to go on, or name steps with --only.

    python benchmarks/full_size.py --family llada --work /scratch/full           # 8B, one GPU, about 50 GB of disk
    python benchmarks/full_size.py --family dream --work /scratch/full --gpus 2  # 7B, distilled on two with ZeRO-2
    python benchmarks/full_size.py --family dream --size tiny --work /tmp/tiny   # its own smoke test, on a CPU
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from common import CONFIGS, MAX_SHARD_BYTES, machine, median_step, memory, timed, write_checkpoint  # noqa: E402


@dataclass(frozen=True)
class Setup:
    """What is run; the same for every step."""

    family: str
    size: str
    work: Path
    gpus: int
    trajectories: int
    steps: int
    global_batch: int
    micro_batch: int
    gradient_checkpointing: bool
    quantize: str = "none"

    @property
    def tiny(self) -> bool:
        """Whether this is the smoke test."""
        return self.size == "tiny"

    def at(self, name: str) -> Path:
        """A path under the work folder of this family and size."""
        return self.work / f"{self.family}-{self.size}" / name

    def config(self) -> Any:
        """The pipeline's configuration: the paper's settings, with as much data as is measured."""
        from tad_core.config import parse_config

        length, block = (16, 8) if self.tiny else (256, 32)
        rank = 2 if self.tiny else 128
        options = {"min_steps": 1, "max_steps": 2}
        return parse_config({
            "name": f"full-size-{self.family}",
            "store": str(self.at("store")),
            "model": {"path": str(self.at("model")), "dtype": "float32" if self.tiny else "bfloat16"},
            "data": [{"name": "sums", "source": "arithmetic", "count": self.trajectories, "options": options}],
            "rollout": {
                "response_length": length, "block_length": block, "shard_size": self.trajectories,
                "batch_size": 32, "finish_early": False,
            },
            "distill": {
                "max_steps": self.steps, "states_per_trajectory": length, "save_steps": max(1, self.steps // 2),
                "log_steps": 1, "global_batch_size": self.global_batch, "micro_batch_size": self.micro_batch,
                "gradient_checkpointing": self.gradient_checkpointing, "quantize": self.quantize,
                "bf16": not self.tiny, "lora": {"rank": rank, "alpha": rank},
                **self.launcher(),
            },
            "evaluate": {
                "tasks": [{"name": "sums", "source": "arithmetic", "split": "heldout", "count": 4}],
                "thresholds": [0.5], "decode": {"block_length": block},
            },
        })  # fmt: skip

    def launcher(self) -> dict[str, Any]:
        """How training is started: one process, or ZeRO-2 over several GPUs."""
        if self.gpus == 1:
            return {"launcher": "python", "processes": 1}
        if self.tiny:  # two processes on a CPU
            return {"launcher": "torchrun", "processes": self.gpus}
        return {
            "launcher": "deepspeed", "processes": self.gpus,
            "deepspeed": str(ROOT / "configs" / "deepspeed" / "zero2.json"),
        }  # fmt: skip


# --- the steps ----------------------------------------------------------------------------------------


def load(setup: Setup) -> dict[str, Any]:
    """Load it, and run one forward."""
    import torch

    from tad_core.models.loading import load_model

    with timed() as loading:
        model = load_model(setup.config().model)
    ids = torch.randint(7, 600, (1, 64), device=model.device)
    with torch.inference_mode(), timed() as forward:
        finite = bool(model(ids).isfinite().all())
    return {
        "parameters": model.num_parameters(), "load_s": loading["s"], "first_forward_s": forward["s"],
        "finite": finite,
    }  # fmt: skip


def collect(setup: Setup) -> dict[str, Any]:
    """Trajectories of the privileged teacher, every step computed."""
    from tad_core.artifacts import Store
    from tad_core.models.loading import load_model, load_tokenizer
    from tad_core.stages.collect import collect_shard, finish_collection, plan_collection

    config = setup.config()
    store, plan = Store(config.store), plan_collection(config)
    loaded = (load_model(config.model), load_tokenizer(config.model))
    with timed() as decoding:
        refs = [collect_shard(config, plan, s.index, store, force=True, loaded=loaded) for s in plan.shards]
    collection = finish_collection(config, plan, refs, store)
    names = [f"{s['name']}.parquet" for s in collection.manifest.info["shards"]]
    setup.at("shards.json").write_text(json.dumps([str(collection.local(name)) for name in names]))
    rows = collection.manifest.info["trajectories"]
    return {
        "trajectories": rows, "response_length": config.rollout.response_length, "decode_s": decoding["s"],
        "trajectories_per_s": round(rows / decoding["s"], 4),
    }  # fmt: skip


def distil(setup: Setup) -> dict[str, Any]:
    """Train, kill it (SIGKILL to every process) after the first checkpoint, and go on to the end."""
    from tad_core.errors import TADError
    from tad_core.training.launch import launch

    output = setup.at("distill")
    shutil.rmtree(output, ignore_errors=True)
    spec = training_spec(setup, output)
    kill_at = spec.distill.save_steps + 1
    lines: list[str] = []
    killed_at: list[int] = []

    def watch(line: str) -> None:
        lines.append(line)
        if not killed_at and line.startswith(f"step {kill_at}/"):
            killed_at.append(kill_at)
            kill_children()

    with memory() as peak:
        with timed() as first:
            try:
                launch(spec, watch)
            except TADError as error:
                lines.append(f"(killed: {type(error).__name__})")
        saved = sorted(path.name for path in output.glob("checkpoint-*"))
        with timed() as second:
            launch(spec, watch)
    resumed = [line for line in lines if "resuming from step" in line]
    summary = json.loads((output / "summary.json").read_text())
    losses = [json.loads(line) for line in (output / "losses.jsonl").read_text().splitlines()]
    if not killed_at or not resumed or len(losses) != setup.steps:
        raise SystemExit(
            f"distil: killed at {killed_at}, resumed {resumed}, {len(losses)} of {setup.steps} steps"
        )
    return {
        "steps": len(losses), "killed_at": killed_at[0], "checkpoints_then": saved, "resumed": resumed[0],
        "until_killed_s": first["s"], "resumed_s": second["s"], "states_per_s": summary["states_per_s"],
        "states_per_s_of_the_median_step": setup.global_batch / median_step(losses),
        "trainable_parameters": summary["trainable_parameters"], "processes": summary["processes"],
        "first_loss": losses[0]["loss"], "last_loss": losses[-1]["loss"],
        "peak_memory_mib": summary.get("peak_memory_mib"), "most_in_use_mib": max(peak, default=None),
    }  # fmt: skip


def export(setup: Setup) -> dict[str, Any]:
    """Merge and write the export."""
    from tad_core.models.export import export_merged

    config, out = setup.config(), setup.at("export")
    shutil.rmtree(out, ignore_errors=True)
    with timed() as merging:
        export_merged(
            config.model, setup.at("distill") / "adapter", out, "random weights\n", config.model.dtype,
            MAX_SHARD_BYTES[setup.size],
        )  # fmt: skip
    size = sum(file.stat().st_size for file in out.iterdir())
    return {"merge_s": merging["s"], "bytes": size, "files": len(list(out.glob("*.safetensors")))}


def decode(setup: Setup) -> dict[str, Any]:
    """Load the export and decode; and how far its logits are from those of base and adapter side by side."""
    import torch

    from tad_core.data.prompts import student_prompt
    from tad_core.data.sources import load_source
    from tad_core.decoding import DecodeSpec
    from tad_core.decoding import decode as run
    from tad_core.models.loading import load_model, load_tokenizer
    from tad_core.models.lora import base_of, load_adapter

    config = setup.config()
    with timed() as loading:
        model = load_model(config.model.model_copy(update={"path": str(setup.at("export"))}))
    tokenizer = load_tokenizer(setup.at("export"))
    prompts = [student_prompt(tokenizer, p) for p in load_source(config.evaluate.tasks[0])]
    length, block = config.rollout.response_length, config.rollout.block_length
    spec = DecodeSpec(length, block, "entropy", 0.5, 0.1, early_stop=False)
    with timed() as decoding:
        decoded = run(model, prompts, spec)
    ids = torch.tensor([prompts[0]], device=model.device)
    with torch.inference_mode():
        exported = model(ids).float().cpu()
        del model
        beside = (
            base_of(load_adapter(load_model(config.model), setup.at("distill") / "adapter"))(ids)
            .float()
            .cpu()
        )
    return {
        "reload_s": loading["s"], "prompts": len(prompts), "decode_s": decoding["s"],
        "forwards": sum(d.forwards for d in decoded), "tokens": sum(d.revealed for d in decoded),
        "tokens_per_s": round(sum(d.revealed for d in decoded) / decoding["s"], 2),
        "logits_largest_difference": float((exported - beside).abs().max()),
        "logits_largest": float(beside.abs().max()),
    }  # fmt: skip


def write(setup: Setup) -> dict[str, Any]:
    """A checkpoint of random weights."""
    return write_checkpoint(setup.at("model"), setup.family, setup.size)


STEPS: dict[str, Callable[[Setup], dict[str, Any]]] = {
    "write": write, "load": load, "collect": collect, "distil": distil, "export": export, "decode": decode,
}  # fmt: skip


# --- what the steps need ------------------------------------------------------------------------------


def training_spec(setup: Setup, output: Path) -> Any:
    """What ``training.launch`` is told; every collected row is trained on, right or wrong."""
    from tad_core.training.spec import TrainingSpec

    config = setup.config()
    return TrainingSpec(
        model=config.model,
        distill=config.distill,
        trajectories=json.loads(setup.at("shards.json").read_text()),
        response_length=config.rollout.response_length,
        window=4 if setup.tiny else 8,
        output=str(output),
    )


def kill_children() -> None:
    """SIGKILL to all that this process started, at once."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        child.kill()


def run_step(name: str, setup: Setup) -> dict[str, Any]:
    """One step in this process, with its time and peaks."""
    started = time.perf_counter()
    found = STEPS[name](setup)
    import torch

    peak = {"wall_s": round(time.perf_counter() - started, 2)}
    peak["host_peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    peak["children_peak_mib"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    if torch.cuda.is_available():
        peak["gpu_peak_mib"] = torch.cuda.max_memory_allocated() >> 20
    return {**found, **peak}


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--family", choices=list(CONFIGS), default="llada")
    parser.add_argument("--size", choices=["full", "tiny"], default="full")
    parser.add_argument("--work", type=Path, required=True, help="folder of everything written")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs of distillation; more than one: ZeRO-2")
    parser.add_argument("--trajectories", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20, help="of distillation")
    parser.add_argument("--global-batch", type=int, default=32)
    parser.add_argument("--micro-batch", type=int, default=4)
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument(
        "--quantize", choices=["none", "nf4", "fp8"], default="none", help="the base in distillation"
    )
    parser.add_argument("--only", nargs="+", choices=list(STEPS), help="these steps, done or not")
    parser.add_argument("--step", choices=list(STEPS), help=argparse.SUPPRESS)  # one step, in this process
    return parser.parse_args()


def main() -> None:
    """Run the steps that are not done, each in a process, and print what all of them measured."""
    options = read_options()
    setup = Setup(
        options.family, options.size, options.work.resolve(), options.gpus, options.trajectories, options.steps,
        options.global_batch, options.micro_batch, options.gradient_checkpointing,
    )  # fmt: skip
    if options.step:
        found = run_step(options.step, setup)
        setup.at(f"{options.step}.json").write_text(json.dumps(found))
        return
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
    }
    for name in options.only or STEPS:
        if options.only is None and setup.at(f"{name}.json").exists():
            continue
        command = [sys.executable, __file__, *sys.argv[1:], "--step", name]
        print(f"{name} …", file=sys.stderr, flush=True)
        if subprocess.run(command, env=environment, check=False).returncode:
            raise SystemExit(f"{name} failed; the steps before it are kept in {setup.at('')}")
    measured = {n: json.loads(f.read_text()) for n in STEPS if (f := setup.at(f"{n}.json")).exists()}
    asked = {"family": setup.family, "size": setup.size, "gpus_of_distillation": setup.gpus}
    print(json.dumps({**asked, "machine": machine(), "steps": measured}, indent=1))


if __name__ == "__main__":
    main()
