"""Rows of EvalPlus's own releases as those of its data sets on the hub: inputs and a solution become tests.

A release has ``base_input``, ``plus_input``, ``contract``, ``atol`` and ``canonical_solution`` in place of ``test``.
The tests that are made of them hold the solution, as the hub's do where results are long: what is right is what it
returns, computed in the sandbox beside the program that is judged and never in this process. Before a row is used, its
solution has run there on all of its inputs, under its contract; that it passed is kept in ``$TAD_CACHE/evalplus``.

JSON has no tuples, sets and complex numbers: an argument gets the types that the row's own assertions show for it, and
the contract refuses what came out otherwise.

Source: the fields of EvalPlus's releases (HumanEvalPlus.jsonl v0.1.10, MbppPlus.jsonl v0.2.0) and what it says of them:
exact equality, or ``atol``, a millionth for floats without one; the tasks with an oracle of their own.
"""

from __future__ import annotations

import ast
import hashlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tad_core.artifacts.files import cache_folder
from tad_core.evaluation.benchmarks.base import Row, RowError
from tad_core.trees import tree_of
from tad_core.verify.code import Limits, run_tests
from tad_core.verify.verdict import Verdict

#: What a release has that the hub's data sets have not.
INPUTS = ("base_input", "plus_input")
#: When tests are made otherwise, or checked otherwise, what was checked before says nothing.
_VERSION = 1

_AS_SETS = "set(out) == set(exp)"
_OR_NONE = "(out if isinstance(out, bool) else out is not None) == (exp if isinstance(exp, bool) else exp is not None)"
#: Where a right answer need not be the solution's: by function, what holds of it.
ORACLES: dict[str, str] = {
    **dict.fromkeys(
        ("similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
         "intersection_array", "find_dissimilar", "Diff"),
        _AS_SETS,
    ),
    **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), _OR_NONE),
    "are_equivalent": "True",
    "sum_div": "out == exp or out == 0",
    "find_zero": "abs(sum(c * out ** i for i, c in enumerate(inp[0]))) <= atol",
}  # fmt: skip

_TESTS = """\
import copy
import numpy as np

inf, nan = float("inf"), float("nan")


def _floats(value):
    return isinstance(value, float) or (
        isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(v, float) for v in value)
    )


def _close(out, exp, atol):
    if atol == 0 and _floats(exp):
        atol = 1e-6
    return out == exp or (atol != 0 and np.allclose(out, exp, rtol=1e-07, atol=atol))


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


def check(candidate):
    for inp in inputs:
        _contract(*copy.deepcopy(inp))
        _compare(candidate(*copy.deepcopy(inp)), inp)
"""
#: a solution may take longer for all of the inputs than an answer is given, which is told apart then
_LIMITS = Limits(cpu_s=30.0)


def is_release(raw: Mapping[str, Any]) -> bool:
    """Whether a row is of a release: it has inputs and no tests."""
    return not isinstance(raw.get("test"), str) and any(raw.get(name) is not None for name in INPUTS)


def humaneval_row(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The hub's columns of a row of HumanEvalPlus.jsonl.

    Raises:
        RowError: no tests can be made of it.
    """
    row = _checked(raw, {"prompt": str})
    tests = _tests(row, row["prompt"] + row["canonical_solution"], _inputs(row, {}))
    return {
        **raw,
        "test": f"{tests}\n\ndef check(candidate):\n    for inp in inputs:\n        {_call('candidate')}\n",
    }


def mbpp_row(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The hub's columns of a row of MbppPlus.jsonl; its prompt is a docstring with one of the assertions.

    Raises:
        RowError: no tests can be made of it.
    """
    row = _checked(raw, {"prompt": str, "assertion": str})
    asserts = [line.strip() for line in row["assertion"].split("\n") if line.strip().startswith("assert")]
    told = [line for line in row["prompt"].strip().strip("\"'").split("\n") if not line.startswith("assert")]
    tests = _tests(row, row["canonical_solution"], _inputs(row, _shown(row["assertion"], row["entry_point"])))
    number = str(row["task_id"]).rpartition("/")[2]
    if not number.isdecimal():
        raise RowError(f"column 'task_id' is {row['task_id']!r} and no Mbpp/ with a number")
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


def _inputs(row: Row, shown: Mapping[int, Sequence[Any]]) -> list[list[Any]]:
    inputs = [*row["base_input"], *row["plus_input"]]
    if not inputs or not all(isinstance(inp, list) for inp in inputs):
        raise RowError("columns 'base_input' and 'plus_input' hold no lists of arguments")
    return [[typed(shown.get(i, ()), value) for i, value in enumerate(inp)] for inp in inputs]


def _tests(row: Row, source: str, inputs: list[list[Any]]) -> str:
    """The tests without their end, once the solution has passed them.

    Raises:
        RowError: the source does not define the function, or does not pass.
    """
    name, contract = row["entry_point"], row["contract"]
    tests = _TESTS.format(
        solution=_nested("_solution", source, name),
        atol=repr(row["atol"]),
        oracle=ORACLES.get(name, "_close(out, exp, atol)"),
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

    tests = without_numpy(_CHECKED.format(tests=guarded_tests))
    mark = hashlib.sha256(f"{_VERSION}\n{name}\n{source}\n{tests}".encode()).hexdigest()
    passed = cache_folder("evalplus") / mark
    if passed.exists():
        return
    result = run_tests(source, tests, _LIMITS, name)
    if result.verdict is not Verdict.PASSED:
        raise RowError(f"its solution does not pass its own inputs: {result.verdict}, {result.reason[:200]}")
    passed.touch()


# --- what JSON lost ---------------------------------------------------------------------------------


def _shown(assertions: str, name: str) -> dict[int, list[Any]]:
    """The arguments that assertions call the function with, by position; those that are no literals are left out."""
    try:
        tree = tree_of(assertions)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise RowError("its assertions are not Python") from None
    found: dict[int, list[Any]] = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == name:
            for i, argument in enumerate(call.args):
                try:
                    found.setdefault(i, []).append(ast.literal_eval(argument))
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    continue
    return found


def typed(shown: Sequence[Any], value: Any) -> Any:
    """A value of JSON with the types of the values that are shown for it: tuples, sets, keys and complex numbers.

    Args:
        shown: values of the same place; none: it stays as it is.
        value: of JSON.

    Raises:
        RowError: they are lists and tuples alike, and which this one was cannot be told.
    """
    if isinstance(value, str):
        return _number(value, shown)
    if isinstance(value, dict):
        dicts = [s for s in shown if isinstance(s, dict)]
        keys, values = [k for s in dicts for k in s], [v for s in dicts for v in s.values()]
        whole = bool(keys) and all(isinstance(k, int) for k in keys)
        return {int(k) if whole else k: typed(values, v) for k, v in value.items()}
    if not isinstance(value, list):
        return value
    like: list[Any] = [s for s in shown if isinstance(s, (list, tuple, set, frozenset))]
    kinds = {type(s) for s in like}
    if len(kinds) > 1:
        raise RowError("its assertions show lists and tuples in one place, which JSON does not tell apart")
    made: Any = kinds.pop() if kinds else list
    if made is tuple and all(len(s) == len(value) for s in like):  # each place of its own kind
        return tuple(typed([s[i] for s in like], v) for i, v in enumerate(value))
    return made(typed([v for s in like for v in s], each) for each in value)


def _number(text: str, shown: Sequence[Any]) -> Any:
    """The number that a text of JSON is where numbers are shown and one of them is complex; else the text."""
    numbers = bool(shown) and all(isinstance(s, (int, float, complex)) for s in shown)
    if numbers and any(isinstance(s, complex) for s in shown):
        try:
            return complex(text.replace(" ", ""))
        except ValueError:
            return text
    return text


def _written(value: Any) -> str:
    """The value as source, the same in every process: a set has its elements in order."""
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}([{', '.join(sorted(map(_written, value)))}])"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k!r}: {_written(v)}' for k, v in value.items())}}}"
    if isinstance(value, tuple):
        return f"({''.join(f'{_written(v)}, ' for v in value)})"
    return f"[{', '.join(map(_written, value))}]" if isinstance(value, list) else repr(value)
