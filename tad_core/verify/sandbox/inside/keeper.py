"""The process that forks two sandboxes for each job, watches the clock and reports one verdict.

It is warm (the standard library is loaded once), single-threaded, and holds nothing worth stealing: no
environment, no files, no network. It never sees a program or its tests: what it once held, a program
forked from it could find in its own memory. Those go from the parent to their processes, and the result
back, through pipes that the keeper only passes on. When its parent goes away it ends, and everything
below it ends with it.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import os
import select
import signal
import sys
from dataclasses import dataclass, replace
from typing import Any

from . import candidate, examiner, frames, lockdown
from .allowance import Allowance

_PRELOADED = (
    "abc", "array", "bisect", "calendar", "cmath", "collections.abc", "contextlib", "copy", "csv",
    "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "heapq", "io",
    "itertools", "json", "math", "numbers", "operator", "os.path", "queue", "random", "re", "statistics",
    "string", "textwrap", "threading", "time", "timeit", "traceback", "types", "typing", "unittest",
    "warnings",
)  # fmt: skip
#: How long a side may take to be seen dead after it closed its pipe, in ms.
_DEATH_MS = 2000
#: How long a program may take to read its message once nobody needs it any more, in ms.
_READ_MS = 2000
#: How long both sides may rest while a thread of the tests waits for another's call, in seconds.
_STUCK_S = 3.0
_CLOCK = "the time by the clock ran out"


@dataclass
class Side:
    """One of the two processes of a job."""

    pid: int
    pidfd: int
    status: int | None = None
    cpu_s: float = 0.0
    killed_by_us: bool = False

    def finish(self, wait_ms: float) -> None:
        """Give the process a moment to end by itself, then kill it; reap it in any case."""
        if wait_ms:
            poller = select.poll()
            poller.register(self.pidfd, select.POLLIN)
            poller.poll(wait_ms)
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if pid == 0:
            self.killed_by_us = True
            os.kill(self.pid, signal.SIGKILL)
            _, status, usage = os.wait4(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        self.cpu_s = usage.ru_utime + usage.ru_stime
        os.close(self.pidfd)


class ParentGoneError(Exception):
    """Nobody is left to report to."""


class Keeper:
    """Runs jobs one after the other."""

    def __init__(self, commands: int, reports: int, settings: dict[str, Any]) -> None:
        self._commands, self._reports = commands, reports
        self._tier = int(settings["tier"])
        self._filter = bytes.fromhex(settings["filter"])
        self._uids = tuple(settings["uids"])
        readable = tuple(settings["readable"])
        self._ruleset = lockdown.landlock_ruleset(readable) if readable else -1
        self._exams, self._programs = int(settings["exams"]), int(settings["programs"])
        self._marks = int(settings["marks"])

    def serve(self) -> None:
        """Until the parent closes its end."""
        while True:
            job = frames.receive(self._commands)
            try:
                report = self._run(job)
            except (OSError, lockdown.LockdownError) as error:
                report = {"verdict": "infrastructure_error", "reason": f"{type(error).__name__}: {error}"}
            frames.send(self._reports, report)

    def _run(self, job: dict[str, Any]) -> dict[str, Any]:
        settings = lockdown.Settings(
            tier=self._tier,
            filter=self._filter,
            uids=self._uids,
            ruleset=self._ruleset,
            memory_mb=job["memory_mb"],
            # The keeper's own clock is exact and comes first; the kernel's limit is for the worst case.
            cpu_s=2 + 2 * int(job["cpu_s"]),
        )
        pipes = [os.pipe() for _ in range(4)]
        to_program, from_program, results, loaded = pipes
        sides: list[Side] = []
        try:
            tests = self._fork(
                settings, 0, (from_program[0], to_program[1], results[1], self._exams, self._marks), job
            )
            sides.append(tests)
            program = self._fork(
                settings, 1, (to_program[0], from_program[1], loaded[1], self._programs), job
            )
            sides.append(program)
            for fd in (*to_program, *from_program, results[1], loaded[1]):
                os.close(fd)
            allowance = Allowance([side.pid for side in sides], job["cpu_s"], job["wall_s"])
            result = self._watch((results[0], loaded[0]), allowance)
            # A side that stopped answering is about to be dead: how it died tells what to report.
            program.finish(_DEATH_MS if result.get("verdict") == "crashed" else 0)
            tests.finish(0 if result.keys() & {"verdict", "late", "stuck"} else _DEATH_MS)
            sides.clear()
            received = bool(result.get("received") and result.get("loading"))
            return {**_report(result, tests, program, settings), "received": received}
        finally:
            for side in sides:
                side.finish(0)
            os.close(results[0])
            os.close(loaded[0])

    def _fork(
        self, settings: lockdown.Settings, side: int, fds: tuple[int, ...], job: dict[str, Any]
    ) -> Side:
        pid = lockdown.fork(self._tier == 1)
        if pid == 0:
            _child(settings, side, fds, job)
        return Side(pid, os.pidfd_open(pid))

    def _watch(self, ends: tuple[int, int], allowance: Allowance) -> dict[str, Any]:
        """What the two sides said.

        ``received`` from the tests' side and ``loading`` from the program's mean that they took what
        the parent had for them; a verdict from the tests' side ends it; ``late`` means that time ran out, and
        ``stuck`` that threads of the tests wait for each other.
        """
        results, loaded = ends
        said: dict[str, Any] = {}
        stuck: Allowance | None = None
        poller = select.poll()
        poller.register(results, select.POLLIN)
        poller.register(loaded, select.POLLIN)
        poller.register(self._commands, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poller.poll(allowance.look_ms())}
            if not ready and allowance.computed_too_long():
                return {**said, "late": f"more than {allowance.cpu_s:g} s of CPU time"}
            if not ready and allowance.rested_too_long():
                return {**said, "late": _CLOCK}
            if not ready and stuck is not None and stuck.rested_too_long():
                return {**said, "stuck": True}
            if self._commands in ready:  # no job is sent before the last is reported: this is the end
                raise ParentGoneError
            if loaded in ready:
                said["loading"] = os.read(loaded, 1) == b"1"
                poller.unregister(loaded)
            if results in ready:
                try:
                    said.update(frames.receive(results, allowance.deadline()))
                except (frames.ClosedError, frames.MalformedError):
                    return said
                except frames.DeadlineError:
                    return {**said, "late": _CLOCK}
                if "waiting" in said:
                    stuck = allowance.afresh(_STUCK_S) if said.pop("waiting") else None
                if "verdict" in said:
                    if "loading" not in said:
                        # Killed while it reads, a program would leave the rest of its message to the next one.
                        said["loading"] = _came(loaded)
                    return said


def _came(loaded: int) -> bool:
    """Whether a program that nobody needs any more has read its message, which takes it a moment."""
    poller = select.poll()
    poller.register(loaded, select.POLLIN)
    return bool(poller.poll(_READ_MS)) and os.read(loaded, 1) == b"1"


def _child(settings: lockdown.Settings, side: int, fds: tuple[int, ...], job: dict[str, Any]) -> None:
    """Become one side of a job; never returns."""
    status = 70
    try:
        ruleset = (settings.ruleset,) if settings.ruleset >= 0 else ()
        fds = _keep_only(fds + ruleset)
        if ruleset:
            settings, fds = replace(settings, ruleset=fds[-1]), fds[:-1]
        lockdown.confine(settings, side)
        gc.enable()
        if side == 0:
            examiner.main(examiner.Pipes(*fds), job["id"])
        else:
            candidate.main(candidate.Pipes(*fds), job["output_limit"])
        status = 0
    except lockdown.LockdownError as error:
        # The parent must not take a missing protection for a failure of the program.
        if side == 0:
            frames.send(fds[2], _verdict("infrastructure_error", str(error)))
        status = 71
    except BaseException:
        status = 72
    finally:
        os._exit(status)


def _keep_only(fds: tuple[int, ...]) -> tuple[int, ...]:
    """Make the given descriptors 3, 4, …, the standard ones /dev/null, and close all others."""
    high = [os.dup(fd) for fd in fds]
    high = [_above(fd, 32) for fd in high]
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    kept = tuple(os.dup2(fd, 3 + i, inheritable=False) for i, fd in enumerate(high))
    os.closerange(3 + len(kept), 4096)
    return kept


def _above(fd: int, lowest: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)


def _report(
    result: dict[str, Any], tests: Side, program: Side, settings: lockdown.Settings
) -> dict[str, Any]:
    """The verdict of a job from what the tests said and how the two processes ended."""
    if result.get("verdict") == "infrastructure_error":
        return result
    for side, who in ((tests, "the tests"), (program, "the program")):
        # Once it runs, a program may end with any status it likes.
        if side.status == 71 and not (side is program and result.get("loading")):
            return _verdict("infrastructure_error", f"a protection of {who} could not be put up")
        if side.status in (-signal.SIGKILL, -signal.SIGXCPU) and not side.killed_by_us:
            # Only a CPU limit sends SIGXCPU; and the kernel counts in ticks, sometimes too many.
            if side.status == -signal.SIGXCPU or side.cpu_s >= settings.cpu_s / 2:
                return _verdict("timeout", f"{who} used up its CPU time")
            return _verdict(
                "infrastructure_error", f"{who}: killed from outside (out of memory on the host?)"
            )
    if "stuck" in result:
        what = "a call in one thread of the tests that waits for a call in another"
        return _verdict("no_tests", f"cannot be carried over to the program: {what}")
    if "late" in result:
        return _verdict("timeout", result["late"])
    if "verdict" not in result:
        return _verdict("crashed", f"the tests' process ended with status {tests.status}")
    if result["verdict"] == "crashed":
        how = "it closed its pipe" if program.killed_by_us else f"it ended with status {program.status}"
        return _verdict("crashed", f"the program stopped answering: {how}")
    return {"verdict": result["verdict"], "marked": True}


def _verdict(verdict: str, reason: str) -> dict[str, Any]:
    return {"verdict": verdict, "reason": reason}


def main() -> None:
    """Serve jobs from standard input; settings come first."""
    commands, reports = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.environ.clear()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # 3.11 refuses to print longer integers to guard servers; tests print them on purpose.
    sys.set_int_max_str_digits(0)
    try:
        settings = frames.receive(commands)
        sys.path[:] = settings["paths"]
        for name in _PRELOADED:
            importlib.import_module(name)
        examiner.warm_up()
        candidate.warm_up()
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            keeper = Keeper(commands, reports, settings)
        except (lockdown.LockdownError, OSError) as error:
            frames.send(reports, {"ready": False, "reason": str(error)})
            return
        frames.send(reports, {"ready": True})
        keeper.serve()
    except (frames.ClosedError, ParentGoneError):
        return
