"""The teacher's prompt in training: text and tokens, against what the reference code builds by hand."""

from __future__ import annotations

import pytest

from tad_core.data import prompts
from tad_core.data.problem import Problem
from tad_core.errors import ModelError
from tests.tad_core.data import chat_tokenizers

MATH = Problem("m", "s", "math", "How many?", "5 + 3 = 8.\nSo 8.", answer="8")
CODE = Problem("c", "s", "code", "Write f.", "def f(): return 1", tests="assert 1")
TAIL = "Please reason step by step, and put your final answer within \\boxed{}."
TEXTS = [
    prompts.plain_messages(p)[0]["content"] + p.reference + "\n\nReference Answer: " for p in (MATH, CODE)
]

LLADA = {
    "m": "<|startoftext|><|start_header_id|>system<|end_header_id|>\n\nReference Answer: 5 + 3 = 8.\nSo 8.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nQuestion: How many?\nAnswer: " + TAIL + "<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "c": "<|startoftext|><|start_header_id|>system<|end_header_id|>\n\nReference Answer: def f(): return 1<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nWrite f.<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
}
DREAM = {
    "m": "<|im_start|>system\nYou are a helpful assistant.\n\nReference Answer: 5 + 3 = 8.\nSo 8.<|im_end|>\n"
    "<|im_start|>user\nQuestion: How many?\nAnswer: " + TAIL + "<|im_end|>\n<|im_start|>assistant\n",
    "c": "<|im_start|>system\nYou are a helpful assistant.\n\nReference Answer: def f(): return 1<|im_end|>\n"
    "<|im_start|>user\nWrite f.<|im_end|>\n<|im_start|>assistant\n",
}


@pytest.mark.parametrize("problem", [MATH, CODE], ids=["math", "code"])
@pytest.mark.parametrize(("family", "expected"), [("llada", LLADA), ("dream", DREAM)])
def test_tokens_are_those_of_the_literal_text(
    problem: Problem, family: prompts.Family, expected: dict[str, str]
) -> None:
    tokenizer = getattr(chat_tokenizers, family)(TEXTS)
    ids = prompts.training_teacher_prompt(tokenizer, problem, family)
    assert ids == tokenizer(expected[problem.id], add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids


def test_llada_begins_once_and_the_rest_is_the_students_prompt() -> None:
    tokenizer = chat_tokenizers.llada(TEXTS)
    ids, plain = (
        prompts.training_teacher_prompt(tokenizer, MATH, "llada"),
        prompts.student_prompt(tokenizer, MATH),
    )
    assert ids.count(tokenizer.bos_token_id) == 1 and ids[0] == plain[0] == tokenizer.bos_token_id
    assert ids[-len(plain) + 1 :] == plain[1:]
    assert tokenizer.words(ids[:6]) == [
        "<|startoftext|>", "<|start_header_id|>", "system", "<|end_header_id|>", "\n\n", "Reference",
    ]  # fmt: skip


def test_dreams_tokens_form_across_the_seam_as_in_the_whole_text() -> None:
    tokenizer = chat_tokenizers.dream(TEXTS)
    words = tokenizer.words(prompts.training_teacher_prompt(tokenizer, CODE, "dream"))
    start = words.index("assistant")
    # One token for the full stop with the two line breaks behind it: cut at the seam, they would be two.
    assert words[start : start + 5] == ["assistant", ".\n\n", "Reference", " ", "Answer"]
    assert words.count("<|im_end|>") == 2


def test_dream_without_a_system_turn_gets_one() -> None:
    bare = chat_tokenizers.DREAM_TEMPLATE.replace(
        "'<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n'", "''"
    )
    tokenizer = chat_tokenizers.dream(TEXTS, template=bare)
    expected = (
        "<|im_start|>system\n\nReference Answer: def f(): return 1<|im_end|>\n"
        "<|im_start|>user\nWrite f.<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = prompts.training_teacher_prompt(tokenizer, CODE, "dream")
    assert ids == tokenizer(expected, add_special_tokens=False)["input_ids"]


def test_a_reference_that_holds_the_end_of_a_turn_goes_before_the_first_one() -> None:
    text = prompts.with_system_reference("<|im_start|>system\nS<|im_end|>\nq<|im_end|>\n", "r", "dream")
    assert text == "<|im_start|>system\nS\n\nReference Answer: r<|im_end|>\nq<|im_end|>\n"


def test_llada_prompt_without_begin_of_text_gets_none() -> None:
    text = prompts.with_system_reference("<|start_header_id|>user", "r", "llada")
    assert (
        text
        == "<|start_header_id|>system<|end_header_id|>\n\nReference Answer: r<|eot_id|><|start_header_id|>user"
    )


def test_another_family_is_refused() -> None:
    with pytest.raises(ModelError, match="family 'sdar' is not known; supported: llada, dream"):
        prompts.with_system_reference("p", "r", "sdar")  # type: ignore[arg-type]
