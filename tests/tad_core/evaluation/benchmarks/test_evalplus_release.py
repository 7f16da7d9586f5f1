"""Rows of EvalPlus's releases: tests made of inputs and a solution, which the sandbox computes and nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tad_core.data.problem import Problem
from tad_core.errors import DataError
from tad_core.evaluation.benchmarks import BENCHMARKS, evalplus_release
from tad_core.evaluation.benchmarks.base import RowError
from tad_core.evaluation.benchmarks.evalplus_types import EVERY, PLACES, typed
from tad_core.evaluation.scoring import Scorer
from tad_core.verify import Verifier
from tad_core.verify.verifier import copies_in
from tests.tad_core.evaluation.benchmarks.conftest import HUMANEVAL, load, write_rows

TWICE: dict[str, Any] = {
    **{name: HUMANEVAL[0][name] for name in ("prompt", "entry_point", "canonical_solution")},
    "task_id": "HumanEval/900",
    "contract": '\n    assert all(abs(x) < 10 ** 9 for x in xs), "invalid inputs" # $_CONTRACT_$\n',
    "base_input": [[[1, 2]], [[]]],
    "plus_input": [[[0.1, float("inf")]], [[-3] * 40]],
    "atol": 0,
}
#: one that needs tuples, and whose answer is right in any order
SHARED: dict[str, Any] = {
    "task_id": "Mbpp/2",
    "prompt": '"""\nWrite a function to find the shared elements\nof two tuples.\n'
    'assert set(similar_elements((3, 4), (4, 7))) == {4}\n"""\n',
    "entry_point": "similar_elements",
    "canonical_solution": "\ndef unique(xs):\n  return dict.fromkeys(xs)\n\ndef similar_elements(a, b):\n"
    "  return tuple(x for x in unique(a + ()) if x in b)\n",
    "assertion": "\nassert set(similar_elements((3, 4), (4, 7))) == {4}\nassert similar_elements((), (1,)) == ()\n"
    "assert similar_elements((1, 2, 3), (3, 1)) == (1, 3)\n",
    "base_input": [[[3, 4], [4, 7]], [[], [1]], [[1, 2, 3], [3, 1]]],
    "contract": '\n  assert isinstance(a, tuple), "invalid inputs" # $_CONTRACT_$\n',
    "atol": 0,
    "plus_input": [[[5, 6, 7, 7], [7, 5]], [[True, "x"], ["x"]]],
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "evalplus"


def problem_of(task: str, row: dict[str, Any], folder: Path) -> Problem:
    (found,) = load(task, write_rows(folder / "release.jsonl", [row]))
    return found


def passes(problem: Problem, program: str, verifier: Verifier) -> bool:
    benchmark = BENCHMARKS[problem.meta["benchmark"]]
    (found,) = Scorer(verifier).judge([problem], [benchmark.judged(problem, f"```python\n{program}\n```")])
    return found.correct


@pytest.mark.parametrize(
    ("body", "right"),
    [
        ("[2 * x for x in xs]", True),
        ("[x + x * (1 + 1e-9) for x in xs]", False),
        ("[2 * x for x in xs] if len(xs) < 40 else []", False),
        ("tuple(2 * x for x in xs)", False),
    ],
)
def test_humaneval_is_judged_by_its_solution(
    body: str, right: bool, tmp_path: Path, verifier: Verifier
) -> None:
    row = {**TWICE, "contract": "", "plus_input": [[[3, 4]], [[-3] * 40]]}
    problem = problem_of("humaneval_plus", row, tmp_path)
    assert problem.id == "humaneval_plus/HumanEval/900" and problem.question == TWICE["prompt"]
    assert passes(problem, f"def twice(xs):\n    return {body}", verifier) is right


@pytest.mark.parametrize(("off", "atol", "right"), [(9e-7, 0, True), (1e-5, 0, False), (1e-5, 1e-3, True)])
def test_numbers_are_right_to_atol_or_a_millionth(
    off: float, atol: float, right: bool, tmp_path: Path, verifier: Verifier
) -> None:
    row = {**TWICE, "contract": "", "plus_input": [[[0.5, 0.25]]], "base_input": [], "atol": atol}
    problem = problem_of("humaneval_plus_instruct", row, tmp_path)
    assert passes(problem, f"def twice(xs):\n    return [2 * x + {off} for x in xs]", verifier) is right


@pytest.mark.parametrize(
    ("body", "right"),
    [
        ("tuple(set(a) & set(b))", True),
        ("[x for x in b if x in a][::-1]", True),
        ("tuple(a)", False),
        # what takes a list for a tuple would pass if inputs were as JSON has them
        ("tuple(set(a) & set(b)) if isinstance(a, tuple) else ()", True),
        ("tuple(set(a) & set(b)) if isinstance(a, list) else ()", False),
    ],
)
def test_mbpp_is_given_the_types_that_its_task_has(
    body: str, right: bool, tmp_path: Path, verifier: Verifier
) -> None:
    problem = problem_of("mbpp_plus", SHARED, tmp_path)
    assert (problem.id, problem.question) == (
        "mbpp_plus/2",
        "Write a function to find the shared elements of two tuples.",
    )
    assert len(problem.meta["row"]["test_list"]) == 3
    assert passes(problem, f"def similar_elements(a, b):\n    return {body}", verifier) is right


def test_the_program_judges_itself_in_no_way(tmp_path: Path, verifier: Verifier) -> None:
    """Neither by a function of the solution's name nor by one that the tests use."""
    problem = problem_of("mbpp_plus", SHARED, tmp_path)
    assert copies_in(problem.tests, problem.reference) == ()
    wrong = "def similar_elements(a, b):\n    return ()\n"
    for more in (
        "unique = dict",
        "def _expected(*a): return ()",
        "def _compare(*a): pass",
        "_solution = None",
    ):
        assert not passes(problem, f"{more}\n{wrong}", verifier)


def test_a_row_is_checked_once_and_the_same_ever_after(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {**SHARED, "plus_input": [[["a", "b"], ["b"]]]}
    benchmark = BENCHMARKS["mbpp_plus"]
    clean = benchmark.clean(row)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(evalplus_release, "run_tests", lambda *_: pytest.fail("ran again"))
    assert benchmark.clean(row) == clean and benchmark.clean(clean) == clean
    with pytest.raises(pytest.fail.Exception, match="ran again"):
        benchmark.clean({**row, "base_input": [[[1], [1]]]})


@pytest.mark.parametrize(
    ("task", "row", "changes", "reason"),
    [
        ("humaneval_plus", TWICE, {}, "does not pass its own inputs: failed, .*invalid inputs"),
        ("humaneval_plus", TWICE, {"canonical_solution": "    return [2 * x for y in xs]\n", "contract": ""},
         "does not pass its own inputs: failed, .*NameError"),
        ("humaneval_plus", TWICE, {"canonical_solution": "    return ["}, "its solution or contract is not Python"),
        ("humaneval_plus", TWICE, {"contract": "\n  assert ("}, "its solution or contract is not Python"),
        ("humaneval_plus", TWICE, {"entry_point": "thrice"}, "its solution does not define 'thrice'"),
        ("humaneval_plus", TWICE, {"entry_point": "a b"}, "the entry point is not a name"),
        ("humaneval_plus", TWICE, {"atol": None}, "releases, whose column 'atol' is missing or no number"),
        ("humaneval_plus", TWICE, {"plus_input": None}, "releases, whose column 'plus_input' is missing or no list"),
        ("humaneval_plus", TWICE, {"base_input": [], "plus_input": [3]}, "hold no lists of arguments"),
        ("mbpp_plus", SHARED, {"assertion": None}, "releases, whose column 'assertion' is missing or no str"),
        ("mbpp_plus", SHARED, {"assertion": "assert f("}, "at least 3 texts"),
        ("mbpp_plus", SHARED, {"task_id": "Mbpp/3"}, "does not pass its own inputs: failed, .*invalid inputs"),
        ("mbpp_plus", SHARED, {"plus_input": [[5, 6]]}, "an input has not the types of Mbpp/2: "),
        ("mbpp_plus", SHARED, {"task_id": "Mbpp"}, "column 'task_id' is 'Mbpp' and no Mbpp/ with a number"),
        ("mbpp_plus", SHARED, {"assertion": "assert similar_elements((1,), (1,)) == (1,)"}, "at least 3 texts"),
    ],
)  # fmt: skip
def test_what_no_tests_can_be_made_of_is_refused(
    task: str, row: dict[str, Any], changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [{**row, **changes}])
    with pytest.raises(DataError, match=reason):
        load(task, path)


def judged_by(
    name: str, body: str, out: str, inputs: list[Any], tmp_path: Path, verifier: Verifier, **more: Any
) -> bool:
    """Whether an answer that returns ``out`` passes where the solution returns ``body``."""
    row = {**SHARED, "task_id": "Mbpp/900", "entry_point": name, "contract": "", "base_input": inputs, "plus_input": [],
           "canonical_solution": f"\ndef {name}(*a):\n  return {body}\n", "assertion": f"assert {name}(1) == 1\n" * 3,
           **more}  # fmt: skip
    return passes(problem_of("mbpp_plus", row, tmp_path), f"def {name}(*a):\n    return {out}", verifier)


@pytest.mark.parametrize(
    ("name", "body", "out", "inputs", "atol", "right"),
    [
        # numbers that are close are right if they are of the solution's type, and lists if they are of its length
        ("f", "0.5", "0.5 + 1e-7", [[1]], 0, True),
        ("f", "2.0", "2", [[1]], 0, True),
        ("f", "2.0000001", "2", [[1]], 0, False),
        ("f", "(0.1, 0.2)", "[0.1 + 1e-9, 0.2]", [[1]], 0, False),
        ("f", "[0.1, 0.2]", "[0.1 + 1e-9, 0.2]", [[1]], 0, True),
        ("f", "[0.1, 0.1]", "[0.1 + 1e-9]", [[1]], 0, False),
        ("f", "[1, 2.5]", "[1, 2.5 + 1e-9]", [[1]], 0, False),
        ("f", "[1, 2.5]", "[1, 2.5 + 1e-9]", [[1]], 1e-6, True),
        ("Diff", "[1, 2]", "[2, 1, 1]", [[1]], 0, True),
        ("Diff", "[0.1, 0.2]", "[0.1, 0.2 + 1e-9]", [[1]], 0, True),
        ("sum_div", "a[0]", "0", [[6]], 0, True),
        ("check_str", "'a match'", "[1]", [[1]], 0, True),
        ("check_str", "'a match'", "None", [[1]], 0, False),
        ("are_equivalent", "True", "False", [[1]], 0, True),
        # both readings of a distance of digits: 23 and 156 are 1, 3 and 3 apart, or those of 133 are
        ("digit_distance_nums", "sum(map(int, str(abs(a[0] - a[1]))))", "1 + 3 + 3", [[23, 156]], 0, True),
        ("digit_distance_nums", "sum(map(int, str(abs(a[0] - a[1]))))", "2", [[123, 256]], 0, False),
        ("digit_distance_nums", "7", "1 + 9 + 8", [[9, 108]], 0, False),
        ("digit_distance_nums", "7", "1 + 0 + 1", [[9, 108]], 0, True),
        ("check", "a[0] > 6", "a[0] > 6", [[9], [1]], 0, True),
        ("check", "a[0] > 6", "a[0] > 0", [[9], [1]], 0, False),
        # base 6 and height 4: 36 + 4 * 6 * 4 / 2 with the height of the sides, 36 + 4 * 6 * 5 / 2 with the pyramid's
        ("surface_Area", "a[0] ** 2 + 2 * a[0] * a[1]", "96", [[6, 4]], 0, True),
        ("surface_Area", "a[0] ** 2 + 2 * a[0] * a[1]", "95", [[6, 4]], 0, False),
    ],
)  # fmt: skip
def test_a_right_answer_is_the_solutions_or_another_that_evalplus_takes(
    name: str,
    body: str,
    out: str,
    inputs: list[Any],
    atol: float,
    right: bool,
    tmp_path: Path,
    verifier: Verifier,
) -> None:
    assert judged_by(name, body, out, inputs, tmp_path, verifier, atol=atol) is right


def test_a_root_is_one_and_no_number_close_to_the_solutions(tmp_path: Path, verifier: Verifier) -> None:
    row = {**TWICE, "entry_point": "find_zero", "prompt": "def find_zero(xs):\n", "contract": "", "atol": 1e-4,
           "canonical_solution": "    return 2.0\n", "base_input": [[[-4000, 0, 1000]]], "plus_input": []}  # fmt: skip
    problem = problem_of("humaneval_plus", row, tmp_path)
    for out, right in (("-2.0", True), ("2.0", True), ("2.00005", False)):
        assert passes(problem, f"def find_zero(xs):\n    return {out}", verifier) is right, out


@pytest.mark.parametrize(
    ("task", "given", "wanted"),
    [
        (3, [[1], "1j", {"a": [1]}], [[1], "1j", {"a": [1]}]),
        (2, [[3, [4]], []], [(3, [4]), ()]),
        (63, [[[3, 5], [1]]], [[(3, 5), (1,)]]),
        (259, [[[1, 3]], [[4]]], [((1, 3),), ((4,),)]),
        (278, [[1, [4, [6]], 7]], [(1, (4, [6]), 7)]),
        (580, [[4, [7, [2, [1]]]]], [(4, (7, (2, (1,))))]),
        (75, [[[6], [7]], 6], [[(6,), (7,)], 6]),
        (106, [[5], [9, 10]], [[5], (9, 10)]),
        (115, [[[1, 1], []]], [[{1}, {}]]),
        (124, [0, "1j"], [0.0, 1j]),
        (124, ["2", "(1+2j)"], [2.0, 1 + 2j]),
        (252, ["3+4j"], [3 + 4j]),
        (307, [["a"], [5], 2], [("a",), [5], 2]),
        (722, [{"x": [6.2, 70]}, 6, 70], [{"x": (6.2, 70)}, 6, 70]),
        (143, [[[1], [2]]], [([1], [2])]),
    ],
)
def test_json_gets_back_the_types_that_a_task_has(task: int, given: list[Any], wanted: list[Any]) -> None:
    found = typed(task, given)
    assert found == wanted and repr(found) == repr(wanted)


def test_a_task_has_its_types_from_one_table() -> None:
    assert not EVERY.keys() & PLACES.keys() and (len(EVERY), len(PLACES)) == (44, 18)


@pytest.mark.parametrize(("task", "given"), [(124, ["x", "1j"]), (2, [5]), (722, [[1]]), (115, [[[[1]]]])])
def test_what_cannot_have_its_types_is_refused(task: int, given: list[Any]) -> None:
    with pytest.raises(RowError, match=f"an input has not the types of Mbpp/{task}: "):
        typed(task, given)
