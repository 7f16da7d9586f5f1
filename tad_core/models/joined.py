"""Linear maps of one input whose weights lie side by side in memory: one product makes what each of them gives.

A matrix product of few rows takes as long as its weights take to be read, and a small one does not keep a GPU busy. The
weights stay the parameters of their own modules: nothing is held twice, and saving, merging and training know nothing
of it.

Shapes: T tokens, D inputs, O outputs of all maps together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Joined(NamedTuple):
    """Several maps as one.

    Attributes:
        weight_OD: their weights, one after the other.
        bias_O: likewise; None where they have none.
        outputs: of each map.
    """

    weight_OD: Tensor
    bias_O: Tensor | None
    outputs: tuple[int, ...]

    def __call__(self, x_TD: Tensor) -> Tensor:
        """What all give, side by side: ``[T, O]``."""
        return F.linear(x_TD, self.weight_OD, self.bias_O)

    def pull(self, dy_TO: Tensor) -> Tensor:
        """Gradient ``[T, D]`` of the input."""
        return dy_TO @ self.weight_OD

    def split(self, x_TD: Tensor) -> tuple[Tensor, ...]:
        """What each gives."""
        return torch.split(self(x_TD), list(self.outputs), dim=-1)


def join(maps: Sequence[nn.Module]) -> None:
    """Lay the weights and biases of plain maps of one input side by side; others stay as they are.

    So do maps one of which lies beside others already: another model may have it too, and graphs read it there.
    """
    if not _alike(maps):
        return
    apart = [tensors for tensors in _weights_and_biases(maps) if not _adjacent(tensors)]
    if any(_beside_others(tensor) for tensors in apart for tensor in tensors):
        return
    # A training may follow, which does not take what was made under inference mode.
    with torch.inference_mode(False), torch.no_grad():
        for tensors in apart:
            together = torch.cat([tensor.data for tensor in tensors])
            pieces = torch.split(together, [len(tensor) for tensor in tensors])
            for tensor, piece in zip(tensors, pieces, strict=True):
                tensor.data = piece


def joined(maps: Sequence[nn.Module]) -> Joined | None:
    """The maps as one; None where their weights do not lie side by side."""
    if not _alike(maps):
        return None
    weights, biases = _weights_and_biases(maps)
    outputs = tuple(len(weight) for weight in weights)
    if not (_adjacent(weights) and _adjacent(biases)):
        return None
    whole_O = _as_one(biases, sum(outputs)) if biases else None
    return Joined(_as_one(weights, sum(outputs)), whole_O, outputs)


def _alike(maps: Sequence[nn.Module]) -> bool:
    """Whether they are plain maps of one input: no adapters, no packed weights, none that cannot be laid elsewhere."""
    plain = [a_map for a_map in maps if type(a_map) is nn.Linear and not a_map.weight.is_inference()]
    kinds = {(of.in_features, of.weight.dtype, of.weight.device, of.bias is None) for of in plain}
    return len(plain) == len(maps) and len(kinds) == 1


def _weights_and_biases(maps: Sequence[nn.Module]) -> tuple[list[Tensor], list[Tensor]]:
    """Of plain maps; no biases where they have none."""
    plain = cast(Sequence[nn.Linear], maps)
    return [a_map.weight for a_map in plain], [a_map.bias for a_map in plain if a_map.bias is not None]


def _beside_others(tensor: Tensor) -> bool:
    return tensor.untyped_storage().nbytes() > tensor.numel() * tensor.element_size()


def _adjacent(tensors: Sequence[Tensor]) -> bool:
    return all(
        one.untyped_storage().data_ptr() == next_.untyped_storage().data_ptr()
        and one.storage_offset() + one.numel() == next_.storage_offset()
        and one.is_contiguous()
        and next_.is_contiguous()
        for one, next_ in pairwise(tensors)
    )


def _as_one(tensors: Sequence[Tensor], rows: int) -> Tensor:
    first = tensors[0].detach()
    return first.as_strided((rows, *first.shape[1:]), first.stride(), first.storage_offset())
