"""What of the tests the program gets to use, and how far: functions, objects of their classes, the standard library."""

from __future__ import annotations

import sys
from typing import Any

from . import wire

#: Where the tests' own classes say they are from.
TESTS = "test_solution"


class NotCarriedError(BaseException):
    """A value of the tests that cannot be handed to the program. No fault of the program, and no test can catch it."""


def is_standard(module: str) -> bool:
    """Whether a module is of the standard library, by its name."""
    return module.partition(".")[0] in sys.stdlib_module_names


def standard(value: Any) -> list[str] | None:
    """Module and name of a class or function of the standard library, which the program has as well."""
    module, name = str(getattr(value, "__module__", "")), getattr(value, "__qualname__", None)
    if not (is_standard(module) and isinstance(name, str) and callable(value)):
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return [module, name] if found is value else None


def way_into(mine: Any, op: Any, name: Any) -> Any:
    """What a call from the program means: a function of the tests, or something of an object of theirs.

    Of an object it may use what has a public name and the operators that its class defines: the way to what the tests
    know goes over names with underscores.
    """
    if op is None:
        return mine
    if op == "special":
        if name not in wire.SPECIALS or not defines(type(mine), name):
            raise NotCarriedError(f"{name} of an object of the tests")
        return getattr(mine, name)
    if not isinstance(name, str) or name.startswith("_") or type(mine).__module__ != TESTS:
        raise NotCarriedError(f"{name} of an object of the tests")
    return {"get": lambda: getattr(mine, name), "set": lambda value: setattr(mine, name, value)}[op]


def defines(kind: type, name: str) -> bool:
    """Whether a class of the tests has an operator of its own."""
    return any(name in vars(base) for base in kind.__mro__ if base.__module__ == TESTS)
