"""HumanEval (Chen et al. 2021): functions from their signature and docstring."""

from __future__ import annotations

from typing import Any, ClassVar

from tad_core.data.problem import Problem
from tad_core.evaluation.benchmarks.base import Row, RowError
from tad_core.evaluation.benchmarks.code import CodeBenchmark
from tad_core.evaluation.benchmarks.programs import block_of, defines_any, program_in, under_head
from tad_core.verify.code import helpers_of
from tad_core.verify.definitions import is_stub


class HumanEval(CodeBenchmark):
    """The answer is a chat's: code in a fence, the whole function or its body alone."""

    columns: ClassVar = {
        "task_id": str,
        "prompt": str,
        "entry_point": str,
        "test": str,
        "canonical_solution": str,
    }
    figure_names = ("pass@1,sanitized", "pass@1,create_test")

    def row_id(self, row: Row, number: str) -> str:
        """See ``Benchmark.row_id``."""
        return str(row["task_id"])

    def fields(self, row: Row) -> dict[str, Any]:
        """See ``Benchmark.fields``."""
        if not row["entry_point"].isidentifier():
            raise RowError("the entry point is not a name")
        if "def check" not in row["test"]:
            raise RowError("the tests have no check function")
        prelude = helpers_of(row["prompt"], row["entry_point"])
        return {
            "question": row["prompt"],
            "reference": row["canonical_solution"],
            "tests": row["test"],
            "meta": {"entry_point": row["entry_point"], "prelude": prelude},
        }

    def program(self, problem: Problem, text: str) -> str:
        """See ``CodeBenchmark.program``; a body alone goes under the head it was asked for."""
        name = problem.meta["entry_point"]
        whole = program_in(text, {name})
        if defines_any(whole, {name}):
            return whole
        begun = text.partition("```")[0].lstrip("\n")
        if begun[:1].isspace():  # a body, whatever other code comes behind it
            under_head = self._under_head(problem, begun)
            if not is_stub(under_head, name):
                return under_head
        return self._under_head(problem, block_of(text))

    def _under_head(self, problem: Problem, body: str) -> str:
        return under_head(problem.question, body, problem.meta["entry_point"])

    def lm_eval_program(self, problem: Problem, text: str) -> str:
        """See ``CodeBenchmark.lm_eval_program``."""
        return problem.question + text


class HumanEvalInstruct(HumanEval):
    """The answer goes on after the head of the function, inside a fence that was opened for it."""

    def program(self, problem: Problem, text: str) -> str:
        """See ``CodeBenchmark.program``; an answer that adds nothing to the head is taken as any chat's."""
        under_head = self._under_head(problem, text.partition("```")[0])
        return under_head if under_head != self._under_head(problem, "") else super().program(problem, text)

    def lm_eval_program(self, problem: Problem, text: str) -> str:
        """See ``CodeBenchmark.lm_eval_program``."""
        return problem.question + text.partition("```")[0]
