"""The confidence curve against a model with known answers, and the rule that reads a window from a curve."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tad_core.calibration import _confidences, measure, sample_states
from tad_core.config import ModelConfig
from tad_core.errors import LogitsError, OutOfMemoryError
from tad_core.models import DiffusionLM, LLaDAConfig
from tad_core.models.loading import load_model
from tad_core.training.dataset import Prompts, TrainingTable
from tad_core.windows import read_window

MASK, EOS, VOCAB, LENGTH = 8, 9, 10, 6


class Known(DiffusionLM):
    """Predicts 3 everywhere: the more sure, the more tokens of the sequence it can see."""

    config_class = LLaDAConfig

    def __init__(self):
        super().__init__(LLaDAConfig(vocab_size=VOCAB, mask_token_id=MASK, eos_token_id=EOS))
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.widths = []

    def hidden(self, input_ids_BL, attention_mask_BL=None):
        self.widths.append(input_ids_BL.shape[1])
        real_BL = torch.ones_like(input_ids_BL) if attention_mask_BL is None else attention_mask_BL
        seen_B = ((input_ids_BL != MASK) & (real_BL == 1)).sum(1)
        return seen_B[:, None, None].float().expand(-1, input_ids_BL.shape[1], 1)

    def head(self, hidden_ND):
        logits_NV = torch.zeros(*hidden_ND.shape[:-1], VOCAB)
        logits_NV[..., 3] = hidden_ND[..., 0]
        return logits_NV


def sure(seen):
    return np.exp(seen) / (np.exp(seen) + VOCAB - 1)


def table(*prompts, response=(3,) * LENGTH, filled_from=LENGTH + 1):
    """Trajectories with prompts of these lengths, revealed from left to right; the teacher's prompts are longer."""
    rows, lengths = len(prompts), np.array(prompts)
    student, teacher = (Prompts(np.ones(many.sum(), dtype=np.int32), many) for many in (lengths, lengths + 5))
    order_RL = np.tile(np.arange(1, LENGTH + 1, dtype=np.int16), (rows, 1))
    response_RL = np.tile(np.int32(response), (rows, 1))
    filled_R = np.full(rows, filled_from, dtype=np.int16)
    return TrainingTable([str(i) for i in range(rows)], student, teacher, response_RL, order_RL, filled_R)


def test_the_curve_by_hand():
    # All states of one trajectory; state t shows 2 + t tokens, its masked tokens have offsets 1 to L - t.
    curve = measure(Known(), table(2), states=LENGTH, seed=0, batch_size=4, ends=[EOS])
    assert curve.states == LENGTH
    for offset in range(1, LENGTH + 1):
        steps = range(LENGTH - offset + 1)
        assert curve.count_L[offset - 1] == len(steps)
        assert curve.confidence_L[offset - 1] == pytest.approx(
            np.mean([sure(2 + t) for t in steps]), rel=1e-5
        )


def test_the_student_prompt_is_used_and_padding_does_not_show():
    mixed, model = table(1, 4), Known()
    row_S, step_S = sample_states(2, 99, LENGTH, seed=0)
    together = _confidences(model, mixed, row_S, step_S, [EOS])
    assert model.widths == [16]  # 4 + 6, aligned: the student's prompts, not the teacher's
    alone = [
        _confidences(Known(), mixed, row_S[i : i + 1], step_S[i : i + 1], [EOS]) for i in range(len(row_S))
    ]
    for shared, single in zip(together, zip(*alone, strict=True), strict=True):
        np.testing.assert_allclose(shared, np.concatenate(single), rtol=1e-6)


@pytest.mark.determinism
def test_on_a_cpu_the_curve_does_not_depend_on_the_batch(tiny_checkpoint):
    model = load_model(ModelConfig(path=str(tiny_checkpoint)), "cpu")
    rng = np.random.default_rng(3)
    lengths = rng.integers(2, 9, size=7)
    prompts = Prompts(rng.integers(3, 60, size=lengths.sum()).astype(np.int32), lengths)
    response_RL = rng.integers(3, 60, size=(7, 24)).astype(np.int32)
    order_RL = np.stack([rng.permutation(24) + 1 for _ in range(7)]).astype(np.int16)
    mixed = TrainingTable(
        [str(i) for i in range(7)], prompts, prompts, response_RL, order_RL, np.full(7, 25, np.int16)
    )
    first, *others = [measure(model, mixed, 40, 0, size, ends=[2]) for size in (1, 3, 40)]
    for other in others:
        assert (other.confidence_L == first.confidence_L).all() and (other.all_L == first.all_L).all()


def test_the_curve_leaves_out_what_comes_after_the_first_end():
    ended = table(2, response=(3, 3, EOS, EOS, EOS, EOS))
    curve = measure(Known(), ended, states=LENGTH, seed=0, batch_size=9, ends=[EOS])
    assert curve.all_count_L.tolist() == [6, 5, 4, 3, 2, 1]
    assert curve.count_L.tolist() == [3, 2, 1, 0, 0, 0]  # positions 0 to 2, the end itself included
    assert curve.confidence_L[3:].tolist() == [0, 0, 0]
    assert curve.left_out == pytest.approx(15 / 21)


def test_the_curve_leaves_out_what_was_filled_in():
    # Steps 3 to 6 were filled in; without looking at tokens these positions are no text.
    filled = table(2, response=(3,) * LENGTH, filled_from=3)
    curve = measure(Known(), filled, states=LENGTH, seed=0, batch_size=9, ends=[EOS])
    assert curve.count_L.tolist() == [2, 1, 0, 0, 0, 0] and curve.all_count_L.tolist() == [6, 5, 4, 3, 2, 1]


def test_an_easy_tail_does_not_hide_a_crossing():
    """Sure of end-of-text at any distance, of text only from near: the window is the text's."""

    class Tail(Known):
        def head(self, hidden_ND):
            logits_NV = super().head(hidden_ND) - 4
            logits_NV[..., EOS] = 9
            return logits_NV

        def hidden(self, input_ids_BL, attention_mask_BL=None):
            return super().hidden(input_ids_BL, attention_mask_BL)

    ended = table(2, response=(3, 3, 3, EOS, EOS, EOS))
    curve = measure(Tail(), ended, states=LENGTH, seed=0, batch_size=9, ends=[EOS])
    read = read_window(curve.confidence_L, curve.count_L, 0.5, cap=17)
    assert (read.window, read.source) == (1, "calibrated")


@given(st.integers(1, 5), st.integers(1, 60), st.integers(0, 99))
def test_sampled_states_are_distinct_and_keyed(count, states, seed):
    row_S, step_S = sample_states(count, states, LENGTH, seed)
    pairs = list(zip(row_S.tolist(), step_S.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs) == min(states, count * LENGTH)
    assert all(0 <= r < count and 0 <= t < LENGTH for r, t in pairs)
    assert (sample_states(count, states, LENGTH, seed)[1] == step_S).all()


class Small(Known):
    """Runs out of memory above ``most`` rows."""

    most = 3

    def hidden(self, input_ids_BL, attention_mask_BL=None):
        if len(input_ids_BL) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().hidden(input_ids_BL, attention_mask_BL)


def test_a_batch_that_does_not_fit_is_halved(monkeypatch):
    # As on an accelerator.
    monkeypatch.setattr("tad_core.calibration.at_once", lambda device_type, wanted: wanted)
    rows, told = table(2, 5, 3, 3), []
    expected = measure(Known(), rows, states=20, seed=0, batch_size=3, ends=[EOS])
    found = measure(Small(), rows, 20, 0, 13, [EOS], lambda done, total: told.append((done, total)))
    np.testing.assert_allclose(found.confidence_L, expected.confidence_L, rtol=1e-12)
    assert (found.count_L == expected.count_L).all()
    assert told == [(min(3 * i, 20), 20) for i in range(1, 8)]


def test_one_state_that_does_not_fit_is_an_error():
    model = Small()
    model.most = 0
    with pytest.raises(
        OutOfMemoryError, match=r"calibrate\.batch_size.*prompt of 5 tokens and a response of 6"
    ):
        measure(model, table(5), states=4, seed=0, batch_size=2, ends=[EOS])


class Damaged(Known):
    """What it gives is no number where a sequence has this many tokens."""

    width = 5 + LENGTH

    def hidden(self, input_ids_BL, attention_mask_BL=None):
        hidden_BLD = super().hidden(input_ids_BL, attention_mask_BL)
        return hidden_BLD if input_ids_BL.shape[1] < self.width else hidden_BLD * torch.nan


def test_logits_that_are_not_numbers_end_it_at_once():
    model = Damaged()
    with pytest.raises(LogitsError, match="logits for a prompt of 5 tokens are not numbers"):
        measure(model, table(5, 2, 9), states=3 * LENGTH, seed=0, batch_size=1, ends=[EOS])
    assert set(model.widths) == {2 + LENGTH, 5 + LENGTH}, "nothing is measured after it"
