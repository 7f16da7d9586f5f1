"""Numbers of rows are tried before they are used."""

from __future__ import annotations

from itertools import count

import torch
from torch import nn

from tad_core.decoding import rows
from tad_core.decoding.rows import Rows, of_head, of_layers
from tests.tad_core.decoding.naive_decoder import FormulaModel
from tests.tad_core.decoding.test_decode import random_llada


class Rounds(nn.Linear):
    """Another last bit for some numbers of rows; counts its calls."""

    def __init__(self, differs):
        super().__init__(8, 4, bias=False)
        self.differs, self.calls = differs, 0

    def forward(self, x_ND):
        self.calls += 1
        # One product a row: the same for any number of rows, on any machine.
        y_NV = torch.stack([self.weight @ row for row in x_ND])
        return torch.nextafter(y_NV, y_NV + 1) if self.differs(len(x_ND)) else y_NV


def test_the_first_number_at_which_every_map_agrees():
    few, odd = Rounds(lambda n: n < 40), Rounds(lambda n: n % 16)
    one, both = Rows([few], 64), Rows([few, odd], 64)
    assert one.first(count(8, 8)) == 40 and one.first(count(44, 8)) == 44
    assert both.first(count(8, 8)) == 48
    assert both.first(count(72, 8)) == 80  # more than they are held against


def test_a_number_is_tried_once():
    a_map = Rounds(lambda n: n < 16)
    tried = Rows([a_map], 32)
    assert [tried.first(count(8, 8)) for _ in range(3)] == [16] * 3
    assert a_map.calls == 4


def test_where_none_agrees_the_first_is_taken():
    never = Rows([Rounds(lambda n: n != 32)], 32)
    assert never.first(count(40, 8)) == 40


def test_so_many_rows_that_trying_takes_memory_are_not_tried():
    a_map = Rounds(lambda n: True)
    assert Rows([a_map], 32).first(count(rows.MOST + 1, 8)) == rows.MOST + 1
    assert not a_map.calls


def test_all_maps_of_a_layer_and_the_head_are_tried():
    model = random_llada(vocab_size=23, mlp_hidden_size=48)
    assert [tuple(m.weight.shape) for m in of_layers(model)._maps] == [(32, 32)] * 4 + [(48, 32)] * 2 + [
        (32, 48)
    ]
    assert [tuple(m.weight.shape) for m in of_head(model)._maps] == [(23, 32)]
    assert of_layers(model) is of_layers(model) and of_head(model) is of_head(model)
    assert of_layers(FormulaModel()).first(count(5)) == 5  # has none
