"""The rules by which two answers are the same, one table a rule."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import threading
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tad_core.verify import MathVerdict, math_equal
from tad_core.verify.math import MathKind, Unsure, quick_equal
from tad_core.verify.math_value import clearly_differ, values_of

EQUAL, DIFFERENT, UNPARSABLE = MathVerdict.EQUAL, MathVerdict.DIFFERENT, MathVerdict.UNPARSABLE

SPELLINGS = [
    ("18", "18"), ("$18", "18"), (r"\$18", "18"), (r"\boxed{18}", "18"), ("18.00", "18"), ("18 dollars", "18"),
    ("1,234", "1234"), ("1{,}234", "1234"), (r"1\!,\!234", "1234"), ("-5", "-5"), (r"\boxed{-5\%}", "-5"), ("-$5", "-5"),
    ("+7", "7"), ("007", "7"), ("5.", "5"), (".5", "0.5"), ("$18$", "18"), (r"\(18\)", "18"), ("x = 18", "18"),
    (r"n=18", "18"), (r"\text{18}", "18"), ("2/4", r"\frac12"), (r"\dfrac{1}{2}", "1/2"), (r"3\frac12", "7/2"), ("3 1/2", "3.5"),
    (r"-3\frac{1}{2}", "-3.5"), (r"1.2\times10^5", "120000"), (r"1.2 \times 10^{-2}", "0.012"), ("1e3", "1000"),
    (r"0.\overline{3}", "1/3"), (r"1.2\overline{34}", r"\frac{611}{495}"), ("−5", "-5"), ("**5**", "5"),
    (r"\left(1,2\right)", "(1, 2)"), (r"\text{Evelyn}", "evelyn"), (r"\text{(A)}", "A"), ("(C)", "C"), ("05:30", "5:30"),
    (r"\sqrt2", r"\sqrt{2}"), (r"\frac\pi2", r"\frac{\pi}{2}"), ("x_{1}", "x_1"), (r"\infty", r"+\infty"),
    (r"5\!:\!30 \text{ p.m.}", "5:30"), (r"\approx 8.24", "8.24"),
]  # fmt: skip

NOT_THE_SAME = [
    ("18", "19"), ("-5", "5"), ("1e-7", "2e-7"), ("0.333", "1/3"), ("0.5", "0.50000001"), ("1/g", "g"), ("x", "y"),
    ("1.41421356", r"\sqrt{2}"), ("3.14159", r"\pi"), ("100000000000000000000", "100000000000000000001"),
    (r"\text{Evelyn}", r"\text{Evan}"), ("A", "B"), ("5:30", "5:31"), ("5", "five"), (r"\infty", r"-\infty"), (r"\infty", "5"),
    (r"\sqrt{x^2}", "x"), ("|x|", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("prediction", "reference"), SPELLINGS)
def test_spellings_of_one_answer(prediction: str, reference: str) -> None:
    assert quick_equal(prediction, reference) is EQUAL


@pytest.mark.parametrize(("prediction", "reference"), NOT_THE_SAME)
def test_different_answers(prediction: str, reference: str) -> None:
    assert math_equal(prediction, reference) is DIFFERENT


@pytest.mark.parametrize(
    ("prediction", "reference", "verdict"),
    [
        (r"50\%", "50", EQUAL),
        ("50", r"50\%", EQUAL),
        ("50 percent", r"50\%", EQUAL),
        (r"50\%", "0.5", DIFFERENT),
        ("0.5", r"50\%", DIFFERENT),
        (r"5\text{ cm}", "5", EQUAL),
        ("5", r"5\text{ cm}", EQUAL),
        ("5 cm", r"5\text{ centimeters}", EQUAL),
        (r"5\text{ cm}", r"5\text{ m}", DIFFERENT),
        (r"12\text{ in}^2", "12 square inches", EQUAL),
        (r"12\text{ in}^2", "12 inches", DIFFERENT),
        ("$5", "5 dollars", EQUAL),
        ("$5", "5 euros", DIFFERENT),
        ("$5", r"5\%", DIFFERENT),
        (r"90^\circ", "90", EQUAL),
        (r"90^\circ", "90 degrees", EQUAL),
        (r"60^\circ, 120^\circ", "60, 120", EQUAL),
    ],
)
def test_units_and_percent(prediction: str, reference: str, verdict: MathVerdict) -> None:
    """A unit that is not written is not wrong; two written units must agree; per cent is a unit."""
    assert quick_equal(prediction, reference) is verdict


@pytest.mark.parametrize(
    ("prediction", "reference", "verdict"),
    [
        ("(1,2)", "(1, 2)", EQUAL),
        ("(1,2)", "(2,1)", DIFFERENT),
        ("(1,2)", "1,2", DIFFERENT),
        ("(1,2)", "[1,2]", DIFFERENT),
        ("[1,2)", "[1,2]", DIFFERENT),
        ("(1/2, 0.5)", r"(\frac12, \frac12)", EQUAL),
        ("1, 2", "2, 1", EQUAL),
        ("1, 2, 2", "1, 2", DIFFERENT),
        ("1, 2, 2", "1, 1, 2", DIFFERENT),
        (r"\{1, 2\}", r"\{2, 1\}", EQUAL),
        (r"\{1, 2\}", "1, 2", EQUAL),
        ("x=1 or x=2", "1, 2", EQUAL),
        ("x=1, y=2", "x=2, y=1", DIFFERENT),
        (r"1 \text{ and } 2", "2, 1", EQUAL),
        (r"2 \pm \sqrt{3}", r"2-\sqrt3, 2+\sqrt3", EQUAL),
        (r"\emptyset", r"\{\}", EQUAL),
        (r"(-\infty,3)\cup(3,\infty)", r"(3,\infty)\cup(-\infty,3)", EQUAL),
        (r"(-\infty,3]\cup(3,\infty)", r"(3,\infty)\cup(-\infty,3)", DIFFERENT),
        (r"x\in[1,2)", "[1,2)", EQUAL),
        (r"\begin{pmatrix}1/2\\3\end{pmatrix}", r"\begin{bmatrix}0.5\\3\end{bmatrix}", EQUAL),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}", DIFFERENT),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)", DIFFERENT),
        ("(1,234)", "(1, 234)", EQUAL),
    ],
)
def test_tuples_sets_intervals_and_matrices(prediction: str, reference: str, verdict: MathVerdict) -> None:
    assert math_equal(prediction, reference) is verdict


@pytest.mark.parametrize(
    ("prediction", "reference", "verdict"),
    [("11_2", "11_{2}", EQUAL), ("11_2", "11", DIFFERENT), ("11_2", "3", DIFFERENT), ("11_2", "11_3", DIFFERENT),
     ("1A_{16}", "1a_{16}", EQUAL), (r"\text{A5}_{11}", "A5_{11}", EQUAL)],
)  # fmt: skip
def test_number_bases(prediction: str, reference: str, verdict: MathVerdict) -> None:
    """The base is part of the answer: a numeral without it is not the same, and values are not converted."""
    assert quick_equal(prediction, reference) is verdict


@pytest.mark.parametrize(
    ("prediction", "reference", "verdict"),
    [
        (r"\frac{\sqrt{8}}{2}", r"\sqrt2", EQUAL),
        ("(x+1)^2", "x^2+2x+1", EQUAL),
        ("(x+1)^2", "x^2+2x+2", DIFFERENT),
        ("2x+z-5=0", "4x+2z=10", EQUAL),
        ("2x+z-5=0", "4x+2z=11", DIFFERENT),
        (r"10\sqrt{2}\text{ cm}", r"\sqrt{200}", EQUAL),
        ("5!", "120", EQUAL),
        (r"\binom{5}{2}", "10", EQUAL),
        (r"\log_2 8", "3", EQUAL),
        (r"e^{i\pi}", "-1", EQUAL),
        ("2i", r"\sqrt{-4}", EQUAL),
        (r"\cos 0", "1", EQUAL),
        (r"\sin^2 x + \cos^2 x", "1", EQUAL),
        ("x^{-1}", r"\frac1x", EQUAL),
        ("0.1+0.2", "0.3", EQUAL),
        (r"\frac{1}{\sqrt2}, 1", r"1, \frac{\sqrt2}{2}", EQUAL),
        (r"x \ge 3", r"3 \le x", EQUAL),
        (r"x \ge 3", r"x > 3", DIFFERENT),
    ],
)
def test_algebra(prediction: str, reference: str, verdict: MathVerdict) -> None:
    assert math_equal(prediction, reference) is verdict


@pytest.mark.parametrize(
    ("prediction", "reference", "kind", "verdict"),
    [("18 eggs", "18", "number", EQUAL), (r"\sqrt{4}", "2", "number", UNPARSABLE), ("", "2", "expression", UNPARSABLE),
     ("2", "", "expression", UNPARSABLE), (r"\frac{1", "2", "expression", UNPARSABLE), ("9" * 5000, "9", "expression", UNPARSABLE)],
)  # fmt: skip
def test_what_cannot_be_read(prediction: str, reference: str, kind: MathKind, verdict: MathVerdict) -> None:
    assert math_equal(prediction, reference, kind) is verdict


def test_endless_algebra_times_out() -> None:
    assert math_equal("9^{9^{9^{9}}}", "3", timeout_s=0.5) is MathVerdict.TIMEOUT


def test_any_thread_may_ask() -> None:
    found: list[MathVerdict] = []
    threads = [
        threading.Thread(target=lambda: found.append(math_equal(r"\frac{\sqrt{12}}{2}", r"\sqrt{3}")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [EQUAL] * 8


@settings(deadline=None)  # the machine may be busy
@given(st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=10**4))
def test_a_fraction_equals_its_spellings_and_no_neighbour(value: Fraction) -> None:
    n, d = value.numerator, value.denominator
    sign, n = ("-", -n) if n < 0 else ("", n)
    spellings = [
        f"{sign}{n}/{d}",
        rf"{sign}\frac{{{n}}}{{{d}}}",
        rf"$\dfrac{{{sign}{n}}}{{{d}}}$",
        rf"\boxed{{x={sign}{n}/{d}}}",
    ]
    for spelling in spellings:
        assert quick_equal(spelling, spellings[0]) is EQUAL
        assert quick_equal(spelling, f"{sign}{n + 1}/{d}") is DIFFERENT


@settings(deadline=None)  # the machine may be busy
@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_integers_are_equal_only_to_themselves(a: int, b: int) -> None:
    assert (quick_equal(str(a), str(b)) is EQUAL) == (a == b)
    assert quick_equal(f"{a:,}", str(a)) is EQUAL


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet=r"\frac{}12x+-^()[],=_ pi$%.|", max_size=60),
    st.text(alphabet=r"\sqrt{}12y+-()", max_size=30),
)
def test_any_text_gets_a_verdict_and_equality_is_symmetric(a: str, b: str) -> None:
    forth, back = quick_equal(a, b), quick_equal(b, a)
    assert isinstance(forth, MathVerdict | Unsure)
    assert (forth is EQUAL) == (back is EQUAL)
    if a.strip():
        assert quick_equal(a, a) in (EQUAL, UNPARSABLE, Unsure.NEEDS_ALGEBRA)


def test_approximate_values_only_ever_tell_apart() -> None:
    assert clearly_differ("x", "y") and clearly_differ(r"\sqrt{2}", r"\sqrt{3}") and clearly_differ("2i", "2")
    assert not clearly_differ(r"\frac{\sqrt{8}}{2}", r"\sqrt{2}")
    assert not clearly_differ("(x+1)(x-1)", "x^2-1")
    assert not clearly_differ("(10^8+1)^2-10^{16}-2*10^8", "1")  # no digits are left
    for unclear in (
        "1/2x",
        r"\sin x",
        "9^{9^{9}}",
        "x^12",
        r"\sqrt[3]{-8}",
        "1/0",
        "(" * 100,
        r"3\frac{1}{2}x",
    ):
        assert values_of(unclear) is None or unclear == "x^12"


@pytest.mark.parametrize(
    "answer",
    ["5" + " " * 900 + "x", " " * 900 + "-x", "x=" + "\t" * 900 + "5 or", "(1," * 300 + "1" + ")" * 300, "{" * 499 + "}" * 499, "(" * 900, "9" * 5000, "\\frac{" * 100, "\\sqrt" * 150, "\\text{" * 100],
)  # fmt: skip
def test_what_is_nested_or_long_without_end_is_refused_at_once(answer: str) -> None:
    used = time.process_time()
    for reference in ("12", "(1,2)", r"\frac{1}{2}", answer):
        outcome = quick_equal(answer, reference)
        assert outcome is not MathVerdict.EQUAL or reference == answer
    assert time.process_time() - used < 1
