r"""Units: what stands behind or before a value and names what is counted (``5\text{ cm}``, ``$5``, ``90^\circ``).

Whatever could change the value, or name another one (``5 million``, ``5 or six``), is no unit.
"""

from __future__ import annotations

import re
from fractions import Fraction

from tad_core.verify.math_number import simple_number
from tad_core.verify.math_text import TEXT, unwrap

_DEGREES = re.compile(r"\^\{?\\circ\}?|\\degree(?![A-Za-z])|°|\\textdegree")
TRIGONOMETRIC = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])|(?<![A-Za-z])cis(?![a-z])")
#: what a value cannot end with: something is still to come, and so what follows is no unit of it
_UNFINISHED = re.compile(
    r"(?:(?<![A-Za-z])(?:or|and|nor|not|to)|\\(?:lor|land|vee|wedge|cdot|times|pm|mp|to)|[,;:/|&+\-=<>*^_(\[])[\s~]*$"
)
_HALF_OF_DAY = re.compile(r"\b([ap])\.? ?m\b\.?", re.IGNORECASE)
_HOUR = re.compile(r"1[0-2]|[1-9]|.*:.*")
#: ``17th``, ``17^{\\text{th}}``
_ORDINAL = re.compile(
    r"^(\d{1,9})\s*(?:\^?\{?\\(?:text|textrm|mathrm|mbox|rm)\s*\{\s*(st|nd|rd|th)\s*\}\}?|\^?\{?(st|nd|rd|th)\}?)$"
)
#: ``3 \\pmod{7}``: a remainder
_MODULUS = re.compile(
    r"(?<=[\d)}\s])\s*(?:\\pmod\s*\{?(\w+)\}?|\(\s*(?:\\bmod|\\mod|mod)\s*\{?(\w+)\}?\s*\))$"
)
_CURRENCY_BEHIND = re.compile(r"(?<=\d)\s*\\?([$€£])$")
#: ``12 \\frac{\\text{m}}{\\text{s}}``
_RATE = re.compile(
    r"(?<=[\d}\s])\s*(?:\\[,;: ])?\\[dt]?frac\{\s*\\(?:text|mathrm)\{([A-Za-z ]+)\}\s*\}"
    r"\{\s*\\(?:text|mathrm)\{([A-Za-z ]+)\}\s*\}$"
)
_DIGIT_IN_WORDS = re.compile(r"(?<![A-Za-z\d^])\d")


def split_unit(text: str) -> tuple[str, str]:
    r"""``(value, unit)`` of an answer as written; the unit is ``""`` where none is written.

    A unit is a leading currency sign, a trailing percent or degree sign, a trailing ``\text{…}``, or
    trailing words behind a number (``12 square inches``).
    """
    text = unwrap(text)
    currency = re.match(r"^([+-]?)\s*(?:\\?\$|€|£|\\pounds|\\euro)\s*([+-]?)\s*(?=[\d.\\])", text)
    if currency:
        sign = "-" if "-" in (currency[1] + currency[2]) else ""
        symbol = "€" if "€" in currency.group() or "euro" in currency.group() else "$"
        symbol = "£" if "£" in currency.group() or "pounds" in currency.group() else symbol
        value, unit = split_unit(text[currency.end() :])  # $18 per day
        return sign + value, f"{symbol} {unit}".strip() if unit not in (symbol, "%") else symbol
    if (paid := _CURRENCY_BEHIND.search(text)) and "=" not in text:
        return text[: paid.start()], paid[1]
    percent = re.search(
        r"\s*(?:\\?%|(?<![a-z])percent|per\s?cent|\\text\s*\{\s*(?:\\?%|percent)\s*\})$", text
    )
    if percent and percent.start() > 0:
        return text[: percent.start()], "%"
    ordinal = _ORDINAL.match(text)
    if ordinal and (ordinal[2] or ordinal[3]) == _ordinal_ending(ordinal[1]):
        return ordinal[1], "th"
    degrees = _DEGREES.search(text)
    if degrees and degrees.end() == len(text) and degrees.start() > 0 and not TRIGONOMETRIC.search(text):
        return text[: degrees.start()], "degree"
    if modulus := _MODULUS.search(text):
        return text[: modulus.start()], f"mod {modulus[1] or modulus[2]}"
    if rate := _RATE.search(text):
        return text[: rate.start()], unit_name(f"{rate[1]} per {rate[2]}")
    trailing = re.search(
        r"(?:\\[,;: ]|~|\s)*\\(?:text|mbox|mathrm|textrm|hbox|rm)\s*\{([^{}]*)\}(?:\^\{?([23])\}?)?$", text
    )
    if trailing and _is_value(text[: trailing.start()]) and _names_a_unit(trailing[1]):
        return text[: trailing.start()], unit_name(trailing[1], trailing[2])
    words = re.match(r"^([^A-Za-z]*\d[\d.,/]*)([\s~]*)([A-Za-z][A-Za-z. /]*?)(?:\s*\^\{?([23])\}?)?$", text)
    apart = words and (
        words[2]
        or words[3].lower() in _UNITS
        or (_HOUR.fullmatch(words[1]) and _HALF_OF_DAY.fullmatch(words[3]))
    )
    if words and apart and _is_unit(words[3]):
        return words[1], unit_name(words[3], words[4])
    return text, ""


_UNITS = {
    "cm": "centimeter", "centimetre": "centimeter", "mm": "millimeter", "km": "kilometer",
    "metre": "meter", "kilometre": "kilometer", "millimetre": "millimeter", "ft": "foot", "feet": "foot",
    "in": "inch", "inche": "inch", "yd": "yard", "mi": "mile", "kg": "kilogram", "lb": "pound",
    "oz": "ounce", "ml": "milliliter", "litre": "liter", "hr": "hour", "min": "minute", "sec": "second",
    "mph": "mile per hour", "deg": "degree", "dollar": "$", "usd": "$", "euro": "€", "buck": "$",
    "sq": "square", "penny": "cent", "pennie": "cent", "people": "person", "men": "man", "women": "woman",
    "children": "child", "m": "meter", "s": "second", "g": "gram", "l": "liter", "h": "hour",
}  # fmt: skip
#: letters that are a unit by themselves, written as they are
_SYMBOLS = frozenset("mgLlshNJWVACF")


_ONES = "one two three four five six seven eight nine ten eleven twelve"
_TEENS = "thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SCALES = (
    "hundred thousand million billion trillion quadrillion quintillion lakh crore dozen mln mio bn bln mrd"
)
_SHARES = (
    "zero nil naught null none half halve quarter third fifth eighth ninth twelfth nth first twice thrice"
)
_RECKONING = """
pi sqrt sin cos tan log ln exp mod modulo squared cubed factorial times over divided by plus minus
and or nor not no but to than if unless until till except excluding either neither both else otherwise
alternatively instead versus vs rather whether between through thru about around below above under
is isn be was wasn can cannot could may might must should would think guess guessed believe suppose hope know
seem appear equal mean wait maybe perhaps possibly probably presumably supposedly apparently unlikely unsure
uncertain doubtful untrue incorrect approx approximate approximately roughly exactly precisely almost nearly only
least most some several few many etc ish sorry hardly barely scarcely never far different
"""
_COMPARING = """
more less fewer greater smaller larger bigger higher lower maximum minimum possible probable likely wrong false true
right correct sure negative positive double triple score gross grand couple all other
"""


def _number_words() -> frozenset[str]:
    """Words for numbers, shares and multiples, in the singular (``six``, ``sixth``, ``half``, ``billion``)."""
    tens = _TENS.split()
    plain = [*_ONES.split(), *_TEENS.split(), *_SCALES.split()]
    ordinals = [f"{word}th" for word in plain] + [f"{word[:-1]}ieth" for word in tens]
    return frozenset([*plain, *tens, *ordinals, *_SHARES.split()])


#: Words that are mathematics behind a number, or say how sure or how exact it is. Nouns are many and these are few:
#: what holds none of them names what is counted.
_NOT_UNITS = _number_words() | frozenset(_RECKONING.split())
#: The same where nothing follows: ``5 more`` is not five, ``5 more apples`` are.
_NOT_LAST = frozenset(_COMPARING.split())


def _ordinal_ending(number: str) -> str:
    teen = len(number) > 1 and number[-2] == "1"
    return "th" if teen else {"1": "st", "2": "nd", "3": "rd"}.get(number[-1], "th")


def _is_value(text: str) -> bool:
    """Whether a unit may follow: ``5``, but neither ``5 or`` nor a word (``\\text{B}``)."""
    plain = TEXT.sub(lambda match: f" {match[1]} ", text)
    without_words = TEXT.sub("", text)
    return bool(re.search(r"[\w}]", without_words)) and _UNFINISHED.search(plain) is None


def _names_a_unit(words: str) -> bool:
    """Whether a ``\\text{…}`` names a unit: letters of their own (``x``, ``k``) could be a factor, but for symbols."""
    found = re.findall(r"[A-Za-z]+", _HALF_OF_DAY.sub(r"\1m", words))
    return bool(found) and not reckons(words) and not _DIGIT_IN_WORDS.search(words) and _are_words(found)


def _are_words(found: list[str]) -> bool:
    """Whether no letter stands alone but the symbol of a unit, and the ``a`` of ``dollars a day``."""
    inner = range(1, len(found) - 1)
    return all(
        len(word) > 1 or word in _SYMBOLS or (word == "a" and at in inner) for at, word in enumerate(found)
    )


def _is_unit(words: str) -> bool:
    found = re.findall(r"[A-Za-z]+", _HALF_OF_DAY.sub(r"\1m", words))
    rate = len(found) == 2 and "/" in words and all(word in _SYMBOLS or word in _UNITS for word in found)
    return (rate or all(len(word) > 1 for word in found)) and not reckons(words) and len(found) <= 5


def reckons(words: str) -> bool:
    """Whether words change a number or doubt it (``5 million``, ``12 squared``, ``5 at least``): no unit of it."""
    found = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z]\s)May\b", "", words).lower())
    singular = {word[: -len(end)] for word in found for end in ("s", "es") if word.endswith(end)}
    last = {found[-1]} if found else set()
    doubts = re.search(r"[?!*=<>]", words) is not None
    doubts = doubts or "mil" in found  # a million, and no mile
    return doubts or not _NOT_UNITS.isdisjoint(singular.union(found)) or not _NOT_LAST.isdisjoint(last)


def unit_name(words: str, power: str | None = None) -> str:
    """One name for the spellings of a unit: singular, written out, the power in words."""
    names = []
    for word in re.findall(r"[A-Za-z$€%]+", _HALF_OF_DAY.sub(r"\1m", words.lower()).replace("/", " per ")):
        singular = word[:-1] if len(word) > 2 and word.endswith("s") and not word.endswith("ss") else word
        names.append(_UNITS.get(singular, _UNITS.get(word, singular)))
    prefix = {"2": "square ", "3": "cubic "}.get(power or "", "")
    return (prefix + " ".join(name for name in names if name not in ("unit", "of"))).strip()


#: how many of the smallest unit of its measure each unit is
_SIZES = {
    "time": {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800},
    "length": {"millimeter": 1, "centimeter": 10, "meter": 1000, "kilometer": 1000000},
    "length in feet": {"inch": 1, "foot": 12, "yard": 36, "mile": 63360},
    "mass": {"gram": 1, "kilogram": 1000},
    "volume": {"milliliter": 1, "liter": 1000},
}
_MEASURES = {unit: (measure, size) for measure, sizes in _SIZES.items() for unit, size in sizes.items()}

_MONEY = {"cent": ("money", 1), "$": ("money", 100)}


def is_measure(unit: str) -> bool:
    """Whether a unit is one of time, length, area, volume or mass, by its one name."""
    return unit.removeprefix("square ").removeprefix("cubic ") in _MEASURES


_QUANTITY = r"(-?\d[\d,]{0,15}(?:\.\d{1,9})?)\s?([A-Za-z]{1,12})(?:(?<=dozen)\s[a-z]{2,12})?"
TWO_QUANTITIES = re.compile(rf"{_QUANTITY}(?:,?\sor\s{_QUANTITY}|\s\({_QUANTITY}\))")
#: ``1 hour and 30 minutes``
_ONE_OF_TWO_UNITS = re.compile(rf"{_QUANTITY},?\s(?:and\s)?{_QUANTITY}")


def in_one_unit(answer: str, reference: str) -> str:
    """The ``5 hours`` or the ``300 minutes`` of ``300 minutes, or 5 hours``, whichever the reference has.

    Likewise the 90 minutes or the 1.5 hours of ``1 hour 30 minutes``. As written where the two are not the same
    quantity, and where the reference has neither.
    """
    text = " ".join(TEXT.sub(r" \1 ", answer).split())
    if sum_of_units := _ONE_OF_TWO_UNITS.fullmatch(text):
        return _sum_in_one_unit(sum_of_units, reference) or answer
    said = TWO_QUANTITIES.fullmatch(text)
    if said is None:
        return answer
    first, second = said[1], said[3] or said[5]
    units = unit_name(said[2]), unit_name(said[4] or said[6])
    values = simple_number(first), simple_number(second)
    counted = "dozen" in units  # of whatever it is
    measures = tuple(
        ("count", 12 if unit == "dozen" else 1) if counted else _MEASURES.get(unit) or _MONEY.get(unit)
        for unit in units
    )
    if None in values or None in measures or not _same_quantity(values, measures):
        return answer
    wanted, unit = split_unit(reference)
    number = simple_number(wanted)
    for value, own, written in zip(values, units, (first, second), strict=True):
        if value == number and unit in ("", own):
            return f"{written} {own}".replace("$", "dollars")
    return answer


def _sum_in_one_unit(said: re.Match[str], reference: str) -> str:
    """A quantity that is written in two units in the one in which the reference has its number; empty if in neither."""
    units = unit_name(said[2]), unit_name(said[4])
    larger, smaller = (_MEASURES.get(unit) for unit in units)
    values = simple_number(said[1]), simple_number(said[3])
    if larger is None or smaller is None or larger[0] != smaller[0] or None in values:
        return ""
    first, second = (value or Fraction(0) for value in values)
    if not (first >= 0 and first.denominator == 1 and 0 <= second * smaller[1] < larger[1]):
        return ""
    wanted, unit = split_unit(reference)
    number, total = simple_number(wanted), first * larger[1] + second * smaller[1]
    sizes = zip(units, (larger[1], smaller[1]), strict=True)
    return next(
        (f"{wanted} {own}" for own, size in sizes if number == total / size and unit in ("", own)), ""
    )


def _same_quantity(values: tuple[Fraction | None, ...], measures: tuple[tuple[str, int] | None, ...]) -> bool:
    """Whether two values in two units of one measure are the same."""
    (first, second), (one, other) = values, measures
    assert first is not None and second is not None and one is not None and other is not None
    return one[0] == other[0] and first * one[1] == second * other[1]
