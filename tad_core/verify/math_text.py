r"""Bring the many spellings of one answer to a single text, and read plain numbers exactly.

Nothing here knows algebra: these are rewrites of the surface (``\dfrac12`` to ``\frac{1}{2}``,
``1,234`` to ``1234``) that hold for any answer, all linear in its length.
"""

from __future__ import annotations

import re
from fractions import Fraction

#: An answer longer than this is not an answer.
MAX_ANSWER = 1_000
#: Brackets nested deeper than this are no answer either.
_MAX_NESTING = 40
#: Digits and decimal exponents beyond these are left to algebra, which runs under limits.
_MAX_DIGITS = 400
_MAX_EXPONENT = 1_000

_WRAPPERS = ("boxed", "fbox", "displaystyle", "mathbf", "bm", "boldsymbol", "ensuremath")
_SPACES = re.compile(r"\\[,;:! ]|\\q?quad(?![A-Za-z])|~|\\(?:left|right|[bB]igg?[lr]?)(?![A-Za-z])\.?|\s+")
_COMMAND_THEN_LETTER = re.compile(r"(\\[A-Za-z]+)\s+(?=[A-Za-z])")
_DEGREES = re.compile(r"\^\{?\\circ\}?|\\degree(?![A-Za-z])|°|\\textdegree")
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mbox|mathrm|operatorname|hbox|rm)\s*\{([^{}]*)\}")
_PLAIN = re.compile(
    r"\s*\\?\$?\s*([+-]?)\s*\\?\$?\s*(\d{1,3}(?:,\d{3})+|\d{1,300})(\.\d{1,99})?\s*\.?\s*\$?\s*"
)
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:\{,\}|\\,|(?:\\!)*,(?:\\!)*)\d{3})+(?![\d,]|\{,\})")
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d|\\pi|\{[^{}]*\})\s*(\d|[a-z]|\\pi|\{[^{}]*\})")
_SHORT_ROOT = re.compile(r"\\sqrt\s*(\d|[a-zA-Z](?![a-zA-Z]))")
_WORD_SEPARATOR = re.compile(r"\s*,?\s*(?:\\text\s*\{\s*,?\s*(?:and|or)\s*\}|(?<![\w\\])(?:and|or)(?!\w))\s*")
#: ``x =``, ``f(x) =``, ``x \in`` before the value itself
_NAMED = re.compile(r"^(?:[a-zA-Z]|\\[a-z]+)(?:_\{?\w+\}?)?'?(?:\([a-z]\))?(?:=|\\in(?![a-z]))")

_REPEATING = re.compile(r"([+-]?)(\d*)\.(\d*)\\(?:overline|bar)\{(\d+)\}")
_INTEGER = re.compile(r"[+-]?\d+")
_DECIMAL = re.compile(r"([+-]?)(\d*)\.(\d+)|([+-]?)(\d+)\.")
_LATEX_FRACTION = re.compile(r"([+-]?)(\d*)\\frac\{([+-]?[\d.]+)\}\{([+-]?[\d.]+)\}")
_SLASH_FRACTION = re.compile(r"([+-]?\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)")
_MIXED_WITH_SPACE = re.compile(r"^\s*([+-]?)(\d+)\s+(\d+)\s*/\s*(\d+)\s*$")
_SCIENTIFIC = re.compile(r"([+-]?\d+(?:\.\d+)?)(?:\\times|\\cdot|\*)10\^(?:\{([+-]?\d+)\}|(\d))")
_E_NOTATION = re.compile(r"([+-]?\d+(?:\.\d+)?)[eE]([+-]?\d+)")


def unwrap(text: str) -> str:
    r"""Strip math delimiters, ``\boxed{…}`` and the like from around the whole of ``text``."""
    for _ in range(16):  # nesting deeper than any real answer
        before = text
        text = text.strip().rstrip("。,").strip()
        if text.endswith(".") and not text.endswith(("\\right.", "..")):
            text = text[:-1].rstrip()
        for opening, closing in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**")):
            inner = text[len(opening) : len(text) - len(closing)]
            if (
                len(text) > len(opening) + len(closing)
                and text.startswith(opening)
                and text.endswith(closing)
                and opening not in inner
            ):
                text = inner
        for name in _WRAPPERS:
            if text.startswith("\\" + name):
                rest = text[len(name) + 1 :].lstrip()
                if rest.startswith("{") and closing_brace(rest) == len(rest) - 1:
                    text = rest[1:-1]
                elif name == "displaystyle" and not rest.startswith("{"):
                    text = rest
        while text.startswith("{") and closing_brace(text) == len(text) - 1:
            text = text[1:-1].strip()
        if text == before:
            return text
    return text


def readable(text: str) -> bool:
    """Whether a text can be an answer at all: not blank, not endless, not nested without end."""
    if not text.strip() or len(text) > MAX_ANSWER:
        return False
    depth = deepest = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}" and depth > 0)
        deepest = max(deepest, depth)
    return deepest <= _MAX_NESTING


def closing_brace(text: str) -> int:
    """Where the brace that opens at 0 closes; -1 if it does not."""
    depth, i = 0, 0
    while i < len(text):
        if text[i] == "\\":
            i += 2
            continue
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i
        i += 1
    return -1


def clean(text: str) -> str:
    """One spelling for what the surface lets vary; keeps the meaning, drops spaces."""
    text = re.sub(r"^\\approx\s*", "", unwrap(text))
    text = _MIXED_WITH_SPACE.sub(r"\1\2\\frac{\3}{\4}", text)
    text = text.replace("−", "-").replace("–", "-").replace("×", r"\times").replace("π", r"\pi")
    text = text.replace("∞", r"\infty").replace("∪", r"\cup").replace("√", r"\sqrt")
    text = text.replace(r"\cfrac", r"\frac").replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")
    text = text.replace(r"\{", r"\lbrace ").replace(r"\}", r"\rbrace ")
    text = text.replace(r"\lvert", "|").replace(r"\rvert", "|").replace(r"\vert", "|")
    text = _WORD_SEPARATOR.sub(",", text)
    text = _THOUSANDS.sub(_without_commas, text)
    text = _TEXT.sub(lambda match: match[1], text)
    text = _COMMAND_THEN_LETTER.sub("\\1\x00", text)  # the one space that means something
    text = _SPACES.sub("", text).replace("\x00", " ")
    text = re.sub(r"\\(lbrace|rbrace) ?", r"\\\1 ", text).strip()
    text = re.sub(r"\{\}|\{,\}", lambda match: "," if "," in match.group() else "", text)
    text = re.sub(r"([_^])\{(\w)\}", r"\1\2", text)
    text = re.sub(r"(?<![\w\\}\]^_|])\{(\w)\}", r"\1", text)
    text = _SHORT_ROOT.sub(r"\\sqrt{\1}", text)
    text = _SHORT_FRACTION.sub(lambda m: rf"\frac{_braced(m[1])}{_braced(m[2])}", text)
    text = text.replace(r"\infin", r"\inf").replace(r"\inf", r"\infty").replace(r"\inftyty", r"\infty")
    text = text.replace(r"+\infty", r"\infty")
    text = text.replace(r"\leq", r"\le").replace(r"\geq", r"\ge").replace("≤", r"\le").replace("≥", r"\ge")
    text = without_name(text)[1]
    return text[:-1] if text.endswith((".", ",")) and len(text) > 1 else text


def without_name(text: str) -> tuple[str, str]:
    """``("x=", "5")`` of ``x=5``; no name where the rest is an equation or uses it."""
    named = _NAMED.match(text)
    if named and not _mentions(text[named.end() :], text[: named.end()]):
        return named.group(), text[named.end() :]
    return "", text


def _without_commas(match: re.Match[str]) -> str:
    """``1,234`` as 1234; but ``(1,234)`` is a pair."""
    before, after = match.string[: match.start()], match.string[match.end() :]
    if before.rstrip().endswith(("(", "[", r"\lbrace")) or after.lstrip().startswith((")", "]", r"\rbrace")):
        return match.group()
    return re.sub(r"[^\d]", "", match.group())


def _braced(text: str) -> str:
    return text if text.startswith("{") else "{" + text + "}"


def _mentions(value: str, name: str) -> bool:
    """Whether the value side still holds the name, or another relation: then it is an equation."""
    name = re.split(r"=|\\in|\(|_|'", name)[0]
    return "=" in value or re.search(rf"(?<![a-zA-Z]){re.escape(name)}(?![a-zA-Z])", value) is not None


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
    if degrees and degrees.end() == len(text) and degrees.start() > 0:
        return text[: degrees.start()], "degree"
    trailing = re.search(
        r"(?:\\[,;: ]|~|\s)*\\(?:text|mbox|mathrm|textrm|hbox|rm)\s*\{([^{}]*)\}(?:\^\{?([23])\}?)?$", text
    )
    if (
        trailing
        and trailing.start() > 0
        and re.search(r"[A-Za-z]", trailing[1])
        and not _reckons(trailing[1])
    ):
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
    "times", "over", "divided", "by", "less", "more", "than", "not", "is",
})  # fmt: skip


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
