"""What stands behind an answer and is not it."""

from __future__ import annotations

import time

import pytest

from tad_core.verify import MathVerdict, extract_answer, math_equal
from tad_core.verify.asides import without_asides
from tad_core.verify.config import DEFAULT_ORDER


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("It is 5.\n\nNote: of 2020.", "It is 5."),
        ("It is 5.\n\n**Check:** 2 + 3 = 5", "It is 5."),
        ("It is 5.\n\nRemark that 2 is 3.", "It is 5."),
        ("The minimum is 4, which occurs at x = 2.", "The minimum is 4"),
        ("The largest value is 5 when x = 2.", "The largest value is 5"),
        ("There are 8 integers between 3 and 10.", "There are 8 integers"),
        ("There are 8 primes less than 20", "There are 8 primes"),
        ("There are $8$ of them between $1$ and $20$.", "There are $8$ of them"),
        ("A total of 2 + 4 = 6 kilometers for 2 hours.", "A total of 2 + 4 = 6 kilometers"),
        ("It leaves a remainder of 3 when divided by 6.", "It leaves a remainder of 3"),
        ("Thus, 8 is the largest divisor of 24", "Thus, 8"),
        ("It is 2 * 4 = 8 for 3 gallons and 5 boxes of cereal.", "It is 2 * 4 = 8"),
        ("She has 6 + 7 = 13 pieces of $50 and $100 bills in all.", "She has 6 + 7 = 13 pieces"),
        ("He needs 8 - 2 = 6 more to have 8.", "He needs 8 - 2 = 6 more"),
        ("He needs 33 because there is 1 in each.", "He needs 33"),
        ("There are 2 $10 bills.", "There are 2"),
        ("She sold 72 clips: 48 here and 24 there.", "She sold 72 clips"),
        ("There are 3 of them: 4, 7 and 9.", "There are 3 of them"),
        ("So $x = 7$ (we reject $x = -3$).", "So $x = 7$"),
        ("The remainder is 1 when 2 is divided by 11.", "The remainder is 1"),
        ("There are 7 values of $n$ with $1 < n < 9$.", "There are 7 values"),
    ],
)
def test_what_is_left_out(text: str, left: str) -> None:
    assert without_asides(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "It is 5.\n\nCheck: that is wrong, it is 6",
        "It is 5.\n\nNote that therefore it is 6",
        "No number.\n\nNote: 5",
        "It is 5.\n\nNote: that is 3 too few.",
        "It is 5.\n\nVerification: 5 + 1 = 7",
        "The remainder is 2 when divided by 3 and 4 when divided by 5",
        "There are 7 numbers less than 10 and 9 less than 20",
        "It is 5.\n\nNote: I forgot the tax, which brings 6",
        "It is 5.\n\nCheck: 5 * 2 = 11, not 10.",
        "It is 5.\n\nCheck: 5 * 2 = 10. This does not match 12.",
        "She had 20 - 5 = 15 apples after lunch and then ate 3, leaving 12.",
        "He earns 5 * 8 = 40 dollars in a day, so in 5 days he earns 200",
        "He earns 5 * 8 = 40 dollars in a day and 200 in 5 days",
        "He drives 3 * 20 = 60 miles for work and 40 for fun, totaling 100",
        "It costs 3 * 4 = 12 dollars before adding the 3 dollars tip to get 15",
        "There are 12 in each of 3 boxes, giving 36 in total",
        "There are 30 students on 2 buses, and with 5 teachers we have 35",
        "There are 5 apples in the basket and 3 on the table for a total of 8",
        "The answer is 5 for Ann and 6 for Bob.",
        "The total is 30 after 3 days and 40 after 4",
        "It is 4 and this first occurs when n = 12.",
        "The largest is 6 and the smallest value for x is 5.",
        "There are 3 groups of 4",
        "There are 8 more than 5",
        "He sold 3 boxes for 12",
        "It is 5 + 3 = 8 more than 2",
        "2 * 3 = 6, which rounds down to 5",
        "They need 2 because 30 / 15 = 2",
        "It is not clear because 5 > 3",
        "He has 5 because it is 3, and Ann has 6",
        "There are 5 values with 3 each, so 15",
        "The 3 ages are: 4, 7",
        "It includes 2 x 5, and since 0 times anything is 0, the digit is 0",
        "It holds if 3 < x < 7. However, since x is not 4, the solutions are 5 and 6",
        "It is 9, since these are all. The largest is 12",
        "There are 2 ways: 36 = 9 * 4",
        "\\[2 + 3 = 5\\]Finally, since 5 is odd we take 4",
        "Apples: 3, pears: 7",
        "12 / 4 = 3\nShe needs to read 5 pages for 2 days",
        "So $x = 7$ (and $x = -3$)",
    ],
)
def test_what_could_be_meant_stays(text: str) -> None:
    assert without_asides(text) == text


@pytest.mark.parametrize(
    ("text", "reference", "right"),
    [
        ("The solution is $x = 2$ and $y = 5$.", "(2,5)", True),
        ("The solution is $x = 2$ and $y = 5$.", "(5,2)", False),
        ("The solution is $x = 2$ and $y = 5$.", "5", True),
        ("It is 5 m", r"5 \\text{ cm}", False),
        ("It is 5 meters long", r"5 \\text{ cm}", False),
        ("It is 5 centimeters long", r"5 \\text{ cm}", True),
        ("It is 5 long", r"5 \\text{ cm}", True),
        ("It is 50 cm^2", r"50 \\text{ cm}^2", True),
    ],
)
def test_the_form_of_the_reference_says_what_belongs_to_a_value(
    text: str, reference: str, right: bool
) -> None:
    reference = reference.replace("\\\\", "\\")
    answer = extract_answer(text, DEFAULT_ORDER, reference)
    assert (math_equal(answer, reference) is MathVerdict.EQUAL) is right


@pytest.mark.parametrize(
    "text",
    [
        "\n\nNote: 5" * 9_000,
        "there are 5 a " * 9_000,
        "= 5 a a a" * 9_000,
        "$5" * 30_000,
        "is 5 when " * 9_000,
    ],
)
def test_long_texts_take_no_time(text: str) -> None:
    begun = time.process_time()
    without_asides(text)
    extract_answer(text)
    assert time.process_time() - begun < 1
