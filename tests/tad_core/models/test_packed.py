"""Sequences end to end, and some of their tokens against a cache, against whole forwards of one sequence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tad_core.config import ModelConfig
from tad_core.models.base import DiffusionLM
from tad_core.models.layout import Keys, Packing, Segments
from tad_core.models.loading import load_model

LENGTHS = (24, 17, 9)
CAPACITY = 30


@pytest.fixture(params=["tiny_checkpoint", "tiny_dream_checkpoint"])
def model(request: pytest.FixtureRequest) -> DiffusionLM:
    folder = request.getfixturevalue(request.param)
    return load_model(ModelConfig(path=str(folder)), "cpu").double()


def sequences(model: DiffusionLM) -> list[Tensor]:
    draw = torch.Generator().manual_seed(4)
    rows = [torch.randint(7, 600, (n,), generator=draw) for n in LENGTHS]
    for row in rows:
        row[4:7] = model.mask_token_id
    return rows


def packing(computed: list[list[int]], wanted: list[list[int]], cached: bool) -> Packing:
    """Compute these places of each sequence, and ask for these of them."""
    device = torch.device("cpu")
    at_T = torch.tensor([at for places in computed for at in places])
    first, rows = 0, []
    for places, asked in zip(computed, wanted, strict=True):
        rows += [first + places.index(at) for at in asked]
        first += len(places)
    keys = None
    if cached:
        starts = tuple(b * CAPACITY for b in range(len(computed)))
        cells = torch.cat(
            [start + torch.tensor(places) for start, places in zip(starts, computed, strict=True)]
        )
        numbers = (torch.tensor(starts, dtype=torch.int32), torch.tensor(LENGTHS, dtype=torch.int32))
        keys = Keys(starts, LENGTHS, *numbers, max(LENGTHS), cells)
    tokens = Segments.of([len(places) for places in computed], device)
    return Packing(
        at_T, tokens, torch.tensor(rows), Segments.of([len(asked) for asked in wanted], device), keys
    )


WHOLE = [list(range(n)) for n in LENGTHS]


def raw(model: DiffusionLM, ids: Tensor, at: int) -> Tensor:
    """Row ``at`` before the family's shift: the one that predicts token ``at + shift``."""
    return model.hidden(ids[None])[0, at + model.packed_shift]


@torch.no_grad()
def test_rows_are_those_of_each_sequence_alone(model: DiffusionLM) -> None:
    rows = sequences(model)
    asked = [[0, 3, 8], [15], [2, 7]]
    found = model.packed(torch.cat(rows), packing(WHOLE, asked, False))
    expected = [raw(model, ids, at) for ids, places in zip(rows, asked, strict=True) for at in places]
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-10, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("at", [[0, 1, 2, 3], [4, 5, 6, 7], [7], [2, 5, 7]], ids=str)
def test_a_step_after_a_whole_forward_gives_the_same_rows(model: DiffusionLM, at: list[int]) -> None:
    rows, places = sequences(model), [at] * 3
    cache = model.new_cache(3, CAPACITY)
    full = model.packed(torch.cat(rows), packing(WHOLE, places, True), cache)
    torch.testing.assert_close(full, model.packed(torch.cat(rows), packing(WHOLE, places, False)))
    ids_T = torch.cat([row[at] for row in rows])
    for _ in range(2):  # a step leaves the cache as it was
        step = model.packed(ids_T, packing(places, places, True), cache)
        torch.testing.assert_close(step, full, atol=1e-10, rtol=0)


@torch.no_grad()
def test_some_sequences_whole_and_others_in_part_share_a_forward(model: DiffusionLM) -> None:
    rows = sequences(model)
    cache, computed = model.new_cache(3, CAPACITY), [[4, 5, 6], WHOLE[1], [8]]
    model.packed(torch.cat(rows), packing(WHOLE, WHOLE, True), cache)
    rows[1][4:7] = torch.tensor([20, 21, 22])
    ids_T = torch.cat([row[places] for row, places in zip(rows, computed, strict=True)])
    asked = [[5], [3, 9], []]
    found = model.packed(ids_T, packing(computed, asked, True), cache)
    expected = [raw(model, rows[0], 5), raw(model, rows[1], 3), raw(model, rows[1], 9)]
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-10, rtol=0)


@torch.no_grad()
def test_a_step_sees_its_own_new_tokens_and_the_old_rest(model: DiffusionLM) -> None:
    """One layer makes it exact: keys of the rest depend on their own tokens alone."""
    layers = model.model["transformer"]["blocks"] if model.family == "llada" else model.model["layers"]
    del layers[1]
    rows, cache = sequences(model), model.new_cache(3, CAPACITY)
    model.packed(torch.cat(rows), packing(WHOLE, WHOLE, True), cache)
    for row in rows:
        row[4:7] = torch.tensor([20, 21, 22])
    places = [[4, 5, 6]] * 3
    step = model.packed(torch.cat([r[4:7] for r in rows]), packing(places, places, True), cache)
    expected = [raw(model, ids, at) for ids in rows for at in (4, 5, 6)]
    torch.testing.assert_close(step, torch.stack(expected), atol=1e-10, rtol=0)
    # The renewed keys are seen by the next step, elsewhere.
    later = model.packed(torch.cat([r[7:8] for r in rows]), packing([[7]] * 3, [[7]] * 3, True), cache)
    torch.testing.assert_close(later, torch.stack([raw(model, ids, 7) for ids in rows]), atol=1e-10, rtol=0)


@torch.no_grad()
def test_a_cell_that_nobody_reads_changes_nothing(model: DiffusionLM) -> None:
    rows, cache = sequences(model), model.new_cache(3, CAPACITY)
    whole = packing(WHOLE, [[5]] * 3, True)
    before = model.packed(torch.cat(rows), whole, cache)
    cache.renew(0, torch.tensor([3 * CAPACITY]), *torch.full((2, 1, *model.key_shape()), 1e30))
    cache.renew(1, torch.tensor([LENGTHS[0]]), *torch.full((2, 1, *model.key_shape()), 1e30))
    assert torch.equal(model.packed(torch.cat(rows), whole, cache), before)
