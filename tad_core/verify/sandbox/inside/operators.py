"""The operators of the stand-ins, and the classes that have them where the program's classes do."""

from __future__ import annotations

import contextlib
import inspect
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .remote import COMPARISONS, Remote, RemoteClass, told_of

if TYPE_CHECKING:
    from .link import Link


def stand_in(link: Link, number: int, kind: type, classes: tuple[int, ...]) -> Remote:
    """The stand-in for the object of a number, of a class made by ``stand_in_class``."""
    made: Remote = object.__new__(kind)
    for name, value in (("_tad_link", link), ("_tad_number", number), ("_tad_classes", classes)):
        object.__setattr__(made, name, value)
    return made


def stand_in_class(
    link: Link, number: int, name: str, bases: tuple[type, ...], specials: list[str], plain: str
) -> Any:
    """The stand-in for a class.

    Args:
        link: the connection to the program.
        number: the number of the class.
        name: its name.
        bases: stand-ins for its bases.
        specials: operators that it defines itself.
        plain: the built-in class whose values its objects are, too (``int`` of ``class Level(int)``), or empty.
    """
    body: dict[str, Any] = {item: OPERATORS[item] for item in specials if item in OPERATORS}
    inherited = frozenset().union(*(base.__dict__["tad_specials"] for base in bases))
    body.update(tad_link=link, tad_number=number, tad_specials=inherited.union(specials), tad_plain=plain)
    shown = types.GeneratorType if name == "generator" else _SHOWN.get(plain)
    if shown is not None:  # so that isinstance knows it
        body["__class__"] = property(lambda self: shown)
    body.update(__slots__=(), __module__="solution", __doc__=_DOC)
    body["__hash__"] = Remote.__hash__  # which a body with __eq__ would end
    return RemoteClass(name, bases or (Remote,), body)


_SHOWN: dict[str, type] = {
    kind.__name__: kind for kind in (int, float, complex, str, bytes, tuple, frozenset)
}


class _Doc:
    """``obj.__doc__``, which would else be the stand-in's own."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        return (
            instance._tad_link.request("get", instance._tad_number, "__doc__")
            if instance is not None
            else None
        )


_DOC = _Doc()


def _kept(error: BaseException | None) -> contextlib.AbstractContextManager[Any]:
    """Around the end of a ``with`` block: what failed in the tests is not replaced by an error of the program."""
    lost = error is not None and told_of(error)[1] is None
    return contextlib.suppress(Exception) if lost else contextlib.nullcontext()


async def _finished(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _iterate(self: Remote) -> Iterator[Any]:
    iterator = self._tad_special("__iter__")
    return iterator if isinstance(iterator, Remote) else iter(iterator)


def _call(self: Remote, /, *args: Any, **kwargs: Any) -> Any:
    return self._tad_link.request("call", self._tad_number, None, args, kwargs)


def _leave(self: Remote, kind: Any, error: BaseException | None, trace: types.TracebackType | None) -> bool:
    with _kept(error):
        return self._tad_swallowed(self._tad_special("__exit__", *told_of(error)), error, trace)
    return False


async def _enter_later(self: Remote) -> Any:
    return await _finished(self._tad_special("__aenter__"))


async def _leave_later(
    self: Remote, kind: Any, error: BaseException | None, trace: types.TracebackType | None
) -> bool:
    with _kept(error):
        answer = await _finished(self._tad_special("__aexit__", *told_of(error)))
        return self._tad_swallowed(answer, error, trace)
    return False


async def _next_later(self: Remote) -> Any:
    return self._tad_link.request("anext", self._tad_number, "__anext__")


def _await(self: Remote) -> Any:
    return self._tad_link.awaited(self._tad_number).__await__()


def _itself(self: Remote) -> Remote:
    return self


def _forward(name: str) -> Callable[..., Any]:
    def apply(self: Remote, *args: Any) -> Any:
        return self._tad_special(name, *args)

    apply.__name__ = name
    return apply


def _size(name: str) -> Callable[..., Any]:
    def apply(self: Remote, *args: Any) -> Any:
        return self._tad_size(name, *args)

    apply.__name__ = name
    return apply


def _operator(name: str) -> Callable[[Remote, Any], Any]:
    def apply(self: Remote, other: Any) -> Any:
        return self._tad_between(name, other)

    apply.__name__ = name
    return apply


_ARITHMETIC = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow", "matmul", "and", "or", "xor", "lshift",
    "rshift",
)  # fmt: skip
#: Operators that a class of the program may have, by their names.
OPERATORS: dict[str, Callable[..., Any]] = {
    **{
        name: _forward(name)
        for name in ("__next__", "__getitem__", "__setitem__", "__delitem__", "__enter__", "__reversed__")
    },
    **{
        name: _size(name)
        for name in (
            "__len__", "__neg__", "__pos__", "__abs__", "__invert__", "__float__", "__int__", "__index__",
            "__complex__", "__round__", "__trunc__", "__floor__", "__ceil__", "__bytes__",
        )
    },
    **{name: _operator(name) for name in COMPARISONS},
    **{f"__{side}{name}__": _operator(f"__{side}{name}__") for name in _ARITHMETIC for side in ("", "r", "i")},
    "__iter__": _iterate, "__call__": _call, "__exit__": _leave, "__aenter__": _enter_later, "__aexit__": _leave_later,
    "__aiter__": _itself, "__anext__": _next_later, "__await__": _await,
}  # fmt: skip
