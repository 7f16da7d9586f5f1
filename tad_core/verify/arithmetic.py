"""Sums of written numbers, to see that one does not come to what is said of it (``2 + 3 = 6``)."""

from __future__ import annotations

import re
from fractions import Fraction

_TOKEN = re.compile(
    r"\s*(?:(\d[\d,]*(?:\.\d+)?|\.\d+)|(\*\*|[-+*/^()×·⋅÷x−–]|\\(?:cdot|times|div)(?![A-Za-z])))"
)
_CURRENCY = re.compile(r"\\?[$€£]")
_SIGNS = {
    "×": "*",
    "·": "*",
    "⋅": "*",
    "x": "*",
    r"\cdot": "*",
    r"\times": "*",
    "÷": "/",
    r"\div": "/",
    "−": "-",
    "–": "-",
    "**": "^",
}
_MAX_LENGTH = 200
_MAX_EXPONENT = 64
#: where only remainders are kept
_MAX_WHOLE_EXPONENT = 10**18
#: Of a power, above and below its stroke: powers of powers grow without bound, however small each exponent is.
_MAX_BITS = 100_000


class _NoValueError(Exception):
    """The text is no sum of written numbers."""


def value_of(text: str) -> Fraction | None:
    """What a sum of written numbers comes to; None if it is none, or has no value."""
    try:
        return _Reader(_CURRENCY.sub("", text)).value()
    except (_NoValueError, ZeroDivisionError):
        return None


def remainder_of(text: str, modulus: int) -> int | None:
    """The remainder that a sum of whole numbers leaves; None if it is none. Powers may be of any size."""
    try:
        return int(_Remainders(text, modulus).value())
    except _NoValueError:
        return None


def plainly_differ(left: str, right: str) -> bool:
    """Whether a sum has another value than the number behind it, also where that is rounded or cut to its digits."""
    sides = [_CURRENCY.sub("", side) for side in (left, right)]
    try:
        ours, theirs = (_Reader(side).value() for side in sides)
    except _NoValueError:
        return False
    except ZeroDivisionError:
        return True
    decimals = len(right.partition(".")[2].strip()) if "." in right else 0
    return abs(ours - theirs) >= Fraction(1, 10**decimals) or (ours.denominator == 1 and ours != theirs)


class _Reader:
    """A recursive descent over one sum."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0

    def value(self) -> Fraction:
        """The value of the whole text."""
        total = self._sum()
        if self._at != len(self._tokens):
            raise _NoValueError
        return total

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._next()
        self._at += 1
        return token

    def _sum(self) -> Fraction:
        total = self._product()
        while self._next() in ("+", "-"):
            total = total + self._product() if self._take() == "+" else total - self._product()
        return total

    def _product(self) -> Fraction:
        total, divided = self._power(), False
        while self._next() in ("*", "/", "("):
            sign = "*" if self._next() == "(" else self._take()
            if sign == "/" and divided:  # 6 / 2/3: which quotient is meant?
                raise _NoValueError
            divided = sign == "/"
            total = total / self._power() if divided else total * self._power()
        return total

    def _power(self) -> Fraction:
        if self._next() == "-":
            self._take()
            return -self._power()
        base = self._atom()
        if self._next() != "^":
            return base
        self._take()
        return self._raised(base, self._exponent())

    def _exponent(self) -> Fraction:
        return self._power()

    def _raised(self, base: Fraction, exponent: Fraction) -> Fraction:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if exponent.denominator != 1 or abs(exponent) > _MAX_EXPONENT or bits * abs(exponent) > _MAX_BITS:
            raise _NoValueError
        return Fraction(base ** int(exponent))

    def _atom(self) -> Fraction:
        token = self._take()
        if token == "(":
            value = self._sum()
            if self._take() != ")":
                raise _NoValueError
            return value
        if not (token[:1] == "." or token[:1].isdigit()) or (token[0] == "0" and token[1:].isdigit()):
            raise _NoValueError
        return Fraction(token)


class _Remainders(_Reader):
    """The same of whole numbers, of which only what they leave by a modulus is kept; exponents are kept whole."""

    def __init__(self, text: str, modulus: int) -> None:
        super().__init__(text)
        self._modulus = modulus

    def value(self) -> Fraction:
        if any("/" in token or "." in token for token in self._tokens):
            raise _NoValueError
        return super().value() % self._modulus

    def _product(self) -> Fraction:
        total = self._power()
        while self._next() in ("*", "("):
            self._at += self._next() == "*"
            total = total * self._power() % self._modulus
        return total

    def _exponent(self) -> Fraction:
        """One number, also in brackets: what is left of a sum by the modulus would be another exponent."""
        bracketed = self._next() == "("
        self._at += bracketed
        number = self._take()
        if not number.isdigit() or (bracketed and self._take() != ")") or self._next() == "^":
            raise _NoValueError
        return Fraction(number)

    def _raised(self, base: Fraction, exponent: Fraction) -> Fraction:
        if not 0 <= exponent <= _MAX_WHOLE_EXPONENT:
            raise _NoValueError
        return Fraction(pow(int(base), int(exponent), self._modulus))


def _tokens(text: str) -> list[str]:
    text, found, at = text.strip(), [], 0
    if len(text) > _MAX_LENGTH:
        raise _NoValueError
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise _NoValueError
        found.append(token[1].replace(",", "") if token[1] else _SIGNS.get(token[2], token[2]))
        at = token.end()
    return found
