r"""Approximate values of simple formulas, to tell different answers apart without algebra.

Reads numbers, letters, ``\pi``, ``\sqrt``, ``\frac``, powers and the four operations; anything else, and
anything that could be read in two ways, has no value here. Only a difference is ever concluded from
these values: equality is left to exact arithmetic.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

#: no quotient, though it is written as one
_DERIVATIVE = re.compile(r"\\frac\{d[a-zA-Z]?\}\{d[a-zA-Z]\}")
_TOKEN = re.compile(r"\d+(?:\.\d+)?|\.\d+|\\[A-Za-z]+|[a-zA-Z]|[-+*/^(){}\[\]|]")
_MAX_LENGTH = 200
_MAX_DEPTH = 30
#: Two values this far apart (relative) belong to different answers.
_APART = 1e-6
#: A sum this much smaller than a part of it (relative) has lost the digits that ``_APART`` looks at.
_CANCELLED = 1e-8
#: Values of the letters at the two points: a seed for each, spread by the letter.
_POINTS = (0.61803398875, 0.41421356237)
_STARTS = frozenset({"(", "{", r"\frac", r"\sqrt", r"\pi", "|"})


class _NoValueError(Exception):
    """The text is not of the simple kind."""


def clearly_differ(left: str, right: str) -> bool:
    """Whether two cleaned scalars have values that are far apart; False where that is not known."""
    ours, theirs = values_of(left), values_of(right)
    if ours is None or theirs is None:
        return False
    return any(abs(a - b) > _APART * max(abs(a), abs(b), 1e-9) for a, b in zip(ours, theirs, strict=True))


@lru_cache(maxsize=4096)
def values_of(text: str) -> tuple[complex, complex] | None:
    """The values of a cleaned scalar at two points; None where it is not simple."""
    if len(text) > _MAX_LENGTH or _DERIVATIVE.search(text):
        return None
    try:
        first, second = (_Reader(text, point).value() for point in _POINTS)
    except (_NoValueError, ArithmeticError, ValueError):
        return None
    finite = all(math.isfinite(number) for value in (first, second) for number in (value.real, value.imag))
    return (first, second) if finite else None


class _Reader:
    """A recursive descent over one formula at one point."""

    def __init__(self, text: str, point: float) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._point = point
        self._depth = 0

    def value(self) -> complex:
        total = self._sum()
        if self._at != len(self._tokens):
            raise _NoValueError
        return total

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, wanted: str = "") -> str:
        token = self._peek()
        if not token or (wanted and token != wanted):
            raise _NoValueError
        self._at += 1
        return token

    def _sum(self) -> complex:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _NoValueError
        sign = -1 if self._peek() == "-" else 1
        if self._peek() in ("+", "-"):
            self._at += 1
        total = sign * self._product()
        largest = abs(total)
        while self._peek() in ("+", "-"):
            sign = -1 if self._take() == "-" else 1
            part = sign * self._product()
            total += part
            largest = max(largest, abs(part), abs(total))
        if abs(total) < _CANCELLED * largest:
            raise _NoValueError  # too few digits are left to tell anything apart
        self._depth -= 1
        return total

    def _product(self) -> complex:
        total = self._power()
        slashed = False
        while True:
            token = self._peek()
            if token in ("*", r"\cdot", r"\times"):
                self._at += 1
                total *= self._power()
            elif token == "/":
                self._at += 1
                slashed = True
                total /= self._power()
            elif token and token != "|" and (token in _STARTS or token.isalpha()):
                if slashed:  # 1/2x: one half of x, or one over 2x
                    raise _NoValueError
                total *= self._power()
            else:
                return total

    def _power(self) -> complex:
        base = self._atom()
        if self._peek() != "^":
            return base
        self._at += 1
        exponent = self._group() if self._peek() == "{" else self._digit()
        if abs(exponent) > 100:
            raise _NoValueError
        return complex(base**exponent)

    def _digit(self) -> complex:
        token = self._take()
        if len(token) != 1 or not token.isalnum():  # x^12 is x squared times two in LaTeX, or x^{12}
            raise _NoValueError
        return self._letter(token) if token.isalpha() else complex(int(token))

    def _atom(self) -> complex:
        token = self._take()
        if token[0].isdigit() or token[0] == ".":
            if self._peek() == r"\frac":  # a mixed number, or a product
                raise _NoValueError
            return complex(float(token))
        if token in ("(", "{"):
            self._at -= 1
            return self._group()
        if token == r"\pi":
            return complex(math.pi)
        if token == r"\frac":
            return self._group() / self._group()
        if token == r"\sqrt":
            index = self._index() if self._peek() == "[" else 2
            inside = self._group()
            if index != 2 and (inside.imag or inside.real < 0):
                raise _NoValueError  # which of the roots is meant depends on the reader
            return complex(inside ** (1 / index))
        if token.isalpha():
            return self._letter(token)
        raise _NoValueError

    def _group(self) -> complex:
        opening = self._take()
        if opening not in ("(", "{"):
            raise _NoValueError
        value = self._sum()
        self._take({"(": ")", "{": "}"}[opening])
        return value

    def _index(self) -> int:
        self._take("[")
        index = int(self._take())
        self._take("]")
        return index if 2 <= index <= 9 else 2

    def _letter(self, letter: str) -> complex:
        if letter in "ie":  # constants, as the algebra takes them
            return 1j if letter == "i" else complex(math.e)
        return complex(1 + (ord(letter) * self._point) % 1)


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    text = text.replace(" ", "")
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _NoValueError
        tokens.append(match.group())
        at = match.end()
    return tokens
