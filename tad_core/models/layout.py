"""How sequences lie end to end in one forward: pieces of an axis, and what each of them attends to.

Shapes: T tokens computed in a forward, of all sequences; B pieces; N rows asked for; K keys laid end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """Consecutive pieces of a packed axis, one of each sequence.

    Attributes:
        counts: lengths of the pieces.
        start_B1: int32, where each begins, then where the last ends.
        longest: at least the longest of them.
    """

    counts: tuple[int, ...]
    start_B1: Tensor
    longest: int

    @classmethod
    def of(cls, counts: Sequence[int], device: torch.device) -> Segments:
        """Pieces of these lengths."""
        starts = [0, *accumulate(counts)]
        return cls(tuple(counts), torch.tensor(starts, dtype=torch.int32).to(device), max(counts))


@dataclass(frozen=True)
class Keys:
    """What each piece attends to: ``counts[b]`` cells of a cache, or tokens of this forward, from ``start_B1[b]`` on.

    A piece is a sequence, or of a sequence that is read block by block the prompt or a block.

    Attributes:
        starts: first cell (or token) of each piece.
        counts: how many it sees.
        start_B1: int32, ``starts``, and one more entry that is never read.
        count_B: int32, ``counts``.
        longest: at least the most cells of one.
        cell_T: where a cache keeps the keys and values of the tokens of this forward.
    """

    starts: tuple[int, ...]
    counts: tuple[int, ...]
    start_B1: Tensor
    count_B: Tensor
    longest: int
    cell_T: Tensor


@dataclass(frozen=True)
class Prefixes:
    """What each piece attends to, copied end to end: a sequence that is read block by block from its beginning on.

    For training: kernels that take ranges which overlap have no backward pass.

    Attributes:
        token_K: which of the T tokens each key is.
        pieces: of K.
    """

    token_K: Tensor
    pieces: Segments

    @property
    def longest(self) -> int:
        """At least the most keys of a piece."""
        return self.pieces.longest


@dataclass(frozen=True)
class Packing:
    """Which tokens a forward computes.

    Attributes:
        at_T: place of each token in its sequence.
        tokens: pieces of T.
        wanted_N: which of the T rows are asked for.
        wanted: pieces of N.
        keys: what each piece attends to; None: its own tokens, a whole sequence.
        wanted_keys: what each piece of N attends to, where not all pieces of T have some.
    """

    at_T: Tensor
    tokens: Segments
    wanted_N: Tensor
    wanted: Segments
    keys: Keys | Prefixes | None = None
    wanted_keys: Prefixes | None = None
