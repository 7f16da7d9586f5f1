"""From slots to one forward: the tokens that are computed, end to end, and the rows that are asked for.

On an accelerator one more sequence, which nobody reads, follows those of the slots. It fills the forward up to one of a
few sizes: small forwards are replayed as graphs, of which there is one for each size, and none has so few rows that
a matrix product would take a kernel that rounds differently. So a sample does not depend on how many are beside it.

Shapes: B slots, W columns of a slot, T computed tokens, N rows asked for, C cells of the cache.
"""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

from tad_core.decoding.graphs import Graphs
from tad_core.decoding.slots import Slots
from tad_core.models.base import DiffusionLM
from tad_core.models.packed import Keys, Packing, Segments

#: On a CPU fewer rows than these take another kernel; the last layer and the head get at least so many.
LEAST_ROWS_CPU = 32
#: From here on kernels are the same for any number of rows; fewer take as long.
LEAST_ROWS = 128
#: Sizes are multiples of these: of small forwards, which are graphs, and of large ones.
SMALL_STEP, LARGE_STEP = 64, 256
#: What the attention kernel of packed sequences takes.
HALF = (torch.bfloat16, torch.float16)
#: Forwards of more tokens keep a GPU busy without a graph.
GRAPH_TOKENS = 1024


class Packer:
    """Runs the model over so many slots; holds the cache and the graphs."""

    def __init__(self, model: DiffusionLM, slots: int, width: int, cached: bool) -> None:
        """For slots of ``width`` columns.

        Raises:
            ModelError: a cache is asked for and the family has none.
            torch.OutOfMemoryError: the device has no room for the cache.
        """
        self.slots, self.width, self.cached = slots, width, cached
        self._model = weakref.ref(model)
        self._cache = model.new_cache(slots, width) if cached else None
        self.compiled = compiles(model)
        self._graphs = (
            Graphs(self._cache, slots + 1, width) if self.compiled and model.dtype in HALF else None
        )

    def hidden(
        self,
        slots: Slots,
        compute_BW: Tensor,
        computed: list[int],
        slot_N: Tensor,
        column_N: Tensor,
        opened: list[int],
    ) -> Tensor:
        """Hidden rows ``[N, D]`` that predict the tokens at some columns.

        Args:
            slots: the samples.
            compute_BW: tokens to compute; those of ``column_N`` and their rows are among them.
            computed: how many of each slot.
            slot_N: slot of each row asked for, slot after slot.
            column_N: its column.
            opened: how many of each slot.
        """
        model = self._model()
        assert model is not None
        width = compute_BW.shape[1]
        slot_T, at_T = torch.nonzero_static(compute_BW, size=sum(computed)).unbind(1)
        rank_BW = compute_BW.flatten().cumsum(0) - 1
        row_N = (column_N - model.packed_shift).clamp(min=0)
        wanted_N = rank_BW[slot_N * width + row_N]
        ids_T, cell_T = slots.ids_BW[slot_T, at_T], slot_T * self.width + at_T
        tokens, wanted = list(computed), list(opened)
        keys = [(b * self.width, slots.totals[b] if computed[b] else 0) for b in range(len(computed))]
        if ids_T.is_cuda:
            spare, size = len(ids_T), _size(len(ids_T) + 1)
            rows = max(LEAST_ROWS, 1 << (len(wanted_N) - 1).bit_length())
            at_T, ids_T = _filled(at_T, size, 0), _filled(ids_T, size, model.eos_token_id)
            cell_T = _filled(cell_T, size, self._cache.spare if self._cache else 0)
            wanted_N = _filled(wanted_N, rows, spare)
            tokens.append(size - sum(tokens))
            wanted.append(rows - sum(wanted))
            keys.append((self.slots * self.width, 1))
        elif (missing := LEAST_ROWS_CPU - len(wanted_N)) > 0:
            wanted_N = torch.cat((wanted_N, wanted_N[-1:].expand(missing)))
            wanted[-1] += missing
        packing = self._packing(at_T, tokens, wanted_N, wanted, keys, cell_T)
        if self._graphs and len(ids_T) <= GRAPH_TOKENS:
            hidden_ND = self._graphs.run(model, ids_T, packing)
        else:
            hidden_ND = model.packed(ids_T, packing, self._cache, self.compiled)
        return hidden_ND[: len(slot_N)]

    def _packing(
        self, at_T: Tensor, tokens: list[int], wanted_N: Tensor, wanted: list[int], keys: list[tuple[int, int]],
        cell_T: Tensor,
    ) -> Packing:  # fmt: skip
        device = at_T.device
        in_cache = None
        if self._cache:
            starts, counts = zip(*keys, strict=True)
            numbers = torch.tensor([[*starts, 0], [*counts, 0]], dtype=torch.int32).to(device)
            in_cache = Keys(starts, counts, numbers[0], numbers[1, :-1], self.width, cell_T)
        return Packing(at_T, Segments.of(tokens, device), wanted_N, Segments.of(wanted, device), in_cache)


_last: weakref.WeakKeyDictionary[DiffusionLM, Packer] = weakref.WeakKeyDictionary()


def packer_of(model: DiffusionLM, slots: int, width: int, cached: bool) -> Packer:
    """The last one of the model, if it has room; its graphs are worth keeping, and its cache is not held twice."""
    width = -(-width // LEAST_ROWS) * LEAST_ROWS if model.device.type == "cuda" else width
    found = _last.pop(model, None)
    if found and (found.slots, found.cached) == (slots, cached) and width <= found.width <= 2 * width:
        _last[model] = found
        return found
    del found
    _last[model] = new = Packer(model, slots, width, cached)
    return new


def compiles(model: DiffusionLM) -> bool:
    """Whether fused kernels are made: on a GPU, for a model whose forwards repay the half minute that takes."""
    return bool(model.device.type == "cuda" and model.num_parameters() >= 5e8)


def _size(tokens: int) -> int:
    step = SMALL_STEP if tokens <= GRAPH_TOKENS else LARGE_STEP
    return max(LEAST_ROWS, -(-tokens // step) * step)


def _filled(of_T: Tensor, size: int, value: int) -> Tensor:
    return torch.cat((of_T, of_T.new_full((size - len(of_T),), value)))
