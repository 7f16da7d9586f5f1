"""What a formula in prose is made of: numbers, letters, signs, brackets, and what parts it from others."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FUNCTIONS = "sqrt|sin|cos|tan|sec|csc|cot|log|ln|mod|pi"
_COMMANDS = rf"[dt]?frac|[dt]?binom|int|sum|prod|lim|theta|alpha|beta|infty|overline|[pb]mod|{_FUNCTIONS}"
_TIMES = r"(?<=[\d)%])[xX](?=\\?[$€£]?[\d(.])|(?<=[\d)%]\s)[xX](?=\s\\?[$€£]?[\d(.])"
_RATIO = r"(?<=\d):(?=[\d√]|\\sqrt)|(?<=\d\s):(?=\s(?:[\d√]|\\sqrt))"
TOKEN = re.compile(
    # what parts formulas: sums of a calculator, tags, arrows, bold type, words of LaTeX
    r"(?P<other><<[^<>\n]{0,200}>>|</?[A-Za-z][^<>\n]{0,40}>|[-=]+>|<-+(?=\s)|\*\*(?![\w(])|(?<![\w)}\]])\*\*|\\\\"
    r"|\\(?:Rightarrow|implies)(?![A-Za-z])|\\(?:text|mathrm)[a-z]*\s?\{[^{}\n]{0,60}\})"
    r"|(?P<number>(?:\\?[$€£]\s?)?(?:\d+(?:(?:,|\{,\}|,?\\!)\d{3}(?!\d))*(?:\.\d*\\overline\{\d+\}|\.\d+)?|(?<!\d)\.\d+)(?:\s?\\?%)?)"
    r"|(?P<relation>[<>=]=|(?<![\w)])!=|[<>=≤≥≠≈≡∤∈]|\\(?:leq?|geq?|neq?|lt|gt|approx|equiv|in|leqslant|geqslant)(?![A-Za-z]))"
    r"|(?P<behind>\(\s?\\?b?mod\s\d+\s?\)|\\pmod\s?(?:\{\s?\d+\s?\}|\d+)|°|\^\{?\\circ\}?|[⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ⁻₀₁₂₃₄₅₆₇₈₉]+|(?<=[\d)])!(?!=))"
    rf"|(?P<sign>\*\*|[-+*/^_×·⋅÷±−–∪]|\\(?:cdot|times|div|pm|to|cup)(?![A-Za-z])|{_TIMES}|{_RATIO})"
    rf"|(?P<function>\\(?:{_COMMANDS})(?![A-Za-z])|[√∛∜]|(?<![A-Za-z\\])(?:{_FUNCTIONS})(?![A-Za-z])|(?<=\d\s)choose(?=\s\d))"
    r"|(?P<letter>(?<![A-Za-z\\])(?:d[xyt]|[xyz]{2,3}|[abc]{2,3}(?=\s?[-+*/^=])|[A-Z]{2,3}|[A-Za-z])(?![A-Za-z])(?:'{1,2}(?=[\s(]))?|[πθαβ∞])"
    r"|(?P<open>[(\[{]|(?<![\w)])\|(?=[\w-]))|(?P<close>[)\]}]|\|)|(?P<comma>,(?=\s?[\w(√π∞\\-]))|(?P<rest>\S)"
)


@dataclass(frozen=True)
class Token:
    """One part of a formula: the name of its kind in ``TOKEN``, and where it stands."""

    kind: str
    start: int
    end: int
