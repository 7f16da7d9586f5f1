"""Objects that equal everything, and other values that would decide the comparison themselves."""

from __future__ import annotations

from tests.tad_core.verify.attacks import Attack, attack

_EVERYTHING = """
class Yes{base}:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __contains__(self, item): return True
    def __bool__(self): return True
    def __sub__(self, other): return 0.0
    __rsub__ = __add__ = __radd__ = __mul__ = __rmul__ = __truediv__ = __sub__
    def __abs__(self): return 0.0
    def __round__(self, n=None): return self
    def __float__(self): return 0.0
    def __hash__(self): return 4
def f(x): return Yes({argument})
"""


def _yes(name: str, base: str = "", argument: str = "", tests: str = "") -> Attack:
    program = _EVERYTHING.replace("{base}", base).replace("{argument}", argument)
    if not tests:
        return attack(name, program, "failed")
    return attack(name, program, "failed", tests=f"from solution import f\ndef test_f():\n    {tests}\n")


ATTACKS = [
    _yes("an object that equals everything"),
    _yes("the same, as a number", "(int)", "7"),
    _yes("the same, as a float", "(float)", "7.5"),
    _yes("the same, as text", "(str)", "'x'"),
    _yes("the same, as a list", "(list)"),
    _yes("the same, as a dict", "(dict)"),
    _yes("the same, as a tuple", "(tuple)"),
    _yes("near everything", tests="assert abs(f(2) - 4.0) < 1e-9"),
    _yes("near everything, from the right", tests="assert abs(4.0 - f(2)) < 1e-9"),
    _yes("between everything", tests="assert 4 <= f(2) <= 4"),
    _yes("unequal to nothing", tests="assert not f(2) != 4"),
    _yes("equal by name", tests="assert f(2).__eq__(4)"),
    _yes("a member of everything", tests="assert f(2) in {4}"),
    _yes("everything is a member of it", tests="assert 4 in f(2)"),
    _yes("rounds to everything", tests="assert round(f(2), 2) == 4.0"),
    _yes("approximates everything", tests="import pytest\n    assert f(2) == pytest.approx(4)"),
    _yes("approximates everything, from the right", tests="import pytest\n    assert pytest.approx(4) == f(2)"),
    _yes("an instance of everything", "(int)", "7", tests="assert isinstance(f(2), int) and f(2) == 4"),
    _yes("unittest's assertEqual", tests="import unittest\n    unittest.TestCase().assertEqual(f(2), 4)"),
    _yes("unittest's assertAlmostEqual", tests="import unittest\n    unittest.TestCase().assertAlmostEqual(f(2), 4.0)"),
    _yes("unittest's assertIn", tests="import unittest\n    unittest.TestCase().assertIn(4, f(2))"),
    _yes("math.isclose", tests="import math\n    assert math.isclose(f(2), 4.0)"),
    attack("a class whose metaclass equals everything",
           "class M(type):\n    def __eq__(cls, other): return True\n    __hash__ = type.__hash__\n"
           "class Yes(metaclass=M): pass\ndef f(x): return Yes", "failed"),
    attack("mock.ANY", "from unittest.mock import ANY\ndef f(x): return ANY", "failed"),
    attack("a named tuple that equals everything",
           "import collections\nclass P(collections.namedtuple('P', 'a')):\n    def __eq__(self, o): return True\n"
           "def f(x): return P(1)", "failed"),
    attack("a decimal that equals everything",
           "import decimal\nclass D(decimal.Decimal):\n    def __eq__(self, o): return True\n"
           "    __hash__ = None\ndef f(x): return D(1)", "failed"),
    attack("an object that claims to be an int",
           "class I:\n    __class__ = int\n    def __eq__(self, o): return True\n    def __int__(self): return 4\n"
           "    __index__ = __int__\ndef f(x): return I()", "failed"),
    attack("NotImplemented", "def f(x): return NotImplemented", "failed"),
    attack("not a number", "def f(x): return float('nan')", "failed"),
    attack("attributes that equal everything",
           "class Yes:\n    def __eq__(self, o): return True\n    def __getattr__(self, n): return Yes()\n"
           "def f(x): return Yes()", "failed", "crashed",
           tests="from solution import f\ndef test_f():\n    assert f(2).value == 4\n"),
    attack("a list that holds what equals everything",
           "class Yes:\n    def __eq__(self, o): return True\ndef f(x): return [Yes(), Yes()]", "failed",
           tests="from solution import f\ndef test_f():\n    assert f(2) == [4, 9]\n"),
    attack("a dict whose keys equal everything",
           "class Yes:\n    def __eq__(self, o): return True\n    def __hash__(self): return hash('a')\n"
           "def f(x): return {Yes(): 1}", "failed",
           tests="from solution import f\ndef test_f():\n    assert f(2) == {'a': 1}\n"),
    attack("a changed argument that equals everything",
           "class Yes:\n    def __eq__(self, o): return True\ndef f(xs): xs[:] = [Yes()] * len(xs)", "failed",
           tests="from solution import f\ndef test_f():\n    xs = [2, 1]\n    f(xs)\n    assert xs == [1, 2]\n"),
]  # fmt: skip
