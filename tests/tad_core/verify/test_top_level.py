"""Programs whose own use of what they define fails."""

from __future__ import annotations

import pytest

from tad_core.data.problem import Problem
from tad_core.verify import Verdict, Verifier, VerifyConfig, run_tests
from tad_core.verify.code import assemble_for

RIGHT = "def f(x):\n    return x * x\n"
TESTS = "assert f(3) == 9"


@pytest.mark.parametrize(
    "program",
    [
        f"{RIGHT}assert f(2) == 5",
        f"{RIGHT}assert f(2) == 5, 'wrong'\nprint(f(2))\nassert f(1) == 2",
        f"n = int(input())\n{RIGHT}print(f(n))",
        f"import sys\n{RIGHT}print(f(int(sys.stdin.read().split()[0])))",
        f"{RIGHT}with open('input.txt') as file:\n    print(file.read())\nK = 1",
        f"{RIGHT}for x, y in [(1, 1), (2, 3)]:\n    assert f(x) == y",
        f"{RIGHT}import sys\nsys.exit(f(2))",
        "from __future__ import annotations\nassert f\ndef f(x: NoSuch) -> None:\n    return x * x\n",
        f"assert f(2) == 4; assert 0\n{RIGHT}",
        f"{RIGHT}import unittest\nunittest.main()",
        f"{RIGHT}raise ValueError('done')",
        f"{RIGHT}return f(3)",
        f"from __future__ import annotations\n{RIGHT}yield f(3)\nawait f(3)",
        f"{RIGHT}* squares",
        f"import pytest\n{RIGHT}@pytest.mark.parametrize('x, y', [(1, 1)])\ndef test_f(x, y):\n    assert f(x) == y",
    ],
)
def test_a_right_function_passes(program: str) -> None:
    assert run_tests(program, TESTS).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    "program",
    [
        "def f(x):\n    return x\nassert f(3) == 9",
        "import sys\nsys.exit()\n" + RIGHT,
        "import no_such_package\n" + RIGHT,
        "T = [1] + 1\ndef f(x):\n    return T[0] + 8",
        f"class A(B):\n    pass\n{RIGHT}",
        "assert False\n" * 100 + RIGHT,
        f"{RIGHT}f = cached(f)",
        f"{RIGHT}f = input()",
        "import pytest\ndef f(x):\n    return pytest.approx(x, abs=100)",
        "import pytest\ndef f(x):\n    pytest.skip('no')",
    ],
)
def test_a_program_without_one_fails(program: str) -> None:
    assert run_tests(program, TESTS).verdict in (Verdict.FAILED, Verdict.MISSING_PACKAGE)


def test_the_program_of_a_text_is_what_the_tests_ask_for() -> None:
    blocks = "```python\ndef g(x):\n    return x\n```\nand\n```python\ndef f(x):\n    return g(x) * x\n```"
    assert "def f" in assemble_for(blocks, TESTS) and "def g" in assemble_for(blocks, TESTS)
    assert "def f" in assemble_for(blocks, "from solution import f\nassert f(1)")
    assert assemble_for(blocks, "x = (") == "def g(x):\n    return x"
    stub, more = "class A:\n    pass", "class A:\n    def f(self):\n        return 1"
    assert assemble_for(f"```python\n{stub}\n```\nso\n```python\n{more}\n```", "assert A().f() == 1") == more
    method = "class Solution:\n    def f(self, x):\n        return x * x"
    problem = Problem("c/0", "toy", "code", "Square.", RIGHT, tests=TESTS)
    with Verifier(VerifyConfig(workers=1)) as verifier:
        verdicts = [judgement.verdict for judgement in verifier.judge([problem] * 2, [method, blocks])]
    assert verdicts == [Verdict.PASSED, Verdict.PASSED]
