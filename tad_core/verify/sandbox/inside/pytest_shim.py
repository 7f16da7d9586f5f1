"""The part of pytest that unit tests of single functions use. The real one is not in the sandbox."""

from __future__ import annotations

import builtins
import itertools
import math
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from .fixtures import Fixture, SkippedError, UnsupportedError


class ExceptionInfo:
    """What ``pytest.raises`` hands out."""

    value: BaseException

    @property
    def type(self) -> type[BaseException]:
        """The class of the exception."""
        return builtins.type(self.value)

    @property
    def typename(self) -> str:
        """The name of that class."""
        return builtins.type(self.value).__name__

    def match(self, pattern: str) -> bool:
        """Whether the message contains the pattern; an AssertionError if not."""
        if not re.search(pattern, str(self.value)):
            raise AssertionError(f"{pattern!r} not found in {str(self.value)!r}")
        return True

    def __str__(self) -> str:
        return str(self.value)


class Approx:
    """``pytest.approx``: within 1e-6 of the expected value, or 1e-12 near zero."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expected: Any, rel: float | None, abs: float | None, nan_ok: bool) -> None:
        self._expected, self._rel, self._abs, self._nan_ok = expected, rel, abs, nan_ok

    def __eq__(self, actual: object) -> bool:
        return self._near(actual, self._expected)

    def __repr__(self) -> str:
        return f"approx({self._expected!r})"

    def _near(self, actual: Any, expected: Any) -> bool:
        if isinstance(expected, Mapping):
            if type(actual) is not dict or set(actual) != set(expected):
                return False
            return all(self._near(actual[key], expected[key]) for key in expected)
        if isinstance(expected, list | tuple):
            if type(actual) not in (list, tuple) or len(actual) != len(expected):
                return False
            return all(self._near(a, b) for a, b in zip(actual, expected, strict=True))
        if isinstance(expected, Decimal) and type(actual) in (int, Decimal):
            return self._decimals_near(Decimal(actual), expected)
        if type(actual) not in (int, float, complex, bool) or not isinstance(expected, int | float | complex):
            # a stand-in for an object of the program is never a number
            return type(actual) is type(expected) and bool(actual == expected)
        return self._numbers_near(actual, expected)

    def _decimals_near(self, actual: Decimal, expected: Decimal) -> bool:
        if actual == expected or not (actual.is_finite() and expected.is_finite()):
            return bool(actual == expected)
        absolute = Decimal("1e-12") if self._abs is None else Decimal(str(self._abs))
        relative = (
            Decimal(0) if self._abs is not None and self._rel is None else Decimal(str(self._rel or "1e-6"))
        )
        return abs(actual - expected) <= max(absolute, relative * abs(expected))

    def _numbers_near(self, actual: Any, expected: Any) -> bool:
        if actual == expected:
            return True
        if actual != actual or expected != expected:
            return self._nan_ok and actual != actual and expected != expected
        if math.isinf(abs(expected)) or math.isinf(abs(actual)):
            return False
        absolute = 1e-12 if self._abs is None else self._abs
        relative = (1e-6 if self._rel is None else self._rel) * abs(expected)
        if self._abs is not None and self._rel is None:
            relative = 0.0
        return bool(abs(actual - expected) <= max(absolute, relative))


def _line_of_tests() -> int:
    """The line of the tests that runs."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != "test_solution.py":
        frame = frame.f_back
    return frame.f_lineno if frame is not None else 0


class Marks:
    """``pytest.mark``: parametrize counts, everything else decorates nothing."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in ("skip", "skipif", "xfail"):
            raise UnsupportedError(f"pytest.mark.{name}")
        if name == "parametrize":
            return _parametrize
        if name == "usefixtures":
            return _use

        def mark(*args: Any, **kwargs: Any) -> Any:
            only = args[0] if len(args) == 1 and not kwargs else None
            return only if isinstance(only, types.FunctionType | type) else (lambda function: function)

        return mark


def _use(*names: str) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        function.tad_fixtures = (*getattr(function, "tad_fixtures", ()), *names)
        return function

    return decorate


def _parametrize(
    names: Any, values: Any, ids: Any = None, indirect: Any = False, scope: Any = None
) -> Callable[[Any], Any]:
    if indirect:
        raise UnsupportedError("pytest.mark.parametrize(indirect=…)")
    written = isinstance(names, str)
    listed = [name.strip() for name in names.split(",") if name.strip()] if written else list(names)
    alone = len(listed) == 1 and written and "," not in names
    rows = []
    for value in values:
        row = value.values if isinstance(value, Param) else (value,) if alone else value
        rows.append(dict(zip(listed, row, strict=True)))

    def decorate(function: Any) -> Any:
        sets = getattr(function, "tad_parameters", [{}])
        function.tad_parameters = [{**old, **new} for old, new in itertools.product(sets, rows)]
        return function

    return decorate


class Param:
    """``pytest.param``."""

    def __init__(self, *values: Any, id: str | None = None, marks: Any = ()) -> None:
        self.values = values


def make_module(count: Callable[[], None], failed: Callable[[int], None]) -> types.ModuleType:
    """A module to stand for pytest.

    Args:
        count: called for every ``raises`` that held.
        failed: called with the line of every ``fail``, whoever catches it.
    """
    module = types.ModuleType("pytest")

    @contextmanager
    def _raises(expected: Any, match: str | None) -> Iterator[ExceptionInfo]:
        info = ExceptionInfo()
        try:
            yield info
        except expected as error:
            info.value = error
            if match is not None:
                info.match(match)
            count()
            return
        failed(_line_of_tests())
        raise AssertionError(f"did not raise {expected}")

    def raises(expected: Any, *args: Any, match: str | None = None, **kwargs: Any) -> Any:
        if not args:
            return _raises(expected, match)
        with _raises(expected, match) as info:
            args[0](*args[1:], **kwargs)
        return info

    def fail(reason: str = "", pytrace: bool = True) -> None:
        failed(sys._getframe(1).f_lineno)
        raise AssertionError(reason or "pytest.fail")

    def skip(reason: str = "", **kwargs: Any) -> None:
        raise SkippedError(reason)

    def fixture(function: Any = None, **kwargs: Any) -> Any:
        if kwargs.get("params") is not None:
            raise UnsupportedError("pytest.fixture(params=…)")
        chosen = {key: kwargs[key] for key in ("name", "autouse", "scope") if key in kwargs}
        return Fixture(function) if function is not None else lambda inner: Fixture(inner, **chosen)

    def approx(expected: Any, rel: Any = None, abs: Any = None, nan_ok: bool = False) -> Approx:
        return Approx(expected, rel, abs, nan_ok)

    def missing(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnsupportedError(f"pytest.{name}")

    for item in (raises, fail, skip, fixture, approx):
        setattr(module, item.__name__, item)
    module.__dict__.update(__getattr__=missing, mark=Marks(), param=Param, main=lambda *args, **kwargs: 0)
    return module
