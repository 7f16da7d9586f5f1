r"""Numbers of choices, divisors and multiples in their notations: ``{}_{10}C_3``, 10 choose 3, ``\gcd(12, 18)``."""

from __future__ import annotations

import math
import re

#: ``{}_{10}C_3``, ``^{10}P_3``, ``10C3`` and, from top to bottom, ``C_{10}^3``
_CHOSEN_FROM = re.compile(
    r"(?:\{\s*\}|(?<![\w)}\]]))\s?[_^]\s?\{?(\d{1,3})\}?\s?(?:\\(?:text|mathrm|rm)\s?\{?)?([CP])\}?_\s?\{?(\d{1,3})\}?"
)
_CHOSEN_DOWN = re.compile(r"(?<![A-Za-z\d])C_\s?\{?(\d{1,3})\}?\^\s?\{?(\d{1,3})\}?")
_CHOSEN_SIDE_BY_SIDE = re.compile(r"(?<![\w.^{\\])(\d{1,3})([CP])(\d{1,3})(?![\w.])")
_CHOSEN_IN_WORDS = re.compile(
    r"(?<![\w.^{\\])(\d{1,3})\s(?:\\text\s?\{\s?)?choose\s?\}?\s?(\d{1,3})(?![\w.])"
)
#: ``C(5, 2)`` in what is reckoned: alone it may be a point, and of two letters a function
_CHOSEN_OF = re.compile(
    r"(?<![\w\\}])\\?C\s?\(\s?(\d{1,3})\s?,\s?(\d{1,3})\s?\)(?=\s?(?:[-+*/=]|\\(?:cdot|times)))"
)
_DIVISOR_OR_MULTIPLE = re.compile(
    r"(?:\\(?:operatorname|text|mathrm)\s?\{\s?(gcd|lcm|GCD|LCM)\s?\}|\\?(?<![A-Za-z])(gcd|lcm|GCD|LCM))"
    r"\s?(?:\\left)?\(\s?(\d{1,15}(?:\s?,\s?\d{1,15}){1,7})\s?(?:\\right)?\)"
)


def counted_out(text: str) -> str:
    """Choices as binomials, and common divisors and multiples of integers worked out."""
    for pattern in (_CHOSEN_FROM, _CHOSEN_DOWN, _CHOSEN_SIDE_BY_SIDE, _CHOSEN_IN_WORDS, _CHOSEN_OF):
        text = pattern.sub(_chosen, text)
    return _DIVISOR_OR_MULTIPLE.sub(_divisor_or_multiple, text)


def _chosen(match: re.Match[str]) -> str:
    """Combinations as a binomial, ordered ones as a quotient of factorials; as written where they would be none."""
    number, taken = int(match[1]), int(match[match.re.groups])
    if taken > number:
        return match.group()
    ordered = match.re in (_CHOSEN_FROM, _CHOSEN_SIDE_BY_SIDE) and match[2] == "P"
    return rf"\frac{{{number}!}}{{{number - taken}!}}" if ordered else rf"\binom{{{number}}}{{{taken}}}"


def _divisor_or_multiple(match: re.Match[str]) -> str:
    """The greatest common divisor, or the least common multiple, of integers: in brackets, as it may be a factor."""
    function = math.gcd if (match[1] or match[2]).lower() == "gcd" else math.lcm
    value = function(*map(int, match[3].split(",")))
    return str(value) if match.group() == match.string else f"({value})"
