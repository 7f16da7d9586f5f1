"""The kept trajectories as flat arrays: what has a length of its own lies end to end, never padded to the longest.

The arrays are mapped from files (``flat``) or made in memory; whoever reads rows of them sees no difference.

Shapes: R rows (trajectories or references), L response positions, N tokens of all prompts, P longest of some prompts,
B rows of a batch.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Prompts:
    """Prompts end to end in ``ids_N``; that of row r is ``length_R[r]`` tokens from ``start_R[r]`` on."""

    ids_N: NDArray[np.int32]
    length_R: IntArray
    start_R: IntArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "start_R", starts(self.length_R))

    @classmethod
    def of(cls, prompts: Sequence[Sequence[int]]) -> Self:
        """Prompts that are lists of tokens."""
        flat = np.array([token for prompt in prompts for token in prompt], dtype=np.int32)
        return cls(flat, np.array([len(p) for p in prompts], dtype=np.int64))

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        """The tokens of one."""
        first = self.start_R[row]
        return self.ids_N[first : first + self.length_R[row]]

    def padded(self, row_B: NDArray[Any]) -> NDArray[np.int32]:
        """Some of them ``[B, P]``, filled up with zeros to the longest of these."""
        length_B = self.length_R[row_B]
        column_1P = np.arange(max(1, int(length_B.max())))[None, :]
        inside_BP = column_1P < length_B[:, None]
        index_BP = np.where(inside_BP, self.start_R[row_B][:, None] + column_1P, 0)
        return np.where(inside_BP, self.ids_N[index_BP], np.int32(0))


class Names(Sequence[str]):
    """Texts of different length end to end, in UTF-8; read when asked for."""

    def __init__(self, text_N: NDArray[np.uint8], length_R: IntArray) -> None:
        self._text_N, self._length_R, self._start_R = text_N, length_R, starts(length_R)

    def __len__(self) -> int:
        return len(self._length_R)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        """One text, or several."""
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)  # by which a loop over a sequence ends
        first = int(self._start_R[row])
        return self._text_N[first : first + int(self._length_R[row])].tobytes().decode("utf-8")


@dataclass(frozen=True)
class TrainingTable:
    """Every row to train on. ``names`` are the keys of its randomness: ``problem_id/sample``.

    ``filled_from_R`` is the first step that was filled in with end-of-text rather than computed, L + 1 if none was.
    ``maps`` are the files that the arrays are mapped from, if they are.
    """

    names: Sequence[str]
    student: Prompts
    teacher: Prompts
    response_RL: NDArray[np.int32]
    revealed_at_RL: NDArray[np.int16]
    filled_from_R: NDArray[np.int16]
    maps: tuple[mmap.mmap, ...] = field(default=(), repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.names)


def in_text(table: TrainingTable, row_B: NDArray[Any], ends: Collection[int]) -> NDArray[np.bool_]:
    """Which positions of some rows are text, ``[B, L]``: computed, not filled in, and up to the first of ``ends``, that
    one included."""
    is_end_BL = np.isin(table.response_RL[row_B], list(ends))
    before_BL: NDArray[np.bool_] = np.cumsum(is_end_BL, axis=1) - is_end_BL == 0
    in_text_BL: NDArray[np.bool_] = before_BL & (
        table.revealed_at_RL[row_B] < table.filled_from_R[row_B, None]
    )
    return in_text_BL


def starts(length_R: IntArray) -> IntArray:
    """Where each of several parts begins that lie end to end."""
    start_R = np.zeros(len(length_R), dtype=np.int64)
    np.cumsum(length_R[:-1], out=start_R[1:])
    return start_R
