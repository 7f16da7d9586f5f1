"""Failed assertions that the program would have nobody notice, and answers of its own to the tests' questions."""

# ruff: noqa: E501 (one attack, one line where it fits)
from __future__ import annotations

from tests.tad_core.verify.attacks import Attack, attack

_SWALLOW = (
    "class Calm:\n    def __enter__(self): return self\n    def __exit__(self, *what): return True\n"
    "    async def __aenter__(self): return self\n    async def __aexit__(self, *what): return True\n"
    "def f(x): return -1\ndef g(x): raise KeyError(x)\n"
)
_TAKE = "from solution import Calm, f, g\nassert f is not None\n"


def _calm(name: str, tests: str) -> Attack:
    return attack(name, _SWALLOW, "failed", tests=_TAKE + tests)


def _asked(method: str, tests: str, answer: str = "True") -> list[Attack]:
    """A method of a plain value, answered by an object, by a named tuple of a type and by a smuggled class."""
    own = f"class Yes:\n    def {method}(self, *what): return {answer}\n"
    tupled = f"import collections\nYes = collections.namedtuple('Yes', '{method}')\ndef f(x): return Yes({'bool' if answer == 'True' else 'list'})"
    take = "from solution import f\ndef test_f():\n"
    return [
        attack(f"its own {method}", own + "def f(x): return Yes()", "no_tests", "failed", tests=f"{take}    {tests}\n"),
        attack(f"a type as {method}", tupled, "no_tests", "failed", tests=f"{take}    {tests}\n"),
        attack(f"its own {method}, its class put into an argument",
               own + "def f(x, xs=None):\n    if xs is not None: xs.append(Yes)\n    return Yes()", "no_tests", "failed",
               tests=f"{take}    xs = []\n    f(2, xs)\n    {tests}\n"),
    ]  # fmt: skip


ATTACKS = [
    _calm("__exit__ swallows the assertion", "with Calm():\n    assert f(2) == 4"),
    _calm("__aexit__ swallows the assertion", "async def test_f():\n    async with Calm():\n        assert f(2) == 4"),
    _calm("__exit__ swallows unittest's assertion", "import unittest\nwith Calm():\n    unittest.TestCase().assertEqual(f(2), 4)"),
    _calm("__exit__ swallows what was not raised", "import pytest\nwith Calm():\n    with pytest.raises(ValueError):\n        f(2)"),
    _calm("__exit__ swallows its own error before the assertion", "with Calm():\n    assert g(2) == 4"),
    _calm("__exit__ swallows the error of what it returned", "with Calm():\n    x = f(2)[0]\n    assert x == 4"),
    _calm("__exit__ swallows it from a function", "def check(x):\n    assert f(x) == 4\nwith Calm():\n    check(2)"),
    _calm("__exit__ by a stack", "import contextlib\nwith contextlib.ExitStack() as s:\n    s.enter_context(Calm())\n    assert f(2) == 4"),
    attack("__exit__ raises what is expected instead",
           "class Calm:\n    def __enter__(self): return self\n    def __exit__(self, *what): raise ValueError\ndef f(x): return -1", "failed",
           tests="import pytest\nfrom solution import Calm, f\nassert f is not None\nwith pytest.raises(ValueError):\n    with Calm():\n        assert f(2) == 4"),
    attack("an assertion in a function that it calls", "def f(g):\n    try: g(-1)\n    except Exception: pass", "failed",
           tests="from solution import f\nassert f is not None\ndef check(x):\n    assert x == 4\ndef test_f():\n    f(check)"),
    attack("an error class that is every error", "Bad = Exception\ndef f(x): return -1", "failed",
           tests="from solution import Bad, f\nassert f(1) == -1\ntry:\n    f(-1)\n    assert False\nexcept Bad:\n    pass"),
    *(
        attack(f"an error class that is every error, and {name}", "Bad = Exception\ndef f(x): return -1", "failed",
               tests="import pytest, unittest\nfrom solution import Bad, f\nassert f(1) == -1\nclass T(unittest.TestCase):\n"
               f"    def test_f(self):\n        try:\n            f(-1)\n            {statement}\n        except Bad:\n            pass")
        for name, statement in (("raise", "raise AssertionError('no')"), ("unittest's fail", "self.fail('no')"), ("pytest's fail", "pytest.fail('no')"))
    ),
    attack("an error class that is an assertion's", "class Bad(AssertionError): pass\ndef f(x): raise Bad", "failed",
           tests="from solution import f\ndef test_f():\n    assert f(2) == 4"),
    attack("a thread of the tests fails", "def f(x): return -1", "failed",
           tests="import threading\nfrom solution import f\nassert f(1) == -1\ndef check():\n    assert f(2) == 4\n"
                 "def test_f():\n    t = threading.Thread(target=check)\n    t.start()\n    t.join()"),
    *_asked("symmetric_difference", "assert not f(2).symmetric_difference({4})", "set()"),
    *_asked("intersection", "assert f(2).intersection({4})"),
    *_asked("compare", "import decimal\n    assert f(2).compare(decimal.Decimal(4)) == 0", "0"),
    *_asked("difference", "assert not f(2).difference({4})", "set()"),
    *_asked("startswith", "assert f(2).startswith('four')"),
    *_asked("removeprefix", "assert f(2).removeprefix('four') == ''", "''"),
]  # fmt: skip
