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


@pytest.mark.parametrize("again", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("family", ["tiny_checkpoint", "tiny_dream_checkpoint"])
def test_rows_and_gradients_are_those_of_padded_sequences(request, family, again):
    base = load_model(ModelConfig(path=str(request.getfixturevalue(family)), device="cpu")).double()
    model = add_lora(base, LoraConfig(rank=4, alpha=4, dropout=0.0), 0)
    weights = weights_of(model, "default")
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in weights:
            weight.normal_(std=0.2)
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
