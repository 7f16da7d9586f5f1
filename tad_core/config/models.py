"""The table of models: the variants that a run trains, compares and shows beside the base."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from tad_core.config.decoders import DecoderConfig
from tad_core.config.objectives import OBJECTIVES, ObjectiveKind, ObjectiveName
from tad_core.config.rounds import RoundConfig
from tad_core.config.training import DistillConfig
from tad_core.settings import ADDED, REPORT, Strict, added_at

if TYPE_CHECKING:
    from tad_core.config.tree import TADConfig

BASE = "base"
#: what a model cannot be called: the untrained one, and whose texts ``tad show`` lists beside the models'
RESERVED = (BASE, "teacher")
NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?")
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
    round: RoundConfig | None = Field(
        None,
        description="{of: NAME} or NAME: a further round, on the rollouts of another model of the table.",
        json_schema_extra=ADDED,
    )
    decode: DecoderConfig | None = Field(
        None,
        description="A decoder of its own, by which it is measured in place of evaluate.decode: method, thresholds, "
        "operating (the one of the headline row), and any field of evaluate.decode.",
        json_schema_extra=added_at("evaluate"),
    )
    label: str | None = Field(
        None, pattern=r"\S", max_length=24, description="Its name for readers.", json_schema_extra=REPORT
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

    @field_validator("round", mode="before")
    @classmethod
    def _short_round(cls, given: Any) -> Any:
        return {"of": given} if isinstance(given, str) else given

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
        round_of: the model on whose rollouts it is trained; None: the base.
    """

    name: str
    label: str
    colour: Colours | None
    distill: DistillConfig
    window: WindowConfig | None
    round_of: str | None = None

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
        name: variant_from(name, given, config.distill) for name, given in (config.models or STANDARD).items()
    }


def variant_from(name: str, given: VariantConfig, distill: DistillConfig) -> Variant:
    """An entry with every default filled in; it has to be right by itself."""
    objective = objective_of(name, given, distill)
    return Variant(
        name,
        label_of(name, given),
        given.colour,
        distill_of(objective, given, distill),
        window_rule(name, given),
        None if given.round is None else given.round.of,
    )


def distill_of(objective: str, given: VariantConfig, distill: DistillConfig) -> DistillConfig:
    """The settings it is trained with.

    Raises:
        ValidationError: a setting of its own is not accepted.
    """
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


def objective_of(name: str, given: VariantConfig, distill: DistillConfig) -> str:
    """Its objective: given, that of its name, or that of all."""
    standard = STANDARD.get(name)
    return given.objective or (standard.objective if standard else None) or distill.objective


def window_rule(name: str, given: VariantConfig) -> WindowConfig | None:
    """Where near ends: given, or as its name has it where it gives no objective."""
    standard = None if given.objective is not None else STANDARD.get(name)
    return given.window or (standard.window if standard else None)


def label_of(name: str, given: VariantConfig) -> str:
    """What readers call it."""
    standard = STANDARD.get(name)
    return given.label or (standard.label if standard else None) or name
