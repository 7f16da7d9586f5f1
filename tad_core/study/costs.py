"""What each variant of a study took before it was measured: a further round takes rollouts and states of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from tad_core.config import Variant, variants
from tad_core.stages.filter import read_summary
from tad_core.stages.variants import on_references
from tad_core.study.config import Study
from tad_core.study.run import Made


class Cost(BaseModel):
    """What a variant took in its own round, by seed.

    ``rolled_out`` counts every trajectory of the collection that it shares with the others of its round, with the
    reference and without; ``trained_on`` those that it may draw states from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    variant: str
    round_of: str | None
    """The model that its round begins from; None: the base."""
    rolled_out: list[int]
    trained_on: list[int]
    states: int


def costs_of(study: Study, made: Made) -> list[Cost]:
    """The costs of every variant whose rounds are there, in a study that has rounds; nothing in another."""
    table = variants(study.run)
    if all(variant.round_of is None for variant in table.values()):
        return []
    seeds, base = study.config.seeds, read_summary(made.trajectories.filtered)
    summaries: dict[str | None, list[Mapping[str, Any]]] = {None: [base for _ in seeds]}
    for of in dict.fromkeys(variant.round_of for variant in table.values() if variant.round_of is not None):
        if all((of, seed) in made.rounds for seed in seeds):
            summaries[of] = [read_summary(made.rounds[of, seed].filtered) for seed in seeds]
    return [
        Cost(
            variant=name,
            round_of=variant.round_of,
            rolled_out=[
                0 if on_references(variant) else int(each["rows"]) for each in summaries[variant.round_of]
            ],
            trained_on=[_trained_on(variant, each) for each in summaries[variant.round_of]],
            states=study.config.states,
        )
        for name, variant in table.items()
        if variant.round_of in summaries
    ]


def rounds_up_to(costs: Sequence[Cost], variant: str) -> Iterator[Cost]:
    """The cost of a variant, then of what it begins from, back to a variant of the base's rollouts."""
    by_name = {cost.variant: cost for cost in costs}
    wanted: str | None = variant
    while wanted is not None and wanted in by_name:
        yield by_name[wanted]
        wanted = by_name[wanted].round_of


def _trained_on(variant: Variant, summary: Mapping[str, Any]) -> int:
    """Trajectories of the kind that it takes: those that are right, or all."""
    if on_references(variant):
        return 0
    field = "total" if variant.distill.answers == "any" else "kept"
    taken = (e for e in summary["by_source"] if e["condition"] == variant.distill.trajectories)
    return sum(int(entry[field]) for entry in taken)
