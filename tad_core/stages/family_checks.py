"""What a run asks of its model's family beyond logits, found before any work and without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tad_core.checkpoint import check_model
from tad_core.config import TADConfig
from tad_core.config.models import Variant
from tad_core.errors import ConfigError
from tad_core.families import Family, family_of
from tad_core.stages.variants import field_of, packings, variant_of
from tad_core.weights import check_packable


def check_cache_of_family(config: TADConfig, evaluated: bool) -> None:
    """That the family has a cache where one is asked for.

    Args:
        config: the run.
        evaluated: whether it comes to its evaluation.

    Raises:
        ConfigError: naming the setting.
    """
    family = family_of(check_model(config.model))
    if family.cached:
        return
    for place, mode in _caches(config, evaluated):
        if mode != "none":
            raise ConfigError(
                f"{place}: {mode} keeps keys and values, and the models of family {family.name} have no cache; use none"
            )


def check_trainable(config: TADConfig, modes: Sequence[str]) -> None:
    """That the family has what each of these models is trained with: projections by role, their packed form, blocks.

    Raises:
        ConfigError: naming the setting, for a role or an objective.
        ModelError: projections that cannot be packed.
    """
    fields = check_model(config.model)
    for mode in modes:
        _check_variant(config, variant_of(config, mode), family_of(fields))
    for kind, field_name in packings(config, modes).values():
        check_packable(fields, kind, field_name)


def _check_variant(config: TADConfig, variant: Variant, family: Family) -> None:
    if missing := [role for role in variant.distill.lora.roles if role not in family.roles]:
        raise ConfigError(
            f"{field_of(config, variant.name, 'lora')}.roles: the family {family.name} has no {missing[0]}; use "
            f"{', '.join(family.roles)}"
        )
    if variant.attention_block is not None and not family.cached:
        raise ConfigError(
            f"models.{variant.name}.objective: {variant.distill.objective} has a student that reads block by block, "
            f"and the models of family {family.name} see all of a sequence at once; use another objective"
        )


def _caches(config: TADConfig, evaluated: bool) -> Iterator[tuple[str, str]]:
    """Settings of caches and their values."""
    yield "rollout.cache.mode", config.rollout.cache.mode
    if not evaluated:
        return
    yield "evaluate.decode.cache.mode", config.evaluate.decode.cache.mode
    for name, model in config.models.items():
        if model.decode is not None and "cache" in model.decode.model_fields_set:
            yield f"models.{name}.decode.cache.mode", model.decode.cache.mode
