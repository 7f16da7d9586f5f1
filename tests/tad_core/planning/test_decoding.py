"""What a decoding computes is planned as the decoder counts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tad_core.config import ModelConfig
from tad_core.decoding import DecodeSpec, decode
from tad_core.models.loading import load_model
from tad_core.planning.decoding import work_in_blocks
from tad_core.shapes import Shape


def test_a_reader_of_blocks_is_planned_with_what_its_decoder_computes(tiny_checkpoint: Path) -> None:
    """All but the attention grows with the tokens that are computed, which the decoder counts."""
    model = load_model(ModelConfig(path=str(tiny_checkpoint)), "cpu")
    spec = DecodeSpec(32, 8, early_stop=False, attention="block_causal", cache="blocks")
    (one,) = decode(model, [[7, 8, 9, 10, 11]], spec)
    wide = Shape(width=1, layers=1, key_width=0, mlp=10**12, vocabulary=0)
    found = work_in_blocks(wide, 32, 8, 5, one.forwards)
    assert found.flops / (2 * wide.layer_weights) == pytest.approx(one.computed)
    # As every forward reads the open block, token by token: the prompt, 32 times 8, and three blocks once more.
    assert one.computed == 5 + 32 * 8 + 3 * 8
