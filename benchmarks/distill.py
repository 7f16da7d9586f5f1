"""Distillation: ours, ours without each of its measures, and a plain trainer, in turns, on the same states.

The plain trainer is what the method's definition says word for word, and what its released code does: a second copy of
the model as the teacher, logits of both for every position, cross-entropy and KL over all of them in float32 with
masks, states in random order padded to the longest, nothing compiled. All train the same states of made-up
trajectories with the same weights; the table says by how much the losses of the first step differ at most. On one
thread of a CPU the time that it computes counts, so that what else runs there does not.

    python benchmarks/distill.py                   # the small model, on a CPU
    python benchmarks/distill.py --size full       # random weights of LLaDA-8B's size, on a GPU
"""

from __future__ import annotations

import argparse
import copy
import gc
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from transformers import TrainerCallback

from tad_core.config import DistillConfig, LoraConfig, ModelConfig
from tad_core.models import LLaDAConfig, LLaDAModelLM, packed
from tad_core.models.base import DiffusionLM
from tad_core.models.compiling import prepare_training
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, base_of, weights_of
from tad_core.models.rows import join_layers
from tad_core.objectives import make_objective
from tad_core.training import trainer as trainer_module
from tad_core.training.adapters import Trained
from tad_core.training.collate import Collator, Reader
from tad_core.training.dataset import Prompts, StatePlan, TrainingTable
from tad_core.training.recorder import Books, Recorder, StopRequest, read_losses
from tad_core.training.run import compiles
from tad_core.training.trainer import DistillTrainer, training_arguments

BLOCK = 16
WINDOWS = {"quality": 8, "speed": 20}
#: the paper's recipe: every state of about 26,000 kept trajectories, once, for both models
RECIPE_STATES = 2 * 26_000 * 256


@dataclass(frozen=True)
class Setting:
    """What all ways share."""

    model: DiffusionLM
    device: torch.device
    table: TrainingTable
    config: DistillConfig


class Ran(NamedTuple):
    """States a second of all models together, the first loss, and the most memory that was taken from the card."""

    states_per_s: float
    loss: float
    peak_gib: float


@dataclass
class Measured:
    """Of one way, over its turns: states a second of all models together, the first loss, peak memory."""

    states_per_s: list[float] = field(default_factory=list)
    loss: float = 0.0
    peak_gib: float = 0.0


def made_up_table(rows: int, length: int, vocabulary: int, student: range, extra: range) -> TrainingTable:
    """Trajectories with prompts of lengths in ``student``; the teacher's is longer by one in ``extra``."""
    rng = np.random.default_rng(0)
    plain_R = rng.choice(np.array(student), size=rows)
    more_R = rng.choice(np.array(extra), size=rows)

    def prompts(length_R: np.ndarray) -> Prompts:
        ids = rng.integers(0, vocabulary, size=int(length_R.sum()))
        return Prompts(ids.astype(np.int32), length_R)

    order_RL = np.stack([_by_blocks(rng, length) for _ in range(rows)])
    return TrainingTable(
        names=[f"p/{r}" for r in range(rows)],
        student=prompts(plain_R),
        teacher=prompts(plain_R + more_R),
        response_RL=rng.integers(0, vocabulary, size=(rows, length)).astype(np.int32),
        revealed_at_RL=order_RL.astype(np.int16),
        filled_from_R=np.full(rows, length + 1, dtype=np.int16),
    )


def _by_blocks(rng: np.random.Generator, length: int) -> np.ndarray:
    return np.concatenate([start + rng.permutation(BLOCK) + 1 for start in range(0, length, BLOCK)])


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
    undo = switch_off(without, model)
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
            trainer.train()
            peak_gib = taken_gib(device)
            if trainer.aside is not None:
                trainer.aside.put_back()
            losses = read_losses(Path(root) / names[0] / "losses.jsonl")
    finally:
        undo()
        adapted.unload()
        model.gradient_checkpointing = False
        packed.record_training(model, recorded=False)  # which lets the graphs' memory go
    spent_s = clock.steps_s[-1] - clock.steps_s[0]
    rate = (len(losses) - 1) * config.global_batch_size * len(names) / spent_s
    return Ran(rate, losses[0]["loss"], peak_gib)


def taken_gib(device: torch.device) -> float:
    """The most memory that torch took from the card, what graphs hold and what lies idle included."""
    return torch.cuda.max_memory_reserved() / 2**30 if device.type == "cuda" else 0.0


def with_dropout(setting: Setting) -> Setting:
    """As the paper has it."""
    lora = setting.config.lora.model_copy(update={"dropout": 0.05})
    return replace(setting, config=setting.config.model_copy(update={"lora": lora}))


class Clock(TrainerCallback):  # type: ignore[misc]
    """The time at the end of every step."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.steps_s: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        """The optimizer has done a step, and so has the device."""
        _wait(self._device)
        self.steps_s.append(now(self._device))


def now(device: torch.device) -> float:
    """Seconds: of computing on one thread of a CPU, of a clock elsewhere."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time() if alone else time.perf_counter()


def switch_off(without: str, model: DiffusionLM) -> Callable[[], None]:
    """Leave a measure of the compiled layers out; what is returned puts it back."""
    if without == "recorded layers":
        record = trainer_module.record_training
        trainer_module.record_training = lambda model, recorded: record(model, False)
        return lambda: setattr(trainer_module, "record_training", record)
    return lambda: None


class ShuffledPlan(StatePlan):
    """The same states in each step, in an order that knows nothing of their lengths."""

    def __getitems__(self, indices: list[int]) -> list[int]:
        """The states in place of these."""
        first = indices[0] // self.batch * self.batch
        order = np.random.default_rng(first).permutation(self.batch) + first
        return [int(order[i - first]) for i in indices]


# --- the plain trainer ----------------------------------------------------------------------------------


def plain(setting: Setting) -> Ran:
    """The definition, micro-batch by micro-batch; the first step warms up."""
    model, config, device = setting.model, setting.config, setting.device
    teacher = copy.deepcopy(model).requires_grad_(False)
    student = add_lora(model, config.lora, config.seed)
    plan = ShuffledPlan(setting.table, make_objective(config, WINDOWS["quality"]), config)
    weights = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
    first_loss, started = 0.0, 0.0
    try:
        for step in range(plan.steps):
            if step == 1:
                _wait(device)
                started = now(device)
            sums = {"near": (0.0, 0), "distant": (0.0, 0)}
            order = plan.__getitems__(list(range(step * plan.batch, (step + 1) * plan.batch)))
            for micro in np.array(order).reshape(-1, config.micro_batch_size):
                parts = plain_parts(setting, student, teacher, plan, micro)
                loss = sum(part.mean() for part in parts.values() if len(part))
                (loss * config.micro_batch_size / plan.batch).backward()
                for kind, part in parts.items():
                    sums[kind] = (sums[kind][0] + part.sum().item(), sums[kind][1] + len(part))
            torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            if step == 0:
                first_loss = sum(total / max(count, 1) for total, count in sums.values())
        _wait(device)
        rate = (plan.steps - 1) * plan.batch / (now(device) - started)
    finally:
        student.unload()
    return Ran(rate, first_loss, taken_gib(device))


def plain_parts(setting, student, teacher, plan, micro):  # type: ignore[no-untyped-def]
    """Losses of near and of distant tokens of a micro-batch."""
    table, device = setting.table, setting.device
    states = []
    for index in micro:
        row, step = int(plan.row_S[index]), int(plan.draw_S[index])
        states.append(
            (row, step, table.revealed_at_RL[row].astype(np.int64), table.response_RL[row].astype(np.int64))
        )
    student.train()
    logits = {}
    for who, network, prompts in (
        ("student", student, table.student),
        ("teacher", teacher, table.teacher),
    ):
        ids, mask = _padded(base_of(student), prompts, states)
        with (
            torch.set_grad_enabled(who == "student"),
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"),
        ):
            logits[who] = network(ids.to(device), mask.to(device)).float()  # [B, W, V]
    near, distant = [], []
    for b, (row, step, revealed_L, response_L) in enumerate(states):
        length = len(response_L)
        own = logits["student"][b, table.student.length_R[row] :][:length]
        other = logits["teacher"][b, table.teacher.length_R[row] :][:length]
        masked_L = torch.from_numpy(revealed_L > step).to(device)
        soon_L = torch.from_numpy(revealed_L <= min(step + WINDOWS["quality"], length)).to(device)
        labels_L = torch.from_numpy(response_L).to(device)
        cross_L = F.cross_entropy(own, labels_L, reduction="none")
        kl_L = F.kl_div(own.log_softmax(-1), other.log_softmax(-1), reduction="none", log_target=True).sum(-1)
        near.append(cross_L[masked_L & soon_L])
        distant.append(kl_L[masked_L & ~soon_L])
    return {"near": torch.cat(near), "distant": torch.cat(distant)}


def _padded(model, prompts, states):  # type: ignore[no-untyped-def]
    rows = []
    for row, step, revealed_L, response_L in states:
        state_L = np.where(revealed_L > step, model.mask_token_id, response_L)
        rows.append(torch.from_numpy(np.concatenate([prompts[row], state_L])))
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad(rows, batch_first=True, padding_value=model.eos_token_id).long()
    return ids, pad([torch.ones_like(r) for r in rows], batch_first=True).long()


# --- in turns -------------------------------------------------------------------------------------------


def ways_of(setting: Setting, mixed: Setting) -> dict[str, tuple[str, Callable[[], Ran]]]:
    """Every way by name: the lengths it is measured with, and how it runs."""
    both = tuple(WINDOWS)
    alike = "equal lengths"
    ways: dict[str, tuple[str, Callable[[], Ran]]] = {
        "plain": (alike, lambda: plain(setting)),
        "ours": (alike, lambda: ours(setting)),
        "ours, two models in one pass": (alike, lambda: ours(setting, both)),
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


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


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
    parser.add_argument("--budget-s", type=float, default=1e9, help="begin nothing new after so long")
    options = parser.parse_args()
    if options.steps < 2:
        parser.error("--steps: the first is not timed; give at least 2")
    started = time.perf_counter()
    torch.set_num_threads(options.threads)
    setting, mixed = settings_of(options)
    on_gpu = setting.device.type == "cuda"
    title = torch.cuda.get_device_name() if on_gpu else f"CPU, {options.threads} thread"
    print(f"{title}; torch {torch.__version__}; micro-batch 4, {options.batch} states a step", flush=True)
    found: dict[str, Measured] = {}
    ways = ways_of(setting, mixed)
    first = list(ways)[:3]
    for name in [*first * options.turns, *list(ways)[3:] * options.turns]:
        if time.perf_counter() - started > options.budget_s:
            break
        gc.collect()
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        rate, loss, peak_gib = ways[name][1]()
        seen = found.setdefault(name, Measured())
        seen.states_per_s.append(rate)
        seen.loss, seen.peak_gib = loss, max(seen.peak_gib, peak_gib)
        peak = f", {peak_gib:.1f} GiB" if on_gpu else ""
        print(f"{name}: {rate:.2f} states/s{peak} ({time.perf_counter() - started:.0f} s)", flush=True)
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
