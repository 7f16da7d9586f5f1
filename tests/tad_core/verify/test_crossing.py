"""What crosses between tests and program, and what a right program must not pay for where it cannot."""
# ruff: noqa: E501 (one program, one line where it fits)

from __future__ import annotations

import pytest

from tad_core.verify import Limits, Verdict, run_tests
from tad_core.verify.verdict import CodeResult


def run(program: str, tests: str) -> CodeResult:
    return run_tests(program, tests, Limits(cpu_s=5))


#: name: (program, the same but wrong, tests)
CARRIED = {
    "a subclass of the expected exception": (
        "class Bad(ValueError):\n    pass\nclass Worse(Bad):\n    pass\ndef f(x):\n    raise Worse('no')\n",
        "class Bad(ValueError):\n    pass\ndef f(x):\n    raise KeyError('no')\n",
        "import pytest\nfrom solution import Bad, f\ndef test_f():\n    with pytest.raises(Bad) as e:\n        f(1)\n"
        "    assert 'no' in str(e.value) and isinstance(e.value, ValueError)",
    ),
    "its attributes and its own text": (
        "class Bad(Exception):\n    def __init__(self, code):\n        self.code = code\n        self.seen = [code]\n"
        "    def __str__(self):\n        return f'code {self.code}'\ndef f(x):\n    raise Bad(x)\n",
        "class Bad(Exception):\n    code = 1\ndef f(x):\n    raise Bad(x)\n",
        "import pytest\nfrom solution import Bad, f\ndef test_f():\n    with pytest.raises(Bad) as e:\n        f(7)\n"
        "    assert e.value.code == 7 and e.value.seen == [7] and str(e.value) == 'code 7'",
    ),
    "an exception of the standard library": (
        "import json\ndef f(s):\n    return json.loads(s)\n",
        "def f(s):\n    raise ValueError(s)\n",
        "import json, pytest\ndef test_f():\n    with pytest.raises(json.JSONDecodeError):\n        f('{')\n    with pytest.raises(ValueError):\n        f('{')",
    ),
    "a built-in exception with an attribute": (
        "def f(x):\n    e = ValueError('no')\n    e.code = x\n    raise e\n",
        "def f(x):\n    e = ValueError('no')\n    e.code = 0\n    raise e\n",
        "import pytest\ndef test_f():\n    with pytest.raises(ValueError) as e:\n        f(3)\n    assert e.value.code == 3",
    ),
    "threads in the tests": (
        "import threading\nclass Counter:\n    def __init__(self):\n        self.n, self.lock = 0, threading.Lock()\n"
        "    def add(self):\n        with self.lock:\n            self.n += 1\n",
        "class Counter:\n    n = 0\n    def add(self):\n        self.n = 1\n",
        "import threading\nfrom solution import Counter\ndef test_f():\n    c = Counter()\n"
        "    ts = [threading.Thread(target=lambda: [c.add() for _ in range(50)]) for _ in range(4)]\n"
        "    [t.start() for t in ts]\n    [t.join() for t in ts]\n    assert c.n == 200",
    ),
    "a pool of threads": (
        "def f(x):\n    return x * x\n", "def f(x):\n    return x\n",
        "from concurrent.futures import ThreadPoolExecutor\ndef test_f():\n    with ThreadPoolExecutor(4) as pool:\n"
        "        assert list(pool.map(f, range(40))) == [n * n for n in range(40)]",
    ),
    "setUpClass": (
        "def f(x):\n    return x * x\n", "def f(x):\n    return x\n",
        "import unittest\nclass FTest(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls):\n        cls.n = 3\n"
        "    def test_f(self):\n        self.assertEqual(f(self.n), 9)\n    def test_g(self):\n        self.assertEqual(f(self.n + 1), 16)",
    ),
    "setup_function and teardown_function": (
        "def f(x):\n    return x * x\n", "def f(x):\n    return x\n",
        "NS = []\ndef setup_function(function):\n    NS.append(3)\ndef teardown_function():\n    NS.clear()\n"
        "def test_f():\n    assert f(NS[0]) == 9\ndef test_g():\n    assert len(NS) == 1 and f(2) == 4",
    ),
    "setup_module and setup_class": (
        "def f(x):\n    return x * x\n", "def f(x):\n    return x\n",
        "NS = []\ndef setup_module():\n    NS.append(3)\nclass TestF:\n    @classmethod\n    def setup_class(cls):\n        cls.m = NS[0]\n"
        "    def test_f(self):\n        assert f(self.m) == 9\n    def test_g(self):\n        assert f(self.m) == 9 and NS == [3]",
    ),
    "fixtures in classes": (
        "def f(x):\n    return x * x\n", "def f(x):\n    return x\n",
        "import pytest\nclass TestF:\n    @pytest.fixture(autouse=True)\n    def start(self):\n        self.m = 4\n"
        "    @pytest.fixture\n    def n(self):\n        return self.m - 1\n    def test_f(self, n):\n        assert f(n) == 9 and f(self.m) == 16",
    ),
    "functions of the standard library": (
        "def f(g, xs):\n    return [g(x) for x in xs]\n", "def f(g, xs):\n    return list(xs)\n",
        "import functools, math, operator\nfrom decimal import Decimal\ndef test_f():\n    assert f(math.factorial, [3, 4]) == [6, 24]\n"
        "    assert f(str.upper, ['a']) == ['A'] and f(operator.itemgetter(1), [[1, 2]]) == [2]\n"
        "    assert f(functools.partial(pow, 2), [3]) == [8] and f(Decimal, ['1.5']) == [Decimal('1.5')] and f(len, ['abc']) == [3]",
    ),
    "a class of the standard library to compare with": (
        "def f(kind, x):\n    return isinstance(x, kind)\n", "def f(kind, x):\n    return True\n",
        "from collections import OrderedDict\nfrom decimal import Decimal\ndef test_f():\n    assert f(Decimal, Decimal(1)) is True\n"
        "    assert f(OrderedDict, {}) is False",
    ),
    "iterators": (
        "def f(it):\n    first = next(it)\n    return first, list(it)\n", "def f(it):\n    return None, list(it)\n",
        "def test_f():\n    assert f(iter([1, 2, 3])) == (1, [2, 3])\n    assert f(n * n for n in range(3)) == (0, [1, 4])\n"
        "    assert f(zip('ab', 'cd')) == (('a', 'c'), [('b', 'd')])",
    ),
    "defaultdicts": (
        "def f(d, k):\n    d[k].append(1)\n    return d\n", "def f(d, k):\n    d = {k: [1]}\n    return d\n",
        "from collections import defaultdict\ndef test_f():\n    d = defaultdict(list)\n    assert f(d, 'a') == {'a': [1]} and d == {'a': [1]}\n"
        "    assert d['b'] == [] and f(d, 'a')['a'] == [1, 1]",
    ),
    "instances of the tests' classes": (
        "def f(node):\n    total = 0\n    while node is not None:\n        total += node.value\n        node.seen = True\n        node = node.next\n    return total\n",
        "def f(node):\n    return node.value\n",
        "class Node:\n    def __init__(self, value, next=None):\n        self.value, self.next, self.seen = value, next, False\n"
        "def test_f():\n    n = Node(1, Node(2))\n    assert f(n) == 3\n    assert n.seen and n.next.seen",
    ),
    "their operators and methods": (
        "def f(a, b):\n    return (a + b).double(), a < b, len(a)\n", "def f(a, b):\n    return a.double(), True, 1\n",
        "class N:\n    def __init__(self, n):\n        self.n = n\n    def __add__(self, other):\n        return N(self.n + other.n)\n"
        "    def __lt__(self, other):\n        return self.n < other.n\n    def __len__(self):\n        return self.n\n    def double(self):\n        return 2 * self.n\n"
        "def test_f():\n    assert f(N(2), N(3)) == (10, True, 2)",
    ),
    "an object as a mark": (
        "def f(xs, mark):\n    return [x for x in xs if x is not mark]\n", "def f(xs, mark):\n    return xs[:1]\n",
        "def test_f():\n    mark = object()\n    assert f([mark, 1, mark, 2], mark) == [1, 2]",
    ),
    "changes through an attribute": (
        "class Bag:\n    def __init__(self):\n        self.items, self.by = [], {}\n    def total(self):\n        return sum(self.items) + len(self.by)\n",
        "class Bag:\n    items, by = [], {}\n    def total(self):\n        return 5\n",
        "from solution import Bag\ndef test_f():\n    b = Bag()\n    b.items.append(3)\n    b.by['x'] = 1\n    assert b.total() == 4\n    items = b.items\n"
        "    items.extend([1, 1])\n    assert b.total() == 6 and b.items == [3, 1, 1]",
    ),
    "changes seen through an attribute": (
        "class Bag:\n    def __init__(self):\n        self.items = []\n    def put(self, x):\n        self.items.append(x)\n",
        "class Bag:\n    def __init__(self):\n        self.items = []\n    def put(self, x):\n        self.items = [x]\n",
        "from solution import Bag\ndef test_f():\n    b = Bag()\n    items = b.items\n    b.put(3)\n    assert items == [3]\n    items.append(9)\n    b.put(4)\n    assert b.items == [3, 9, 4] == items",
    ),
    "attributes and methods of an exception class": (
        "class Bad(Exception):\n    retries = 3\n    def __init__(self, n, *, what=''):\n        super().__init__(n)\n        self.what = what\n"
        "    @classmethod\n    def kind(cls):\n        return cls.__name__\ndef f(x):\n    raise Bad(x, what='w') from KeyError(1)\ndef g(e):\n    return e.what\n",
        "class Bad(Exception):\n    retries = 3\ndef f(x):\n    raise Bad(x)\n",
        "import pytest\nfrom solution import Bad, f, g\ndef test_f():\n    with pytest.raises(Bad) as e:\n        f(2)\n    assert Bad.retries == e.value.retries == 3\n"
        "    assert Bad.kind() == 'Bad' and e.value.what == 'w' and isinstance(e.value.__cause__, KeyError)\n    mine = Bad(5, what='x')\n"
        "    assert mine.args == (5,) and mine.what == 'x' and g(mine) == 'x'",
    ),
    "an exception given back as a value": (
        "class Bad(Exception):\n    pass\ndef f(x):\n    return Bad(x) if x else ValueError('v')\n",
        "class Bad(Exception):\n    pass\ndef f(x):\n    return None\n",
        "from solution import Bad, f\ndef test_f():\n    assert isinstance(f(1), Bad) and f(1).args == (1,)\n    assert type(f(0)) is ValueError and str(f(0)) == 'v'",
    ),
    "an asynchronous context manager": (
        "class Open:\n    async def __aenter__(self):\n        self.n = 1\n        return self\n    async def __aexit__(self, kind, error, trace):\n        self.n = 2\n        return False\n",
        "class Open:\n    async def __aenter__(self):\n        self.n = 0\n        return self\n    async def __aexit__(self, *_):\n        return True\n",
        "from solution import Open\nasync def test_f():\n    async with Open() as o:\n        assert o.n == 1\n    assert o.n == 2",
    ),
    "a context manager that notes what it was told": (
        "class Log:\n    def __init__(self):\n        self.log = []\n    def __enter__(self):\n        return self\n    def __exit__(self, kind, error, trace):\n"
        "        self.log.append((kind.__name__, str(error)) if kind else None)\n        return True\n",
        "class Log:\n    log = []\n    def __enter__(self):\n        return self\n    def __exit__(self, *_):\n        return True\n",
        "from solution import Log\ndef test_f():\n    log = Log()\n    with log:\n        raise ValueError('no')\n    assert log.log == [('ValueError', 'no')]\n    with log:\n        pass\n    assert log.log[1] is None",
    ),
    "a context manager that takes an error away": (
        "class Calm:\n    def __enter__(self):\n        return self\n    def __exit__(self, kind, error, trace):\n        return kind is not None and issubclass(kind, KeyError)\n",
        "class Calm:\n    def __enter__(self):\n        return self\n    def __exit__(self, *_):\n        return False\n",
        "import pytest\nfrom solution import Calm\ndef test_f():\n    with Calm():\n        raise KeyError('a')\n"
        "    with pytest.raises(ValueError):\n        with Calm():\n            raise ValueError('b')\n    assert Calm() is not None",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CARRIED)
def test_a_right_program_passes_and_a_wrong_one_does_not(name: str) -> None:
    right, wrong, tests = CARRIED[name]
    result = run(right, tests)
    assert result.verdict is Verdict.PASSED, result.reason
    assert run(wrong, tests).verdict in (Verdict.FAILED, Verdict.NO_TESTS)


NOT_CARRIED = {
    "an open file": "def test_f():\n    assert f(open('/dev/null')) is None",
    "a list that holds itself": "def test_f():\n    xs = []\n    xs.append(xs)\n    assert f(xs) is None",
    "an error that is waited for": "import pytest\ndef test_f():\n    with pytest.raises(TypeError):\n        f(open('/dev/null'))",
    "an instance that the program tells by its class": (
        "class Node:\n    value = 1\ndef test_f():\n    assert f(Node()) == 1"
    ),
}


@pytest.mark.parametrize("name", NOT_CARRIED)
def test_what_cannot_be_carried_over_is_no_failure_of_the_program(name: str) -> None:
    program = "class Node:\n    value = 1\ndef f(x):\n    return x.value if isinstance(x, Node) else None\n"
    result = run(program, NOT_CARRIED[name])
    assert result.verdict is Verdict.NO_TESTS and result.reason, result


#: programs that are wrong, and ways in which one passed or could have
HELD = {
    "an __exit__ that takes the assertion away": (
        "class C:\n    def __enter__(self):\n        return self\n    def __exit__(self, *_):\n        return True\n    value = 1\n",
        "from solution import C\ndef test_f():\n    assert C() is not None\n    with C() as c:\n        assert c.value == 2",
    ),
    "an __exit__ that takes pytest.fail away": (
        "class C:\n    def __enter__(self):\n        return self\n    def __exit__(self, *_):\n        return True\n",
        "import pytest\nfrom solution import C\ndef test_f():\n    assert C() is not None\n    with C():\n        with pytest.raises(KeyError):\n            pass",
    ),
    "a named tuple of types": (
        "from collections import namedtuple\nT = namedtuple('T', 'startswith')\ndef f(x):\n    return T(bool)\n",
        "def test_f():\n    assert f(1).startswith('ab')",
    ),
    "a named tuple of functions": (
        "from collections import namedtuple\nT = namedtuple('T', 'issubset')\ndef f(x):\n    return T(lambda other: True)\n",
        "def test_f():\n    assert f(1).issubset({1})",
    ),
    "an object that answers as a set": (
        "class S:\n    def symmetric_difference(self, other):\n        return set()\n    def intersection(self, other):\n        return other\ndef f(x):\n    return S()\n",
        "def test_f():\n    assert f(1).symmetric_difference({1}) == set()",
    ),
    "the same by what it has in common": (
        "class S:\n    def intersection(self, other):\n        return other\n    union = intersection\ndef f(x):\n    return S()\n",
        "def test_f():\n    assert f(1).intersection({1, 2}) == {1, 2} and f(1).union({3}) == {3}",
    ),
    "an object that answers as a number": (
        "class D:\n    def compare(self, other):\n        return 0\ndef f(x):\n    return D()\n",
        "from decimal import Decimal\ndef test_f():\n    assert f(1).compare(Decimal(2)) == 0",
    ),
    "an object that answers as text": (
        "class S:\n    def isdigit(self):\n        return True\n    def replace(self, a, b):\n        return b\ndef f(x):\n    return S()\n",
        "def test_f():\n    assert f(1).replace('12', '') == ''",
    ),
    "an exception that answers as text": (
        "class S(Exception):\n    def startswith(self, other):\n        return True\ndef f(x):\n    return S()\n",
        "def test_f():\n    assert f(1).startswith('ab')",
    ),
    "a class that answers as text": (
        "class S:\n    @staticmethod\n    def startswith(other):\n        return True\ndef f(x):\n    return S\n",
        "def test_f():\n    assert f(1).startswith('ab')",
    ),
    "an exception class that answers as a set": (
        "class S(Exception):\n    @staticmethod\n    def issubset(other):\n        return True\ndef f(x):\n    return S\n",
        "def test_f():\n    assert f(1).issubset({1})",
    ),
    "a class brought in through a list": (
        "class S:\n    def startswith(self, other):\n        return True\ndef f(xs):\n    xs.append(S)\n    return S()\n",
        "def test_f():\n    xs = []\n    out = f(xs)\n    assert out.startswith('ab')",
    ),
    "a class given as a value": (
        "class S:\n    def startswith(self, other):\n        return True\ndef kind():\n    return S\ndef f(x):\n    return S()\n",
        "from solution import f, kind\ndef test_f():\n    k = kind()\n    assert f(1).startswith('ab')",
    ),
    "the way into an object of the tests": (
        "def f(t):\n    return t.test_f.__globals__['WANTED'] if hasattr(t, 'test_f') else t._wanted\n",
        "WANTED = 77\nclass T:\n    def __init__(self):\n        self._wanted = WANTED\ndef test_f():\n    assert f(T()) == 77",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HELD)
def test_a_wrong_program_does_not_pass(name: str) -> None:
    program, tests = HELD[name]
    assert run(program, tests).verdict in (Verdict.FAILED, Verdict.NO_TESTS, Verdict.CRASHED)
