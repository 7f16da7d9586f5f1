"""The one interface of every masked diffusion LM.

Shapes: B batch, L tokens, D hidden size, V vocabulary, N selected rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from tad_core.errors import ModelError
from tad_core.models.layout import Packing
from tad_core.models.packed import PackedCache

#: Roles of the seven projections of a layer; LoRA and docs speak of these.
ROLES = ("q", "k", "v", "o", "gate", "up", "down")


class DiffusionLM(PreTrainedModel):  # type: ignore[misc]
    """Base of the model families.

    A family gives ``hidden`` and ``head``; ``logits[:, i]`` predicts token i in every family (a family whose
    checkpoint is shifted undoes that in ``hidden``). Attention is bidirectional and padding, on the right, is
    truly masked: the logits of a row do not depend on how much it is padded.
    """

    #: name of the family: ``llada`` or ``dream``
    family: ClassVar[str] = ""
    #: module-name pattern of each role, as a regular expression matched against the full name
    role_patterns: ClassVar[dict[str, str]] = {}

    @property
    def packed_shift(self) -> int:
        """Row i - this of ``packed`` predicts token i; row 0 predicts token 0 too."""
        return 0

    def hidden(self, input_ids_BL: Tensor, attention_mask_BL: Tensor | None = None) -> Tensor:
        """Final, normalised hidden states ``[B, L, D]``; row i holds what predicts token i.

        Args:
            input_ids_BL: token ids.
            attention_mask_BL: 1 for tokens, 0 for padding; None when nothing is padded.
        """
        raise NotImplementedError

    def packed(
        self, ids_T: Tensor, packing: Packing, cache: PackedCache | None = None, fused: bool = False
    ) -> Tensor:
        """Hidden rows ``[N, D]`` of some tokens of several sequences laid end to end; see ``packed_shift``.

        Here for a model that has ``hidden`` alone: one sequence after the other.

        Args:
            ids_T: the tokens; where layers are computed together, or their embeddings ``[T, D]``.
            packing: where each belongs, and which rows are asked for.
            cache: keys and values of the tokens that are not computed; written for those that are. Right after a
                forward over all of a sequence, one over some of its tokens, unchanged, gives the same rows.
            fused: whether kernels may be compiled.

        Raises:
            ModelError: the family has no block-causal attention.
        """
        if packing.keys is not None:
            raise ModelError(
                f"{type(self).__name__} sees all of a sequence at once; it cannot read block by block"
            )
        assert cache is None, f"{type(self).__name__} has no cache"
        rows = [
            self.hidden(ids_L[None])[0]
            for ids_L in torch.split(ids_T, list(packing.tokens.counts))
            if len(ids_L)
        ]
        return torch.cat(rows)[packing.wanted_N]

    def held_by_graphs(self) -> object:
        """What must live as long as a CUDA graph of ``packed``, beside the parameters."""
        return None

    def new_cache(self, sequences: int, capacity: int) -> PackedCache:
        """Room for the keys and values of so many sequences of at most ``capacity`` tokens.

        Raises:
            ModelError: the family has no cache.
        """
        raise ModelError(
            f"{type(self).__name__} cannot decode with a cache; set rollout.cache.mode and evaluate.decode.cache.mode "
            "to none"
        )

    def head(self, hidden_ND: Tensor) -> Tensor:
        """Logits ``[..., V]`` of any selection of hidden rows ``[..., D]``."""
        raise NotImplementedError

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        packing: Packing | None = None,
        fused: bool = False,
    ) -> Tensor:
        """Logits ``[B, L, V]``, unshifted: position i predicts token i.

        With ``packing``, what ``packed`` gives: data-parallel wrappers see gradients only through ``forward``.
        """
        if packing is not None:
            return self.packed(input_ids, packing, fused=fused)
        return self.head(self.hidden(input_ids, attention_mask))

    @property
    def max_positions(self) -> int | None:
        """Tokens of the longest sequence, prompt and response together; None if the family has no limit."""
        return None

    @property
    def mask_token_id(self) -> int:
        """Id of the mask token."""
        return cast(int, self.config.mask_token_id)

    @property
    def eos_token_id(self) -> int:
        """Id of the end-of-text token, which also pads responses."""
        return cast(int, self.config.eos_token_id)

    @property
    def vocab_size(self) -> int:
        """Rows of the head."""
        return cast(int, self.config.vocab_size)

    @property
    def head_dtype(self) -> torch.dtype:
        """Of the head's own weights, in which rows are given to it for a loss; here that of the first parameter."""
        return cast(torch.dtype, self.dtype)

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether layers are computed again in the backward pass; PEFT asks, and transformers' own answer warns."""
        return any(getattr(module, "gradient_checkpointing", False) for module in self.modules())

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """As transformers does it, without a progress bar."""
        with no_progress_bars():
            super().save_pretrained(*args, **kwargs)


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Transformers draws no bars inside; progress is told in our own lines."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def right_pad(
    rows: list[list[int]], pad_id: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Stack rows of different length: ``(ids_BL, attention_mask_BL)``; padding is on the right."""
    width = max(len(r) for r in rows)
    ids_BL = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask_BL = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        ids_BL[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask_BL[i, : len(row)] = 1
    return ids_BL.to(device), mask_BL.to(device)


__all__ = ["ROLES", "DiffusionLM", "PretrainedConfig", "no_progress_bars", "right_pad"]
