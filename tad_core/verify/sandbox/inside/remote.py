"""The tests' view of the program: stand-ins that forward to the other sandbox and bring back plain data.

The rule that keeps verdicts honest: the program never sees what its results are compared with. A
stand-in therefore equals nothing but another stand-in, or the plain value that it is beneath (an ``IntEnum``), does
no arithmetic with plain values unless the tests asked for its class by name, and finds members by looking through its
plain items here. Where the program's own code decides, the result is labelled so.
"""

from __future__ import annotations

import itertools
import types
from collections.abc import Iterator
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
    """The stand-in for an object of the program; its operators are those of ``operators.py``."""

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

    def _tad_size(self, name: str, *args: Any) -> Any:
        """What it is as a plain value; never of what came of a plain value, which it knows: ``abs(f(x) - 4)``."""
        link = self._tad_link
        answer = self._tad_special(name, *args)
        if self._tad_number not in link.told:
            return answer
        if isinstance(answer, Remote):
            link.told.add(answer._tad_number)
            return answer
        link.doubt = (
            f"{name} of what an object of the program made of a plain value, which could be the expected one"
        )
        raise TypeError(f"{name} of {type(self).__name__!r} object")

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
                return bool(self._tad_size(name))
        return True

    def _tad_swallowed(
        self, answer: Any, error: BaseException | None, trace: types.TracebackType | None
    ) -> bool:
        """Whether an error in a ``with`` block ends there, as the program's ``__exit__`` says."""
        if not told_of(error)[1] or not answer or not self._tad_link.may_swallow(trace):
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
            if name in COMPARISONS:
                link.own_classes = True
            answer = self._tad_special(name, other)
            if isinstance(answer, Remote) and not link.told.isdisjoint({self._tad_number, other._tad_number}):
                link.told.add(answer._tad_number)
            return answer
        # Not NotImplemented for these: it counts as true where a test calls __eq__ by name.
        unanswered = {"__eq__": False, "__ne__": True}.get(name, NotImplemented)
        if type(self).__dict__["tad_plain"]:
            value = link.plain_value(self._tad_number)
            return unanswered if isinstance(value, Remote) else getattr(type(value), name)(value, other)
        own = ("__eq__" if name == "__ne__" else name) in specials
        if other is None or not own or not link.knows(self._tad_classes):
            return unanswered
        if name not in COMPARISONS:
            link.own_classes = True
            answer = self._tad_special(name, other)
            if isinstance(answer, Remote):
                link.told.add(answer._tad_number)
                return answer
            if answer is NotImplemented:
                return answer
        link.doubt = f"{name} of an object of the program with a plain value, which could be the expected one"
        return unanswered


def is_stand_in(value: Any) -> bool:
    """Whether a value stands for an object or a class of the program."""
    return isinstance(value, Remote | RemoteClass)


def told_of(error: BaseException | None) -> tuple[Any, ...]:
    """What a program is told of an error in its ``with`` block: nothing where an assertion failed."""
    if isinstance(error, AssertionError) or not isinstance(error, Exception):
        return None, None, None
    return type(error), error, None


COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")


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
