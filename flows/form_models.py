"""The fields of a model of the table: its objective, its window, the settings that are its own, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.form_rows import in_order, read_pairs
from tad_core.config import OBJECTIVES
from tad_core.errors import ConfigError


class ModelFields(BaseModel):
    """A model that is trained and compared. Of the four fields of the window at most one rule is given."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=in_order)

    name: str = Field(
        min_length=1,
        description="Names it everywhere: a-z, 0-9, - and _; quality, speed and sft alone are what they are in a "
        "configuration without a table.",
    )
    objective: Literal[tuple(OBJECTIVES)] | None = Field(  # type: ignore[valid-type]
        None, description="Empty: distill.objective; of sft: sft."
    )
    window_like: Literal["quality", "speed"] | None = Field(
        None, description="Where near ends: by the rule of calibrate.quality_* or calibrate.speed_*."
    )
    window_steps: int | None = Field(None, ge=1, description="Instead: a fixed number of steps.")
    window_threshold: float | None = Field(
        None, gt=0, lt=1, description="Instead: where the calibrated confidence falls below this."
    )
    window_cap: int | None = Field(
        None, ge=1, description="The window if the confidence never falls below window_threshold."
    )
    settings: list[str] = Field(
        [],
        description="Fields of distill that are its own, as name=value, e.g. distant=hard, t3d.snapshot_steps=50.",
    )
    decode: list[str] = Field(
        [],
        description="A decoder of its own, as name=value, e.g. method=confidence, thresholds=[0.9]. Empty: the run's.",
    )
    round: str | None = Field(
        None,
        min_length=1,
        description="A model of the table on whose rollouts it is trained. Empty: the base's.",
    )
    label: str | None = Field(
        None, min_length=1, max_length=24, description="Its name for readers. Empty: the name."
    )
    colour: str | None = Field(
        None, pattern=r"^#[0-9a-fA-F]{6}$", description="#rrggbb. Empty: chosen for it."
    )
    colour_dark: str | None = Field(
        None, pattern=r"^#[0-9a-fA-F]{6}$", description="On dark paper. Empty: as colour."
    )

    def as_entry(self) -> dict[str, Any]:
        """As the configuration has it.

        Raises:
            ConfigError: a setting that is not of the form name=value, or a dark colour alone.
        """
        where = f"models.{self.name}"
        if self.colour_dark is not None and self.colour is None:
            raise ConfigError(
                f"{where}.colour: missing beside colour_dark {self.colour_dark}; give both, or colour alone"
            )
        window = {
            "like": self.window_like,
            "steps": self.window_steps,
            "threshold": self.window_threshold,
            "cap": self.window_cap,
        }
        entry = {
            "objective": self.objective,
            "window": {name: value for name, value in window.items() if value is not None},
            "settings": read_pairs(f"{where}.settings", self.settings, "distant=hard"),
            "decode": read_pairs(f"{where}.decode", self.decode, "method=confidence"),
            "round": self.round,
            "label": self.label,
            "colour": {"light": self.colour, "dark": self.colour_dark or self.colour}
            if self.colour
            else None,
        }
        return {name: value for name, value in entry.items() if value not in (None, {})}


def table_of(rows: Sequence[ModelFields]) -> dict[str, dict[str, Any]]:
    """The table of the configuration.

    Raises:
        ConfigError: two rows of one name; see ``ModelFields.as_entry``.
    """
    table: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.name in table:
            raise ConfigError(f"models: {row.name!r} is there twice; give each model another name")
        table[row.name] = row.as_entry()
    return table
