"""A hostile program that is run before any other: it must fail at everything it tries."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tad_core.verify.sandbox.launch import Keeper, KeeperError

_PROGRAM = '''
import os, sys

HOST = {host!r}
EPERM = 1

def attempts():
    """What succeeded and should not have.

    Nothing here does harm where it succeeds: files are opened and not written, and calls that would
    change the machine get arguments that cannot work, so that only permission is asked for.
    """
    import ctypes, socket
    libc = ctypes.CDLL(None, use_errno=True)

    def permitted(outcome):
        assert outcome >= 0 or ctypes.get_errno() != EPERM

    def network(): socket.socket()
    def read_host(): open(HOST + "/secret").read()
    def write_host(): open(HOST + "/mark", "w").write("x")
    def write_root(): os.open("/", os.O_TMPFILE | os.O_RDWR)
    def write_etc(): os.open("/etc", os.O_TMPFILE | os.O_RDWR)
    def write_library(): open(os.__file__, "r+")
    def passwords(): open("/etc/passwd").read()
    def environment_of_init(): open("/proc/1/environ", "rb").read()
    def environment_of_parent(): open("/proc/%d/environ" % os.getppid(), "rb").read()
    def own_environment(): assert os.environ
    def fork():
        if os.fork() == 0:
            os._exit(0)
    def execute(): permitted(libc.execve(b"/nowhere", None, None))
    def signal_parent(): os.kill(os.getppid() or 1, 0)
    def signal_all(): os.kill(-1, 0)
    def user_namespace(): permitted(libc.unshare(0x10000000))
    def mount(): permitted(libc.mount(b"none", b"/nowhere", b"tmpfs", 0, None))
    def trace(): permitted(libc.ptrace(1, 1, 0, 0))
    def shared_memory(): permitted(libc.shmget(0x7AD0FE, 4096, 0))
    def message_queue(): permitted(libc.msgget(0x7AD0FE, 0))
    def more_memory():
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    def become_root(): os.setuid(0)

    found = []
    for attempt in [item for item in locals().values() if hasattr(item, "__code__") and item is not permitted]:
        try:
            attempt()
        except BaseException:
            continue
        found.append(attempt.__name__)
    return found

def harmless():
    return sorted([3, 1, 2])
'''
_TESTS = """
def test_sandbox():
    found = attempts()
    assert found == [], found
    assert harmless() == [1, 2, 3]
"""


#: What says nothing of the tier is tried so often: a process that was killed, a machine that stood still.
_ATTEMPTS = 3
_NO_ANSWER = ("infrastructure_error", "timeout", "crashed")


def probe(tier: int) -> list[str]:
    """Start a tier (1 or 2), run the hostile program in it, and say what is wrong; empty if nothing is."""
    found: list[str] = []
    for _ in range(_ATTEMPTS):
        found, answered = _try(tier)
        if answered:
            break
    return found


def _try(tier: int) -> tuple[list[str], bool]:
    """What is wrong, and whether the tier answered."""
    keeper = Keeper(tier)
    with tempfile.TemporaryDirectory(prefix="tad-probe-") as host:
        Path(host).chmod(0o777)
        (Path(host) / "secret").write_text("secret")
        (Path(host) / "secret").chmod(0o666)
        limits = {
            "memory_mb": 512,
            "cpu_s": 10,
            "wall_s": 30,
            "output_limit": 1000,
        }
        try:
            report = keeper.run(
                limits,
                {"solution": _PROGRAM.replace("{host!r}", repr(host))},
                {"tests": _TESTS, "prelude": "", "entry_point": None},
            )
        except KeeperError as error:
            return [str(error)], False
        finally:
            keeper.kill()
        if (Path(host) / "mark").exists():
            return ["a program wrote to a folder of the host"], True
    if report["verdict"] == "passed":
        return [], True
    return [f"self-test: {report['verdict']}: {report['reason']}"], report["verdict"] not in _NO_ANSWER
