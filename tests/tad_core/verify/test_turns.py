"""Where the answer to one problem ends: at the end of a turn, and where a text goes on with another problem."""
# ruff: noqa: E501 (tables)

from __future__ import annotations

import time

import pytest

from tad_core.verify import extract_answer, extract_code
from tad_core.verify.code import assemble
from tad_core.verify.turns import first_turn, first_turn_of_program

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
        ("\\boxed{5}assistant\n\nThe answer is 6", "5"),
        ("It is 5.user\n\nAnd then? 6", "5"),
        ("5 of them are the lab assistant\n\nThe answer is 6", "6"),
        ("It is $10/user\nThere are 5 users.\n#### 50", "50"),
        ("It is 12 dollars/user\n\nThe answer is 24.", "24"),
        ("<|im_end|>\nThe answer is 40.", "40"),
        ("<|start_header_id|>assistant<|end_header_id|>\n\nIt is 40.</s></s>", "40"),
    ],
)
def test_the_answer_is_that_of_the_first_problem(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


def test_a_text_of_nothing_but_ends_has_no_answer() -> None:
    assert first_turn("<|eot_id|></s> ") == "<|eot_id|></s> "
    assert extract_answer("<|eot_id|></s> ") == ""


RIGHT = "def f(s):\n    return len(s)"
WRONG = "def f(s):\n    return 0"
IN_TEXT = 'def f(s):\n    return s + "<|im_end|>"'
IN_COMMENT = "def f(s):\n    x = s  # up to the <|im_end|> of it, a </s>\n    return x"
NAMED = "def f(s):\n    return g(s)\n\ndef g(a_user):\n    v1user = a_user\n    return v1user"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (f"{RIGHT}<|endoftext|>\n{WRONG}", RIGHT),
        (f"{WRONG}<|eot_id|>\n\nCorrected:\n```python\n{RIGHT}\n```", WRONG),
        (f"```python\n{WRONG}\n```<|im_end|>\n<|im_start|>user\nThe corrected one?\n```python\n{RIGHT}\n```", WRONG),
        (f"I shall.<|eot_id|>\n```python\n{RIGHT}\n```", RIGHT),  # no program before it
        (f"```python\n{WRONG}user\n\nThe corrected one?\n\n{RIGHT}\n```", WRONG),
        (f"Here:\n```python\n{NAMED}\n```", NAMED),
        (f"Here:\n```python\n{IN_COMMENT}\n```", IN_COMMENT),
        (f"```python\n{WRONG}  # done<|im_end|>\n{RIGHT}\n```", f"{WRONG}  # done"),
        (IN_TEXT, IN_TEXT),
        (f"Here:\n```python\n{IN_TEXT}\n```", IN_TEXT),
        ('```python\nT = """\n<|im_end|>\n"""\ndef f(s):\n    return T\n```', 'T = """\n<|im_end|>\n"""\ndef f(s):\n    return T'),
    ],
)  # fmt: skip
def test_the_program_is_that_of_the_first_turn(text: str, program: str) -> None:
    assert extract_code(text, "f").strip() == program
    assert assemble(text, "f").strip() == program


def test_the_rest_of_a_function_ends_with_its_turn() -> None:
    prompt = 'def f(s):\n    """The length."""\n'
    code = assemble("    return 0<|endoftext|>\n    return len(s)", "f", prompt)
    assert "return 0" in code and "return len" not in code


def test_a_name_that_ends_as_a_turn_begins_is_no_end() -> None:
    prompt = 'def f(a_user, other_user):\n    """Their sum."""\n'
    body = "    total = a_user + other_user\n    return total\n"
    assert assemble(body, "f", prompt) == prompt + body


def test_an_end_within_a_text_of_a_program_is_none() -> None:
    assert first_turn_of_program(IN_TEXT) == IN_TEXT


def test_many_questions_are_quick() -> None:
    text = "Question: 1\n" * 50_000 + "<|eot_id|>" * 50_000
    start = time.process_time()
    extract_answer(text)
    assert time.process_time() - start < 5
