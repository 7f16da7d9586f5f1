"""Where the answer to one problem ends: at the end of a turn, and where a text goes on with another problem."""

from __future__ import annotations

import time

import pytest

from tad_core.verify import extract_answer
from tad_core.verify.turns import first_turn

OTHER = "\n\nQuestion: A farmer has 12 cows and 15 sheep.\nAnswer: 12 + 15 = 27.\n#### 27"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("64 + 32 = 96.\n#### 96" + OTHER, "96"),
        ("64 + 32 = 98.\n#### 98\n\nQuestion: How many are left?\n#### 96", "98"),
        ("The answer is \\boxed{12}.\n\n**Problem:** What is $3 + 5$?\n\nSolution: \\boxed{8}.", "12"),
        ("The answer is 12.\n\nQ: What is 3 + 5?\nA: The answer is 8.", "12"),
        ("The answer is 12.\n\n### Question 2: What is 3 + 5?\nThe answer is 8.", "12"),
        ("The answer is 12.\nHuman: What is 3 + 5?\nAssistant: The answer is 8.", "12"),
        # The problem itself, said again before it is solved.
        ("Question: How many are 3 and 5?\nAnswer: the answer is 8.", "8"),
        ("We add 3 and 5.\n\nQuestion: How many?\n\nAnswer: 8", "8"),
        ("Problem: What is $3 + 5$?\n\nProblem: the same in words\n\n\\boxed{8}", "8"),
        ("The answer is needed.\n\nProblem: count.\n\nThe answer is 8.", "8"),
        ("The answer is 8.\nThe question: how many?", "8"),
        ("\\boxed{12}<|endoftext|>\\boxed{13}", "12"),
        ("\\boxed{13}<|endoftext|>\\boxed{12}", "13"),
        ("It is 240.<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nThe answer is 40.", "240"),
        ("It is 40.<|im_end|>\n<|im_start|>user\nHow many? 10", "40"),
        ("<|im_end|>\nThe answer is 40.", "40"),
        ("<|start_header_id|>assistant<|end_header_id|>\n\nIt is 40.</s></s>", "40"),
    ],
)
def test_the_answer_is_that_of_the_first_problem(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


def test_a_text_of_nothing_but_ends_has_no_answer() -> None:
    assert first_turn("<|eot_id|></s> ") == "<|eot_id|></s> "
    assert extract_answer("<|eot_id|></s> ") == ""


def test_many_questions_are_quick() -> None:
    text = "Question: 1\n" * 50_000 + "<|eot_id|>" * 50_000
    start = time.process_time()
    extract_answer(text)
    assert time.process_time() - start < 5
