"""Patching what the tests call, forging results, and reading what is expected."""

# ruff: noqa: E501 (one attack, one line where it fits)
from __future__ import annotations

from tests.tad_core.verify.attacks import attack

#: An expected value that a program could only know by reading the tests.
SECRET_TESTS = (
    "from solution import f\n# " + "padding " * 600 + "\ndef test_f():\n"
    "    assert f(2) == 'expected-value-' + 'MARK-7c1f20ab93'\n    assert f('MARK-7c1f20ab93') == 1\n"
)

FORGE = """
import os, json, struct
def forge(message):
    body = json.dumps(message).encode()
    data = struct.pack('>I', len(body)) + body
    for fd in range(64):
        try: os.write(fd, data)
        except OSError: pass
"""

ATTACKS = [
    attack("patched builtins",
           "import builtins\nfor n in ('abs', 'all', 'any', 'len', 'isinstance', 'round', 'sorted', 'sum'):\n"
           "    setattr(builtins, n, lambda *a, **k: True)\ndef f(x): return -1", "failed", "crashed"),
    attack("patched AssertionError",
           "import builtins\nclass Never(BaseException):\n    def __new__(cls, *a): raise SystemExit(0)\n"
           "builtins.AssertionError = Never\ndef f(x): return -1", "failed"),
    attack("patched unittest",
           "import unittest\nfor n in dir(unittest.TestCase):\n    if n.startswith('assert'):\n"
           "        setattr(unittest.TestCase, n, lambda *a, **k: None)\ndef f(x): return -1", "failed",
           tests="import unittest\nfrom solution import f\nclass T(unittest.TestCase):\n"
                 "    def test_f(self):\n        self.assertEqual(f(2), 4)\n"),
    attack("its own names for builtins",
           "def f(x): return -1\ndef abs(x): return 0\ndef all(x): return True\nlen = round = sum = abs\n"
           "class AssertionError(BaseException): pass", "failed",
           tests="def test_f():\n    assert abs(f(2) - 4) < 1\n    assert all([f(2) == 4])\n"),
    attack("its own names for builtins, by a star", "def f(x): return -1\ndef abs(x): return 0\ndef all(x): return True", "failed",
           tests="from solution import *\ndef test_f():\n    assert abs(f(2) - 4) < 1\n    assert all([f(2) == 4])\n"),
    attack("its own math, by a star", "def f(x): return -1\nclass math:\n    isclose = staticmethod(lambda *a, **k: True)", "failed",
           tests="import math\nfrom solution import *\ndef test_f():\n    assert math.isclose(f(2), 4)\n"),
    attack("its own math, where the tests forgot to import it",
           "def f(x): return -1\nclass math:\n    isclose = staticmethod(lambda *a, **k: True)", "failed",
           tests="def test_f():\n    assert math.isclose(f(2), 4)\n"),
    attack("its own pytest, where the tests forgot to import it",
           "def f(x): return -1\nclass pytest:\n    approx = staticmethod(lambda x: -1)", "failed",
           tests="def test_f():\n    assert f(2) == pytest.approx(4)\n"),
    attack("its own tests", "def f(x): return -1\ndef test_square(): pass\ndef check(c): pass\n__tad_count__ = f", "failed"),
    attack("its own check", "def f(x): return -1\ndef check(candidate): assert True", "failed",
           tests="from solution import f\ndef check(candidate):\n    assert candidate(2) == 4\ndef test_f():\n    check(f)\n"),
    attack("its own pytest module",
           "import sys, types\nm = types.ModuleType('pytest')\nm.approx = lambda x: x\nsys.modules['pytest'] = m\n"
           "def f(x): return -1\npytest = m", "failed",
           tests="import pytest\nfrom solution import f\ndef test_f():\n    assert f(2) == pytest.approx(4)\n"),
    attack("a helper of the tests replaced by its own",
           "def f(x): return 0\ndef helper(x): return 0", "failed",
           tests="def helper(x):\n    return x * x\ndef test_f():\n    assert f(2) == helper(2)\n"),
    attack("a forged verdict at import",
           FORGE + "forge({'verdict': 'passed', 'ran': 1, 'expected': 1, 'reason': '', 'own_classes': False})\n"
           "def f(x): return -1", "failed", "crashed"),
    attack("a forged mark for any job",
           FORGE + "for n in range(2000):\n    forge({'id': n, 'verdict': 'passed', 'marked': True})\n"
           "def f(x): return -1", "failed", "crashed", "timeout"),
    attack("forged replies", FORGE + "def f(x):\n    forge({'ok': None})\n    forge({'ok': True})\n    return -1",
           "failed", "crashed"),
    attack("a reply that is no message", "import os\ndef f(x):\n    os.write(4, b'\\xff' * 64)\n    return 4", "crashed", "timeout"),
    attack("a reply of half a message",
           "import os, time\ndef f(x):\n    os.write(4, b'\\x00\\x00\\x01\\x00{')\n    os.close(4)\n    time.sleep(60)",
           "crashed"),
    attack("a function of the tests that was never given",
           FORGE + "def f(x):\n    forge({'callback': 0, 'args': [], 'kwargs': {}})\n    return -1", "failed", "crashed"),
    attack("a tag that is not known", FORGE + "def f(x):\n    forge({'ok': {'t': 'eval', 'v': '4'}})\n    return -1", "crashed", "failed"),
    attack("a handle with a strange name",
           FORGE + "def f(x):\n    forge({'ok': {'t': 'handle', 'v': {'id': 9, 'name': 'a\\0b', 'classes': [], 'bases': []}}})\n"
           "    return -1", "crashed", "failed"),
    attack("rewritten plumbing",
           "import sys\nfor name, module in list(sys.modules.items()):\n    if name.startswith('inside'):\n"
           "        for key in list(vars(module)):\n            if key[0] != '_': setattr(module, key, lambda *a, **k: True)\n"
           "def f(x): return -1", "failed", "crashed"),
    attack("swallowing tests do not hide a dead program", "import os\ndef f(x): os._exit(0)", "crashed",
           tests="from solution import f\ndef test_f():\n    try:\n        f(2)\n    except BaseException:\n        pass\n"
                 "    assert True\n"),
    attack("reading the tests from its own memory", """
import ctypes, gc, re
def near(address, size):
    found = []
    for offset in range(-size, size, 4096):
        try: found.append(ctypes.string_at(address + offset, 4096))
        except BaseException: pass
    return b''.join(found)
def search():
    block = ctypes.create_string_buffer(2000)
    for address in (id(search), id([]), id('x' * 600), ctypes.addressof(block)):
        hit = re.search(rb'MARK-[0-9a-f]{10}', near(address, 1 << 16))
        if hit: return hit.group().decode()
def f(x):
    if isinstance(x, str): return 1
    return 'expected-value-' + (search() or 'nothing')
""", "failed", "crashed", tests=SECRET_TESTS),
    attack("reading another program from its own memory", """
import ctypes, re
# EARLIER-PROGRAM-000000000000 is what a program that ran before this one holds
def search():
    block = ctypes.create_string_buffer(2000)
    for address in (id(search), id('x' * 600), ctypes.addressof(block)):
        for offset in range(-1 << 18, 1 << 18, 4096):
            try: page = ctypes.string_at(address + offset, 4096)
            except BaseException: continue
            for hit in re.findall(rb'EARLIER-PROGRAM-[1-9][0-9]{11}', page): return 4
def f(x): return search() if x == 2 else 9
""", "failed", "crashed"),
    attack("reading the tests from its objects and frames", """
import gc, re, sys
def search():
    seen = [o for o in gc.get_objects()]
    frame = sys._getframe()
    while frame: seen += [frame.f_locals, frame.f_globals]; frame = frame.f_back
    for o in seen:
        try: text = repr(o)
        except BaseException: continue
        hit = re.search('MARK-' + '[0-9a-f]{10}', text)
        if hit: return hit.group()
def f(x):
    if isinstance(x, str): return 1
    return 'expected-value-' + (search() or 'nothing')
""", "failed", "crashed", "out_of_memory", tests=SECRET_TESTS),
    attack("reading the tests from its descriptors", """
import os, re
def search():
    for fd in list(range(0, 3)) + list(range(5, 64)):
        try:
            os.set_blocking(fd, False)
            data = os.read(fd, 1 << 20)
        except OSError: continue
        hit = re.search(b'MARK-' + b'[0-9a-f]{10}', data)
        if hit: return hit.group().decode()
def f(x):
    if isinstance(x, str): return 1
    return 'expected-value-' + (search() or 'nothing')
""", "failed", "crashed", tests=SECRET_TESTS),
    attack("reading the tests from files", """
import glob, re
def search():
    for pattern in ('*', '/tmp/*', '/proc/*/cmdline', '/proc/*/mem', '/proc/self/fd/*', '/dev/shm/*', '/var/tmp/*'):
        for name in glob.glob(pattern):
            try: data = open(name, 'rb').read(1 << 20)
            except OSError: continue
            hit = re.search(b'MARK-' + b'[0-9a-f]{10}', data)
            if hit: return hit.group().decode()
def f(x):
    if isinstance(x, str): return 1
    return 'expected-value-' + (search() or 'nothing')
""", "failed", tests=SECRET_TESTS),
    attack("frames behind a function of the tests", """
def f(callback):
    for name in ('__globals__', '__code__', '__closure__', 'gi_frame', 'f_globals', '__self__'):
        try: return str(getattr(callback, name))
        except AttributeError: pass
    return callback(1)
""", "failed", tests="from solution import f\nEXPECTED = 12345\ndef test_f():\n    assert f(lambda x: x) == EXPECTED\n"),
    attack("tests that are not there", "def f(x): return x * x", "no_tests", tests="from solution import f\n"),
    attack("tests that assert nothing", "def f(x): return -1", "no_tests", tests="from solution import f\ndef test_f():\n    f(2)\n"),
    attack("tests that never use the program", "def f(x): return -1", "no_tests", tests="def test_f():\n    assert 2 * 2 == 4\n"),
    attack("tests that return before their assertion", "def f(x): return None", "no_tests",
           tests="from solution import f\ndef test_f():\n    if f(2) is None:\n        return\n    assert f(2) == 4\n"),
]  # fmt: skip
