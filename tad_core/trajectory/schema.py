"""The trajectory record and its Arrow schema.

A trajectory is stored as its final tokens and the step at which each was revealed; every one of its L + 1
intermediate states follows from those (see ``states.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

SCHEMA_VERSION = 1
PRIVILEGED = "privileged"
"""The ``condition`` of a rollout that had the reference in its prompt; only such ones are trained on."""

TRAJECTORY_SCHEMA = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("sample", pa.int32(), nullable=False),
        pa.field("condition", pa.string(), nullable=False),
        pa.field("student_prompt_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("teacher_prompt_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("response_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("revealed_at", pa.list_(pa.int16()), nullable=False),
        pa.field("confidence", pa.list_(pa.float32()), nullable=False),
        pa.field("filled_from", pa.int16(), nullable=False),
        pa.field("mode", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ],
    metadata={"tad.schema": f"trajectory/{SCHEMA_VERSION}"},
)

VERDICT_SCHEMA = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("sample", pa.int32(), nullable=False),
        pa.field("condition", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("extracted", pa.string(), nullable=False),
    ],
    metadata={"tad.schema": f"verdict/{SCHEMA_VERSION}"},
)


@dataclass(frozen=True)
class Trajectory:
    """One decoded sample.

    Attributes:
        student_prompt_ids: tokens of the plain prompt; the student never sees anything else.
        teacher_prompt_ids: tokens of the prompt the rollout used (privileged, or equal to the student's).
        response_ids: the L final tokens.
        revealed_at: for each position the step, 1 to L, at which it was revealed; a permutation.
        confidence: the teacher's probability of the token when it was revealed; NaN-free, 0 where filled in.
        filled_from: first step that was filled in rather than computed; L + 1 if none.
        mode: how it was decoded, e.g. ``"exact"``.
        text: the response up to the first token that ends its turn or text, without special tokens.
    """

    problem_id: str
    source: str
    kind: str
    sample: int
    condition: str
    student_prompt_ids: list[int]
    teacher_prompt_ids: list[int]
    response_ids: list[int]
    revealed_at: list[int]
    confidence: list[float]
    filled_from: int
    mode: str
    text: str

    def as_row(self) -> dict[str, Any]:
        """The record as one row of ``TRAJECTORY_SCHEMA``."""
        return dict(self.__dict__)
