"""What a run starts from: the checkpoint and the problems."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tad_core.settings import RUNTIME, Strict, runtime_but


class ModelConfig(Strict):
    """Which checkpoint, and on what it runs."""

    path: str = Field(
        description="The base checkpoint (safetensors + config + tokenizer): a local folder, or a hub id such as "
        "GSAI-ML/LLaDA-8B-Instruct with its revision."
    )
    revision: str | None = Field(
        None, description="Commit hash of a hub id, which pins it; not used for a local folder."
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Weights and activations.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.", json_schema_extra=RUNTIME)
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="CPU threads of a process; default: the cores, shared out among those that decode, and one where a "
        "model of under 20 million parameters computes a response at a time.",
        json_schema_extra=RUNTIME,
    )


class SourceConfig(Strict):
    """One data source: which problems, how many, and in what order answers are looked for."""

    name: str = Field(description="Name shown in every table; also the lm-eval task name in evaluation.")
    source: str = Field(
        description="Registered source: gsm8k, math, kodcode, table, jsonl, arithmetic, pyfunc, benchmark."
    )
    count: int | None = Field(
        None, ge=1, description="How many problems to take; null takes all that a file or data set has."
    )
    split: Literal["train", "heldout"] = Field(
        "train", description="Disjoint by construction (generators), by files or by hash (data sets)."
    )
    seed: int = Field(0, ge=0, description="Seed of the generators, and of a random sample.")
    # Which problems these two lead to is fingerprinted with the problems themselves.
    sample: Literal["first", "random"] = Field(
        "first",
        description="Which of more problems than count are taken: the first, or a random sample by seed.",
        json_schema_extra=runtime_but("for the problems that are then taken"),
    )
    min_count: int | None = Field(
        None,
        ge=1,
        description="The run starts only with at least this many usable problems; null: nine in ten of those asked for "
        "(in evaluation all).",
        json_schema_extra=RUNTIME,
    )
    max_unknown: float = Field(
        0.25,
        ge=0,
        le=1,
        description="The run starts only if at most this share of the tokens of questions and references is unknown to "
        "the model's tokenizer.",
        json_schema_extra=RUNTIME,
    )
    options: dict[str, int | float | str | bool | list[int] | list[str]] = Field(
        {}, description="Options of the source itself, e.g. min_steps, max_steps, path."
    )
