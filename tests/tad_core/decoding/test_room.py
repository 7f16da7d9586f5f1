"""Slots from free memory, worked out by hand; where nothing is worked out, what is asked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tad_core.decoding import DecodeSpec, Request, room, slots_of
from tad_core.shapes import Shape, slots_in

SHAPE = Shape(width=2, layers=5, key_width=3, mlp=4, vocabulary=10)
#: A slot of 100 + 28 tokens: 128 x (6 x 2 + 3 x 4) numbers of 2 bytes, and 4 rows of 10 logits of 2 bytes.
EACH = 128 * 24 * 2 + 4 * 10 * 2
#: Keys and values of 128 tokens in 5 layers.
KEPT = 128 * 2 * 5 * 3 * 2


@pytest.mark.parametrize(
    ("free", "cached", "slots"),
    [
        (6_000 + 5 * EACH, False, 5),
        (6_000 + 6 * EACH - 1, False, 5),
        (6_000 + 47 * EACH, False, 40),  # in eights
        (6_000 + 48 * EACH, False, 48),
        (6_000 + 5 * (EACH + KEPT), True, 5),
        (6_000 + 5 * (EACH + KEPT) - 1, True, 4),
        (6_000, False, 1),  # the decoder says what is wrong if not even one fits
        (0, False, 1),
    ],
)
def test_slots_by_hand(free: int, cached: bool, slots: int) -> None:
    """Of 100,000 bytes 6 % stay free."""
    assert slots_in(free, 100_000, SHAPE, 2, 100, 28, 4, cached) == slots
    assert slots_in(free, 100_000, SHAPE, 2, 1, 28, 4, cached) >= slots


def test_float32_samples_with_more_copies_of_a_block() -> None:
    each = 128 * 24 * 4 + 4 * 10 * (4 + 5 * 8)
    assert slots_in(7 * each, 0, SHAPE, 4, 100, 28, 4, False) == 7
    assert slots_in(7 * each - 1, 0, SHAPE, 4, 100, 28, 4, False) == 6


class Held:
    """A model in name only."""

    def __init__(self, device: str) -> None:
        fields = {"model_type": "llada", "d_model": 2, "n_layers": 5, "n_heads": 2, "n_kv_heads": 3,
                  "mlp_hidden_size": 4, "embedding_size": 10}  # fmt: skip
        self.device, self.dtype = torch.device(device), torch.bfloat16
        self.config = SimpleNamespace(to_dict=lambda: fields)


def asked(model: Any, wanted: Any, *lengths: int) -> int:
    return slots_of(model, [Request([1] * n) for n in lengths], DecodeSpec(28, 4), wanted)


def test_a_number_is_taken_as_it_is_and_on_a_cpu_each_runs_alone_anyway() -> None:
    assert asked(Held("cuda"), 7, 100) == 7
    assert asked(Held("cpu"), "auto", 100) == 32


def test_the_longest_prompt_decides_and_memory_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[torch.device] = []

    def memory(device: torch.device) -> tuple[int, int]:
        looks.append(device)
        return 6_000 + 16 * EACH, 100_000

    monkeypatch.setattr(room, "_memory", memory)
    model, other = Held("cuda"), Held("cuda")
    assert asked(model, "auto", 5, 100, 7) == 16
    assert asked(model, "auto", 5, 200, 7) == 8  # 256 columns, and the step
    assert len(looks) == 1, "later some of it holds slots of the first call"
    assert asked(other, "auto", 100) == 16 and len(looks) == 2


def test_memory_that_torch_holds_for_nothing_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 50)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 20)
    assert room._memory(torch.device("cuda")) == (130, 1000)
