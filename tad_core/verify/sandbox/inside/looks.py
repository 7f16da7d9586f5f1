"""Questions of the standard library about functions and classes, asked where those are.

``inspect.signature(f)`` and ``dataclasses.asdict(p)`` look at an object and not at what it does: of a stand-in they
would see the stand-in. So the program's side answers them; what it says is plain data or a stand-in, as ever.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any

#: functions of the standard library, by module, of which the first argument may be the program's
QUESTIONS = {
    "inspect": (
        "signature", "getsource", "getdoc", "isfunction", "iscoroutinefunction", "isgeneratorfunction",
        "isasyncgenfunction", "isabstract", "ismethod", "isbuiltin", "getfullargspec", "get_annotations",
    ),
    "asyncio": ("iscoroutinefunction",),
    "dataclasses": ("asdict", "astuple", "fields", "is_dataclass", "replace"),
    "typing": ("get_type_hints",),
}  # fmt: skip
NAMES = frozenset(f"{module}.{name}" for module, names in QUESTIONS.items() for name in names)


def redirect(source: str, ask: Callable[..., Any], is_theirs: Callable[[Any], bool]) -> None:
    """Have the functions answered by the program's side where the question is about something of the program.

    Args:
        source: the tests; modules that they do not name stay as they are.
        ask: asks a function by its dotted name, with its arguments.
        is_theirs: whether a value stands for something of the program.
    """
    for module, names in QUESTIONS.items():
        if module not in source:
            continue
        home = importlib.import_module(module)
        for name in names:
            setattr(home, name, _redirected(getattr(home, name), f"{module}.{name}", ask, is_theirs))


def _redirected(
    function: Any, dotted: str, ask: Callable[..., Any], is_theirs: Callable[[Any], bool]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def asked(*args: Any, **kwargs: Any) -> Any:
        if args and is_theirs(args[0]):
            return ask(dotted, *args, **kwargs)
        return function(*args, **kwargs)

    return asked


def answer(dotted: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """The answer, on the program's side."""
    module, _, name = dotted.rpartition(".")
    return getattr(sys.modules.get(module) or importlib.import_module(module), name)(*args, **kwargs)
