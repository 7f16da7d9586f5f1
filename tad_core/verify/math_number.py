"""Written numbers, read exactly: integers, decimals that repeat, fractions, mixed numbers, powers of ten."""

from __future__ import annotations

import re
from fractions import Fraction

#: Digits and decimal exponents beyond these are left to algebra, which runs under limits.
_MAX_DIGITS = 400
_MAX_EXPONENT = 1_000

_PLAIN = re.compile(
    r"\s*\\?\$?\s*([+-]?)\s*\\?\$?\s*([1-9]\d{0,2}(?:,\d{3})+|\d{1,300})(\.\d{1,99})?\s*\.?\s*\$?\s*"
)
#: ``0.(3)``, ``0.\\dot{1}4\\dot{2}``: the digits that come again
_BRACKETED_PERIOD = re.compile(r"^([+-]?\d*\.\d*)\((\d+)\)$")
_DOTTED_PERIOD = re.compile(r"^([+-]?\d*\.\d*)\\dot(?:\{(\d)\}| ?(\d))(?:(\d*)\\dot(?:\{(\d)\}| ?(\d)))?$")
_REPEATING = re.compile(r"([+-]?)(\d*)\.(\d*)\\(?:overline|bar)\{(\d+)\}")
_INTEGER = re.compile(r"[+-]?\d+")
_DECIMAL = re.compile(r"([+-]?)(\d*)\.(\d+)|([+-]?)(\d+)\.")
_LATEX_FRACTION = re.compile(r"([+-]?)(\d*)\\frac\{([+-]?[\d.]+)\}\{([+-]?[\d.]+)\}")
_SLASH_FRACTION = re.compile(r"([+-]?\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)")
_SCIENTIFIC = re.compile(r"([+-]?\d+(?:\.\d+)?)(?:\\times|\\cdot|\*)10\^(?:\{([+-]?\d+)\}|(\d))")
_E_NOTATION = re.compile(r"([+-]?\d+(?:\.\d+)?)[eE]([+-]?\d+)")


def simple_number(text: str) -> Fraction | None:
    """The value of a text as written that is an integer or decimal and little else; the quick way."""
    match = _PLAIN.fullmatch(text)
    return Fraction(match[1] + match[2].replace(",", "") + (match[3] or "")) if match else None


def plain_number(text: str) -> Fraction | None:
    """The exact value of a cleaned text that is one written number, else None.

    Integers, decimals, fractions of those, mixed numbers (``3\\frac{1}{2}`` is seven halves) and
    powers of ten. A decimal is the number it spells: 0.33 is 33/100 and not a third.
    """
    if len(text) > _MAX_DIGITS or not any(char.isdigit() for char in text):
        return None
    text = _with_overline(text)
    text = text.replace("(", "").replace(")", "") if re.fullmatch(r"\([+-]?[\d.]+\)", text) else text
    if _INTEGER.fullmatch(text) or _DECIMAL.fullmatch(text):
        return Fraction(text if not text.endswith(".") else text[:-1])
    if match := _LATEX_FRACTION.fullmatch(text):
        return _fraction(match[1], match[2], match[3], match[4])
    if match := _SLASH_FRACTION.fullmatch(text):
        return _ratio(match[1], match[2])
    if match := _REPEATING.fullmatch(text):
        sign, whole, once, again = match.groups()
        nines = (10 ** len(again) - 1) * 10 ** len(once)
        value = Fraction(int(whole + once + again) - int(whole + once or "0"), nines)
        return -value if sign == "-" else value
    match = _SCIENTIFIC.fullmatch(text) or _E_NOTATION.fullmatch(text)
    if match:
        exponent = int(next(group for group in match.groups()[1:] if group is not None))
        if abs(exponent) <= _MAX_EXPONENT:
            return Fraction(match[1]) * Fraction(10) ** exponent
    return None


def _with_overline(text: str) -> str:
    """``0.(3)`` and ``0.\\dot{3}`` as ``0.\\overline{3}``."""
    if bracketed := _BRACKETED_PERIOD.match(text):
        return rf"{bracketed[1]}\overline{{{bracketed[2]}}}"
    if dotted := _DOTTED_PERIOD.match(text):
        period = "".join(group or "" for group in dotted.groups()[1:])
        return rf"{dotted[1]}\overline{{{period}}}"
    return text


def _fraction(sign: str, whole: str, above: str, below: str) -> Fraction | None:
    ratio = _ratio(above, below)
    if ratio is None or (whole and ratio < 0):
        return None
    value = Fraction(whole or 0) + ratio
    return -value if sign == "-" else value


def _ratio(above: str, below: str) -> Fraction | None:
    try:
        return Fraction(above) / Fraction(below)
    except (ValueError, ZeroDivisionError):
        return None
