"""Fixtures of the tests: who asks for one gets its value, made once in its scope and ended with it."""

from __future__ import annotations

import inspect
import io
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any


class SkippedError(Exception):
    """A test skipped itself."""


class UnsupportedError(Exception):
    """The tests use something of pytest that is not here."""


class Fixture:
    """A function marked as a fixture; as an attribute of a class, its function there."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str | None = None,
        autouse: bool = False,
        scope: str = "function",
    ) -> None:
        self.function = function
        self.autouse = autouse
        self.scope = scope
        self.name = self.__name__ = name or function.__name__


class Captured(tuple[str, str]):
    """What ``capsys.readouterr`` returns."""

    out = property(lambda self: self[0])
    err = property(lambda self: self[1])


class CapSys:
    """The ``capsys`` fixture: what was printed since the last time, by the tests and the program."""

    def __init__(self) -> None:
        self._buffer = io.StringIO()
        sys.stdout = self._buffer

    def readouterr(self) -> Captured:
        """Take what was printed."""
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return Captured((text, ""))


def fixtures_of(names: Mapping[str, Any]) -> dict[str, Fixture]:
    """The fixtures in a namespace, by the names that tests ask for."""
    found = [item for item in names.values() if isinstance(item, Fixture)]
    return {item.name: item for item in found}


class Scope:
    """The values of the fixtures of one test, one class or the module, and what is to be done at its end."""

    def __init__(
        self, fixtures: dict[str, Fixture], outer: Scope | None = None, instance: Any = None
    ) -> None:
        self._fixtures = fixtures
        self._outer = outer
        self._instance = instance
        self._values: dict[str, Any] = {}
        self._ends: list[Callable[[], None]] = []

    def value(self, name: str) -> Any:
        """The value of a fixture; ``UnsupportedError`` if there is none of that name."""
        if name in ("capsys", "request") and name not in self._fixtures:
            return CapSys() if name == "capsys" else self._request()
        if name not in self._fixtures:
            raise UnsupportedError(f"the fixture {name!r}")
        fixture = self._fixtures[name]
        home = self._home(fixture.scope)
        if name not in home._values:
            home._values[name] = home._make(fixture, self._instance)
        return home._values[name]

    def automatic(self) -> None:
        """Make the fixtures that nobody needs to ask for."""
        for name, fixture in self._fixtures.items():
            if fixture.autouse:
                self.value(name)

    def arguments(self, function: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a test or fixture: its parameters, and its fixtures by name."""
        code = function.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        optional = set(names[code.co_argcount - len(function.__defaults__ or ()) : code.co_argcount])
        optional |= set(function.__kwdefaults__ or ())
        ready: dict[str, Any] = {}
        for i, name in enumerate(names):
            if name in ("self", "cls") and i == 0:
                continue
            if name in given:
                ready[name] = given[name]
            elif name not in optional:
                ready[name] = self.value(name)
        return ready

    def at_end(self, end: Callable[[], None]) -> None:
        """Have something done when the scope ends."""
        self._ends.append(end)

    def close(self) -> None:
        """End the scope: the last fixture first."""
        while self._ends:
            self._ends.pop()()
        self._values.clear()

    def _home(self, scope: str) -> Scope:
        """Where a fixture's value belongs: here, or in the class, or in the module."""
        if self._outer is None or scope == "function":
            return self
        if self._outer._outer is None or scope == "class":
            return self._outer
        return self._outer._outer

    def _make(self, fixture: Fixture, instance: Any) -> Any:
        function = fixture.function
        if isinstance(function, staticmethod | classmethod):
            raise UnsupportedError(f"the fixture {fixture.name!r} is a static or class method")
        bound = function.__code__.co_varnames[:1] == ("self",) and function.__code__.co_argcount > 0
        first = (instance,) if bound else ()
        made = function(*first, **self.arguments(function, {}))
        if inspect.iscoroutine(made) or inspect.isasyncgen(made):
            raise UnsupportedError(f"the fixture {fixture.name!r} is asynchronous")
        if not isinstance(made, types.GeneratorType):
            return made
        value = next(made)
        self.at_end(lambda: _exhaust(made, fixture.name))
        return value

    def _request(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(
            addfinalizer=self.at_end,
            getfixturevalue=self.value,
            instance=self._instance,
            cls=type(self._instance),
        )


def _exhaust(made: types.GeneratorType[Any, Any, Any], name: str) -> None:
    for _ in made:
        raise UnsupportedError(f"the fixture {name!r} yields twice")
