"""From slots to one forward: the tokens that are computed, end to end, and the rows that are asked for.

On an accelerator one more sequence, which nobody reads, follows those of the slots. It fills the forward up to one of a
few sizes: small forwards are replayed as graphs, of which there is one for each size, and no size is used at which a
matrix product would take a kernel that rounds differently. So a sample does not depend on how many are beside it.

Shapes: B slots, W columns of a slot, T computed tokens, N rows asked for, C cells of the cache.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from itertools import accumulate, count

import torch
import torch.nn.functional as F
from torch import Tensor

from tad_core.decoding.ahead import Guess
from tad_core.decoding.block_causal import pieces_of
from tad_core.decoding.graphs import Graphs
from tad_core.decoding.slots import Slots
from tad_core.decoding.spec import Lane
from tad_core.decoding.transfer import to_device
from tad_core.models.base import DiffusionLM
from tad_core.models.layout import Keys, Packing, Segments
from tad_core.models.rows import below_multiples, join_layers, of_layers
from tad_core.models.transformer import TransformerLM

#: On a CPU fewer rows than these take another kernel; the last layer and the head get at least so many.
LEAST_ROWS_CPU = 32
#: Fewer rows take as long; see ``rows`` for which numbers are used.
LEAST_ROWS = 128
#: Sizes are a few less than multiples of these: of small forwards, which are graphs, and of large ones.
SMALL_STEP, LARGE_STEP = 32, 256
#: What the attention kernel of packed sequences takes.
HALF = (torch.bfloat16, torch.float16)
#: Forwards of more tokens keep a GPU busy without a graph.
GRAPH_TOKENS = 1024
#: Below so many parameters a model's forwards do not repay the half minute that compiling takes.
COMPILED_PARAMETERS = 5e8


class Packer:
    """Runs the model over so many slots; holds the cache and the graphs."""

    def __init__(self, model: DiffusionLM, slots: int, width: int, lane: Lane) -> None:
        """For slots of ``width`` columns, and forwards of one kind.

        Raises:
            ModelError: a cache is asked for and the family has none.
            torch.OutOfMemoryError: the device has no room for the cache.
        """
        self.slots, self.width, self.lane = slots, width, lane
        self._model = weakref.ref(model)
        self.fused = model.device.type == "cuda" and model.num_parameters() >= COMPILED_PARAMETERS
        if self.fused and isinstance(model, TransformerLM):
            join_layers(model)  # while there is room: before the cache
        self._cache = model.new_cache(slots, width) if lane.cached else None
        self._filled = model.device.type == "cuda"
        # The pieces of block-causal forwards are never as many twice.
        graphs = self.fused and model.dtype in HALF and lane.block is None
        self._graphs = Graphs(self._cache, slots + 1, width) if graphs else None
        self._guess = Guess(slots, lane.cached)
        self._guessed: int | None = None
        self._begun: int | None = None
        self._whole: tuple[list[int], Tensor] | None = None

    def hidden(
        self, slots: Slots, compute_BW: Tensor, computed: list[int], slot_N: Tensor, column_N: Tensor, opened: list[int]
    ) -> Tensor:  # fmt: skip
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
        total = sum(computed)
        size = of_layers(model).first(_sizes(total + 1)) if self._filled else total
        graphs = self._graphs if size <= GRAPH_TOKENS else None
        if self._guessed is not None:
            self._guess.was(self._guessed >= size)
        self._guess.ran(computed, slots.totals)
        if graphs and self._begun is not None and self._begun >= size:
            size = self._begun
        elif graphs:
            self._begin(slots, compute_BW, self._cells(slots, compute_BW, computed, size))
        self.forget()
        wanted_N, rows_N = self._wanted(slots, compute_BW, computed, slot_N, column_N)
        if self.lane.block is None:
            tokens, wanted = list(computed), list(opened)
            keys = [(b * self.width, total if computed[b] else 0) for b, total in enumerate(slots.totals)]
        else:
            places = [0, *accumulate(computed[:-1])]
            starts = [b * self.width for b in range(self.slots)] if self._cache else places
            tokens, wanted, keys = pieces_of(slots, compute_BW, slot_N, rows_N, self.lane.block, starts)
        if self._filled:
            rows = of_layers(model).first(_doubled(len(wanted_N)))
            wanted_N = F.pad(wanted_N, (0, rows - len(wanted_N)), value=total)
            tokens.append(size - total)
            wanted.append(rows - sum(wanted))
            keys.append((self.slots * self.width if self._cache else total, 1))
        elif (missing := LEAST_ROWS_CPU - len(wanted_N)) > 0:
            wanted_N = torch.cat((wanted_N, wanted_N[-1:].expand(missing)))
            wanted[-1] += missing
        if graphs:
            pieces = to_device([0, *accumulate(wanted)], compute_BW.device, torch.int32)
            hidden_ND = graphs.end(model, size, wanted_N, Segments(tuple(wanted), pieces, max(wanted)))
        else:
            cell_T = self._cells(slots, compute_BW, computed, size)
            packing = self._packing(cell_T, tokens, wanted_N, wanted, keys)
            hidden_ND = model.packed(slots.ids_C[cell_T], packing, self._cache, self.fused)
        return hidden_ND[: len(slot_N)]

    def ahead(self, slots: Slots, compute_BW: Tensor) -> None:
        """Begin the next forward before the host knows how many tokens it has, where that can be guessed.

        Its cells of the cache are those that it is to write in any case: a wrong guess is written over.
        """
        model = self._model()
        assert model is not None
        every = [job.spec.refresh_forwards if job else 0 for job in slots.jobs]
        tokens = self._guess.tokens(slots.totals, every) if self._graphs else None
        if tokens is None:
            return
        size = self._guessed = of_layers(model).first(_sizes(tokens + 1))
        if size <= GRAPH_TOKENS and self._guess.pays:
            self._begin(slots, compute_BW, _nonzero(compute_BW, size))
            self._begun = size

    def forget(self) -> None:
        """The next forward is another than was thought when it was begun."""
        self._begun = self._guessed = None

    def _begin(self, slots: Slots, compute_BW: Tensor, cell_T: Tensor) -> None:
        """All layers but the last of these cells, cut up by what the device knows."""
        model, device = self._model(), cell_T.device
        assert isinstance(model, TransformerLM)
        assert self._graphs is not None
        count_B = compute_BW.sum(1)
        # As many as were computed at most, should the guess be wrong; then the sequence that nobody reads.
        ends_B = count_B.cumsum(0).clamp(max=len(cell_T))
        tokens_B1 = F.pad(F.pad(ends_B, (1, 0)), (0, 1), value=len(cell_T)).int()
        keys = None
        if self._cache:
            start_B1 = torch.arange(self.slots + 2, device=device, dtype=torch.int32) * self.width
            seen_B = F.pad(slots.total_B * (count_B > 0), (0, 1), value=1).int()
            keys = Keys((), (), start_B1, seen_B, self.width, cell_T)
        packing = Packing(
            cell_T % self.width, Segments((), tokens_B1, len(cell_T)),
            cell_T[:0], Segments((), tokens_B1, 0), keys,
        )  # fmt: skip
        self._graphs.begin(model, slots.ids_C[cell_T], packing)

    def _wanted(
        self, slots: Slots, compute_BW: Tensor, computed: list[int], slot_N: Tensor, column_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Rows that predict the tokens at some columns: which of those computed, and their own columns."""
        model = self._model()
        assert model is not None
        row_N = (column_N - model.packed_shift).clamp(min=0)
        if computed == slots.totals:
            first_B = to_device([0, *accumulate(computed[:-1])], row_N.device)
            return first_B[slot_N] + row_N, row_N
        rank_BW = compute_BW.flatten().cumsum(0) - 1
        return rank_BW[slot_N * self.width + row_N], row_N

    def _cells(self, slots: Slots, compute_BW: Tensor, computed: list[int], size: int) -> Tensor:
        """Which cells of the slots are computed, slot after slot; then the one behind them all, up to ``size``."""
        if (
            self._whole is not None
            and self._whole[0] == computed == slots.totals
            and len(self._whole[1]) == size
        ):
            return self._whole[1]
        cell_T = _nonzero(compute_BW, size)
        if computed == slots.totals:
            self._whole = list(computed), cell_T
        return cell_T

    def _packing(
        self, cell_T: Tensor, tokens: list[int], wanted_N: Tensor, wanted: list[int], keys: list[tuple[int, int]]
    ) -> Packing:  # fmt: skip
        """All that the host knows goes to the device at once."""
        starts, counts = zip(*keys, strict=True)
        numbers = [[0, *accumulate(tokens)], [0, *accumulate(wanted)], [*starts, 0], [*counts, 0]]
        there = to_device(numbers, cell_T.device, torch.int32)
        seen = None
        if self._cache or self.lane.block is not None:
            seen = Keys(starts, counts, there[2], there[3, :-1], self.width, cell_T)
        return Packing(
            cell_T % self.width, Segments(tuple(tokens), there[0], max(tokens)),
            wanted_N, Segments(tuple(wanted), there[1], max(wanted)), seen,
        )  # fmt: skip


_idle: weakref.WeakKeyDictionary[DiffusionLM, Packer] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def packer_of(model: DiffusionLM, slots: int, width: int, lane: Lane) -> Iterator[Packer]:
    """The model's last one, if it has room and nobody uses it: its graphs are worth keeping. Otherwise a new one.

    After a failure none is kept: memory that ran out is given back.
    """
    width = -(-width // LEAST_ROWS) * LEAST_ROWS if model.device.type == "cuda" else width
    packer = _idle.pop(model, None)
    if packer and not ((packer.slots, packer.lane) == (slots, lane) and width <= packer.width <= 2 * width):
        packer = None  # before another takes its memory
    packer = packer or Packer(model, slots, width, lane)
    yield packer
    _idle[model] = packer


def _nonzero(compute_BW: Tensor, size: int) -> Tensor:
    """The first so many cells that are computed, filled up with the one behind them all."""
    return torch.nonzero_static(compute_BW.flatten(), size=size, fill_value=compute_BW.numel())[:, 0]


def _sizes(tokens: int) -> Iterator[int]:
    """Of a forward, from so many tokens on."""
    return below_multiples(tokens, SMALL_STEP if tokens <= GRAPH_TOKENS else LARGE_STEP)


def _doubled(rows: int) -> Iterator[int]:
    """Of rows that are asked for."""
    first = max(LEAST_ROWS, 1 << (rows - 1).bit_length())
    return (first << doublings for doublings in count())
