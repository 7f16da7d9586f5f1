"""The table of models as the stages see it: what each is made from, its window, and who is trained together."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tad_core.artifacts import ArtifactRef
from tad_core.config import TADConfig, Variant, variants
from tad_core.config.objectives import OF_THE_LOSS
from tad_core.errors import ConfigError
from tad_core.stages.calibrate import read_curve, window_in
from tad_core.training.spec import Order, order_for
from tad_core.trajectory.schema import PRIVILEGED


def names_to_offer(config: TADConfig) -> list[str]:
    """The models that a message offers: those that the run trains, or all of the table where it trains none."""
    table = variants(config)
    return [name for name in config.evaluate.models if name in table] or list(table)


def variant_of(config: TADConfig, mode: str) -> Variant:
    """The model of the table.

    Raises:
        ConfigError: there is none of this name, or its objective has no use for its window.
    """
    table = variants(config)
    if mode not in table:
        raise ConfigError(
            f"model: {mode!r} is not a distilled model; use one of {', '.join(names_to_offer(config))}"
        )
    variant = table[mode]
    if variant.window is not None and not variant.kind.windowed:
        raise ConfigError(_no_window(mode, variant))
    return variant


def _no_window(mode: str, variant: Variant) -> str:
    """What is wrong with a model that has a window by its name and an objective that has no use for it."""
    objective = variant.distill.objective
    return (
        f"distill.objective: {objective} gives no {mode} model, which learns by its window; leave it at tad, and for a "
        f"model of {objective} write models: {{NAME: {{objective: {objective}}}}}"
    )


def packings(config: TADConfig, modes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """How the base of each of these models is packed in training, where it is: ``quantize``, and the field that says
    so."""
    table = variants(config)
    found: dict[str, tuple[str, str]] = {}
    for mode in modes:
        if (kind := table[mode].distill.quantize) != "none":
            found[mode] = kind, field_of(config, mode, "quantize")
    return found


def field_of(config: TADConfig, mode: str, name: str) -> str:
    """The field of the configuration that says a setting of ``distill`` for a model: its own, or the one of all."""
    given = config.models.get(mode)
    return (
        f"models.{mode}.settings.{name}"
        if given is not None and name in given.settings
        else f"distill.{name}"
    )


def on_references(variant: Variant) -> bool:
    """Whether it trains on the references of the problems, and so on nothing that was judged."""
    return variant.kind.trains_on == "references"


def inputs_of(
    config: TADConfig, mode: str, collection_ref: ArtifactRef, filtered_ref: ArtifactRef
) -> list[ArtifactRef]:
    """What an adapter is made from; references are judged by nobody."""
    references = on_references(variant_of(config, mode))
    return [collection_ref] if references else [collection_ref, filtered_ref]


def order_of(config: TADConfig, mode: str, collection_ref: ArtifactRef, filtered_ref: ArtifactRef) -> Order:
    """How the states of an epoch are ordered, by how many its artifacts say there may be at most.

    Of a collection that is only planned nothing is known; then it is the order of few.
    """
    variant = variant_of(config, mode)
    settings = variant.distill
    if not (isinstance(collection_ref, ArtifactRef) and isinstance(filtered_ref, ArtifactRef)):
        return order_for(0)
    if on_references(variant):
        rows = int(collection_ref.manifest.info["problems"])
    elif settings.answers == "right" and settings.trajectories == PRIVILEGED:
        rows = int(filtered_ref.manifest.info["kept"])
    else:
        shards = collection_ref.manifest.info["shards"]
        rows = sum(int(s["rows"]) for s in shards if s["condition"] == settings.trajectories)
    return order_for(rows * min(settings.states_per_trajectory, config.rollout.response_length))


def passes(config: TADConfig, modes: Sequence[str]) -> list[list[str]]:
    """Which models are trained together: those that differ in their window and in how rows are penalised alone, with
    windows before those without.

    Their objective, states, teacher and optimizer are the same. Not under DeepSpeed, whose engine has one loss and one
    optimizer.
    """
    apart = config.distill.deepspeed is not None
    together: dict[tuple[bool, str], list[str]] = {}
    for mode in modes:
        variant = variant_of(config, mode)
        left_out = OF_THE_LOSS | variant.kind.lacks
        shared = {n: v for n, v in variant.distill.identity().items() if n not in left_out}
        key = (mode if apart else "") + json.dumps([variant.round_of, shared], sort_keys=True)
        together.setdefault((not apart and not variant.kind.windowed, key), []).append(mode)
    return [together[key] for key in sorted(together, key=lambda key: key[0])]


def check_rules(config: TADConfig, modes: Sequence[str]) -> None:
    """That the rule of Speed can give a longer window than that of Quality, where models learn by both.

    Raises:
        ConfigError: its threshold is the higher one.
    """
    rules, settings = variants(config), config.calibrate
    used = {rule.like for mode in modes if (rule := rules[mode].window) is not None}
    measured = settings.quality_window is None and settings.speed_window is None
    if {"quality", "speed"} <= used and measured and settings.speed_threshold > settings.quality_threshold:
        raise ConfigError(
            f"calibrate.speed_threshold: {settings.speed_threshold:g} is more than calibrate.quality_threshold "
            f"{settings.quality_threshold:g}: the window of Speed, which is to reach further, would end before that of "
            f"Quality, and be set to it; use at most {settings.quality_threshold:g}, or raise quality_threshold"
        )


def check_windows(config: TADConfig, modes: Sequence[str], windows_ref: ArtifactRef | None) -> None:
    """That every one of these models has its window, before the first of them is trained.

    Raises:
        ConfigError: with a line for each that has none.
    """
    faults: list[str] = []
    for mode in modes:
        try:
            if variant_of(config, mode).kind.windowed:
                window_of(config, mode, windows_ref)
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))


def window_of(config: TADConfig, mode: str, windows_ref: ArtifactRef | None) -> int:
    """The window of a model: a number of steps, or read from the calibration; ``calibrate``'s fixed ones without one.

    Raises:
        ConfigError: there is none.
    """
    variant = variant_of(config, mode)
    rule = variant.window
    assert rule is not None, "an objective with a window has a rule for it"
    if rule.steps is not None:
        return rule.steps
    if windows_ref is not None:
        return int(window_in(read_curve(windows_ref), variant)["window"])
    if rule.like is None:
        raise ConfigError(
            f"models.{mode}.window.threshold: no calibration is given to read it from; calibrate, or set "
            f"models.{mode}.window to a number of steps"
        )
    fixed: int | None = getattr(config.calibrate, f"{rule.like}_window")
    if fixed is None:
        raise ConfigError(
            f"calibrate.{rule.like}_window: not set and no calibration is given; set it, or calibrate"
        )
    return fixed
