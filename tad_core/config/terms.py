"""Sections of distillation that one objective or one option alone reads."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tad_core.settings import Strict

#: Weights and factors of terms of a loss beyond which it would overflow, or hide every other term.
MOST_WEIGHT = 1e4


class T3DConfig(Strict):
    """What T3D's loss is made of; its blocks are ``mask_block``."""

    alpha: float = Field(
        0.5, ge=0, le=MOST_WEIGHT, description="Weight of pushing down the snapshot's own tokens."
    )
    beta: float = Field(
        0.1, gt=0, le=MOST_WEIGHT, description="Factor of both differences of log-probabilities."
    )
    weight_path: float = Field(0.2, ge=0, le=MOST_WEIGHT, description="Weight of the path loss.")
    path_steps: int = Field(4, ge=1, description="Tokens by which the levels of the path grow.")
    snapshot_steps: int = Field(
        10, ge=1, description="Optimizer steps after which the snapshot of the adapter is taken anew."
    )


class FollowConfig(Strict):
    """A window that is read again as the student trains, from its confidence in the states it is trained on."""

    steps: int | None = Field(
        None, ge=1, description="Optimizer steps between readings; default: the window stays as it is."
    )
    threshold: float = Field(0.5, gt=0, lt=1, description="Confidence where the window ends.")
    smoothing: int = Field(3, ge=1, description="Offsets averaged before reading, as in calibrate.")
    most: int | None = Field(None, ge=1, description="Longest window; default: the whole response.")


class D2FConfig(Strict):
    """How much of a response d2f masks; its blocks are ``mask_block``."""

    rate_low: float = Field(0.2, gt=0, le=1, description="Least share of the first block that is masked.")
    rate_high: float = Field(0.7, gt=0, le=1, description="Most of any block; later ones are masked more.")

    @model_validator(mode="after")
    def _low_is_lower(self) -> Self:
        if self.rate_low > self.rate_high:
            raise ValueError(
                f"rate_low: {self.rate_low} is more than rate_high {self.rate_high}; use at most that"
            )
        return self
