"""Give up, in a freshly forked process and for good, everything a program under test must not have.

The order matters: namespaces and mounts need privilege, the identity goes next, then privilege itself,
and the system-call filter comes last because it forbids most of what was done before it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from dataclasses import dataclass
from typing import Any

_libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL: keep the interpreter's lock across clone()

_CLONE_NEWNS, _CLONE_NEWPID, _SIGCHLD = 0x00020000, 0x20000000, 17
_CLONE_CALL = {"x86_64": 56, "aarch64": 220}
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP = 1, 4, 22
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_CAPABILITY_VERSION_3 = 0x20080522

_libc.syscall.restype = ctypes.c_long


class LockdownError(Exception):
    """A protection could not be put up: the program is not run."""


@dataclass(frozen=True)
class Settings:
    """How a program is confined; plain data from the parent.

    Attributes:
        tier: 1 (namespaces), 2 (Landlock, seccomp, own uid) or 3 (limits only).
        filter: the compiled seccomp filter; empty in tier 3.
        uids: one uid for each of the two sides, or empty to keep the present one.
        ruleset: descriptor of a Landlock ruleset to enter; -1 for none.
        memory_mb: address space, MiB.
        cpu_s: CPU seconds.
        scratch_mb: size of the private /tmp, MiB (tier 1; there is none in tier 2).
    """

    tier: int
    filter: bytes = b""
    uids: tuple[int, ...] = ()
    ruleset: int = -1
    memory_mb: int = 1024
    cpu_s: int = 10
    scratch_mb: int = 16


def _syscall(number: int, *args: Any) -> int:
    words = (ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args)
    return int(_libc.syscall(ctypes.c_long(number), *words))


def fork(own_namespaces: bool) -> int:
    """Fork, in tier 1 into new process and mount namespaces, as ``os.fork`` otherwise."""
    if not own_namespaces:
        return os.fork()
    ctypes.pythonapi.PyOS_BeforeFork()
    number = _CLONE_CALL[os.uname().machine]
    pid = _syscall(number, _CLONE_NEWNS | _CLONE_NEWPID | _SIGCHLD, 0, 0, 0, 0)
    error = ctypes.get_errno()
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, f"clone into new namespaces: {os.strerror(error)}")
    return int(pid)


def confine(settings: Settings, side: int) -> None:
    """Confine this process. ``side`` is 0 for the tests and 1 for the program."""
    os.umask(0o077)
    if settings.tier == 1:
        options = f"size={settings.scratch_mb}m,nr_inodes=4096,mode=0700".encode()
        flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
        _check(_libc.mount(b"tmpfs", b"/tmp", b"tmpfs", flags, options), "mount a private /tmp")
        os.chdir("/tmp")
    if settings.uids:
        uid = settings.uids[side]
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _prctl(_PR_SET_PDEATHSIG, 9)  # after the change of identity, which clears it
    if settings.tier == 3:
        _limit(settings)
        return
    _prctl(_PR_SET_DUMPABLE, 0)
    _drop_capabilities()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _limit(settings)
    if settings.ruleset >= 0:
        _enter(settings.ruleset)
    _seccomp(settings.filter)


def confine_reader(program: bytes) -> None:
    """For a process that only computes: it may read files, but not write, connect or start anything."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _enter(landlock_ruleset(("/",)))
    _seccomp(program)


def _limit(settings: Settings) -> None:
    size = settings.memory_mb << 20
    limits = {
        resource.RLIMIT_AS: size,
        resource.RLIMIT_CPU: settings.cpu_s,
        resource.RLIMIT_FSIZE: settings.scratch_mb << 20,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 64,
    }
    if settings.uids or settings.tier == 1:
        # Counted per uid and user namespace: without one of its own the host's processes would count.
        limits[resource.RLIMIT_NPROC] = 64
    for what, value in limits.items():
        hard = resource.getrlimit(what)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (value, value))


def _drop_capabilities() -> None:
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # past the last one, or not allowed to: capset below takes them all the same
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, bytes(24)), "drop capabilities")


def landlock_ruleset(readable: tuple[str, ...]) -> int:
    """A ruleset without any use of files but reading below ``readable``, nor TCP or signals where it can.

    Made once by the keeper and entered by each process: a descriptor of it.
    """
    abi = _syscall(_CREATE_RULESET, None, 0, 1)
    if abi < 1:
        raise LockdownError("the kernel has no Landlock")
    files = (1 << (13 if abi < 2 else 14 if abi < 3 else 15 if abi < 5 else 16)) - 1
    network = 0b11 if abi >= 4 else 0
    scoped = 0b11 if abi >= 6 else 0
    attributes = struct.pack("<QQQ", files, network, scoped)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = _syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    _check(ruleset, "create a Landlock ruleset")
    for path in readable:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        # Read files and list folders; of single files only devices may be written.
        rights = 0b1100 if os.path.isdir(path) else 0b0110 if path.startswith("/dev/") else 0b0100  # noqa: PTH112
        rule = struct.pack("<Qi", rights, fd)
        _check(_syscall(_ADD_RULE, ruleset, 1, rule, 0), f"allow reading {path}")
        os.close(fd)
    return ruleset


def _enter(ruleset: int) -> None:
    _check(_syscall(_RESTRICT_SELF, ruleset, 0), "enter the Landlock ruleset")
    os.close(ruleset)


def _seccomp(program: bytes) -> None:
    if not program:
        raise LockdownError("there is no system-call filter")
    buffer = ctypes.create_string_buffer(program, len(program))
    address = ctypes.addressof(buffer)
    fprog = struct.pack("@HP", len(program) // 8, address)
    _check(_libc.prctl(_PR_SET_SECCOMP, 2, fprog, 0, 0), "install the system-call filter")


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, value, 0, 0, 0), f"prctl({option})")


def _check(outcome: Any, what: str) -> None:
    if outcome < 0:
        error = ctypes.get_errno()
        raise LockdownError(f"cannot {what}: {os.strerror(error)}")
