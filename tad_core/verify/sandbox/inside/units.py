"""The tests of a source, one step after the other, each with what is to be done before and after it."""

from __future__ import annotations

import functools
import importlib
import inspect
import types
import unittest
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .fixtures import Scope, SkippedError, UnsupportedError, fixtures_of
from .guests import HOME
from .plan import NoTestsError, Plan
from .remote import Remote, RemoteClass


@dataclass(frozen=True)
class Step:
    """A test, or what is done around some.

    Attributes:
        title: its name for a human.
        run: does it, and raises where it fails.
        is_test: whether it counts as a test.
    """

    title: str
    run: Callable[[], Any]
    is_test: bool = True


class Units:
    """What the namespace of the tests holds once their top level has run."""

    def __init__(self, names: dict[str, Any], plan: Plan) -> None:
        self._names = names
        self._plan = plan
        self._fixtures = fixtures_of(names)
        self._module = Scope(self._fixtures)

    def steps(self) -> Iterator[Step]:
        """All tests in their order; ``NoTestsError`` where one cannot be run at all."""
        module = types.SimpleNamespace(
            **{name: item for name, item in self._names.items() if name.isidentifier()}
        )
        yield from self._around(("setup_module", "setUpModule"), module)
        for name in self._plan.checkers:
            argument = self._names["candidate"]
            if argument is None:
                raise NoTestsError(f"{name}() needs the name of the function to check")
            yield Step(name, _bind(self._own(name), argument))
        for name in self._named(self._plan.functions, _is_test_function):
            yield from self._of_function(name)
        for name in self._named(self._plan.classes, _is_test_class):
            kind = self._own(name)
            if issubclass(kind, unittest.TestCase):
                yield from self._of_unittest(name, kind)
            else:
                yield from self._of_class(name, kind)
        yield Step("the fixtures of the module", self._module.close, is_test=False)
        yield from self._around(("teardown_module", "tearDownModule"), module)

    def _named(self, planned: list[str], is_one: Callable[[str, Any], bool]) -> list[str]:
        """The planned names, and those of what became a test while the top level ran: in a loop, under an ``if``."""
        return [
            *planned,
            *(name for name, item in self._names.items() if name not in planned and is_one(name, item)),
        ]

    def _around(self, names: tuple[str, ...], *args: Any) -> Iterator[Step]:
        for name in names:
            function = self._names.get(name)
            if isinstance(function, types.FunctionType):
                yield Step(name, _bind_all(function, args), is_test=False)

    def _own(self, name: str) -> Any:
        """Something the tests define; never something of the program under the same name."""
        found = self._names.get(name)
        if isinstance(found, Remote | RemoteClass) or found is None:
            raise NoTestsError(f"the tests define no {name!r}")
        return found

    def _of_function(self, name: str) -> Iterator[Step]:
        function = self._own(name)
        for given in _rows(name, function):

            def run(given: dict[str, Any] = given) -> None:
                scope = Scope(self._fixtures, self._module)
                scope.automatic()
                for hook in ("setup_function", "teardown_function"):
                    if isinstance(self._names.get(hook), types.FunctionType):
                        ends = hook.startswith("teardown")
                        call = _bind_all(self._names[hook], (function,))
                        scope.at_end(call) if ends else call()
                _run(name, function, scope, given)

            yield Step(name, run)

    def _of_class(self, name: str, kind: type) -> Iterator[Step]:
        own = fixtures_of({item: getattr(kind, item) for item in dir(kind)})
        fixtures = {**self._fixtures, **own}
        outer = Scope(fixtures, self._module)
        yield from _hooks(kind, ("setup_class", "setUpClass"), (), f"{name}.setup_class")
        for method in (method for method in dir(kind) if method.startswith("test")):
            function = getattr(kind, method)
            for given in _rows(f"{name}.{method}", function, kind):

                def run(method: str = method, given: dict[str, Any] = given) -> None:
                    instance = kind()
                    scope = Scope(fixtures, outer, instance)
                    bound = getattr(instance, method)
                    scope.automatic()
                    for hook in ("teardown_method", "tearDown"):
                        if hasattr(instance, hook):
                            scope.at_end(_bind_all(getattr(instance, hook), (bound,)))
                    for hook in ("setup_method", "setUp"):
                        if hasattr(instance, hook):
                            _call(getattr(instance, hook), (bound,))
                    _run(f"{name}.{method}", bound, scope, given)

                yield Step(f"{name}.{method}", run)
        for inner in vars(kind).values():
            if isinstance(inner, type) and inner.__name__.startswith("Test"):
                yield from self._of_class(f"{name}.{inner.__name__}", inner)
        yield Step(f"the fixtures of {name}", outer.close, is_test=False)
        yield from _hooks(kind, ("teardown_class", "tearDownClass"), (), f"{name}.teardown_class")

    def _of_unittest(self, name: str, kind: type[unittest.TestCase]) -> Iterator[Step]:
        own = fixtures_of({item: getattr(kind, item) for item in dir(kind)})
        fixtures = {**self._fixtures, **own}
        yield Step(f"{name}.setUpClass", kind.setUpClass, is_test=False)
        for method in unittest.TestLoader().getTestCaseNames(kind):
            yield Step(f"{name}.{method}", functools.partial(self._unittest, kind, method, fixtures))
        yield Step(f"{name}.tearDownClass", kind.tearDownClass, is_test=False)
        yield Step(f"the cleanups of {name}", kind.doClassCleanups, is_test=False)

    def _unittest(self, kind: type[unittest.TestCase], method: str, fixtures: dict[str, Any]) -> None:
        case = kind(method)
        scope = Scope(fixtures, self._module, case)
        scope.automatic()
        result = unittest.TestResult()
        result.failfast = True
        case.run(result)
        scope.close()
        for _, text in result.errors + result.failures:
            raise AssertionError(text.strip().rpartition("\n")[2])
        if result.skipped or result.testsRun != 1 or not result.wasSuccessful():
            raise SkippedError(method)


def _is_test_function(name: str, item: Any) -> bool:
    return name.startswith("test") and isinstance(item, types.FunctionType) and item.__module__ == HOME


def _is_test_class(name: str, item: Any) -> bool:
    if not isinstance(item, type) or type.__getattribute__(item, "__module__") != HOME:
        return False
    return name.startswith("Test") or issubclass(item, unittest.TestCase)


def _rows(name: str, function: Any, kind: type | None = None) -> list[dict[str, Any]]:
    """The sets of parameters that a test is to be run with."""
    of_class = getattr(kind, "tad_parameters", [{}])
    rows = [{**outer, **inner} for outer in of_class for inner in getattr(function, "tad_parameters", [{}])]
    if not rows:
        raise NoTestsError(f"{name} has no parameters to run with")
    return rows


def _run(name: str, function: Any, scope: Scope, given: dict[str, Any]) -> None:
    """Run one test in its scope, and end the scope however it went."""
    inner = getattr(function, "__func__", function)
    if not isinstance(inner, types.FunctionType):
        raise UnsupportedError(f"{name} is no function")
    try:
        for fixture in getattr(function, "tad_fixtures", ()):
            scope.value(fixture)
        plain = inspect.unwrap(inner) if not hasattr(inner, "patchings") else inner
        outcome = function(**scope.arguments(plain, given))
        if inspect.isgenerator(outcome) or inspect.isasyncgen(outcome):
            raise UnsupportedError(f"{name} yields")
        if inspect.iscoroutine(outcome):
            importlib.import_module("asyncio").run(outcome)  # costly to import, rarely needed
    finally:
        scope.close()


def _hooks(kind: type, names: tuple[str, ...], args: tuple[Any, ...], title: str) -> Iterator[Step]:
    for name in names:
        if hasattr(kind, name):
            yield Step(title, _bind_all(getattr(kind, name), args), is_test=False)


def _call(function: Any, offered: tuple[Any, ...]) -> None:
    """Call a hook with as many of the offered arguments as it takes."""
    taken = len(inspect.signature(function).parameters)
    function(*offered[:taken])


def _bind(function: Any, argument: Any) -> Callable[[], Any]:
    return lambda: function(argument)


def _bind_all(function: Any, offered: tuple[Any, ...]) -> Callable[[], None]:
    return lambda: _call(function, offered)
