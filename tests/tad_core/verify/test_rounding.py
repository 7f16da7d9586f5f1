"""One value in two notations: either is the answer, where they are the same."""

from __future__ import annotations

import pytest

from tad_core.verify import MathVerdict, extract_answer, math_equal
from tad_core.verify.rounding import exact_before, in_two_notations, is_rounded


@pytest.mark.parametrize(
    ("text", "notations"),
    [
        (r"3\sqrt{41} = 19.2", (r"3\sqrt{41}", "19.2")),
        (r"d = 3\sqrt{41} \approx 19.21\text{ cm}", (r"d = 3\sqrt{41}\text{ cm}", r"19.21\text{ cm}")),
        (r"3\sqrt{41} \approx 19", (r"3\sqrt{41}", "19")),
        (r"\frac{5}{9} \approx 55.6\%", (r"\frac{5}{9}", r"55.6\%")),
        (r"\frac34 = 75\%", (r"\frac34", r"75\%")),
        (r"\frac{2}{3} = 0.66", (r"\frac{2}{3}", "0.66")),  # cut
        (r"3\sqrt{41} = 19.3", None),
        (r"3\sqrt{41} = 19", None),
        (r"3\sqrt{41} = -19.2", None),
        (r"\frac34 = 70\%", None),
        ("0.5 = 0.5", None),
        ("x = 5.5", None),
        ("19.2", None),
    ],
)
def test_the_exact_and_the_rounded_value(text: str, notations: tuple[str, str] | None) -> None:
    assert in_two_notations(text) == notations


@pytest.mark.parametrize(
    ("exact", "number", "said"),
    [
        (r"\sqrt{2}", "1.41", True),
        (r"\sqrt{2}", "1.414", True),
        (r"\sqrt{2}", "1.42", False),
        (r"\sqrt{3}", "1.73", True),
        (r"-\sqrt{3}", "1.73", False),
        ("x", "1.73", False),
        ("0.25", "0.25", False),
        (r"\frac{1}{3}", "33.3%", True),
    ],
)
def test_a_decimal_rounds_an_exact_value_or_cuts_it(exact: str, number: str, said: bool) -> None:
    assert is_rounded(exact, number) is said


@pytest.mark.parametrize(
    ("text", "number", "exact"),
    [
        ("The length is 2√3 (approximately ", "3.464", "2√3"),
        ("It is $2\\sqrt{3}$, which is about ", "3.46", r"2\sqrt{3}"),
        ("It is $2\\sqrt{3}$ cm, or about ", "3.46", r"2\sqrt{3}"),
        ("It is 5 or about ", "3.46", ""),
        ("It is $2\\sqrt{3}$ and then ", "3.46", ""),
        ("It is $2\\sqrt{3}$, or about ", "4.46", ""),
    ],
)
def test_what_is_said_again_as_a_decimal(text: str, number: str, exact: str) -> None:
    assert exact_before(text + number, len(text), number) == exact


@pytest.mark.parametrize(
    ("text", "reference", "right"),
    [
        (r"so the distance is 3\sqrt{41} = 19.2", r"3\sqrt{41}", True),
        (r"so $d = 3\sqrt{41} = 19.2$.", r"3\sqrt{41}", True),
        (r"so $d = 3\sqrt{41} = 19.2$.", "19.2", True),
        (r"so $d = 3\sqrt{41} = 19.3$.", "19.3", False),
        (r"\boxed{\frac23 = 0.667}", r"\frac23", True),
        (r"\boxed{0.667}", r"\frac23", False),
        ("The length is 2√3 ≈ 3.46.", r"2\sqrt3", True),
        ("The length is 2√3 (approximately 3.464).", r"2\sqrt3", True),
        ("A = πr² = π(6)² = 36π ≈ 113.1", r"36\pi", True),
        ("A = πr² = π(6)² = 36π ≈ 115.1", r"36\pi", False),
        ("He pays 40 / 3 = $13.33 each.", "13.33", True),
        (r"\boxed{\frac{1}{2}=50\%}", r"\frac12", True),
        (r"\boxed{\frac{1}{2}=50\%}", "50", True),
        (r"\boxed{\frac{1}{2}=60\%}", "60", False),
        (r"\boxed{3\sqrt{41} \approx 19}", "19", True),
        (r"\boxed{3\sqrt{41} \approx 22}", "22", False),
        (r"\boxed{25\pi \approx 78.54 \text{ cm}^2}", r"25\pi", True),
        (r"\boxed{25\pi \approx 80.54 \text{ cm}^2}", r"25\pi", False),
    ],
)
def test_either_notation_is_the_answer(text: str, reference: str, right: bool) -> None:
    assert (math_equal(extract_answer(text), reference) is MathVerdict.EQUAL) is right
