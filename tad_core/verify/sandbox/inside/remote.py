"""The tests' view of the program: stand-ins that forward to the other sandbox and bring back plain data.

The rule that keeps verdicts honest: the program never sees what its results are compared with. A
stand-in therefore equals nothing but another stand-in, does no arithmetic with plain values and finds
members by looking through its plain items here. Where two stand-ins are compared the program's own
code decides, and the result is labelled so.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .link import Link

#: Items looked through for a member, before a stand-in is taken for endless.
MEMBERS = 1_000_000


class RemoteClass(type):
    """The stand-in for a class of the program: can be called, asked for attributes and for its instances."""

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:  # noqa: D102
        for base in bases:
            if type(base) is RemoteClass:
                link = base.__dict__["_link"]
                raise link.refuse(f"the class {name} of the tests, derived from a class of the program")
        return super().__new__(mcs, name, bases, body)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        return cls.__dict__["_link"].request("call", cls.__dict__["_number"], None, args, kwargs)

    def __getattr__(cls, name: str) -> Any:
        link, number = cls.__dict__["_link"], cls.__dict__["_number"]
        link.ask(name, cls.__name__, (number,))
        return _attribute(link, number, name)

    def __instancecheck__(cls, instance: Any) -> bool:
        if type(instance) is not Remote:
            return False
        return cls.__dict__["_number"] in object.__getattribute__(instance, "_classes")

    def __or__(cls, other: Any) -> Any:  # in annotations: Node | None
        return cls

    __ror__ = __or__

    def __iter__(cls) -> Iterator[Any]:
        return iter(cls.__dict__["_link"].request("special", cls.__dict__["_number"], "__iter__"))


def class_number(value: Any) -> set[int]:
    """The number of a class of the program, exceptions too; nothing for any other value."""
    if type(value) is RemoteClass:
        return {value.__dict__["_number"]}
    return (
        {value.__dict__["tad_number"]}
        if isinstance(value, type) and "tad_number" in value.__dict__
        else set()
    )


def _attribute(link: Link, number: int, name: str) -> Any:
    """An attribute: a function is called where it is, in one step, and nothing is fetched for it."""
    if name.startswith("__") and name.endswith("__") and name not in ("__name__", "__doc__", "__dict__"):
        raise AttributeError(name)
    return link.request("get", number, name)


class Remote:
    """The stand-in for an object of the program."""

    __slots__ = ("_classes", "_link", "_number", "_title")

    def __init__(self, link: Link, number: int, title: str, classes: tuple[int, ...]) -> None:
        for name, value in (("_link", link), ("_number", number), ("_title", title), ("_classes", classes)):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        self._link.ask(name, self._title, self._classes)
        return _attribute(self._link, self._number, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.request("set", self._number, name, (value,))

    def __delattr__(self, name: str) -> None:
        self._link.request("delete", self._number, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it where it is."""
        return self._link.request("call", self._number, None, args, kwargs)

    def _special(self, name: str, *args: Any) -> Any:
        return self._link.request("special", self._number, name, args)

    def __iter__(self) -> Iterator[Any]:
        iterator = self._special("__iter__")
        return iterator if type(iterator) is Remote else iter(iterator)

    def __next__(self) -> Any:
        return self._special("__next__")

    def __contains__(self, item: Any) -> bool:
        # Decided here on plain items: the program's own __contains__ could say yes to anything.
        return any(member is item or member == item for member in itertools.islice(iter(self), MEMBERS))

    def __len__(self) -> int:
        return int(self._special("__len__"))

    def __bool__(self) -> bool:
        for name in ("__bool__", "__len__"):
            try:
                return bool(self._special(name))
            except TypeError:  # it has no such method
                continue
        return True

    def __getitem__(self, key: Any) -> Any:
        return self._special("__getitem__", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._special("__setitem__", key, value)

    def __delitem__(self, key: Any) -> None:
        self._special("__delitem__", key)

    def __enter__(self) -> Any:
        return self._special("__enter__")

    def __exit__(self, kind: Any, error: BaseException | None, trace: types.TracebackType | None) -> bool:
        with _kept(error):
            return self._swallowed(self._special("__exit__", *_told(error)), error, trace)
        return False

    async def __aenter__(self) -> Any:
        return await _finished(self._special("__aenter__"))

    async def __aexit__(
        self, kind: Any, error: BaseException | None, trace: types.TracebackType | None
    ) -> bool:
        with _kept(error):
            return self._swallowed(await _finished(self._special("__aexit__", *_told(error))), error, trace)
        return False

    def _swallowed(self, answer: Any, error: BaseException | None, trace: types.TracebackType | None) -> bool:
        """Whether an error in a ``with`` block ends there, as the program's ``__exit__`` says."""
        if not _told(error)[1] or not answer or not self._link.may_swallow(trace):
            return False
        self._link.own_classes = True
        return True

    def __copy__(self) -> Any:
        return self._link.request("copy", self._number, "copy")

    def __deepcopy__(
        self, memo: Any
    ) -> Any:  # never of the link, whose record of what happened is the only one
        return self._link.request("copy", self._number, "deepcopy")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"{self._title!r} object of the program cannot be pickled by the tests")

    def __hash__(self) -> int:
        return hash(self._special("__hash__"))

    def __repr__(self) -> str:
        return str(self._special("__repr__"))

    def __str__(self) -> str:
        return str(self._special("__str__"))

    def _between(self, name: str, other: Any) -> Any:
        """An operator between two objects of the program; with anything else there is no answer."""
        if type(other) is not Remote:
            # Not NotImplemented for these: it counts as true where a test calls __eq__ by name.
            return {"__eq__": False, "__ne__": True}.get(name, NotImplemented)
        if name in _COMPARISONS:
            self._link.own_classes = True
        return self._special(name, other)


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


_COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")


def _operator(name: str) -> Any:
    def apply(self: Remote, other: Any) -> Any:
        return self._between(name, other)

    apply.__name__ = name
    return apply


for _name in (*_COMPARISONS, "__add__", "__sub__", "__mul__", "__truediv__", "__and__", "__or__", "__xor__"):
    setattr(Remote, _name, _operator(_name))


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
