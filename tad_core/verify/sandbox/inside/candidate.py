"""The program under test: load it, then serve calls until the tests are done.

Nothing here is trusted once the program has run: it may have rewritten all of it. What protects the
verdict is that this process has never seen an expected value and holds no way to write a result.
"""

from __future__ import annotations

import builtins
import copy
import decimal
import fractions
import functools
import inspect
import io
import linecache
import os
import re
import sys
import threading
import types
import typing
from dataclasses import dataclass
from typing import Any

from . import borrowed, frames, loading, loans, looks, operators, pytest_shim, raised, wire

#: Operators that a stand-in has where the class has them.
_SPECIALS = (*operators.OPERATORS, "__bool__", "__contains__")
#: How the plain value beneath an object is had.
_PLAIN: dict[type, Any] = {
    int: int.__int__, float: float.__float__, complex: complex.__complex__, str: str.__str__, bytes: bytes.__bytes__,
    bytearray: bytearray, list: list.copy, tuple: lambda value: tuple(tuple.__iter__(value)), dict: dict.copy,
    set: lambda value: set(set.__iter__(value)), frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    decimal.Decimal: decimal.Decimal,
    fractions.Fraction: lambda value: fractions.Fraction(value.numerator, value.denominator),
}  # fmt: skip


class CappedText(io.StringIO):
    """Keeps the first ``limit`` characters that are printed and drops the rest."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._left = limit

    def write(self, text: str, /) -> int:
        """Take what still fits."""
        kept = text[: self._left]
        self._left -= len(kept)
        super().write(kept)
        return len(text)

    def take(self) -> str:
        """What was printed since the last time."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


class Candidate(wire.Codec):
    """The serving side of the program under test."""

    def __init__(self, inbox: int, outbox: int, output_limit: int) -> None:
        self._inbox, self._outbox = inbox, outbox
        self._module = types.ModuleType("solution")
        self._objects: list[Any] = [self._module]
        self._numbers: dict[int, int] = {}
        self._turn = threading.RLock()
        self._running = 0
        self._loans = loans.Loans(self)
        self._guests = borrowed.Guests(self)
        self._printed = CappedText(output_limit)
        self._loop: Any = None

    def load(self, source: str) -> None:
        """Run the program's top level and tell the other side which names it has."""
        sys.modules["solution"] = self._module
        self._module.__file__ = "solution.py"
        linecache.cache["solution.py"] = (len(source), None, source.splitlines(True), "solution.py")
        sys.stdout = sys.stderr = self._printed
        # For tests that the program brings along, which nothing runs.
        sys.modules["pytest"] = pytest_shim.make_module(lambda: None, lambda line: None)
        problem = loading.run_top_level(source, self._module)
        error = None if problem is None else self._error(problem)
        names = [name for name, value in self._module.__dict__.items() if _is_own(name, value)]
        frames.send(self._outbox, {"names": names, "error": error})

    def serve(self, until_reply: bool = False) -> Any:
        """Answer requests; with ``until_reply``, return the first reply to a request of ours."""
        while True:
            message = frames.receive(self._inbox)
            if until_reply and "op" not in message:
                return message
            self._running += 1
            reply = self._answer(message)
            with self._turn:  # not while another thread of the program waits for a reply of its own
                self._running -= 1
                frames.send(self._outbox, reply)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self._loans.unpack(request)
        sent = [*request.get("args", []), *request.get("kwargs", {}).values()]
        values = [self.decode(value) for value in sent]
        count = len(request.get("args", []))
        kwargs = dict(zip(request.get("kwargs", {}), values[count:], strict=True))
        try:
            reply = self._outcome([self._perform(request, values[:count], kwargs)], values)
        except BaseException as problem:
            reply = {"error": self._error(problem)}
        if wire.has_mutable(values):
            try:
                after = [self.encode(value) for value in values]
            except BaseException:  # it put something unsendable into its argument
                after = sent
            if after != sent:
                reply["args"] = after
        printed = self._printed.take()
        if printed:
            reply["out"] = printed
        return self._loans.pack(reply)

    def _outcome(self, only: list[Any], values: list[Any]) -> dict[str, Any]:
        """The reply for the one value in ``only``: one of the arguments, a loan, or the value alone."""
        for place, value in enumerate(values):
            if value is only[0] and isinstance(value, wire.MUTABLE):
                return {"ok": None, "same": place}
        reply = {"ok": self.encode(only[0])}
        if (loan := self._loans.lend(only)) is not None:
            reply["loan"] = loan
        return reply

    def _perform(self, request: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        target = self._objects[request["id"]]
        op: str = request["op"]
        name: Any = request.get("name")
        if op == "get":
            return getattr(target, name)
        if op == "set":
            return setattr(target, name, args[0])
        if op == "delete":
            return delattr(target, name)
        if op == "call":
            return (target if name is None else getattr(target, name))(*args, **kwargs)
        if op == "special":  # an operator: looked up on the type, as Python does
            method = getattr(type(target), name, None)
            if method is None and isinstance(target, type) and name == "__getitem__":
                return target.__class_getitem__(*args)  # type: ignore[attr-defined]
            if method is None:
                raise TypeError(f"{type(target).__name__!r} object has no {name}")
            return method(target, *args, **kwargs)
        if op == "copy":
            return getattr(copy, name)(target)
        if op == "await":
            return self._run_to_end(target)
        if op == "ask":
            return looks.answer(args[0], args[1:], kwargs)
        if op == "anext":
            return self._run_to_end(type(target).__anext__(target))
        if op == "plain":
            return next((plain(target) for kind, plain in _PLAIN.items() if isinstance(target, kind)), target)
        raise ValueError(f"unknown request {op!r}")

    def ask(self, number: int, op: str, name: str | None = None, args: Any = (), kwargs: Any = None) -> Any:
        """Have the tests' side use one of its own objects; see ``guests.Guests.perform``."""
        request = {
            "callback": number,
            "op": op,
            "name": name,
            "args": [self.encode(arg) for arg in args],
            "kwargs": {key: self.encode(value) for key, value in (kwargs or {}).items()},
        }
        with self._turn:
            if not self._running:  # a thread that the program left behind: nobody listens to it now
                frames.send(self._outbox, {"note": "late"})
                raise RuntimeError("no call of the tests is running")
            frames.send(self._outbox, self._loans.pack(request))
            reply = self.serve(until_reply=True)
        self._loans.unpack(reply)
        if "error" in reply:
            raise self._guest_error(reply["error"])
        value = self.decode(reply["ok"])
        return self._loans.borrow(reply["loan"], value) if "loan" in reply else value

    def _guest_error(self, error: dict[str, Any]) -> BaseException:
        """An exception of the tests' side here."""
        if "same" in error:
            return self.decode(error["same"])  # type: ignore[no-any-return]
        kind = getattr(builtins, error["type"], RuntimeError)
        try:
            problem: BaseException = kind(*[self.decode(arg) for arg in error["args"]])
        except TypeError:
            problem = RuntimeError(error["type"])
        problem.__dict__["tad_guest"] = error["id"]
        return problem

    def encode_opaque(self, value: Any) -> Any:
        """A handle: the object stays here, the tests get its number and the names of its classes."""
        guest = borrowed.number_of(value)
        if guest is not None:
            return {"t": "guest", "v": guest}
        if isinstance(value, BaseException):
            return {"t": "raised", "v": self._error(value)}
        number = self._number(value)
        kind = value if isinstance(value, type) else type(value)
        info: dict[str, Any] = {"id": number, "classes": self._classes(kind)}
        if isinstance(value, type):
            info["class"] = True
            if issubclass(value, BaseException):
                info["raised"] = raised.classes_of(value, self._number)
        elif inspect.iscoroutine(value):
            info["coroutine"] = True
        return {"t": "handle", "v": info}

    def _classes(self, kind: type) -> list[Any]:
        """A class and those above it, these first: [number, name, its bases' numbers, its operators, if plain].

        ``object`` is above all of them and named for itself alone: its operators are those that every stand-in has.
        """
        if kind is object:
            return [[self._number(kind), "object", [], [], ""]]
        return [
            [
                self._number(base),
                base.__name__,
                [self._number(above) for above in base.__bases__ if above is not object],
                [name for name in _SPECIALS if name in vars(base)],
                next((plain.__name__ for plain in _PLAIN if issubclass(base, plain)), ""),
            ]
            for base in reversed(type.mro(kind))
            if base is not object
        ]

    def keeps(self, kind: type) -> bool:
        """Named tuples with methods of their own."""
        return any(
            isinstance(item, types.FunctionType | property | classmethod) and not name.startswith("_")
            for name, item in vars(kind).items()
        )

    def _number(self, value: Any) -> int:
        """The number of an object; it is kept alive, so that the number stays its own."""
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)
        return number

    def decode_opaque(self, tag: str, body: Any) -> Any:
        """Handles that come back, and functions of the tests."""
        if tag == "handle":
            return self._objects[body]
        if tag == "guest":
            return self._guests.decode(body, [self.decode(arg) for arg in body.get("args", ())])
        if tag == "library":
            return borrowed.in_library(*body)
        if tag == "partial":
            function, args, kwargs = body
            kept = {key: self.decode(value) for key, value in kwargs.items()}
            return functools.partial(self.decode(function), *(self.decode(arg) for arg in args), **kept)
        if tag == "pattern":
            return re.compile(self.decode(body[0]), body[1])
        if tag == "error":
            name, args = body
            return getattr(builtins, name)(*(self.decode(arg) for arg in args))
        return super().decode_opaque(tag, body)

    def _run_to_end(self, awaitable: Any) -> Any:
        """The value of a coroutine, in the one loop of all: a lock or a generator belongs to its loop."""
        import asyncio

        async def wait() -> Any:
            return await awaitable

        if not inspect.isawaitable(awaitable):
            return awaitable
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(wait())

    def _error(self, problem: BaseException) -> dict[str, Any]:
        return raised.describe(problem, self.encode, self._number)


def _is_own(name: Any, value: Any) -> bool:
    """Whether a name is the program's: not Python's own, and not a type hint it imported."""
    if type(name) is not str or (name.startswith("__") and name.endswith("__")):
        return False
    return name not in typing.__all__ or getattr(typing, name) is not value


@dataclass(frozen=True)
class Pipes:
    """Where the program's side reads and writes.

    Attributes:
        from_tests, to_tests: the calls and their outcomes.
        to_keeper: that the program came; closed before it runs.
        programs: the program, from the parent; closed before it runs.
    """

    from_tests: int
    to_tests: int
    to_keeper: int
    programs: int


def warm_up() -> None:
    """Do once, before the forks, what the interpreter sets up at first use."""
    exec(compile("def f(x):\n    return [x]\n", "solution.py", "exec"), {})


def main(pipes: Pipes, output_limit: int) -> None:
    """Load the program and serve until the other end closes."""
    job = frames.receive(pipes.programs)
    os.write(pipes.to_keeper, b"1")
    os.close(pipes.to_keeper)
    os.close(pipes.programs)
    source: str = job["solution"]
    candidate = Candidate(pipes.from_tests, pipes.to_tests, output_limit)
    try:
        candidate.load(source)
        candidate.serve()
    except frames.ClosedError:
        return
