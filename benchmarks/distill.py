"""Distillation: ours, ours without each of its measures, and a plain trainer, in turns, on the same states.

The plain trainer is that of ``plain_trainer.py``. All train the same states of made-up trajectories with the same
weights; the table says by how much the losses of the first step differ at most. On one
thread of a CPU the time that it computes counts, so that what else runs there does not.

    python benchmarks/distill.py                   # the small model, on a CPU
    python benchmarks/distill.py --size full       # random weights of LLaDA-8B's size, on a GPU
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import torch
from plain_trainer import plain
from torch import nn
from training_states import WINDOWS, Ran, Setting, ShuffledPlan, made_up_table, now, taken_gib, wait
from transformers import TrainerCallback

from tad_core.config import DistillConfig, LoraConfig, ModelConfig
from tad_core.models import LLaDAConfig, LLaDAModelLM, float8, packed
from tad_core.models.base import DiffusionLM
from tad_core.models.compiling import prepare_training
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, weights_of
from tad_core.models.rows import join_layers
from tad_core.objectives import make_objective
from tad_core.training import trainer as trainer_module
from tad_core.training.__main__ import set_allocator
from tad_core.training.adapters import Trained
from tad_core.training.arguments import training_arguments
from tad_core.training.collate import Collator, Reader
from tad_core.training.dataset import StatePlan
from tad_core.training.device import compiles
from tad_core.training.recorder import Books, Recorder, StopRequest, read_losses
from tad_core.training.trainer import DistillTrainer

#: the paper's recipe: every state of about 26,000 kept trajectories, once, for both models
RECIPE_STATES = 2 * 26_000 * 256


@dataclass
class Measured:
    """Of one way, over its turns: states a second of all models together, the first loss, peak memory."""

    states_per_s: list[float] = field(default_factory=list)
    loss: float = 0.0
    peak_gib: float = 0.0


# --- ours ---------------------------------------------------------------------------------------------


def ours(
    setting: Setting, names: tuple[str, ...] = ("quality",), without: str = "", checkpointed: bool = False
) -> Ran:
    """The project's trainer; the first step warms up. States a second of all models, and the first loss."""
    model, config, device = setting.model, setting.config, setting.device
    compiled = compiles(config, device) and without != "compiled layers"
    config = config.model_copy(update={"gradient_checkpointing": checkpointed})
    adapted = add_lora(model, config.lora, config.seed, names)
    model.gradient_checkpointing = checkpointed
    if compiled:
        prepare_training()
    undo = switch_off(without)
    try:
        with tempfile.TemporaryDirectory() as root:
            fused = compiled and without != "compiled losses"
            objectives = [make_objective(config, WINDOWS[name], fused) for name in names]
            kind = ShuffledPlan if without == "order by length" else StatePlan
            plan = kind(setting.table, objectives[0], config)
            collator = Collator(setting.table, plan, objectives, Reader.of(model))
            args = training_arguments(config, Path(root), 1, device)
            args.max_steps = plan.steps
            adapters = []
            for name, objective in zip(names, objectives, strict=True):
                folder = Path(root) / name
                folder.mkdir()
                books = Books(folder, config, objective.terms, plan.steps, name)
                adapters.append(
                    Trained(name, objective, books, "benchmark", folder, weights_of(adapted, name))
                )
            recorder = Recorder([a.books for a in adapters], config, plan.steps, StopRequest())
            trainer = DistillTrainer(
                adapted, args, plan, collator, adapters, recorder, device.type == "cuda", compiled
            )
            clock = Clock(device)
            trainer.add_callback(clock)
            try:
                trainer.train()
                peak_gib = taken_gib(device)
            finally:
                if trainer.aside is not None:
                    trainer.aside.put_back()
            losses = read_losses(Path(root) / names[0] / "losses.jsonl")
    finally:
        undo()
        adapted.unload()
        model.gradient_checkpointing = False
        packed.record_training(model, recorded=False)  # which lets the graphs' memory go
    states, ends_s = config.global_batch_size * len(names), clock.steps_s
    by_step = tuple(states / (end_s - begin_s) for begin_s, end_s in pairwise(ends_s))
    rate = (len(losses) - 1) * states / (ends_s[-1] - ends_s[0])
    return Ran(rate, losses[0]["loss"], peak_gib, by_step)


def with_dropout(setting: Setting) -> Setting:
    """As the paper has it."""
    lora = setting.config.lora.model_copy(update={"dropout": 0.05})
    return replace(setting, config=setting.config.model_copy(update={"lora": lora}))


def on_float8(setting: Setting, names: tuple[str, ...] = ("quality",)) -> Ran:
    """The same on a base in 8-bit floats."""
    with in_float8(setting.model):
        return ours(setting, names)


@contextlib.contextmanager
def in_float8(model: DiffusionLM) -> Iterator[None]:
    """The model so; its own weights wait on the host meanwhile."""
    device = model.device
    linears = {name: part for name, part in model.named_modules() if type(part) is nn.Linear}
    float8.quantize(model)
    taken = [name for name, part in linears.items() if model.get_submodule(name) is not part]
    for name in taken:
        linears[name].to("cpu")
    empty_cache(device)
    try:
        yield
    finally:
        for name in taken:
            model.set_submodule(name, linears[name])
        empty_cache(device)
        model.to(device)
        join_layers(model)  # type: ignore[arg-type]


def empty_cache(device: torch.device) -> None:
    """Memory that torch holds for itself."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


class Clock(TrainerCallback):  # type: ignore[misc]
    """The time at the end of every step."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.steps_s: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        """The optimizer has done a step, and so has the device."""
        wait(self._device)
        self.steps_s.append(now(self._device))


def switch_off(without: str) -> Callable[[], None]:
    """Leave a measure of the compiled layers out; what is returned puts it back."""
    if without == "recorded layers":
        record = trainer_module.record_training
        trainer_module.record_training = lambda model, recorded: record(model, False)
        return lambda: setattr(trainer_module, "record_training", record)
    return lambda: None


# --- in turns -------------------------------------------------------------------------------------------


def ways_of(setting: Setting, mixed: Setting) -> dict[str, tuple[str, Callable[[], Ran]]]:
    """Every way by name: the lengths it is measured with, and how it runs."""
    both = tuple(WINDOWS)
    alike = "equal lengths"
    ways: dict[str, tuple[str, Callable[[], Ran]]] = {
        "plain": (alike, lambda: plain(setting)),
        "ours": (alike, lambda: ours(setting)),
        "ours, two models in one pass": (alike, lambda: ours(setting, both)),
        "ours, fp8": (alike, lambda: on_float8(setting)),
        "ours, fp8, two models in one pass": (alike, lambda: on_float8(setting, both)),
        "ours, dropout 0.05": (alike, lambda: ours(with_dropout(setting))),
        "ours, checkpointed": (alike, lambda: ours(setting, checkpointed=True)),
    }
    if compiles(setting.config, setting.device):
        for measure in ("recorded layers", "compiled losses", "compiled layers"):
            ways[f"ours without {measure}"] = (alike, lambda m=measure: ours(setting, without=m))  # type: ignore[misc]
    ways["ours, mixed"] = ("mixed lengths", lambda: ours(mixed))
    ways["ours, mixed, without order by length"] = (
        "mixed lengths",
        lambda: ours(mixed, without="order by length"),
    )
    ways["plain, mixed"] = ("mixed lengths", lambda: plain(mixed))
    return ways


def settings_of(options: argparse.Namespace) -> tuple[Setting, Setting]:
    """With prompts of one length and of many."""
    full = options.size == "full"
    device = torch.device(options.device or ("cuda" if full else "cpu"))
    if full:
        with torch.device(device):
            torch.set_default_dtype(torch.bfloat16)
            model: DiffusionLM = LLaDAModelLM(LLaDAConfig()).eval()
            torch.set_default_dtype(torch.float32)
    else:
        model = load_model(ModelConfig(path=options.model, device=str(device)))
    length = 256 if full else 64
    lengths = [(range(150, 151), range(150, 151)), (range(60, 241), range(60, 241))]
    if not full:
        lengths = [(range(40, 41), range(40, 41)), (range(20, 61), range(20, 61))]
    if options.lengths is not None:
        lengths[1] = (options.lengths, options.lengths)
    rank = 128 if full else 32
    config = DistillConfig(
        states_per_trajectory=min(length, 64), max_steps=options.steps, global_batch_size=options.batch,
        micro_batch_size=4, log_steps=options.steps, save_steps=options.steps + 1,
        lora=LoraConfig(rank=rank, alpha=rank, dropout=0.0),
    )  # fmt: skip
    vocabulary = min(model.vocab_size, 500)
    if compiles(config, device):
        join_layers(model)
    one, many = (
        Setting(model, device, made_up_table(64, length, vocabulary, *lengths_), config)
        for lengths_ in lengths
    )
    return one, many


def span(text: str) -> range:
    """Two lengths with a dash between them, both counted."""
    shortest, longest = map(int, text.split("-"))
    return range(shortest, longest + 1)


def main() -> None:
    """Measure all ways in turns and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=["small", "full"], default="small")
    parser.add_argument("--model", default="assets/tiny-llada", help="the small one")
    parser.add_argument("--device", help="default: cuda for the full size, else cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3, help="optimizer steps, the first not timed")
    parser.add_argument("--batch", type=int, default=64, help="states a step")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--only", nargs="+", metavar="WAY", help="these ways; default: all")
    parser.add_argument(
        "--lengths", type=span, help="tokens of mixed prompts, as 60-240; the teacher's are longer by as many"
    )
    parser.add_argument("--budget-s", type=float, default=1e9, help="begin nothing new after so long")
    options = parser.parse_args()
    if options.steps < 2:
        parser.error("--steps: the first is not timed; give at least 2")
    started = time.perf_counter()
    set_allocator()  # as trainings do
    torch.set_num_threads(options.threads)
    setting, mixed = settings_of(options)
    on_gpu = setting.device.type == "cuda"
    title = torch.cuda.get_device_name() if on_gpu else f"CPU, {options.threads} thread"
    print(f"{title}; torch {torch.__version__}; micro-batch 4, {options.batch} states a step", flush=True)
    found: dict[str, Measured] = {}
    ways = ways_of(setting, mixed)
    if unknown := set(options.only or ()) - set(ways):
        parser.error(f"--only: {', '.join(sorted(unknown))} is no way; there are {', '.join(ways)}")
    names = options.only or list(ways)
    for name in [*names[:3] * options.turns, *names[3:] * options.turns]:
        if time.perf_counter() - started > options.budget_s:
            break
        empty_cache(setting.device)
        rate, loss, peak_gib, by_step = ways[name][1]()
        seen = found.setdefault(name, Measured())
        seen.states_per_s.append(rate)
        seen.loss, seen.peak_gib = loss, max(seen.peak_gib, peak_gib)
        told = [f"{rate:.2f} states/s"]
        told += [f"by step {', '.join(f'{one:.1f}' for one in by_step)}"] * (len(by_step) > 1)
        told += [f"{peak_gib:.1f} GiB"] * on_gpu
        print(f"{name}: {'; '.join(told)} ({time.perf_counter() - started:.0f} s)", flush=True)
    table(found, ways, options.size == "full")


def table(found: dict[str, Measured], ways: dict[str, tuple[str, Callable[[], Ran]]], full: bool) -> None:
    """The best turn, since what is compiled late falls into a first one; against plain with the same lengths."""
    base = {"equal lengths": "plain", "mixed lengths": "plain, mixed"}
    on_gpu = any(seen.peak_gib for seen in found.values())
    # The recipe is that of the full size.
    heads = [
        "way",
        "states/s",
        "x plain",
        *["peak GiB"] * on_gpu,
        *["GPU-hours of the recipe"] * full,
        "first loss",
    ]
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    apart = 0.0
    for name, seen in found.items():
        rate = max(seen.states_per_s)
        ratio = ""
        if (against := found.get(base[ways[name][0]])) is not None:
            ratio = f"{rate / max(against.states_per_s):.2f}"
            apart = max(apart, abs(seen.loss / against.loss - 1))
        peak, hours = [f"{seen.peak_gib:.1f}"] * on_gpu, [f"{RECIPE_STATES / rate / 3600:.0f}"] * full
        print(f"| {' | '.join([name, f'{rate:.2f}', ratio, *peak, *hours, f'{seen.loss:.4f}'])} |")
    print(f"\nThe losses of the first step differ from plain's by a part of {apart:.1e} at most.")


if __name__ == "__main__":
    main()
