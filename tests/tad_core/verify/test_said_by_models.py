"""Ends of texts as masked diffusion models write them: the value, and what stands beside it."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import pytest

from tad_core.data.problem import Problem
from tad_core.verify import MathVerdict, Verdict, Verifier, math_equal


def judged(text: str, reference: str, question: str, source: str) -> bool:
    with Verifier() as verifier:
        (judgement,) = verifier.judge(
            [Problem("p/1", source, "math", question, "r", answer=reference)], [text]
        )
    return judgement.verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        # What is said in brackets behind a value.
        ("Each will cost $1.25 + $1.75 = $3 in total (the shipping is $1.75).", "3", "1.75"),
        ("In total there are 120 + 200 = 320 of both (120 counters, 200 marbles).", "320", "200"),
        ("So 250 visitors went to the library that week (50 on Monday, 200 on other days).", "250", "200"),
        ("It is 3 each (12 boxes, 36 in total).", "36", "12"),
        ("She got 5 more (10 - 3 = 7, not 5).", "", "5"),
        ("It took 5.5 hours (330 minutes).", "330", "6"),
        ("So Harry is 26 years old (Bea is 15, Job is 45).", "26", "45"),
        ("He has 350 cents (which is $3.50).", "350", "5"),
        # The parts of a value.
        ("Reina has a total of 320 toys, i.e., 120 counters and 200 marbles.", "320", "200"),
        ("Reina has a total of 310 toys, i.e., 120 counters and 200 marbles.", "200", "310"),
        ("Since 18 is the smallest multiple of 9 that is greater than 17, $d$ must equal $1$.", "1", "18"),
        # What it is said of.
        ("In total she makes $300 over the 2 days.", "300", "2"),
        ("She has worked for the 2 days.", "2", "3"),
        ("40 - 24 = 16 legs are left for tables with 4 legs each.", "16", "4"),
        ("They have made (40 - 20) / 4 tables with 4 legs each.", "", "4"),
        ("Each of the 3 children is left with 4 apples each.", "4", "3"),
        ("She has to run 6 more miles to meet her goal of 24 miles.", "6", "24"),
        ("He will have driven 15 miles when he is halfway through his 30-mile drive.", "15", "30"),
        ("It will be a 30-mile drive.", "30", "1"),
        ("She spent $347.\n\nLet me know if you need help with these 3 purchases!", "347", "3"),
        # Money in two units.
        ("He has 8 coins, for a total of 350 cents, or $3.50.", "350", "35"),
        ("He has 8 coins, for a total of 350 cents, or $3.50.", "3.5", "8"),
        ("He has 8 coins, for a total of $3.50, or 350 cents.", "3.5", "8"),
        ("He has 8 coins, for a total of 350 cents, or $3.60.", "", "350"),
        ("#### 200minutes", "200", "20"),
        ("#### 5dozen", "60", "6"),
        # Another value behind the answer.
        ("The answer is 7. It is 8.", "", "7"),
        ("The answer is 7. It is 8 dollars.", "", "7"),
        ("The answer is 12 hours. That is 720 minutes.", "12", "11"),
        ("The answer is 12 hours. That is 720 minutes.", "720", "700"),
        ("The answer is 12 hours. That is 700 minutes.", "", "12"),
        ("The answer is $20. That is 2000 cents.", "20", "2"),
        ("The answer is 3 feet 6 inches. That is 42 inches.", "42", "6"),
        ("The answer is 3 dozen. That is 36 eggs.", "36", "3 eggs"),
        ("The answer is 5,000. That is 5 thousand.", "5000", "5"),
        ("The answer is 40. That is 10 more.", "40", "10"),
        ("The answer is 0.25. That is 25 percent.", "0.25", "0.5"),
        ("The answer is 7. It is 7.", "7", "8"),
        ("The answer is 7 apples. It is 7 apples.", "7", "8"),
        ("The answer is 7. It is 8 less than 15.", "7", "8"),
        (r"The answer is $\boxed{96}$ weasels. However, the answer should be 90.", "", "96"),
        (r"\boxed{96}\n\nThe final answer is 90.", "", "90"),
        (r"\boxed{96}\n\nThe final answer is 96 rodents.", "96", "6"),
        (r"\boxed{96}. The answer is 6 times 16.", "96", "6"),
        (r"\boxed{1,234}. So the answer is $1234$.", "1234", "1"),
        ("Answer: 96 rodents (150 - 54).", "96", "54"),
        ("Answer: 95 rodents (150 - 54).", "", "95"),
        ("The answer is 4. No wait, that is Carlos. Sam knows 4 + 6 = 10.", "10", "4"),
        ("The answer is 4. Wait, no. That was for Carlos.", "", "Carlos"),
    ],
)  # fmt: skip
def test_a_number_at_the_end(text: str, right: str, wrong: str) -> None:
    if right:
        assert judged(text, right, "How many?", "gsm8k")
    assert not judged(text, wrong, "How many?", "gsm8k")


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("x = 3. Also x = 4.", "3,4", "4"),
        ("So $x = 3$. Also, $x = 4$.", "3,4", "4"),
        ("x = 3. Also y = 4.", "4", "3"),
        ("The domain of $z(x)$ is all real numbers.", r"(-\infty,\infty)", "z(x)"),
        ("The domain of $z(x)$ is all real numbers except $1$.", "", r"(-\infty,\infty)"),
    ],
)
def test_mathematics_at_the_end(text: str, right: str, wrong: str) -> None:
    if right:
        assert judged(text, right, "q", "math")
    assert not judged(text, wrong, "q", "math")


@pytest.mark.parametrize(
    ("answer", "reference", "equal"),
    [
        (r"\pi = 3", "3", False), (r"\pi = 3.2", "3.2", False), (r"\pi \approx 3.14", r"\pi", True), ("e = 3", "3", True),
        (r"2\sqrt{}3", r"2\sqrt{3}", False), (r"\frac{}{3}4", r"\frac34", False), (r"\sqrt[3]{ }8", "2", False),
        (r"\mathbb{R}^+", r"(0,\infty)", True), (r"\mathbb{R}_{>0}", r"(0,\infty)", True), (r"\mathbb{R}^+", r"[0,\infty)", False),
        (r"\mathbb{R}^2", r"(0,\infty)", False), (r"\text{all positive real numbers}", r"(0,\infty)", True),
        (r"\text{all non-negative real numbers}", r"[0,\infty)", True), (r"\mathbb{R}^-", r"(-\infty,0)", True),
        ("3 < f(A) < 4", "(3,4)", True), ("3 < f(A) < 4", "[3,4]", False),
        ("A'(1, 4)", "(1,4)", True), ("C(2,3)", "(3,2)", False), ("P(1, 2) = 3", "3", True), ("f(1,4)", "(1,4)", False),
        (r"\text{odd function}", r"\text{odd}", True), (r"\text{even function}", r"\text{odd}", False),
        (r"\text{odd or even function}", r"\text{odd}", False), (r"\text{odd}", r"\text{odd function}", False),
        (r"\begin{cases} x, & x \ge 0 \\ -x, & x < 0 \end{cases}", r"\begin{cases} x & x \ge 0 \\ -x & x < 0 \end{cases}", True),
        (r"\begin{cases} x & \text{if } x \ge 0 \\ -x & \text{if } x < 0 \end{cases}", r"\begin{cases} x & x \ge 0 \\ -x & x < 0 \end{cases}", True),
        (r"\begin{cases} -x, & x \ge 0 \\ x, & x < 0 \end{cases}", r"\begin{cases} x & x \ge 0 \\ -x & x < 0 \end{cases}", False),
    ],
)  # fmt: skip
def test_one_value_in_another_notation(answer: str, reference: str, equal: bool) -> None:
    assert (math_equal(answer, reference) is MathVerdict.EQUAL) == equal
