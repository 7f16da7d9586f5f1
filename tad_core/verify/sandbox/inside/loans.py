"""Lists, dictionaries and the like that one side keeps and the other holds a copy of.

What an object keeps in an attribute crosses as plain data; a change to the copy (``box.items.append(1)``)
belongs to the object. So the side that owns such a value lends it by a number, and each message brings along
what has changed on either side since the last. Values that nobody keeps are not lent.
"""

from __future__ import annotations

import sys
from typing import Any

from . import wire

#: More than this are not lent at a time: each is looked at with each message.
_MAX_LENT = 64
#: Nor longer ones: a program's table of primes is no place where tests put things.
_MAX_LENGTH = 4096
#: References to a value that only a list of one holds, while it is counted.
_ALONE = 2


class Loans:
    """What this side lent to the other, and what it holds of it."""

    def __init__(self, codec: wire.Codec) -> None:
        self._codec = codec
        self._count = 0
        #: by number: the value and its JSON form when both sides were last the same
        self._lent: dict[int, list[Any]] = {}
        self._held: dict[int, list[Any]] = {}

    def lend(self, only: list[Any]) -> int | None:
        """The number of a loan of the one value in ``only``; None if nobody else keeps it or it cannot change."""
        if not isinstance(only[0], wire.MUTABLE) or sys.getrefcount(only[0]) <= _ALONE:
            return None
        for number, entry in self._lent.items():
            if entry[0] is only[0]:
                return number
        if len(self._lent) >= _MAX_LENT or getattr(only[0], "__len__", int)() > _MAX_LENGTH:
            return None
        self._count += 1
        self._lent[self._count] = [only[0], self._codec.encode(only[0])]
        return self._count

    def borrow(self, number: int, value: Any) -> Any:
        """The copy of the loan ``number``, which has the value ``value`` now: always the same one."""
        if number in self._held:
            wire.overwrite(self._held[number][0], value)
            value = self._held[number][0]
        self._held[number] = [value, self._codec.encode(value)]
        return value

    def pack(self, message: dict[str, Any]) -> dict[str, Any]:
        """Add to a message what has changed here since the last, and what is no longer held."""
        if self._held:
            message["writes"] = self._changed(self._held)
            message["dropped"] = [number for number, entry in self._held.items() if not _is_held(entry)]
            for number in message["dropped"]:
                del self._held[number]
        if self._lent:
            message["fresh"] = self._changed(self._lent)
        return message

    def unpack(self, message: dict[str, Any]) -> None:
        """Take over what a message says has changed on the other side."""
        for entries, changes in (
            (self._lent, message.get("writes", ())),
            (self._held, message.get("fresh", ())),
        ):
            for number, data in changes:
                entry = entries[number]
                wire.overwrite(entry[0], self._codec.decode(data))
                entry[1] = self._codec.encode(entry[0])
        for number in message.get("dropped", ()):
            self._lent.pop(number, None)

    def _changed(self, entries: dict[int, list[Any]]) -> list[Any]:
        changes = []
        for number, entry in entries.items():
            now = self._codec.encode(entry[0])
            if now != entry[1]:
                entry[1] = now
                changes.append([number, now])
        return changes


def _is_held(entry: list[Any]) -> bool:
    """Whether anybody but the loan itself holds the value, or something that can change right in it."""
    if sys.getrefcount(entry[0]) > _ALONE:
        return True
    inner = (
        entry[0].values() if isinstance(entry[0], dict) else entry[0] if isinstance(entry[0], list) else ()
    )
    kept = [[item] for item in inner if isinstance(item, wire.MUTABLE)]
    return any(sys.getrefcount(only[0]) > _ALONE + 1 for only in kept)
