"""What passes between honest tests and honest programs, and what is said where something cannot."""
# ruff: noqa: E501 (one program, one line where it fits)

from __future__ import annotations

import pytest

from tad_core.verify import CodeResult, Limits, Verdict, run_tests
from tad_core.verify.sandbox.inside import wire
from tad_core.verify.sandbox.inside.loans import Loans

ERRORS = """
class Base(Exception):
    retries = 3
    @classmethod
    def kind(cls):
        return cls.__name__
class Bad(Base, ValueError):
    def __init__(self, code, what):
        super().__init__(what)
        self.code, self.parts = code, [what]
    def __str__(self):
        return f"{self.code}: {self.args[0]}"
    def describe(self, end):
        return str(self) + end
def f(x):
    try:
        {}[x]
    except KeyError as error:
        raise Bad(7, "no") from error
def g():
    return [Bad(8, "yes"), ValueError("v")]
def h(error):
    raise error
"""
TAKE = "from solution import Bad, Base, f, g, h\nimport pytest\n"


def run(solution: str, tests: str) -> CodeResult:
    """The outcome in the best tier of this machine."""
    return run_tests(solution, tests, Limits(cpu_s=5))


EXCEPTIONS = {
    "a class under the one that is expected": "with pytest.raises(Base):\n    f(1)",
    "the same, caught": "try:\n    f(1)\n    assert False\nexcept Base as e:\n    assert isinstance(e, Bad)",
    "a second base": "with pytest.raises(ValueError):\n    f(1)",
    "its classes": "assert issubclass(Bad, Base) and issubclass(Base, Exception) and not issubclass(Base, ValueError)",
    "its attributes": "with pytest.raises(Bad) as e:\n    f(1)\nassert e.value.code == 7 and e.value.parts == ['no'] and e.value.args == ('no',)",
    "attributes of its class": "with pytest.raises(Bad) as e:\n    f(1)\nassert e.value.retries == 3 and Bad.retries == 3 and Bad.kind() == 'Bad'",
    "its text": "with pytest.raises(Bad, match='7: no') as e:\n    f(1)\nassert str(e.value) == '7: no'",
    "its methods": "with pytest.raises(Bad) as e:\n    f(1)\nassert e.value.describe('!') == '7: no!'",
    "its cause": "with pytest.raises(Bad) as e:\n    f(1)\nassert isinstance(e.value.__cause__, KeyError) and e.value.__cause__.args == (1,)",
    "made by the tests": "e = Bad(1, what='x')\nassert (e.code, str(e)) == (1, '1: x') and isinstance(e, ValueError)",
    "raised by the tests": "with pytest.raises(Base) as e:\n    raise Bad(1, 'x')\nassert e.value.code == 1",
    "as values": "a, b = g()\nassert isinstance(a, Bad) and a.code == 8 and type(b) is ValueError and str(b) == 'v'",
    "as arguments": "with pytest.raises(ValueError, match='again'):\n    h(ValueError('again'))\nwith pytest.raises(Bad) as e:\n    h(g()[0])\nassert e.value.code == 8",
    "by unittest": "import unittest\nt = unittest.TestCase()\nwith t.assertRaises(Base) as e:\n    f(1)\nassert e.exception.code == 7",
}  # fmt: skip


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_of_the_program_is_what_it_is_there(name: str) -> None:
    result = run(ERRORS, TAKE + EXCEPTIONS[name] + "\nassert f is not None and Bad.__name__ == 'Bad'")
    assert result.verdict is Verdict.PASSED, result


@pytest.mark.parametrize(
    "tests",
    ["with pytest.raises(Bad):\n    h(Base('x'))", "with pytest.raises(Bad) as e:\n    f(1)\nassert e.value.code == 8",
     "with pytest.raises(Bad, match='8: no'):\n    f(1)", "with pytest.raises(KeyError):\n    f(1)"],
)  # fmt: skip
def test_another_exception_than_the_expected_one_is_none(tests: str) -> None:
    assert run(ERRORS, TAKE + tests).verdict is Verdict.FAILED


OPEN = """
class Open:
    def __init__(self): self.log = []
    def __enter__(self): return self
    def __exit__(self, kind, error, trace):
        self.log.append((kind.__name__, str(error)) if kind else None)
        return kind is KeyError
    async def __aenter__(self): return self
    async def __aexit__(self, *what): return self.__exit__(*what)
def f(): raise KeyError(1)
def g(): raise ValueError("no")
"""


@pytest.mark.parametrize(
    "tests",
    ["with Open() as o:\n    f()\nassert o.log == [('KeyError', '1')]",
     "import pytest\no = Open()\nwith pytest.raises(ValueError):\n    with o:\n        raise ValueError('no')\nassert o.log == [('ValueError', 'no')]",
     "import pytest\no = Open()\nwith pytest.raises(ValueError):\n    with o:\n        g()\nassert o.log == [('ValueError', 'no')]",
     "async def test_f():\n    async with Open() as o:\n        f()\n    assert o.log == [('KeyError', '1')]"],
)  # fmt: skip
def test_a_context_manager_of_the_program_hears_of_errors_and_may_end_them(tests: str) -> None:
    result = run(OPEN, "from solution import Open, f, g\n" + tests)
    assert result.verdict is Verdict.PASSED, result


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ("assert f(memoryview(b'')) is None", "memoryview"),
        (
            "import pytest\ndef test_f():\n    with pytest.raises(TypeError):\n        f(memoryview(b''))",
            "memoryview",
        ),
        ("import sys\ntry:\n    f(sys)\nexcept BaseException:\n    pass\nassert f(1) == 1", "module"),
        ("assert f([1, {'a': memoryview(b'x')}])", "memoryview"),
        ("xs = []\nxs.append(xs)\nassert f(xs)", "recursion"),
    ],
)
def test_what_cannot_be_carried_over_is_no_failure_of_the_program_and_no_pass(
    tests: str, reason: str
) -> None:
    result = run("def f(x):\n    return x\n", tests)
    assert result.verdict is Verdict.NO_TESTS
    assert "cannot be carried over" in result.reason and reason in result.reason


def test_an_assertion_that_the_tests_expect_to_fail_may_fail() -> None:
    tests = "import pytest\ndef same(x):\n    assert f(x) == x\ndef test_f():\n    same(1)\n    with pytest.raises(AssertionError):\n        same(-1)"
    assert run("def f(x):\n    return abs(x)\n", tests).verdict is Verdict.PASSED


TREE = """
class Node:
    def __init__(self, v, left=None, right=None):
        self.v, self.left, self.right = v, left, right
    def twice(self, n=2):
        return self.v * n
    def __lt__(self, other):
        return self.v < other.v
    def __len__(self):
        return self.v
    @property
    def half(self):
        return self.v / 2
t = Node(2, Node(1), Node(3))
"""
DATA = "import dataclasses, enum\n@dataclasses.dataclass\nclass P:\n    x: int\n    y: int = 0\nclass C(enum.Enum):\n    RED = 1\n    BLUE = 2\n"
ARGUMENTS = {
    "a function of a module": ("def f(g, xs):\n    return [g(x) for x in xs]\n", "import math\nassert f(math.sqrt, [4, 9]) == [2, 3]"),
    "a built-in function": ("def f(g, xs):\n    return g(xs)\n", "assert f(len, [4, 9]) == 2 and f(sum, [1, 2]) == 3 and f(sorted, [2, 1]) == [1, 2]"),
    "a function of a class": ("def f(g, xs):\n    return [g(x) for x in xs]\n", "assert f(str.upper, ['a']) == ['A'] and f('-'.join, [['a', 'b']]) == ['a-b']"),
    "a class of a module": ("def f(g, x):\n    return g(x)\n", "from collections import Counter\nfrom fractions import Fraction\nassert f(Counter, 'aab') == {'a': 2, 'b': 1} and f(Fraction, 2) == 2"),
    "an operator": ("from functools import reduce\ndef f(g, xs):\n    return reduce(g, xs)\n", "import operator\nassert f(operator.mul, [2, 3]) == 6"),
    "what gets an item": ("def f(xs, key):\n    return sorted(xs, key=key)\n", "import operator\nassert f([(1, 2), (2, 1)], operator.itemgetter(1)) == [(2, 1), (1, 2)]"),
    "a partial function": ("def f(g):\n    return g(3), g.args\n", "import functools\nassert f(functools.partial(pow, 2)) == (8, (2,))"),
    "a function that it gives back": ("def f(g):\n    return g\n", "def g():\n    return 1\nassert f(g) is g and f(g)() == 1"),
    "a function of the library with objects of the program": (
        "class V:\n    def __init__(self, x):\n        self.x = x\n    def __add__(self, o):\n        return V(self.x + o.x)\ndef f(g):\n    return g(V(1), V(2)).x\n",
        "import operator\nassert f(operator.add) == 3"),
    "an iterator": ("def f(it):\n    return next(it)\n", "it = iter([1, 2, 3])\nassert f(it) == 1 and f(it) == 2 and list(it) == [3]"),
    "an endless iterator": ("def f(it):\n    return [next(it) for _ in range(3)]\n", "import itertools\nit = itertools.count(5)\nassert f(it) == [5, 6, 7] and next(it) == 8"),
    "a generator": ("def f(it):\n    return sum(it)\n", "assert f(n * n for n in range(4)) == 14 and f(iter(())) == 0"),
    "map and zip": ("def f(it):\n    return next(it), list(it)\n", "assert f(map(abs, [-1, -2])) == (1, [2]) and f(zip('ab', [1, 2])) == (('a', 1), [('b', 2)])"),
    "a text file in memory": ("def f(file):\n    line = file.readline()\n    file.write('end')\n    return line\n", "import io\nfile = io.StringIO('a\\nb')\nassert f(file) == 'a\\n' and file.getvalue() == 'a\\nend'"),
    "a binary file in memory": ("def f(file):\n    return file.read(2)\n", "import io\nfile = io.BytesIO(b'abcd')\nassert f(file) == b'ab' and file.read() == b'cd'"),
    "a dictionary with a default": (
        "def f(d):\n    d['new'].append(1)\n    return d\n",
        "from collections import defaultdict\nd = defaultdict(list, a=[0])\nassert f(d) == {'a': [0], 'new': [1]} and d['new'] == [1] and d['x'] == []"),
    "the same, with a function of the tests": ("def f(d):\n    return d['x'] + d['y']\n", "from collections import defaultdict\nd = defaultdict(lambda: 4)\nassert f(d) == 8 and dict(d) == {'x': 4, 'y': 4}"),
    "the same, as an answer": ("from collections import defaultdict\ndef f():\n    return defaultdict(lambda: 7, a=1)\n", "d = f()\nassert d == {'a': 1} and d['b'] == 7"),
    "an object of the tests": ("def f(t):\n    return f(t.left) + [t.v] + f(t.right) if t else []\n", TREE + "assert f(t) == [1, 2, 3] and f(None) == []"),
    "its methods and operators": ("def f(a, b):\n    return a.twice() + a.twice(n=3), a < b, max(a, b).v, len(a), a.half\n", TREE + "assert f(t, t.right) == (10, True, 3, 2, 1.0)"),
    "its changes": ("def f(t):\n    t.left, t.right, t.new = t.right, t.left, 5\n    del t.v\n", TREE + "a, b = t.left, t.right\nf(t)\nassert t.left is b and t.right is a and t.new == 5 and not hasattr(t, 'v')"),
    "it again": ("def f(t):\n    return [t, {'t': t.left}]\n", TREE + "assert f(t)[0] is t and f(t)[1]['t'] is t.left"),
    "itself among others": ("def f(t, ts):\n    return ts.index(t), t in ts, t is ts[1]\n", TREE + "assert f(t, [t.left, t]) == (1, True, True)"),
    "its attributes": ("def f(t):\n    return sorted(t.__dict__), type(t).__name__, getattr(t, 'no', 3), hasattr(t, 'no')\n", TREE + "assert f(t) == (['left', 'right', 'v'], 'Node', 3, False)"),
    "a class of the tests": ("def f(kind):\n    x = kind(4)\n    return x.v, isinstance(x, kind), x\n", TREE + "v, ok, x = f(Node)\nassert v == 4 and ok and type(x) is Node"),
    "a class under another": ("def f(kind, x):\n    return isinstance(x, kind), x.name()\n", "class A:\n    def name(self):\n        return 'a'\nclass B(A):\n    pass\nassert f(A, B()) == (True, 'a')"),
    "a data class": ("def f(p):\n    p.y += p.x\n    return p == p, p\n", DATA + "p = P(1)\nassert f(p) == (True, P(1, 1))"),
    "an enumeration": ("def f(c, kind):\n    return c.name, c.value, c is kind.RED, [k.value for k in kind]\n", DATA + "assert f(C.RED, C) == ('RED', 1, True, [1, 2])"),
    "an object that can be called": ("def f(g):\n    return g(2)\n", "class G:\n    def __call__(self, x):\n        return x + 1\nassert f(G()) == 3"),
    "an error of a function of the tests": ("def f(g):\n    g()\n", "import pytest\nclass Bad(Exception):\n    pass\nbad = Bad('x')\ndef g():\n    raise bad\nwith pytest.raises(Bad) as e:\n    f(g)\nassert e.value is bad"),
    "the same, caught by its class": ("def f(g, kind):\n    try:\n        g()\n    except kind as e:\n        return str(e), e.code\n", "class Bad(ValueError):\n    code = 5\ndef g():\n    raise Bad('x')\nassert f(g, Bad) == ('x', 5) and f(g, ValueError) == ('x', 5)"),
    "a mock": ("def f(g):\n    return g(1) + g(2)\n", "from unittest.mock import Mock\ng = Mock(return_value=4)\nassert f(g) == 8 and g.call_count == 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_argument_is_to_the_program_what_it_is_to_the_tests(name: str) -> None:
    solution, tests = ARGUMENTS[name]
    result = run(solution, tests)
    assert result.verdict is Verdict.PASSED, result
    assert not result.own_classes


@pytest.mark.parametrize(
    ("solution", "tests", "reason"),
    [
        ("def f(x):\n    return x + 1\n", "class N(int):\n    pass\nassert f(N(1)) == 2", "derived from int"),
        ("import dataclasses\ndef f(p):\n    return dataclasses.asdict(p)\n", DATA + "assert f(P(1)) == {'x': 1, 'y': 0}", "__dataclass_fields__"),
        ("class A:\n    pass\ndef f(x):\n    return x\n", "class B(A):\n    pass\nassert f(B())", "derived from a class of the program"),
        ("def f(g):\n    return g()\n", "import sys\nassert f(lambda: sys)", "module"),
        ("def f(t):\n    return 1\n", "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(self), 1)", "TestCase"),
    ],
)  # fmt: skip
def test_an_argument_that_would_not_be_the_same_there_proves_nothing(
    solution: str, tests: str, reason: str
) -> None:
    result = run(solution, tests)
    assert result.verdict is Verdict.NO_TESTS, result
    assert reason in result.reason


@pytest.mark.parametrize(
    "secret",
    ["g.__globals__", "g.__closure__", "g.__code__", "g.__self__", "it.gi_frame", "t.__init__.__globals__", "type(t).__init__.__globals__", "t.run.__func__", "t.run.__self__",
     "type(t).run.__globals__", "it.gi_code"],
)  # fmt: skip
def test_what_the_tests_hand_over_leads_to_nothing_else_of_them(secret: str) -> None:
    solution = f"def f(t, g, it):\n    try:\n        return [{secret}]\n    except AttributeError:\n        return 'refused'\n"
    tests = "class T:\n    def run(self):\n        return 1\ndef g():\n    return 1\ndef it():\n    yield 1\nassert f(T(), g, it()) == 'refused'"
    result = run(solution, tests)
    assert result.verdict is Verdict.PASSED, result


BOX = """
class Box:
    names = []
    def __init__(self):
        self.items, self.rows, self.table, self.last = [], [[1], [2]], {}, 0
    def total(self):
        return sum(self.items)
    def add(self, x):
        self.items.append(x)
    def all(self):
        return self.items
    def copy(self):
        return list(self.items)
    def __getitem__(self, key):
        return self.rows[key]
def fill(t):
    t.children.append(t.first)
    t.names[0].append('x')
    return len(t.children), len(t.names[0])
def same(xs):
    xs.append(0)
    return xs
FACTOR = 2
def factor():
    return FACTOR
def double(x):
    return factor() * x
"""
CHANGES = {
    "a list in an attribute": "b.items.append(3)\nb.items.append(4)\nassert b.total() == 7 and b.items == [3, 4]",
    "one that is held": "xs = b.items\nxs += [1, 2]\nassert b.total() == 3\nb.add(5)\nassert xs == [1, 2, 5] and b.items is xs",
    "a list in a list": "b.rows[0].append(5)\nassert b.rows == [[1, 5], [2]] and b[0] == [1, 5]",
    "one of those that is held": "row = b.rows[0]\nb.add(1)\nrow.append(6)\nassert b.rows == [[1, 6], [2]]",
    "a dictionary": "b.table['a'] = 1\nb.table.setdefault('b', []).append(2)\nassert b.table == {'a': 1, 'b': [2]}",
    "what an index gives": "b[1].append(7)\nassert b.rows[1] == [2, 7]",
    "what a method gives": "b.all().append(3)\nassert b.total() == 3",
    "a copy that a method gives": "b.add(1)\nb.copy().append(3)\nassert b.total() == 1 and b.copy() == [1]",
    "an attribute of the class": "Box.names.append('n')\nassert Box.names == ['n'] and b.names == ['n']",
    "an attribute that is set": "b.items = [1]\nb.items.append(2)\nb.last += 5\nassert b.total() == 3 and b.last == 5",
    "an attribute that is deleted": "del b.last\nassert not hasattr(b, 'last')",
    "a name of the program": "import solution\nassert solution.double(3) == 6\nsolution.FACTOR = 5\nassert solution.double(3) == 15",
    "a name that is patched": "from unittest.mock import patch\nimport solution\nwith patch('solution.factor', return_value=7) as p:\n    assert solution.double(3) == 21\n"
    "assert p.call_count == 1 and solution.double(3) == 6",
    "an argument that comes back": "xs = [1]\nassert same(xs) is xs and xs == [1, 0]",
    "an attribute of an object of the tests": "class T:\n    pass\nt = T()\nt.first, t.children, t.names = 4, [], [[]]\nassert fill(t) == (1, 1)\nassert t.children == [4] and t.names == [['x']]",
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_through_an_object_reaches_the_object(name: str) -> None:
    result = run(BOX, "from solution import Box, fill, same\nb = Box()\n" + CHANGES[name])
    assert result.verdict is Verdict.PASSED, result


def test_what_nobody_keeps_is_not_lent_and_what_nobody_holds_is_given_back() -> None:
    codec = wire.Codec()
    owner, holder = Loans(codec), Loans(codec)
    kept = [1]
    assert owner.lend([[1]]) is None and owner.lend([7]) is None
    number = owner.lend([kept])
    assert number is not None and owner.lend([kept]) == number
    held = holder.borrow(number, [1])
    held.append(2)
    message = holder.pack({})
    assert message == {"writes": [[number, [1, 2]]], "dropped": []}
    owner.unpack(message)
    assert kept == [1, 2] and owner.pack({}) == {"fresh": []}
    del held
    assert holder.pack({}) == {"writes": [], "dropped": [number]} and holder.pack({}) == {}


SHARED = """
import queue, threading
class Counter:
    def __init__(self):
        self.n, self.lock, self.queue = 0, threading.Lock(), queue.Queue()
    def add(self, x=1):
        with self.lock:
            self.n += x
        return self.n
    def put(self, x):
        self.queue.put(x)
    def get(self):
        return self.queue.get()
def f(x):
    if x < 0:
        raise ValueError("negative")
    return x * x
def each(g, xs):
    out = [None] * len(xs)
    def work(i):
        out[i] = g(xs[i])
    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(xs))]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return out
def later(g):
    threading.Timer(0.2, g).start()
"""
THREADS = {
    "that count": "c = Counter()\nts = [threading.Thread(target=c.add) for _ in range(8)]\n[t.start() for t in ts]\n[t.join() for t in ts]\nassert c.n == 8",
    "of a pool": "with concurrent.futures.ThreadPoolExecutor(4) as pool:\n    assert list(pool.map(f, range(50))) == [n * n for n in range(50)]",
    "with an error": "with concurrent.futures.ThreadPoolExecutor(2) as pool:\n    with pytest.raises(ValueError, match='negative'):\n        pool.submit(f, -1).result()\nassert f(1) == 1",
    "with functions of the tests": "def work(n):\n    return each(lambda x: x + n, [1, 2])\nwith concurrent.futures.ThreadPoolExecutor(3) as pool:\n    assert list(pool.map(work, [1, 2, 3])) == [[2, 3], [3, 4], [4, 5]]",
    "of the program": "assert each(lambda x: f(x) + 1, list(range(20))) == [n * n + 1 for n in range(20)]",
}  # fmt: skip


@pytest.mark.parametrize("name", THREADS)
def test_threads_of_tests_and_program_do_not_mix_up_their_calls(name: str) -> None:
    result = run(
        SHARED, "import concurrent.futures, pytest, threading\nfrom solution import *\n" + THREADS[name]
    )
    assert result.verdict is Verdict.PASSED, result


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ("c, got = Counter(), []\nt = threading.Thread(target=lambda: got.append(c.get()))\nt.start()\ntime.sleep(1)\nc.put(3)\nt.join()\nassert got == [3]", "waits for a call in another"),
        ("c, got = Counter(), []\nt = threading.Thread(target=lambda: got.append(c.get()))\nu = threading.Thread(target=c.put, args=(3,))\nt.start()\ntime.sleep(1)\nu.start()\nt.join()\nassert got == [3]", "waits for a call in another"),
        ("got = []\nlater(lambda: got.append(1))\ntime.sleep(2)\nassert f(2) == 4 and got == [1]", "no call of the tests was running"),
    ],
)  # fmt: skip
def test_threads_that_would_have_to_call_at_the_same_time_prove_nothing(tests: str, reason: str) -> None:
    result = run(SHARED, "import threading, time\nfrom solution import *\n" + tests)
    assert result.verdict is Verdict.NO_TESTS, result
    assert reason in result.reason
