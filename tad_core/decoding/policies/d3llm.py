"""d3LLM's multi-block decoding, as its public code has it for LLaDA and for Dream.

A block is added when the last one has progressed to ``block_add_threshold``, as in ``entropy``. An added block is
*semi-activated* and reveals what passes the entropy threshold; once the one before it has progressed to a threshold of
its own it is *fully activated*, and the first unfinished of these reveals its lowest entropy where nothing passed. All
blocks before the first unfinished one are complete, so that one is fully activated whatever that threshold is: it
decides nothing here, and ``decoded_threshold`` is not read. What differs from ``entropy``:

- for LLaDA an entropy at the threshold passes;
- for Dream the lowest of all blocks is not revealed where nothing passes: only the first unfinished block is forced.

Its delayed cache is ``cache: prefix`` with ``refresh_settle``. On an end-of-text it fills in everything behind at once;
here ``early_stop`` waits for what is before it.

Shapes: B slots, L response positions.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from tad_core.decoding.policies.entropy import EntropyMultiBlock


class D3LLM(EntropyMultiBlock):
    """The rule for LLaDA."""

    def _sure(self, entropy_BL: Tensor) -> Tensor:
        return entropy_BL <= self._spec.threshold


class D3LLMDream(EntropyMultiBlock):
    """The rule for Dream."""

    lowest_of_all: ClassVar[bool] = False
