"""Start a keeper in a tier, hand it jobs, end it."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tad_core.errors import VerifierError
from tad_core.verify.sandbox.filter import FilterError, compile_filter
from tad_core.verify.sandbox.inside import frames
from tad_core.verify.sandbox.inside.allowance import longest_s
from tad_core.verify.sandbox.runtime import Runtime, staged_runtime

#: A busy machine loads the standard library slowly.
_START_TIMEOUT_S = 120.0
#: How long after the last moment that a job can have a keeper may still answer, in seconds.
_GRACE_S = 30.0
#: How long a keeper may take to end by itself, in seconds: then nothing of it outlives the call.
_FAREWELL_S = 1.0
_SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64", "/lib32")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_PYTHON, _OWN = Path("/python"), Path("/own")
_ZONES = "/usr/share/zoneinfo"
_START = "from inside.keeper import main; main()"
#: Uids that no system hands out by default: above those of containers and below 2**31.
_FIRST_UID = 1_879_100_000
_slots = itertools.count()


class KeeperError(Exception):
    """The keeper died or did not start: nothing is known about the job it had."""


class Keeper:
    """One keeper process. Not thread-safe; the thread that starts it must outlive it."""

    def __init__(self, tier: int) -> None:
        self._tier = tier
        self._slot = next(_slots)
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        # our ends of the pipes that carry tests, programs and marks
        self._exams = self._programs = self._marks = -1

    @property
    def pid(self) -> int | None:
        """The process id while one runs."""
        return self._process.pid if self._process else None

    def run(self, limits: dict[str, Any], program: dict[str, Any], exam: dict[str, Any]) -> dict[str, Any]:
        """Run one job; ``KeeperError`` if the keeper failed.

        Args:
            limits: ``memory_mb``, ``cpu_s``, ``wall_s`` and ``output_limit`` (bytes), for the keeper.
            program: ``solution``, past the keeper to the one side.
            exam: ``tests``, ``prelude`` and ``entry_point``, past the keeper to the other.
        """
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        number = next(self._numbers)
        reports = process.stdout.fileno()
        # The keeper watches the clock itself: this is for the case that it cannot.
        longest = longest_s(float(limits["cpu_s"]), float(limits["wall_s"]), processes=2)
        deadline = time.monotonic() + longest + _GRACE_S
        try:
            frames.send(process.stdin.fileno(), {**limits, "id": number})
            written = all(
                frames.send_until(pipe, content, reports, deadline)
                for pipe, content in ((self._programs, program), (self._exams, exam))
            )
            report = dict(frames.receive(reports, deadline))
            received = written and report.get("received")
            if report.get("marked"):
                report = self._mark(number, deadline)
            if not received:
                self.kill()  # what nobody read, or not to its end, is still in the pipes
            return report
        except (frames.ClosedError, frames.MalformedError, frames.DeadlineError, OSError) as error:
            raise KeeperError(f"the sandbox keeper failed ({error}; {self.kill()})") from error

    def _mark(self, number: int, deadline: float) -> dict[str, Any]:
        """What the tests' side wrote about a job; marks of jobs that ran out of time are passed over."""
        while True:
            mark = dict(frames.receive(self._marks, deadline))
            if mark["id"] == number:
                return mark

    def _start(self) -> subprocess.Popen[bytes]:
        runtime = staged_runtime()
        uids = slot_uids(self._slot)
        inside, paths, readable = _places(self._tier, runtime)
        command = [
            *inside,
            "-P",
            "-s",
            "-S",
            "-B",
            "-c",
            f"import sys; sys.path.insert(0, {paths[0]!r}); {_START}",
        ]
        ends = self._open_pipes()
        process = self._process = self._spawn(command, runtime, uids, list(ends.values()))
        told = {
            "tier": self._tier,
            "uids": list(uids) if self._tier == 2 else [],
            "readable": readable,
            "paths": paths,
            **ends,
        }
        self._greet(process, told)
        return process

    def _open_pipes(self) -> dict[str, int]:
        """The keeper's ends of the pipes, by what they carry; ours are kept here."""
        exams_in, self._exams = os.pipe()
        programs_in, self._programs = os.pipe()
        self._marks, marks_out = os.pipe()
        os.set_blocking(self._exams, False)
        os.set_blocking(self._programs, False)
        return {"exams": exams_in, "programs": programs_in, "marks": marks_out}

    def _spawn(
        self, command: Sequence[str], runtime: Runtime, uids: Sequence[int], ends: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        """The process, which then has its ends of the pipes alone."""
        identity: dict[str, Any] = {}
        if self._tier == 1 and uids:
            # bubblewrap itself runs without privilege, so that no limit is waived for it.
            identity = {"user": uids[0], "group": uids[0], "extra_groups": []}
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={"PYTHONHASHSEED": "0", "PYTHONHOME": str(runtime.python), "MALLOC_ARENA_MAX": "1"},
                cwd="/",
                start_new_session=True,
                pass_fds=ends,
                **identity,
            )
        except OSError as error:
            self.kill()
            raise KeeperError(f"cannot start {command[0]}: {error}") from error
        finally:
            for fd in ends:
                os.close(fd)

    def _greet(self, process: subprocess.Popen[bytes], told: dict[str, Any]) -> None:
        """Tell it what it needs to know, and wait until it is ready."""
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        try:
            filter_ = "" if self._tier == 3 else compile_filter(self._tier == 1).hex()
            frames.send(process.stdin.fileno(), {**told, "filter": filter_})
            hello = frames.receive(process.stdout.fileno(), time.monotonic() + _START_TIMEOUT_S)
            if not hello["ready"]:
                raise KeeperError(f"the sandbox cannot be set up: {hello['reason']} ({self.kill()})")
        except FilterError as error:
            self.kill()
            raise VerifierError(str(error)) from error
        except (frames.ClosedError, frames.MalformedError, frames.DeadlineError, OSError) as error:
            os.set_blocking(process.stderr.fileno(), False)
            said = (process.stderr.read() or b"").decode(errors="replace").strip()[-500:]
            raise KeeperError(f"the sandbox keeper did not start ({error}; {self.kill()}): {said}") from error

    def kill(self) -> str:
        """End the keeper and all below it, and reap it; says how it ended."""
        process, self._process = self._process, None
        for fd in (self._exams, self._programs, self._marks):
            if fd >= 0:
                os.close(fd)
        self._exams = self._programs = self._marks = -1
        if process is None:
            return "not running"
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()  # a keeper that can still act ends its children and itself at this
        try:
            process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            process.kill()
        return f"exit status {process.wait()}"


def slot_uids(slot: int) -> tuple[int, ...]:
    """Two uids for the two sides of a slot, unlike those of other verifiers; none if not root."""
    if os.geteuid() != 0:
        return ()
    first = _FIRST_UID + (os.getpid() % 2_000_000) * 128 + (slot % 64) * 2
    mapped = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    if any(inside <= first and first + 1 < inside + length for inside, _, length in mapped):
        return first, first + 1
    small = 60_100 + (os.getpid() * 8 + slot * 2) % 5_000
    if any(inside <= small and small + 1 < inside + length for inside, _, length in mapped):
        return small, small + 1
    return ()


def bubblewrap() -> str | None:
    """Where bubblewrap is, if it is installed."""
    return shutil.which("bwrap")


def _places(tier: int, runtime: Runtime) -> tuple[list[str], list[str], list[str]]:
    """The command up to the interpreter, its ``sys.path``, and what Landlock lets it read."""
    if tier == 1:
        # In folders of their own, so that not even the names of the host's folders appear.
        paths = [str(_OWN), *(str(_PYTHON / library) for library in runtime.libraries)]
        return [*_bubblewrap_command(runtime), str(_PYTHON / runtime.executable)], paths, []
    paths = [str(runtime.own), *(str(runtime.python / library) for library in runtime.libraries)]
    readable = (
        [str(runtime.own), str(runtime.python), *_SYSTEM_LIBRARIES, _ZONES, *_DEVICES] if tier == 2 else []
    )
    interpreter = Path(sys.base_prefix) / runtime.executable
    return (
        [str(interpreter if interpreter.exists() else runtime.python / runtime.executable)],
        paths,
        readable,
    )


def _bubblewrap_command(runtime: Runtime) -> list[str]:
    binary = bubblewrap()
    if binary is None:
        raise KeeperError("bubblewrap is not installed")
    command = [
        binary,
        # --unshare-all would only try the user namespace; with --disable-userns its absence is an error
        "--unshare-user", "--disable-userns", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net",
        "--unshare-cgroup-try", "--as-pid-1", "--die-with-parent", "--hostname", "sandbox",
        "--setenv", "PYTHONHOME", str(_PYTHON), "--setenv", "LD_LIBRARY_PATH", str(_PYTHON / "lib"),
        # needed to give each job namespaces of its own; every job drops them
        "--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETPCAP",
    ]  # fmt: skip
    for name in _SYSTEM_LIBRARIES:
        path = Path(name)
        if path.is_symlink():
            command += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            command += ["--ro-bind", name, name]
    command += [
        "--ro-bind",
        str(runtime.python),
        str(_PYTHON),
        "--ro-bind",
        str(runtime.own),
        str(_OWN),
        "--ro-bind-try",
        _ZONES,
        _ZONES,
    ]
    command += ["--dir", "/tmp", "--dir", "/dev"]
    for device in _DEVICES:
        command += ["--dev-bind-try", device, device]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--"]
