from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tad_core.config import ModelConfig
from tad_core.decoding import sampling
from tad_core.decoding.confidence import leftmost_argmax, log_odds
from tad_core.errors import OutOfMemoryError
from tad_core.models.loading import load_model
from tad_core.rollout.engine import RolloutRequest, RolloutSpec, rollout
from tests.tad_core.decoding.naive_decoder import FormulaModel

MASK, EOS, VOCAB = 1, 0, 6


class Scripted(FormulaModel):
    """Logits that depend on the position alone: position i (from the prompt's end) has ``table[i]``."""

    def __init__(self, table: list[list[float]], prompt: int) -> None:
        super().__init__(vocab_size=VOCAB)
        self.table = torch.tensor(table)
        self.prompt = prompt
        self.forwards = 0

    def hidden(self, ids_BL: Tensor, mask: Tensor | None = None) -> Tensor:
        self.forwards += 1
        rows = torch.zeros(ids_BL.shape[1], VOCAB)
        rows[self.prompt : self.prompt + len(self.table)] = self.table
        return rows.expand(ids_BL.shape[0], -1, -1)


def peak(token: int, height: float) -> list[float]:
    return [height if v == token else 0.0 for v in range(VOCAB)]


def test_most_confident_first_and_blocks_from_left_to_right() -> None:
    # Block 0: position 1 is surer than 0. Block 1: position 2 is surest of all, but its block comes later.
    model = Scripted([peak(2, 1.0), peak(3, 2.0), peak(4, 9.0), peak(5, 3.0)], prompt=2)
    (result,) = rollout(model, [RolloutRequest("p", 0, [2, 2], 0.0)], RolloutSpec(4, 2, 0, False), 1)
    assert result.response_ids == [2, 3, 4, 5]
    assert result.revealed_at == [2, 1, 3, 4]
    odds = math.exp(2.0) / (math.exp(2.0) + 4)  # the mask token can never be produced: 4 others
    assert result.confidence[1] == pytest.approx(odds)
    assert (result.filled_from, result.forwards, model.forwards) == (5, 4, 4)


def test_finishes_once_everything_before_the_end_is_revealed() -> None:
    table = [peak(2, 5.0), peak(EOS, 9.0), peak(3, 1.0), peak(3, 1.0), peak(3, 1.0), peak(3, 1.0)]
    request = [RolloutRequest("p", 0, [2], 0.0)]
    (early,) = rollout(Scripted(table, 1), request, RolloutSpec(6, 3, 0, True), 1)
    assert early.response_ids == [2, EOS, EOS, EOS, EOS, EOS]
    assert early.revealed_at == [2, 1, 3, 4, 5, 6]
    assert (early.filled_from, early.forwards, early.confidence[2:]) == (3, 2, [0.0] * 4)
    (full,) = rollout(Scripted(table, 1), request, RolloutSpec(6, 3, 0, False), 1)
    assert (full.response_ids, full.forwards, full.filled_from) == ([2, EOS, 3, 3, 3, 3], 6, 7)


def test_the_mask_token_is_never_produced() -> None:
    model = Scripted([peak(MASK, 50.0), peak(MASK, 50.0)], prompt=1)
    (result,) = rollout(model, [RolloutRequest("p", 0, [2], 0.7)], RolloutSpec(2, 2, 0, False), 1)
    assert MASK not in result.response_ids


def test_saturated_probabilities_do_not_tie() -> None:
    logits = torch.tensor([[peak(2, 60.0), peak(2, 80.0)]], dtype=torch.float64)
    margin = log_odds(logits, torch.tensor([[2, 2]]))
    assert logits.softmax(-1).max(-1).values.tolist() == [[1.0, 1.0]]
    assert margin[0, 1] - margin[0, 0] == pytest.approx(20.0)
    assert leftmost_argmax(torch.tensor([[1.0, 3.0, 3.0]])).item() == 1


@pytest.fixture(scope="module")
def model(tiny_checkpoint):
    return load_model(ModelConfig(path=str(tiny_checkpoint)), "cpu")


REQUESTS = [
    RolloutRequest(f"p{i}", i % 2, list(range(7, 12 + 3 * (i % 4))), 0.7 if i % 3 else 0.0) for i in range(9)
]


@pytest.mark.determinism
def test_same_result_for_any_batch_order_and_company(model) -> None:
    spec = RolloutSpec(16, 8, 3, True)
    alone = [rollout(model, [r], spec, 1)[0] for r in REQUESTS]
    assert len({tuple(r.response_ids) for r in alone}) > 5  # the noise does something
    for batch_size in (2, 5, 16):
        assert rollout(model, REQUESTS, spec, batch_size) == alone
    assert rollout(model, REQUESTS[::-1], spec, 4)[::-1] == alone


def test_noise_and_odds_of_a_request_are_computed_alone_on_a_cpu(
    model, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[int] = []
    noise = sampling.hashed
    monkeypatch.setattr(
        sampling, "hashed", lambda low_N, *rest: keys.append(len(low_N.unique())) or noise(low_N, *rest)
    )
    rollout(model, REQUESTS, RolloutSpec(16, 8, 3, True), 5)
    assert len(keys) > 16 and set(keys) == {1}


@pytest.mark.determinism
def test_same_result_for_any_number_of_threads(model) -> None:
    spec = RolloutSpec(16, 8, 3, False)
    torch.set_num_threads(2)
    two = rollout(model, REQUESTS, spec, 4)
    torch.set_num_threads(1)
    assert rollout(model, REQUESTS, spec, 4) == two


def test_noise_depends_on_seed_problem_and_sample(model) -> None:
    def tokens(seed: int, problem: str, sample: int) -> list[int]:
        request = RolloutRequest(problem, sample, [7, 8, 9], 1.0)
        return rollout(model, [request], RolloutSpec(16, 8, seed, False), 1)[0].response_ids

    base = tokens(0, "a", 0)
    assert tokens(0, "a", 0) == base
    assert all(other != base for other in (tokens(1, "a", 0), tokens(0, "b", 0), tokens(0, "a", 1)))


def test_trajectory_invariants(model) -> None:
    for result in rollout(model, REQUESTS, RolloutSpec(16, 4, 0, True), 4):
        assert sorted(result.revealed_at) == list(range(1, 17))
        for block in range(0, 16, 4):
            assert set(result.revealed_at[block : block + 4]) == set(range(block + 1, block + 5))
        filled = [at >= result.filled_from for at in result.revealed_at]
        assert [c == 0.0 for c in result.confidence] == filled
        assert result.forwards == 16 - sum(filled)


def test_one_request_that_does_not_fit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(self: Scripted, *rest: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(Scripted, "hidden", hidden)
    requests = [RolloutRequest(f"p{i}", 0, [2, 2], 0.0) for i in range(4)]
    with pytest.raises(
        OutOfMemoryError,
        match=r"rollout\.batch_size.*prompt of 2 tokens and a response of 1 with Scripted.*max_prompt",
    ):
        rollout(Scripted([peak(2, 1.0)], 2), requests, RolloutSpec(1, 1, 0, False), 4)
