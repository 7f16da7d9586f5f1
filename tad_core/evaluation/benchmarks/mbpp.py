"""MBPP (Austin et al. 2021): small functions from one sentence and three asserts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from tad_core.data.problem import Problem
from tad_core.evaluation.benchmarks.base import Row, RowError
from tad_core.evaluation.benchmarks.code import CodeBenchmark
from tad_core.evaluation.benchmarks.programs import asked_in, defines_any, program_in, sanitize

#: task ids of the test split
TEST_IDS = range(11, 511)
#: The prompt shows this many tests.
SHOWN_TESTS = 3


class MBPP(CodeBenchmark):
    """The answer is code that ends with ``[DONE]``, or a chat's with a fence."""

    columns: ClassVar = {"task_id": int, "text": str, "code": str, "test_list": list, "test_setup_code": str}
    figure_names = ("pass@1,sanitized", "pass@1,none")

    def clean(self, raw: Mapping[str, Any]) -> Row:
        """See ``Benchmark.clean``; the sanitized release calls the text a prompt and lists imports of the tests."""
        imports = raw.get("test_imports")
        setup = "\n".join(map(str, imports)) if isinstance(imports, list) else ""
        row = super().clean({"text": raw.get("prompt"), "test_setup_code": setup, **raw})
        tests = row["test_list"]
        if len(tests) < SHOWN_TESTS or not all(isinstance(test, str) for test in tests):
            raise RowError(f"column 'test_list' does not hold at least {SHOWN_TESTS} texts")
        return row

    def row_id(self, row: Row, number: str) -> str:
        """See ``Benchmark.row_id``."""
        return str(row["task_id"])

    def wanted(self, row: Row, rows: str) -> bool:
        """See ``Benchmark.wanted``."""
        return rows == "all" or row["task_id"] in TEST_IDS

    def fields(self, row: Row) -> dict[str, Any]:
        """See ``Benchmark.fields``."""
        if not row["text"].strip():
            raise RowError("the text is empty")
        tests = "\n".join([*filter(None, [row["test_setup_code"]]), *row["test_list"]]) + "\n"
        return {"question": row["text"], "reference": row["code"], "tests": tests}

    def asked_for(self, problem: Problem) -> set[str]:
        """Names that an answer may define."""
        return asked_in(problem.tests)

    def program(self, problem: Problem, text: str) -> str:
        """See ``CodeBenchmark.program``."""
        return program_in(text, self.asked_for(problem))

    def lm_eval_program(self, problem: Problem, text: str) -> str:
        """See ``CodeBenchmark.lm_eval_program``."""
        return text


class MBPPInstruct(MBPP):
    """The answer goes on inside a fence that was opened for it."""

    figure_names = ("pass@1,sanitized", "pass@1,extract_code")

    def program(self, problem: Problem, text: str) -> str:
        """See ``CodeBenchmark.program``; an answer that does not go on with code is taken as any chat's."""
        wanted = self.asked_for(problem)
        begun = sanitize(text.partition("```")[0], wanted)
        return begun if defines_any(begun, wanted) else super().program(problem, text)

    def lm_eval_program(self, problem: Problem, text: str) -> str:
        """See ``CodeBenchmark.lm_eval_program``.

        lm-eval puts the fence before the answer again and drops the word that follows it as the name of a language:
        of an answer that begins with ``def`` or ``import`` it so loses that word.
        """
        blocks = re.findall(r"```(?:\w+)?\n?(.*?)\n?```", "```" + text, re.DOTALL)
        if not blocks:
            blocks = re.findall(r"```(?:\w+)?\n?(.*?)\n?```", text.replace("```python", "```"), re.DOTALL)
        return str(blocks[0]) if blocks else ""
