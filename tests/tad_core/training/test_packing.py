"""States end to end: against concatenation by hand, and their rows and gradients against padded forwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tad_core.config import LoraConfig, ModelConfig
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, base_of, weights_of
from tad_core.training.collate import join
from tad_core.training.packing import lay_out, packing_of, rows_among, wanted
from tad_core.training.table import Prompts
from tests.tad_core.decoding.naive_blocks import masked_rows, sees


def drawn(seed, states, longest, length):
    """Prompts (one of them may be empty), which of them the states have, the states, what is masked of them."""
    rng = np.random.default_rng(seed)
    lengths = [longest, *rng.integers(0, longest + 1, 7)]
    prompts = Prompts.of([rng.integers(10, 99, size=n).tolist() for n in lengths])
    row_B = rng.integers(0, 8, size=states).astype(np.int32)
    state_BL = rng.integers(100, 200, size=(states, length))
    return prompts, row_B, state_BL, rng.random((states, length)) < rng.random((states, 1))


@given(st.integers(0, 2**31 - 1), st.integers(1, 5), st.integers(1, 9), st.integers(2, 7), st.integers(0, 1))
def test_it_is_concatenation(seed, states, longest, length, shift):
    prompts, row_B, state_BL, masked_BL = drawn(seed, states, longest, length)
    wanted_BL = wanted(masked_BL)
    found = lay_out(prompts, row_B, state_BL, wanted_BL, shift)
    packing = packing_of(found)
    tokens, places, rows, asked, first = [], [], [], [], 0
    for b, row in enumerate(row_B):
        prompt = prompts[row].tolist()
        tokens += [*prompt, *state_BL[b].tolist()]
        places += range(len(prompt) + length)
        at = np.flatnonzero(masked_BL[b]) if masked_BL[b].any() else [0]
        rows += [first + max(len(prompt) + p - shift, 0) for p in at]
        asked.append(len(at))
        assert (packing.tokens.start_B1[b], packing.tokens.counts[b]) == (first, len(prompt) + length)
        first += len(prompt) + length
    assert (found["ids_T"].tolist(), found["at_T"].tolist()) == (tokens, places)
    assert (packing.wanted_N.tolist(), list(packing.wanted.counts)) == (rows, asked)
    assert packing.wanted.start_B1.tolist() == [0, *np.cumsum(asked)]
    assert packing.tokens.start_B1.dtype == packing.wanted.start_B1.dtype == torch.int32
    assert packing.tokens.longest == max(packing.tokens.counts)
    places_BL = np.cumsum(wanted_BL).reshape(wanted_BL.shape) - 1
    assert rows_among(wanted_BL, masked_BL).tolist() == [places_BL[b, p] for b, p in np.argwhere(masked_BL)]


@given(st.integers(0, 2**31 - 1), st.integers(1, 4), st.integers(1, 9), st.integers(1, 4), st.integers(0, 1))
def test_pieces_are_prompts_and_blocks_and_see_their_sequence_up_to_their_end(
    seed, states, longest, block, shift
):
    prompts, row_B, state_BL, masked_BL = drawn(seed, states, longest, 7)
    wanted_BL = wanted(masked_BL)
    found = lay_out(prompts, row_B, state_BL, wanted_BL, shift, block)
    whole, packing, first = lay_out(prompts, row_B, state_BL, wanted_BL, shift), packing_of(found), 0
    assert all(torch.equal(found[name], whole[name]) for name in ("ids_T", "at_T", "wanted_N"))
    tokens, rows = [], []
    for row in row_B:
        start, prompt = first, len(prompts[row])
        for end in [0, *range(block, 7, block), 7]:
            behind = start + prompt + end
            if behind > first:
                tokens.append((behind - first, list(range(start, behind))))
            asked = [n for n in found["wanted_N"].tolist() if first <= n < behind]
            if asked:
                rows.append((len(asked), list(range(start, behind))))
            first = behind
    for pieces, keys, expected in (
        (packing.tokens, packing.keys, tokens),
        (packing.wanted, packing.wanted_keys, rows),
    ):
        split = torch.split(keys.token_K, list(keys.pieces.counts))
        assert list(zip(pieces.counts, (s.tolist() for s in split), strict=True)) == expected
        assert pieces.start_B1.tolist() == [0, *np.cumsum(pieces.counts)]


def adapted(checkpoint):
    """A base in float64, itself with an adapter that changes it, and the weights of that."""
    base = load_model(ModelConfig(path=str(checkpoint), device="cpu")).double()
    model = add_lora(base, LoraConfig(rank=4, alpha=4, dropout=0.0), 0)
    weights = weights_of(model, "default")
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in weights:
            weight.normal_(std=0.2)
    return base, model, weights


@pytest.mark.parametrize("again", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("family", ["tiny_checkpoint", "tiny_dream_checkpoint"])
def test_block_by_block_rows_and_gradients_are_those_of_a_mask(request, family, again):
    base, model, weights = adapted(request.getfixturevalue(family))
    prompts, row_B, state_BL, masked_BL = drawn(5, 3, 9, 6)
    wanted_BL = wanted(masked_BL)
    laid_out = lay_out(prompts, row_B, state_BL, wanted_BL, base.packed_shift, 2)
    packing = packing_of(laid_out)
    expected = []
    for b, row in enumerate(row_B):
        prompt = prompts[row].tolist()
        logits = masked_rows(base, [*prompt, *state_BL[b].tolist()], sees(len(prompt), 6, 2))
        at = torch.from_numpy(np.flatnonzero(wanted_BL[b])) + len(prompt) - base.packed_shift
        expected.append(logits[at.clamp(min=0)])
    expected_NV = torch.cat(expected)
    push_NV = torch.randn_like(expected_NV)
    expected_NV.backward(push_NV)
    gradients = [weight.grad.clone() for weight in weights]
    model.zero_grad()
    model.train()
    base_of(model).gradient_checkpointing = again
    found_NV = base.head(model(laid_out["ids_T"], packing=packing))
    torch.testing.assert_close(found_NV, expected_NV, rtol=0, atol=1e-5)
    found_NV.backward(push_NV)
    for weight, gradient in zip(weights, gradients, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-5, atol=1e-5 * float(gradient.abs().max()))


@pytest.mark.parametrize("again", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("family", ["tiny_checkpoint", "tiny_dream_checkpoint"])
def test_rows_and_gradients_are_those_of_padded_sequences(request, family, again):
    base, model, weights = adapted(request.getfixturevalue(family))
    prompts, row_B, state_BL, masked_BL = drawn(3, 4, 9, 6)
    wanted_BL = wanted(masked_BL)
    ids_BW, mask_BW = join(prompts, row_B, state_BL, base.eos_token_id)
    assert mask_BW is not None  # lengths differ
    first_B = np.arange(4) * ids_BW.shape[1] + prompts.length_R[row_B]
    state_N, position_N = np.nonzero(wanted_BL)
    hidden_BWD = base.hidden(torch.from_numpy(ids_BW), torch.from_numpy(mask_BW))
    expected_ND = hidden_BWD.flatten(0, 1)[torch.from_numpy(first_B[state_N] + position_N)]
    push_ND = torch.randn_like(expected_ND)
    expected_ND.backward(push_ND)
    gradients = [weight.grad.clone() for weight in weights]
    model.zero_grad()
    model.train()
    base_of(model).gradient_checkpointing = again
    laid_out = lay_out(prompts, row_B, state_BL, wanted_BL, base.packed_shift)
    found_ND = model(laid_out["ids_T"], packing=packing_of(laid_out))
    torch.testing.assert_close(found_ND, expected_ND, rtol=0, atol=1e-6)
    found_ND.backward(push_ND)
    for weight, gradient in zip(weights, gradients, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-5, atol=1e-5 * float(gradient.abs().max()))
