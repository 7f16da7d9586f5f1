"""Rollout and decoding as the public code does them, word for word; ``decode.py`` runs them beside ours.

Every forward over prompt and response, logits for all positions, softmax in float64, one sample at a time or a batch of
equal lengths; and Fast-dLLM's dual cache, whose steps compute a whole block against keys and values kept from the
block's start.
"""

from __future__ import annotations

import torch

from tad_core.models.base import DiffusionLM
from tad_core.models.layout import Keys, Packing, Segments
from tad_core.models.llada import LLaDAModelLM


@torch.inference_mode()
def plain_rollout(model: DiffusionLM, rows: list[list[int]], length: int, heat: float) -> None:
    """Token by token in one block of ``length``: all logits, noise and softmax in float64."""
    ids = torch.tensor([row + [model.mask_token_id] * length for row in rows], device=model.device)
    first = len(rows[0])
    for _ in range(length):
        masked = ids == model.mask_token_id
        logits = model(ids)
        noisy = logits.double()
        if heat:
            noise = torch.rand_like(noisy)
            noisy = noisy.exp() / (-noise.log()) ** heat
        token = noisy.argmax(-1)
        del noisy
        chance = torch.cat([part.double().softmax(-1) for part in logits.split(4)])
        sure = chance.gather(-1, token[..., None])[..., 0].masked_fill(~masked, -torch.inf)
        del chance
        at = sure[:, first:].argmax(-1, keepdim=True) + first
        ids.scatter_(1, at, token.gather(1, at))


@torch.inference_mode()
def plain_decode(model: DiffusionLM, row: list[int], length: int, forwards: int) -> None:
    """One sample, entropies of all positions in float64, nothing cached; one reveal a forward."""
    ids = torch.tensor([row + [model.mask_token_id] * length], device=model.device)
    for _ in range(forwards):
        chance = model(ids).double().softmax(-1)
        entropy = -(chance * torch.log(chance + 1e-12)).sum(-1)
        token = chance.argmax(-1)
        entropy = entropy.masked_fill(ids != model.mask_token_id, torch.inf)
        at = int(entropy[0].argmin())
        if float(entropy[0, at]) < 1e9:
            ids[0, at] = token[0, at]


@torch.inference_mode()
def plain_dual_cache(
    model: LLaDAModelLM, rows: list[list[int]], length: int, block: int, reveals: int
) -> int:
    """Fast-dLLM's dual cache, a batch of equal lengths: a full forward at each block, then the block alone.

    Returns how many forwards it took.
    """
    device, count, prompt = model.device, len(rows), len(rows[0])
    width = prompt + length
    ids = torch.tensor([row + [model.mask_token_id] * length for row in rows], device=device)
    cache, forwards = model.new_cache(count, width), 0
    every = torch.arange(width, device=device)
    for start in range(prompt, width, block):
        inside = every[start : start + block]
        for step in range(block // reveals):
            at = every if step == 0 else inside
            cells = (torch.arange(count, device=device)[:, None] * width + at).flatten()
            numbers = [[b * width for b in range(count)] + [0], [width] * count]
            keys = Keys(
                tuple(numbers[0][:-1]), tuple(numbers[1]), torch.tensor(numbers[0], dtype=torch.int32, device=device),
                torch.tensor(numbers[1], dtype=torch.int32, device=device), width, cells,
            )  # fmt: skip
            segments = Segments.of([len(at)] * count, device)
            packing = Packing(
                at.repeat(count), segments, torch.arange(len(cells), device=device), segments, keys
            )
            hidden = model.packed(ids[:, at].flatten(), packing, cache).view(count, len(at), -1)
            forwards += 1
            if step == 0:
                hidden = hidden[:, inside]
            chance = model.head(hidden).double().softmax(-1)
            sure, token = chance.max(-1)
            sure = sure.masked_fill(ids[:, inside] != model.mask_token_id, -torch.inf)
            best = sure.topk(reveals, -1).indices
            ids[:, start : start + block].scatter_(1, best, token.gather(1, best))
    return forwards
