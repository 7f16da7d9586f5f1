r"""Spellings outside plain LaTeX, brought to it: ``½``, ``x²``, ``sqrt(2)``, ``\color{red}{5}``, ``\text{5 apples}``.

What is written here means one thing however it is written; nothing is read as mathematics yet.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from tad_core.verify.math_brackets import split_top
from tad_core.verify.math_counting import counted_out
from tad_core.verify.math_number import simple_number
from tad_core.verify.math_text import closing_brace
from tad_core.verify.math_words import spoken

_SIGNS = {
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "÷": "/", "⁄": "/", "∕": "/",
    "≈": r"\approx ", "∈": r"\in ", "±": r"\pm ", "∓": r"\mp ", "∞": r"\infty ", "∪": r"\cup ", "∩": r"\cap ",
    "√": r"\sqrt", "∠": r"\angle ", "′": "'", "ℝ": r"\mathbb{R}", "∅": r"\emptyset ", "°": r"^\circ ", "º": r"^\circ ",
    "≡": r"\equiv ", "⟨": r"\langle ", "⟩": r"\rangle ", "∨": r"\lor ", "…": r"\ldots ",
    "∛": r"\sqrt[3]", "∜": r"\sqrt[4]",
}  # fmt: skip
_LETTERS = "alpha beta gamma delta epsilon theta lambda mu pi rho sigma phi omega"
_GREEK = dict(zip("αβγδεθλμπρσφω", (f"\\{name} " for name in _LETTERS.split()), strict=True))
_REPLACED = str.maketrans(_SIGNS | _GREEK)
_RAISED = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_LOWERED = re.compile(r"[₀₁₂₃₄₅₆₇₈₉]+")
_VULGAR = re.compile(r"[¼-¾⅐-⅞]")

#: commands that say how a text looks, with one argument that stays
_LOOKS = re.compile(
    r"\\(?:underline|textcolor\{\w+\}|color\{\w+\}(?=\{)|textsf|texttt|emph|mathsf|mathit) ?(?=\{)"
)
_TEXT_LOOKS = re.compile(r"\\text(?:normal|up|sc|sl|md)(?![A-Za-z])")
_SIZES = re.compile(
    r"\\(?:tiny|small|normalsize|large|Large|LARGE|huge|Huge|bf|color\{\w+\}|limits|nolimits)(?![A-Za-z]) ?"
)
_SYMBOL_IN_TEXT = re.compile(r"\\(?:text|mathrm|textrm)\s*\{\s*(\\\$|\$|€|£|\\%|%|:|-)\s*\}")
_DEGREE_LETTER = re.compile(r"(?<=[\d.)])\s*\^(?:\{?\\(?:text|mathrm|textrm)\{o\}\}?|\{?o\}?(?![a-z]))")
_ROWS = re.compile(r"^\\begin\{(cases|aligned|align\*?|gathered|split)\}(.*)\\end\{\1\}$", re.DOTALL)
_QUOTES = re.compile(r"^(\\text\s*\{)?\s*(?:\"|``|“|'(?=[A-Za-z ]+'\}?$))(.*?)(?:\"|''|”|')\s*(\})?$")
_MINUS_IN_WORDS = re.compile(r"^(?:negative|minus)\s(?=\\?\$?\d)", re.IGNORECASE)
#: ``3 and a half hours``
_AND_A_HALF = re.compile(
    r"^(\d{1,9}) and (?:an? |one )?(half|third|quarter|three quarters)(?![a-z])", re.IGNORECASE
)
_SHARES = {"half": "1/2", "third": "1/3", "quarter": "1/4", "three quarters": "3/4"}
_SUM_OF_MONEY = re.compile(r"^\\?\$?(\d[\d,]*) dollars?,? (?:and )?(\d\d?) cents?$", re.IGNORECASE)
_TRAILING = re.compile(r"(?:\s*\\[\\,;:!]?| )+$")

#: functions and constants without their backslash
_BARE_FUNCTION = re.compile(
    r"(?<![A-Za-z\\])(?:(sqrt|sin|cos|tan|sec|csc|cot|ln|log|arcsin|arccos|arctan)(?=\s?[({^_]|(?<=sqrt)\s\d)"
    r"|(sin|cos|tan|ln|log)(?=\s[a-z]\b|\s?\d|\s?\\(?:theta|alpha|beta|pi)(?![a-z])))"
)
_BARE_PI = re.compile(r"(?<![A-Za-z\\])pi(?![A-Za-z])")
_BARE_INFINITY = re.compile(r"(?<![A-Za-z\\])inf(?![A-Za-z])")
_UNITED = re.compile(r"(?<=[)\]])\s?U\s?(?=[(\[])")
_LG = re.compile(r"\\lg(?![A-Za-z])")
_PROGRAM_POWER = re.compile(r"(?<=[\w)}])(?:\*\*| \*\* )(?=[\w({-])")
_ROOT = re.compile(r"\\sqrt\s?\(")
_MINUS_RAISED = re.compile(r"\^(-\d+)(?![\d.])")
_TEN_TIMES = re.compile(r"(?<=\d)\s?[xX]\s?(?=10\^)")
_ANGLED = re.compile(r"^<([^<>=]+,[^<>=]+)>$")
_COMPARED = re.compile(r"(?:[<>]|(?<=[\w)}\]]\s)!)=")
_COMPARISONS = {"<=": r"\le ", ">=": r"\ge ", "!=": r"\ne "}
_SCALES = {
    "dozen": 12,
    "dozens": 12,
    "hundred": 10**2,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_SCALES_OF_MONEY = {"k": 10**3, "m": 10**6, "b": 10**9, "bn": 10**9}
#: ``5 million people``, ``$1.5\text{ million}``, ``$5k``
_SCALED = re.compile(
    r"(?P<sign>-?)(?P<money>\\?[$€£])?\s?(?P<number>\d[\d,]*(?:\.\d+)?)\s?"
    r"(?:(?P<text>\\text\s?\{\s*)?(?P<scale>dozens?(?: of)?|hundred|thousand|[mbtr]{1,2}illion)(?![A-Za-z])"
    r"|(?P<letter>k|m|bn?)(?=[\s/]|$))"
    r"(?P<rest>\}?\s*(?:\\text\s?\{)?[^\d{}\\]*\}?)",
    re.IGNORECASE,
)

#: what is said of every unknown: ``x > 3, x \\in \\mathbb{R}``
_ANY_REAL = re.compile(
    r",?\s?(?:\\text\s?\{[ ,]*(?:where|for|and|with)?\s*\}\s?)?[a-z]\s?\\in\s?\\mathbb\s?\{?R\}?$"
)
_NOT_EQUAL = re.compile(r"\\not\s?=")

_EXACTLY = re.compile(
    r"^(?:\\text\s?\{\s*)?(?:exactly|precisely|only|just)\s*\}?\s*(?=-?\$?\\?\$?\d|-?\\[dt]?(?:frac|sqrt)(?![A-Za-z]))",
    re.IGNORECASE,
)
_EXACTLY_BEHIND = re.compile(
    r"^([^A-Za-z]*\d(?: [A-Za-z]{3,})?)\s*(?:\\text\s?\{\s*)?(?<!not )\b(?:only|exactly|precisely)\s*\}?$",
    re.IGNORECASE,
)
#: ``18, not 19``
_NOT_ANOTHER = re.compile(
    r"^(-?\\?\$?\d[\d.]*(?: [a-z]{2,})?),? (?:and |\\text\s?\{\s*)?not (-?\\?\$?\d[\d.]*)(?: [a-z]{2,})?\s*\}?$"
)

#: ``18 (eighteen)``, ``eighteen (18)``
_IN_WORDS_TOO = re.compile(
    r"^(\d{1,3})\s*(?:\\text\s?\{\s*)?\(([a-z -]+)\)\s*\}?$"
    r"|^(?:\\text\s?\{\s*)?([a-z -]+?)\s*\}?\s*\((\d{1,3})\)\s*\}?$",
    re.IGNORECASE,
)
#: ``624\\ pages``: a space before or behind a word
_SPACE_AT_WORD = re.compile(r"\\ (?=[A-Za-z]{3}|(?:[ckm]m|kg|ft|in|mi|ml|lb|oz)\b)|(?<=[A-Za-z]{3})\\ (?=\d)")
_DATE = re.compile(
    r"\b((?:January|February|March|April|May|June|July|August|September|October|November|December) \d{1,2})"
    r"(?:st|nd|rd|th)\b"
)
#: the beginning of a set whose braces were not escaped, as they are where they bracket no argument, and what it holds
_BARE_BRACE = re.compile(
    r"(?:^|(?<=[=({,])|(?P<but>\\(?:setminus|backslash)|\\mathbb\s?\{?R\}? ?-)|\\(?:in|cup|cap|left))\s*(?=\{)"
)
_CONDITION = re.compile(r"\s*[a-zA-Z]\s*(?:\\in\s?\\mathbb\s?\{?R\}?\s*)?(?:\||:|\\mid|\\colon)")
_ONE_NUMBER = re.compile(r"\s*\d{1,3}(?:,(?:\\!|\s)*\d{3})+(?:\.\d+)?\s*")

#: what announces an answer: ``\text{The answer is }``, ``Answer:``
_ANNOUNCED = re.compile(
    r"^(?:\\text(?:bf)?\s*\{)?\s*(?:(?:so|thus|hence|therefore),?\s)?(?:the\s)?(?:final\s|correct\s)?answer\s?(?:is|:|=)+\s*(\})?\s*(?=\S)",
    re.IGNORECASE,
)
_LABELLED = re.compile(
    r"^\\text(?:bf)?\s*\{(?![A-F]:)([A-Za-z][^{}\d]*(?::|=|\b(?:is|are)))\s*\}\s*(?=[\S])", re.IGNORECASE
)
#: ``Total: $12``
_LABELLED_PLAINLY = re.compile(r"^[A-Z][A-Za-z]{2,20}(?: [A-Za-z]{1,20}){0,4}:\s?(?=[-$\\\d(])")
_ALL_TEXT = re.compile(r"^\\text(?:bf|rm|it)?\s*\{\s*((?:\\?[$€£]\s?|[-+])*\d[^{}]*)\}$")
_REALS = re.compile(
    r"^(?:\\text\s*\{)?\s*(?:x is )?(?:all|any|the set of(?: all)?) real(?:s| numbers?)(?: x)?\s*\}?$",
    re.IGNORECASE,
)


_SIGNED_REALS = re.compile(
    r"^(?:\\text\s*\{)?\s*(?:x is )?(?:all|any|the set of(?: all)?) (?P<sign>(?:non-?)?(?:positive|negative))"
    r" real(?:s| numbers?)(?: x)?\s*\}?$|^\\mathbb\s?\{?R\}?(?P<part>\^\{?[+-]\}?|_\{?[<>] ?0\}?)$",
    re.IGNORECASE,
)
_HALF_LINES = {
    "positive": r"(0,\infty)", "+": r"(0,\infty)", ">": r"(0,\infty)", "negative": r"(-\infty,0)", "-": r"(-\infty,0)",
    "<": r"(-\infty,0)", "nonnegative": r"[0,\infty)", "nonpositive": r"(-\infty,0]",
}  # fmt: skip
#: the commas and words of a row of ``cases``
_IN_CASES = re.compile(r"\s*,?\s*&\s*(?:\\text\s*\{\s*(?:if|for|when)\s*:?\s*\})?\s*")


@lru_cache(maxsize=8192)  # a reference is compared with many predictions
def spelled(text: str) -> str:
    """An answer in plain LaTeX: its meaning is kept, and so is what cannot be read."""
    text = _without_unicode(" ".join(text.split()))
    text = _SIZES.sub("", _LOOKS.sub("", _TEXT_LOOKS.sub(r"\\text", text))).strip()
    text = _SYMBOL_IN_TEXT.sub(r"\1", _SPACE_AT_WORD.sub(" ", _without_dollars_in_text(text)))
    text = _DATE.sub(r"\1", _with_braces_of_sets(text))
    text = _DEGREE_LETTER.sub(r"^\\circ", text).replace("¢", r"\text{ cents}")
    if (rows := _ROWS.match(text)) and not (rows[1] == "cases" and re.search(r"&|\\text", rows[2])):
        text = ", ".join(row.replace("&", "").strip() for row in rows[2].split(r"\\") if row.strip(" &"))
    elif rows:
        text = _IN_CASES.sub(" & ", text)
    if quoted := _QUOTES.match(text):
        text = f"{quoted[1] or ''}{quoted[2]}{quoted[3] or ''}"
    text = _SUM_OF_MONEY.sub(_with_cents, _AND_A_HALF.sub(_with_share, text))
    text = _written_out(_without_announcement(_TRAILING.sub("", _MINUS_IN_WORDS.sub("-", text))))
    if words := _ALL_TEXT.match(text):
        text = words[1].strip()
    text = _EXACTLY_BEHIND.sub(r"\1", _EXACTLY.sub("", _without_another(_without_words(text))))
    if _REALS.match(text):
        return r"\mathbb{R}"
    if signed := _SIGNED_REALS.match(text):
        return _HALF_LINES[
            (signed["sign"] or signed["part"].strip("^_{} 0")).lower().replace("-n", "n").replace("-p", "p")
        ]
    text = _ANGLED.sub(r"\\langle \1\\rangle ", _ANY_REAL.sub("", text) or text)
    text = counted_out(_NOT_EQUAL.sub(r"\\ne ", text))
    return _without_programming(_LG.sub(r"\\log", text))


def _with_cents(money: re.Match[str]) -> str:
    """``$12.50`` of ``12 dollars and 50 cents``."""
    return f"${money[1]}.{money[2]:0>2}"


def _with_share(number: re.Match[str]) -> str:
    """``3 1/2`` of ``3 and a half``."""
    return f"{number[1]} {_SHARES[number[2].lower()]}"


def _written_out(text: str) -> str:
    """``5 million people`` as 5000000 people, and ``$5k`` as $5000: money has no unknowns."""
    found = _SCALED.fullmatch(text)
    if found is None or (found["letter"] and not found["money"]):
        return text
    scale = _SCALES.get((found["scale"] or "").lower().removesuffix(" of")) or _SCALES_OF_MONEY.get(
        (found["letter"] or "").lower()
    )
    number = simple_number(found["number"])
    if scale is None or number is None or (number * scale).denominator != 1:
        return text
    opened = found["text"] if found["text"] and not found["rest"].startswith("}") else ""
    rest = found["rest"].removeprefix("}") if not opened else found["rest"]
    return f"{found['sign']}{found['money'] or ''}{int(number * scale)}{opened}{rest if rest.strip() else ''}".strip()


def _with_braces_of_sets(text: str) -> str:
    r"""``{x | x > 3}``, ``\left{1,2\right}`` and ``\mathbb{R} \setminus {1}`` with braces that are written.

    Braces around all of a text stay where they hold no set: ``{5}``, ``{1,234}``.
    """
    if "\\begin" not in text:
        text = text.replace("\\\\{", "\\{").replace("\\\\}", "\\}")
    at = 0
    while opening := _BARE_BRACE.search(text, at):
        at = opening.end()
        end = at + closing_brace(text[at:])
        held = text[at + 1 : end]
        members = split_top(held.replace("\\{", "\\lbrace ").replace("\\}", "\\rbrace "), ",")
        several = len(members) > 1 and not _ONE_NUMBER.fullmatch(held)
        is_set = several or _CONDITION.match(held)
        if end > at and (is_set or opening["but"] or (not held.strip() and end + 1 - at == len(text))):
            escaped = end - 1 if held.endswith("\\") else end
            text = f"{text[:at]}\\{{{text[at + 1 : escaped]}\\}}{text[end + 1 :]}"
        at += 1
    return text


def _without_dollars_in_text(text: str) -> str:
    r"""``\text{$x=1$ or $x=2$}`` as the formulas and the words between them."""
    inner = text[text.find("{") + 1 : -1]
    whole = text.startswith("\\text") and closing_brace(text[text.find("{") :]) == len(inner) + 1
    parts = re.split(r"(?<!\\)\$", inner)
    if not whole or len(parts) < 3 or len(parts) % 2 == 0:
        return text
    spoken_of = [rf"\text{{{part}}}" if part.strip() else part for part in parts[::2]]
    return "".join(a + b for a, b in zip(spoken_of, [*parts[1::2], ""], strict=True))


def _without_words(text: str) -> str:
    """The 18 of ``18 (eighteen)``."""
    found = _IN_WORDS_TOO.match(text)
    if found is None:
        return text
    number, words = found[1] or found[4], found[2] or found[3]
    same = re.sub(r"[ -]+(?:and )?", " ", words.strip().lower()) == spoken(int(number))
    return number if same else text


def _without_another(text: str) -> str:
    """The 18 of ``18, not 19``; as written where both are the same number."""
    found = _NOT_ANOTHER.match(text)
    if found is None:
        return text
    said = re.sub(r" [a-z]+$", "", found[1])
    numbers = simple_number(said), simple_number(found[2])
    return found[1] if None not in numbers and numbers[0] != numbers[1] else text


def _without_unicode(text: str) -> str:
    if text.isascii():
        return text
    text = _VULGAR.sub(_fraction, text)
    text = _RAISED.sub(
        lambda match: f"^{{{unicodedata.normalize('NFKC', match.group())}}}".replace("−", "-"), text
    )
    text = _LOWERED.sub(lambda match: f"_{{{unicodedata.normalize('NFKC', match.group())}}}", text)
    return text.translate(_REPLACED)


def _fraction(match: re.Match[str]) -> str:
    above, _, below = unicodedata.normalize("NFKC", match.group()).partition("⁄")
    return rf"\frac{{{above}}}{{{below}}}"


def _without_announcement(text: str) -> str:
    """``12`` of ``\\text{The answer is } 12``, ``\\text{The answer is 12}`` and ``\\text{Answer: }12``."""
    if announced := _ANNOUNCED.match(text):
        rest = text[announced.end() :]
        inside = announced.group().lstrip().startswith("\\text") and not announced[1]
        return rf"\text{{{rest}" if inside else rest
    labelled = _LABELLED.match(text) or _LABELLED_PLAINLY.match(text)
    return text[labelled.end() :] if labelled else text


def _without_programming(text: str) -> str:
    """``sqrt(2)``, ``sin(x)``, ``2pi`` and ``x**2`` as LaTeX has them."""
    text = _MINUS_RAISED.sub(r"^{\1}", text)
    text = _TEN_TIMES.sub(r"\\times ", text)
    text = _PROGRAM_POWER.sub("^", _COMPARED.sub(lambda match: _COMPARISONS[match.group()], text))
    text = _UNITED.sub(r"\\cup ", _BARE_INFINITY.sub(r"\\infty ", text))
    text = _BARE_PI.sub(r"\\pi ", text)
    text = _BARE_FUNCTION.sub(lambda match: f"\\{match[1] or match[2]} ", text)
    while opened := _ROOT.search(text):
        end = _closing(text, opened.end() - 1)
        if end < 0:
            break
        text = rf"{text[: opened.start()]}\sqrt{{{text[opened.end() : end]}}}{text[end + 1 :]}"
    return text


def _closing(text: str, start: int) -> int:
    """Where the bracket that opens at ``start`` closes; -1 if it does not."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return -1
