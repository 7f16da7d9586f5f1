"""Decoding with a cache: against plain loops that keep their keys in lists, and against decoding without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tad_core.decoding import DecodeSpec, Request, decode, decode_requests, new_fitting
from tad_core.errors import ConfigError, ModelError
from tests.tad_core.decoding.naive_cache import naive_cached
from tests.tad_core.decoding.naive_decoder import FormulaModel
from tests.tad_core.decoding.test_decode import assert_counted

PROMPTS = [[7 + i, 40 + 3 * i, *range(100, 100 + 4 * (i % 3))] for i in range(5)]
CACHED = [
    DecodeSpec(16, 4, cache="dual"),
    DecodeSpec(16, 8, cache="dual", refresh_reveals=4),
    DecodeSpec(16, 8, cache="dual", refresh_blocks=False, refresh_forwards=3),
    DecodeSpec(16, 16, cache="dual", refresh_blocks=False),
    DecodeSpec(16, 4, "entropy", 2.0, 0.25, cache="dual"),
    DecodeSpec(16, 4, "entropy", 5.0, 0.0, cache="dual", refresh_blocks=False, refresh_forwards=2),
    DecodeSpec(16, 8, "entropy", 2.0, 0.5, early_stop=False, cache="dual", refresh_reveals=6),
    DecodeSpec(16, 4, "factor", factor=1.0, cache="dual"),
    DecodeSpec(16, 8, "low_confidence", cache="dual", tokens_per_forward=3),
    DecodeSpec(16, 4, cache="dual_block"),
    DecodeSpec(16, 8, "confidence", 0.4, cache="dual_block", early_stop=False),
    DecodeSpec(16, 4, "entropy", 2.0, 0.25, cache="dual_block", refresh_blocks=False, refresh_forwards=3),
    DecodeSpec(16, 4, cache="prefix"),
    DecodeSpec(16, 4, "confidence", 0.4, cache="prefix", refresh_blocks=False, refresh_forwards=5),
    DecodeSpec(16, 4, "entropy", 2.0, 0.25, early_stop=False, cache="prefix"),
    DecodeSpec(16, 4, "d3llm", 2.0, 0.25, cache="prefix", refresh_settle=2),
    DecodeSpec(16, 4, "d3llm_dream", 1.0, 0.25, cache="prefix", refresh_settle=3, refresh_forwards=5),
    DecodeSpec(16, 8, early_stop=False, cache="dual", refresh_settle=2),
]


@pytest.fixture(scope="module")
def model(sharp):
    """What is a little stale changes tokens, so that a wrong schedule shows."""
    return sharp


@pytest.mark.thinned(5)
@pytest.mark.parametrize("spec", CACHED, ids=lambda s: f"{s.method} {s.mode}")
def test_equals_plain_loops_over_kept_keys(model, spec):
    decoded = decode(model, PROMPTS, spec)
    for prompt, one in zip(PROMPTS, decoded, strict=True):
        assert_counted(one, naive_cached(model, prompt, spec))
    exact = decode(model, PROMPTS, replace(spec, cache="none"))
    assert [d.tokens for d in exact] != [d.tokens for d in decoded], "nothing was stale: this shows nothing"


@pytest.mark.thinned(5)
@pytest.mark.parametrize("spec", CACHED, ids=lambda s: f"{s.method} {s.mode}")
def test_company_changes_nothing(model, spec, monkeypatch):
    alone = [decode(model, [p], spec)[0] for p in PROMPTS]
    monkeypatch.setattr("tad_core.decoding.engine.at_once", lambda device_type, wanted: wanted)
    for slots in (2, 5):
        assert decode(model, PROMPTS, spec, slots) == alone


@pytest.mark.thinned(4)
@pytest.mark.parametrize("spec", CACHED, ids=lambda s: f"{s.method} {s.mode}")
def test_refreshed_at_every_forward_it_is_exact(model, spec):
    always = replace(spec, refresh_forwards=1)
    decoded = decode(model, PROMPTS, always)
    assert decoded == decode(model, PROMPTS, replace(spec, cache="none"))
    assert all(d.full_forwards == d.forwards for d in decoded)
    assert all(d.computed == d.forwards * (len(p) + 16) for p, d in zip(PROMPTS, decoded, strict=True))


def test_only_what_can_have_changed_is_computed(model):
    """Block of 4 token by token: all at first, then what is masked, what was just revealed, and rows that predict."""
    (one,) = decode(model, [[7, 8, 9]], DecodeSpec(4, 4, early_stop=False, cache="dual"))
    if model.packed_shift == 0:
        assert one.computed == 7 + 4 + 3 + 2
    else:
        # Dream's row before a masked position is computed too, where it is not there already.
        assert 7 + 4 + 3 + 2 <= one.computed <= 7 + 5 + 5 + 3


def test_fast_dllms_dual_cache_computes_the_whole_block(model):
    """Two blocks of 4 behind a prompt of 3: a refresh at each, and three forwards of the four tokens."""
    (one,) = decode(model, [[7, 8, 9]], DecodeSpec(8, 4, early_stop=False, cache="dual_block"))
    if model.packed_shift == 0:
        assert one.computed == 2 * (11 + 3 * 4)
    else:
        # Dream's row before the block is computed too, as long as the block's first position is masked.
        assert 46 <= one.computed <= 46 + 6
    assert DecodeSpec(8, 4, cache="dual_block").mode == "dual block cache, refresh block"


def test_a_prefix_cache_computes_the_block_and_all_behind_it(model):
    """Two blocks of 4 behind a prompt of 3: each refresh is followed by three forwards of what is not kept."""
    (one,) = decode(model, [[7, 8, 9]], DecodeSpec(8, 4, early_stop=False, cache="prefix"))
    if model.packed_shift == 0:
        assert one.computed == (11 + 3 * 8) + (11 + 3 * 4)
    else:
        # Dream's row before the block is computed too, as long as the block's first position is masked.
        assert 58 <= one.computed <= 58 + 6


def test_noise_is_the_samples_own_with_a_cache_too(model, monkeypatch):
    spec = DecodeSpec(16, 8, cache="dual")
    requests = [Request(p, (f"p{i}", 0), 0.7) for i, p in enumerate(PROMPTS)]
    alone = [decode_requests(model, [r], spec, 1, new_fitting(), seed=3)[0] for r in requests]
    monkeypatch.setattr("tad_core.decoding.engine.at_once", lambda device_type, wanted: wanted)
    assert decode_requests(model, requests, spec, 3, new_fitting(), seed=3) == alone
    assert decode_requests(model, requests, spec, 3, new_fitting(), seed=4) != alone


def test_a_family_without_a_cache_says_so():
    with pytest.raises(ModelError, match="FormulaModel cannot decode with a cache"):
        decode(FormulaModel(), [[2]], DecodeSpec(4, 4, cache="dual"))


def test_modes_are_named():
    assert DecodeSpec(4, 4).mode == "exact"
    assert DecodeSpec(4, 4, cache="dual").mode == "dual cache, refresh block"
    both = DecodeSpec(4, 4, cache="dual", refresh_forwards=8, refresh_reveals=16)
    assert both.mode == "dual cache, refresh block, 8 forwards, 16 reveals"
    assert DecodeSpec(4, 4, cache="dual", refresh_blocks=False).mode == "dual cache, refresh never"


def test_a_block_settles_for_as_many_forwards_as_asked(model):
    """Three blocks of four, token by token: each begins with so many full forwards, or all of them are."""
    for settle, full in ((1, 3), (2, 6), (4, 12), (9, 12)):
        spec = DecodeSpec(12, 4, early_stop=False, cache="prefix", refresh_settle=settle)
        assert [one.full_forwards for one in decode(model, PROMPTS, spec)] == [full] * len(PROMPTS)
        assert spec.mode == "prefix cache, refresh block" + (f" for {settle} forwards" if settle > 1 else "")


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match="refresh_settle: 0 is not accepted; use 1 or more"):
        DecodeSpec(4, 4, cache="dual", refresh_settle=0)
    with pytest.raises(ConfigError, match="refresh_settle: 2 is read with refresh_blocks alone"):
        DecodeSpec(4, 4, cache="dual", refresh_settle=2, refresh_blocks=False)
    with pytest.raises(
        ConfigError, match="cache: 'suffix' is not known; use 'none', 'dual', 'dual_block', 'prefix'"
    ):
        DecodeSpec(4, 4, cache="suffix")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="refresh_forwards: -1"):
        DecodeSpec(4, 4, refresh_forwards=-1)
    for name in ("refresh_forwards", "refresh_reveals", "refresh_settle"):
        with pytest.raises(ConfigError, match=f"{name}: .* at most 2147483647"):
            DecodeSpec(4, 4, cache="dual", **{name: 1 << 31})
