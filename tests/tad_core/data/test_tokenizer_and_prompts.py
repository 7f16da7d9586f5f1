from __future__ import annotations

import pytest

from tad_core.config import SourceConfig
from tad_core.data import prompts
from tad_core.data.problem import Problem
from tad_core.data.sources import load_source
from tad_core.data.tokenizer import SENTENCES, SPECIAL, build_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_vocabulary_is_the_same_every_time(tokenizer) -> None:
    assert build_tokenizer().get_vocab() == tokenizer.get_vocab()
    assert [tokenizer.convert_tokens_to_ids(t) for t in SPECIAL] == list(range(len(SPECIAL)))
    assert tokenizer.mask_token_id != tokenizer.eos_token_id


@pytest.mark.parametrize(
    "text",
    [
        "```python\ndef solve(x, y):\n    x = max(x, 3)\n    return x\n```",
        "Step 1: 5 + 3 = 8\nAnswer: \\boxed{8}",
    ],
)
def test_text_survives_the_round_trip(tokenizer, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer(tokenizer.decode(ids), add_special_tokens=False)["input_ids"] == ids


def test_decoded_programs_still_run(tokenizer) -> None:
    for problem in load_source(SourceConfig(name="p", source="pyfunc", count=60, options={"max_steps": 5})):
        ids = tokenizer(problem.reference, add_special_tokens=False)["input_ids"]
        code = tokenizer.decode(ids).removeprefix("```python\n").removesuffix("\n```")
        exec(code + "\n" + problem.tests, {})


def test_no_unknown_word_in_any_prompt(tokenizer) -> None:
    for name in ("arithmetic", "pyfunc"):
        source = SourceConfig(
            name=name, source=name, count=150, seed=9, options={"min_steps": 1, "max_steps": 6}
        )
        for problem in load_source(source):
            for condition in ("plain", "privileged"):
                assert tokenizer.unk_token_id not in prompts.teacher_prompt(tokenizer, problem, condition)


def test_integers_and_template_sentences_are_single_tokens(tokenizer) -> None:
    assert len(tokenizer("137", add_special_tokens=False)["input_ids"]) == 1
    for sentence in SENTENCES:
        assert len(tokenizer(sentence, add_special_tokens=False)["input_ids"]) == 1


MATH = Problem("m", "s", "math", "How many?", "5 + 3 = 8. SECRET", answer="8")
CODE = Problem("c", "s", "code", "Write it.", "SECRET", tests="assert 1")


def test_templates_word_for_word() -> None:
    assert prompts.plain_messages(MATH) == [
        {
            "role": "user",
            "content": "Question: How many?\nAnswer: Please reason step by step, and put your final answer within "
            "\\boxed{}.",
        }
    ]
    assert prompts.privileged_messages(MATH)[0]["content"] == (
        "Question: How many?\nReference Answer: 5 + 3 = 8. SECRET\nAfter understanding the reference answer, please "
        "try to solve this problem using your own approach below and output a detailed solution process:"
    )
    assert prompts.privileged_messages(CODE)[0]["content"] == (
        "Write it.\nReference Answer: SECRET\nAfter understanding the reference solution, please try to solve this "
        "problem using your own approach below and just OUTPUT YOUR SOLUTION CODE, DON'T EXPLAIN IT:"
    )


@pytest.mark.parametrize("problem", [MATH, CODE])
def test_student_never_sees_the_reference(problem: Problem) -> None:
    assert "SECRET" not in str(prompts.plain_messages(problem))
    assert "SECRET" in str(prompts.privileged_messages(problem))


def test_chat_template_is_lladas(tokenizer) -> None:
    text = tokenizer.apply_chat_template([{"role": "user", "content": " hi "}], tokenize=False)
    assert text == (
        "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
