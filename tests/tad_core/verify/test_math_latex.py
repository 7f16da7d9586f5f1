"""The text that the LaTeX grammar gets: nothing it would drop, nothing it would take for something else."""

from __future__ import annotations

import pytest

from tad_core.verify.math_latex import grammar_text
from tad_core.verify.math_text import clean


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (r"\cos 2t", r"\cos2t"),
        ("f'(x)", r"\text{f'}(x)"),
        (r"f^{\prime\prime}(x)", r"\text{f''}(x)"),
        (r"\theta'", r"\text{theta'}"),
        ("x^T", r"x^{\text{T}}"),
        ("2I", r"2\text{I}"),
        ("adx", r"a\text{d}x"),
        (r"\int xdx", r"\int xdx"),
        (r"\gamma", r"\text{lettergamma}"),
        ("2(3)", "2(3+0)"),
        (r"\sin x\cdot y", r"(\sin x)\cdot y"),
        (r"\sin 30^\circ", r"\sin(\frac{30\pi}{180})"),
        (r"90^\circ+x", "90+x"),
        (r"\log_28", r"\log_{2}8"),
        (r"\binom52", r"(\binom{5}{2}+0)"),
        ("5!!", r"\text{5!!}"),
        ("x^(n+1)", "x^{n+1}"),
        (r"\mathbf{d}+\text{I}", r"\mathbf{d}+\text{I}"),
    ],
)
def test_what_the_grammar_gets(answer: str, text: str) -> None:
    assert grammar_text(clean(answer)) == text


@pytest.mark.parametrize(
    "answer",
    [
        "11_2+1",
        r"5\phantom{6}",
        "x|_{y=1}",
        r"\angle ABC",
        "5!!!",
        "n!!",
        "(x+1)'",
        "5'",
        r"x\approx1",
        r"x^{2}'",
    ],
)
def test_what_it_would_lose_has_no_meaning(answer: str) -> None:
    assert grammar_text(clean(answer)) is None
