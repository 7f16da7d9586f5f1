"""How answers are taken apart."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import pytest

from tad_core.verify.math_shape import Form, shape_of
from tad_core.verify.math_text import clean, without_name


@pytest.mark.parametrize(
    ("answer", "pairs"),
    [
        ("2x+3=y+1", ["2x+3=y+1"]),
        ("0<x<1", ["0<x", "x<1"]),
        ("1>x>0", ["x<1", "0<x"]),
        (r"1\geq x", [r"x\le 1"]),
        (r"x\neq 1", [r"x\ne 1"]),
        (r"a\le b<c=d", [r"a\le b", "b<c", "c=d"]),
        ("(x<1)", ["x<1"]),
    ],
)
def test_relations_are_pairs_read_from_left_to_right(answer: str, pairs: list[str]) -> None:
    shape = shape_of(answer)
    assert shape.form is Form.RELATION
    assert [part.text for part in shape.items] == pairs


@pytest.mark.parametrize(
    ("answer", "members"),
    [
        (r"\pm 2", ["2", "-2"]),
        (r"1 \pm \sqrt{5}", [r"1+\sqrt{5}", r"1-\sqrt{5}"]),
        (r"\{1\pm\sqrt5,-2\}", [r"1+\sqrt{5}", r"1-\sqrt{5}", "-2"]),
        (r"\pm1,\pm2", ["1", "-1", "2", "-2"]),
        (r"a\pm b\mp c", ["a+b-c", "a-b+c"]),
        (r"(\pm1,2)", ["(1,2)", "(-1,2)"]),
    ],
)
def test_either_sign_is_two_members(answer: str, members: list[str]) -> None:
    shape = shape_of(answer)
    assert shape.form is Form.COLLECTION
    assert [part.text for part in shape.items] == members


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ("p-q", Form.SCALAR), ("a:b", Form.SCALAR), ("y''", Form.SCALAR), ("even", Form.WORDS), (r"\text{no}", Form.WORDS), ("non-zero", Form.WORDS),
        ("(12)_{10}", Form.BASED), ("p.m.", Form.WORDS), (r"\frac23\approx0.67", Form.NUMBER), (r"\frac23\approx0.77", Form.SCALAR),
    ],
)  # fmt: skip
def test_forms(answer: str, form: Form) -> None:
    assert shape_of(answer).form is form


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x = 5", ("x", "5")), ("5 = x", ("x", "5")), ("f(x)=2x", ("f(x)", "2x")), ("AB=12", ("AB", "12")), ("f'(x)=2", ("f'(x)", "2")), ("2x+3=y", ("y", "2x+3")),
        ("x=x+1", ("", "x=x+1")), ("x=1=2", ("", "x=1=2")), ("e^2=e", ("", "e^2=e")), ("x<5", ("", "x<5")), ("x=5<y", ("", "x=5<y")), ("xy=2", ("", "xy=2")),
    ],
)  # fmt: skip
def test_names(text: str, parts: tuple[str, str]) -> None:
    assert without_name(text) == parts


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (r"11,\! 111", "11111"), (r"11\ 111", "11111"), ("5 6", "5,6"), (r"5\quad 66", "5,66"), (r"\frac{\sqrt6}2", r"\frac{\sqrt{6}}{2}"), (r"\frac1{\frac23}", r"\frac{1}{\frac{2}{3}}"),
        (r"\frac12\frac34", r"\frac{1}{2}\frac{3}{4}"), (r"\frac", r"\frac"), (r"x\leqslant1", r"x\le 1"), (r"x\ne1", r"x\ne 1"), (r"5\text{ or }6", "5,6"), ("5 or", "5or"),
    ],
)  # fmt: skip
def test_one_spelling(answer: str, text: str) -> None:
    assert clean(answer) == text
