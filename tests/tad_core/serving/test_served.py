"""How a served model is decoded, by its defaults and what a request says."""

from __future__ import annotations

import pytest
import torch

from tad_core.config import ModelConfig
from tad_core.decoding import DecodeSpec
from tad_core.models.loading import threads_kept
from tad_core.serving.faults import RequestError
from tad_core.serving.requests import ChatAsked
from tad_core.serving.served import Served, Source, load_all
from tad_core.workers import threads


def asked(**more: object) -> ChatAsked:
    return ChatAsked.model_validate({"messages": [{"role": "user", "content": "hello"}], **more})


@pytest.fixture
def served(tiny_checkpoint):
    """A model whose defaults are given."""

    def with_defaults(spec: DecodeSpec) -> Served:
        return Served.load(Source("m", ModelConfig(path=str(tiny_checkpoint), device="cpu"), spec=spec))

    return with_defaults


def test_a_threshold_alone_is_of_a_method_that_has_one(served):
    for method, level in (
        ("factor", {"factor": 1.0}),
        ("fixed_budget", {"forward_budget": 8}),
        ("token_by_token", {}),
    ):
        model = served(DecodeSpec(16, 4, method, **level))
        assert model.wish(asked(), 128).spec == model.spec
        assert model.wish(asked(threshold=0.5), 128).spec == DecodeSpec(16, 4, "entropy", 0.5)
    sure = served(DecodeSpec(16, 4, "confidence", 0.9))
    assert sure.wish(asked(threshold=0.5), 128).spec == DecodeSpec(16, 4, "confidence", 0.5)


def test_a_budget_of_forwards_goes_with_the_length_of_the_response(served):
    """A client that says how many tokens it wants does not know that the model's own budget is for another length."""
    model = served(DecodeSpec(16, 4, "fixed_budget", forward_budget=8))
    for more, length, budget in (
        ({}, 16, 8), ({"max_tokens": 7}, 8, 4), ({"max_tokens": 64}, 64, 32), ({"max_tokens": 1}, 4, 2),
        ({"max_tokens": 8, "forward_budget": 2}, 8, 2), ({"block_length": 1}, 16, 16),
    ):  # fmt: skip
        block = more.get("block_length", 4)
        wanted = DecodeSpec(length, block, "fixed_budget", forward_budget=budget)
        assert model.wish(asked(**more), 128).spec == wanted, more
    assert model.wish(asked(max_tokens=8, method="token_by_token"), 128).spec == DecodeSpec(8, 4)


def test_another_method_needs_its_own_setting_alone(served):
    model = served(DecodeSpec(16, 4, "factor", factor=1.0))
    other = model.wish(asked(method="low_confidence", tokens_per_forward=2), 128)
    assert other.spec == DecodeSpec(16, 4, "low_confidence", tokens_per_forward=2)


def test_a_model_that_reads_block_by_block_keeps_its_blocks(served):
    """Its forwards are all of one kind; one in other blocks would have no place among them."""
    spec = DecodeSpec(16, 4, "pipeline", 0.9, 0.5, attention="block_causal")
    model = served(spec)
    assert model.wish(asked(block_length=4, max_tokens=7), 128).spec.response_length == 8
    with pytest.raises(RequestError, match="block_length: 8 is not accepted; m reads in blocks of 4"):
        model.wish(asked(block_length=8), 128)


def test_a_small_model_is_served_by_one_thread(tiny_checkpoint, monkeypatch):
    """Threads of one wait for each other at every product, on a busy machine for most of the time."""

    def threads_with(**settings: int) -> int:
        torch.set_num_threads(2)
        load_all([Source("m", ModelConfig(path=str(tiny_checkpoint), device="cpu", **settings))])
        return torch.get_num_threads()

    with threads_kept():
        assert threads_with() == 1
        assert threads_with(threads=3) == 3, "who sets a number has it"
        monkeypatch.setattr(threads, "SMALL", 1)
        monkeypatch.setattr(threads, "cores", lambda: 5)
        assert threads_with() == 5
