"""The whole configuration."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from tad_core.config.decoders import with_shared
from tad_core.config.evaluation import EvaluateConfig
from tad_core.config.inputs import ModelConfig, SourceConfig
from tad_core.config.models import BASE, VariantConfig
from tad_core.config.rollout import CalibrateConfig, RolloutConfig
from tad_core.config.table_faults import check
from tad_core.config.training import DistillConfig
from tad_core.settings import ADDED, RUNTIME, Strict
from tad_core.verify.config import VerifyConfig


class TADConfig(Strict):
    """The whole pipeline."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="Name of the set-up.")
    store: str = Field("runs/store", description="fsspec URL of the artifacts.", json_schema_extra=RUNTIME)
    model: ModelConfig
    data: list[SourceConfig] = Field(min_length=1, description="Training problems.")
    rollout: RolloutConfig = Field(RolloutConfig(), description="Collection.")
    filter: VerifyConfig = Field(VerifyConfig(), description="Verification of answers.")
    calibrate: CalibrateConfig = Field(CalibrateConfig(), description="Windows.")
    distill: DistillConfig = Field(DistillConfig(), description="Training.")
    models: dict[str, VariantConfig] = Field(
        {},
        description="The models trained and compared beside the base, by name; default: quality, speed and sft.",
        json_schema_extra=ADDED,
    )
    evaluate: EvaluateConfig

    @model_validator(mode="before")
    @classmethod
    def _models_follow_evaluate(cls, given: Any) -> Any:
        table = given.get("models") if isinstance(given, dict) else None
        if not table or not isinstance(table, dict):
            return given
        given = {**given, "models": {name: {} if entry is None else entry for name, entry in table.items()}}
        if not isinstance(evaluate := given.get("evaluate"), dict):
            return given
        given["models"] = with_shared(given["models"], evaluate.get("decode"))
        if "models" not in evaluate:
            given["evaluate"] = {**evaluate, "models": [BASE, *(str(name) for name in table if name != BASE)]}
        return given

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        length, block = self.rollout.response_length, self.evaluate.decode.block_length
        if length % block:
            raise ValueError(
                f"evaluate.decode.block_length: {block} does not divide rollout.response_length {length}; "
                f"use {self.rollout.block_length}"
            )
        if self.distill.states_per_trajectory > length:
            raise ValueError(
                f"distill.states_per_trajectory: {self.distill.states_per_trajectory} is more than "
                f"rollout.response_length {length}; use at most {length}"
            )
        for name in ("quality_window", "speed_window"):
            if (fixed := getattr(self.calibrate, name)) is not None and fixed > length:
                raise ValueError(
                    f"calibrate.{name}: {fixed} is more than rollout.response_length {length}; use at most that"
                )
        names = [s.name for s in self.data]
        if len(set(names)) != len(names):
            raise ValueError("data: two sources have the same name; rename one")
        self._rules_are_for_known_sources([*names, *(task.name for task in self.evaluate.tasks)])
        return self

    @model_validator(mode="after")
    def _models_are_known(self) -> Self:
        check(self)
        return self

    def _rules_are_for_known_sources(self, names: list[str]) -> None:
        known = ", ".join(dict.fromkeys(names))
        wrong = [
            f"filter.extract_by_source.{name}: {name!r} is not the name of a source of data or of a task of evaluate; "
            f"use one of {known}"
            for name in self.filter.extract_by_source
            if name not in names
        ]
        if wrong:
            raise ValueError("\n".join(wrong))
