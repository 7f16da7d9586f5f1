"""KodCode: a task, a Python solution and pytest-style tests that import it from ``solution``, or just use it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tad_core.config import SourceConfig
from tad_core.data.problem import Problem
from tad_core.data.rows import Row
from tad_core.data.selection import Candidate, LeftOut
from tad_core.data.sources._files import (
    BadRowError,
    HubDefault,
    meta_of,
    options_of,
    place_of,
    read_problems,
    text_of,
)
from tad_core.trees import tree_of
from tad_core.verify.definitions import defines

HUB = HubDefault("KodCode/KodCode-V1")
COLUMNS = (
    "question",
    "solution",
    "test",
    "test_code",
    "question_id",
    "test_info",
    "style",
    "subset",
    "gpt_difficulty",
)


def load(source: SourceConfig) -> Iterator[LeftOut | Candidate]:
    """Options: those of every file-based source; without ``path`` the hub's ``KodCode/KodCode-V1``.

    The tests are in the column ``test``, in some revisions ``test_code``.
    """
    options = options_of(source, {})

    def make(row: Row, id_: str) -> Problem:
        question, solution = text_of(row, "question", "question"), text_of(row, "solution", "solution")
        tests = text_of(row, "tests", "test", "test_code")
        tree = check_tests(tests)
        meta = meta_of(row, "style", "subset", "gpt_difficulty")
        if name := entry_point(row.values.get("test_info"), tree, solution):
            meta["entry_point"] = name
            # A question that is the head of a program, to be completed.
            if f"def {name}" in question and defines(question, name):
                meta["prompt"] = question
        return Problem(
            id=id_,
            source=source.name,
            kind="code",
            question=question,
            reference=solution,
            tests=tests,
            meta=meta,
        )

    return read_problems(source, options, place_of(source, options, COLUMNS, HUB), make, ("question_id",))


def check_tests(tests: str) -> ast.Module:
    """The tests, parsed; refuse what can be seen to test nothing without running it.

    Raises:
        BadRowError: no Python, or neither a test function, a test class nor an assertion.
    """
    try:
        tree = tree_of(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise BadRowError("tests are not Python") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            return tree
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            ("test", "check")
        ):
            return tree
    raise BadRowError("tests that test nothing")


def entry_point(info: object, tests: ast.Module, solution: str) -> str:
    """The one function that is asked for, if the row names just one and the solution defines it; else nothing."""
    named = (
        {str(item.get("function_name")) for item in info if isinstance(item, dict)}
        if isinstance(info, list)
        else set()
    )
    if not named:
        named = {
            alias.name
            for node in ast.walk(tests)
            if isinstance(node, ast.ImportFrom) and node.module == "solution"
            for alias in node.names
        }
    name = next(iter(named), "")
    return name if len(named) == 1 and defines(solution, name) else ""
