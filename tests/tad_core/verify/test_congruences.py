"""Remainders, as congruences and as equations."""

from __future__ import annotations

import time

import pytest

from tad_core.verify import MathVerdict, extract_answer, math_equal
from tad_core.verify.arithmetic import remainder_of
from tad_core.verify.congruences import remainder_said


@pytest.mark.parametrize(
    ("text", "modulus", "remainder"),
    [
        ("2^100", 7, 2),
        ("2^(100)", 7, 2),
        ("3 - 5", 7, 5),
        (r"(2^3)^33 \cdot 2", 7, 2),
        ("2 * 3 + 4(5)", 9, 8),
        ("7^999999999999", 10, 3),
        ("7 / 2", 10, None),
        ("2^(3 * 4)", 7, None),
        ("2^2^2", 7, None),
        ("n", 7, None),
        ("2.5", 7, None),
    ],
)
def test_what_a_sum_of_whole_numbers_leaves(text: str, modulus: int, remainder: int | None) -> None:
    assert remainder_of(text, modulus) == remainder


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (r"2^{100} \equiv 2 \pmod 7", r"2 \pmod{7}"),
        (r"2^{100} \equiv 2 \pmod{7}.", r"2 \pmod{7}"),
        (r"2^{100} \equiv 2 (mod 7)", r"2 \pmod{7}"),
        ("2^100 = 2 mod 7", r"2 \pmod{7}"),
        (r"2^{100} = (2^3)^{33} \cdot 2 \equiv 1^{33} \cdot 2 \equiv 2 \pmod 7", r"2 \pmod{7}"),
        (r"2^{100} \bmod 7 = 2", "2 = 2"),
        ("2^{100} mod 7 = 3", "2 = 3"),
    ],
)
def test_a_right_congruence_says_its_last_side(answer: str, said: str) -> None:
    assert remainder_said(answer) == said


@pytest.mark.parametrize(
    "answer",
    [
        r"3x \equiv 2 \pmod 7",
        r"2^{100} \equiv 3 \pmod 7",
        r"x \equiv 3 \pmod 7",
        r"3 \pmod 7",
        "2^100 mod 0 = 2",
        "7",
    ],
)
def test_what_is_wrong_or_yet_to_be_solved_stays_as_it_is(answer: str) -> None:
    assert remainder_said(answer) == answer


@pytest.mark.parametrize(
    ("text", "reference", "right"),
    [
        (r"Therefore 2^{100} \equiv 2 \pmod 7", "2", True),
        (r"Therefore 2^{100} \equiv 2 \pmod{7}.", "2", True),
        (r"Therefore 2^{100} \equiv 2 \pmod{7}.", "7", False),
        (r"Therefore 2^{100} \equiv 3 \pmod{7}.", "3", False),
        ("Therefore 2^100 ≡ 2 (mod 7).", "2", True),
        ("Therefore 2^100 ≡ 2 (mod 7).", "7", False),
        (r"so $2^{100} \equiv 2 \pmod 7$.", r"2 \pmod 7", True),
        (r"so $2^{100} \equiv 2 \pmod 7$.", r"2 \pmod 8", False),
        ("2^{100} mod 7 = 3", "3", False),
        (r"$3x \equiv 2 \pmod 7$", "2", False),
    ],
)
def test_the_remainder_that_a_text_ends_in(text: str, reference: str, right: bool) -> None:
    assert (math_equal(extract_answer(text), reference) is MathVerdict.EQUAL) is right


def test_a_long_congruence_takes_no_time() -> None:
    begun = time.process_time()
    remainder_said("9^{999999999999999999} " * 40 + r"\equiv 2 \pmod{7}")
    remainder_said("2 mod" * 180)
    assert time.process_time() - begun < 0.5
