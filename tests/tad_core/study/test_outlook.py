"""What a study will take, counted by hand."""

from __future__ import annotations

from tad_core.artifacts import Store
from tad_core.study.config import Study
from tad_core.study.measure import Bench
from tad_core.study.outlook import outlook


def test_by_hand(study: Study, store: Store) -> None:
    found = outlook(study, store)
    # The two variants differ in window and loss alone: one pass a seed.
    assert (found.variants, found.seeds, found.passes, found.steps) == (2, 2, 2, 1)
    # The base and two variants of two seeds; three problems each, token by token and at one threshold.
    assert (found.cells, found.answers) == (5 * 2, 5 * 3 * 2)
    assert (found.adapters_there, found.cells_there) == (0, 0)
    matrix, work, _, there = found.lines()
    assert matrix.endswith(": 2 variants x 2 seeds in 2 passes of 1 step")
    assert work == "4 states a variant, 10 cells, 30 answers"
    assert there == "there: 0 of 4 trained, 0 of 10 cells measured"


def test_a_cell_is_known_by_its_decoder_and_model(study: Study, store: Store) -> None:
    bench = Bench(study, store)
    keys = {bench.key(model, decoder, None) for model in ("base", "tad") for decoder in study.specs}
    assert len(keys) == 4
    other = study.stored("elsewhere")
    assert Bench(other, store).key("base", "fast", None) == bench.key("base", "fast", None)
