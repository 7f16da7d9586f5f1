"""What a model thinks before it answers."""

from __future__ import annotations

import pytest

from tad_core.verify import extract_answer
from tad_core.verify.thoughts import without_thoughts


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>Perhaps 17.</think>\nSo it is 18.", "\nSo it is 18."),
        ("<think>a</think>b<think>c</think>d", "d"),
        ("Perhaps 17.</think> 18", " 18"),
        ("<think>17</think>\n", "<think>17</think>\n"),
        ("<think>17", "<think>17"),
        ("18", "18"),
    ],
)
def test_what_follows_the_last_thought(text: str, answer: str) -> None:
    assert without_thoughts(text) == answer


def test_no_answer_is_taken_from_thoughts_where_another_follows() -> None:
    assert extract_answer(r"<think>\boxed{17}</think> So it is 18.") == "18"
    assert extract_answer("<think>The answer is 17.</think> So it is odd.") == ""
    assert extract_answer(r"<think>So \boxed{17}</think><|im_end|>") == "17"
