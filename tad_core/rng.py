"""Randomness keyed to what it is for, so that no result depends on batch, shard, worker or order.

Shapes: N places that are asked for.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 12


def key(*parts: object) -> int:
    """A 64-bit key of the parts, e.g. ``key(seed, problem_id, sample)``; stable across processes."""
    text = "\x1f".join(f"{type(p).__name__}:{p}" for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "little")


def generator(*parts: object) -> np.random.Generator:
    """A NumPy generator seeded by ``key(*parts)`` alone."""
    return np.random.Generator(np.random.Philox(key=key(*parts)))


class Permutation:
    """A permutation of 0 to ``size - 1``, worked out where it is read: nothing of it is in memory.

    A number is a pair of digits to the least even base from ``sqrt(size)`` on: under an odd one every permutation of
    the pairs is an even one. Each round adds a keyed hash of one digit to the other, modulo the base, which is a
    bijection whatever the hash is (Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002). The few pairs from
    ``size`` on are sent through again until they fall below it.
    """

    def __init__(self, size: int, *parts: object) -> None:
        """The one of ``key(*parts)``; ``size`` is at most 2^62."""
        self._size = size
        root = math.isqrt(max(size - 1, 0)) + 1
        self._base = np.uint64(root + root % 2)
        self._keys = [np.uint64(key(*parts, "round", number)) for number in range(_ROUNDS)]

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place_N: NDArray[np.integer]) -> NDArray[np.int64]:
        """What stands at some places, ``[N]``.

        Raises:
            IndexError: a place is negative or not below ``size``.
        """
        if len(place_N) and not 0 <= place_N.min() <= place_N.max() < self._size:
            raise IndexError(f"places {place_N.min()} to {place_N.max()} of {self._size}")
        found_N = self._sent(place_N.astype(np.uint64))
        while (outside_N := found_N >= self._size).any():
            found_N[outside_N] = self._sent(found_N[outside_N])
        return found_N.astype(np.int64)

    def _sent(self, number_N: NDArray[np.uint64]) -> NDArray[np.uint64]:
        one_N, other_N = np.divmod(number_N, self._base)
        for round_key in self._keys:
            one_N, other_N = other_N, (one_N + _mixed(other_N + round_key) % self._base) % self._base
        return one_N * self._base + other_N


def _mixed(number_N: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014)."""
    number_N = (number_N ^ (number_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number_N = (number_N ^ (number_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number_N ^ (number_N >> np.uint64(31))
