"""Steps of two adapters on a model that is trained, for whoever computes their layers."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import torch
from peft import PeftModel

from tad_core.config import LoraConfig, ModelConfig
from tad_core.models import float8, packed
from tad_core.models.layout import Packing, Segments
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, base_of, weights_of
from tad_core.models.packed import record_training
from tad_core.models.rows import join_layers
from tad_core.training.adapters import Switch
from tad_core.training.held import Held


def trained(folder: Path, device: str, dropout: float = 0.0, in_float8: bool = False) -> PeftModel:
    """With two adapters; in bfloat16 on a GPU."""
    dtype = "float32" if device == "cpu" else "bfloat16"
    base = load_model(ModelConfig(path=str(folder), dtype=dtype, device=device))
    if in_float8:
        float8.quantize(base)
    join_layers(base)
    model = add_lora(base, LoraConfig(rank=4, alpha=6, dropout=dropout), 0, ("one", "two"))
    draw = torch.Generator(device).manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1, generator=draw)
    return model.train()


def micro_batch(model: PeftModel, lengths: tuple[int, ...]) -> tuple[torch.Tensor, Packing]:
    """Sequences of these lengths, of which every third row is asked for."""
    device = model.device
    draw = torch.Generator(device).manual_seed(sum(lengths))
    ids_T = torch.randint(7, 600, (sum(lengths),), generator=draw, device=device)
    at_T = torch.cat([torch.arange(n, device=device) for n in lengths])
    wanted_N = torch.arange(0, sum(lengths), 3, device=device)
    counts = [
        len(range(-start % 3, n, 3)) for start, n in zip(accumulate((0, *lengths)), lengths, strict=False)
    ]
    return ids_T, Packing(at_T, Segments.of(lengths, device), wanted_N, Segments.of(counts, device))


def push(rows_ND: torch.Tensor) -> None:
    """The way back of a sum that tells rows apart."""
    summed(rows_ND).backward()


def summed(rows_ND: torch.Tensor) -> torch.Tensor:
    """That sum."""
    factors_N = torch.linspace(-1, 1, rows_ND.numel(), device=rows_ND.device)
    return (rows_ND.float() * factors_N.view_as(rows_ND)).sum()


def two_steps(model: PeftModel, graphs: bool) -> list[torch.Tensor]:
    """Rows and gradients of micro-batches of two adapters, the base read between, over two steps of an optimizer."""
    record_training(base_of(model), recorded=True)
    packed._training[base_of(model)].stack.graphs = graphs
    switch, found = Switch(model), []
    torch.manual_seed(5)
    for lengths in ((24, 17, 9), (40, 30, 9), (24, 17, 10), (24, 17, 9)):
        ids_T, packing = micro_batch(model, lengths)
        with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=model.device.type == "cuda"):
            with switch.off(), torch.no_grad():
                found.append(model(ids_T, packing=packing, fused=True))
            for name in ("one", "two"):
                switch.to(name)
                rows_ND = model(ids_T, packing=packing, fused=True)
                found.append(rows_ND.detach().clone())
                push(rows_ND)
        if lengths == (40, 30, 9):
            found += [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
            model.zero_grad()
    return found + [weight.grad for weight in model.parameters() if weight.grad is not None]


def held_steps(model: PeftModel, recorded: bool, graphs: bool = True) -> list[torch.Tensor]:
    """Gradients of two steps of one adapter, of three micro-batches each, as autograd adds them up.

    ``recorded``: its layers by a stack that keeps their gradients, and those of the rest held until the last one.
    """
    stack = record_training(base_of(model), recorded, kept=True)
    if stack is not None:
        stack.graphs = graphs
    Switch(model).to("one")
    weights, found = weights_of(model, "one"), []
    held = Held(weights)
    torch.manual_seed(5)
    for _ in range(2):
        for lengths in ((24, 17, 9), (40, 30, 9), (24, 17, 10)):
            ids_T, packing = micro_batch(model, lengths)
            loss, last = summed(model(ids_T, packing=packing, fused=recorded)), lengths == (24, 17, 10)
            if stack is None:
                loss.backward()
                continue
            stack.gives = last
            if last:
                assert all(weight.grad is None for weight in weights)
                held.with_all(loss).backward()
            else:
                held.add(loss)
        found += [weight.grad for weight in weights]
        model.zero_grad()
    return found
