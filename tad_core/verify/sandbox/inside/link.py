"""The tests' end of the connection to the program, and the record of what happened on it."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable, Iterable
from typing import Any

from . import frames, raised, wire
from .guests import Guests
from .loans import Loans
from .operators import stand_in, stand_in_class
from .remote import Remote, RemoteClass, class_number

#: How long one thread of the tests waits for another's call before the keeper is told, in seconds.
_PATIENCE_S = 1.0


class GoneError(BaseException):
    """The program's process ended or broke the protocol. No test can catch its way around this."""


class UncarriedError(BaseException):
    """Something cannot be carried over to the program. No test can take it for the program's own error."""


class Link(wire.Codec):
    """The connection to the program, and the record of what happened on it."""

    def __init__(self, inbox: int, outbox: int) -> None:
        self._inbox, self._outbox = inbox, outbox
        self.guests = Guests()
        self._loans = Loans(self)
        self._turn = threading.RLock()
        self._waiting, self._counting = 0, threading.Lock()
        #: tells the keeper how many threads wait for their turn, at each change
        self.tell_waiting: Callable[[int], None] = lambda count: None
        #: ends the run with what ``uncarried`` says, from any thread
        self.give_up: Callable[[], None] = lambda: None
        self._stand_ins: dict[int, Any] = {}
        self._errors = raised.ErrorClasses(self)
        self.names: frozenset[str] = frozenset()
        self.load_error: dict[str, Any] | None = None
        #: times that the program was used: called, or asked for a value
        self.touched = 0
        self.own_classes = False
        self.out_of_memory = False
        #: what the program said of a package that it imports and that is not here
        self.missing = ""
        self.gone: str = ""
        #: what of the tests could not be carried over: nothing is proved then, for or against the program
        self.uncarried = ""
        #: what the program was not asked, as it would have been told too much: a failure may come of that
        self.doubt = ""
        self._plain: dict[int, Any] = {}
        #: numbers of stand-ins that came of an operator with a plain value: the program was told that value
        self.told: set[int] = set()
        #: whether a coroutine of the program was awaited
        self.awaits = False
        #: whether a context manager of the program may swallow an error raised at this place of the tests
        self._named: set[int] = set()
        self.may_swallow: Callable[[types.TracebackType | None], bool] = lambda trace: False

    def greet(self) -> None:
        """Wait until the program has loaded."""
        hello = self._receive()
        try:
            self.names = frozenset(name for name in hello["names"] if isinstance(name, str))
            self.load_error = hello["error"]
            if self.load_error and self.load_error["type"] == "MemoryError":
                self.out_of_memory = True
            if self.load_error and self.load_error["type"] == "ModuleNotFoundError":
                self.missing = str(self.load_error["text"])[:200]
        except (KeyError, TypeError) as error:
            raise self._broken(error) from error

    def request(
        self, op: str, number: int, name: str | None = None, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Have the program do something and bring back the value, the exception and changed arguments.

        One request at a time: threads of the tests wait for each other.
        """
        if not self._turn.acquire(timeout=_PATIENCE_S):
            self._wait_for_turn()
        try:
            return self._request(op, number, name, args, kwargs)
        finally:
            self._turn.release()

    def _wait_for_turn(self) -> None:
        """For as long as anything is computed, which the keeper sees: it ends what waits in vain."""
        self._tell_waiting(1)
        self._turn.acquire()
        self._tell_waiting(-1)

    def _tell_waiting(self, more: int) -> None:
        with self._counting:
            self._waiting += more
            self.tell_waiting(self._waiting)

    def _request(self, op: str, number: int, name: str | None, args: Any, kwargs: Any) -> Any:
        if self.gone:
            raise GoneError(self.gone)
        if self.uncarried:
            raise UncarriedError(self.uncarried)
        if op != "plain":  # until then it says the same: many guesses in a row are no answer
            self._plain.clear()
        message: dict[str, Any] = {"op": op, "id": number}
        try:
            message["args"] = [self.encode(arg) for arg in args]
            if kwargs:
                message["kwargs"] = {key: self.encode(value) for key, value in kwargs.items()}
            self._loans.pack(message)
        except (wire.UnsendableError, RecursionError) as error:
            if isinstance(error, RecursionError) and not _has_room():
                raise  # the calls are deep, not the value
            raise self.refuse(f"an argument of the tests: {str(error)[:200]}") from error
        if name is not None:
            message["name"] = name
        self._send(message)
        reply = self._wait_for_reply()
        try:
            given = [*args, *(kwargs or {}).values()]
            if "args" in reply:
                for mine, theirs in zip(given, reply["args"], strict=True):
                    wire.overwrite(mine, self.decode(theirs))
            self._loans.unpack(reply)
            if "out" in reply:
                sys.stdout.write(str(reply["out"]))
            problem = None
            if "error" in reply:
                problem = self._exception(reply["error"], name if op in ("special", "anext") else None)
            value = None if problem else self.decode(reply["ok"])
            if "same" in reply:
                value = given[int(reply["same"])]
            elif "loan" in reply:
                value = self._loans.borrow(int(reply["loan"]), value)
        except (
            KeyError,
            IndexError,
            TypeError,
            ValueError,
            RecursionError,
            ArithmeticError,
            AttributeError,
        ) as error:
            raise self._broken(error) from error
        if op == "get" and (number == 0 or number in self._named):
            self._named |= class_number(value)
        if op != "get" or not isinstance(value, Remote | RemoteClass):
            self.touched += 1  # fetching a function does not yet use it
        if problem is not None:
            raise problem
        return value

    def _wait_for_reply(self) -> dict[str, Any]:
        while True:
            message = self._receive()
            if not isinstance(message, dict):
                raise self._broken("not an object")
            if "note" in message:
                self.guests.refused = "a function of the tests, called while no call of the tests was running"
                continue
            if "callback" not in message:
                return message
            self._send(self._call_own(message))

    def _call_own(self, message: dict[str, Any]) -> dict[str, Any]:
        """Use an object of the tests that was handed to the program. It gets plain data or stand-ins."""
        try:
            args = [self.decode(arg) for arg in message["args"]]
            kwargs = {str(key): self.decode(value) for key, value in message["kwargs"].items()}
            self.guests.find(message["callback"])
            self._loans.unpack(message)
        except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
            raise self._broken(error) from error
        try:
            only = [self.guests.perform(message, args, kwargs)]
        except Exception as error:
            return {"error": self._own_error(error)}
        try:
            reply = {"ok": self.encode(only[0])}
            if message["op"] == "get" and (loan := self._loans.lend(only)) is not None:
                reply["loan"] = loan
            return self._loans.pack(reply)
        except (wire.UnsendableError, RecursionError) as error:
            raise self.refuse(
                f"what the tests' own functions and objects give: {str(error)[:200]}"
            ) from error

    def _own_error(self, error: Exception) -> dict[str, Any]:
        """An exception of the tests for the program; it comes back as the same."""
        try:
            return (
                {"same": self._encode_error(error)}
                if not wire.builtin_name(type(error))
                else self._told(error)
            )
        except (wire.UnsendableError, RecursionError):
            return self._told(error)

    def _told(self, error: Exception) -> dict[str, Any]:
        kind = next(base for base in type(error).__mro__ if wire.builtin_name(base))
        plain = [arg for arg in error.args if type(arg) in (str, int, float, bool)]
        return {"id": self.guests.number(error), "type": kind.__name__, "args": plain}

    def _send(self, message: Any) -> None:
        try:
            frames.send(self._outbox, message)
        except frames.ClosedError as error:
            raise self._broken(error) from error

    def _receive(self) -> Any:
        try:
            return frames.receive(self._inbox)
        except (frames.ClosedError, frames.MalformedError, MemoryError) as error:
            raise self._broken(error) from error

    def _broken(self, why: object) -> GoneError:
        self.gone = self.gone or str(why)[:200] or type(why).__name__
        return GoneError(self.gone)

    def refuse(self, what: str) -> UncarriedError:
        """The error for what cannot be carried over. It is kept: no test can catch its way around it."""
        self.uncarried = self.uncarried or f"cannot be carried over to the program: {what}"
        if threading.current_thread() is not threading.main_thread():
            self.give_up()  # the main thread may wait for this one, or for what this one was to do
        return UncarriedError(self.uncarried)

    def _exception(self, error: dict[str, Any], asked: str | None) -> BaseException:
        """The exception here; ``asked`` is the operator that raised it, if one did."""
        if "guest" in error:
            problem = self.guests.find(error["guest"])
            if not isinstance(problem, Exception):
                raise TypeError("no exception of the tests")
            loops = isinstance(problem, StopIteration | StopAsyncIteration)
            return RuntimeError() if loops and asked not in ("__next__", "__anext__") else problem
        bases = {str(name) for number, name, _ in error["classes"] if number is None}
        if "ModuleNotFoundError" in bases:
            self.missing = str(error["text"])[:200]
        if "MemoryError" in bases:
            self.out_of_memory = True
        kind = self._errors.find(error["classes"], in_loop=asked in ("__next__", "__anext__"))
        problem = raised.build(error, kind, self.decode)
        for attribute in ("cause", "context"):
            if attribute in error:
                setattr(problem, f"__{attribute}__", self._exception(error[attribute], "__next__"))
        return problem

    def encode_opaque(self, value: Any) -> Any:
        """Stand-ins go back as their number; functions of the tests as a number to call them by."""
        if isinstance(value, Remote):
            return {"t": "handle", "v": object.__getattribute__(value, "_tad_number")}
        if isinstance(value, BaseException):
            return self._encode_error(value)
        if isinstance(value, type) and "tad_number" in value.__dict__:
            return {"t": "handle", "v": value.__dict__["tad_number"]}
        return self.guests.encode(value, self.encode)

    def _encode_error(self, problem: BaseException) -> Any:
        """An exception as an argument: the program's own one again, or Python's."""
        number = vars(problem).get("_tad_number")
        if number is not None:
            return {"t": "handle", "v": number}
        if wire.builtin_name(type(problem)):
            return {"t": "error", "v": [type(problem).__name__, [self.encode(arg) for arg in problem.args]]}
        return self.guests.encode(problem, self.encode)

    def decode_opaque(self, tag: str, body: Any) -> Any:
        """Stand-ins for the program's objects; the tests' own functions when they come back."""
        if tag == "guest":
            return self.guests.find(body)
        if tag == "raised":
            number = int(body["id"])
            if number not in self._stand_ins:
                self._stand_ins[number] = self._exception(body, "__next__")
            return self._stand_ins[number]
        if tag != "handle":
            return super().decode_opaque(tag, body)
        number = body["id"]
        if "coroutine" in body:  # a real one, because asyncio looks at its type
            return self.awaited(int(number))
        if number not in self._stand_ins:
            self._stand_ins[number] = self._stand_in(number, body)
        return self._stand_ins[number]

    async def awaited(self, number: int) -> Any:
        """The value of an awaitable of the program, which runs to its end in one go."""
        self.awaits = True
        return self.request("await", number)

    def plain_value(self, number: int) -> Any:
        """The plain value beneath an object (of a ``class Level(int)``), which is compared in its place here."""
        if number not in self._plain:
            self._plain[number] = self.request("plain", number)
        return self._plain[number]

    def knows(self, classes: Iterable[int]) -> bool:
        """Whether the tests asked for one of these classes by a name of the program."""
        return not self._named.isdisjoint(classes)

    def ask(self, name: str, title: str, classes: Iterable[int]) -> None:
        """Let an object of the program be asked for ``name``, which some plain values have as a method.

        Only where the tests asked for one of its classes by a name of the program; and it is kept that it was.
        """
        if name not in wire.QUESTIONS:
            return
        if not self.knows(classes):
            what = f"{name}() of an object whose class ({title}) the tests do not know by name"
            raise self.refuse(f"{what}, for it would be told the expected value")
        self.own_classes = True

    def _stand_in(self, number: int, info: dict[str, Any]) -> Any:
        if "raised" in info:
            return self._errors.find(info["raised"])
        for own, name, bases, specials, plain in info["classes"]:
            if own not in self._stand_ins:
                above = tuple(self._stand_ins[base] for base in bases)
                self._stand_ins[own] = stand_in_class(self, int(own), str(name), above, specials, str(plain))
        numbers = tuple(int(entry[0]) for entry in reversed(info["classes"]))
        return (
            self._stand_ins[number]
            if "class" in info
            else stand_in(self, number, self._stand_ins[numbers[0]], numbers)
        )


def _has_room() -> bool:
    """Whether less than half of the stack is in use."""
    frame, depth = sys._getframe(), 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth < sys.getrecursionlimit() // 2
