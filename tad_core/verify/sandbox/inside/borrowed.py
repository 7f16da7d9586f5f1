"""What the program holds of the tests: functions, iterators and objects that live on the other side."""

from __future__ import annotations

import builtins
import importlib
from typing import Any, Protocol


class Peer(Protocol):
    """Who asks the tests' side."""

    def ask(self, number: int, op: str, name: str | None = None, args: Any = (), kwargs: Any = None) -> Any:
        """Have the tests' side do something; see ``Guests.perform``."""


class GuestFunction:
    """A function of the tests, with its name and its text for ``functools.wraps``."""

    def __init__(self, peer: Peer, number: int, name: str, text: str | None) -> None:
        self._peer, self.tad_guest = peer, number
        self.__name__ = self.__qualname__ = name
        self.__doc__ = text

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the tests' side to call it."""
        return self._peer.ask(self.tad_guest, "call", None, args, kwargs)


class GuestMark:
    """An object of the tests that is nothing but itself."""

    def __init__(self, peer: Peer, number: int) -> None:
        self.tad_guest = number


class GuestIterator:
    """An iterator of the tests, advanced as far as it is read."""

    def __init__(self, peer: Peer, number: int) -> None:
        self._peer, self.tad_guest = peer, number

    def __iter__(self) -> GuestIterator:
        return self

    def __next__(self) -> Any:
        return self._peer.ask(self.tad_guest, "next")


class GuestClass(type):
    """The class of the classes of the tests."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: D102
        return cls.__dict__["tad_peer"].ask(cls.__dict__["tad_class"], "call", None, args, kwargs)

    def __getattr__(cls, name: str) -> Any:
        if "tad_class" not in cls.__dict__:
            raise AttributeError(name)
        return cls.__dict__["tad_peer"].ask(cls.__dict__["tad_class"], "get", name)

    def __iter__(cls) -> Any:
        return iter(cls.__dict__["tad_peer"].ask(cls.__dict__["tad_class"], "special", "__iter__"))

    def __len__(cls) -> int:
        return int(cls.__dict__["tad_peer"].ask(cls.__dict__["tad_class"], "special", "__len__"))

    def __bool__(cls) -> bool:
        return True

    def __getitem__(cls, key: Any) -> Any:
        return cls.__dict__["tad_peer"].ask(cls.__dict__["tad_class"], "special", "__getitem__", (key,))


def number_of(value: Any) -> int | None:
    """The number by which the tests know one of their own things; None for all others."""
    kind = type(value)
    if kind in (GuestFunction, GuestIterator, GuestMark):
        return int(value.tad_guest)
    if type(kind) is GuestClass:
        return int(object.__getattribute__(value, "tad_guest"))
    if kind is GuestClass:
        number = type.__getattribute__(value, "__dict__").get("tad_class")
        return None if number is None else int(number)
    return None


def in_library(module: str, name: str) -> Any:
    """A function or class of the standard library."""
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


class Guests:
    """The classes and objects of the tests that this side knows: one number is always the same object."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._known: dict[int, Any] = {}

    def decode(self, body: dict[str, Any], args: list[Any]) -> Any:
        """What stands here for a guest; ``args`` are those of an exception."""
        if body["kind"] == "class":
            return self._class(body["class"])
        number = body["id"]
        if number not in self._known:
            if body["kind"] == "object":
                kind = self._class(body["class"])
                made = kind.__new__(kind, *args) if "args" in body else object.__new__(kind)
                object.__setattr__(made, "tad_guest", number)
                self._known[number] = made
            else:
                makers: dict[str, Any] = {
                    "function": GuestFunction,
                    "iterator": GuestIterator,
                    "mark": GuestMark,
                }
                names = body.get("names", ["", None]) if body["kind"] == "function" else ()
                self._known[number] = makers[body["kind"]](self._peer, number, *names)
        return self._known[number]

    def _class(self, info: dict[str, Any]) -> Any:
        number = info["id"]
        if number not in self._known:
            bases = tuple(self._class(base) for base in info["bases"])
            if not bases:
                bases = (getattr(builtins, info["error"]),) if info["error"] else (object,)
            body: dict[str, Any] = {"tad_class": number, "tad_peer": self._peer, **_access(self._peer)}
            body["__slots__"] = () if info["bases"] or info["error"] else ("__weakref__", "tad_guest")
            body.update({name: _operator(self._peer, name) for name in info["specials"]})
            if not info["hashable"]:
                body["__hash__"] = None
            self._known[number] = GuestClass(info["name"], bases, body)
        return self._known[number]


def _access(peer: Peer) -> dict[str, Any]:
    """How attributes of an object of the tests are read, set and deleted."""

    def read(self: Any, name: str) -> Any:
        if name == "tad_guest":
            raise AttributeError(name)
        return peer.ask(self.tad_guest, "get", name)

    def write(self: Any, name: str, value: Any) -> None:
        if isinstance(self, BaseException) and name.startswith("__"):
            object.__setattr__(self, name, value)  # where it was raised, and why
        else:
            peer.ask(self.tad_guest, "set", name, (value,))

    def delete(self: Any, name: str) -> None:
        peer.ask(self.tad_guest, "delete", name)

    return {"__getattr__": read, "__setattr__": write, "__delattr__": delete}


def _operator(peer: Peer, name: str) -> Any:
    def apply(self: Any, *args: Any) -> Any:
        return peer.ask(self.tad_guest, "special", name, args)

    apply.__name__ = name
    return apply
