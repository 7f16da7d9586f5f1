"""Distillation: ours against a plain loop, each in a process of its own; prints states a second, memory, the ratio.

The plain loop is what the method's definition says word for word, and what its released code does: a copy of the
model as the teacher, logits of both for every position, cross-entropy and KL over all of them in float32 with masks,
states in random order padded to the longest. Both train the same states of made-up trajectories with the same
weights; the losses of the first step must agree.

    python benchmarks/distill.py                                     # the small model, on a CPU
    python benchmarks/distill.py --size llada-8b --device cuda       # random weights of the full size, one GPU
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from tad_core.config import DistillConfig, LoraConfig, ModelConfig
from tad_core.models import LLaDAConfig, LLaDAModelLM
from tad_core.models.base import DiffusionLM
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora
from tad_core.objectives import make_objective
from tad_core.training.collate import Collator, Tokens
from tad_core.training.dataset import Prompts, StatePlan, TrainingTable
from tad_core.training.recorder import Recorder, StopRequest, read_losses
from tad_core.training.run import compile_layers
from tad_core.training.trainer import DistillTrainer, training_arguments

WINDOW, BLOCK = 8, 16


def made_up_table(rows: int, length: int, vocabulary: int, shortest: int, longest: int) -> TrainingTable:
    """Trajectories whose prompts differ in length; the teacher's is longer by about as much again."""
    rng = np.random.default_rng(0)

    def prompts(extra_R: np.ndarray) -> Prompts:
        length_R = rng.integers(shortest, longest + 1, size=rows) + extra_R
        ids = rng.integers(0, vocabulary, size=int(length_R.sum()))
        return Prompts(ids.astype(np.int32), length_R)

    order_RL = np.stack([_by_blocks(rng, length) for _ in range(rows)])
    return TrainingTable(
        names=[f"p/{r}" for r in range(rows)],
        student=prompts(np.zeros(rows, dtype=np.int64)),
        teacher=prompts(rng.integers(shortest, longest + 1, size=rows)),
        response_RL=rng.integers(0, vocabulary, size=(rows, length)).astype(np.int32),
        revealed_at_RL=order_RL.astype(np.int16),
        filled_from_R=np.full(rows, length + 1, dtype=np.int16),
    )


def _by_blocks(rng: np.random.Generator, length: int) -> np.ndarray:
    return np.concatenate([start + rng.permutation(BLOCK) + 1 for start in range(0, length, BLOCK)])


def build(options: argparse.Namespace) -> DiffusionLM:
    """The model: a checkpoint, or random weights at LLaDA-8B's size."""
    if options.size == "llada-8b":
        with torch.device(options.device):
            torch.set_default_dtype(torch.bfloat16)
            model = LLaDAModelLM(LLaDAConfig())
            torch.set_default_dtype(torch.float32)
        return model.eval()
    return load_model(ModelConfig(path=options.model, device=options.device))


def ours(
    model: DiffusionLM, table: TrainingTable, config: DistillConfig, device: torch.device
) -> dict[str, float]:
    """The project's trainer; the first step warms up."""
    with tempfile.TemporaryDirectory() as folder:
        objective = make_objective(config, WINDOW)
        adapted = add_lora(model, config.lora, config.seed)
        if config.compile:
            compile_layers(model)
        plan = StatePlan(table, objective, config)
        collator = Collator(table, plan, objective, Tokens(model.mask_token_id, model.eos_token_id))
        args = training_arguments(config, Path(folder), 1, device)
        args.max_steps = plan.steps
        recorder = Recorder(Path(folder), config, plan.steps, StopRequest())
        autocast = device.type == "cuda"
        DistillTrainer(adapted, args, plan, collator, objective, recorder, autocast, "benchmark").train()
        losses = read_losses(Path(folder) / "losses.jsonl")
    spent_s = losses[-1]["wall_s"] - losses[0]["wall_s"]
    return {"states_per_s": (len(losses) - 1) * config.global_batch_size / spent_s, "loss": losses[0]["loss"]}


def plain(
    model: DiffusionLM, table: TrainingTable, config: DistillConfig, device: torch.device
) -> dict[str, float]:
    """The definition, micro-batch by micro-batch; the first step warms up."""
    teacher = copy.deepcopy(model).requires_grad_(False)
    student = add_lora(model, config.lora, config.seed)
    plan = StatePlan(table, make_objective(config, WINDOW), config)
    weights = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
    first_loss, started = 0.0, 0.0
    for step in range(plan.steps):
        if step == 1:
            started = time.perf_counter()
        order = np.arange(step * plan.batch, (step + 1) * plan.batch)
        np.random.default_rng(step).shuffle(order)
        near_sum = distant_sum = near_count = distant_count = 0.0
        for micro in order.reshape(-1, config.micro_batch_size):
            near, distant = _plain_parts(student, teacher, table, plan, micro, model, device)
            loss = torch.cat(near).mean() + torch.cat(distant).mean()
            (loss * config.micro_batch_size / plan.batch).backward()
            near_sum, near_count = near_sum + torch.cat(near).sum().item(), near_count + len(torch.cat(near))
            distant_sum += torch.cat(distant).sum().item()
            distant_count += len(torch.cat(distant))
        torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        if step == 0:
            first_loss = near_sum / max(near_count, 1) + distant_sum / max(distant_count, 1)
    if device.type == "cuda":
        torch.cuda.synchronize()
    rate = (plan.steps - 1) * plan.batch / (time.perf_counter() - started)
    return {"states_per_s": rate, "loss": first_loss}


def _plain_parts(student, teacher, table, plan, micro, model, device):  # type: ignore[no-untyped-def]
    """Losses of near and of distant tokens of a micro-batch, a list of tensors each."""
    student.train()
    logits = {}
    states = []
    for index in micro:
        row, step = int(plan.row_S[index]), int(plan.draw_S[index])
        revealed_L = table.revealed_at_RL[row].astype(np.int64)
        response_L = table.response_RL[row].astype(np.int64)
        states.append((row, step, revealed_L, response_L))
    for who, prompts in (("student", table.student), ("teacher", table.teacher)):
        rows = []
        for row, step, revealed_L, response_L in states:
            state_L = np.where(revealed_L > step, model.mask_token_id, response_L)
            rows.append(torch.from_numpy(np.concatenate([prompts[row], state_L])))
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=model.eos_token_id).long()
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(r) for r in rows], batch_first=True).long()
        with (
            torch.set_grad_enabled(who == "student"),
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"),
        ):
            network = student if who == "student" else teacher
            logits[who] = network(ids.to(device), mask.to(device)).float()  # [B, W, V]
    near, distant = [], []
    for b, (row, step, revealed_L, response_L) in enumerate(states):
        length = len(response_L)
        own = logits["student"][b, table.student.length_R[row] :][:length]
        other = logits["teacher"][b, table.teacher.length_R[row] :][:length]
        masked_L = torch.from_numpy(revealed_L > step).to(device)
        near_L = masked_L & torch.from_numpy(revealed_L <= min(step + WINDOW, length)).to(device)
        labels_L = torch.from_numpy(response_L).to(device)
        cross_L = F.cross_entropy(own, labels_L, reduction="none")
        kl_L = F.kl_div(own.log_softmax(-1), other.log_softmax(-1), reduction="none", log_target=True).sum(-1)
        near.append(cross_L[near_L])
        distant.append(kl_L[masked_L & ~near_L])
    return near, distant


def measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    """One of the two, in this process."""
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    model = build(options)
    full = options.size == "llada-8b"
    length = 256 if full else 64
    shortest, longest = (60, 240) if full else (20, 60)
    table = made_up_table(64, length, min(model.vocab_size, 500), shortest, longest)
    rank = 128 if full else 32
    config = DistillConfig(
        states_per_trajectory=min(length, 64), max_steps=options.steps, global_batch_size=options.batch,
        micro_batch_size=options.micro, log_steps=options.steps, save_steps=options.steps + 1, compile=options.compile,
        gradient_checkpointing=False, lora=LoraConfig(rank=rank, alpha=rank, dropout=0.0),
    )  # fmt: skip
    found = {"ours": ours, "plain": plain}[name](model, table, config, device)
    if device.type == "cuda":
        found["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    else:
        found["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return found


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="assets/tiny-llada")
    parser.add_argument("--size", choices=["checkpoint", "llada-8b"], default="checkpoint")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps, the first not timed")
    parser.add_argument("--batch", type=int, default=32, help="states a step")
    parser.add_argument("--micro", type=int, default=4, help="states a forward")
    parser.add_argument("--compile", action="store_true", help="compile our layers")
    parser.add_argument("--only", choices=["ours", "plain"], help="one of the two, as JSON")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options)))
        return
    found = {}
    for name in ("plain", "ours"):
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--only", name],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found[name] = json.loads(done.stdout.splitlines()[-1])
    for name, figures in found.items():
        ratio = figures["states_per_s"] / found["plain"]["states_per_s"]
        print(
            f"{name:6} {figures['states_per_s']:7.2f} states/s  {ratio:5.2f}x  peak {figures['peak_gib']:6.2f} GiB  "
            f"loss of the first step {figures['loss']:.4f}"
        )


if __name__ == "__main__":
    main()
