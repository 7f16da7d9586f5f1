"""Decoding and what is compared."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tad_core.config.decoders import ENTROPY, TOKEN_BY_TOKEN, DecodeConfig
from tad_core.config.inputs import SourceConfig
from tad_core.config.rollout import BatchSize
from tad_core.settings import ADDED, REPORT, RUNTIME, Strict


class PipelineConfig(Strict):
    """D2F's own decoding, by which models that read block by block are measured besides; others are not."""

    thresholds: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.9], description="Probabilities above which a token is revealed; none: not measured so."
    )
    activation_threshold: float = Field(
        0.95, ge=0, le=1, description="Progress of a block from which the next reveals at every forward."
    )


class EvaluateConfig(Strict):
    """The sweep: every model, every task, token by token and at every threshold, under one prompt."""

    tasks: list[SourceConfig] = Field(min_length=1, description="Benchmarks.")
    models: list[str] = Field(
        ["base", "quality", "speed"],
        min_length=1,
        description="Models compared, and so trained; default where there is a table of models: base and all of it.",
        json_schema_extra=REPORT,
    )
    thresholds: list[Annotated[float, Field(gt=0)]] = Field(
        [0.1, 0.3, 0.5],
        min_length=1,
        description="Entropies in nats; with another decode.method values of what it goes by.",
    )
    operating_threshold: float = Field(
        0.5, gt=0, description="Threshold of the headline row; one of thresholds."
    )
    decode: DecodeConfig = Field(
        DecodeConfig(), description="The decoder of all models that name none of their own."
    )
    pipeline: PipelineConfig = Field(
        PipelineConfig(),
        description="D2F's own decoding of models that read block by block.",
        json_schema_extra=ADDED,
    )
    aup_alpha: float = Field(3.0, ge=0, description="Penalty factor of AUP.", json_schema_extra=REPORT)
    bootstrap: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="Resamples of problems for the 95 % intervals; 0: none.",
        json_schema_extra=REPORT,
    )
    batch_size: BatchSize = Field(
        32,
        description="Prompts decoded together on a GPU. auto: as many as its memory holds, by the sizes that tad plan "
        "uses.",
        json_schema_extra=RUNTIME,
    )
    slice_size: int = Field(
        64,
        ge=1,
        description="Prompts decoded and kept as one slice: what a killed evaluation decodes again, at most, for each "
        "process.",
        json_schema_extra=RUNTIME,
    )
    workers: int = Field(
        0,
        ge=0,
        le=256,
        description="Processes that decode: one a GPU, at most as many as there are; on a CPU of one thread each. "
        "0: one for each visible GPU, or one per core.",
        json_schema_extra=RUNTIME,
    )
    harness: Literal["lm-eval", "direct"] = Field(
        "lm-eval",
        description="Run under lm-eval, or decode and judge directly; the numbers are the same.",
        json_schema_extra=RUNTIME,
    )

    @model_validator(mode="after")
    def _operating_is_swept(self) -> Self:
        if self.decode.method == TOKEN_BY_TOKEN:
            raise ValueError(
                f"decode.method: every model is decoded {TOKEN_BY_TOKEN} in any case; name the method that thresholds "
                "are values of, or leave it out"
            )
        if self.decode.method != ENTROPY and "thresholds" not in self.model_fields_set:
            raise ValueError(
                f"thresholds: missing; the default ones are entropies, say values of what decode.method "
                f"{self.decode.method} goes by, and operating_threshold"
            )
        if self.operating_threshold not in self.thresholds:
            raise ValueError(
                f"operating_threshold: {self.operating_threshold} is not in thresholds {self.thresholds}; add it"
            )
        if len({t.name for t in self.tasks}) != len(self.tasks):
            raise ValueError("tasks: two have the same name; rename one")
        return self
