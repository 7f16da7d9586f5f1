"""Values as plain JSON, so that nothing but data crosses between the tests and the program under test.

Decoding builds built-in types and nothing else: there is no way to name a class or a function of the
other side, except through the numbered handles that its ``Peer`` gave out. Scalars, strings and lists
are JSON's own; everything else is ``{"t": tag, "v": …}``.
"""

from __future__ import annotations

import builtins
import collections
import datetime
import decimal
import fractions
import math
import sys
import types
from typing import Any, TypeGuard

_SAFE_INT = 1 << 53
_FIELDS: dict[type, tuple[str, ...]] = {
    datetime.datetime: ("year", "month", "day", "hour", "minute", "second", "microsecond"),
    datetime.date: ("year", "month", "day"),
    datetime.time: ("hour", "minute", "second", "microsecond"),
    datetime.timedelta: ("days", "seconds", "microseconds"),
}
_BY_NAME = {kind.__name__: kind for kind in _FIELDS}


class UnsendableError(TypeError):
    """A value that has no plain form."""


class Codec:
    """Turns values into JSON and back; a ``Peer`` adds handles for what is not plain."""

    def encode(self, value: Any) -> Any:
        """The JSON form of a value. Exact types only: a subclass may lie about what it is."""
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if -_SAFE_INT < value < _SAFE_INT else {"t": "int", "v": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"t": "float", "v": repr(value)}
        if kind is list:
            return [self.encode(item) for item in value]
        if kind in (tuple, set, frozenset, collections.deque):
            return {"t": kind.__name__, "v": [self.encode(item) for item in value]}
        if kind in (dict, collections.OrderedDict, collections.Counter):
            name = {"OrderedDict": "odict", "Counter": "counter"}.get(kind.__name__, "dict")
            return {"t": name, "v": [[self.encode(k), self.encode(v)] for k, v in value.items()]}
        if kind is collections.defaultdict:
            items = [[self.encode(k), self.encode(v)] for k, v in value.items()]
            return {"t": "ddict", "v": [self.encode_factory(value.default_factory), items]}
        return self._encode_rare(kind, value)

    def _encode_rare(self, kind: Any, value: Any) -> Any:
        if kind in (bytes, bytearray):
            return {"t": kind.__name__, "v": value.hex()}
        if kind is complex:
            return {"t": "complex", "v": [self.encode(value.real), self.encode(value.imag)]}
        if kind is range:
            return {"t": "range", "v": [self.encode(n) for n in (value.start, value.stop, value.step)]}
        if kind is decimal.Decimal or kind is fractions.Fraction:
            return {"t": kind.__name__, "v": str(value)}
        if kind in _FIELDS and getattr(value, "tzinfo", None) is None:
            return {"t": kind.__name__, "v": [getattr(value, name) for name in _FIELDS[kind]]}
        if kind is type and (name := _builtin_name(value)):
            return {"t": "type", "v": name}
        if value is Ellipsis or value is NotImplemented:
            return {"t": "singleton", "v": repr(value)}
        if kind in _VIEWS:
            return [self.encode(item) for item in value]
        if issubclass(kind, tuple) and _is_named(fields := getattr(kind, "_fields", None)):
            items = [self.encode(item) for item in tuple.__iter__(value)]
            if _fields_are_plain(fields, items):
                return {"t": "namedtuple", "v": [kind.__name__, list(fields), items]}
        return self.encode_opaque(value)

    def encode_factory(self, factory: Any) -> Any:
        """What a defaultdict makes of a missing key: a built-in type, or None where it is anything else."""
        name = _builtin_name(factory) if type(factory) is type else ""
        return name if name in _FACTORIES else None

    def encode_opaque(self, value: Any) -> Any:
        """What to send for a value that is not plain."""
        raise UnsendableError(f"a value of type {type(value).__name__} cannot be sent")

    def decode(self, data: Any) -> Any:
        """The value of a JSON form."""
        if isinstance(data, list):
            return [self.decode(item) for item in data]
        if not isinstance(data, dict):
            return data
        tag, body = data["t"], data["v"]
        if tag == "int":
            return int(body, 16)
        if tag == "float":
            return float(body)
        if tag in ("tuple", "set", "frozenset", "deque"):
            return _COLLECTIONS[tag](self.decode(item) for item in body)
        if tag in ("dict", "odict", "counter"):
            return _MAPPINGS[tag]({self.decode(k): self.decode(v) for k, v in body})
        if tag == "ddict":
            factory, items = body
            made: Any = collections.defaultdict(self.decode_factory(factory))
            made.update((self.decode(k), self.decode(v)) for k, v in items)
            return made
        return self._decode_rare(tag, body)

    def decode_factory(self, factory: Any) -> Any:
        """What makes the values of missing keys here."""
        return _FACTORIES.get(factory) if isinstance(factory, str) else None

    def _decode_rare(self, tag: str, body: Any) -> Any:
        if tag in ("bytes", "bytearray"):
            return (bytes if tag == "bytes" else bytearray).fromhex(body)
        if tag in ("complex", "range"):
            return (complex if tag == "complex" else range)(*(self.decode(item) for item in body))
        if tag in ("Decimal", "Fraction"):
            return (decimal.Decimal if tag == "Decimal" else fractions.Fraction)(body)
        if tag in _BY_NAME:
            names = _FIELDS[_BY_NAME[tag]]
            return _BY_NAME[tag](**dict(zip(names, body, strict=True)))
        if tag == "type":
            return _builtin_type(body)
        if tag == "singleton":
            return Ellipsis if body == "Ellipsis" else NotImplemented
        if tag == "namedtuple":
            name, fields, items = body
            if not _TUPLE_METHODS.isdisjoint(fields) or not _fields_are_plain(fields, items):
                raise UnsendableError("a named tuple whose fields pose as the methods of a plain value")
            kind: Any = collections.namedtuple(name, fields)  # type: ignore[misc]
            return kind(*(self.decode(item) for item in items))
        return self.decode_opaque(tag, body)

    def decode_opaque(self, tag: str, body: Any) -> Any:
        """What a tag of the peer's own means."""
        raise UnsendableError(f"a value tagged {tag!r} cannot be received")


def _is_named(fields: Any) -> TypeGuard[tuple[Any, ...]]:
    return type(fields) is tuple and _TUPLE_METHODS.isdisjoint(fields)


def _builtin_name(kind: type) -> str:
    return kind.__name__ if getattr(builtins, kind.__name__, None) is kind else ""


def _builtin_type(name: str) -> type:
    kind = getattr(builtins, name)
    if type(kind) is not type:
        raise UnsendableError(f"{name!r} is no built-in type")
    return kind


def _fields_are_plain(fields: Any, items: list[Any]) -> bool:
    """Whether no field of a named tuple could be called in place of a method of text, lists, sets or numbers."""
    return all(name not in PLAIN_METHODS or _is_data(item) for name, item in zip(fields, items, strict=False))


def _is_data(item: Any) -> bool:
    """Whether an encoded value is data that cannot be called."""
    return not isinstance(item, dict) or item["t"] in _DATA


#: tags of values that are no functions, classes or objects of either side
_DATA = frozenset({
    "int", "float", "tuple", "set", "frozenset", "deque", "dict", "odict", "counter", "ddict", "bytes", "bytearray",
    "complex", "range", "Decimal", "Fraction", "singleton", "namedtuple", *_BY_NAME,
})  # fmt: skip
PLAIN_METHODS = frozenset(
    name
    for kind in (
        str, bytes, bytearray, list, tuple, dict, set, frozenset, int, float, complex, range, decimal.Decimal,
        fractions.Fraction, collections.deque, collections.Counter, *_FIELDS,
    )
    for name in dir(kind)
    if not name.startswith("_")
)  # fmt: skip
"""Names of the methods of every type that crosses as data."""
#: by the name that crosses
_FACTORIES: dict[str, type] = {
    kind.__name__: kind for kind in (list, dict, set, tuple, int, float, str, bool)
}

_COLLECTIONS: dict[str, Any] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
}
_MAPPINGS: dict[str, Any] = {
    "dict": dict,
    "odict": collections.OrderedDict,
    "counter": collections.Counter,
}
_NOTHING: dict[Any, Any] = {}
_TUPLE_METHODS = frozenset({"count", "index"})
_VIEWS = (type(_NOTHING.keys()), type(_NOTHING.values()), type(_NOTHING.items()))

#: Operators of an object of the tests that the program may use, where its class defines them.
SPECIALS = (
    "__call__", "__len__", "__iter__", "__next__", "__getitem__", "__setitem__", "__delitem__", "__contains__",
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__bool__", "__str__", "__repr__",
    "__add__", "__radd__", "__sub__", "__mul__", "__int__", "__float__", "__index__", "__enter__", "__exit__",
)  # fmt: skip

_MUTABLE = (list, dict, set, bytearray, collections.deque)


def has_mutable(values: list[Any]) -> bool:
    """Whether a call could change one of these in a way that its caller sees."""
    return any(isinstance(value, _MUTABLE) for value in values) or any(
        isinstance(value, tuple) and has_mutable(list(value)) for value in values
    )


def overwrite(target: Any, source: Any) -> None:
    """Make a mutable value equal to another, keeping its identity and that of its parts where it can."""
    if type(target) is not type(source):
        return
    if isinstance(target, list) or type(target) is tuple:
        for i, (old, new) in enumerate(zip(target, source, strict=False)):
            if type(old) is type(new) and isinstance(old, (*_MUTABLE, tuple)):
                overwrite(old, new)
                if isinstance(source, list):
                    source[i] = old
        if isinstance(target, list):
            target[:] = source
    elif isinstance(target, dict):
        for key, new in source.items():
            if key in target and type(target[key]) is type(new) and isinstance(new, _MUTABLE):
                overwrite(target[key], new)
                source[key] = target[key]
        items = list(source.items())
        target.clear()
        target.update(items)
    elif isinstance(target, set):
        target.clear()
        target.update(source)
    elif isinstance(target, bytearray):
        target[:] = source
    elif isinstance(target, collections.deque):
        target.clear()
        target.extend(source)


def is_function(value: Any) -> bool:
    """Whether a value can be handed to the other side by number, to be called.

    That is a function, or an object of the standard library that is made to be called, such as ``str.upper``,
    ``functools.partial`` or ``operator.itemgetter``.
    """
    if isinstance(
        value, types.FunctionType | types.MethodType | types.BuiltinFunctionType | types.BuiltinMethodType
    ):
        return True
    kind = type(value)
    return (
        callable(value) and kind is not type and kind.__module__.partition(".")[0] in sys.stdlib_module_names
    )
