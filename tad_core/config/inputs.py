"""What a run starts from: the checkpoint and the problems."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, field_validator
from pydantic_core import PydanticCustomError

from tad_core.settings import RUNTIME, Strict, runtime_but

#: Bytes of a file's name, on the file systems there are.
MOST_NAME = 255
#: More than these are a slip of the finger: a generator would run for days to say how many there are.
MOST_PROBLEMS = 100_000_000


def _of_a_type(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:  # which has a line for each of the types
        raise PydanticCustomError(
            "option", "use a finite number, a text, true or false, or a list of whole numbers or texts"
        ) from None


#: What an option of a source may be; which of these it is, the source says.
Option = Annotated[int | float | str | bool | list[int] | list[str], WrapValidator(_of_a_type)]


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

    @field_validator("path")
    @classmethod
    def _parts_that_can_be(cls, path: str) -> str:
        if any(len(part.encode()) > MOST_NAME for part in path.split("/")):
            raise PydanticCustomError(
                "name",
                "no folder has a name of more than {most} bytes; give a folder or a hub id",
                {"most": MOST_NAME},
            )
        return path

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", device):
            raise PydanticCustomError("device", "use auto, cpu, cuda or cuda:N")
        return device


class SourceConfig(Strict):
    """One data source: which problems, how many, and in what order answers are looked for."""

    name: str = Field(description="Name shown in every table; also the lm-eval task name in evaluation.")
    source: str = Field(
        description="Registered source: gsm8k, math, kodcode, table, jsonl, arithmetic, pyfunc, benchmark."
    )
    count: int | None = Field(
        None,
        ge=1,
        le=MOST_PROBLEMS,
        description="How many problems to take; null takes all that a file or data set has.",
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
    options: dict[str, Option] = Field(
        {}, description="Options of the source itself, e.g. min_steps, max_steps, path."
    )
