"""Which slices an evaluation takes from the store, by what decides how they were decoded."""

from __future__ import annotations

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


WAYS = [
    DecodeSpec(16, 4, "factor", 0.5, 0.1, factor=1.0),
    DecodeSpec(16, 4, "factor", 0.5, 0.1, factor=2.0),
    DecodeSpec(16, 4, "low_confidence", 0.5, 0.1, tokens_per_forward=2),
    DecodeSpec(16, 4, "fixed_budget", 0.5, 0.1, forward_budget=8),
    DecodeSpec(16, 4, "entropy_block", 0.5, 0.1),
    DecodeSpec(16, 4, "d3llm", 0.5, 0.1),
    DecodeSpec(16, 4, "factor", 0.5, 0.1, factor=1.0, cache="dual"),
    DecodeSpec(16, 4, "factor", 0.5, 0.1, factor=1.0, cache="prefix"),
    DecodeSpec(16, 4, "factor", 0.5, 0.1, factor=1.0, cache="prefix", refresh_forwards=4),
    DecodeSpec(16, 4, "factor", 0.5, 0.1, factor=1.0, cache="prefix", refresh_settle=2),
]


def test_whatever_a_method_reads_is_in_the_key() -> None:
    assert len({_kind(spec, PROMPTS) for spec in WAYS}) == len(WAYS)


def test_when_a_cache_is_refreshed_is_nothing_where_there_is_none() -> None:
    exact = DecodeSpec(16, 4, "factor", factor=1.0, refresh_settle=2, refresh_forwards=3)
    assert _kind(exact, PROMPTS) == _kind(DecodeSpec(16, 4, "factor", factor=1.0), PROMPTS)
