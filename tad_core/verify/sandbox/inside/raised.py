"""Exceptions that cross: what is sent of one, and the one that the tests see for it.

The stand-in for an exception of the program has the program's class names, the same place among its
classes and those of Python, its arguments, attributes, text and cause. All of that is plain data or a
stand-in; only methods that the program gave its exception are run where they are.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterable
from typing import Any, Protocol

_MAX_TEXT = 10_000
_MAX_CAUSES = 8
#: What every exception has: the program's idea of these never replaces Python's own.
_OWN_NAMES = frozenset(dir(BaseException)) | {"from_program"}
_LOOPS = frozenset({"StopIteration", "StopAsyncIteration"})


class RemoteError(Exception):
    """An exception of the program that has no built-in type."""


def describe(
    problem: BaseException, encode: Callable[[Any], Any], number: Callable[[Any], int], depth: int = 0
) -> dict[str, Any]:
    """What the program's side sends of an exception.

    Args:
        problem: the exception.
        encode: the JSON form of a value.
        number: the number by which the other side may name an object.
        depth: how many exceptions this one is the cause of.
    """
    guest = getattr(problem, "__dict__", {}).get("tad_guest")
    if guest is not None:  # an exception of the tests comes back to them
        return {"guest": guest}
    kind = type(problem)
    error: dict[str, Any] = {"type": "Exception", "classes": [[None, "Exception", []]], "args": [], "id": -1}
    try:
        error["type"], error["classes"] = kind.__name__, classes_of(kind, number)
        error["args"] = [encode(arg) for arg in problem.args]
        error["text"] = str(problem)[:_MAX_TEXT]
        error["id"] = number(problem)
        error["attributes"] = {
            name: encode(value) for name, value in vars(problem).items() if name not in _OWN_NAMES
        }
        for attribute in ("cause", "context"):
            other = getattr(problem, f"__{attribute}__")
            if isinstance(other, BaseException) and depth < _MAX_CAUSES:
                error[attribute] = describe(other, encode, number, depth + 1)
        if isinstance(problem, OSError) and kind.__module__ == "builtins" and problem.filename is not None:
            names = [problem.filename, *([None, problem.filename2] if problem.filename2 is not None else [])]
            error["args"] += [encode(item) for item in names]
    except BaseException:  # the program's own exceptions may do anything, even here
        error.setdefault("text", "its message could not be read")
        error.setdefault("attributes", {})
    return error


def classes_of(kind: type, number: Callable[[Any], int]) -> list[list[Any]]:
    """The classes of an exception, bases first: [number (none for Python's own), name, its direct bases' names]."""
    found: list[list[Any]] = []
    for base in reversed(type.mro(kind)):
        if base is object or not issubclass(base, BaseException):
            continue
        if getattr(builtins, base.__name__, None) is base:
            found.append([None, base.__name__, []])
        elif _is_of_library(base):
            found.append([None, _key(base, number), []])
        else:
            parents = [_key(parent, number) for parent in base.__bases__ if issubclass(parent, BaseException)]
            found.append([number(base), base.__name__, parents])
    return found


def _key(kind: type, number: Callable[[Any], int]) -> Any:
    if _is_of_library(kind):
        return f"{kind.__module__}:{kind.__qualname__}"
    return kind.__name__ if getattr(builtins, kind.__name__, None) is kind else number(kind)


def _is_of_library(kind: type) -> bool:
    """Whether a class is found by its names in the standard library, and neither built in nor the tests' own tool."""
    package = kind.__module__.partition(".")[0]
    if package in ("builtins", "unittest") or package not in sys.stdlib_module_names:
        return False
    return getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind


def build(error: dict[str, Any], kind: type[BaseException], decode: Callable[[Any], Any]) -> BaseException:
    """The exception here for a description; what cannot be built of its arguments keeps its name and text."""
    args, text = [decode(arg) for arg in error["args"]], str(error["text"])
    problem: BaseException
    try:
        problem = type.__call__(kind, *args)
    except TypeError:  # it wants other arguments than it keeps
        if kind.__module__ == "builtins":
            problem = RemoteError(f"{error['type']}: {text[:500]}")
        else:
            problem = kind.__new__(kind, *args)
    state = {
        str(name): decode(value)
        for name, value in error["attributes"].items()
        if name not in _OWN_NAMES and not str(name).startswith("__")
    }
    state.update(_tad_text=text, _tad_number=int(error["id"]), from_program=True)
    problem.__dict__.update(state)
    return problem


class Peer(Protocol):
    """What runs a request where the program is."""

    def ask(self, name: str, title: str, classes: Iterable[int]) -> None:
        """Whether the program's answer counts; see ``Link.ask``."""

    def request(
        self, op: str, number: int, name: str | None = None, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Have the program do something; see ``Link.request``."""


class _ErrorClass(type):
    """The class of the stand-ins: the program makes its own exceptions, also where the tests ask for one."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if "tad_number" not in cls.__dict__:  # the tests derived a class of their own
            return super().__call__(*args, **kwargs)
        return cls.__dict__["tad_peer"].request("call", cls.__dict__["tad_number"], None, args, kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_") or "tad_number" not in cls.__dict__:
            raise AttributeError(name)
        peer, number = cls.__dict__["tad_peer"], cls.__dict__["tad_number"]
        peer.ask(name, cls.__name__, (number,))
        return peer.request("get", number, name)


class ErrorClasses:
    """The stand-ins for the exception classes of the program: always the same one for the same class."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._known: dict[int, type[BaseException]] = {}

    def find(self, classes: list[list[Any]], in_loop: bool = True) -> type[BaseException]:
        """The last of some classes, each made from those before it.

        Args:
            classes: as ``classes_of`` gives them.
            in_loop: whether the end of an iteration may be what it says. Else it is a RuntimeError, for a
                call could end a loop of the tests early with it.
        """
        found: type[BaseException] = RemoteError
        names = {str(name) for number, name, _ in classes if number is None}
        if not in_loop and names & _LOOPS:
            return RuntimeError
        here: dict[Any, type[BaseException]] = {}
        for number, name, parents in classes:
            if number is None:
                known = _builtin_error(str(name))
                # A module that the tests did not load has no class that they could expect: its base stands for it.
                found = here[name] = found if known is RemoteError else known
            else:
                bases = tuple(here[parent] for parent in parents if parent in here)
                found = here[number] = self._stand_in(int(number), str(name), bases or (Exception,))
        return found

    def _stand_in(
        self, number: int, name: str, bases: tuple[type[BaseException], ...]
    ) -> type[BaseException]:
        if number not in self._known:
            peer = self._peer

            def fetch(self: BaseException, name: str) -> Any:
                if name.startswith("_"):
                    raise AttributeError(name)
                above = [
                    base.__dict__["tad_number"]
                    for base in type(self).__mro__
                    if "tad_number" in base.__dict__
                ]
                peer.ask(name, type(self).__name__, above)
                return peer.request("get", vars(self).get("_tad_number", number), name)

            def text(self: BaseException) -> str:
                return str(vars(self).get("_tad_text", bases[0].__str__(self)))

            body = {"__getattr__": fetch, "__str__": text, "tad_number": number, "tad_peer": self._peer}
            made: Any = _ErrorClass(name, bases, body)
            self._known[number] = made
        return self._known[number]


def _builtin_error(name: str) -> type[BaseException]:
    """An exception of Python by its name, or by ``module:name`` where the tests loaded that module."""
    module, _, inner = name.rpartition(":")
    kind = getattr(sys.modules.get(module or "builtins"), inner, None)
    if not isinstance(kind, type) or not issubclass(kind, BaseException):
        return RemoteError
    return kind if not module or _is_of_library(kind) else RemoteError
