r"""Bring the many spellings of one answer to a single text.

Nothing here knows algebra: these are rewrites of the surface (``\dfrac12`` to ``\frac{1}{2}``,
``1,234`` to ``1234``) that hold for any answer, all linear in its length.
"""

from __future__ import annotations

import re

#: An answer longer than this is not an answer.
MAX_ANSWER = 1_000
#: Brackets nested deeper than this are no answer either.
_MAX_NESTING = 40
_WRAPPERS = ("boxed", "fbox", "displaystyle", "mathbf", "bm", "boldsymbol", "ensuremath")
#: ``\\sqrt{}3``, ``\\frac{1}{}2``: what stands behind it is no part of it
_NO_ARGUMENT = re.compile(
    r"\\(?:sqrt(?:\[\d\])?|[cdt]?frac|[dt]?binom)\s?\{\s*\}|\\(?:[cdt]?frac|[dt]?binom)\s?\{[^{}]{1,99}\}\s?\{\s*\}"
)
_SPACES = re.compile(r"\\[,;:! ]|\\q?quad(?![A-Za-z])|~|\\(?:left|right|[bB]igg?[lr]?)(?![A-Za-z])\.?|\s+")
_COMMAND_THEN_LETTER = re.compile(r"(\\[A-Za-z]+)\s+(?=[A-Za-z])")
TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mbox|mathrm|operatorname|hbox|rm)\s*\{([^{}]*)\}")
_THOUSANDS = re.compile(
    r"(?<![\d.,])[1-9]\d{0,2}(?:(?:\{,\}|\\,|(?:\\!\s*)*,(?:\s*\\!)+\s*|(?:\\!\s*)*,)\d{3})+(?![\d,]|\{,\})"
)
#: numbers with nothing but space between them: one number if the space parts thousands, else several
_SPACED_NUMBERS = re.compile(r"\s*\d[\d.]*(?:(?:\\[,;: ]|\\q?quad|~|\s)+\d[\d.]*)+\s*")
_SPACED_THOUSANDS = re.compile(r"\s*[1-9]\d{0,2}(?:(?:\\[,;: ]|~|\s)+\d{3})+(?:\.\d+)?\s*")
_COLON = re.compile(r"\{:\}|\\colon(?![A-Za-z])|\\ratio(?![A-Za-z])")
_RATIO = re.compile(r"(?<=\d)\s*(?:\\text\s*\{\s*to\s*\}|(?<=\s)to(?=\s))\s*(?=\d)")
_SEMICOLON = re.compile(r"(?<!\\);")
_CHOOSE = re.compile(r"(?:\{|^)([^{}]+)\\choose(?![A-Za-z])([^{}]+)(?:\}|$)")
#: ``{3 \\over 4}``, ``n^2+n \\over 2``
_OVER = re.compile(r"(?:\{|^)([^{}]+)\\over(?![A-Za-z])([^{}]+)(?:\}|$)")
_NO_EXPONENT = re.compile(r"(?<=[\w)}])\^\{\s*\}")
_SHORT_ACCENT = re.compile(
    r"\\(vec|hat|bar|overline|tilde|mathbb|mathcal|mathbf|mathrm)\s+([A-Za-z])(?![A-Za-z])"
)
_BETWEEN_NUMBERS = re.compile(r"(?:\\[,;: ]|\\q?quad|~|\s)+(?=\d)")
_FRACTION = re.compile(r"\\frac(?![A-Za-z])")
_SHORT_ARGUMENT = re.compile(r"\d|[a-zA-Z]|\\(?:alpha|beta|gamma|theta|pi|phi)(?![A-Za-z])")
#: ``√10``: no one means the root of 1 before a 0
_SHORT_ROOT = re.compile(r"\\sqrt\s*(\[\d\])?\s*(\d+(?:\.\d+)?|[a-zA-Z](?![a-zA-Z]))")
#: never at the end: what is left open (``5 or``) is not what stands before it
_WORD_SEPARATOR = re.compile(
    r"\s*,?\s*(?:\\text\s*\{\s*,?\s*(?:and|or)\s*\}|\\(?:lor|vee)(?![A-Za-z])|(?<![\w\\])(?:and|or)(?!\w))\s*(?=[^\s}])"
)
#: what joins the parts of a list, where it is written
JOINED_BY = re.compile(r"\\text\s*\{[\s,]*(and|or)\s*\}|\\(lor|vee)(?![A-Za-z])|(?<![\w\\])(and|or)(?!\w)")
_NAME = (
    r"(?:[a-zA-Z]|[A-Z]{2,3}|\\[dt]?frac\{d[a-zA-Z]?\}\{d[a-z]\}|\\(?!(?:sin|cos|tan|cot|sec|csc|log|ln)(?![a-z]))[a-z]+)"
    r"(?:_(?:\{\w+\}|\w+))?'*(?:\^\{-1\}(?=\())?(?:\([a-z](?:,\s?[a-z])*\))?"
)
#: ``(x,y) =`` before a tuple, and ``(x, y) \in``
_UNKNOWN = r"(?:[a-zA-Z]|\\(?:theta|phi|varphi|rho|alpha|beta|lambda|mu))(?:_(?:\{\w+\}|\w+))?"
_NAMES = rf"\((?:{_UNKNOWN}\s*,\s*)+{_UNKNOWN}\s*\)"
#: ``x =``, ``f(x) =``, ``AB =``, ``x \in`` before the value itself
_NAMED = re.compile(rf"({_NAME}|{_NAMES})\s*(?:=|\\(?:approx|equiv|in)(?![a-z]))\s*")
_CONSTANTS = frozenset({"e", "i", r"\pi"})
_NAMED_BEHIND = re.compile(rf"([^=<>]*[^=<>\s!:])\s*=\s*({_NAME})")

_RELATION_NAMES = {
    r"\leqslant": r"\le ", r"\leq": r"\le ", r"\le": r"\le ", "≤": r"\le ",
    r"\geqslant": r"\ge ", r"\geq": r"\ge ", r"\ge": r"\ge ", "≥": r"\ge ",
    r"\neq": r"\ne ", r"\ne": r"\ne ", "≠": r"\ne ", r"\lt": "<", r"\gt": ">",
}  # fmt: skip
_RELATIONS = re.compile(r"(\\(?:leqslant|leq|le|geqslant|geq|ge|neq|ne|lt|gt)(?![A-Za-z])|[≤≥≠]) ?")

_GAP = r"(?:\\[,;: ]|\\q?quad(?![A-Za-z])|~|\s)+"
_MIXED_WITH_SPACE = re.compile(rf"(?<![\w.\\/^_}}])(\d+){_GAP}(?!\d{{3}}(?!\d))(\d+)\s*/\s*(\d+)(?![\d.])")
#: digits with space between them, and a point with space beside it
_APART = re.compile(rf"(?<!\d)\d++(?:(?:{_GAP}\d++)+|{_GAP}\.\s*\d++|\.{_GAP}\d++)")
_GAPS = re.compile(_GAP)
#: ``\\int_0^1 2x``
_ONE_DIGIT_RAISED = re.compile(rf"([_^])\s*(\d)(?={_GAP}\d)")
#: two digits that are two arguments, or an index and what follows it
_TWO_ARGUMENTS = re.compile(r"(?:\\(?:[cdt]?frac|[dt]?binom)|[_^])\s*$")
#: stands between digits that are not one number
_NOT_ONE = "~"


def unwrap(text: str) -> str:
    r"""Strip math delimiters, ``\boxed{…}`` and the like from around the whole of ``text``."""
    for _ in range(16):  # nesting deeper than any real answer
        before = text
        text = text.strip().rstrip("。,;").strip()
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
    """Whether a text can be an answer at all: not blank, not endless, not nested without end, no root of nothing."""
    if not text.strip() or len(text) > MAX_ANSWER or _NO_ARGUMENT.search(text):
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
    text = _MIXED_WITH_SPACE.sub(r"\1\\frac{\2}{\3}", text)
    text = text.replace("−", "-").replace("–", "-").replace("×", r"\times").replace("π", r"\pi")
    text = text.replace("∞", r"\infty").replace("∪", r"\cup").replace("√", r"\sqrt")
    text = _COLON.sub(":", text)
    text = _RATIO.sub(":", text)
    text = _SEMICOLON.sub(",", text)
    text = _CHOOSE.sub(r"\\binom{\1}{\2}", _NO_EXPONENT.sub("", text))
    text = _OVER.sub(r"\\frac{\1}{\2}", text)
    text = _SHORT_ACCENT.sub(r"\\\1{\2}", text)
    text = text.replace(r"\cfrac", r"\frac").replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")
    text = text.replace(r"\{", r"\lbrace ").replace(r"\}", r"\rbrace ")
    text = text.replace(r"\lvert", "|").replace(r"\rvert", "|").replace(r"\vert", "|")
    text = _WORD_SEPARATOR.sub(",", text)
    text = _THOUSANDS.sub(_without_commas, text)
    if _SPACED_NUMBERS.fullmatch(text) and not _SPACED_THOUSANDS.fullmatch(text):
        text = _BETWEEN_NUMBERS.sub(",", text)
    text = TEXT.sub(lambda match: match[1], text)
    text = _APART.sub(_kept_apart, _ONE_DIGIT_RAISED.sub(r"\1{\2}", text))
    text = _COMMAND_THEN_LETTER.sub("\\1\x00", text)  # the one space that means something
    text = _SPACES.sub("", text).replace("\x00", " ").replace("\x01", _NOT_ONE)
    text = re.sub(r"\\(lbrace|rbrace) ?", r"\\\1 ", text).strip()
    text = re.sub(r"\{\}|\{,\}", lambda match: "," if "," in match.group() else "", text)
    text = re.sub(r"([_^])\{(\w)\}(?!\d)", r"\1\2", text)  # 2^{3}5 is not 2^{35}
    text = re.sub(r"(?<![\w\\}\]^_|])\{(\w)\}", r"\1", text)
    text = _SHORT_ROOT.sub(r"\\sqrt\1{\2}", text)
    text = _with_braced_powers(_with_braced_fractions(text))
    text = text.replace(r"\infin", r"\inf").replace(r"\inf", r"\infty").replace(r"\inftyty", r"\infty")
    text = text.replace(r"+\infty", r"\infty")
    text = _RELATIONS.sub(lambda match: _RELATION_NAMES[match[1]], text)
    return text[:-1] if text.endswith((".", ",")) and len(text) > 1 else text


def without_name(text: str) -> tuple[str, str]:
    """``("x", "5")`` of ``x = 5`` and of ``5 = x``; no name where the rest is a relation or uses it."""
    named = _NAMED.match(text)
    if named and named[1] != r"\pi" and not _mentions(text[named.end() :], named[1]):
        return named[1], text[named.end() :]
    behind = _NAMED_BEHIND.fullmatch(text)
    if behind and behind[2] not in _CONSTANTS and not _mentions(behind[1], behind[2]):
        return behind[2], behind[1]
    return "", text


def _without_commas(match: re.Match[str]) -> str:
    """``1,234`` as 1234; but ``(1,234)`` is a pair."""
    before, after = match.string[: match.start()], match.string[match.end() :]
    if before.rstrip().endswith(("(", "[", r"\lbrace")) or after.lstrip().startswith((")", "]", r"\rbrace")):
        return match.group()
    return re.sub(r"[^\d]", "", match.group())


def _kept_apart(match: re.Match[str]) -> str:
    """Digits with space between them as they are: one number only where the space parts thousands (``1 234``)."""
    first, *rest = _GAPS.split(match.group())
    of_thousands = (
        first[0] != "0" and len(first) <= 3 and all(len(part) == 3 and part.isdigit() for part in rest)
    )
    if of_thousands or _TWO_ARGUMENTS.search(match.string[max(0, match.start() - 12) : match.start()]):
        return match.group()
    return "\x01".join((first, *rest))


def _with_braced_fractions(text: str) -> str:
    r"""``\frac12`` and ``\frac{\sqrt{6}}2`` with both parts in braces."""
    first, *rest = _FRACTION.split(text)
    # From behind: an inner fraction is part of what follows an outer one.
    for i in range(len(rest) - 1, -1, -1):
        tail = "".join(rest[i:])
        above, tail = _argument(tail)
        below, tail = _argument(tail)
        rest[i:] = [rf"\frac{above}{below}{tail}"]
    return first + "".join(rest)


def _with_braced_powers(text: str) -> str:
    r"""``2^{\frac{1}{3}}`` of ``2^\frac{1}{3}``."""
    first, *rest = text.split(r"^\frac")
    for i, tail in enumerate(rest):
        above, tail = _argument(tail)
        below, tail = _argument(tail)
        rest[i] = rf"^{{\frac{above}{below}}}{tail}"
    return "".join((first, *rest))


def _argument(text: str) -> tuple[str, str]:
    """The first argument of a command in braces, and what follows it."""
    text = text.lstrip()
    if text.startswith("{"):
        end = closing_brace(text) + 1
        return (text[:end], text[end:]) if end else ("", text)
    token = _SHORT_ARGUMENT.match(text)
    return (f"{{{token.group()}}}", text[token.end() :]) if token else ("", text)


def _mentions(value: str, name: str) -> bool:
    """Whether the value side still holds the name, or another relation: then it is a relation."""
    names = name[1:-1].split(",") if name.startswith("(") else [name]
    heads = "|".join(re.escape(re.split(r"\(|_|'|\^", one.strip())[0]) for one in names)
    return bool(re.search(rf"[=<>]|(?<![a-zA-Z])(?:{heads})(?![a-zA-Z])", value))
