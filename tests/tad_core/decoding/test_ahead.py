"""Forwards that begin before the host knows how the last one ended: a wrong guess costs time and changes nothing."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from tad_core.decoding import DecodeSpec
from tad_core.decoding import ahead as guessing
from tad_core.decoding.ahead import Guess
from tad_core.decoding.loop import Loop
from tad_core.decoding.packing import Packer
from tad_core.decoding.spec import Lane
from tad_core.models import packed
from tad_core.models.dream import DreamConfig, DreamModel
from tests.tad_core.decoding.test_decode import random_llada
from tests.tad_core.decoding.test_loop import jobs

SPECS = [
    DecodeSpec(16, 4, "entropy", 2.0, 0.25),
    DecodeSpec(16, 4),
    DecodeSpec(16, 4, "entropy", 2.0, 0.25, early_stop=False, cache="dual"),
    DecodeSpec(16, 4, early_stop=False, cache="dual", refresh_blocks=False, refresh_forwards=3),
    DecodeSpec(16, 4, "factor", factor=1.2, early_stop=False, cache="prefix"),
]


def random_dream():
    torch.manual_seed(4)
    model = DreamModel(
        DreamConfig(
            vocab_size=23, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, mask_token_id=1, bos_token_id=0, eos_token_id=0, pad_token_id=0,
        )
    ).eval()  # fmt: skip
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(40)
    return model


def named(specs):
    return "; ".join(f"{spec.method} {spec.mode}" for spec in specs).replace(" ", "-")


MODELS = {"llada": random_llada, "dream": random_dream}


class Eager:
    """What ``Graphs`` does, run at once: on a CPU attention wants the numbers that graphs read from the device."""

    def __init__(self, cache):
        self.begun, self._cache = [], cache

    def begin(self, model, ids_T, packing):
        self.begun.append(len(ids_T))
        tokens, keys = packing.tokens.start_B1.tolist(), packing.keys
        counts = tuple(b - a for a, b in pairwise(tokens))
        if keys is not None:
            keys = replace(keys, starts=tuple(keys.start_B1.tolist()), counts=tuple(keys.count_B.tolist()))
        self._packing = replace(packing, tokens=replace(packing.tokens, counts=counts), keys=keys)
        self._made = packed.begin(model, ids_T, self._packing, self._cache, False)

    def end(self, model, count, wanted_N, wanted):
        assert count == self.begun[-1]
        packing = replace(self._packing, wanted_N=wanted_N, wanted=wanted)
        return packed.end(model, self._made, packing, self._cache, False)


@torch.inference_mode()
def run(model, given, lane, eager):
    """Decode them in three slots; with ``eager`` as on an accelerator. Also what was begun, and the forwards."""
    packer = Packer(model, 3, 25, lane)
    if eager:
        packer._filled, packer._graphs = True, Eager(packer._cache)
    loop, done, forwards = Loop(model, packer, 16), {}, 0
    for i, job in enumerate(given):
        loop.add(i, job)
    while loop.busy:
        done |= loop.step()
        forwards += 1
        if forwards == 5:
            loop.drop(0)
            loop.add(100, given[0])
    return done, packer._graphs.begun if eager else None, forwards


@pytest.mark.thinned(3)
@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("specs", [*([spec] for spec in SPECS), SPECS[:2], SPECS[2:]], ids=named)
def test_right_and_wrong_guesses_change_no_sample(family, specs, monkeypatch):
    model = MODELS[family]()
    # Some fill up to another size than others, so that guesses are wrong both ways.
    monkeypatch.setattr("tad_core.decoding.packing.SMALL_STEP", 8)
    monkeypatch.setattr("tad_core.decoding.packing.LEAST_ROWS", 8)
    given = jobs(specs, 8)
    lane = Lane(specs[0].cache != "none")
    plain, _, forwards = run(model, given, lane, eager=False)
    draw, tokens = random.Random(0), Guess.tokens
    guesses = {
        "never": lambda *_: None,
        "as it is": tokens,
        "any": lambda _, totals, every: draw.randrange(1 + sum(totals)) or None,
    }
    monkeypatch.setattr(guessing, "WORTH", -1.0)
    begun = {}
    for name, guess in guesses.items():
        monkeypatch.setattr(Guess, "tokens", guess)
        done, begun[name], again = run(model, given, lane, eager=True)
        assert again == forwards and done.keys() == plain.keys()
        for i, decoded in done.items():
            assert (decoded.tokens, decoded.revealed_at) == (plain[i].tokens, plain[i].revealed_at)
            assert decoded.scores == pytest.approx(plain[i].scores, rel=1e-4, abs=1e-5)
    assert len(begun["never"]) == forwards
    # Five samples enter after others: what was begun before does not count.
    # Nobody knows when a block is finished.
    most = 1.9 if lane.cached and any(spec.refresh_blocks for spec in specs) else 1.5
    assert forwards <= len(begun["as it is"]) < most * forwards
    assert len(begun["any"]) > forwards + 3, "and most of these wrong"


def test_one_sample_without_a_cache_is_guessed_right_but_for_its_end():
    given = jobs([DecodeSpec(16, 4, early_stop=False)], 1)
    *_, begun, forwards = run(random_llada(), given, Lane(False), eager=True)
    assert forwards == 21  # it is dropped after 5 and added again
    assert len(begun) == 21 + 1 + 1


def test_a_guess_is_what_each_slot_took_last_or_all_where_a_refresh_is_due():
    guess = Guess(3, cached=True)
    totals = [100, 80, 0]
    assert guess.tokens(totals, [4, 0, 0]) is None
    guess.ran([100, 80, 0], totals)
    assert guess.tokens(totals, [4, 0, 0]) is None, "nothing is known of a forward that refreshes nothing"
    assert guess.tokens(totals, [1, 1, 0]) == 180
    guess.ran([20, 30, 0], totals)
    guess.ran([19, 31, 0], totals)
    assert guess.tokens(totals, [4, 0, 0]) == 50
    guess.ran([18, 31, 0], totals)
    assert guess.tokens(totals, [4, 0, 0]) == 100 + 31
    guess.ran([100, 30, 0], totals)
    assert guess.tokens(totals, [4, 0, 0]) == 18 + 30
    # Another sample in the first slot, and nobody in the second.
    assert guess.tokens([15, 0, 0], [4, 0, 0]) == 15
    assert guess.tokens([0, 0, 0], [0, 0, 0]) is None


def test_without_a_cache_everything_is_computed():
    assert Guess(2, cached=False).tokens([40, 50], [0, 0]) == 90


def test_guesses_are_given_up_while_they_are_wrong():
    guess = Guess(1, cached=False)
    assert guess.pays
    for right in [True] * 30 + [False] * 4:
        guess.was(right)
    assert not guess.pays
    for _ in range(60):
        guess.was(True)
    assert guess.pays
