r"""Units: what stands behind or before a value and names what is counted (``5\text{ cm}``, ``$5``, ``90^\circ``).

Whatever could change the value, or name another one (``5 million``, ``5 or six``), is no unit.
"""

from __future__ import annotations

import re

from tad_core.verify.math_text import TEXT, unwrap

_DEGREES = re.compile(r"\^\{?\\circ\}?|\\degree(?![A-Za-z])|°|\\textdegree")
TRIGONOMETRIC = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
#: what a value cannot end with: something is still to come, and so what follows is no unit of it
_UNFINISHED = re.compile(
    r"(?:(?<![A-Za-z])(?:or|and|nor|not|to)|\\(?:lor|land|vee|wedge|cdot|times|pm|mp|to)|[,;:/|&+\-=<>*^_(\[])[\s~]*$"
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
        return sign + text[currency.end() :], symbol
    percent = re.search(
        r"\s*(?:\\?%|(?<![a-z])percent|per\s?cent|\\text\s*\{\s*(?:\\?%|percent)\s*\})$", text
    )
    if percent and percent.start() > 0:
        return text[: percent.start()], "%"
    degrees = _DEGREES.search(text)
    if degrees and degrees.end() == len(text) and degrees.start() > 0 and not TRIGONOMETRIC.search(text):
        return text[: degrees.start()], "degree"
    trailing = re.search(
        r"(?:\\[,;: ]|~|\s)*\\(?:text|mbox|mathrm|textrm|hbox|rm)\s*\{([^{}]*)\}(?:\^\{?([23])\}?)?$", text
    )
    if trailing and _is_value(text[: trailing.start()]) and _names_a_unit(trailing[1]):
        return text[: trailing.start()], unit_name(trailing[1], trailing[2])
    words = re.match(r"^([^A-Za-z]*\d[\d.,/]*)(\s*)([A-Za-z][A-Za-z. /]*?)(?:\s*\^\{?([23])\}?)?$", text)
    if words and (words[2] or words[3].lower() in _UNITS) and _is_unit(words[3]):
        return words[1], unit_name(words[3], words[4])
    return text, ""


_UNITS = {
    "cm": "centimeter", "centimetre": "centimeter", "mm": "millimeter", "km": "kilometer",
    "metre": "meter", "kilometre": "kilometer", "millimetre": "millimeter", "ft": "foot", "feet": "foot",
    "in": "inch", "inche": "inch", "yd": "yard", "mi": "mile", "kg": "kilogram", "lb": "pound",
    "oz": "ounce", "ml": "milliliter", "litre": "liter", "hr": "hour", "min": "minute", "sec": "second",
    "mph": "mile per hour", "deg": "degree", "dollar": "$", "usd": "$", "euro": "€", "buck": "$",
    "sq": "square", "penny": "cent", "pennie": "cent", "people": "person", "men": "man", "women": "woman",
    "children": "child",
}  # fmt: skip
#: words behind a number that are mathematics or prose, not a unit
_NOT_UNITS = frozenset({
    "pi", "sqrt", "sin", "cos", "tan", "log", "ln", "exp", "mod", "and", "or", "to", "hundred", "thousand",
    "million", "billion", "trillion", "dozen", "half", "squared", "cubed", "factorial", "plus", "minus",
    "times", "over", "divided", "by", "less", "more", "than", "not", "is", "nor", "either", "neither", "both",
    "maybe", "perhaps", "possibly", "probably", "zero", "one", "two", "three", "four", "five", "six", "seven",
    "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
    "eighteen", "nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
})  # fmt: skip


def _is_value(text: str) -> bool:
    """Whether a unit may follow: ``5``, but neither ``5 or`` nor a word (``\\text{B}``)."""
    plain = TEXT.sub(lambda match: f" {match[1]} ", text)
    without_words = TEXT.sub("", text)
    return bool(re.search(r"[\w}]", without_words)) and _UNFINISHED.search(plain) is None


def _names_a_unit(words: str) -> bool:
    return bool(re.search(r"[A-Za-z]", words)) and not _reckons(words) and not _DIGIT_IN_WORDS.search(words)


def _is_unit(words: str) -> bool:
    found = re.findall(r"[A-Za-z]+", words)
    return all(len(word) > 1 for word in found) and not _reckons(words) and len(found) <= 5


def _reckons(words: str) -> bool:
    """Whether words change a number (``5 million``, ``12 squared``) rather than name its unit."""
    return not _NOT_UNITS.isdisjoint(re.findall(r"[a-z]+", words.lower()))


def unit_name(words: str, power: str | None = None) -> str:
    """One name for the spellings of a unit: singular, written out, the power in words."""
    names = []
    for word in re.findall(r"[A-Za-z$€%]+", words.lower()):
        singular = word[:-1] if len(word) > 2 and word.endswith("s") and not word.endswith("ss") else word
        names.append(_UNITS.get(singular, _UNITS.get(word, singular)))
    prefix = {"2": "square ", "3": "cubic "}.get(power or "", "")
    return (prefix + " ".join(name for name in names if name not in ("unit", "of"))).strip()
