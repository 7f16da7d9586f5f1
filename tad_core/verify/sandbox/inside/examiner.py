"""Run the tests of a program that lives in the other sandbox, and say what came out.

A pass needs every test that the source holds to have run (``ran == expected > 0``), at least one
assertion that held, and at least one use of the program.
"""

from __future__ import annotations

import ast
import functools
import importlib
import io
import os
import random
import sys
import traceback
import typing
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import frames, looks, pytest_shim
from .fixtures import SkippedError, UnsupportedError
from .link import GoneError, Link, UncarriedError
from .plan import COUNT, FAILED, NoTestsError, Plan
from .remote import RemoteModule, is_stand_in
from .units import Step, Units

_NONE = "the tests hold no test function, no check and no assertion"


class FailedError(Exception):
    """A test failed; the text says which."""


class MissingPackageError(Exception):
    """The tests import what the sandbox does not have."""


class Examiner:
    """One run of the tests of one program."""

    def __init__(
        self, link: Link, source: str, prelude: str, entry_point: str | None, copies: frozenset[str]
    ) -> None:
        self._link = link
        self._source = source
        self._plan = Plan(source, prelude, entry_point, copies)
        self._entry_point, self._copies = entry_point, copies
        self.ran = 0
        self.expected = 0
        self.held = 0
        self._failed = ""
        self._globals: dict[str, Any] = {
            "__name__": "test_solution",
            "__file__": "test_solution.py",
            COUNT: self._count,
            FAILED: self._note_failure,
        }
        link.may_swallow = self._plan.may_swallow

    def _count(self) -> None:
        self.held += 1

    def _note_failure(self, line: int) -> None:
        """An assertion failed. That stands, whoever catches it: the program may have (``__exit__``, a callback)."""
        if not self._plan.catches_assertions and not self._failed:
            self._failed = f"AssertionError at {self._line(line)!r}, caught"

    def run(self) -> None:
        """Run everything; ``FailedError`` or ``NoTestsError`` if it is no pass."""
        link, plan = self._link, self._plan
        if not plan.could_test and not plan.body_asserts:
            raise NoTestsError(_NONE)
        if link.load_error is not None:
            error = link.load_error
            raise FailedError(f"the program does not load: {error['type']}: {str(error['text'])[:300]}")
        self._prepare()
        self.expected = int(plan.body_asserts)
        self._attempt("the tests' top level", lambda: exec(_compile(plan.tree), self._globals))
        self.ran += int(plan.body_asserts)
        steps: list[Step] = []
        self._attempt("the test classes", lambda: steps.extend(Units(self._globals, plan).steps()))
        self.expected += sum(step.is_test for step in steps)
        if self.expected == 0:
            raise NoTestsError(_NONE)
        for step in steps:
            self._attempt(step.title, step.run)
            self.ran += step.is_test
        if self.held == 0:
            raise NoTestsError("the tests ran, but no assertion was reached")
        if link.touched == 0:
            raise NoTestsError("the tests never used the program")
        if self.ran != self.expected or self.expected == 0:
            raise NoTestsError(f"{self.ran} of {self.expected} tests ran")

    def unseen(self) -> str:
        """What a right program could have failed for: a change that it cannot see, or time that it cannot share."""
        if self._plan.elsewhere:
            return f"a change of {self._plan.elsewhere} in the tests, which is the tests' own"
        return "coroutines that run at the same time" if self._plan.timed and self._link.awaits else ""

    def _prepare(self) -> None:
        """The names the tests see: pytest, the program as a module, its functions, the prelude."""
        random.seed(0)
        sys.modules["pytest"] = pytest_shim.make_module(self._count, self._note_failure)
        sys.modules["solution"] = RemoteModule(self._link)
        looks.redirect(
            self._source,
            lambda *args, **kwargs: self._link.request("ask", 0, None, args, kwargs),
            is_stand_in,
        )
        if "unittest" in self._source:
            _count_unittest(self._count, self._note_failure)
        if "mock" in self._source:
            _count_mocks(self._count, self._note_failure)
        sys.stdout = sys.stderr = io.StringIO()
        if self._plan.prelude.body:
            exec(_compile(self._plan.prelude), self._globals)
        wanted = set(self._plan.wanted)
        asked = [*self._copies, *([self._entry_point] if self._entry_point else [])]
        wanted.update(asked)
        for name in self._plan.wanted_modules():
            self._globals[name] = importlib.import_module(name)
        for name in wanted & set(typing.__all__):
            self._globals[name] = getattr(typing, name)
        for name in sorted(wanted & self._link.names):
            self._globals[name] = self._link.request("get", 0, name)
        for name in asked:
            if name not in self._link.names:
                raise FailedError(f"the program does not define {name!r}")
        self._globals["candidate"] = self._globals.get(self._entry_point or "")

    def _attempt(self, title: str, unit: Callable[[], Any]) -> None:
        try:
            unit()
        except (GoneError, UncarriedError, NoTestsError):
            raise
        except (SkippedError, UnsupportedError, unittest.SkipTest) as error:
            raise NoTestsError(f"{title}: {type(error).__name__}: {error}") from error
        except ModuleNotFoundError as error:
            if getattr(error, "from_program", False):
                raise FailedError(f"{title}: {self._where(error)}") from error
            raise MissingPackageError(f"the tests: {error}") from error
        except BaseException as error:
            raise FailedError(f"{title}: {self._where(error)}") from error

        if self._failed:
            raise FailedError(f"{title}: {self._failed}")

    def _line(self, number: int) -> str:
        lines = self._source.splitlines()
        return lines[number - 1].strip()[:200] if 0 < number <= len(lines) else ""

    def _where(self, error: BaseException) -> str:
        """The line of the tests that failed, and why."""
        for entry in reversed(traceback.extract_tb(error.__traceback__)):
            if entry.filename == "test_solution.py" and entry.lineno and (line := self._line(entry.lineno)):
                return f"{type(error).__name__} at {line!r}{': ' + _text(error) if _text(error) else ''}"
        return f"{type(error).__name__}: {_text(error)}"


def _compile(tree: ast.Module) -> Any:
    return compile(tree, "test_solution.py", "exec", dont_inherit=True)


def _text(error: BaseException) -> str:
    try:
        return str(error).strip().replace("\n", " ")[:200]
    except Exception:  # the message may hold a stand-in whose repr fails
        return ""


def _count_unittest(count: Callable[[], None], failed: Callable[[int], None]) -> None:
    """Have every ``self.assert…`` that holds counted, and every one that fails kept, as plain assertions are."""
    for name in dir(unittest.TestCase):
        if name.startswith("assert"):
            setattr(unittest.TestCase, name, _counted(getattr(unittest.TestCase, name), count, failed))
    contexts: Any = unittest.case
    for kind in (contexts._AssertRaisesContext, contexts._AssertWarnsContext):
        kind.__exit__ = _counted(kind.__exit__, lambda: None, failed)
    unittest.TestCase.fail = _counted(unittest.TestCase.fail, lambda: None, failed)  # type: ignore[method-assign]


def _count_mocks(count: Callable[[], None], failed: Callable[[int], None]) -> None:
    """The same for ``mock.assert_called_with(…)`` and its like."""
    mock = importlib.import_module("unittest.mock").NonCallableMock
    for name in dir(mock):
        if name.startswith("assert_"):
            setattr(mock, name, _counted(getattr(mock, name), count, failed))


def _counted(
    method: Callable[..., Any], count: Callable[[], None], failed: Callable[[int], None]
) -> Callable[..., Any]:
    @functools.wraps(method)
    def counted(*args: Any, **kwargs: Any) -> Any:
        try:
            outcome = method(*args, **kwargs)
        except AssertionError:
            caller = sys._getframe(1)
            if caller.f_code.co_filename == "test_solution.py":  # not one assertion within another
                failed(caller.f_lineno)
            raise
        count()
        return outcome

    return counted


@dataclass(frozen=True)
class Pipes:
    """Where the tests' side reads and writes.

    Attributes:
        from_program, to_program: the calls and their outcomes.
        to_keeper: that the tests came, then the bare verdict.
        exams: the tests, from the parent.
        marks: the verdict with all that is known, to the parent.
    """

    from_program: int
    to_program: int
    to_keeper: int
    exams: int
    marks: int


def warm_up() -> None:
    """Do once, before the forks, what the interpreter sets up at first use: its syntax trees above all."""
    plan = Plan("def check(c):\n    assert c(1) == [2]\ndef test_f(x=1):\n    pass", "import math", "f")
    names: dict[str, Any] = {COUNT: lambda: None, FAILED: lambda line: None}
    exec(_compile(plan.tree), names)
    exec(_compile(plan.prelude), names)
    pytest_shim.make_module(lambda: None, lambda line: None)
    try:
        names["check"](lambda n: n)
    except AssertionError as error:
        traceback.extract_tb(error.__traceback__)


def main(pipes: Pipes, number: int) -> None:
    """Run the tests of job ``number`` and report."""
    job = frames.receive(pipes.exams)
    frames.send(pipes.to_keeper, {"received": True})
    link = Link(pipes.from_program, pipes.to_program)
    link.tell_waiting = lambda count: frames.send(pipes.to_keeper, {"waiting": count})
    link.give_up = functools.partial(_give_up, pipes, number, link)
    examiner: Examiner | None = None
    verdict, reason = "passed", ""
    try:
        examiner = Examiner(
            link, job["tests"], job["prelude"], job["entry_point"], frozenset(job.get("copies", ()))
        )
        link.greet()
        examiner.run()
    except FailedError as error:
        verdict, reason = "failed", str(error)
    except NoTestsError as error:
        verdict, reason = "no_tests", str(error)
    except MissingPackageError as error:
        verdict, reason = "missing_package", str(error)
    except GoneError as error:
        verdict, reason = "crashed", f"the program stopped answering: {error}"
    except UncarriedError as error:
        verdict, reason = "no_tests", str(error)
    except MemoryError:
        verdict, reason = "out_of_memory", "the tests ran out of memory"
    # What the link saw cannot be undone by a test that swallows errors.
    if link.gone:
        verdict, reason = "crashed", f"the program stopped answering: {link.gone}"
    elif link.uncarried:
        verdict, reason = "no_tests", link.uncarried
    elif link.out_of_memory and verdict != "passed":
        verdict, reason = "out_of_memory", "the program ran out of memory"
    elif verdict == "failed" and (same := link.guests.classes & link.names):
        # It saw a stand-in, which is no instance of its own class of that name: nobody can say whose fault.
        what = f"an object of the tests' own {min(same)}, where the program has a class of that name"
        verdict, reason = "no_tests", f"cannot be carried over to the program: {what}; {reason}"
    elif link.doubt and verdict == "failed":
        verdict, reason = "no_tests", f"cannot be carried over to the program: {link.doubt}; {reason}"
    elif verdict == "failed" and examiner is not None and (change := examiner.unseen()):
        verdict, reason = "no_tests", f"cannot be carried over to the program: {change}; {reason}"
    elif link.guests.refused and verdict == "failed":
        verdict, reason = "no_tests", f"cannot be carried over to the program: {link.guests.refused}"
    elif link.missing and verdict == "failed":
        verdict, reason = "missing_package", f"the program: {link.missing}"
    _report(pipes, number, link, examiner, verdict, reason)


def _give_up(pipes: Pipes, number: int, link: Link) -> None:
    """End at once, from a thread that cannot go on."""
    _report(pipes, number, link, None, "no_tests", link.uncarried)
    os._exit(0)


def _report(
    pipes: Pipes, number: int, link: Link, examiner: Examiner | None, verdict: str, reason: str
) -> None:
    mark = {"id": number, "verdict": verdict, "reason": reason[:1000], "own_classes": link.own_classes}
    mark["ran"], mark["expected"] = (examiner.ran, examiner.expected) if examiner else (0, 0)
    frames.send(pipes.marks, mark)
    # The reason may quote the tests: the keeper, whose memory programs inherit, gets the verdict alone.
    frames.send(pipes.to_keeper, {"verdict": verdict})
