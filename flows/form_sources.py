"""The fields of a data source and of a task of evaluation: where the rows are, their format, which column is what."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.form_rows import in_order, read_pairs
from tad_core.data.sources import SOURCES

#: Fields that are the source's own options rather than those of every source.
_OPTIONS = (
    "path",
    "format",
    "hub",
    "kind",
    "question",
    "reference",
    "answer",
    "tests",
    "heldout_path",
    "heldout_share",
)


class SourceFields(BaseModel):
    """A data source. Fields from question to tests name columns of its rows."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=in_order)

    name: str = Field(min_length=1, description="Shown in every table; unique.")
    source: Literal[tuple(SOURCES)] = Field(  # type: ignore[valid-type]
        description="How rows are read: table takes any with a column mapping, jsonl JSON lines; docs/data.md has all."
    )
    path: str | None = Field(
        None, description="A file, a pattern such as data/*.parquet, or a folder; as workers see it."
    )
    format: Literal[".jsonl", ".json", ".csv", ".tsv", ".parquet"] | None = Field(
        None, description="Of table, where the suffix does not say it."
    )
    hub: str | None = Field(None, description="Of table, instead of a path: a data set of the hub.")
    kind: Literal["math", "code"] | None = Field(
        None, description="math is judged by the answer, code by running the tests. Empty: math."
    )
    question: str | None = Field(None, description="Column of what is asked. Empty: question.")
    reference: str | None = Field(None, description="Column of the worked solution. Empty: answer.")
    answer: str | None = Field(
        None, description="Column of the answer alone. Empty: what the solution ends in."
    )
    tests: str | None = Field(None, description="Column of the tests of a program. Empty: tests.")
    count: int | None = Field(None, ge=1, description="How many problems. Empty: all of a file.")
    split: Literal["train", "heldout"] | None = Field(None, description="Empty: train.")
    heldout_path: str | None = Field(None, description="The files of split heldout.")
    heldout_share: float | None = Field(
        None, gt=0, lt=1, description="Instead: this share of the questions is heldout, the rest train."
    )
    options: list[str] = Field(
        [], description="Anything else of the source, as name=value, e.g. min_steps=2, id=key."
    )

    def as_entry(self) -> dict[str, Any]:
        """As the configuration has it.

        Raises:
            ConfigError: an option that is not of the form name=value.
        """
        filled = {name: value for name, value in self.model_dump().items() if value not in (None, [])}
        more = read_pairs(f"data source {self.name}: options", filled.pop("options", []), "min_steps=2")
        options = {name: filled.pop(name) for name in _OPTIONS if name in filled}
        return {**filled, **({"options": {**options, **more}} if options or more else {})}


class TaskFields(SourceFields):
    """A task of evaluation. Fields from question to tests name columns of its rows."""

    name: str = Field(
        min_length=1, description="Shown in every table; unique; of a benchmark, its name in lm-eval."
    )
    source: Literal[(*SOURCES, "benchmark")] = Field(  # type: ignore[valid-type]
        description="As in data; benchmark: gsm8k, math, humaneval and mbpp as the paper sets them."
    )
