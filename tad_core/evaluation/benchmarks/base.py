"""What every benchmark has: a definition that lm-eval reads too, problems from rows, and figures of answers."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jinja2
import yaml

from tad_core.data.problem import Kind, Problem
from tad_core.data.prompts import Message
from tad_core.evaluation.scoring import Scorer

#: One row of a data set, under the data set's own column names.
Row = dict[str, Any]
#: lm-eval's figures for one answer, by lm-eval's names (``"exact_match,strict-match"``).
Figures = dict[str, float]

_FOLDER = Path(__file__).parent
_TEMPLATES = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)


class RowError(Exception):
    """A row that cannot become a problem; the text is the reason under which it is counted."""


class FunctionName(str):
    """The dotted name of a function in a YAML, which only lm-eval needs."""


class _Loader(yaml.SafeLoader):
    """Reads a task of lm-eval without importing the functions it names."""


_Loader.add_constructor("!function", lambda loader, node: FunctionName(node.value))


def _read(path: Path) -> dict[str, Any]:
    tree = dict(yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader))
    included = tree.pop("include", None)
    return tree if included is None else {**_read(path.parent / included), **tree}


class Benchmark(abc.ABC):
    """A benchmark: how its rows become problems and prompts, and what is judged of an answer.

    The YAML beside this file, named as the benchmark, is a complete task of lm-eval. Both engines take the prompt,
    the examples and the marks that end an answer from it; lm-eval by its own code, the direct engine by ``messages``.
    """

    kind: ClassVar[Kind]
    #: columns of a row that lm-eval's task reads -> their type (``str``, ``int``, ``list``)
    columns: ClassVar[Mapping[str, type]]
    #: figures of lm-eval, best known first
    figure_names: tuple[str, ...]

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def path(self) -> Path:
        """The YAML."""
        return _FOLDER / f"{self.name}.yaml"

    @cached_property
    def config(self) -> dict[str, Any]:
        """The YAML as a plain tree with what it includes, as lm-eval reads it; functions as their names."""
        return _read(self.path)

    @property
    def default_shots(self) -> int:
        """Examples in the prompt as the paper sets them."""
        return int(self.config["num_fewshot"])

    @cached_property
    def examples(self) -> list[Row]:
        """Worked examples for the prompt."""
        return list(self.config.get("fewshot_config", {}).get("samples", []))

    @property
    def until(self) -> list[str]:
        """Marks before which an answer ends."""
        return list(self.config["generation_kwargs"]["until"])

    def messages(self, row: Row, shots: int) -> list[Message]:
        """One user turn with the examples and the question; then the beginning of the answer, if it is given."""
        prefix = self._render("gen_prefix", row)
        told = "".join(self._told[:shots])
        turns = [{"role": "user", "content": told + self._render("doc_to_text", row)}]
        return [*turns, {"role": "assistant", "content": prefix}] if prefix else turns

    @cached_property
    def _told(self) -> list[str]:
        """The examples with their answers, as the prompt shows them."""
        return [self._example(example) for example in self.examples]

    def _example(self, example: Row) -> str:
        question, prefix = self._render("doc_to_text", example), self._render("gen_prefix", example)
        between = prefix or self.config.get("target_delimiter", " ")
        return question + between + self._render("doc_to_target", example) + "\n\n"

    @cached_property
    def _templates(self) -> dict[str, jinja2.Template]:
        fields = ("doc_to_text", "doc_to_target", "gen_prefix")
        return {field: _TEMPLATES.from_string(self.config.get(field, "")) for field in fields}

    def _render(self, field: str, row: Row) -> str:
        return self._templates[field].render(**row)

    def problem(self, source: str, number: str, row: Row, shots: int) -> Problem:
        """The problem of a row.

        Args:
            source: name of the task in the configuration; the id begins with it.
            number: what tells the row from others of its file or split.
            row: as ``clean`` gives it.
            shots: examples in the prompt.

        Raises:
            RowError: when the row lacks what is needed.
        """
        fields = self.fields(row)
        meta = {
            "benchmark": self.name,
            "messages": self.messages(row, shots),
            "shots": shots,
            "row": row,
            "subset": self.subset(row),
            **fields.pop("meta", {}),
        }
        return Problem(
            id=f"{source}/{self.row_id(row, number)}", source=source, kind=self.kind, meta=meta, **fields
        )

    def clean(self, raw: Mapping[str, Any]) -> Row:
        """The columns that are needed, checked.

        Raises:
            RowError: a column is missing or of another type.
        """
        row: Row = {}
        for column, kind in self.columns.items():
            if not isinstance(raw.get(column), kind):
                raise RowError(f"column {column!r} is missing or no {kind.__name__}")
            row[column] = raw[column]
        return row

    def row_id(self, row: Row, number: str) -> str:
        """What tells a row from all others."""
        return number

    def wanted(self, row: Row, rows: str) -> bool:
        """Whether a row belongs to the part of the data set that ``options.rows`` names."""
        return True

    def subset(self, row: Row) -> str:
        """The part of the benchmark a row counts to; empty where there are none."""
        return ""

    @abc.abstractmethod
    def fields(self, row: Row) -> dict[str, Any]:
        """``question``, ``reference`` and ``answer`` or ``tests`` of the problem, and more ``meta``.

        Raises:
            RowError: when the row lacks what is needed.
        """

    def judged(self, problem: Problem, text: str) -> str:
        """What the verifier is given of an answer."""
        return text

    @abc.abstractmethod
    def figures(self, problems: Sequence[Problem], texts: Sequence[str], scorer: Scorer) -> list[Figures]:
        """lm-eval's own figures of answers, counted directly.

        Args:
            problems: one for each text.
            texts: the answers, cut at ``until``.
            scorer: the sandbox for programs.
        """


def benchmark_of(problem: Problem) -> str | None:
    """The benchmark a problem is from; None for any other source."""
    name = problem.meta.get("benchmark")
    return name if isinstance(name, str) else None
