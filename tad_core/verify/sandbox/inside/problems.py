"""Stand-ins for the exceptions of the program and for their classes."""

from __future__ import annotations

import builtins
import sys
from typing import TYPE_CHECKING, Any

from .handing import is_standard

if TYPE_CHECKING:
    from .remote import Link


class RemoteError(Exception):
    """An exception of the program that has no built-in type."""


class ProblemClass(type):
    """The stand-in for an exception class of the program: it is made, and asked, where it is."""

    _tad_link: Link
    _tad_class: int

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Have the program make one."""
        return cls._tad_link.request("call", cls._tad_class, None, args, kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        cls._tad_link.trusts(name, (cls._tad_class,))
        return cls._tad_link.request("get", cls._tad_class, name)


class Problem(metaclass=ProblemClass):
    """What the stand-ins of the program's exceptions have: their text, and their attributes where they are."""

    def __getattr__(self, name: str) -> Any:
        if (name.startswith("__") and name.endswith("__")) or "_tad_object" not in self.__dict__:
            raise AttributeError(name)
        kind = type(self)
        kind._tad_link.trusts(name, (kind._tad_class,))
        return kind._tad_link.request("get", self.__dict__["_tad_object"], name)

    def __str__(self) -> str:
        return str(self.__dict__.get("_tad_text", ""))


def below_problem(above: tuple[type, ...]) -> tuple[type, ...]:
    """The bases of a stand-in below these: ``Problem`` is among those above it, once."""
    return above if any(issubclass(parent, Problem) for parent in above) else (Problem, *above)


def known_error(base: Any) -> type[BaseException]:
    """A base by name, or by module and name where the tests have that module of the standard library."""
    if isinstance(base, str):
        return builtin_error([base])
    module, name, *fallback = (str(part) for part in base)
    found = getattr(sys.modules.get(module), name, None) if is_standard(module) else None
    if isinstance(found, type) and issubclass(found, BaseException):
        return found
    return builtin_error(fallback)


def builtin_class(kind: type) -> Any:
    """The nearest built-in class of an exception."""
    return next((base for base in kind.__mro__ if base.__module__ == "builtins"), Exception)


def builtin_error(names: list[str]) -> type[BaseException]:
    """The first built-in exception of these names; ``RemoteError`` without one."""
    for name in names:
        kind = getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, BaseException):
            return kind
    return RemoteError
