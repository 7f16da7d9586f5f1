"""Every test that pytest would run is run, and an assertion that failed is a failure whoever catches it."""
# ruff: noqa: E501 (one program, one line where it fits)

from __future__ import annotations

import pytest

from tad_core.verify import CodeResult, Limits, Verdict, run_tests

RIGHT, WRONG = "def f(x):\n    return x * x\n", "def f(x):\n    return x\n"
AND_ONE = "def test_one():\n    assert f(1) == 1\n"


def run(solution: str, tests: str) -> CodeResult:
    return run_tests(solution, "from solution import f\n" + tests, Limits(cpu_s=5))


#: ways to hold a test that only a right program passes, beside one that any passes
HELD = {
    "a class in a class": "class TestA:\n    class TestB:\n        def test_two(self):\n            assert f(2) == 4\n" + AND_ONE,
    "a class under a test class": "import unittest\nclass Base(unittest.TestCase):\n    def test_one(self):\n        self.assertEqual(f(1), 1)\nclass Sub(Base):\n    def test_two(self):\n        self.assertEqual(f(2), 4)\n",
    "TestCase by another name": "from unittest import TestCase as Case\nclass Sub(Case):\n    def test_two(self):\n        self.assertEqual(f(2), 4)\n" + AND_ONE,
    "an asynchronous test class": "import unittest\nclass Sub(unittest.IsolatedAsyncioTestCase):\n    async def asyncSetUp(self):\n        self.n = 2\n    async def test_two(self):\n        self.assertEqual(f(self.n), 4)\n",
    "under a condition": "if True:\n    def test_two():\n        assert f(2) == 4\n" + AND_ONE,
    "made by a function": "def make(n):\n    def inner():\n        assert f(n) == n * n\n    return inner\ntest_two = make(2)\n" + AND_ONE,
    "made in a loop": "for n in (2, 3):\n    def inner(n=n):\n        assert f(n) == n * n\n    globals()[f'test_{n}'] = inner\n" + AND_ONE,
    "before unittest.main()": "import unittest\nclass T(unittest.TestCase):\n    def test_two(self):\n        self.assertEqual(f(2), 4)\nunittest.main()\n",
    "one parameter with a comma": "import pytest\n@pytest.mark.parametrize('n,', [(2,)])\ndef test_two(n):\n    assert f(n) == 4\n",
}  # fmt: skip


@pytest.mark.parametrize("name", HELD)
def test_no_test_is_left_out(name: str) -> None:
    right, wrong = run(RIGHT, HELD[name]), run(WRONG, HELD[name])
    assert right.verdict is Verdict.PASSED, right
    assert wrong.verdict is Verdict.FAILED, wrong


def test_a_test_that_yields_proves_nothing() -> None:
    tests = "def test_two():\n    for n in (2, 3):\n        yield check, n\ndef check(n):\n    assert f(n) == n * n\n"
    result = run(RIGHT, tests + AND_ONE)
    assert result.verdict is Verdict.NO_TESTS and "test_two yields" in result.reason


def test_tests_that_ask_a_mock_alone_are_tests() -> None:
    tests = "from unittest.mock import Mock\ndef test_two():\n    m = Mock(return_value=2)\n    assert_called = m.assert_called_once_with\n    f(m(3))\n    assert_called(3)\n"
    assert run(RIGHT, tests).verdict is Verdict.PASSED
    assert run(RIGHT, tests.replace("called(3)", "called(4)")).verdict is Verdict.FAILED


CAUGHT = {
    "raises": "import pytest\ndef check(x):\n    with pytest.raises(ValueError):\n        int(x)\n",
    "assertRaises": "import unittest\ndef check(x):\n    with unittest.TestCase().assertRaises(ValueError):\n        int(x)\n",
    "a mock": "from unittest.mock import Mock\ndef check(x):\n    Mock().assert_called_once()\n",
}


@pytest.mark.parametrize("name", CAUGHT)
def test_what_failed_in_a_function_that_the_program_calls_stays_failed(name: str) -> None:
    swallowing = "def f(g):\n    try:\n        g(1)\n    except Exception:\n        pass\n"
    result = run(swallowing, CAUGHT[name] + "def test_f():\n    f(check)\n    assert f is not None\n")
    assert result.verdict is Verdict.FAILED and "caught" in result.reason
