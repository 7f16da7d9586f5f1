"""What stands for a class or an object of the program is to honest tests what it stands for, and no more."""
# ruff: noqa: E501 (one program, one line where it fits)

from __future__ import annotations

import textwrap

import pytest

from tad_core.verify import CodeResult, Limits, Verdict, run_tests

PROGRAM = """
import asyncio, dataclasses, enum, functools, pathlib, uuid
from collections import ChainMap, namedtuple
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, TypedDict

class A:
    "An A."
    _number = _link = _title = 7
    def m(self, x: int = 1) -> int:
        return x
class B(A):
    pass
class V:
    def __init__(self, x, y): self.x, self.y = x, y
    def __add__(self, o): return V(self.x + o.x, self.y + o.y)
    def __mul__(self, k): return V(self.x * k, self.y * k)
    __rmul__ = __mul__
    def __iadd__(self, o):
        self.x += o.x
        return self
    def __neg__(self): return V(-self.x, -self.y)
    def __abs__(self): return (self.x ** 2 + self.y ** 2) ** 0.5
    def __float__(self): return float(self.x)
    def __int__(self): return int(self.x)
    def __format__(self, spec): return f"V{spec}"
    def __reversed__(self): return iter([self.y, self.x])
    def __len__(self): return 2
    def __getitem__(self, i): return [self.x, self.y][i]
    def __eq__(self, o): return (self.x, self.y) == ((o.x, o.y) if isinstance(o, V) else o)
class Bag:
    def __init__(self): self.items = {1}
    def __contains__(self, x): return x in self.items
class Colour(enum.Enum):
    RED = 1
    BLUE = 2
class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2
class Word(str, enum.Enum):
    YES = "yes"
class Count(int): pass
class Row(list): pass
class Pair(NamedTuple):
    a: int
    b: int = 0
    def total(self): return self.a + self.b
Point = namedtuple("Point", "x y")
class Record(TypedDict):
    a: int
@dataclasses.dataclass
class P:
    x: int
    y: int = 0
def f(x: int, y=2) -> int:
    "An f."
    return x
def a(): return A()
def colour(n): return Colour(n)
def level(n): return Level(n)
def word(): return Word.YES
def count(): return Count(4)
def row(): return Row([1, 2])
missed = object()
def bare(n): return [missed] * n + [object()]
def point(): return Point(1, 2)
def path(p): return pathlib.Path(p) / "x"
def number(): return uuid.UUID(int=5)
def when(): return datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2)))
def numbers(n):
    for i in range(n):
        yield i
async def later(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i
async def twice(x): return 2 * x
lock = None
async def locked():
    global lock
    lock = lock or asyncio.Lock()
    async with lock:
        return 1
def deco(g):
    @functools.wraps(g)
    def inner(*args): return g(*args) + 1
    return inner
def matches(pattern, text): return bool(pattern.match(text))
def missing(): open("/no/such/file")
def again():
    try:
        1 / 0
    except ZeroDivisionError:
        raise ValueError("v")
"""

SAME = {
    "the class of an object": "assert type(a()) is A and type(a()) == A and type(a()).__name__ == 'A' and a().__class__.__name__ == 'A'",
    "classes under classes": "assert issubclass(B, A) and not issubclass(A, B) and isinstance(B(), A) and B.__bases__[0] is A",
    "names of its own": "assert (a()._number, a()._link, A._title) == (7, 7, 7)",
    "texts and annotations": "assert f.__doc__ == 'An f.' and A.__doc__ == 'An A.' and f.__name__ == 'f' and f.__annotations__['return'] is int",
    "what it can do": "from collections.abc import Iterable, Sized\nassert callable(f) and not callable(a()) and not isinstance(a(), Iterable) and isinstance(V(1, 2), Sized) and hasattr(A, 'm')",
    "products with numbers": "v = V(1, 2) * 3\nw = 2 * V(1, 2)\nassert (v.x, v.y, w.x) == (3, 6, 2)",
    "signs and sizes": "assert abs(V(3, 4)) == 5.0 and (-V(3, 4)).x == -3 and float(V(3, 4)) == 3.0 and int(V(3, 4)) == 3",
    "adding in place": "v = V(1, 2)\nv += V(2, 2)\nassert v.x == 3 and (v + V(1, 1)).y == 3",
    "slices and orders": "assert V(1, 2)[0:2] == [1, 2] and V(1, 2)[-1] == 2 and list(reversed(V(1, 2))) == [2, 1] and f'{V(1, 2):>3}' == 'V>3'",
    "members without an order": "assert 1 in Bag() and 2 not in Bag()",
    "an enumeration": "assert colour(1) is Colour.RED and Colour['BLUE'] is Colour(2) and len(Colour) == 2 and colour(2) in Colour and [c.name for c in Colour] == ['RED', 'BLUE']",
    "one of numbers": "assert level(1) == 1 and level(2) > 1 and Level.LOW < Level.HIGH and isinstance(level(1), int) and level(1) + 1 == 2",
    "one of words": "assert word() == 'yes' and isinstance(word(), str) and word().upper() == 'YES'",
    "values of its own kinds": "assert count() == 4 and count() + 1 == 5 and row() == [1, 2] and {4: 'a'}[count()] == 'a'",
    "an object of no class of its own": "x, y, z = bare(2)\nassert x is y and x == y and x != z and x in [y] and {x: 1}[y] == 1 and type(z).__name__ == 'object' and not isinstance(a(), type(z))",
    "a named tuple with methods": "assert Pair(1, 2).total() == 3 and Pair(1, 2) == (1, 2) and isinstance(Pair(1), tuple) and Pair(1).b == 0",
    "a named tuple": "assert isinstance(point(), Point) and point() == Point(1, 2) == (1, 2) and point()._asdict() == {'x': 1, 'y': 2}",
    "a typed dictionary": "assert Record(a=1) == {'a': 1}",
    "a data class": "import dataclasses\nassert dataclasses.asdict(P(1)) == {'x': 1, 'y': 0} and [f.name for f in dataclasses.fields(P)] == ['x', 'y'] and dataclasses.replace(P(1), y=5).y == 5 and dataclasses.is_dataclass(P)",
    "a pattern of one": "match P(3, 4):\n    case P(x=3, y=n):\n        pass\nassert n == 4\nmatch P(3, 4):\n    case P(3, m):\n        pass\nassert m == 4",
    "a signature": "import inspect\nassert list(inspect.signature(f).parameters) == ['x', 'y'] and inspect.signature(f).parameters['y'].default == 2 and 'return x' in inspect.getsource(f)",
    "kinds of functions": "import asyncio, inspect\nassert inspect.isgeneratorfunction(numbers) and asyncio.iscoroutinefunction(twice) and not inspect.iscoroutinefunction(f) and inspect.isfunction(f)",
    "a generator": "import types\nit = numbers(3)\nassert isinstance(it, types.GeneratorType) and next(it) == 0 and list(it) == [1, 2]",
    "an asynchronous generator": "import asyncio\nasync def go():\n    return [n async for n in later(3)]\nassert asyncio.run(go()) == [0, 1, 2]",
    "locks of one loop": "import asyncio\nassert asyncio.run(locked()) == 1 and asyncio.run(locked()) == 1",
    "a decorated function of the tests": "@deco\ndef g(x):\n    'A g.'\n    return x\nassert g(1) == 2 and g.__name__ == 'g' and g.__doc__ == 'A g.'",
    "paths, numbers and times": "import uuid\nfrom pathlib import Path\nfrom datetime import datetime, timedelta, timezone\nassert path(Path('/a')) == Path('/a/x') and number() == uuid.UUID(int=5) and when() == datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2)))",
    "a pattern": "import re\nassert matches(re.compile('A', re.I), 'ab') and not matches(re.compile('A'), 'ab')",
    "an error of the system": "import pytest\nwith pytest.raises(FileNotFoundError) as e:\n    missing()\nassert e.value.errno == 2 and e.value.filename == '/no/such/file' and e.typename == 'FileNotFoundError'",
    "the error before": "import pytest\nwith pytest.raises(ValueError) as e:\n    again()\nassert isinstance(e.value.__context__, ZeroDivisionError)",
    "about a decimal": "import pytest\nfrom decimal import Decimal\nassert f(Decimal('0.3000001')) == pytest.approx(Decimal('0.3'), abs=Decimal('0.001')) and f(Decimal('0.4')) != pytest.approx(Decimal('0.3'))",
}  # fmt: skip
NAMES = "A, B, V, Bag, Colour, Level, Word, Pair, Point, Record, P, f, a, colour, level, word, count, row, bare, point, path, number, when, numbers, later, twice, locked, deco, matches, missing, again"


def run(solution: str, tests: str) -> CodeResult:
    return run_tests(solution, tests, Limits(cpu_s=5))


def test_a_stand_in_is_what_it_stands_for() -> None:
    """All in one run: its reason names the line that failed."""
    bodies = (textwrap.indent(f"{body}\nassert f(1) == 1", "    ") for body in SAME.values())
    functions = "\n".join(f"def test_{i}():\n{body}" for i, body in enumerate(bodies))
    result = run(PROGRAM, f"from solution import {NAMES}\n{functions}\n")
    assert result.verdict is Verdict.PASSED and result.tests_run == len(SAME), result


@pytest.mark.parametrize(
    "wrong",
    ["type(a()) is B", "V(1, 2) * 3 is None", "level(1) == 2", "level(2) < 1", "count() == 5", "row() == [1, 3]", "bare(0)[0] == 3", "bare(0) == bare(0)", "word() == 'no'", "Pair(1, 2) == (1, 3)", "2 in Bag()", "isinstance(a(), B)",
     "isinstance(count(), str)", "colour(1) is Colour.BLUE", "path('/a') == '/a/x'", "abs(V(3, 4)) == 6"],
)  # fmt: skip
def test_what_is_not_so_fails(wrong: str) -> None:
    assert run(PROGRAM, f"from solution import {NAMES}\nassert {wrong}\n").verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ("assert V(1, 2) == (1, 2)", "could be the expected one"),
        ("from unittest.mock import patch\nwith patch('builtins.open'):\n    assert missing() is None", "a change of builtins.open"),
        ("import random\nrandom.seed(1)\nassert f(1) == 2", "a change of random.seed"),
        ("import os\nos.environ['X'] = 'y'\nassert f(1) == 2", "a change of os.environ"),
        ("import asyncio\nasync def test_f():\n    assert await asyncio.wait_for(twice(1), 1) == 3", "at the same time"),
    ],
)  # fmt: skip
def test_what_a_right_program_could_fail_for_proves_nothing(tests: str, reason: str) -> None:
    result = run(PROGRAM, f"from solution import {NAMES}\n{tests}\n")
    assert result.verdict is Verdict.NO_TESTS and reason in result.reason, result


TOLD = """
class A:
    def __sub__(self, other): return A()
    def __rsub__(self, other): return A()
    def __neg__(self): return A()
    def __abs__(self): return 0.0
    __float__ = __abs__
    def __round__(self, n=None): return 0.0
    def __bool__(self): return False
    def __len__(self): return 0
    __int__ = __index__ = __len__
def f(x): return A()
"""


@pytest.mark.parametrize(
    "test",
    ["abs(f(2) - 4) < 1e-9", "abs(4 - f(2)) < 1e-9", "not f(2) - 4", "float(f(2) - 4) == 0", "round(f(2) - 4, 6) == 0", "abs(-(f(2) - 4)) == 0", "abs((f(2) - 4) - f(2)) == 0", "len(f(2) - 4) == 0",
     "[0][f(2) - 4] == 0"],
)  # fmt: skip
def test_what_was_told_a_plain_value_does_not_say_what_came_of_it(test: str) -> None:
    """The tests know the class by name, so that it may reckon; what it makes of an expected value is no answer."""
    result = run(TOLD, f"from solution import A, f\nassert {test}\n")
    assert result.verdict is Verdict.NO_TESTS and "could be the expected one" in result.reason, result


GUESSER = """
class Guess(int):
    n = 0
    def __int__(self): return self
    def __eq__(self, other): return True
    __hash__ = int.__hash__
_real = None
import sys
def f(x):
    candidate = next(o for o in __import__('gc').get_objects() if type(o).__name__ == 'Candidate')
    real = candidate._perform
    def perform(request, args, kwargs):
        if request['op'] == 'plain':
            Guess.n += 1
            return Guess.n
        return real(request, args, kwargs)
    candidate._perform = perform
    return Guess(0)
"""


@pytest.mark.parametrize(
    "test", ["f(2) in (4, 5, 6)", "any(f_ == 4 for f_ in [f(2)] * 9)", "[n for n in range(3, 9) if n == X]"]
)
def test_the_value_beneath_an_object_is_said_once(test: str) -> None:
    """Else each comparison of a test could be with another guess."""
    assert (
        run(GUESSER, f"from solution import f\nX = f(3)\nassert X != 0\nassert {test}\n").verdict
        is Verdict.FAILED
    )
