"""A further round: a model of the table that learns from the rollouts of another one of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from tad_core.settings import Strict

if TYPE_CHECKING:
    from tad_core.config.models import Variant
    from tad_core.config.tree import TADConfig


class RoundConfig(Strict):
    """Whose rollouts a model is trained on: not the base's, but those of a model that was distilled before."""

    of: str = Field(
        description="A model of the table. Merged into the base's weights it rolls out the problems, is what the new "
        "adapter is trained on, and is its teacher."
    )


def round_faults(config: TADConfig, table: Mapping[str, Variant]) -> list[str]:
    """What is wrong with the rounds of a table whose entries are right by themselves, a line for each."""
    faults = []
    for name, variant in table.items():
        if variant.round_of is None:
            continue
        where, of = f"models.{name}.round.of", variant.round_of
        if of not in table:
            known = ", ".join(other for other in table if other != name) or "none"
            faults.append(f"{where}: {of!r} is no other model of the table; use one of {known}")
        elif name in _before(table, of):
            faults.append(f"{where}: {of} is itself a round of {name}; one of the two has to come first")
        elif table[of].attention_block is not None:
            faults.append(
                f"{where}: {of} is trained to read block by block, and whoever rolls out sees all of a response; name "
                "a model of another objective"
            )
        elif name in config.evaluate.models and of not in config.evaluate.models:
            faults.append(f"evaluate.models: {name} is a round of {of}, which is not among them; add {of}")
    if not config.rollout.decode_here and any(variant.round_of for variant in table.values()):
        faults.append(
            "rollout.decode_here: a round is rolled out by this machine alone; set it to true, or leave round out"
        )
    return faults


def _before(table: Mapping[str, Variant], name: str) -> list[str]:
    """A model and those that come before it, as far as they are known."""
    found: list[str] = []
    while name in table and name not in found:
        found.append(name)
        name = table[name].round_of or ""
    return found
