"""HumanEval+ and MBPP+ (EvalPlus, Liu et al. 2023): the same functions under many more tests.

The prompts are those of the benchmark without the plus. The published tests need numpy for two comparisons of numbers
and nothing else, and the sandbox has none: a few lines that compare as numpy does are put in its place. So every
variant of EvalPlus's own ``assertion`` runs as it was published.

Rows of EvalPlus's own releases become such rows first (``evalplus_release``).

Source: the columns of the hub's ``evalplus/humanevalplus`` and ``evalplus/mbppplus``; numpy's documentation of
``allclose`` and ``testing.assert_allclose``.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping
from typing import Any, ClassVar

from tad_core.data.problem import Problem
from tad_core.evaluation.benchmarks.base import Benchmark, Row, RowError
from tad_core.evaluation.benchmarks.evalplus_release import head_of_tests, humaneval_row, is_release, mbpp_row
from tad_core.evaluation.benchmarks.humaneval import HumanEval, HumanEvalInstruct
from tad_core.evaluation.benchmarks.mbpp import MBPP, SHOWN_TESTS, MBPPInstruct
from tad_core.evaluation.benchmarks.programs import asked_in
from tad_core.trees import tree_of

#: In the place of ``import numpy as np``. Stricter in one thing: what is too short or too long is not close.
_NUMPY = '''\
class np:
    class ndarray:
        """Nothing here is one."""

    float32 = float64 = float

    @staticmethod
    def allclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
        lists = [isinstance(x, (list, tuple)) for x in (a, b)]
        if all(lists):
            return len(a) == len(b) and all(np.allclose(x, y, rtol, atol, equal_nan) for x, y in zip(a, b))
        if any(lists):
            one, many = (b, a) if lists[0] else (a, b)
            pairs = [(x, one) if lists[0] else (one, x) for x in many]
            return all(np.allclose(x, y, rtol, atol, equal_nan) for x, y in pairs)
        if a != a or b != b:
            return equal_nan and a != a and b != b
        return a == b or (abs(b) != float("inf") and abs(a - b) <= atol + rtol * abs(b))

    class testing:
        @staticmethod
        def assert_allclose(actual, desired, rtol=1e-07, atol=0, equal_nan=True):
            assert np.allclose(actual, desired, rtol, atol, equal_nan)

'''
_IMPORT = re.compile(r"^import numpy as np[ \t]*$", re.MULTILINE)


def without_numpy(tests: str) -> str:
    """EvalPlus's tests, with what they need of numpy in place of the import."""
    return _IMPORT.sub(lambda _: _NUMPY, tests)


class _HumanEvalRows(HumanEval):
    """Rows of the hub's data set, or of a release."""

    def clean(self, raw: Mapping[str, Any]) -> Row:
        """See ``Benchmark.clean``."""
        return super().clean(humaneval_row(raw) if is_release(raw) else raw)

    def fields(self, row: Row) -> dict[str, Any]:
        """See ``Benchmark.fields``."""
        return {**super().fields(row), "tests": without_numpy(row["test"])}


class HumanEvalPlus(_HumanEvalRows):
    """As HumanEval's, for LLaDA."""


class HumanEvalPlusInstruct(_HumanEvalRows, HumanEvalInstruct):
    """As HumanEval's, for Dream."""


class MBPPPlus(MBPP):
    """As MBPP's, for LLaDA: the prompt shows three of MBPP's tests, EvalPlus's are those that are run."""

    columns: ClassVar = {
        "task_id": int,
        "prompt": str,
        "code": str,
        "test_imports": list,
        "test_list": list,
        "test": str,
    }

    def clean(self, raw: Mapping[str, Any]) -> Row:
        """See ``Benchmark.clean``."""
        row = Benchmark.clean(self, mbpp_row(raw) if is_release(raw) else raw)
        if len(row["test_list"]) < SHOWN_TESTS or not all(isinstance(t, str) for t in row["test_list"]):
            raise RowError(f"column 'test_list' does not hold at least {SHOWN_TESTS} texts")
        return row

    def wanted(self, row: Row, rows: str) -> bool:
        """See ``Benchmark.wanted``; EvalPlus has chosen the rows."""
        return True

    def fields(self, row: Row) -> dict[str, Any]:
        """See ``Benchmark.fields``."""
        if not row["prompt"].strip():
            raise RowError("the prompt is empty")
        tests, entry_point = _as_check(row["test"])
        return {
            "question": row["prompt"],
            "reference": row["code"],
            "tests": without_numpy(tests),
            "meta": {"entry_point": entry_point},
        }

    def asked_for(self, problem: Problem) -> set[str]:
        """See ``MBPP.asked_for``; what EvalPlus's tests call besides are functions of their own."""
        return {problem.meta["entry_point"]} | asked_in("\n".join(problem.meta["row"]["test_list"]))


class MBPPPlusInstruct(MBPPPlus, MBPPInstruct):
    """As MBPP's, for Dream."""


def _as_check(tests: str) -> tuple[str, str]:
    """MBPP+'s tests as a function that is given the one under test, and that one's name.

    They are helpers, lists of inputs and results, and at their end a loop at the top of the module, whose first
    call of something with an input is that of the function.

    Raises:
        RowError: they are not.
    """
    try:
        tree = tree_of(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise RowError("the tests are not Python") from None
    loop = tree.body[-1] if tree.body else None
    calls = (
        [node for node in ast.walk(loop) if isinstance(node, ast.Call)] if isinstance(loop, ast.For) else []
    )
    starred = [c for c in calls if any(isinstance(a, ast.Starred) for a in c.args)]
    names = [c.func.id for c in starred if isinstance(c.func, ast.Name)]
    if loop is None or not names:
        raise RowError("the tests do not end with a loop over inputs")
    lines = tests.split("\n")
    body = textwrap.indent("\n".join(lines[loop.lineno - 1 :]), "    ")
    return "\n".join([*lines[: loop.lineno - 1], head_of_tests(names[0]), body]), names[0]
