"""What is wrong with a study beside what is wrong with its run, a line for each fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from tad_core.config import TADConfig, VariantConfig, variants

#: settings of the run that the study gives it, and by what of its own
GIVEN = {
    "name": "name",
    "models": "variants",
    "evaluate.models": "variants",
    "distill.seed": "seeds",
    "distill.max_steps": "states",
    "distill.epochs": "states",
}
#: settings of a variant that would make another comparison than the one that the study says it makes
_OF_ALL = {
    "max_steps": "trained on as many states; set states",
    "epochs": "trained on as many states; set states",
    "seed": "trained with each of the study's seeds; set seeds",
}


def setting_faults(names: Iterable[str]) -> Iterator[str]:
    """Settings of the run, as ``section.field``, that would be changed in vain."""
    for name in names:
        for given, by in GIVEN.items():
            if name == given or name.startswith(f"{given}."):
                yield f"set.{name}: a study gives its run {given} by itself; set {by} of the study"


def variant_faults(table: Mapping[str, VariantConfig], run: TADConfig) -> Iterator[str]:
    """What makes variants incomparable.

    Args:
        table: the variants as the file has them.
        run: with the table as its own.
    """
    for name, given in table.items():
        if given.decode is not None:
            yield (
                f"variants.{name}.decode: every variant of a study is decoded by all of its decoders; add it to "
                "decoders"
            )
    for name, variant in variants(run).items():
        for own, why in _OF_ALL.items():
            if own in table[name].settings:
                yield f"variants.{name}.settings.{own}: every variant of a study is {why}"
        if (batch := variant.distill.global_batch_size) != run.distill.global_batch_size:
            yield (
                f"variants.{name}.settings.global_batch_size: {batch} gives another number of steps than the other "
                f"variants have; leave it at distill.global_batch_size {run.distill.global_batch_size}"
            )


def label_fault(labels: Mapping[str, str | None]) -> str | None:
    """Two decoders that a table would show under one name, by their labels, if they have any; None without such."""
    shown: dict[str, str] = {}
    for name, given in labels.items():
        label = given or name
        if (other := shown.setdefault(label, name)) != name:
            named, like = (name, other) if given else (other, name)
            return f"decoders.{named}.label: {label!r} is what {like} is called, too; give it another"
    return None


def as_of_study(message: str) -> str:
    """What is said of a run's table of models, by the names that the file of a study has for it."""
    lines = (re.sub(r"^models(?=[.:])", "variants", line) for line in message.split("\n"))
    return "\n".join(lines)
