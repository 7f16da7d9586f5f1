"""The tests' view of the program: stand-ins that forward to the other sandbox and bring back plain data.

The rule that keeps verdicts honest: the program never sees what its results are compared with. A
stand-in therefore equals nothing but another stand-in, or the plain value that it is beneath (an ``IntEnum``), does
no arithmetic with plain values unless the tests asked for its class by name, and finds members by looking through its
plain items here. Where the program's own code decides, the result is labelled so.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .link import Link

#: Items looked through for a member, before a stand-in is taken for endless.
MEMBERS = 1_000_000
#: What the tests may read of a function or a class among the names that Python gives it.
_READABLE = frozenset({
    "__name__", "__doc__", "__dict__", "__qualname__", "__annotations__", "__module__", "__defaults__",
    "__kwdefaults__", "__wrapped__", "__members__", "__slots__", "__match_args__",
})  # fmt: skip


class RemoteClass(type):
    """The stand-in for a class of the program: can be called, asked for attributes and for its instances."""

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:  # noqa: D102
        for base in bases:
            if type(base) is RemoteClass and "tad_number" not in body:
                link = base.__dict__["tad_link"]
                raise link.refuse(f"the class {name} of the tests, derived from a class of the program")
        return super().__new__(mcs, name, bases, body)

    def _ask(cls, op: str, name: str | None, *args: Any, **kwargs: Any) -> Any:
        return cls.__dict__["tad_link"].request(op, cls.__dict__["tad_number"], name, args, kwargs)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        return cls._ask("call", None, *args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        cls.__dict__["tad_link"].ask(name, cls.__name__, (cls.__dict__["tad_number"],))
        return _attribute(cls.__dict__["tad_link"], cls.__dict__["tad_number"], name)

    __doc__ = property(lambda cls: cls._ask("get", "__doc__"))
    __annotations__ = property(lambda cls: cls._ask("get", "__annotations__"))

    def __instancecheck__(cls, instance: Any) -> bool:
        if super().__instancecheck__(instance):
            return True
        kind = type(instance)  # a named tuple, which crosses as one
        return (
            cls.__dict__["tad_plain"] == "tuple"
            and kind.__name__ == cls.__name__
            and hasattr(kind, "_fields")
        )

    def __or__(cls, other: Any) -> Any:  # in annotations: Node | None
        return cls

    __ror__ = __or__

    def __iter__(cls) -> Iterator[Any]:
        return iter(cls._ask("special", "__iter__"))

    def __getitem__(cls, key: Any) -> Any:
        return cls._ask("special", "__getitem__", key)

    def __len__(cls) -> int:
        return int(cls._ask("special", "__len__"))

    def __bool__(cls) -> bool:
        return True

    def __contains__(cls, item: Any) -> bool:
        return any(member is item or member == item for member in itertools.islice(iter(cls), MEMBERS))


def class_number(value: Any) -> set[int]:
    """The number of a class of the program, exceptions too; nothing for any other value."""
    return (
        {value.__dict__["tad_number"]}
        if isinstance(value, type) and "tad_number" in value.__dict__
        else set()
    )


def _attribute(link: Link, number: int, name: str) -> Any:
    """An attribute: a function is called where it is, in one step, and nothing is fetched for it."""
    if name.startswith("__") and name.endswith("__") and name not in _READABLE:
        raise AttributeError(name)
    return link.request("get", number, name)


class Remote:
    """The stand-in for an object of the program; its operators are in ``OPERATORS``."""

    __slots__ = ("_tad_classes", "_tad_link", "_tad_number")

    def __getattr__(self, name: str) -> Any:
        self._tad_link.ask(name, type(self).__name__, self._tad_classes)
        return _attribute(self._tad_link, self._tad_number, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._tad_link.request("set", self._tad_number, name, (value,))

    def __delattr__(self, name: str) -> None:
        self._tad_link.request("delete", self._tad_number, name)

    def _tad_special(self, name: str, *args: Any) -> Any:
        return self._tad_link.request("special", self._tad_number, name, args)

    def __contains__(self, item: Any) -> bool:
        # Decided here on plain items: the program's own __contains__ could say yes to anything.
        specials, link = type(self).__dict__["tad_specials"], self._tad_link
        if not specials.isdisjoint({"__iter__", "__getitem__"}) or not link.knows(self._tad_classes):
            return any(member is item or member == item for member in itertools.islice(iter(self), MEMBERS))
        link.own_classes = True
        return bool(self._tad_special("__contains__", item))

    def __bool__(self) -> bool:
        for name in ("__bool__", "__len__"):
            if name in type(self).__dict__["tad_specials"]:
                return bool(self._tad_special(name))
        return True

    def _tad_swallowed(
        self, answer: Any, error: BaseException | None, trace: types.TracebackType | None
    ) -> bool:
        """Whether an error in a ``with`` block ends there, as the program's ``__exit__`` says."""
        if not _told(error)[1] or not answer or not self._tad_link.may_swallow(trace):
            return False
        self._tad_link.own_classes = True
        return True

    def __copy__(self) -> Any:
        return self._tad_link.request("copy", self._tad_number, "copy")

    def __deepcopy__(
        self, memo: Any
    ) -> Any:  # never of the link, whose record of what happened is the only one
        return self._tad_link.request("copy", self._tad_number, "deepcopy")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"{type(self).__name__!r} object of the program cannot be pickled by the tests")

    def __hash__(self) -> int:
        return hash(self._tad_special("__hash__"))

    def __repr__(self) -> str:
        return str(self._tad_special("__repr__"))

    def __str__(self) -> str:
        return str(self._tad_special("__str__"))

    def __format__(self, spec: str) -> str:
        return str(self._tad_special("__format__", spec))

    def __eq__(self, other: object) -> Any:
        return self._tad_between("__eq__", other)

    def __ne__(self, other: object) -> Any:
        return self._tad_between("__ne__", other)

    def _tad_between(self, name: str, other: Any) -> Any:
        """An operator with another object of the program, or with a plain value as far as that tells it nothing."""
        link, specials = self._tad_link, type(self).__dict__["tad_specials"]
        if isinstance(other, Remote):
            if (
                name in ("__eq__", "__ne__")
                and "__eq__" not in specials | type(other).__dict__["tad_specials"]
            ):
                return (self is other) == (name == "__eq__")
            if name in _COMPARISONS:
                link.own_classes = True
            return self._tad_special(name, other)
        # Not NotImplemented for these: it counts as true where a test calls __eq__ by name.
        unanswered = {"__eq__": False, "__ne__": True}.get(name, NotImplemented)
        if type(self).__dict__["tad_plain"]:
            value = link.plain_value(self._tad_number)
            return unanswered if isinstance(value, Remote) else getattr(type(value), name)(value, other)
        own = ("__eq__" if name == "__ne__" else name) in specials
        if other is None or not own or not link.knows(self._tad_classes):
            return unanswered
        if name not in _COMPARISONS:
            link.own_classes = True
            answer = self._tad_special(name, other)
            if isinstance(answer, Remote) or answer is NotImplemented:
                return answer
        link.doubt = f"{name} of an object of the program with a plain value, which could be the expected one"
        return unanswered


def is_stand_in(value: Any) -> bool:
    """Whether a value stands for an object or a class of the program."""
    return isinstance(value, Remote | RemoteClass)


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


def _told(error: BaseException | None) -> tuple[Any, ...]:
    """What a program is told of an error in its ``with`` block: nothing where an assertion failed."""
    if isinstance(error, AssertionError) or not isinstance(error, Exception):
        return None, None, None
    return type(error), error, None


def _kept(error: BaseException | None) -> contextlib.AbstractContextManager[Any]:
    """Around the end of a ``with`` block: what failed in the tests is not replaced by an error of the program."""
    lost = error is not None and _told(error)[1] is None
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
        return self._tad_swallowed(self._tad_special("__exit__", *_told(error)), error, trace)
    return False


async def _enter_later(self: Remote) -> Any:
    return await _finished(self._tad_special("__aenter__"))


async def _leave_later(
    self: Remote, kind: Any, error: BaseException | None, trace: types.TracebackType | None
) -> bool:
    with _kept(error):
        answer = await _finished(self._tad_special("__aexit__", *_told(error)))
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


def _operator(name: str) -> Callable[[Remote, Any], Any]:
    def apply(self: Remote, other: Any) -> Any:
        return self._tad_between(name, other)

    apply.__name__ = name
    return apply


_COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
_ARITHMETIC = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow", "matmul", "and", "or", "xor", "lshift",
    "rshift",
)  # fmt: skip
#: Operators that a class of the program may have, by their names.
OPERATORS: dict[str, Callable[..., Any]] = {
    **{
        name: _forward(name)
        for name in (
            "__next__", "__len__", "__getitem__", "__setitem__", "__delitem__", "__enter__", "__neg__", "__pos__",
            "__abs__", "__invert__", "__float__", "__int__", "__index__", "__complex__", "__round__", "__reversed__",
            "__trunc__", "__floor__", "__ceil__", "__bytes__",
        )
    },
    **{name: _operator(name) for name in _COMPARISONS},
    **{f"__{side}{name}__": _operator(f"__{side}{name}__") for name in _ARITHMETIC for side in ("", "r", "i")},
    "__iter__": _iterate, "__call__": _call, "__exit__": _leave, "__aenter__": _enter_later, "__aexit__": _leave_later,
    "__aiter__": _itself, "__anext__": _next_later, "__await__": _await,
}  # fmt: skip


class RemoteModule(types.ModuleType):
    """The program as a module: ``import solution`` and ``from solution import f``."""

    def __init__(self, link: Link) -> None:
        super().__init__("solution")
        # A star would bring names over the built-in ones.
        self.__dict__.update(_link=link, __all__=[])

    def __getattr__(self, name: str) -> Any:
        if name not in self._link.names:
            raise AttributeError(f"the program defines no {name!r}")
        return self._link.request("get", 0, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):  # of the import system
            self.__dict__[name] = value
            return
        self._link.request("set", 0, name, (value,))
        self._link.names |= {name}

    def __delattr__(self, name: str) -> None:
        self._link.request("delete", 0, name)
        self._link.names -= {name}
