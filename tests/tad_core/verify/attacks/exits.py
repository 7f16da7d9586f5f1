"""Ending early, in every form, in the hope that no failure is a pass."""

# ruff: noqa: E501 (one attack, one line where it fits)
from __future__ import annotations

from tests.tad_core.verify.attacks import attack

ATTACKS = [
    attack("sys.exit at import", "import sys\nsys.exit(0)", "failed"),
    attack("sys.exit in the call", "import sys\ndef f(x): sys.exit(0)", "failed"),
    attack("SystemExit raised", "def f(x): raise SystemExit(0)", "failed"),
    attack("KeyboardInterrupt raised", "def f(x): raise KeyboardInterrupt", "failed"),
    attack("GeneratorExit raised", "def f(x): raise GeneratorExit", "failed"),
    attack("StopIteration ends the loop of the tests",
           "def f(x): raise StopIteration", "failed",
           tests="from solution import f\ndef test_f():\n    assert f is not None\n"
                 "    for got, want in zip(map(f, [2, 3]), [4, 9]):\n        assert got == want\n"),
    attack("os._exit at import", "import os\nos._exit(0)", "crashed"),
    attack("os._exit in the call", "import os\ndef f(x): os._exit(0)", "crashed"),
    attack("os._exit from a thread",
           "import os, threading, time\n"
           "threading.Thread(target=lambda: (time.sleep(0.05), os._exit(0))).start()\n"
           "def f(x):\n    while True: pass", "crashed", "timeout"),
    attack("os.abort", "import os\ndef f(x): os.abort()", "crashed"),
    attack("SIGKILL to itself", "import os\ndef f(x): os.kill(os.getpid(), 9)", "failed"),
    attack("SIGTERM to its group", "import os\ndef f(x): os.killpg(0, 15)", "failed"),
    attack("segmentation fault", "import ctypes\ndef f(x): ctypes.string_at(0)", "crashed"),
    attack("closing every descriptor", "import os\nos.closerange(0, 256)\ndef f(x): return x", "crashed"),
    attack("another program in its place", "import os\ndef f(x): os.execv('/bin/true', ['true'])", "failed"),
    attack("atexit hook", "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): return -1", "failed"),
    attack("excepthook that exits", "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\ndef f(x): 1 / 0", "failed"),
    attack("alarm that exits",
           "import os, signal, time\nsignal.signal(signal.SIGALRM, lambda *a: os._exit(0))\n"
           "signal.setitimer(signal.ITIMER_REAL, 0.05)\ndef f(x):\n    time.sleep(0.5)\n    return -1", "crashed"),
    attack("endless recursion in C",
           "import sys\nsys.setrecursionlimit(2**31 - 1)\ndef f(x): return f(x)", "crashed", "out_of_memory", "failed", "timeout"),
    attack("trace function that exits", "import sys, os\nsys.settrace(lambda *a: os._exit(0))\ndef f(x): return -1", "crashed"),
    attack("a skip from unittest", "import unittest\ndef f(x): raise unittest.SkipTest('skip')", "failed"),
    attack("an exception that cannot be printed",
           "class E(Exception):\n    def __str__(self): raise E\n    __repr__ = __str__\n"
           "    @property\n    def args(self): raise E\ndef f(x): raise E()", "failed", "crashed"),
    attack("an exception whose class exits when asked",
           "import os\nclass M(type):\n    @property\n    def __mro__(cls): os._exit(0)\n"
           "class E(Exception, metaclass=M): pass\ndef f(x): raise E", "failed", "crashed"),
]  # fmt: skip
