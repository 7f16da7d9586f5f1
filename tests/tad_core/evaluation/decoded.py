"""Everything decoded at once, in the place of the slices of an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tad_core.decoding import DecodeSpec
from tad_core.evaluation.sweep import Decodings, Tasks


def decodings_of(generator: Any, tasks: Tasks) -> Callable[[DecodeSpec], Decodings]:
    """What was decoded one way, as ``sweep`` asks for it."""

    def decoded(spec: DecodeSpec) -> Decodings:
        asked = [(task, p) for task, found in tasks.items() for p in found]
        rows = generator.decode([generator.encode(p) for _, p in asked], spec)
        return {(task, p.id): row for (task, p), row in zip(asked, rows, strict=True)}

    return decoded
