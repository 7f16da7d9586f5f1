"""The table of models: the variants that a run trains, compares and shows beside the base."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from tad_core.config.decoders import TOKEN_BY_TOKEN, DecodeConfig, DecoderConfig
from tad_core.config.objectives import OBJECTIVES, ObjectiveKind, ObjectiveName
from tad_core.config.training import DistillConfig
from tad_core.settings import REPORT, Strict, added_at, marked

if TYPE_CHECKING:
    from tad_core.config.tree import TADConfig

BASE = "base"
#: what a model cannot be called: the untrained one, and whose texts ``tad show`` lists beside the models'
RESERVED = (BASE, "teacher")
_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?")
_HEX = r"^#[0-9a-fA-F]{6}$"

WindowMode = Literal["quality", "speed"]


class WindowConfig(Strict):
    """How many steps ahead are near: a number of steps, a threshold of confidence, or one of the two rules of
    ``calibrate``; exactly one of the three."""

    steps: int | None = Field(None, ge=1, description="A fixed number of steps.")
    threshold: float | None = Field(None, gt=0, lt=1, description="Confidence where the window ends.")
    cap: int | None = Field(None, ge=1, description="The window if the curve never falls below threshold.")
    like: WindowMode | None = Field(None, description="The rule of calibrate.quality_* or calibrate.speed_*.")

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        given = [name for name in ("steps", "threshold", "like") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"steps: {' and '.join(given) or 'no rule'} given; give a number of steps, quality or speed, or a "
                "mapping with threshold (and cap)"
            )
        if self.cap is not None and self.threshold is None:
            raise ValueError("cap: is for a threshold; leave it out")
        return self


class Colours(Strict):
    """A model's colour, on light paper and on dark."""

    light: str = Field(pattern=_HEX, description="On light paper.")
    dark: str = Field(pattern=_HEX, description="On dark paper.")


class VariantConfig(Strict):
    """One model of the table: an objective with its settings, its window, and how it is shown."""

    objective: ObjectiveName | None = Field(None, description="Its objective; default: distill.objective.")
    window: WindowConfig | None = Field(
        None,
        description="Where near ends: steps, quality or speed (the rules of calibrate), or {threshold, cap}; default "
        "of the models quality and speed: their own rule.",
    )
    settings: dict[str, JsonValue] = Field({}, description="Fields of distill that are its own.")
    decode: DecoderConfig | None = Field(
        None,
        description="A decoder of its own, by which it is measured in place of evaluate.decode: method, thresholds, "
        "operating (the one of the headline row), and any field of evaluate.decode.",
        json_schema_extra=added_at("evaluate"),
    )
    label: str | None = Field(
        None, min_length=1, max_length=24, description="Its name for readers.", json_schema_extra=REPORT
    )
    colour: Colours | None = Field(
        None, description="#rrggbb, or one for light and one for dark paper.", json_schema_extra=REPORT
    )

    @field_validator("window", mode="before")
    @classmethod
    def _short_window(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"like": given}
        number = isinstance(given, (int, float)) and not isinstance(given, bool)
        return {"steps": given} if number else given

    @field_validator("colour", mode="before")
    @classmethod
    def _one_colour(cls, given: Any) -> Any:
        return {"light": given, "dark": given} if isinstance(given, str) else given


@dataclass(frozen=True)
class Variant:
    """A model of the table, with every default filled in.

    Attributes:
        distill: the settings it is trained with, its objective among them.
        window: its rule; None without one.
    """

    name: str
    label: str
    colour: Colours | None
    distill: DistillConfig
    window: WindowConfig | None

    @property
    def kind(self) -> ObjectiveKind:
        """What its objective needs."""
        return OBJECTIVES[self.distill.objective]

    @property
    def attention_block(self) -> int | None:
        """Tokens of a block, where it is trained to read block by block and so is decoded; None where it sees all."""
        return self.distill.mask_block if self.kind.block_causal else None


#: the table of a configuration without one; in a given table what these names leave open
STANDARD: dict[str, VariantConfig] = {
    "sft": VariantConfig(objective="sft", label="Fine-tuned"),
    "quality": VariantConfig(window=WindowConfig(like="quality"), label="Quality"),
    "speed": VariantConfig(window=WindowConfig(like="speed"), label="Speed"),
}


def variants(config: TADConfig) -> dict[str, Variant]:
    """The models that can be trained, in reading order; the configuration has been validated."""
    return {
        name: _variant(name, given, config.distill) for name, given in (config.models or STANDARD).items()
    }


def check(config: TADConfig) -> None:
    """Raise ``ValueError`` with a line for each fault of the table and of ``evaluate.models``."""
    faults = [line for name, given in config.models.items() for line in _faults(name, given, config)]
    labels: dict[str, str] = {"Base": BASE}
    for name, given in config.models.items():
        label = _label(name, given)
        if (other := labels.setdefault(label, name)) != name:
            faults.append(f"models.{name}.label: {label!r} is what {other} is called, too; give it another")
    known, compared = list(dict.fromkeys([BASE, *(config.models or STANDARD)])), config.evaluate.models
    for i, name in enumerate(compared):
        if name not in known:
            add = f", or add it to models: (models.{name})" if _NAME.fullmatch(name) else ""
            faults.append(f"evaluate.models: {name!r} is not a model; use one of {', '.join(known)}{add}")
        elif name in compared[:i]:
            faults.append(f"evaluate.models: {name!r} is named twice; leave one out")
    if faults:
        raise ValueError("\n".join(faults))


def _faults(name: str, given: VariantConfig, config: TADConfig) -> list[str]:
    where = f"models.{name}"
    if name in RESERVED:
        return [f"{where}: {name} is always there and is not trained; choose another name"]
    if not _NAME.fullmatch(name):
        return [
            f"models: {name!r} cannot name a model, which names files; use up to 40 of a-z, 0-9, - and _, with a "
            "letter or digit first and last"
        ]
    objective = _objective(name, given, config.distill)
    kind, faults = OBJECTIVES[objective], _setting_faults(where, objective, given, config.distill)
    window, length = _window(name, given), config.rollout.response_length
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
        variant = _variant(name, given, config.distill)
        faults = _faults_together(where, kind, variant.distill, config)
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


def _faults_together(where: str, kind: ObjectiveKind, distill: DistillConfig, config: TADConfig) -> list[str]:
    """What does not go with the settings of collection."""
    faults, length = [], config.rollout.response_length
    if distill.trajectories == "plain" and not config.rollout.compare_plain:
        faults.append(
            f"{where}.settings.trajectories: there are no plain ones; set rollout.compare_plain to the number of "
            "problems that are rolled out without the reference, too"
        )
    if (states := distill.states_per_trajectory) > length:
        faults.append(
            f"{where}.settings.states_per_trajectory: {states} is more than rollout.response_length {length}; use at "
            f"most {length}"
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
        _distill(objective, given, distill)
    except ValidationError as error:
        for fault in error.errors():
            path = ".".join([f"{where}.settings", *map(str, fault["loc"])])
            message = str(fault["msg"]).removeprefix("Value error, ")
            own_path = fault["type"] == "value_error"
            faults.append(
                f"{path}.{message}" if own_path else f"{path}: {fault['input']!r} is not accepted: {message}"
            )
    return faults


def _variant(name: str, given: VariantConfig, distill: DistillConfig) -> Variant:
    objective = _objective(name, given, distill)
    return Variant(
        name, _label(name, given), given.colour, _distill(objective, given, distill), _window(name, given)
    )


def _distill(objective: str, given: VariantConfig, distill: DistillConfig) -> DistillConfig:
    if objective == distill.objective and not given.settings:
        return distill
    tree = _merged(distill.model_dump(), given.settings)
    return DistillConfig.model_validate({**tree, "objective": objective})


def _merged(tree: dict[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """A section with fields changed, those of sections inside it one by one."""
    return {
        **tree,
        **{
            name: _merged(tree[name], value)
            if isinstance(value, dict) and isinstance(tree.get(name), dict)
            else value
            for name, value in changed.items()
        },
    }


def _objective(name: str, given: VariantConfig, distill: DistillConfig) -> str:
    standard = STANDARD.get(name)
    return given.objective or (standard.objective if standard else None) or distill.objective


def _window(name: str, given: VariantConfig) -> WindowConfig | None:
    standard = None if given.objective is not None else STANDARD.get(name)
    return given.window or (standard.window if standard else None)


def _label(name: str, given: VariantConfig) -> str:
    standard = STANDARD.get(name)
    return given.label or (standard.label if standard else None) or name
