"""What a source defines."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import pytest

from tad_core.verify.definitions import (
    defines,
    defines_something,
    ends_in_prose_at,
    is_stub,
    method_as_function,
    methods_of,
    parses,
    wrong_line,
)

HEAD = "import math\nN = 1\ndef f(x):\n    return x\n"


def test_names_are_bound_by_definitions_and_assignments() -> None:
    assert defines(HEAD, "f") and defines(HEAD, "N") and not defines(HEAD, "math") and not defines("f(", "f")
    assert defines_something("if True:\n    x = 1") and not defines_something("print(1)")
    assert parses("x") and not parses("x y")


def test_a_head_alone_is_a_stub() -> None:
    assert is_stub("def f(x):\n    '''It is f.'''\n    pass", "f") and not is_stub(HEAD, "f")
    assert is_stub("class A:\n    pass", "A") and not is_stub("class A(ValueError):\n    pass", "A")
    assert not is_stub("@data\nclass A:\n    pass", "A") and not is_stub("class A:\n    x = 1", "A")


def test_the_methods_of_a_class() -> None:
    assert methods_of("class A:\n    x = 1\n    def f(self): pass\n    async def g(self): pass", "A") == {
        "f",
        "g",
    }
    assert methods_of(HEAD, "f") == methods_of("class A(", "A") == set()


METHOD = "class A:\n    def f(self, x):\n        return x\n"


@pytest.mark.parametrize(
    ("source", "name", "called"),
    [
        (METHOD, "f", "A().f("),
        (METHOD.replace("self, x", "x").replace("    def", "    @staticmethod\n    def"), "f", "A().f("),
        (f"class B:\n    pass\n{METHOD}", "f", "A().f("),
        (METHOD + "    def __init__(self, n=1): pass\n", "f", "A().f("),
        (METHOD + "    def __init__(self, n): pass\n", "f", ""),
        (METHOD + "    def __init__(self, *, n): pass\n", "f", ""),
        (METHOD + "f = 1\n", "f", ""),
        (METHOD, "g", ""),
        (METHOD.replace("f(", "len("), "len", ""),
        ("class A(", "f", ""),
    ],
)
def test_a_method_is_a_function_where_its_class_needs_nothing(source: str, name: str, called: str) -> None:
    found = method_as_function(source, name)
    assert (found != source) is bool(called)
    assert called in found


def test_the_line_that_is_no_python() -> None:
    assert [wrong_line(text) for text in ("x = 1", "x = 1\ny z\n", "x\n(\n")] == [None, 2, 2]


@pytest.mark.parametrize(
    ("end", "prose"),
    [
        ("Done", True), ("Complexity: O(n)", True), ("Note: x = 5", True), ("f", False), ("N", False), ("math", False), ("print", False),
        ("n: int = 5", False), ("n: f", False), ("n = O", False), ("O(n)", False), ("n: 'O(n)'", False), ("Output: True", False),
    ],
)  # fmt: skip
def test_words_that_read_as_python_are_prose_where_nothing_gives_them(end: str, prose: bool) -> None:
    assert ends_in_prose_at(HEAD + end) == (5 if prose else 0)
    assert ends_in_prose_at(f"from math import *\n{HEAD}{end}") == 0


def test_several_words_and_notes_are_prose_together_and_no_statement_of_their_line_is() -> None:
    assert ends_in_prose_at(f"{HEAD}Complexity: O(n)\n\nDone\nDone") == 5
    assert ends_in_prose_at(f"{HEAD}n = 1; Done") == 0
    assert ends_in_prose_at(f"{HEAD}n = 1; Done\nDone") == 6
    assert ends_in_prose_at(f"{HEAD}Done\nn = 1") == 0
    assert ends_in_prose_at(f"{HEAD}Time: O(n)\nTime") == 0, "a note gives its name"
