"""Further rounds: each is a run of its own on the merged weights of the model that it begins from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from flows.collect import collect_and_filter
from flows.distill import calibrate_and_distill
from tad_core.config import TADConfig
from tad_core.stages.pipeline import Outcome
from tad_core.stages.rounds import round_of, rounds
from tasks.merge import merge
from tasks.work import Work


@contextmanager
def distilled_rounds(work: Work, config: TADConfig, outcome: Outcome) -> Iterator[list[Work]]:
    """Make all rounds and note them in ``outcome``; gives what their evaluation needs, in order.

    Args:
        work: the run without rounds, distilled.
        config: the whole run.
        outcome: what the run has made.
    """
    made_by = dict.fromkeys(outcome.distilled, work)
    with ExitStack() as open_works:
        found: list[Work] = []
        for own in rounds(config):
            before = made_by[own.of]
            with before.row(f"merge {own.of}", unit="tensors") as row:
                merged = merge(before, own, outcome.distilled[own.of])
                row.ended(1)
            inner = open_works.enter_context(work.of_part(round_of(config, own, merged), own.title))
            made = calibrate_and_distill(inner, collect_and_filter(inner))
            inner.pool.rest()
            outcome.add_round(own, merged, made)
            made_by |= dict.fromkeys(made.distilled, inner)
            found.append(inner)
        yield found
