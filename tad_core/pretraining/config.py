"""What a pretraining run is: the text it sees, the size of the model, the schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from tad_core.config.document import PRETRAINING, read_document
from tad_core.config.loading import validated
from tad_core.settings import RUNTIME, Seed, Strict


class CorpusConfig(Strict):
    """What the base sees. Easy plain prompts have up to ``easy`` steps, the rest up to ``hard``."""

    samples: int = Field(400_000, ge=1, description="Distinct draws; an epoch.")
    privileged_share: float = Field(0.3, ge=0, le=1, description="Share of privileged prompts.")
    code_share: float = Field(0.25, ge=0, le=1, description="Share of Python-function problems.")
    hard_share: float = Field(0.15, ge=0, le=1, description="Share of hard problems among the plain prompts.")
    math_easy: int = Field(3, ge=1, le=6, description="Steps of an easy word problem, at most.")
    math_hard: int = Field(5, ge=1, le=6, description="Steps of a hard word problem, at most.")
    code_easy: int = Field(2, ge=1, le=6, description="Operations of an easy function, at most.")
    code_hard: int = Field(4, ge=1, le=6, description="Operations of a hard function, at most.")
    seed: int = Field(0, ge=0, description="Seed of the draws.")


class PretrainConfig(Strict):
    """Size of the model and how it is trained."""

    out: str = Field(description="Folder of the checkpoint.", json_schema_extra=RUNTIME)
    d_model: int = Field(256, ge=16, description="Hidden size.")
    n_layers: int = Field(6, ge=1, description="Layers.")
    n_heads: int = Field(4, ge=1, description="Attention heads; divides d_model.")
    mlp_hidden_size: int = Field(768, ge=16, description="SwiGLU size.")
    rope_theta: float = Field(10_000.0, gt=0, description="RoPE base.")
    response_length: int = Field(64, ge=8, description="Response tokens, end-of-text padding included.")
    block_length: int = Field(16, ge=1, description="Block of the block states; divides response_length.")
    block_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of samples masked as block-ordered decoding meets them; 0: LLaDA's own objective.",
    )
    corpus: CorpusConfig = Field(CorpusConfig(), description="Training text.")
    steps: int = Field(4500, ge=1, description="Optimizer steps.")
    batch_size: int = Field(512, ge=1, description="Samples per step.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak, cosine to zero.")
    warmup_steps: int = Field(200, ge=0, description="Linear warm-up.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clipping.")
    init_from: str | None = Field(None, description="Checkpoint to go on from; default: fresh weights.")
    seed: Seed = Field(0, description="Weights, masks, order.")
    compile: bool = Field(False, description="Fuse each layer with torch.compile.", json_schema_extra=RUNTIME)
    workers: int = Field(
        0, ge=0, description="Processes that draw text; 0: all cores.", json_schema_extra=RUNTIME
    )

    @model_validator(mode="after")
    def _block_divides(self) -> Self:
        if self.response_length % self.block_length:
            raise ValueError(
                f"block_length: {self.block_length} does not divide response_length {self.response_length}; "
                "use one of its divisors"
            )
        return self


def load_pretrain_config(path: str | Path) -> PretrainConfig:
    """Read and validate a pretraining YAML.

    Raises:
        ConfigError: with every problem, one line each, and where in the file it is.
    """
    document = read_document(path, PRETRAINING)
    return validated(PretrainConfig, document.tree, document)
