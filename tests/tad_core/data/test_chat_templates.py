"""Every prompt of both families, as literal text and as the tokens of that text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tad_core.checkpoint import load_tokenizer
from tad_core.data import prompts
from tad_core.data.problem import Problem
from tests.tad_core.data import chat_tokenizers

MATH = Problem("m", "s", "math", "How many books?", "5 + 3 = 8.\n#### 8", answer="8")
CODE = Problem("c", "s", "code", "Write f.\n", "def f():\n    return 1", tests="assert 1")
PLAIN_MATH = (
    "Question: How many books?\nAnswer: Please reason step by step, "
    "and put your final answer within \\boxed{}."
)
PRIVILEGED_MATH = (
    "Question: How many books?\nReference Answer: 5 + 3 = 8.\n#### 8\nAfter understanding the reference answer, please "
    "try to solve this problem using your own approach below and output a detailed solution process:"
)
PRIVILEGED_CODE = (
    "Write f.\n\nReference Answer: def f():\n    return 1\nAfter understanding the reference solution, please try to "
    "solve this problem using your own approach below and just OUTPUT YOUR SOLUTION CODE, DON'T EXPLAIN IT:"
)
#: What stands in the user's turn: LLaDA's template takes white space off its ends, Dream's leaves it.
TURNS = [
    (MATH, "plain", PLAIN_MATH),
    (MATH, "privileged", PRIVILEGED_MATH),
    (CODE, "plain", "Write f.\n"),
    (CODE, "privileged", PRIVILEGED_CODE),
]
FRAMES: dict[str, Callable[[str], str]] = {
    "llada": lambda turn: (
        f"<|startoftext|><|start_header_id|>user<|end_header_id|>\n\n{turn.strip()}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "dream": lambda turn: (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n{turn}<|im_end|>\n<|im_start|>assistant\n"
    ),
}
TEXTS = [turn for _, _, turn in TURNS]


@pytest.mark.parametrize("family", ["llada", "dream"])
@pytest.mark.parametrize(("problem", "condition", "turn"), TURNS)
def test_tokens_are_those_of_the_literal_text(
    family: str, problem: Problem, condition: str, turn: str
) -> None:
    tokenizer = getattr(chat_tokenizers, family)(TEXTS)
    expected = FRAMES[family](turn)
    ids = prompts.teacher_prompt(tokenizer, problem, condition)  # type: ignore[arg-type]
    assert ids == tokenizer(expected, add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    messages = prompts.plain_messages if condition == "plain" else prompts.privileged_messages
    assert prompts.render(tokenizer, messages(problem)) == expected
    if condition == "plain":
        assert prompts.student_prompt(tokenizer, problem) == ids


def test_special_tokens_are_single_ids_and_the_text_begins_with_one() -> None:
    llada, dream = chat_tokenizers.llada(TEXTS), chat_tokenizers.dream(TEXTS)
    for tokenizer, special in (
        (llada, chat_tokenizers.LLADA_SPECIAL),
        (dream, chat_tokenizers.DREAM_SPECIAL),
    ):
        assert [tokenizer(t, add_special_tokens=False)["input_ids"] for t in special] == [
            [tokenizer.convert_tokens_to_ids(t)] for t in special
        ]
    ids = prompts.student_prompt(llada, MATH)
    assert ids[0] == llada.bos_token_id and ids.count(llada.bos_token_id) == 1
    assert llada.words(ids[-4:]) == ["<|start_header_id|>", "assistant", "<|end_header_id|>", "\n\n"]
    ids = prompts.student_prompt(dream, MATH)
    assert dream.bos_token_id not in ids  # Dream's template writes none
    assert dream.words(ids[-3:]) == ["<|im_start|>", "assistant", "\n"]


def test_llada_appends_the_assistants_header_whatever_is_asked_for() -> None:
    tokenizer = chat_tokenizers.llada(TEXTS)
    chat = prompts.plain_messages(MATH)
    with_, without = (
        tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=asked)
        for asked in (True, False)
    )
    assert with_ == without == prompts.render(tokenizer, chat)


def test_dream_takes_a_system_turn_that_is_given_and_else_its_own() -> None:
    tokenizer = chat_tokenizers.dream(TEXTS)
    own = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    assert prompts.render(tokenizer, own) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("family", ["llada", "dream"])
def test_a_checkpoints_tokenizer_gives_the_same_text(
    family: str, tiny_checkpoint: Path, tiny_dream_checkpoint: Path
) -> None:
    tokenizer = load_tokenizer(tiny_checkpoint if family == "llada" else tiny_dream_checkpoint)
    text = prompts.render(tokenizer, prompts.privileged_messages(MATH))
    assert text == FRAMES[family](PRIVILEGED_MATH)
    seen = prompts.training_teacher_prompt(tokenizer, MATH, family)  # type: ignore[arg-type]
    text = prompts.with_system_reference(FRAMES[family](PLAIN_MATH), MATH.reference, family)  # type: ignore[arg-type]
    assert seen == tokenizer(text, add_special_tokens=False)["input_ids"]
