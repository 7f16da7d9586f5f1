"""LLaDA's objective (Nie et al. 2025, eq. 3 and its fine-tuning variant), over two kinds of states.

Shapes: B batch, L tokens (prompt and response), R response tokens, D hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_SHORTEST_T = 1e-3


def draw_masks(
    size: int, length: int, block_length: int, block_share: float, noise: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Which response tokens are masked, and with what probability each was.

    Scattered states are LLaDA's: t uniform in (0, 1] for each sample, every token masked with probability t.
    Block states are those that block-ordered decoding meets: blocks before a random one are clean, the tokens
    of that one are masked with probability t, all later ones are masked. Without them a small model sees too few
    long runs of masks, and decodes worse the more strictly it keeps to block order.

    Args:
        size: B.
        length: R.
        block_length: tokens of a block; divides R.
        block_share: share of samples in block states, 0 to 1.
        noise: on the device the masks are wanted on.

    Returns:
        masked ``[B, R]`` bool and its probabilities ``[B, R]`` (1 where there was no choice).
    """
    device = noise.device
    t_B1 = torch.rand(size, 1, generator=noise, device=device).clamp_min(_SHORTEST_T)
    masked_BR = torch.rand(size, length, generator=noise, device=device) < t_B1
    t_BR = t_B1.expand(-1, length)
    if block_share == 0:
        return masked_BR, t_BR
    block_R = torch.arange(length, device=device) // block_length
    current_B1 = torch.randint(0, length // block_length, (size, 1), generator=noise, device=device)
    ordered_B1 = torch.rand(size, 1, generator=noise, device=device) < block_share
    later_BR, earlier_BR = ordered_B1 & (block_R > current_B1), ordered_B1 & (block_R < current_B1)
    return (masked_BR | later_BR) & ~earlier_BR, t_BR.masked_fill(later_BR, 1.0)


def diffusion_loss(
    model: Any,
    ids_BL: Tensor,
    attention_BL: Tensor | None,
    prompt_length_B: Tensor,
    masked_BR: Tensor,
    t_BR: Tensor,
) -> Tensor:
    """Cross-entropy over the masked response tokens weighted by 1/t, as a mean over all B x R response tokens.

    Args:
        model: gives ``hidden`` and ``head``.
        ids_BL: prompts, responses, padding on the right.
        attention_BL: 1 for tokens, 0 for padding; None when all rows are of one length.
        prompt_length_B: tokens of each prompt.
        masked_BR: from ``draw_masks``.
        t_BR: from ``draw_masks``.
    """
    at_BR = prompt_length_B[:, None] + torch.arange(masked_BR.shape[1], device=ids_BL.device)
    labels_BR = ids_BL.gather(1, at_BR)
    noisy_BL = ids_BL.scatter(1, at_BR, labels_BR.masked_fill(masked_BR, model.config.mask_token_id))
    hidden_BLD = model.hidden(noisy_BL, attention_BL)
    rows_BRD = hidden_BLD.gather(1, at_BR[..., None].expand(-1, -1, hidden_BLD.shape[-1]))
    logits_BRV = model.head(rows_BRD).float()
    # Flat: a softmax over the last dimension is several times faster on a GPU than one over a middle dimension.
    ce_BR = F.cross_entropy(logits_BRV.flatten(0, 1), labels_BR.flatten(), reduction="none").view_as(
        labels_BR
    )
    return (ce_BR * masked_BR / t_BR).mean()
