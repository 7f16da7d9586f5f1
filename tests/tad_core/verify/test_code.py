"""What running tests decides, for honest programs: every shape of tests, every kind of value."""
# ruff: noqa: E501 (one program, one line where it fits)

from __future__ import annotations

from dataclasses import replace

import pytest

from tad_core.data.problem import Problem
from tad_core.verify import Limits, Verdict, Verifier, VerifyConfig, run_tests
from tad_core.verify.code import CodeJob, SharedSandbox, assemble, copies_in, helpers_of
from tests.tad_core.verify.conftest import require

SQUARE = "def f(x):\n    return x * x\n"


def verdict(
    solution: str, tests: str, entry_point: str | None = None, limits: Limits | None = None
) -> Verdict:
    """The verdict in the best tier of this machine."""
    return run_tests(solution, tests, limits or Limits(cpu_s=5), entry_point).verdict


@pytest.mark.parametrize(
    "tests",
    [
        "assert f(3) == 9",
        "from solution import f\nassert f(3) == 9\nassert f(0) == 0",
        "import solution\ndef test_f():\n    assert solution.f(3) == 9",
        "from solution import *\ndef test_f():\n    assert f(3) == 9",
        "def test_f():\n    assert f(3) == 9\n\nif __name__ == '__main__':\n    raise SystemExit(1)",
        "class TestF:\n    def setup_method(self):\n        self.n = 3\n    def test_f(self):\n        assert f(self.n) == 9",
        "import unittest\nclass FTest(unittest.TestCase):\n    def setUp(self):\n        self.n = 3\n"
        "    def test_f(self):\n        self.assertEqual(f(self.n), 9)",
        "import pytest\n@pytest.mark.parametrize('n, m', [(1, 1), (3, 9)])\ndef test_f(n, m):\n    assert f(n) == m",
        "import pytest\n@pytest.fixture\ndef n():\n    return 3\ndef test_f(n):\n    assert f(n) == 9",
        "import pytest\ndef test_f():\n    with pytest.raises(TypeError, match='multiply'):\n        f('a')",
        "import pytest\ndef test_f():\n    assert f(0.1) == pytest.approx(0.01)",
        "async def test_f():\n    assert f(3) == 9",
        "import asyncio\nasync def test_f():\n    await asyncio.sleep(0)\n    assert f(3) == 9",
        "import pytest\nNUMBERS = []\n@pytest.fixture(autouse=True)\ndef fill():\n    NUMBERS[:] = [3]\n"
        "def test_f():\n    assert f(NUMBERS[0]) == 9",
        "for n in range(5):\n    assert f(n) == n ** 2",
        "def test_f():\n    assert list(map(f, [1, 2])) == [1, 4]",
        "from typing import List\ndef helper(xs: List[int]) -> List[int]:\n    return [f(x) for x in xs]\n"
        "def test_f():\n    assert helper([2]) == [4]",
    ],
)
def test_every_shape_of_tests_passes_a_right_program_and_fails_a_wrong_one(tests: str) -> None:
    assert verdict(SQUARE, tests) is Verdict.PASSED
    assert verdict("def f(x):\n    return 77777\n", tests) is Verdict.FAILED


LOG = "import pytest\nimport unittest\nLOG = []\n"


@pytest.mark.parametrize(
    "tests",
    [
        "class FTest(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls):\n        cls.n = 3\n    def test_f(self):\n        self.assertEqual(f(self.n), 9)",
        "class FTest(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls):\n        LOG.append(1)\n    def test_a(self):\n        LOG.append(f(2))\n    def test_b(self):\n        self.assertEqual(LOG, [1, 4])",
        "class ATest(unittest.TestCase):\n    @classmethod\n    def tearDownClass(cls):\n        LOG.append(f(3))\n    def test_a(self):\n        self.assertEqual(f(2), 4)\n"
        "class BTest(unittest.TestCase):\n    def test_b(self):\n        self.assertEqual(LOG, [9])",
        "def setUpModule():\n    LOG.append(3)\nclass FTest(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(LOG[0]), 9)",
        "def setup_function(function):\n    LOG[:] = [3]\ndef test_f():\n    assert f(LOG[0]) == 9",
        "def setup_function():\n    LOG.append(3)\ndef teardown_function():\n    LOG.clear()\ndef test_a():\n    assert f(LOG[0]) == 9\ndef test_b():\n    assert LOG == [3] and f(LOG[0]) == 9",
        "def setup_module(module):\n    module.LOG.append(3)\ndef test_f():\n    assert f(LOG[0]) == 9",
        "class TestF:\n    @classmethod\n    def setup_class(cls):\n        cls.n = 3\n    def test_f(self):\n        assert f(self.n) == 9",
        "class TestF:\n    def setup_method(self, method):\n        LOG.append(method.__name__)\n    def teardown_method(self):\n        LOG.append(f(2))\n"
        "    def test_a(self):\n        assert f(3) == 9\n    def test_b(self):\n        assert LOG == ['test_a', 4, 'test_b']",
        "class TestF:\n    @pytest.fixture\n    def n(self):\n        return 3\n    def test_f(self, n):\n        assert f(n) == 9",
        "class TestF:\n    @pytest.fixture(autouse=True)\n    def fill(self):\n        self.n = 3\n    def test_f(self):\n        assert f(self.n) == 9",
        "class FTest(unittest.TestCase):\n    @pytest.fixture(autouse=True)\n    def fill(self):\n        self.n = 3\n    def test_f(self):\n        self.assertEqual(f(self.n), 9)",
        "@pytest.fixture\ndef n():\n    yield 3\n    LOG.append(f(2))\ndef test_a(n):\n    assert f(n) == 9\ndef test_b():\n    assert LOG == [4]",
        "@pytest.fixture(scope='module')\ndef n():\n    LOG.append(f(1))\n    return 3\ndef test_a(n):\n    assert f(n) == 9\ndef test_b(n):\n    assert LOG == [1]",
        "@pytest.fixture\ndef fill():\n    LOG.append(3)\n@pytest.mark.usefixtures('fill')\ndef test_f():\n    assert f(LOG[0]) == 9",
        "@pytest.fixture(name='n')\ndef make_n():\n    return 3\ndef test_f(n):\n    assert f(n) == 9",
        "@pytest.fixture\ndef box():\n    return [3]\n@pytest.fixture\ndef same(box):\n    return box\ndef test_f(box, same):\n    assert box is same and f(box[0]) == 9",
        "@pytest.mark.parametrize('n', [3])\nclass TestF:\n    def test_f(self, n):\n        assert f(n) == 9",
    ],
)  # fmt: skip
def test_what_is_done_around_tests_is_done_once_and_in_its_order(tests: str) -> None:
    assert run_tests(SQUARE, LOG + tests).verdict is Verdict.PASSED, run_tests(SQUARE, LOG + tests)
    assert verdict("def f(x):\n    return 77777\n", LOG + tests) is Verdict.FAILED


def test_the_check_of_humaneval() -> None:
    tests = "def check(candidate):\n    assert candidate(3) == 9\n    assert candidate(-2) == 4\n"
    assert verdict(SQUARE, tests, "f") is Verdict.PASSED
    assert verdict("def f(x):\n    return 9\n", tests, "f") is Verdict.FAILED
    assert verdict("def g(x):\n    return x * x\n", tests, "f") is Verdict.FAILED
    assert verdict(SQUARE, tests) is Verdict.NO_TESTS


@pytest.mark.parametrize(
    "value",
    ["None", "True", "0", "-1", "2 ** 200", "1.5", "float('inf')", "1 + 2j", "'a\\ud800b'", "b'\\x00\\xff'", "[1, [2]]",
     "(1, (2,))", "{1, 2}", "frozenset({1})", "{'a': 1, (1, 2): [3]}", "range(3)", "[]", "()", "{}", "set()", "''",
     "__import__('decimal').Decimal('1.10')", "__import__('fractions').Fraction(1, 3)",
     "__import__('datetime').date(2020, 1, 2)", "__import__('datetime').timedelta(1, 2)",
     "__import__('collections').deque([1])", "__import__('collections').Counter('aab')",
     "__import__('collections').OrderedDict(b=1, a=2)", "__import__('collections').defaultdict(int, a=1)",
     "bytearray(b'x')", "int", "..."],
)  # fmt: skip
def test_plain_values_cross_unchanged(value: str) -> None:
    tests = f"def test_f():\n    want = {value}\n    got = f()\n    assert got == want\n    assert type(got) in (type(want), dict)\n    assert same(want) is True"
    assert (
        verdict(f"def f():\n    return {value}\ndef same(x):\n    return x == {value}\n", tests)
        is Verdict.PASSED
    )


HONEST = {
    "changed arguments": (
        "def f(xs, d):\n    xs.sort()\n    d['n'] = len(xs)\n",
        "xs, d = [3, 1, 2], {}\nassert f(xs, d) is None\nassert xs == [1, 2, 3] and d == {'n': 3}",
    ),
    "a changed inner list keeps its identity": (
        "def f(rows):\n    rows[0].append(1)\n",
        "inner = []\nrows = [inner, [2]]\nf(rows)\nassert inner == [1] and rows[0] is inner",
    ),
    "printed text": (
        "def f():\n    print('hello', 7)\n",
        "import io, contextlib\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    f()\n"
        "assert out.getvalue() == 'hello 7\\n'",
    ),
    "printed text by capsys": ("def f():\n    print('hi')\n", "def test_f(capsys):\n    f()\n    assert capsys.readouterr().out == 'hi\\n'"),
    "a function of the tests": ("def f(g, xs):\n    return [g(x) for x in xs]\n", "assert f(lambda x: x + 1, [1, 2]) == [2, 3]"),
    "a function that fails": (
        "def f(g):\n    try:\n        return g(1)\n    except ValueError as e:\n        return str(e)\n",
        "def bad(x):\n    raise ValueError('no')\nassert f(bad) == 'no'",
    ),
    "a function of the program": ("def f(n):\n    return lambda x: x * n\n", "assert f(3)(4) == 12"),
    "a generator": ("def f(n):\n    for i in range(n):\n        yield i\n", "assert list(f(3)) == [0, 1, 2]\nassert next(f(2)) == 0"),
    "views of a dictionary": (
        "def f(d):\n    return d.keys(), d.items(), d.values()\n",
        "keys, items, values = f({'a': 1})\nassert keys == {'a'} and items == {('a', 1)} and list(values) == [1]\n"
        "assert keys != ['a'] and values != [1] and len(values) == 1",
    ),
    "a coroutine": ("async def f(x):\n    return x + 1\n", "import asyncio\nassert asyncio.run(f(1)) == 2"),
    "its own exception": (
        "class Bad(ValueError):\n    pass\ndef f():\n    raise Bad('x')\n",
        "import pytest\nfrom solution import Bad, f\ndef test_f():\n    with pytest.raises(Bad) as e:\n        f()\n"
        "    assert str(e.value) == 'x'\n    with pytest.raises(ValueError):\n        f()",
    ),
    "an object with state": (
        "class Stack:\n    def __init__(self):\n        self.items = []\n    def push(self, x):\n        self.items.append(x)\n"
        "    def pop(self):\n        return self.items.pop()\n    def __len__(self):\n        return len(self.items)\n",
        "from solution import Stack\ns = Stack()\nassert not s\ns.push(1)\ns.push(2)\nassert len(s) == 2 and s.pop() == 2\n"
        "assert s.items == [1] and isinstance(s, Stack) and s is not None",
    ),
    "linked objects": (
        "class Node:\n    def __init__(self, v, n=None):\n        self.v, self.n = v, n\n"
        "def rev(h):\n    p = None\n    while h:\n        h.n, p, h = p, h, h.n\n    return p\n",
        "from solution import Node, rev\na = Node(1, Node(2))\nb = rev(a)\nassert b.v == 2 and b.n.v == 1 and b.n.n is None\n"
        "assert b.n is a\na.v = 5\nassert b.n.v == 5",
    ),
    "a named tuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f():\n    return P(1, 2)\n",
        "assert f() == (1, 2) and f().y == 2",
    ),
    "an enumeration": (
        "import enum\nclass C(enum.Enum):\n    RED = 1\ndef f():\n    return C.RED\n",
        "from solution import C, f\nassert f() is C.RED and f().value == 1 and f().name == 'RED'",
    ),
    "class methods": ("class A:\n    @classmethod\n    def make(cls):\n        return 3\n", "from solution import A\nassert A.make() == 3"),
    "a context manager": (
        "class A:\n    def __enter__(self):\n        return 4\n    def __exit__(self, *a):\n        return False\n",
        "from solution import A\nwith A() as x:\n    assert x == 4",
    ),
    "a constant": ("LIMIT = 10\ndef f():\n    return LIMIT\n", "from solution import LIMIT, f\nassert f() == LIMIT == 10"),
    "sys.exit": ("import sys\ndef f():\n    sys.exit(2)\n", "import pytest\ndef test_f():\n    with pytest.raises(SystemExit):\n        f()"),
    "threads": (
        "import threading\ndef f():\n    out = []\n    ts = [threading.Thread(target=out.append, args=(i,)) for i in range(4)]\n"
        "    [t.start() for t in ts]\n    [t.join() for t in ts]\n    return sorted(out)\n",
        "assert f() == [0, 1, 2, 3]",
    ),
    "asyncio inside": ("import asyncio\ndef f():\n    return asyncio.run(asyncio.sleep(0.01, 5))\n", "assert f() == 5"),
    "a large value": ("def f(xs):\n    return xs[::-1]\n", "xs = list(range(200000))\nassert f(xs) == xs[::-1]"),
    "a long number": ("def f():\n    return 10 ** 5000\n", "assert f() == 10 ** 5000 and len(str(f())) == 5001"),
    "a main guard": ("def f():\n    return 1\nif __name__ == '__main__':\n    raise SystemExit('no')\n", "assert f() == 1"),
    "modules that the tests forgot to import": (
        "import math\ndef f(x):\n    return math.sqrt(x)\n",
        "assert math.isclose(f(2.0), 1.41421356, rel_tol=1e-6)\nassert f(4) == pytest.approx(2)",
    ),
    "a function named as a module is": ("def queue(x):\n    return [x]\n", "assert queue(1) == [1]"),
    "a name of the built-ins": ("def sum(a, b):\n    return a + b\n", "from solution import sum\nassert sum(1, 2) == 3"),
    "copies of objects": (
        "class Box:\n    def __init__(self):\n        self.items = [1]\n",
        "import copy\nfrom solution import Box\na = Box()\nb, c = copy.copy(a), copy.deepcopy(a)\nb.n = 5\n"
        "assert a.items == c.items == [1] and b.n == 5 and not hasattr(a, 'n') and isinstance(c, Box)",
    ),
    "a deeper stack": (
        "import resource\nresource.setrlimit(resource.RLIMIT_STACK, resource.getrlimit(resource.RLIMIT_STACK))\n"
        "def f():\n    return resource.getrlimit(resource.RLIMIT_CPU)[0] > 0\n",
        "assert f()",
    ),
    "deep recursion": ("def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\n", "assert f(900) == 900"),
    "late imports": ("def f():\n    import xml.etree.ElementTree as E, hashlib, sqlite3\n    return E.fromstring('<a/>').tag\n", "assert f() == 'a'"),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_honest_programs_pass(name: str) -> None:
    solution, tests = HONEST[name]
    result = run_tests(solution, tests, Limits(cpu_s=5))
    assert result.verdict is Verdict.PASSED, result
    assert not result.own_classes


def test_a_comparison_by_the_programs_own_class_is_labelled() -> None:
    solution = "class V:\n    def __init__(self, x):\n        self.x = x\n    def __eq__(self, o):\n        return self.x == o.x\n"
    result = run_tests(solution, "from solution import V\nassert V(1) == V(1)\nassert V(1) != V(2)")
    assert result.verdict is Verdict.PASSED
    assert result.own_classes


def test_the_label_is_not_lost_on_a_copy() -> None:
    solution = "class V:\n    def __eq__(self, o):\n        return True\n    __hash__ = None\n"
    tests = "import copy\nfrom solution import V\nassert copy.deepcopy([V()]) == [V()]"
    result = run_tests(solution, tests)
    assert result.verdict is Verdict.PASSED and result.own_classes


def test_files_may_be_written_where_the_tier_has_a_folder_of_its_own() -> None:
    solution = "def f():\n    with open('/tmp/x', 'w') as file:\n        file.write('abc')\n    return open('/tmp/x').read()\n"
    for number, expected in ((1, Verdict.PASSED), (2, Verdict.FAILED)):
        result = run_tests(solution, "assert f() == 'abc'", sandbox=require(number))  # type: ignore[arg-type]
        assert result.verdict is expected


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ("", "no test"),
        ("def test_f(:", "not Python"),
        ("def test_f(tmp_path):\n    assert f(2) == 4", "tmp_path"),
        (
            "import pytest\ndef test_f():\n    with pytest.warns(UserWarning):\n        assert f(2) == 4",
            "pytest.warns",
        ),
        ("import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n        f(2)", "no assertion"),
        (
            "import pytest\n@pytest.mark.parametrize('n', [])\ndef test_f(n):\n    assert f(n) == 4",
            "no parameters",
        ),
        ("import pytest\ndef test_f():\n    pytest.skip('later')\n    assert f(2) == 4", "later"),
        ("def test_f():\n    assert True", "never used"),
        ("def test_f():\n    f(2)", "no assertion"),
        ("def f(x):\n    return x * x\ndef test_f():\n    assert f(2) == 4", "never used"),
    ],
)
def test_what_proves_nothing_is_no_pass(tests: str, reason: str) -> None:
    result = run_tests(SQUARE, tests)
    assert result.verdict is Verdict.NO_TESTS
    assert reason in result.reason


def test_tests_that_end_before_the_program_has_been_read_do_not_harm_the_next_program() -> None:
    for _ in range(40):
        assert run_tests(SQUARE + "#" + "x" * 50_000, "def test_f(:").verdict is Verdict.NO_TESTS
        assert run_tests(SQUARE, "def test_f():\n    assert f(2) == 4").verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("solution", "tests", "who"),
    [
        ("import no_such_package_xyz\n" + SQUARE, "assert f(2) == 4", "the program"),
        ("def f(x):\n    from no_such_package_xyz import y\n    return y", "assert f(2) == 4", "the program"),
        (SQUARE, "import no_such_package_xyz as n\nassert f(2) == 4", "the tests"),
        (SQUARE, "def test_f():\n    import no_such_package_xyz\n    assert f(2) == 4", "the tests"),
    ],
)
def test_a_package_that_is_not_in_the_sandbox_has_a_verdict_of_its_own(
    solution: str, tests: str, who: str
) -> None:
    result = run_tests(solution, tests)
    assert result.verdict is Verdict.MISSING_PACKAGE
    assert result.reason == f"{who}: No module named 'no_such_package_xyz'"


def test_a_message_that_no_file_can_hold_is_made_one_that_can() -> None:
    result = run_tests("def f(x):\n    raise ValueError('\\ud800')\n", "assert f(2) == 4")
    assert result.verdict is Verdict.FAILED
    assert "ValueError" in result.reason and result.reason.encode("utf-8")


def test_a_name_that_the_tests_forgot_is_not_taken_from_the_program_where_they_import_from_it() -> None:
    solution = "def f(x):\n    return -1\ndef close(a, b):\n    return True\n"
    assert verdict(solution, "from solution import f\nassert close(f(2), 4)") is Verdict.FAILED
    assert verdict(solution, "from solution import f, close\nassert close(f(2), 4)") is Verdict.PASSED


def test_methods_of_classes_that_the_tests_know_may_answer_and_are_labelled() -> None:
    solution = (
        "class Trie:\n    def __init__(self):\n        self.words = []\n"
        "    def add(self, w):\n        self.words.append(w)\n"
        "    def startswith(self, p):\n        return any(w.startswith(p) for w in self.words)\n"
    )
    tests = "from solution import Trie\nt = Trie()\nt.add('apple')\nassert t.startswith('app') and not t.startswith('b')"
    result = run_tests(solution, tests)
    assert result.verdict is Verdict.PASSED and result.own_classes


def test_all_tests_must_run() -> None:
    result = run_tests(SQUARE, "def test_a():\n    assert f(2) == 4\ndef test_b():\n    assert f(2) == 5\n")
    assert (result.verdict, result.tests_run, result.tests_expected) == (Verdict.FAILED, 1, 2)
    assert "assert f(2) == 5" in result.reason


def test_helpers_come_from_the_question_and_not_from_the_program() -> None:
    prompt = 'import math\n\ndef poly(xs, x):\n    return sum(c * x ** i for i, c in enumerate(xs))\n\ndef zero(xs):\n    """Find it."""\n'
    tests = "def check(candidate):\n    assert abs(poly([-4, 2], candidate([-4, 2]))) < 1e-6\n"
    prelude = helpers_of(prompt, "zero")
    assert prelude.startswith("import math") and "def poly" in prelude and "zero" not in prelude
    forged = "def poly(xs, x):\n    return 0\ndef zero(xs):\n    return 99\n"
    assert run_tests(forged, tests, entry_point="zero").verdict is Verdict.PASSED  # what the prelude is for
    assert run_tests(forged, tests, entry_point="zero", prelude=prelude).verdict is Verdict.FAILED
    right = "def zero(xs):\n    return -xs[0] / xs[1]\n"
    assert run_tests(right, tests, entry_point="zero", prelude=prelude).verdict is Verdict.PASSED


def test_a_program_is_put_together_with_its_prompt_where_it_only_continues_it() -> None:
    prompt = 'def f(x):\n    """Square."""\n'
    assert assemble("    return x * x\n", "f", prompt) == prompt + "    return x * x\n"
    assert assemble("    return x * x<|endoftext|>", "f", prompt) == prompt + "    return x * x"
    assert assemble("```python\n    return x * x\n```", "f", prompt).endswith("return x * x")
    assert assemble(f"```python\n{SQUARE}```", "f", prompt) == SQUARE.strip("\n")
    assert assemble("I do not know.", "f", prompt) == ""
    for end in ("This function squares.", "```\nIt squares.", "Explanation: x * x"):
        assert assemble(f"    return x * x\n\n{end}", "f", prompt).strip() == f"{prompt}    return x * x"
    assert (
        verdict(assemble("\n    return x * x\n```\n\nExplanation", "f", prompt), "assert f(3) == 9")
        is Verdict.PASSED
    )
    for body in (
        "return x * x",
        "  return x * x",
        "y = x\n    return x * y",
        "```python\nreturn x * x\n```",
        f" {SQUARE}",
    ):
        assert verdict(assemble(body, "f", prompt), "assert f(3) == 9") is Verdict.PASSED
    inner = '    r"""As in\n    ```\n    f(3)\n    ```\n    """\n    return x * x\n'
    assert assemble(inner, "f", "def f(x):\n") == "def f(x):\n" + inner


COPY = "def f(x):\n    return x * x\ndef is_square(n):\n    return n in (1, 4, 9)\ndef test_f():\n    assert is_square(f(3))\n"


def test_a_copy_of_what_is_asked_for_stands_for_the_programs() -> None:
    assert copies_in(COPY, "def f(x):\n    return x ** 2\n") == ("f",)
    assert copies_in("from solution import g\n" + COPY, SQUARE) == copies_in(COPY, "no python (") == ()
    job = CodeJob(SQUARE, COPY, Limits(cpu_s=5), copies=copies_in(COPY, SQUARE))
    sandbox = SharedSandbox("auto")
    assert sandbox.run(job).verdict is Verdict.PASSED
    # A helper of the tests stays theirs, whatever the program calls its own.
    wrong = "def f(x):\n    return 7\ndef is_square(n):\n    return True\n"
    assert sandbox.run(replace(job, solution=wrong)).verdict is Verdict.FAILED
    sandbox.close()


BROUGHT = "def f(x):\n    return x * x\ndef test_f():\n    assert f(3) == 9\n"


@pytest.mark.parametrize(
    ("tests", "reference", "copies"),
    [
        (BROUGHT, SQUARE, ("f",)),
        ("class N:\n    pass\n" + BROUGHT, "class N:\n    pass\n" + SQUARE, ("f",)),
        (BROUGHT, "def g(x):\n    return x\n", ()),
        ("from solution import f\n" + BROUGHT, SQUARE, ()),
        ("import solution\n" + BROUGHT, SQUARE, ()),
        ("def g(x):\n    return x * x\ndef test_f():\n    assert f(3) == g(3)\n", SQUARE + "def g(x):\n    return x * x\n", ()),
        ("def g(x):\n    return x\n" + BROUGHT, SQUARE + "def g(x):\n    return x\n", ()),
        ("def f(x):\n    return x\nassert 1\n", SQUARE, ()),
        (BROUGHT, "    return x * x\n", ()),
    ],
)  # fmt: skip
def test_a_copy_that_the_tests_bring_is_known_from_the_reference_alone(
    tests: str, reference: str, copies: tuple[str, ...]
) -> None:
    assert copies_in(tests, reference) == copies


def test_the_program_is_tested_and_not_the_copy_that_the_tests_bring() -> None:
    problem = Problem("c", "c", "code", "q", SQUARE, tests=BROUGHT)
    wrong, other = SQUARE.replace("x * x", "x + x"), SQUARE.replace("f(x)", "g(x)")
    with Verifier(VerifyConfig(workers=1)) as verifier:
        judgements = verifier.judge([problem] * 3, [SQUARE, wrong, other])
    assert [j.verdict for j in judgements] == [Verdict.PASSED, Verdict.FAILED, Verdict.FAILED]
