"""Numbers of rows are tried before they are used."""

from __future__ import annotations

from itertools import count, islice

import torch
from torch import nn

from tad_core.models import rows
from tad_core.models.rows import (
    Rows,
    Tried,
    below_multiples,
    join_layers,
    of_down,
    of_head,
    of_joined,
    of_layers,
)
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


def tried(among, *maps):
    return Rows([Tried(8, a_map, a_map) for a_map in maps], among, torch.empty(0))


def test_the_first_number_at_which_every_map_agrees():
    few, odd = Rounds(lambda n: n < 40), Rounds(lambda n: n % 16)
    one, both = tried(64, few), tried(64, few, odd)
    assert one.first(count(8, 8)) == 40 and one.first(count(44, 8)) == 44
    assert both.first(count(8, 8)) == 48
    assert both.first(count(72, 8)) == 80  # more than they are held against


def test_a_number_is_tried_once():
    a_map = Rounds(lambda n: n < 16)
    found = tried(32, a_map)
    assert [found.first(count(8, 8)) for _ in range(3)] == [16] * 3
    assert a_map.calls == 4


def test_where_none_agrees_the_first_is_taken():
    never = tried(32, Rounds(lambda n: n != 32))
    assert never.first(count(40, 8)) == 40


def test_so_many_rows_that_trying_takes_memory_are_not_tried():
    a_map = Rounds(lambda n: True)
    assert tried(32, a_map).first(count(rows.MOST + 1, 8)) == rows.MOST + 1
    assert not a_map.calls


def test_all_maps_are_tried_as_they_are_computed():
    model = random_llada(vocab_size=23, mlp_hidden_size=48)

    def shapes(found):
        return [tuple(product.run(torch.ones(1, product.inputs)).shape[1:]) for product in found._products]

    assert shapes(of_layers(model)) == [(32,)] * 4 + [(48,)] * 2
    assert [product.inputs for product in of_down(model)._products] == [48]
    assert shapes(of_down(model)) == [(32,)] and shapes(of_head(model)) == [(23,)]
    assert of_layers(model) is of_layers(model) and of_head(model) is of_head(model)
    assert shapes(of_joined(model)) == [], "nothing lies side by side"
    join_layers(model)
    assert shapes(of_joined(model)) == [(96,), (64,), (96,)]  # q, k and v; k and v; gate and up
    assert of_layers(FormulaModel()).first(count(5)) == 5  # has none


def test_a_product_of_several_maps_is_held_against_each_by_itself():
    few = Rounds(lambda n: n < 40)
    plain = Rounds(lambda n: False)
    plain.weight = few.weight
    found = Rows([Tried(8, few, plain)], 64, torch.empty(0))
    assert not found.at(32) and found.at(40) and found.at(80)
    assert few.calls == plain.calls == 3


def test_numbers_a_few_below_the_multiples_of_a_step():
    assert list(islice(below_multiples(377, 32), 3)) == [408, 440, 472]
    assert next(below_multiples(376, 32)) == 376
    assert next(below_multiples(1, 32)) == 24
    assert next(below_multiples(4089, 256)) == 4344
