"""Collection and calibration."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from tad_core.settings import ADDED, LONGEST_S, RUNTIME, Strict, runtime_but

Condition = Literal["privileged", "plain"]


def _number_or_auto(value: Any, validate: Callable[[Any], Any]) -> Any:
    try:
        return validate(value)
    except ValidationError:
        # One error: a union has one for each of its members.
        raise PydanticCustomError("batch_size", "use a number of 1 or more, or auto") from None


#: How many samples a device decodes together.
BatchSize = Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], WrapValidator(_number_or_auto)]


#: No count of forwards or reveals is larger: it goes into tensors of whole numbers, and no response has as many tokens.
MOST_COUNT = 2**31 - 1


class CacheConfig(Strict):
    """Keys and values kept between the forwards of a decoding: faster, and no longer exact."""

    mode: Literal["none", "dual", "dual_block", "prefix"] = Field(
        "none",
        description="none: every forward computes every token. dual: between refreshes only what is still masked in "
        "the open blocks and what was just revealed; everything before and behind counts as it was. dual_block: the "
        "open blocks whole, as Fast-dLLM's dual cache does. prefix: between refreshes the block that was first "
        "unfinished at the last one and everything behind it.",
    )
    refresh_blocks: bool = Field(
        True, description="Compute everything when a block becomes the first unfinished one."
    )
    refresh_forwards: int = Field(
        0,
        ge=0,
        le=MOST_COUNT,
        description="Compute everything every so many forwards; 0: not for that reason.",
    )
    refresh_reveals: int = Field(
        0,
        ge=0,
        le=MOST_COUNT,
        description="Compute everything after so many reveals; 0: not for that reason.",
    )
    refresh_settle: int = Field(
        1,
        ge=1,
        le=MOST_COUNT,
        description="With refresh_blocks: forwards in a row that compute everything, before what was revealed last is "
        "kept (the delayed cache of d3LLM).",
        json_schema_extra=ADDED,
    )

    @model_validator(mode="after")
    def _settles_in_blocks(self) -> Self:
        if self.refresh_settle > 1 and not self.refresh_blocks:
            raise ValueError(
                f"refresh_settle: {self.refresh_settle} is read with refresh_blocks alone; set refresh_blocks to true, "
                "or refresh_settle to 1"
            )
        return self

    def as_spec(self) -> dict[str, Any]:
        """As ``DecodeSpec`` and ``RolloutSpec`` name them."""
        rest = self.model_dump(mode="json")
        return {"cache": rest.pop("mode"), **rest}


class RolloutConfig(Strict):
    """Token-by-token, block-ordered decoding by the privileged teacher (paper, section 3.2)."""

    seed: int = Field(0, ge=0, description="Seed of the sampling noise.")
    samples: int = Field(1, ge=1, le=64, description="Trajectories per problem.")
    response_length: int = Field(256, ge=2, le=8192, description="Tokens of the response (L).")
    block_length: int = Field(32, ge=1, description="Blocks are finished from left to right.")
    temperature_math: float = Field(0.7, ge=0, le=2, description="Gumbel temperature for math problems.")
    temperature_code: float = Field(0.0, ge=0, le=2, description="Gumbel temperature for code problems.")
    finish_early: bool = Field(
        True,
        description="Stop once every token before the first end-of-text is revealed; the tail is filled in "
        "and marked. False computes every step.",
    )
    cache: CacheConfig = Field(
        CacheConfig(), description="Keys and values kept between forwards.", json_schema_extra=ADDED
    )
    compare_plain: int = Field(
        0,
        ge=0,
        description="Also roll out this many problems without the reference, to compare.",
        json_schema_extra=runtime_but("for the plain rollouts themselves"),
    )
    shard_size: int = Field(
        64, ge=1, description="Problems per shard, the unit of resume.", json_schema_extra=RUNTIME
    )
    batch_size: BatchSize = Field(
        32,
        description="Samples decoded together on a GPU. auto: as many as its memory holds, by the sizes that tad plan "
        "uses.",
        json_schema_extra=RUNTIME,
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Processes that each hold the model; default: one a visible GPU, or one a core of a CPU, of one "
        "thread each.",
        json_schema_extra=RUNTIME,
    )
    hosts: int = Field(
        1,
        ge=1,
        le=256,
        description="Machines that decode. Above 1, child runs of worker_deployment take shards too.",
        json_schema_extra=RUNTIME,
    )
    decode_here: bool = Field(
        True,
        description="This run's machine is one of the hosts. False: it only waits for the child runs.",
        json_schema_extra=RUNTIME,
    )
    worker_deployment: str = Field(
        "tad-collect-worker/collect-worker",
        pattern=r"^[^/]+/[^/]+$",
        description="Deployment of the child runs, as flow/deployment.",
        json_schema_extra=RUNTIME,
    )
    lease_s: float = Field(
        60.0,
        ge=0.3,
        le=LONGEST_S,
        description="A shard whose worker has not been heard of for this long is given to another.",
        json_schema_extra=RUNTIME,
    )
    shard_timeout_s: float | None = Field(
        None,
        gt=0,
        le=LONGEST_S,
        description="A worker that takes longer for a shard is killed, and the shard tried again; default: never.",
        json_schema_extra=RUNTIME,
    )
    max_prompt_tokens: int | None = Field(
        None,
        ge=1,
        description="Problems with a longer prompt are left out; default: what the model's positions leave beside the "
        "response. The privileged prompt counts.",
        json_schema_extra=runtime_but("for the problems that are then left out"),
    )
    min_kept: int = Field(
        1,
        ge=1,
        description="The run stops if fewer trajectories than this are kept.",
        json_schema_extra=RUNTIME,
    )

    @model_validator(mode="after")
    def _block_divides(self) -> Self:
        if self.response_length % self.block_length:
            fits = [d for d in range(8, min(self.response_length, 4096) + 1) if self.response_length % d == 0]
            near = sorted(sorted(fits, key=lambda d: abs(log(d / self.block_length)))[:8])  # in ratio
            raise ValueError(
                f"block_length: {self.block_length} does not divide response_length "
                f"{self.response_length}; use one of {', '.join(map(str, near)) or self.response_length}"
            )
        return self


class CalibrateConfig(Strict):
    """Windows from the student's confidence curve (paper, section 3.3)."""

    states: int = Field(512, ge=1, description="States sampled over the kept trajectories.")
    seed: int = Field(0, ge=0, description="Seed of that sample.")
    quality_threshold: float = Field(0.5, gt=0, lt=1, description="Confidence where the Quality window ends.")
    speed_threshold: float = Field(0.2, gt=0, lt=1, description="Confidence where the Speed window ends.")
    quality_cap: int = Field(8, ge=1, description="Quality window if the curve never crosses.")
    speed_cap: int = Field(
        20, ge=1, description="Speed window if the curve never crosses; at least the Quality window."
    )
    smoothing: int = Field(3, ge=1, description="Offsets averaged (count-weighted, centred) before reading.")
    quality_window: int | None = Field(None, ge=1, description="Fixed Quality window; default: calibrated.")
    speed_window: int | None = Field(None, ge=1, description="Fixed Speed window; default: calibrated.")
    batch_size: int = Field(32, ge=1, description="States per forward on a GPU.", json_schema_extra=RUNTIME)
