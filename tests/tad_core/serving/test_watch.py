"""One response, forward by forward."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from tad_core.decoding import decode
from tad_core.serving.served import Wish
from tad_core.serving.watch import frames
from tests.tad_core.serving.conftest import SPEC


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("cache", ["none", "dual"])
def test_frames_fill_in_what_the_decoder_gives(models, early, cache):
    served, spec = models[0], replace(SPEC, early_stop=early, cache=cache)
    wish = Wish([[5, 6, 7]], spec, 16, 1, 0.0, None, [])
    (one,) = decode(served.model, wish.prompts, spec)
    shown = list(frames(served, wish))
    assert [f.forwards for f in shown] == list(range(1, len(shown) + 1))
    assert shown[-1].text == served.texts.text(one) and shown[-1].finish
    assert all(f.finish is None for f in shown[:-1])
    for before, after in itertools.pairwise(shown):
        assert after.revealed == before.revealed + len(after.new) and after.seconds > before.seconds
        assert after.text.startswith(before.text)
    if not early:
        assert shown[-1].forwards == one.forwards and shown[-1].tokens == served.pieces(one.tokens)
        for place, step in enumerate(one.revealed_at):
            assert place in shown[step - 1].new


def test_pieces_are_written_as_in_a_text(models):
    for served in models:
        ids = served.texts.tokenizer("Ben has 5 apples and eats 2 .", add_special_tokens=False)["input_ids"]
        assert "".join(served.pieces(ids)).strip() == served.texts.tokenizer.decode(ids)
        assert served.pieces([served.model.eos_token_id])[0].strip() == "<|endoftext|>"
