"""Settings of the verifier."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tad_core.settings import LONGEST_S, Strict

ExtractRule = Literal["boxed", "hashes", "the_answer_is", "last_number"]
SandboxChoice = Literal["auto", "tier1", "tier2", "none_i_accept_the_risk"]

#: No machine has more memory; the system counts the bytes of a limit in 64 bits.
MOST_MIB = 2**30

DEFAULT_ORDER: tuple[ExtractRule, ...] = ("boxed", "hashes", "the_answer_is", "last_number")


class VerifyConfig(Strict):
    """How answers are found, compared and run."""

    #: fields that change how fast a verdict comes, never which one: not part of a fingerprint
    RUNTIME_FIELDS: ClassVar[frozenset[str]] = frozenset({"workers", "retries"})

    workers: int = Field(2, ge=1, le=1024, description="Processes that judge at the same time.")
    retries: int = Field(
        3, ge=0, le=1000, description="How often an item is tried again after the verifier itself failed."
    )
    extract: tuple[ExtractRule, ...] = Field(
        DEFAULT_ORDER,
        min_length=1,
        description="Where a math answer is looked for, first match wins.",
    )
    extract_by_source: dict[str, tuple[ExtractRule, ...]] = Field(
        default_factory=dict, description="The same for single data sources, by the source's name."
    )
    math_timeout_s: float = Field(
        5.0, gt=0, le=LONGEST_S, description="CPU seconds for one comparison of two answers."
    )
    math_memory_mb: int = Field(
        2048, ge=512, le=MOST_MIB, description="Address space of a process that compares answers, in MiB."
    )
    code_timeout_s: float = Field(
        10.0,
        gt=0,
        le=LONGEST_S,
        description="CPU seconds for one program, and for its tests. By the clock, what rests has twice that and one "
        "second; what computes may wait for a busy machine.",
    )
    memory_mb: int = Field(
        1024, ge=128, le=MOST_MIB, description="Address space of a program under test, in MiB."
    )
    output_kb: int = Field(
        256, ge=1, le=2**20, description="Printed text kept of one program, in KiB; the rest is dropped."
    )
    own_classes: Literal["allow", "refuse"] = Field(
        "allow",
        description="Whether a pass counts when the program's own classes decided a comparison; "
        "such a pass is labelled in its reason.",
    )
    sandbox: SandboxChoice = Field(
        "auto",
        description="Isolation of untrusted programs. auto: tier 1 (bubblewrap) where its self-test is "
        "clean, else tier 2 (Landlock and seccomp). Never none unless asked for by this name.",
    )

    def order_for(self, source: str) -> tuple[ExtractRule, ...]:
        """The order of extraction rules for a data source."""
        return self.extract_by_source.get(source, self.extract)
