"""What every section of the configuration is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
    model_validator,
)  # fmt: skip
from pydantic_core import PydanticCustomError

CONFIG_NAME = "config.yaml"
"""The resolved configuration of the run that made an artifact, written into it; no part of its content."""

RUNTIME: dict[str, JsonValue] = {"runtime": True}
"""``json_schema_extra`` of fields that change how fast a result comes, never the result."""

REPORT: dict[str, JsonValue] = {"report": True}
"""``json_schema_extra`` of fields of evaluation that the report alone reads: a change decodes nothing again."""

MOST_SEED = 2**32 - 1
"""The largest seed of a training: its trainer seeds NumPy's old generator, which takes 32 bits. torch's generator on a
CPU looks at no others."""

LONGEST_S = 1e7
"""The longest time that a setting can ask to be waited for, some 115 days: clocks of threads end not much later."""

Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
"""Seed of a training. Others are parts of a hash and may be as large as they like."""


def runtime_but(when: str) -> dict[str, JsonValue]:
    """``RUNTIME`` but for what the stage's key adds itself: ``when`` says in which case the field decides a result."""
    return {**RUNTIME, "keyed": when}


def runtime_though(note: str) -> dict[str, JsonValue]:
    """``RUNTIME`` of a field that no key can have though it does more than change the speed: ``note`` says what."""
    return {**RUNTIME, "note": note}


ADDED: dict[str, JsonValue] = {"added": True}
"""``json_schema_extra`` of fields added later, whose default is what was done before: at the default they do not enter
a fingerprint, so that artifacts made before the field existed stay good."""


def added_at(stage: str) -> dict[str, JsonValue]:
    """``ADDED`` of a field that changes no stage before this one, whatever its section says."""
    return {**ADDED, "stage": stage}


class Strict(BaseModel):
    """Base of every section: unknown keys, numbers without end and true or false for a number are refused, instances
    are immutable.

    Attributes:
        GONE: names of former fields that never changed a result. They are read over, so that configurations written
            before stay good, those inside artifacts and behind saved deployments too.
    """

    # A fingerprint's JSON has no place for what is infinite or no number: it would end a run where it is first hashed.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    GONE: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _without_gone(cls, given: Any) -> Any:
        if cls.GONE and isinstance(given, dict):
            return {name: value for name, value in given.items() if name not in cls.GONE}
        return given

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, given: Any, info: ValidationInfo) -> Any:
        values = given if isinstance(given, list) else [given]
        if any(isinstance(value, bool) for value in values):
            kinds = set(_kinds(cls.model_fields[str(info.field_name)].annotation))
            if kinds & {int, float} and bool not in kinds:
                # Python counts with true as with 1.
                raise PydanticCustomError("truth", "Input should be a number, not true or false")
        return given

    def identity(self) -> dict[str, Any]:
        """The fields that change a result, as plain JSON types: what a fingerprint is made of."""
        out: dict[str, Any] = {}
        runtime: frozenset[str] = getattr(type(self), "RUNTIME_FIELDS", frozenset())
        for name, info in type(self).model_fields.items():
            extra = info.json_schema_extra
            if name in runtime or (isinstance(extra, dict) and extra.get("runtime")):
                continue
            value = getattr(self, name)
            if (
                isinstance(extra, dict)
                and extra.get("added")
                and value == info.get_default(call_default_factory=True)
            ):
                continue
            out[name] = _plain(value)
        return out


def marked(section: type[Strict], mark: str) -> frozenset[str]:
    """The fields of a section that carry a mark."""
    return frozenset(
        name
        for name, info in section.model_fields.items()
        if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get(mark)
    )


def _kinds(annotation: Any) -> Iterator[type]:
    """The types that an annotation is made of, those of a list's items among them."""
    if isinstance(annotation, type):
        yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)


def _plain(value: Any) -> Any:
    if isinstance(value, Strict):
        return value.identity()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value
