"""Randomness keyed to what it is for, so that no result depends on batch, shard, worker or order."""

from __future__ import annotations

import hashlib

import numpy as np


def key(*parts: object) -> int:
    """A 64-bit key of the parts, e.g. ``key(seed, problem_id, sample)``; stable across processes."""
    text = "\x1f".join(f"{type(p).__name__}:{p}" for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "little")


def generator(*parts: object) -> np.random.Generator:
    """A NumPy generator seeded by ``key(*parts)`` alone."""
    return np.random.Generator(np.random.Philox(key=key(*parts)))
