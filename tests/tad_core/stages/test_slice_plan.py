"""Which slices an evaluation takes from the store, by what decides how they were decoded."""

from __future__ import annotations

import pytest

from tad_core.artifacts import fingerprint
from tad_core.data.problem import Problem
from tad_core.decoding import DecodeSpec
from tad_core.stages.slice_plan import TaskPrompts, _kind

PROMPTS = TaskPrompts([Problem("p/0", "toy", "math", "1 + 1 ?", "2", "2")], None)
#: As the fields of a way were when slices were first written.
FIRST = {
    "response_length": 16, "block_length": 4, "method": "entropy", "threshold": 0.5, "block_add_threshold": 0.1,
    "early_stop": True, "mask_in_entropy": True, "cache": "none",
}  # fmt: skip
REFRESHED = {"refresh_blocks": True, "refresh_forwards": 0, "refresh_reveals": 0}


def kind_then(fields: dict[str, object]) -> str:
    return fingerprint("slice", 1, {"spec": fields, "messages": PROMPTS.messages}, [])


def test_exact_slices_stay_good_whatever_methods_came_since() -> None:
    assert _kind(DecodeSpec(16, 4, "entropy", 0.5, 0.1), PROMPTS) == kind_then(FIRST)


def test_cached_slices_without_their_full_forwards_are_not_taken() -> None:
    cached = DecodeSpec(16, 4, "entropy", 0.5, 0.1, cache="dual")
    assert _kind(cached, PROMPTS) != kind_then({**FIRST, **REFRESHED, "cache": "dual"})


@pytest.mark.parametrize(
    "other",
    [
        DecodeSpec(16, 4, "factor", 0.5, 0.1, factor=2.0),
        DecodeSpec(16, 4, "factor", 0.5, 0.1, factor=1.0, cache="prefix"),
        DecodeSpec(16, 4, "factor", 0.5, 0.1, factor=1.0, cache="prefix", refresh_forwards=4),
        DecodeSpec(16, 4, "factor", 0.5, 0.1, factor=1.0, cache="dual"),
    ],
    ids=str,
)
def test_whatever_a_method_reads_is_in_the_key(other: DecodeSpec) -> None:
    spec = DecodeSpec(16, 4, "factor", 0.5, 0.1, factor=1.0)
    assert _kind(other, PROMPTS) != _kind(spec, PROMPTS)
