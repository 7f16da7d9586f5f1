"""A second look, by other means: doors that are not on the first list, and words turned in the mouth."""

# ruff: noqa: E501 (one attack, one line where it fits)
from __future__ import annotations

from tests.tad_core.verify.attacks import Attack, attack, reach
from tests.tad_core.verify.attacks.forging import FORGE

#: Bytes of machine code in memory that may be run, as a function without arguments.
_CODE = """
import mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex('{code}'))
call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
return call() {wanted}
"""


def machine(name: str, code: str, wanted: str, *expected: str) -> Attack:
    """An attack in machine code, which no wrapper of the C library sees."""
    return reach(name, _CODE.replace("{code}", code).replace("{wanted}", wanted), *expected)


_DATAGRAM = "import socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
_LIAR = "class Yes:\n    def {method}(self, *a): return {value}\ndef f(x): return Yes()"


def _liar(method: str, value: str, test: str) -> Attack:
    program = _LIAR.replace("{method}", method).replace("{value}", value)
    return attack(
        f"an object with its own {method}",
        program,
        "no_tests",
        tests=f"from solution import f\ndef test_f():\n    assert {test}\n",
    )


#: System calls that nobody needs: mounting by the new calls, swapping, modules, other clocks, io_uring …
_NEVER = (
    57, 58, 59, 101, 135, 136, 139, 153, 154, 155, 156, 159, 161, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 175,
    176, 179, 188, 203, 205, 206, 222, 227, 237, 238, 240, 246, 248, 249, 250, 251, 253, 256, 272, 275, 276, 278, 279, 282, 294,
    298, 300, 303, 304, 305, 308, 310, 311, 312, 313, 317, 319, 320, 321, 322, 323, 424, 425, 426, 427, 428, 429, 430, 431, 432,
    434, 438, 440, 442, 443, 444, 445, 446, 447, 448, 450, 453, 454,
)  # fmt: skip

ATTACKS = [
    # talking without connecting
    reach("a datagram to a socket in a folder of the host", _DATAGRAM + "a.sendto(b'x', '{host}/mailbox')\nreturn True"),
    reach("the same with ancillary data", _DATAGRAM + "a.sendmsg([b'x'], [], 0, '{host}/mailbox')\nreturn True"),
    reach("a datagram to an abstract socket", _DATAGRAM + "a.sendto(b'x', '\\0{abstract}-mail')\nreturn True"),
    reach("a stream that is told an address", "import socket\na, b = socket.socketpair()\na.sendto(b'x', '{host}/mailbox')\nreturn True"),
    reach("descriptors through a socket pair",
          "import array, socket\na, b = socket.socketpair()\n"
          "a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0]))])\nreturn b.recvmsg(1, 64)[1]"),
    reach("a packet filter in the kernel",
          "import socket, struct\na, b = socket.socketpair()\ncode = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0))\n"
          "a.setsockopt(socket.SOL_SOCKET, 26, struct.pack('HP', 1, ctypes.addressof(code)))\nreturn True"),
    # around the filter
    machine("fork by the 32-bit gate", "b802000000cd80c3", ">= 0", "crashed"),
    machine("a socket by the 32-bit gate", "b867010000bb02000000b901000000ba00000000cd80c3", ">= 0", "crashed"),
    machine("fork by the instruction itself", "b8390000000f05c3", ">= 0"),
    reach("fork by the x32 numbers", "return libc.syscall(0x40000000 + 57) >= 0", "crashed"),
    reach("any door of the kernel that is not on the list",
          f"open_doors = []\nfor number in {_NEVER!r}:\n    ctypes.set_errno(0)\n"
          "    if libc.syscall(number, -1, -1, -1, -1, -1, -1) != -1 or ctypes.get_errno() != 1: open_doors.append(number)\nreturn open_doors"),
    reach("being seen by other processes again", "return libc.prctl(4, 1, 0, 0, 0) == 0 or libc.prctl(0x59616d61, -1, 0, 0, 0) == 0"),
    reach("a thread in a user namespace", "return libc.syscall(56, 0x10000000 | 0x10f00, 0, 0, 0, 0) > 0"),
    reach("a signal to a thread", "return libc.syscall(200, {victim}, 9) == 0 or libc.syscall(297, {victim}, 9, b'\\0' * 128) == 0"),
    reach("a timer that signals others", "return libc.syscall(222, 1, ctypes.create_string_buffer(64), ctypes.create_string_buffer(8)) == 0"),
    # passing for a failure of the verifier, which would stop the run
    attack("the status that means a missing protection", "import os\ndef f(x): os._exit(71)", "crashed"),
    attack("the same at import", "import os\nos._exit(71)", "crashed"),
    attack("a death that looks like the host's", "import resource\ntry: resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\n"
           "except (ValueError, OSError): pass\ndef f(x):\n    while True: pass", "timeout"),
    attack("half a character in the message", "def f(x): raise ValueError('\\ud800 \\x00 \\udfff')", "failed"),
    # turning words in the mouth
    _liar("startswith", "True", "f(2).startswith('expected')"),
    _liar("issubset", "True", "f(2).issubset({4, 9})"),
    _liar("count", "3", "f(2).count(4)"),
    _liar("find", "0", "f(2).find('expected') != -1"),
    attack("a function that is its own class, with its own index", "class f(list):\n    def __init__(self, x): pass\n    def index(self, *a): return 0",
           "failed", tests="from solution import f\ndef test_f():\n    assert f(2)[f(2).index(4)] == 4\n"),
    attack("a named tuple whose field hides count", "import collections\nP = collections.namedtuple('P', 'count')\ndef f(x): return P(lambda *a: 3)",
           "no_tests", tests="from solution import f\ndef test_f():\n    assert f(2).count(4) == 3\n"),
    attack("StopIteration from an index ends map", "class R:\n    def __getitem__(self, k): raise StopIteration\ndef f(x): return R()", "failed",
           tests="from solution import f\ndef test_f():\n    assert all(map(lambda r: r[0] == 4, [f(2), f(3)]))\n"),
    attack("StopIteration from a length ends map", "class R:\n    def __len__(self): raise StopIteration\ndef f(x): return R()", "failed",
           tests="from solution import f\ndef test_f():\n    assert all(map(lambda r: len(r) == 4, [f(2), f(3)]))\n"),
    attack("StopIteration of its own class ends map",
           "class Stop(StopIteration): pass\nclass R:\n    def __getitem__(self, k): raise Stop\ndef f(x): return R()", "failed",
           tests="from solution import f\ndef test_f():\n    assert all(map(lambda r: r[0] == 4, [f(2), f(3)]))\n"),
    attack("StopIteration from a truth ends filter", "class R:\n    def __bool__(self): raise StopIteration\ndef f(x): return R()", "failed",
           tests="from solution import f\ndef test_f():\n    assert list(filter(f, [2, 3])) == []\n"),
    attack("a helper that the tests forgot to import", "def f(x): return -1\ndef close(a, b): return True", "failed",
           tests="from solution import f\ndef test_f():\n    assert close(f(2), 4)\n"),
    attack("the same, where the module is imported", "def f(x): return -1\ndef close(a, b): return True", "failed",
           tests="import solution\ndef test_f():\n    assert close(solution.f(2), 4)\n"),
    attack("no parameters to run with", "def f(x): return -1\nCASES = []", "no_tests",
           tests="import pytest\nfrom solution import CASES, f\ndef test_other():\n    assert f is not None\n    assert f(1) == -1\n"
                 "@pytest.mark.parametrize('x, y', CASES)\ndef test_f(x, y):\n    assert f(x) == y\n"),
    attack("a unittest that asserts nothing", "def f(x): return -1", "no_tests",
           tests="import unittest\nfrom solution import f\nclass T(unittest.TestCase):\n    def test_f(self):\n        f(2)\n"),
    attack("a greeting with names of its own",
           FORGE + "forge({'names': ['f', 'abs', '__builtins__', '__tad_count__', 'pytest'], 'error': None})\ndef f(x): return -1",
           "failed", "crashed", tests="def test_f():\n    assert abs(f(2) - 4) < 1\n"),
    attack("numbers as JSON does not know them", FORGE + "def f(x):\n    forge({'ok': float('nan')})\n    return -1", "failed", "crashed"),
    attack("a number of ten million digits",
           "import os, struct\ndef f(x):\n    body = b'{\"ok\":' + b'9' * 10**7 + b'}'\n    data = struct.pack('>I', len(body)) + body\n"
           "    while data: data = data[os.write(4, data):]\n    return 4", "timeout", "failed", "crashed"),
    attack("nested beyond reading",
           "import os, struct\ndef f(x):\n    body = b'[' * 10**6\n    data = struct.pack('>I', len(body)) + body\n"
           "    while data: data = data[os.write(4, data):]\n    return 4", "crashed"),
    attack("millions of empty lists",
           "import os, struct\ndef f(x):\n    body = b'{\"ok\":[' + b'[],' * (20 << 20) + b'1]}'\n    data = struct.pack('>I', len(body)) + body\n"
           "    while data: data = data[os.write(4, data):]\n    return 4", "crashed", "failed", "out_of_memory", "timeout"),
    attack("endless questions back", "def f(g):\n    while True: g(1)", "timeout",
           tests="from solution import f\ndef test_f():\n    assert f(lambda x: x) == 4\n"),
    attack("endless ping-pong", "def f(g): return g(g)", "failed", "crashed", "timeout", "out_of_memory",
           tests="from solution import f\ndef again(g):\n    return f(again)\ndef test_f():\n    assert f(again) == 4\n"),
    attack("a function of the tests by a negative number", FORGE + "def f(g):\n    forge({'ok': {'t': 'examiner', 'v': -1}})\n    return 4",
           "failed", "crashed", tests="from solution import f\ndef test_f():\n    assert f(lambda: 4) == 4.5\n"),
    attack("deaf: it answers and never listens", FORGE + "import os\nos.close(3)\nforge({'names': ['f'], 'error': None})\nwhile True: forge({'ok': 4})",
           "crashed", "timeout", "failed"),
    attack("a text that no parser survives", "x = " + "-" * 5000 + "1\ndef f(x): return -1", "failed", "crashed"),
    attack("an import of what is not there", "import numpy\ndef f(x): return x * x", "missing_package"),
]  # fmt: skip
