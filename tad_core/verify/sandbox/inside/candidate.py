"""The program under test: load it, then serve calls until the tests are done.

Nothing here is trusted once the program has run: it may have rewritten all of it. What protects the
verdict is that this process has never seen an expected value and holds no way to write a result.
"""

from __future__ import annotations

import builtins
import copy
import importlib
import inspect
import io
import operator
import os
import sys
import types
from dataclasses import dataclass
from typing import Any

from . import frames, wire

#: Characters of an exception's text that the tests see.
_MESSAGE = 10_000


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


class ExaminerFunction:
    """A function of the tests that was passed to the program."""

    def __init__(self, peer: Candidate, number: int) -> None:
        self._peer, self._number = peer, number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the tests' side to call it."""
        return self._peer.call_back(self._number, args, kwargs)


class ExaminerObject:
    """An object of the tests that was passed to the program: what it does happens there."""

    _peer: Candidate
    _number: int

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self._peer.call_back(self._number, (), {}, "get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._peer.call_back(self._number, (value,), {}, "set", name)


def _examiner_object(peer: Candidate, number: int, title: str, specials: list[str]) -> ExaminerObject:
    def special(name: str) -> Any:
        return lambda self, *args: peer.call_back(number, args, {}, "special", name)

    made: ExaminerObject = type(title, (ExaminerObject,), {name: special(name) for name in specials})()
    object.__setattr__(made, "_peer", peer)
    object.__setattr__(made, "_number", number)
    return made


class Candidate(wire.Codec):
    """The serving side of the program under test."""

    def __init__(self, inbox: int, outbox: int, output_limit: int) -> None:
        self._inbox, self._outbox = inbox, outbox
        self._module = types.ModuleType("solution")
        self._objects: list[Any] = [self._module]
        self._numbers: dict[int, int] = {}
        self._theirs: dict[int, ExaminerObject] = {}
        self._printed = CappedText(output_limit)

    def load(self, source: str) -> None:
        """Run the program's top level and tell the other side which names it has."""
        sys.modules["solution"] = self._module
        sys.stdout = sys.stderr = self._printed
        error = None
        try:
            exec(compile(source, "solution.py", "exec"), self._module.__dict__)
        except BaseException as problem:
            error = self._error(problem)
        names = [name for name, value in self._module.__dict__.items() if _is_own(name, value)]
        frames.send(self._outbox, {"names": names, "error": error})

    def serve(self, until_reply: bool = False) -> Any:
        """Answer requests; with ``until_reply``, return the first reply to a request of ours."""
        while True:
            message = frames.receive(self._inbox)
            if until_reply and "op" not in message:
                return message
            frames.send(self._outbox, self._answer(message))

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        sent = request.get("args", [])
        args = [self.decode(arg) for arg in sent]
        kwargs = {name: self.decode(value) for name, value in request.get("kwargs", {}).items()}
        try:
            reply = {"ok": self.encode(self._perform(request, args, kwargs))}
        except BaseException as problem:
            reply = {"error": self._error(problem)}
        values = [*args, *kwargs.values()]
        if wire.has_mutable(values):
            before = [*sent, *request.get("kwargs", {}).values()]
            try:
                after = [self.encode(value) for value in values]
            except BaseException:  # it put something unsendable into its argument
                after = before
            if after != before:
                reply["args"] = after
        printed = self._printed.take()
        if printed:
            reply["out"] = printed
        return reply

    def _perform(self, request: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        target = self._objects[request["id"]]
        op: str = request["op"]
        name: Any = request.get("name")
        if op == "get":
            return getattr(target, name)
        if op == "set":
            return setattr(target, name, args[0])
        if op == "put":  # what the tests changed in a container that is an attribute
            return wire.overwrite(getattr(target, name), args[0])
        if op == "call":
            return (target if name is None else getattr(target, name))(*args, **kwargs)
        if op == "special":  # an operator: looked up on the type, as Python does
            method = getattr(type(target), name, None)
            if method is None:
                raise TypeError(f"{type(target).__name__!r} object has no {name}")
            return method(target, *args, **kwargs)
        if op == "copy":
            return getattr(copy, name)(target)
        if op == "await":
            return _run_to_end(target)
        raise ValueError(f"unknown request {op!r}")

    def call_back(
        self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any], op: str = "", name: str = ""
    ) -> Any:
        """Call a function of the tests, or have an object of theirs do something."""
        request: dict[str, Any] = {
            "callback": number,
            "args": [self.encode(arg) for arg in args],
            "kwargs": {key: self.encode(value) for key, value in kwargs.items()},
        }
        if op:
            request |= {"op": op, "name": name}
        frames.send(self._outbox, request)
        reply = self.serve(until_reply=True)
        if "error" in reply:
            kind = getattr(builtins, reply["error"]["type"], RuntimeError)
            raise kind(*[self.decode(arg) for arg in reply["error"]["args"]])
        return self.decode(reply["ok"])

    def encode_opaque(self, value: Any) -> Any:
        """A handle: the object stays here, the tests get its number and the names of its classes."""
        if isinstance(value, ExaminerFunction):
            return {"t": "examiner", "v": value._number}
        if isinstance(value, ExaminerObject):
            return {"t": "own", "v": object.__getattribute__(value, "_number")}
        if isinstance(value, BaseException):
            return {"t": "raised", "v": self._error(value)}
        number = self._number(value)
        kind = value if isinstance(value, type) else type(value)
        classes = [self._number(base) for base in kind.__mro__ if base is not object]
        info: dict[str, Any] = {"id": number, "name": kind.__name__, "classes": classes}
        if isinstance(value, type):
            info["bases"] = [base.__name__ for base in kind.__mro__ if base.__module__ == "builtins"]
            if issubclass(kind, BaseException):
                info["tree"] = self._tree(kind)
        elif inspect.iscoroutine(value):
            info["coroutine"] = True
        return {"t": "handle", "v": info}

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
        if tag == "examiner":
            return ExaminerFunction(self, body)
        if tag == "own":
            number, title, specials = body
            if number not in self._theirs:
                self._theirs[number] = _examiner_object(self, number, title, specials)
            return self._theirs[number]
        if tag == "standard":
            module, name = body
            return operator.attrgetter(name)(importlib.import_module(module))
        if tag == "iterator":
            return iter([self.decode(item) for item in body])
        if tag == "error":
            return getattr(builtins, body[0])(*self.decode(body[1]))
        return super().decode_opaque(tag, body)

    def _tree(self, kind: type) -> dict[str, Any]:
        """Of an exception class and those above it that are not built in: number, name, bases."""
        tree: dict[str, Any] = {}
        for above in kind.__mro__:
            if above.__module__ == "builtins":
                continue
            bases: list[Any] = []
            for base in above.__bases__:
                if base.__module__ == "builtins":
                    bases += [base.__name__] if issubclass(base, BaseException) else []
                elif issubclass(base, BaseException):
                    bases.append(self._number(base))
            if above.__module__ != "solution":
                plain = [base.__name__ for base in above.__mro__ if base.__module__ == "builtins"]
                bases = [[above.__module__, above.__qualname__, *plain], *bases]
            tree[str(self._number(above))] = [above.__name__, bases]
        return tree

    def _error(self, problem: BaseException, causes: int = 3) -> dict[str, Any]:
        kind = type(problem)
        try:
            args = [self.encode(arg) for arg in problem.args]
            text = str(problem)[:_MESSAGE]
        except BaseException:  # the program's own exceptions may do anything, even here
            args, text = [], "its message could not be read"
        bases = [base.__name__ for base in kind.__mro__ if base.__module__ == "builtins"]
        error: dict[str, Any] = {"type": kind.__name__, "bases": bases, "args": args, "text": text}
        try:
            if kind.__module__ != "builtins":
                error |= {
                    "class": self._number(kind),
                    "tree": self._tree(kind),
                    "object": self._number(problem),
                }
            elif vars(problem):
                error["attributes"] = {str(k): self.encode(v) for k, v in vars(problem).items()}
            if causes and isinstance(problem.__cause__, BaseException):
                error["cause"] = self._error(problem.__cause__, causes - 1)
        except BaseException:  # as above
            return {"type": "Exception", "bases": bases, "args": [], "text": text}
        return error


def _is_own(name: Any, value: Any) -> bool:
    """Whether a name is the program's: not Python's own, and not a type hint it imported."""
    if type(name) is not str or (name.startswith("__") and name.endswith("__")):
        return False
    return "typing" not in (getattr(type(value), "__module__", ""), getattr(value, "__module__", ""))


def _run_to_end(awaitable: Any) -> Any:
    """The value of a coroutine."""
    import asyncio

    async def wait() -> Any:
        return await awaitable

    return asyncio.run(wait()) if inspect.isawaitable(awaitable) else awaitable


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


def main(pipes: Pipes, number: int, output_limit: int) -> None:
    """Load the program of job ``number`` and serve until the other end closes."""
    while (job := frames.receive(pipes.programs))["id"] != number:
        continue  # left by a job that ended before it read its program
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
