"""Values as plain JSON, so that nothing but data crosses between the tests and the program under test.

Decoding builds built-in types and nothing else: there is no way to name a class or a function of the
other side, except through the numbered handles that its ``Peer`` gave out. Scalars, strings and lists
are JSON's own; everything else is ``{"t": tag, "v": …}``.
"""

from __future__ import annotations

import array
import builtins
import collections
import datetime
import decimal
import fractions
import io
import math
import pathlib
import uuid
from typing import Any, TypeGuard

_SAFE_INT = 1 << 53
_FIELDS: dict[type, tuple[str, ...]] = {
    datetime.datetime: ("year", "month", "day", "hour", "minute", "second", "microsecond"),
    datetime.date: ("year", "month", "day"),
    datetime.time: ("hour", "minute", "second", "microsecond"),
    datetime.timedelta: ("days", "seconds", "microseconds"),
}
_SCALARS = (type(None), bool, int, float, str)
#: Methods of plain values that are told the expected value and answer about it, or answer what the value is. Where a
#: plain value is due, an object with its own ``startswith`` could agree with anything.
QUESTIONS = frozenset({
    "compare", "compare_signal", "compare_total", "compare_total_mag", "count", "difference", "endswith", "find",
    "index", "intersection", "isdisjoint", "issubset", "issuperset", "join", "lstrip", "max", "max_mag", "min",
    "min_mag", "next_toward", "partition", "remainder_near", "removeprefix", "removesuffix", "replace", "rfind",
    "rindex", "rpartition", "rsplit", "rstrip", "same_quantum", "split", "startswith", "strip", "subtract",
    "symmetric_difference", "translate", "union",
    *(name for kind in (str, float, decimal.Decimal, datetime.date) for name in dir(kind) if name.startswith("is")),
})  # fmt: skip
_BY_NAME = {kind.__name__: kind for kind in _FIELDS}


_PATHS = (pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath)
_PATH_NAMES: dict[str, Any] = {kind.__name__: kind for kind in _PATHS}


def _zone_of(value: Any) -> list[Any]:
    """The zone of a time as its offset in seconds and its name, none where it has none."""
    zone = getattr(value, "tzinfo", None)
    return [] if zone is None else _zone(zone)


def _zone(zone: datetime.timezone) -> list[Any]:
    return [zone.utcoffset(None).total_seconds(), zone.tzname(None)]


def _timezone(seconds: float, name: str) -> datetime.timezone:
    offset = datetime.timedelta(seconds=seconds)
    bare = datetime.timezone(offset)
    return bare if bare.tzname(None) == name else datetime.timezone(offset, name)


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
        if kind in (dict, collections.OrderedDict, collections.defaultdict, collections.Counter):
            items = [[self.encode(k), self.encode(v)] for k, v in value.items()]
            if kind is collections.defaultdict:
                return {"t": "defaultdict", "v": [self.encode(value.default_factory), items]}
            return {
                "t": {"OrderedDict": "odict", "Counter": "counter"}.get(kind.__name__, "dict"),
                "v": items,
            }
        return self._encode_rare(kind, value)

    def _encode_rare(self, kind: Any, value: Any) -> Any:
        if kind in (bytes, bytearray):
            return {"t": kind.__name__, "v": value.hex()}
        if kind in (io.StringIO, io.BytesIO) and not value.closed:
            return {"t": kind.__name__, "v": [self.encode(value.getvalue()), value.tell()]}
        if kind is complex:
            return {"t": "complex", "v": [self.encode(value.real), self.encode(value.imag)]}
        if kind is range:
            return {"t": "range", "v": [self.encode(n) for n in (value.start, value.stop, value.step)]}
        if kind is decimal.Decimal or kind is fractions.Fraction:
            return {"t": kind.__name__, "v": str(value)}
        if kind in _FIELDS and type(getattr(value, "tzinfo", None)) in (type(None), datetime.timezone):
            parts = [getattr(value, name) for name in _FIELDS[kind]]
            return {"t": kind.__name__, "v": [*parts, *_zone_of(value)]}
        if kind is datetime.timezone:
            return {"t": "timezone", "v": _zone(value)}
        if kind is slice:
            return {"t": "slice", "v": [self.encode(part) for part in (value.start, value.stop, value.step)]}
        if kind in _PATHS or kind is uuid.UUID:
            return {"t": kind.__name__, "v": str(value)}
        if kind is array.array:
            return {"t": "array", "v": [value.typecode, [self.encode(item) for item in value]]}
        if kind is type and (name := builtin_name(value)):
            return {"t": "type", "v": name}
        if value is Ellipsis or value is NotImplemented:
            return {"t": "singleton", "v": repr(value)}
        if kind in _VIEWS:
            return {"t": "view", "v": [_VIEWS[kind], [self.encode(item) for item in value]]}
        if (
            issubclass(kind, tuple)
            and not self.keeps(kind)
            and _is_named(fields := getattr(kind, "_fields", None), value)
        ):
            items = [self.encode(item) for item in tuple.__iter__(value)]
            return {"t": "namedtuple", "v": [kind.__name__, list(fields), items]}
        return self.encode_opaque(value)

    def keeps(self, kind: type) -> bool:
        """Whether objects of this class of named tuples stay here: they are more than their fields."""
        return False

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
        if tag == "defaultdict":
            return collections.defaultdict(
                self.decode(body[0]), {self.decode(k): self.decode(v) for k, v in body[1]}
            )
        return self._decode_rare(tag, body)

    def _decode_rare(self, tag: str, body: Any) -> Any:
        if tag in ("bytes", "bytearray"):
            return (bytes if tag == "bytes" else bytearray).fromhex(body)
        if tag in ("StringIO", "BytesIO"):
            file = (io.StringIO if tag == "StringIO" else io.BytesIO)(self.decode(body[0]))
            file.seek(body[1])
            return file
        if tag in ("complex", "range"):
            return (complex if tag == "complex" else range)(*(self.decode(item) for item in body))
        if tag in ("Decimal", "Fraction"):
            return (decimal.Decimal if tag == "Decimal" else fractions.Fraction)(body)
        if tag in _BY_NAME:
            names = _FIELDS[_BY_NAME[tag]]
            zone = {"tzinfo": _timezone(*body[len(names) :])} if len(body) > len(names) else {}
            return _BY_NAME[tag](**dict(zip(names, body, strict=False)), **zone)
        if tag == "timezone":
            return _timezone(*body)
        if tag == "slice":
            return slice(*(self.decode(part) for part in body))
        if tag in _PATH_NAMES or tag == "UUID":
            return _PATH_NAMES[tag](body) if tag in _PATH_NAMES else uuid.UUID(body)
        if tag == "array":
            return array.array(body[0], [self.decode(item) for item in body[1]])
        if tag == "type":
            return _builtin_type(body)
        if tag == "singleton":
            return Ellipsis if body == "Ellipsis" else NotImplemented
        if tag == "view":
            return _view(body[0], [self.decode(item) for item in body[1]])
        if tag == "namedtuple":
            name, fields, items = body
            values = tuple(self.decode(item) for item in items)
            if not _is_named(tuple(fields), values):
                raise UnsendableError("a named tuple whose fields hide the methods of plain values")
            kind: Any = collections.namedtuple(name, fields)  # type: ignore[misc]
            return kind(*values)
        return self.decode_opaque(tag, body)

    def decode_opaque(self, tag: str, body: Any) -> Any:
        """What a tag of the peer's own means."""
        raise UnsendableError(f"a value tagged {tag!r} cannot be received")


def _view(name: str, items: list[Any]) -> Any:
    """A view of a dictionary, which is no list of what it shows: keys and items equal sets, values nothing."""
    if name == "values":
        return dict(enumerate(items)).values()
    return dict.fromkeys(items).keys() if name == "keys" else dict(items).items()


def _is_named(fields: Any, values: tuple[Any, ...]) -> TypeGuard[tuple[Any, ...]]:
    """Whether a named tuple is plain: no field stands where a plain value has a method that is asked a question.

    A field that holds a type or an object is an answer to whatever it is asked: ``t.startswith(expected)``
    would be ``bool(expected)``.
    """
    if type(fields) is not tuple or not _TUPLE_METHODS.isdisjoint(fields):
        return False
    pairs = zip(fields, tuple.__iter__(values), strict=False)
    return all(field not in QUESTIONS or type(value) in _SCALARS for field, value in pairs)


def builtin_name(kind: type) -> str:
    """The name of a class among the built-in ones; empty for all others."""
    return kind.__name__ if getattr(builtins, kind.__name__, None) is kind else ""


def _builtin_type(name: str) -> type:
    kind = getattr(builtins, name)
    if type(kind) is not type:
        raise UnsendableError(f"{name!r} is no built-in type")
    return kind


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
_VIEWS: dict[Any, str] = {
    type(_NOTHING.keys()): "keys",
    type(_NOTHING.values()): "values",
    type(_NOTHING.items()): "items",
}

#: Types whose values can be changed by who holds them.
MUTABLE = (list, dict, set, bytearray, collections.deque, io.StringIO, io.BytesIO)


def has_mutable(values: list[Any]) -> bool:
    """Whether a call could change one of these in a way that its caller sees."""
    return any(isinstance(value, MUTABLE) for value in values) or any(
        isinstance(value, tuple) and has_mutable(list(value)) for value in values
    )


def overwrite(target: Any, source: Any) -> None:
    """Make a mutable value equal to another, keeping its identity and that of its parts where it can."""
    if type(target) is not type(source):
        return
    if isinstance(target, list) or type(target) is tuple:
        for i, (old, new) in enumerate(zip(target, source, strict=False)):
            if type(old) is type(new) and isinstance(old, (*MUTABLE, tuple)):
                overwrite(old, new)
                if isinstance(source, list):
                    source[i] = old
        if isinstance(target, list):
            target[:] = source
    elif isinstance(target, dict):
        for key, new in source.items():
            if key in target and type(target[key]) is type(new) and isinstance(new, MUTABLE):
                overwrite(target[key], new)
                source[key] = target[key]
        items = list(source.items())
        target.clear()
        target.update(items)
    elif isinstance(target, io.StringIO | io.BytesIO):
        place = source.tell()
        target.seek(0)
        target.truncate()
        target.write(source.getvalue())
        target.seek(place)
    elif isinstance(target, set):
        target.clear()
        target.update(source)
    elif isinstance(target, bytearray):
        target[:] = source
    elif isinstance(target, collections.deque):
        target.clear()
        target.extend(source)
