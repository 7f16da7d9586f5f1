"""Run the tests of a program that lives in the other sandbox, and say what came out.

A pass needs every test that the source holds to have run (``ran == expected > 0``), at least one
assertion that held, and at least one use of the program.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import inspect
import io
import random
import sys
import traceback
import types
import typing
import unittest
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from . import frames, pytest_shim
from .handing import NotCarriedError
from .remote import GoneError, Link, Remote, RemoteClass, RemoteModule

_COUNT = "__tad_count__"
_CHECKERS = ("check", "check_solution")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class NoTestsError(Exception):
    """There is nothing that could prove the program right."""


class FailedError(Exception):
    """A test failed; the text says which."""


class MissingPackageError(Exception):
    """The tests import what the sandbox does not have."""


class Plan:
    """What the source of the tests holds, known before any of it runs."""

    def __init__(self, source: str, prelude: str, entry_point: str | None, copies: frozenset[str]) -> None:
        try:
            self.tree = ast.parse(source)
            self.prelude = ast.parse(prelude)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise NoTestsError(f"the tests are not Python: {error}") from error
        body = [node for node in self.tree.body if not _is_main_guard(node)]
        # Tests that bring a copy of the very function that is asked for mean the program's.
        body = [node for node in body if not (isinstance(node, _FUNCTIONS) and node.name in copies)]
        self.tree.body = body
        self.functions = [n.name for n in body if isinstance(n, _FUNCTIONS) and n.name.startswith("test")]
        self.classes = [n.name for n in body if isinstance(n, ast.ClassDef) and _looks_like_tests(n)]
        self.checkers = [n.name for n in body if isinstance(n, _FUNCTIONS) and n.name in _CHECKERS]
        if not entry_point and (self.functions or self.classes):
            self.checkers = []  # a helper that happens to be called so
        self.body_asserts = any(_asserts_outside_functions(node) for node in body)
        self.wanted = self._wanted_names()  # before the stars are taken out
        self.tree = ast.fix_missing_locations(_Rewrite().visit(self.tree))

    def _wanted_names(self) -> set[str]:
        """Names that the tests use, and that are neither built in nor given by the prelude.

        None beside those they import where they import some: a name that they forgot is an error, as it is
        in any module, and not something that the program may define to its liking.
        """
        if any(_imports_by_name(node) for node in ast.walk(self.tree)):
            return set()
        used = {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)}
        given = {node.name for node in self.prelude.body if isinstance(node, (*_FUNCTIONS, ast.ClassDef))}
        return used - set(dir(builtins)) - given - self.wanted_modules() - {_COUNT}

    def wanted_modules(self) -> set[str]:
        """Names that are used only as modules of the standard library are (``math.isclose``), and pytest.

        Tests may rely on the program having imported them; they never get the program's idea of them.
        """
        names = [node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)]
        dotted = [
            node.value.id
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        ]
        modules = sys.stdlib_module_names - {"this", "antigravity"} | {"pytest"}
        return {name for name in set(dotted) & modules if names.count(name) == dotted.count(name)}


def _imports_by_name(node: ast.AST) -> bool:
    """Whether this is ``from solution import f`` or ``import solution``, but no star."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "solution" and node.names[0].name != "*"
    return isinstance(node, ast.Import) and any(alias.name == "solution" for alias in node.names)


def _looks_like_tests(node: ast.ClassDef) -> bool:
    bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    return node.name.startswith("Test") or "TestCase" in bases


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in {
        inner.id for inner in ast.walk(node.test) if isinstance(inner, ast.Name)
    }


def _asserts_outside_functions(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return False
    return any(_asserts_outside_functions(child) for child in ast.iter_child_nodes(node))


class _Rewrite(ast.NodeTransformer):
    """Count, behind each assertion, that it held; and take no name from the program that was not asked for."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        """``from solution import *`` could bring a new ``abs``: the names that are used are given anyway."""
        if node.module == "solution" and node.names[0].name == "*":
            return ast.copy_location(ast.Pass(), node)
        return node

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        call = ast.Call(func=ast.Name(id=_COUNT, ctx=ast.Load()), args=[], keywords=[])
        return [node, ast.copy_location(ast.Expr(value=call), node)]


class Examiner:
    """One run of the tests of one program."""

    def __init__(
        self, link: Link, source: str, prelude: str, entry_point: str | None, copies: frozenset[str]
    ) -> None:
        self._link = link
        self._source = source
        self._plan = Plan(source, prelude, entry_point, copies)
        self._entry_point = entry_point
        self.ran = 0
        self.expected = 0
        self.held = 0
        self._globals: dict[str, Any] = {
            "__name__": "test_solution",
            "__file__": "test_solution.py",
            _COUNT: self._count,
        }

    def _count(self) -> None:
        self.held += 1

    def run(self) -> None:
        """Run everything; ``FailedError`` or ``NoTestsError`` if it is no pass."""
        link, plan = self._link, self._plan
        plain = len(plan.functions) + len(plan.classes) + len(plan.checkers) + plan.body_asserts
        if plain == 0:
            raise NoTestsError("the tests hold no test function, no check and no assertion")
        if link.load_error is not None:
            error = link.load_error
            raise FailedError(f"the program does not load: {error['type']}: {str(error['text'])[:300]}")
        self._prepare()
        self.expected = int(plan.body_asserts)
        self._attempt("the tests' top level", lambda: exec(_compile(plan.tree), self._globals))
        self.ran += int(plan.body_asserts)
        self._attempt("the module's setup", lambda: self._module_hook("setup_module", "setUpModule"))
        units: list[tuple[str, Callable[[], Any]]] = []
        self._attempt("the test classes", lambda: units.extend(self._units()))
        self.expected += len(units)
        for title, unit in units:
            self._attempt(title, unit)
            self.ran += 1
        if self.held == 0:
            raise NoTestsError("the tests ran, but no assertion was reached")
        if link.touched == 0:
            raise NoTestsError("the tests never used the program")
        if self.ran != self.expected or self.expected == 0:
            raise NoTestsError(f"{self.ran} of {self.expected} tests ran")

    def _prepare(self) -> None:
        """The names the tests see: pytest, the program as a module, its functions, the prelude."""
        random.seed(0)
        sys.modules["pytest"] = pytest_shim.make_module(self._count)
        sys.modules["solution"] = RemoteModule(self._link)
        if "unittest" in self._source:
            _count_unittest(self._count)
        sys.stdout = sys.stderr = io.StringIO()
        if self._plan.prelude.body:
            exec(_compile(self._plan.prelude), self._globals)
        wanted = set(self._plan.wanted)
        if self._entry_point:
            wanted.add(self._entry_point)
        for name in self._plan.wanted_modules():
            self._globals[name] = importlib.import_module(name)
        for name in wanted & set(typing.__all__):
            self._globals[name] = getattr(typing, name)
        for name in sorted(wanted & self._link.names):
            self._globals[name] = self._link.request("get", 0, name)
        if self._entry_point and self._entry_point not in self._link.names:
            raise FailedError(f"the program does not define {self._entry_point!r}")
        self._globals["candidate"] = self._globals.get(self._entry_point or "")

    def _attempt(self, title: str, unit: Callable[[], Any]) -> None:
        try:
            unit()
        except (GoneError, NoTestsError):
            raise
        except NotCarriedError as error:
            raise NoTestsError(
                f"{title}: what it hands to the program stays with the tests: {error}"
            ) from error
        except (pytest_shim.SkippedError, pytest_shim.UnsupportedError) as error:
            raise NoTestsError(f"{title}: {type(error).__name__}: {error}") from error
        except ModuleNotFoundError as error:
            if getattr(error, "from_program", False):
                raise FailedError(f"{title}: {self._where(error)}") from error
            raise MissingPackageError(f"the tests: {error}") from error
        except BaseException as error:
            if self._link.handed_objects:
                # It saw a stand-in of that object, no instance of any class it knows: nobody can say whose fault.
                raise NoTestsError(
                    f"{title}: with an object of the tests it came to {self._where(error)}"
                ) from error
            raise FailedError(f"{title}: {self._where(error)}") from error

    def _where(self, error: BaseException) -> str:
        """The line of the tests that failed, and why."""
        lines = self._source.splitlines()
        for entry in reversed(traceback.extract_tb(error.__traceback__)):
            if entry.filename == "test_solution.py" and entry.lineno and entry.lineno <= len(lines):
                line = lines[entry.lineno - 1].strip()[:200]
                return f"{type(error).__name__} at {line!r}{': ' + _text(error) if _text(error) else ''}"
        return f"{type(error).__name__}: {_text(error)}"

    def _units(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        names = self._globals
        fixtures = {name: item for name, item in names.items() if isinstance(item, pytest_shim.Fixture)}
        for name in self._plan.checkers:
            argument = self._globals["candidate"]
            if argument is None:
                raise NoTestsError(f"{name}() needs the name of the function to check")
            yield name, _bind(self._own(name), argument)
        for name in self._plan.functions:
            yield from self._calls(name, self._own(name), fixtures)
        for name in self._plan.classes:
            yield from self._class_units(name, fixtures)

    def _own(self, name: str) -> Any:
        """Something the tests define; never something of the program under the same name."""
        found = self._globals.get(name)
        if isinstance(found, Remote | RemoteClass) or found is None:
            raise NoTestsError(f"the tests define no {name!r}")
        return found

    def _calls(
        self, name: str, function: Any, fixtures: dict[str, pytest_shim.Fixture]
    ) -> Iterator[tuple[str, Callable[[], Any]]]:
        rows = getattr(function, "tad_parameters", [{}])
        if not rows:
            raise NoTestsError(f"{name} has no parameters to run with")
        for given in rows:

            def unit(given: dict[str, Any] = given) -> None:
                inner = getattr(function, "__func__", function)
                if not isinstance(inner, types.FunctionType):
                    raise pytest_shim.UnsupportedError(f"{name} is no function")
                if inner is function:
                    self._module_hook("setup_function", argument=function)
                for fixture in fixtures.values():
                    if fixture.autouse:
                        fixture.make(fixtures)
                outcome = function(**pytest_shim.arguments(inner, fixtures, given))
                if inspect.iscoroutine(outcome):
                    importlib.import_module("asyncio").run(outcome)  # costly to import, rarely needed
                if inner is function:
                    self._module_hook("teardown_function", argument=function)

            yield name, unit

    def _module_hook(self, *names: str, argument: Any = None) -> None:
        """What pytest and unittest call around the functions of a module, where the tests have it."""
        for name in names:
            if isinstance(found := self._globals.get(name), types.FunctionType):
                _call_with(found, argument)

    def _class_units(
        self, name: str, fixtures: dict[str, pytest_shim.Fixture]
    ) -> Iterator[tuple[str, Callable[[], Any]]]:
        kind = self._own(name)
        methods = [method for method in dir(kind) if method.startswith("test")]
        if issubclass(kind, unittest.TestCase):
            for method in methods:
                yield f"{name}.{method}", self._unittest(kind, method)
            return
        for i, method in enumerate(methods):
            instance = kind()
            own = {
                title: pytest_shim.Fixture(types.MethodType(item.function, instance), item.autouse, title)
                for title in dir(kind)
                if isinstance(item := inspect.getattr_static(kind, title), pytest_shim.Fixture)
            }

            def prepare(instance: Any = instance, method: str = method, first: bool = i == 0) -> None:
                hooks = [*(["setup_class"] if first else []), "setup_method", "setUp"]
                for hook in hooks:
                    if hasattr(instance, hook):
                        _call_with(getattr(instance, hook), getattr(instance, method))

            for title, unit in self._calls(
                f"{name}.{method}", getattr(instance, method), {**fixtures, **own}
            ):
                yield title, _both(prepare, unit)

    def _unittest(self, kind: type[unittest.TestCase], method: str) -> Callable[[], Any]:
        def unit() -> None:
            result = unittest.TestResult()
            result.failfast = True
            unittest.TestSuite([kind(method)]).run(result)  # with what its class sets up
            for _, text in result.errors + result.failures:
                raise AssertionError(text.strip().rpartition("\n")[2])
            if result.skipped or result.testsRun != 1 or not result.wasSuccessful():
                raise pytest_shim.SkippedError(method)

        return unit


def _compile(tree: ast.Module) -> Any:
    return compile(tree, "test_solution.py", "exec", dont_inherit=True)


def _bind(function: Any, argument: Any) -> Callable[[], Any]:
    return lambda: function(argument)


def _call_with(function: Any, argument: Any) -> None:
    """Call a hook, with what it is set up for where it takes that."""
    takes = function.__code__.co_argcount - isinstance(function, types.MethodType)
    function(*[argument] * min(takes, 1))


def _both(first: Callable[[], Any], second: Callable[[], Any]) -> Callable[[], None]:
    def both() -> None:
        first()
        second()

    return both


def _text(error: BaseException) -> str:
    try:
        return str(error).strip().replace("\n", " ")[:200]
    except Exception:  # the message may hold a stand-in whose repr fails
        return ""


def _count_unittest(count: Callable[[], None]) -> None:
    """Have every ``self.assert…`` that holds counted, as plain assertions are."""
    for name in dir(unittest.TestCase):
        if name.startswith("assert"):
            setattr(unittest.TestCase, name, _counted(getattr(unittest.TestCase, name), count))


def _counted(method: Callable[..., Any], count: Callable[[], None]) -> Callable[..., Any]:
    @functools.wraps(method)
    def counted(*args: Any, **kwargs: Any) -> Any:
        outcome = method(*args, **kwargs)
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
    plan = Plan(
        "def check(c):\n    assert c(1) == [2]\ndef test_f(x=1):\n    pass", "import math", "f", frozenset()
    )
    names: dict[str, Any] = {_COUNT: lambda: None}
    exec(_compile(plan.tree), names)
    exec(_compile(plan.prelude), names)
    pytest_shim.make_module(lambda: None)
    try:
        names["check"](lambda n: n)
    except AssertionError as error:
        traceback.extract_tb(error.__traceback__)


def main(pipes: Pipes, number: int) -> None:
    """Run the tests of job ``number`` and report."""
    while (job := frames.receive(pipes.exams))["id"] != number:
        continue  # left by a job that ended before it read its tests
    frames.send(pipes.to_keeper, {"received": True})
    link = Link(pipes.from_program, pipes.to_program)
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
    except MemoryError:
        verdict, reason = "out_of_memory", "the tests ran out of memory"
    # What the link saw cannot be undone by a test that swallows errors.
    if link.gone:
        verdict, reason = "crashed", f"the program stopped answering: {link.gone}"
    elif link.out_of_memory and verdict != "passed":
        verdict, reason = "out_of_memory", "the program ran out of memory"
    elif link.missing and verdict == "failed":
        verdict, reason = "missing_package", f"the program: {link.missing}"
    mark = {"id": number, "verdict": verdict, "reason": reason[:1000], "own_classes": link.own_classes}
    mark["ran"], mark["expected"] = (examiner.ran, examiner.expected) if examiner else (0, 0)
    frames.send(pipes.marks, mark)
    # The reason may quote the tests: the keeper, whose memory programs inherit, gets the verdict alone.
    frames.send(pipes.to_keeper, {"verdict": verdict})
