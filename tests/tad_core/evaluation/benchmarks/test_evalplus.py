"""EvalPlus's rows: more tests catch more, numbers are compared as numpy does, other rows are refused."""

import numpy as np
import pytest

from tad_core.data.problem import Problem
from tad_core.errors import DataError
from tad_core.evaluation.benchmarks import BENCHMARKS, evalplus
from tad_core.evaluation.scoring import Scorer
from tests.tad_core.evaluation.benchmarks.conftest import HUMANEVAL_PLUS, MBPP_PLUS, load, write_rows

PLUS = [name for name in BENCHMARKS if "_plus" in name]


def judged(name: str, problem: Problem, text: str, verifier) -> bool:
    benchmark = BENCHMARKS[name]
    (found,) = Scorer(verifier).judge([problem], [benchmark.judged(problem, text)])
    return found.correct


@pytest.mark.parametrize(
    ("task", "program"),
    [
        ("humaneval", "def twice(xs):\n    return [2 * x for x in xs] if len(xs) < 40 else []"),
        ("mbpp", "def add(a, b):\n    return int(a + b) if b < 1e9 else 0"),
    ],
)
def test_what_passes_the_few_tests_fails_the_many(task, program, small_problems, verifier):
    text = f"```python\n{program}\n```"
    assert judged(task, small_problems[task][0], text, verifier)
    plus = f"{task}_plus"
    assert not judged(plus, small_problems[plus][0], text, verifier)


@pytest.mark.parametrize(
    ("value", "passes"), [("0.1 + 0.2", True), ("0.300001", True), ("0.30001", False), ("'0.3'", False)]
)
def test_numbers_are_right_to_a_millionth(value, passes, small_problems, verifier):
    program = f"def add(a, b):\n    return {value} if a == 0.1 else a + b"
    text = f"```python\n{program}\n```"
    assert judged("mbpp_plus", small_problems["mbpp_plus"][0], text, verifier) is passes


@pytest.mark.parametrize(
    ("program", "right"),
    [
        ("def check(n):\n    return n == 2 * int(str(n)[::-1]) - 1", True),
        ("def check(n):\n    return n == 73", False),
        (
            "def reverse(n):\n    return int(str(n)[::-1])\ndef check(n):\n    return n == 2 * reverse(n) - 1",
            True,
        ),
        ("def other(n):\n    return n == 2 * int(str(n)[::-1]) - 1", False),
    ],
)
def test_a_function_that_is_called_check_is_tested_as_any_other(program, right, tmp_path, verifier):
    """Mbpp/56."""
    calls = "\nassert check(%s) == %s"
    tests = MBPP_PLUS[0]["test"].partition("inputs = ")[0]
    row = {
        **MBPP_PLUS[0],
        "task_id": 56,
        "code": "def check(n):    \n    return n == 2 * int(str(n)[::-1]) - 1",
        "test_list": [calls.strip() % one for one in ((70, False), (23, False), (73, True))],
        "test": tests + "inputs = [[70], [23], [73], [1]]\nresults = [False, False, True, True]\n"
        "for i, (inp, exp) in enumerate(zip(inputs, results)):\n    assertion(check(*inp), exp, 0)\n",
    }  # fmt: skip
    (problem,) = load("mbpp_plus", write_rows(tmp_path / "rows.jsonl", [row]))
    assert judged("mbpp_plus", problem, f"```python\n{program}\n```", verifier) is right


def comparisons():
    scope = {}
    exec(evalplus._NUMPY, scope)
    return scope["np"]


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("equal_nan", [False, True])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1.0, 1.0 + 9e-7), (1.0, 1.0 + 2e-6), (0, 0.0), (True, 1.0), (NAN, NAN), (INF, INF), (INF, -INF), (1.0, INF),
        (INF, 1.0), (1e20, 1e20 + 1e12), (1e20, 1.1e20), ([1.0, 2.0], [1.0, 2.0]), ((1.0,), [1.0000001]), ([], []),
        ([1.0, NAN], [1.0, NAN]), (1.0, [1.0, 1.0]), ([1.0, 2.0], 1.0), ([[1.0], [2.0]], [[1.0], [2.0]]),
        (1 + 1j, 1 + 1j),
    ],
)  # fmt: skip
def test_it_compares_as_numpy_does(a, b, equal_nan):
    ours = comparisons()
    for rtol in (1e-7, 1e-5):
        wanted = np.allclose(a, b, rtol=rtol, atol=1e-6, equal_nan=equal_nan)
        assert ours.allclose(a, b, rtol=rtol, atol=1e-6, equal_nan=equal_nan) == wanted
    for compare in (ours.testing.assert_allclose, np.testing.assert_allclose):
        try:
            compare(a, b, rtol=1e-7, atol=1e-6)
            wanted = "held"
        except AssertionError:
            wanted = "failed"
        if compare is ours.testing.assert_allclose:
            found = wanted
    assert found == wanted


def test_what_is_too_short_is_not_close():
    """numpy would stretch one number over two, and an empty list over anything of length one."""
    ours = comparisons()
    assert np.allclose([1.0], [1.0, 1.0]) and not ours.allclose([1.0], [1.0, 1.0])
    assert np.allclose([], [1.0]) and not ours.allclose([], [1.0])


def test_every_row_is_of_the_benchmark(small_problems):
    assert [p.id for p in small_problems["mbpp_plus"]] == ["mbpp_plus/11", "mbpp_plus/600"]


@pytest.mark.parametrize(
    ("task", "rows", "changes", "reason"),
    [
        ("humaneval_plus", HUMANEVAL_PLUS, {"test": None}, "column 'test' is missing or no str"),
        ("mbpp_plus", MBPP_PLUS, {"test": None}, "column 'test' is missing or no str"),
        ("mbpp_plus", MBPP_PLUS, {"test": "inputs = [("}, "the tests are not Python"),
        ("mbpp_plus", MBPP_PLUS, {"test": "assert add(1, 2) == 3"}, "the tests do not end with a loop over inputs"),
        ("mbpp_plus", MBPP_PLUS, {"test": ""}, "the tests do not end with a loop over inputs"),
        ("mbpp_plus_instruct", MBPP_PLUS, {"test_list": ["assert add(1, 2) == 3"]}, "at least 3 texts"),
        ("mbpp_plus", MBPP_PLUS, {"prompt": " "}, "the prompt is empty"),
    ],
)  # fmt: skip
def test_other_rows_are_refused(task, rows, changes, reason, tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", [{**rows[0], **changes}, rows[1]])
    with pytest.raises(DataError, match=reason):
        load(task, path)


@pytest.mark.parametrize("task", PLUS)
def test_the_hubs_data_sets(task):
    config = BENCHMARKS[task].config
    name = "humanevalplus" if task.startswith("humaneval") else "mbppplus"
    assert (config["dataset_path"], config.get("dataset_name"), config["test_split"]) == (
        f"evalplus/{name}", None, "test",
    )  # fmt: skip
