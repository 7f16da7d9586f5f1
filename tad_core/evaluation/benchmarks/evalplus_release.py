"""Rows of EvalPlus's own releases as those of its data sets on the hub: inputs and a solution become tests.

A release has ``base_input``, ``plus_input``, ``contract``, ``atol`` and ``canonical_solution`` in place of ``test``.
The tests that are made of them hold the solution, as the hub's do where results are long: what is right is what it
returns, computed in the sandbox beside the program that is judged and never in this process. Before a row is used, its
solution has run there on all of its inputs, under its contract; that it passed is kept in ``$TAD_CACHE/evalplus``.

JSON has no tuples, sets and complex numbers: arguments get them by task (``evalplus_types``), and the contract refuses
what came out otherwise.

Source: the fields of EvalPlus's releases (HumanEvalPlus.jsonl v0.1.10, MbppPlus.jsonl v0.2.0) and how ``evalplus``
0.3.1 judges by them: exact equality, or the type and length of the solution's result and ``atol``, a millionth for
floats without one; the tasks with an oracle of their own. It keeps that millionth for all inputs after the first with
floats, which is not done here.
"""

from __future__ import annotations

import ast
import hashlib
import textwrap
from collections.abc import Mapping
from typing import Any

from tad_core.artifacts.cache import cache_errors, cache_folder
from tad_core.evaluation.benchmarks.base import Row, RowError
from tad_core.evaluation.benchmarks.evalplus_types import typed
from tad_core.trees import tree_of
from tad_core.verify.code import Limits, run_tests
from tad_core.verify.verdict import Verdict

#: What a release has that the hub's data sets have not.
INPUTS = ("base_input", "plus_input")
#: When tests are made otherwise, or checked otherwise, what was checked before says nothing.
_VERSION = 2

_CLOSE = "_close(out, exp, atol)"
_DIGITS = "(str(n).zfill(max(len(str(m)) for m in inp)) for n in inp)"
_AREA = "round(inp[0] ** 2 + 2 * inp[0] * math.sqrt((inp[0] / 2) ** 2 + inp[1] ** 2))"
#: Where a right answer need not be the solution's: by function, what holds of it.
ORACLES: dict[str, str] = {
    **dict.fromkeys(
        ("similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
         "intersection_array", "find_dissimilar", "Diff"),
        f"set(out) == set(exp) or {_CLOSE}",
    ),
    **dict.fromkeys(
        ("check_str", "text_match_three", "text_starta_endb"),
        "(out if isinstance(out, bool) else out is not None) == (exp if isinstance(exp, bool) else exp is not None)",
    ),
    "are_equivalent": "True",
    "sum_div": f"out == exp or out == 0 or {_CLOSE}",
    # the digits of numbers of one length, with zeros before the shorter
    "digit_distance_nums": f"out == exp or out == sum(abs(int(a) - int(b)) for a, b in zip(*{_DIGITS})) or {_CLOSE}",
    # the height is that of the pyramid, and not of its sides
    "surface_Area": f"out == exp or abs(out - {_AREA}) <= atol or {_CLOSE}",
    "find_zero": "abs(sum(c * math.pow(out, i) for i, c in enumerate(inp[0]))) <= atol",
}  # fmt: skip

_TESTS = """\
import copy
import math
import numpy as np

inf, nan = float("inf"), float("nan")


def _floats(value):
    return isinstance(value, float) or (
        isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(v, float) for v in value)
    )


def _close(out, exp, atol):
    if atol == 0 and _floats(exp):
        atol = 1e-6
    if atol == 0 or type(out) is not type(exp) or (isinstance(exp, (list, tuple)) and len(out) != len(exp)):
        return False
    return np.allclose(out, exp, rtol=1e-07, atol=atol)


{solution}


_expected = _solution()


def _compare(out, inp):
    exp, atol = _expected(*copy.deepcopy(inp)), {atol}
    assert {oracle}


inputs = {inputs}
"""
_CHECKED = """\
{tests}

_contract = _under_contract()


{head}
    for inp in inputs:
        _contract(*copy.deepcopy(inp))
        _compare({name}(*copy.deepcopy(inp)), inp)
"""
#: a solution may take longer for all of the inputs than an answer is given, which is told apart then
_LIMITS = Limits(cpu_s=30.0)


def head_of_tests(name: str) -> str:
    """The first line of a function that tests what its lines call ``name``: a ``check`` that is given it.

    Mbpp/56 asks for a function that is itself called ``check``, which a ``check`` of the tests would hide.
    """
    return "def test_inputs():" if name == "check" else f"def check({name}):"


def is_release(raw: Mapping[str, Any]) -> bool:
    """Whether a row is of a release: it has inputs and no tests."""
    return not isinstance(raw.get("test"), str) and any(raw.get(name) is not None for name in INPUTS)


def humaneval_row(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The hub's columns of a row of HumanEvalPlus.jsonl.

    Raises:
        RowError: no tests can be made of it.
    """
    row = _checked(raw, {"prompt": str})
    tests = _tests(row, row["prompt"] + row["canonical_solution"], _inputs(row))
    head = head_of_tests("candidate")
    return {**raw, "test": f"{tests}\n\n{head}\n    for inp in inputs:\n        {_call('candidate')}\n"}


def mbpp_row(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The hub's columns of a row of MbppPlus.jsonl; its prompt is a docstring with one of the assertions.

    Raises:
        RowError: no tests can be made of it.
    """
    row = _checked(raw, {"prompt": str, "assertion": str})
    asserts = [line.strip() for line in row["assertion"].split("\n") if line.strip().startswith("assert")]
    told = [line for line in row["prompt"].strip().strip("\"'").split("\n") if not line.startswith("assert")]
    number = str(row["task_id"]).rpartition("/")[2]
    if not number.isdecimal():
        raise RowError(f"column 'task_id' is {row['task_id']!r} and no Mbpp/ with a number")
    tests = _tests(row, row["canonical_solution"], [typed(int(number), inp) for inp in _inputs(row)])
    return {
        "task_id": int(number),
        "prompt": " ".join(" ".join(told).split()),
        "code": row["canonical_solution"].strip("\n"),
        "test_imports": [],
        "test_list": asserts,
        "test": f"{tests}\nfor inp in inputs:\n    {_call(row['entry_point'])}\n",
    }


def _call(function: str) -> str:
    return f"_compare({function}(*copy.deepcopy(inp)), inp)"


def _checked(raw: Mapping[str, Any], more: Mapping[str, type]) -> Row:
    kinds: dict[str, Any] = {
        "entry_point": str, "canonical_solution": str, "contract": str, "atol": (int, float), "base_input": list,
        "plus_input": list, **more,
    }  # fmt: skip
    for column, kind in kinds.items():
        if not isinstance(raw.get(column), kind):
            said = "number" if isinstance(kind, tuple) else kind.__name__
            raise RowError(f"a row of EvalPlus's releases, whose column {column!r} is missing or no {said}")
    if not raw["entry_point"].isidentifier():
        raise RowError("the entry point is not a name")
    return dict(raw)


def _inputs(row: Row) -> list[list[Any]]:
    inputs = [*row["base_input"], *row["plus_input"]]
    if not inputs or not all(isinstance(inp, list) for inp in inputs):
        raise RowError("columns 'base_input' and 'plus_input' hold no lists of arguments")
    return inputs


def _tests(row: Row, source: str, inputs: list[list[Any]]) -> str:
    """The tests without their end, once the solution has passed them.

    Raises:
        RowError: the source does not define the function, or does not pass.
    """
    name, contract = row["entry_point"], row["contract"]
    tests = _TESTS.format(
        solution=_nested("_solution", source, name),
        atol=repr(row["atol"]),
        oracle=ORACLES.get(name, f"out == exp or {_CLOSE}"),
        inputs=_written(inputs),
    )
    guarded = _nested("_under_contract", source, name, contract)
    _check_passes(f"{tests}\n\n{guarded}\n", source, name)
    return tests


def _nested(outer: str, source: str, name: str, contract: str | None = None) -> str:
    """The source inside a function that returns what it defines, so that no name of it meets one of the program.

    With a ``contract`` what is returned is a function of the same arguments that asserts it and no more.
    """
    try:
        tree = tree_of(source)
        function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name)
        if contract is not None:
            function.body = [*tree_of(textwrap.dedent(contract)).body, ast.Pass()]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise RowError("its solution or contract is not Python") from None
    except StopIteration:
        raise RowError(f"its solution does not define {name!r}") from None
    inside = [*tree.body, ast.Return(ast.Name(name, ast.Load()))]
    wrapped = tree_of(f"def {outer}(): pass").body[0]
    assert isinstance(wrapped, ast.FunctionDef)
    wrapped.body = inside
    return ast.unparse(ast.fix_missing_locations(wrapped))


def _check_passes(guarded_tests: str, source: str, name: str) -> None:
    """Run the solution on its own inputs in the sandbox, unless it has passed there.

    Raises:
        RowError: it does not pass.
        VerifierError: there is no sandbox, or it failed.
    """
    from tad_core.evaluation.benchmarks.evalplus import without_numpy

    tests = without_numpy(_CHECKED.format(tests=guarded_tests, head=head_of_tests(name), name=name))
    mark = hashlib.sha256(f"{_VERSION}\n{name}\n{source}\n{tests}".encode()).hexdigest()
    passed = cache_folder("evalplus") / mark
    if passed.exists():
        return
    result = run_tests(source, tests, _LIMITS, name)
    if result.verdict is not Verdict.PASSED:
        raise RowError(f"its solution does not pass its own inputs: {result.verdict}, {result.reason[:200]}")
    with cache_errors():
        passed.touch()


def _written(value: Any) -> str:
    """The value as source, the same in every process: a set has its elements in order."""
    if isinstance(value, set):
        return f"set([{', '.join(sorted(map(_written, value)))}])"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k!r}: {_written(v)}' for k, v in value.items())}}}"
    if isinstance(value, tuple):
        return f"({''.join(f'{_written(v)}, ' for v in value)})"
    return f"[{', '.join(map(_written, value))}]" if isinstance(value, list) else repr(value)
