"""Numbers of a question that an answer's last sentence says again."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import time

import pytest

from tad_core.data.problem import Problem
from tad_core.verify import Verifier, VerifyConfig
from tad_core.verify.givens import without_givens

GLASSES = "One glass costs $5. Kylar wants to buy 16 glasses. How much does he need to pay for them?"
SHEEP = "How many sheep do the towns have together if Seattle has 20 sheep?"
READS = "Weng reads 40 pages per hour. How long does it take her to read 120 pages?"
EGGS = "She sells eggs for $2 each. How much in dollars does she make every day?"
LARA = "Lara is 9 years younger than Ed. How old will Lara be 10 years from now?"
TOM = "Tom is 10 years old. In how many years will he be 18?"
BUSES = "There are 30 students. Each bus holds 15 students. How many buses are needed?"
NAPKINS = "Sally sews one tablecloth and 8 napkins. How many square inches of material will she need?"
PENCILS = "Sam has 5 boxes of 12 pencils. He gives 15 pencils away. How many pencils does he have left?"
MONTHS = "How many downloads did the program have over the three months?"

CASES = [
    (GLASSES, "Kylar needs to pay $64 for the 16 glasses.", "64"),
    (GLASSES, "So he needs to pay **$64** for 16 glasses.", "64"),
    (GLASSES, "The total cost of 16 glasses is $64.", "64"),
    (GLASSES, "He pays $40 for 8 glasses and $24 for the other 8, so $64.", "64"),
    (SHEEP, "They have 260 sheep together when Seattle has 20 sheep.", "260"),
    (SHEEP, "They have 260 sheep if Seattle has 20.", "260"),
    (READS, "It would take her 3 hours to read 120 pages.", "3"),
    (READS, "Weng can read 120 pages in 3 hours at 40 pages per hour.", "3"),
    (READS, "She reads 120 pages in 3 hours.", "3"),
    (EGGS, "She makes $18 per day from the eggs at $2 per egg.", "18"),
    (LARA, "Thus, she will be 16 + 10 = 26 years old 10 years from now.", "26"),
    (LARA, "Lara will be 26 in 10 years.", "26"),
    (LARA, "In 10 years, Lara will be 26.", "26"),
    (TOM, "In 8 years, Tom will be 18.", "8"),
    (TOM, "Tom will be 18 in 8 years.", "8"),
    (BUSES, "They need 2 buses, each with 15 students.", "2"),
    (BUSES, "They need 2 buses for 30 students.", "2"),
    (BUSES, "30 students need 2 buses.", "2"),
    (NAPKINS, "Sally will need 5844 square inches of material to make the tablecloth and 8 napkins.", "5844"),
    (PENCILS, "Sam has 45 pencils left after giving 15 away.", "45"),
    (MONTHS, "In total, the program had 366 downloads over the 3 months.", "366"),
]  # fmt: skip


def test_the_answer_is_what_the_question_does_not_give() -> None:
    """And no number that it gives passes for it."""
    cases = [(*case, True) for case in CASES]
    cases += [(GLASSES, "He needs to pay $64 for 16 glasses.", "16", False), (SHEEP, "They have 260 sheep if Seattle has 20.", "20", False),
              (READS, "It would take her 3 hours to read 120 pages.", "120", False), (TOM, "In 8 years, Tom will be 18.", "18", False)]  # fmt: skip
    problems = [
        Problem(str(at), "gsm8k", "math", case[0], "r", answer=case[2]) for at, case in enumerate(cases)
    ]
    with Verifier(VerifyConfig(workers=1)) as verifier:
        judgements = verifier.judge(problems, [case[1] for case in cases])
    assert [
        case for case, judgement in zip(cases, judgements, strict=True) if judgement.correct is not case[3]
    ] == []


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("", "He pays $64 for 16 glasses."),
        (GLASSES, "He pays $64 for 17 glasses."),
        (GLASSES, "He pays $64 for 16 glasses, so $4 each."),
        (GLASSES, "He has $80 and pays $64 for 16 glasses, leaving 5"),
        (GLASSES, "He buys 12 and then 16"),
        ("There are 3 cats and 5 dogs. How many dogs are there?", "There are 8 pets with 5 dogs."),
        ("Ann reads for 3 hours. How long does she read?", "She reads 120 pages in 3 hours."),
        ("It costs $5. How much is it?", "She buys 4 for $5."),
        (TOM, "Tom, who is 7, will be 18."),
        (TOM, "After 3 tries, he has 10"),
        (BUSES, "They need 2 buses and have 15."),
    ],
)  # fmt: skip
def test_what_could_be_asked_for_or_comes_to_another_value_stays(question: str, text: str) -> None:
    assert without_givens(text, question) == text


@pytest.mark.parametrize("piece", ["5 for 16 ", "5 a a a a a a ", "$16 ", "5 to a ", "In 5 a, ", ". A 16 "])
def test_long_texts_take_no_time(piece: str) -> None:
    begun = time.process_time()
    without_givens(piece * 20_000 + "16", GLASSES)
    without_givens("5 for 16", piece * 20_000)
    assert time.process_time() - begun < 1
