r"""One value in two notations: ``3\sqrt{41} = 19.2``, ``\frac23 \approx 0.67``, ``\frac34 = 75\%``."""

from __future__ import annotations

import re
from fractions import Fraction

from tad_core.verify.math_number import plain_number
from tad_core.verify.math_spelling import spelled
from tad_core.verify.math_text import clean, without_name
from tad_core.verify.math_value import values_of

_SIGN = r"(?:=|\\approx(?![A-Za-z]))"
#: an answer that ends in a number, and what its unit may be
_BEHIND_A_SIGN = re.compile(
    rf"(?P<exact>.*\S)\s*(?P<sign>{_SIGN})\s*(?P<number>-?\d[\d,]*(?:\.\d+)?|-?\.\d+)\s*(?P<percent>\\?%)?"
    r"(?P<unit>\s*(?:\\[,;: ]\s*)?(?:\\(?:text|mathrm)\s*\{[^{}]*\}(?:\^\{?[23]\}?)?)?)"
)
_LAST_SIGN = re.compile(rf"{_SIGN}\s*")
_ABOUT = r"(?:(?:which\sis\s|that\sis\s|or\s|i\.e\.,?\s)?(?:about|approximately|approx\.?|roughly|around)|≈|\\approx|~)"
#: ``2√3 (approximately 3.464)``, ``$2\\sqrt{3}$, which is about 3.464``: what stands before the number
_SAID_AGAIN = re.compile(
    rf"(?P<exact>\$[^$\n]{{1,80}}\$|\\\((?:(?!\\\)).){{1,80}}\\\)|\S{{1,60}}(?:\s?[-+*/]\s?\S{{1,30}}){{0,3}})"
    rf"(?:\s[a-z]{{1,12}}){{0,2}}(?:,\s|\s?\(|\s|,?\s\(?or\s){_ABOUT}[\s$]*(?:\\\()?\s*$"
)


def in_two_notations(answer: str) -> tuple[str, str] | None:
    """The exact and the rounded value of a spelled answer that ends in both; None where it does not, or they differ."""
    found = _BEHIND_A_SIGN.fullmatch(answer)
    if found is None:
        return None
    number, unit = found["number"].replace(",", ""), found["unit"]
    about = found["sign"] != "="
    if found["percent"]:
        share, number = _decimal(found["exact"]), f"{number}\\%"
        same = share is not None and share * 100 == Fraction(number[:-2])
        return (found["exact"], number) if same or is_rounded(found["exact"], number, about) else None
    if not (about or "." in number) or not is_rounded(found["exact"], number, about):
        return None
    return found["exact"] + unit, number + unit


def is_rounded(exact: str, number: str, about: bool = False) -> bool:
    """Whether a decimal, or one per cent, is an exact value, rounded or cut to its digits.

    A whole number is only where it is said to be about the value.
    """
    side = _last_side(exact)
    percent, number = number.endswith("%"), number.rstrip("%\\ ")
    value, plain = Fraction(number) / (100 if percent else 1), plain_number(side)
    values = values_of(side) if plain is None else (complex(float(plain)),) * 2
    if values is None or values[0] != values[1] or values[0].imag or plain == value:
        return False
    decimals = len(number.partition(".")[2]) + 2 * percent
    if not (decimals or about):
        return False
    exactly, said, last = abs(values[0].real), float(abs(value)), 10.0**-decimals
    same_sign = (values[0].real < 0) == (value < 0)
    return same_sign and (abs(exactly - said) <= 0.5001 * last or 0 <= exactly - said < 0.9999 * last)


def exact_before(text: str, at: int, number: str) -> str:
    """The exact value that a text says again as the number at ``at`` (``2√3 (approximately 3.464)``); empty if none."""
    found = _SAID_AGAIN.search(text[max(0, at - 160) : at])
    if found is None or "." not in number:
        return ""
    exact = found["exact"].strip("$").removeprefix("\\(").removesuffix("\\)").strip()
    return exact if is_rounded(spelled(exact), number) else ""


def _last_side(answer: str) -> str:
    side = _LAST_SIGN.split(answer)[-1]
    return clean(without_name(side)[1])


def _decimal(exact: str) -> Fraction | None:
    return plain_number(_last_side(exact))
