"""Compile the system-call filter of the sandbox: an allow-list, everything else is refused.

No program can be started, no process made, no socket opened, no signal sent, no namespace entered and
no kernel object named, whatever its privilege. Threads are allowed.
"""

from __future__ import annotations

import contextlib
import tempfile
from functools import lru_cache
from typing import Any

_CLONE_THREAD = 0x00010000
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE = 1, 1, 0xF
_RLIMIT_CPU, _RLIMITS = 0, 16
_PR_SET_NAME = 15
#: is it a terminal, its size, close-on-exec on and off, bytes that wait, non-blocking
_IOCTLS = (0x5401, 0x5413, 0x5451, 0x5450, 0x541B, 0x5421)
#: duplicate, flags, locks, pipe size; not F_SETOWN and F_SETSIG, with which a file sends signals
_FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1031, 1032)

_ALLOWED = {
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "lseek", "close",
    "close_range", "dup", "dup2", "dup3", "pipe", "pipe2", "open", "openat", "stat",
    "fstat", "lstat", "newfstatat", "fstatat64", "statx", "access", "faccessat", "faccessat2", "readlink",
    "readlinkat", "getdents", "getdents64", "getcwd", "chdir", "fchdir", "statfs", "fstatfs", "fadvise64",
    "flock", "sendfile", "copy_file_range", "mmap", "munmap", "mprotect", "mremap", "madvise", "brk", "msync",
    "mincore", "membarrier", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending",
    "rt_sigtimedwait", "rt_sigsuspend", "sigaltstack", "pause", "alarm", "setitimer", "getitimer",
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times",
    "getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid",
    "getgroups", "getpgrp", "getpgid", "getsid", "getrusage", "getrlimit", "uname", "sysinfo", "getrandom",
    "umask", "getcpu", "sched_yield", "sched_getaffinity", "sched_getscheduler", "sched_getparam", "futex",
    "set_robust_list", "get_robust_list", "set_tid_address", "rseq", "arch_prctl", "restart_syscall", "exit",
    "exit_group", "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_wait", "epoll_pwait", "eventfd2", "recvfrom", "shutdown", "getsockopt", "getsockname",
    "getpeername", "wait4", "waitid",
}  # fmt: skip

#: Changes to files, where the only file system that can be written is the sandbox's own.
_ALLOWED_WITH_SCRATCH = {
    "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat",
    "symlink", "symlinkat", "truncate", "ftruncate", "fallocate", "fsync", "fdatasync", "utimensat", "chmod",
    "fchmod", "fchmodat",
}  # fmt: skip


class FilterError(Exception):
    """The filter cannot be made here."""


@lru_cache(maxsize=2)
def compile_filter(with_scratch: bool) -> bytes:
    """The filter as a BPF program for this machine; ``with_scratch`` where files may be changed."""
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        raise FilterError(f"libseccomp is missing ({error}); install libseccomp2") from error
    syscalls = pyseccomp.SyscallFilter(pyseccomp.ERRNO(1))
    with contextlib.suppress(ValueError, OSError):  # libseccomp before 2.5 has no such choice
        # A search tree: the kernel walks the filter once for each call there is whenever it is installed.
        syscalls.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, 2)
    for name in sorted(_ALLOWED | (_ALLOWED_WITH_SCRATCH if with_scratch else set())):
        _allow(pyseccomp, syscalls, name)
    # glibc falls back to clone when clone3, whose flags a filter cannot see, seems not to exist.
    syscalls.add_rule(pyseccomp.ERRNO(38), "clone3")
    thread = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD)
    _allow(pyseccomp, syscalls, "clone", thread)
    # Streams alone: a datagram socket reaches any other by its address, without ever connecting to it.
    stream = pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _SOCK_TYPE, _SOCK_STREAM)
    _allow(pyseccomp, syscalls, "socketpair", pyseccomp.Arg(0, pyseccomp.EQ, _AF_UNIX), stream)
    _allow(pyseccomp, syscalls, "sendto", pyseccomp.Arg(4, pyseccomp.EQ, 0))  # no address
    _allow(pyseccomp, syscalls, "prctl", pyseccomp.Arg(0, pyseccomp.EQ, _PR_SET_NAME))
    # A program that lowers its own CPU limit would be killed as if the host had run out of memory. Which limit is meant
    # the kernel reads from the lower half of the argument, so that half is what is compared.
    own = pyseccomp.Arg(0, pyseccomp.EQ, 0)
    for limit in range(_RLIMITS):
        if limit != _RLIMIT_CPU:
            which = pyseccomp.Arg(1, pyseccomp.MASKED_EQ, 0xFFFFFFFF, limit)
            _allow(pyseccomp, syscalls, "prlimit64", own, which)
    _allow(pyseccomp, syscalls, "prlimit64", own, pyseccomp.Arg(2, pyseccomp.EQ, 0))  # asks, sets nothing
    for request in _IOCTLS:
        _allow(pyseccomp, syscalls, "ioctl", pyseccomp.Arg(1, pyseccomp.EQ, request))
    for command in _FCNTLS:
        _allow(pyseccomp, syscalls, "fcntl", pyseccomp.Arg(1, pyseccomp.EQ, command))
    with tempfile.TemporaryFile() as file:
        syscalls.export_bpf(file)
        file.seek(0)
        return file.read()


def _allow(pyseccomp: Any, syscalls: Any, name: str, *conditions: Any) -> None:
    try:
        syscalls.add_rule(pyseccomp.ALLOW, name, *conditions)
    except (ValueError, OSError):
        return  # a call that this architecture does not have
