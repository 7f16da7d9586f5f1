"""What of the tests may be handed to the program, and what the program may do with it.

Functions can be called, iterators advanced, objects of the tests' own classes used by their attributes,
methods and operators. All of it happens here: the program holds a number. Of functions, modules, frames and
the like it gets no attribute, for those lead to everything that the tests hold.
"""

from __future__ import annotations

import builtins
import enum
import functools
import inspect
import io
import re
import sys
import types
import unittest
from collections.abc import Callable, Iterator
from typing import Any

from . import wire

#: The module of everything that the tests define.
HOME = "test_solution"
#: Operators and the like that the program may use on an object of the tests.
SPECIALS = frozenset({
    "__abs__", "__add__", "__and__", "__bool__", "__bytes__", "__call__", "__complex__", "__contains__", "__delitem__",
    "__divmod__", "__enter__", "__eq__", "__exit__", "__float__", "__floordiv__", "__format__", "__ge__", "__getitem__",
    "__gt__", "__hash__", "__iadd__", "__iand__", "__imul__", "__index__", "__int__", "__invert__", "__isub__",
    "__iter__", "__le__", "__len__", "__lshift__", "__lt__", "__matmul__", "__mod__", "__mul__", "__ne__", "__neg__",
    "__next__", "__or__", "__pos__", "__pow__", "__radd__", "__rand__", "__repr__", "__reversed__", "__rfloordiv__",
    "__rmod__", "__rmul__", "__ror__", "__round__", "__rshift__", "__rsub__", "__rtruediv__", "__rxor__", "__setitem__",
    "__str__", "__sub__", "__truediv__", "__xor__",
})  # fmt: skip
_READABLE = frozenset({"__name__", "__qualname__", "__doc__", "__module__"})
#: Built-in classes whose operations would be those of a plain value: an object of another kind cannot do them.
_PLAIN = (int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)
_FUNCTIONS = (
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.BuiltinMethodType,
    types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType, types.ClassMethodDescriptorType,
)  # fmt: skip


class Guests:
    """The things of the tests that were handed over, by their numbers."""

    def __init__(self) -> None:
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        #: names of the classes whose objects were handed over
        self.classes: set[str] = set()
        #: what the program asked of one of them and cannot have: its failure may come of that
        self.refused = ""

    def number(self, value: Any) -> int:
        """The number of an object; it is kept alive, so that the number stays its own."""
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)
        return number

    def find(self, number: Any) -> Any:
        """The object of a number; IndexError if there is none."""
        if type(number) is not int or number < 0:
            raise IndexError(f"no guest {number!r}")
        return self._objects[number]

    def encode(self, value: Any, encode: Callable[[Any], Any]) -> Any:
        """The JSON form of something that is not plain; ``UnsendableError`` if it may not be handed over."""
        if place := _in_library(value):
            return {"t": "library", "v": place}
        if type(value) is functools.partial:
            parts = [encode(value.func), [encode(arg) for arg in value.args]]
            return {
                "t": "partial",
                "v": [*parts, {key: encode(item) for key, item in value.keywords.items()}],
            }
        if type(value) is re.Pattern:
            return {"t": "pattern", "v": [encode(value.pattern), value.flags]}
        if type(value) is object:  # a mark, which is only ever itself
            return {"t": "guest", "v": {"kind": "mark", "id": self.number(value)}}
        if isinstance(value, type):
            return {"t": "guest", "v": {"kind": "class", "class": self._class(value)}}
        if isinstance(value, _FUNCTIONS):
            name, text = str(value.__name__), value.__doc__ if type(value.__doc__) is str else None
            return {"t": "guest", "v": {"kind": "function", "id": self.number(value), "names": [name, text]}}
        if _is_of_tests(type(value)):
            self.classes.add(type(value).__name__)
            body = {"kind": "object", "id": self.number(value), "class": self._class(type(value))}
            if isinstance(value, BaseException):
                body["args"] = [encode(arg) for arg in value.args]
            return {"t": "guest", "v": body}
        if callable(value) and _is_of_library(type(value).__module__):
            return {"t": "guest", "v": {"kind": "function", "id": self.number(value)}}
        if isinstance(value, Iterator) and not isinstance(value, io.IOBase):
            return {"t": "guest", "v": {"kind": "iterator", "id": self.number(value)}}
        raise wire.UnsendableError(f"a value of type {type(value).__name__}")

    def _class(self, kind: type) -> dict[str, Any]:
        """What is told of a class: what its objects can do, and of what classes of the tests it is made."""
        if not _is_of_tests(kind):
            raise wire.UnsendableError(f"the class {kind.__name__}")
        plain = [base.__name__ for base in kind.__mro__ if base in _PLAIN]
        if plain or issubclass(kind, unittest.TestCase):
            raise wire.UnsendableError(f"a class derived from {(plain or ['TestCase'])[0]}, {kind.__name__}")
        errors = [
            base.__name__
            for base in kind.__mro__
            if issubclass(base, BaseException) and wire.builtin_name(base)
        ]
        return {
            "id": self.number(kind),
            "name": kind.__name__,
            "bases": [self._class(base) for base in kind.__bases__ if _is_of_tests(base)],
            "specials": sorted(name for name in SPECIALS if _defines(kind, name)),
            "hashable": kind.__hash__ is not None,
            "error": errors[0] if errors else None,
        }

    def perform(self, request: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Do what the program asks of a guest."""
        target = self.find(request["callback"])
        op, name = request["op"], request.get("name")
        if op == "call":
            if not callable(target):
                raise TypeError(f"{type(target).__name__!r} object is not callable")
            return target(*args, **kwargs)
        if op == "next" and isinstance(target, Iterator):
            return next(target)
        of = target if isinstance(target, type) else type(target)
        if not _is_of_tests(of) or type(name) is not str:
            raise AttributeError(name)
        if op == "special" and name in SPECIALS:
            return getattr(type(target), name)(target, *args)
        if op == "get" and name == "__dict__" and not isinstance(target, type):
            return {key: value for key, value in vars(target).items() if not key.startswith("_")}
        # What has no public name may be what the tests expect, or lead to it.
        if name.startswith("_") and name not in _READABLE:
            if hasattr(target, name):
                self.refused = f"{name} of {of.__name__}, a class of the tests"
            raise AttributeError(name)
        if op == "get":
            return getattr(target, name)
        if op == "set":
            return setattr(target, name, args[0])
        if op == "delete":
            return delattr(target, name)
        raise AttributeError(name)


def _is_of_tests(kind: type) -> bool:
    """Whether the tests define a class."""
    return bool(type.__getattribute__(kind, "__module__") == HOME)


def _defines(kind: type, name: str) -> bool:
    """Whether a class does something of its own for an operator."""
    found = inspect.getattr_static(kind, name, None)
    return found is not None and found is not inspect.getattr_static(object, name, None)


def _is_of_library(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _in_library(value: Any) -> list[str]:
    """Module and name by which both sides find the same function or class of the standard library; else nothing."""
    if not isinstance(value, (*_FUNCTIONS, type)):
        return []
    owner = getattr(value, "__objclass__", None)
    module = getattr(owner or value, "__module__", None)
    name = getattr(value, "__qualname__", None)
    if (
        type(module) is not str
        or type(name) is not str
        or module not in {"builtins", *sys.stdlib_module_names}
    ):
        return []
    found: Any = builtins if module == "builtins" else sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    # Compared by identity where it is one: a method of a class is made anew for each look.
    same = found is value or (isinstance(value, types.BuiltinMethodType) and found == value)
    return [module, name] if same and not isinstance(value, enum.EnumType) else []
