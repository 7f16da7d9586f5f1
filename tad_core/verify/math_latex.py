r"""Write an answer so that the LaTeX grammar reads all of it, and reads it as it is meant.

latex2sympy drops what it takes for decoration (primes, ``^T``, the base of a numeral, degrees), takes ``I``,
``\gamma`` and ``dx`` for more than letters, ``2(3)`` for the mixed number 2 + 3 and ``\sin x\cdot y`` for a
sine of both. Its own normalisation, and math-verify's, also take trailing letters for units (``\cos t`` becomes
``\cos``) and are not used. What cannot be said without a loss is said to have no meaning.
"""

from __future__ import annotations

import re

_GROUP = r"\{[^{}]*\}"
_TRIGONOMETRIC = r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?(?![A-Za-z])"
_GREEK = (
    r"\\(?:alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|vartheta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma"
    r"|tau|upsilon|phi|varphi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega)(?![A-Za-z])"
)
#: a numeral with a base, numbers side by side, a value at a point, what is not shown, an angle named by its points,
#: about equal, !!!, degrees before another number
_LOSSY = re.compile(r"\d_|~|\|_|\\phantom|\\angle ?[A-Z]{2}|\\approx|!!!|\^(?:\\circ ?|\{\\circ\})(?=\d)")
_PRIME = re.compile(r"\^(?:\\prime ?|\{((?:\\prime ?)+)\})")
_TRANSPOSED = re.compile(r"\^(?:T|\{T\})")
_DOUBLE_FACTORIAL = re.compile(r"(?<![\d.])(\d{1,3})!!")
_POWER_IN_BRACKETS = re.compile(r"\^\(([^()]*)\)")
_ROOT_IN_BRACKETS = re.compile(r"\\?sqrt\(([^()]*)\)")
_LOG_BASE = re.compile(r"\\log_(\d|[a-zA-Z])")
_BINOMIAL = re.compile(rf"\\[dt]?binom ?(\d|[a-zA-Z]|{_GROUP}) ?(\d|[a-zA-Z]|{_GROUP})")
_NUMBER_IN_BRACKETS = re.compile(r"(?<![A-Za-z])\(((?:[\d./]|\\frac\{\d+\}\{\d+\})+)\)")
_E_NOTATION = re.compile(r"^([+-]?\d+(?:\.\d+)?)[eE]([+-]?\d+)$")
#: a derivative as one name: its letters do not cancel
_DERIVED = re.compile(r"(?<![A-Za-z\\])d([a-zA-Z])/d([a-zA-Z])(?![A-Za-z])")
#: a mixed number as a factor (``3\frac{1}{2}x``), which the grammar takes for a product
_MIXED = re.compile(r"(?<![\d.\w^}\])])(\d+)(\\frac\{\d+\}\{\d+\})")
#: ``1/2x`` is one half of x, as it is from left to right
_RATIO_AS_FACTOR = re.compile(r"(?<![\w.^}\])/])(\d+/\d+)(?=[a-zA-Z(]|\\(?:sqrt|pi)(?![a-z]))")
_DEGREES = re.compile(rf"(\d+(?:\.\d+)?|[a-zA-Z]|{_GREEK} ?|\([^()]*\))\^(?:\\circ ?|\{{\\circ\}})")
_FACTOR_BEHIND_FUNCTION = re.compile(
    rf"((?:{_TRIGONOMETRIC}|\\(?:ln|log)(?![A-Za-z]))(?:_(?:\w|{_GROUP}))?(?:\^(?:\w|{_GROUP}))? ?"
    rf"\d*(?:[a-zA-Z]|{_GREEK})(?:\^(?:\w|{_GROUP}))?) ?(?=\\cdot|\\times|\*)"
)
#: a root that is real, which the algebra takes for the first of the complex ones
_ODD_ROOT = re.compile(r"\\sqrt\[([3579])\]\{-([^{}+-]*)\}")
#: ``cis`` of an angle, as a word or as a command
_CIS = re.compile(
    rf"\\?(?<![A-Za-z])cis ?\(?((?:\d+(?:\.\d+)?|\\frac\{{[^{{}}]*\}}\{{[^{{}}]*\}}|[a-z]|{_GREEK})"
    r"(?:\^\\circ|\^\{\\circ\})?)\)?"
)
#: a product, which the grammar takes for a function of that name
_PI_BEFORE_BRACKET = re.compile(r"\\pi ?(?=\()")
_DERIVATIVE = re.compile(r"\\int(?![a-z])|\\frac\{(?:d|\\partial)")
_ACCENTED = r"\\(?:text|math[a-z]+|overline|bar|vec|hat|tilde|over(?:left|right)arrow)\{[^{}]*\}"
_LETTER = re.compile(rf"({_ACCENTED}|\\Gamma(?=\())|(\\[A-Za-z]+ ?|[A-Za-z])('*)")


def grammar_text(text: str) -> str | None:
    """A cleaned scalar as text for latex2sympy without any normalisation; None if it would lose something."""
    text = _PRIME.sub(lambda match: "'" * max(1, (match[1] or "").count("prime")), text)
    if _LOSSY.search(text):
        return None
    if r"\begin" not in text:
        text = text.replace("\\\\", "\\")
    text = text.replace(r"\lbrace", r"\{").replace(r"\rbrace", r"\}")
    text = _POWER_IN_BRACKETS.sub(r"^{\1}", _ROOT_IN_BRACKETS.sub(r"\\sqrt{\1}", text))
    text = _LOG_BASE.sub(r"\\log_{\1}", text)
    text = _ODD_ROOT.sub(r"(-\\sqrt[\1]{\2})", text)
    text = _CIS.sub(r"(\\cos(\1)+i\\sin(\1))", text)
    if not re.search(_TRIGONOMETRIC, text):  # whose argument would end there
        text = _PI_BEFORE_BRACKET.sub(r"\\pi\\cdot ", text)
    text = _with_degrees(text)
    text = _FACTOR_BEHIND_FUNCTION.sub(r"(\1)", text)
    text = _TRANSPOSED.sub(r"^{\\text{T}}", text)
    text = _DOUBLE_FACTORIAL.sub(r"\\text{\1!!}", text)
    # A sum is no factor of a mixed number, and so 2(3) stays a product.
    text = _E_NOTATION.sub(r"\1\\cdot10^{\2}", text)
    text = _DERIVED.sub(r"\\text{d\1byd\2}", text)
    text = _MIXED.sub(r"(\1+\2)", text)
    text = _RATIO_AS_FACTOR.sub(r"(\1)", text)
    text = _NUMBER_IN_BRACKETS.sub(r"(\1+0)", text)
    text = _BINOMIAL.sub(lambda match: rf"(\binom{_braced(match[1])}{_braced(match[2])}+0)", text)
    derived = _DERIVATIVE.search(text) is not None
    text = _LETTER.sub(lambda match: match[1] or _letter(match[2], match[3], derived), text)
    left = re.sub(r"\\text\{[^{}]*\}", "", text)
    return None if "'" in left or "!!" in left else text


def _with_degrees(text: str) -> str:
    """Degrees as radians where an angle is taken; elsewhere they are a unit, which need not be written."""
    angle = re.search(_TRIGONOMETRIC, text) is not None
    return _DEGREES.sub(r"(\\frac{\1\\pi}{180})" if angle else r"\1", text)


def _braced(text: str) -> str:
    return text if text.startswith("{") else "{" + text + "}"


def _letter(letter: str, primes: str, derived: bool) -> str:
    """A letter with its primes as one name, and no letter as a constant or a differential."""
    bare = letter.strip()
    if bare in (r"\gamma", r"\Gamma"):  # Euler's constant and function to the grammar
        return rf"\text{{letter{bare[1:]}{primes}}}"
    if len(bare) > 1:
        return rf"\text{{{bare[1:]}{primes}}}" if primes and re.fullmatch(_GREEK, bare) else letter + primes
    special = bare == "I" or (bare == "d" and not derived)
    return rf"\text{{{bare}{primes}}}" if primes or special else letter
