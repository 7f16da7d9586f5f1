"""What is wrong with a table of models, a line for each fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from tad_core.config.decoders import TOKEN_BY_TOKEN, DecodeConfig
from tad_core.config.explaining import explained
from tad_core.config.models import (
    BASE,
    NAME,
    RESERVED,
    STANDARD,
    Variant,
    VariantConfig,
    distill_of,
    label_of,
    objective_of,
    variant_from,
    variants,
    window_rule,
)
from tad_core.config.objectives import OBJECTIVES
from tad_core.config.rounds import round_faults
from tad_core.config.training import DistillConfig
from tad_core.settings import marked

if TYPE_CHECKING:
    from tad_core.config.tree import TADConfig


def check(config: TADConfig) -> None:
    """Raise ``ValueError`` with a line for each fault of the table and of ``evaluate.models``."""
    faults = [line for name, given in config.models.items() for line in _faults(name, given, config)]
    labels: dict[str, str] = {"Base": BASE}
    for name, given in config.models.items():
        label = label_of(name, given)
        if (other := labels.setdefault(label, name)) != name:
            faults.append(f"models.{name}.label: {label!r} is what {other} is called, too; give it another")
    plain: dict[str, str] = {}
    for name in config.models:
        if (other := plain.setdefault(name.replace("_", "-"), name)) != name:
            faults.append(
                f"models.{name}: {other} is the same name but for - and _, which a run's records in Prefect do not "
                "tell apart; rename one"
            )
    known, compared = list(dict.fromkeys([BASE, *(config.models or STANDARD)])), config.evaluate.models
    for i, name in enumerate(compared):
        if name not in known:
            add = f", or add it to models: (models.{name})" if NAME.fullmatch(name) else ""
            faults.append(f"evaluate.models: {name!r} is not a model; use one of {', '.join(known)}{add}")
        elif name in compared[:i]:
            faults.append(f"evaluate.models: {name!r} is named twice; leave one out")
    faults = faults or round_faults(config, variants(config))
    if faults:
        raise ValueError("\n".join(faults))


def _faults(name: str, given: VariantConfig, config: TADConfig) -> list[str]:
    where = f"models.{name}"
    if name in RESERVED:
        return [f"{where}: {name} is always there and is not trained; choose another name"]
    if not NAME.fullmatch(name):
        return [
            f"models: {name!r} cannot name a model, which names files; use up to 40 of a-z, 0-9, - and _, with a "
            "letter or digit first and last"
        ]
    objective = objective_of(name, given, config.distill)
    kind, faults = OBJECTIVES[objective], _setting_faults(where, objective, given, config.distill)
    window, length = window_rule(name, given), config.rollout.response_length
    if kind.windowed and window is None:
        faults.append(
            f"{where}.window: missing; the {objective} objective needs one: a number of steps, quality or speed, or "
            "{threshold: 0.35}"
        )
    if not kind.windowed and given.window is not None:
        faults.append(f"{where}.window: the {objective} objective has none; leave it out")
    for field in ("steps", "cap"):
        value = None if window is None else getattr(window, field)
        if value is not None and value > length:
            faults.append(
                f"{where}.window: {field} {value} is more than rollout.response_length {length}; use at most that"
            )
    if not faults:
        variant = variant_from(name, given, config.distill)
        faults = _faults_together(where, given, variant, config)
        faults += _decode_faults(where, given, variant, config.evaluate.decode)
    return faults


def _decode_faults(where: str, given: VariantConfig, variant: Variant, shared: DecodeConfig) -> list[str]:
    """What a decoder of its own cannot say; what it has from the shared one it does not say."""
    own = given.decode
    if own is None:
        return []
    faults = []
    if own.method == TOKEN_BY_TOKEN:
        faults.append(
            f"{where}.decode.method: every model is decoded {TOKEN_BY_TOKEN} in any case; name another method, or "
            "leave decode out"
        )
    if (block := variant.attention_block) is None:
        return faults
    if own.block_length not in (block, shared.block_length):
        faults.append(
            f"{where}.decode.block_length: {own.block_length} given, and a model of the {variant.distill.objective} "
            f"objective is decoded in the blocks of {block} it was trained in; leave it out"
        )
    if own.cache.mode != "none" and own.cache != shared.cache:
        faults.append(
            f"{where}.decode.cache.mode: {own.cache.mode!r} is for a model that sees the whole response, and this one "
            "keeps its finished blocks in any case, which is exact; leave it out"
        )
    return faults


def _faults_together(where: str, given: VariantConfig, variant: Variant, config: TADConfig) -> list[str]:
    """What does not go with the settings of collection."""
    faults, length = [], config.rollout.response_length
    distill, kind = variant.distill, variant.kind
    # A round rolls out all of them by itself.
    if distill.trajectories == "plain" and not config.rollout.compare_plain and variant.round_of is None:
        faults.append(
            f"{where}.settings.trajectories: there are no plain ones; set rollout.compare_plain to the number of "
            "problems that are rolled out without the reference, too"
        )
    if (states := distill.states_per_trajectory) > length:
        faults.append(
            f"{where}.settings.states_per_trajectory: {states} is more than rollout.response_length {length}; use at "
            f"most {length}"
        )
    for field in () if kind.block_causal else ("mask_block", "mask_blocks"):
        own = getattr(distill, field)
        if field in given.settings and (most := max(own) if isinstance(own, list) else own) > length:
            faults.append(
                f"{where}.settings.{field}: {most} is more than rollout.response_length {length}; use at most that"
            )
    if kind.block_causal and length % distill.mask_block:
        faults.append(
            f"{where}.settings.mask_block: {distill.mask_block} does not divide rollout.response_length {length}, and "
            f"a model of the {distill.objective} objective is decoded in the blocks it was trained in; use a divisor"
        )
    return faults


def _setting_faults(where: str, objective: str, given: VariantConfig, distill: DistillConfig) -> list[str]:
    lacks = OBJECTIVES[objective].lacks
    shared = marked(DistillConfig, "runtime") | {"objective"}
    own = [name for name in DistillConfig.model_fields if name not in shared | lacks]
    faults = []
    for name in given.settings:
        if name == "objective":
            faults.append(f"{where}.settings.objective: say it as {where}.objective")
        elif name in shared:
            faults.append(f"{where}.settings.{name}: is the same for all models; set distill.{name}")
        elif name in lacks:
            faults.append(
                f"{where}.settings.{name}: the {objective} objective has no such setting; leave it out"
            )
        elif name not in own:
            faults.append(f"{where}.settings.{name}: unknown key; known here: {', '.join(sorted(own))}")
    if faults:
        return faults
    try:
        distill_of(objective, given, distill)
    except ValidationError as error:
        lines = [line for fault in error.errors() for line in explained(DistillConfig, fault)]
        faults += [f"{where}.settings.{line}" for line in lines]
    return faults
