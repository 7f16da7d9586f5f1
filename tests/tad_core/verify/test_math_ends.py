"""What equations, choices and sentences come to."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import pytest

from tad_core.verify import MathVerdict, math_equal
from tad_core.verify.math_ends import end_of, number_said, without_choice
from tad_core.verify.math_shape import shape_of


@pytest.mark.parametrize(
    ("answer", "value", "pairs"),
    [
        (r"3\times4=12", "12", [(r"3\times4", "12")]),
        (r"x=\frac{24}{2}=12", "12", [(r"\frac{24}{2}", "12")]),
        (r"P(A)=\frac13", r"\frac{1}{3}", []),
        ("a+b=7", "7", []),
        (r"\text{Area}=12", "12", []),
        (r"m\angle ABC=45", "45", []),
        (r"9(2n+17)=9\cdot 25=225", "225", [(r"9\cdot25", "225")]),
        ("a=b^2=9", "9", []),
        (r"\gcd(12,18)=6", "6", []),
        (r"1+2+\cdots+10=55", "55", []),
        ("101_2=4+1=5", "5", [("4+1", "5")]),
        (r"\dbinom{4}{2}=6", "6", [(r"\dbinom{4}{2}", "6")]),
    ],
)
def test_the_value_at_the_end(answer: str, value: str, pairs: list[tuple[str, str]]) -> None:
    found = end_of(shape_of(answer), shape_of("1"))
    assert found is not None
    assert (found[0].text, found[1]) == (value, pairs)


@pytest.mark.parametrize(
    "answer",
    ["2x=10", "x^2=5", "2x=3x=5", "10=2x", "2x+3=0", r"\sqrt{x}=3", "a<b", r"\text{not}=5", "x+1=y", "5"],
)
def test_an_equation_to_be_solved_has_none(answer: str) -> None:
    assert end_of(shape_of(answer), shape_of("1")) is None


def test_two_equations_are_compared_as_such() -> None:
    assert end_of(shape_of("a+b=7"), shape_of("b+a=7")) is None
    assert end_of(shape_of("a+b=7"), shape_of("c=7")) is None  # another name


@pytest.mark.parametrize(
    ("equation", "value"), [("a+b = 7", "7"), ("a+b+c = 7", "7"), ("m + n = 12", "12"), ("a^2+b^2=25", "25")]
)
def test_an_equation_of_several_unknowns_ends_in_an_answer_and_is_a_reference(
    equation: str, value: str
) -> None:
    assert math_equal(equation, value) is MathVerdict.EQUAL
    assert math_equal(value, equation) is MathVerdict.DIFFERENT


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("(x-1)^2 = x^2-2x+1", "x^2-2x+1"), ("x^2-9 = (x+3)(x-3)", "(x-3)(x+3)"), ("f(x) = (x-3)(x+3) = x^2-9", "x^2-9"),
        (r"\frac{\sin x}{\cos x} = \tan x", r"\tan x"), (r"\frac{a^2-b^2}{a-b} = a+b", "a+b"), (r"\frac{2 \sin A \cos A}{\sin A \cos A} = 2", "2"), (r"\sin^2 x+\cos^2 x = 1", "1"), ("A = 3 \\cdot x = 3x", "3x"),
    ],
)  # fmt: skip
def test_an_identity_is_its_right_side(answer: str, value: str) -> None:
    assert math_equal(answer, value) is MathVerdict.EQUAL
    assert math_equal(value, answer) is not MathVerdict.EQUAL


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("x^2-8 = (x+3)(x-3)", "(x-3)(x+3)"), ("x^2-8 = (x+3)(x-3)", "x^2-8"), ("f(x) = (x-3)(x+3) = x^2-8", "x^2-8"), ("2x = x", "x"),
        (r"1-\sin^2 x = \cos 2x", r"\cos 2x"), ("x+1 = x+1 = x+2", "x+2"), ("x^2+y^2 = z^2", "z^2"), ("2x = x+x", "y=2x"),
    ],
)  # fmt: skip
def test_an_equation_that_is_no_identity_has_no_such_value(answer: str, value: str) -> None:
    assert math_equal(answer, value) is not MathVerdict.EQUAL


@pytest.mark.parametrize(
    ("reference", "right", "wrong"),
    [
        (r"28 \text{ or } 28_9", ["28", "28_9", r"28 \text{ or } 28_9"], ["26", "28_8", "28, 29"]),
        (
            r"20\!:\!34 \text{ or } 8\!:\!34 \text{ p.m.}",
            ["20:34", "8:34", r"8:34\text{ PM}"],
            ["20:35", r"8:34\text{ a.m.}"],
        ),
        (r"20:34 \text{ or } 9:34 \text{ p.m.}", [], ["20:34", r"9:34 \text{ p.m.}"]),
        (r"1 \text{ or } 9", ["9, 1"], ["1", "9"]),
        (r"11_2 \text{ or } 11_3", [], ["11_2", "11", "11_3"]),
    ],
)
def test_a_reference_in_two_notations_is_answered_in_either(
    reference: str, right: list[str], wrong: list[str]
) -> None:
    assert [answer for answer in right if math_equal(answer, reference) is not MathVerdict.EQUAL] == []
    assert [answer for answer in wrong if math_equal(answer, reference) is MathVerdict.EQUAL] == []


def test_a_numeral_with_its_base_and_without_are_not_one_number() -> None:
    assert math_equal(r"28 \text{ or } 28_9", "28") is not MathVerdict.EQUAL


@pytest.mark.parametrize("plane", ["x + y + z = 0", "2x - y + 2z - 18 = 0", "49x^2 - 42xy + 9y^2 = 0"])
def test_a_plane_is_no_number(plane: str) -> None:
    assert math_equal("0", plane) is MathVerdict.DIFFERENT
    assert math_equal(plane, plane.replace("= 0", "= 1")) is MathVerdict.DIFFERENT


@pytest.mark.parametrize("plane", ["2x - y + 2z - 18 = 0", "12+x-y=0", "x^2+y^2-9=0"])
def test_nor_is_it_one_as_an_answer(plane: str) -> None:
    assert math_equal(plane, "0") is MathVerdict.DIFFERENT
    assert math_equal("2a-b=0", "0") is MathVerdict.EQUAL


@pytest.mark.parametrize(
    ("answer", "other", "meant"),
    [
        (r"\textbf{(B)}\ 12", "12", "12"),
        (r"\textbf{(B)}\ 12", "(C)", "B"),
        (r"\textbf{(B) }12", r"\text{(B)}", "B"),
        ("Option B", "B", "B"),
        ("B. 12", "12", "12"),
        ("(B), (C)", "B", "(B), (C)"),
        ("(a)(b)", "b", "(a)(b)"),
        ("(B)", "B", "(B)"),
        ("(A) + 3", "3", "(A) + 3"),
    ],
)
def test_choices(answer: str, other: str, meant: str) -> None:
    assert without_choice(answer, other) == meant


@pytest.mark.parametrize(
    "sentence",
    ["Janet sells 9 eggs", r"\text{The total is } 9", r"\$9/day", "Janet has **9** left", "He sold 4 + 5 = 9 eggs", "She has 9 more eggs"],
)  # fmt: skip
def test_the_one_number_of_a_sentence(sentence: str) -> None:
    said = number_said(sentence)
    assert said is not None and said.value == 9


@pytest.mark.parametrize(
    "sentence",
    [
        "at least 9 eggs", "9 dozen eggs", "not 9 eggs", "maybe 9 eggs", "half of 9 eggs", "9 eggs and a half", "9 eggs less", "fewer than 9 eggs", "9 or ten", "9 is wrong",
        "Step 9", "9 times as many", "9 hours 30 minutes", "the sum of 9 terms", "up to 9 eggs", "it is 9?", "is it 9 eggs", "could it be 9", "Bob = 5, Ann = 9", "9", "nine",
    ],
)  # fmt: skip
def test_a_sentence_that_reckons_doubts_or_has_two_says_none(sentence: str) -> None:
    assert number_said(sentence) is None
