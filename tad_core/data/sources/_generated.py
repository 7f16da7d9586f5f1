"""What the two generators share: keyed randomness and a split that is disjoint by construction."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol, TypeVar

from tad_core.errors import DataError
from tad_core.rng import key

HELDOUT_SHARE = 16
"""One problem signature in this many is held out, whatever the seed: the splits never meet."""

_TRIES = 10_000


class Signed(Protocol):
    """A generated problem; two with equal signatures are the same problem."""

    def signature(self) -> str:
        """Everything that makes the problem what it is, names and wording left out."""


T = TypeVar("T", bound=Signed)


def split_of(signature: str) -> str:
    """``"heldout"`` or ``"train"``, from the signature alone."""
    return "heldout" if key("split", signature) % HELDOUT_SHARE == 0 else "train"


def draw_distinct(
    draw: Callable[[random.Random], T], count: int, split: str, seed: int, label: str
) -> list[tuple[random.Random, T]]:
    """``count`` problems with distinct signatures, all of ``split``.

    Item i depends on (label, seed, split, i) and on the ones before it only through being distinct.

    Raises:
        DataError: when the generator has too few distinct problems.
    """
    out: list[tuple[random.Random, T]] = []
    seen: set[str] = set()
    for index in range(count):
        rng = random.Random(key(label, seed, split, index))
        for _ in range(_TRIES):
            item = draw(rng)
            signature = item.signature()
            if signature not in seen and split_of(signature) == split:
                break
        else:
            raise DataError(
                f"data source {label}: only {index} distinct {split} problems exist at this difficulty and "
                f"{count} were asked for; lower count or raise max_steps"
            )
        seen.add(signature)
        out.append((rng, item))
    return out
