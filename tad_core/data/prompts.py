"""What the student sees and what the privileged teacher sees (algorithms: section 2, rollout prompts).

The reference answer is in the teacher's prompt alone; ``student_prompt`` takes no reference at all.
"""

from __future__ import annotations

from typing import Any, Literal

from tad_core.data.problem import Problem

Message = dict[str, str]

MATH_TAIL = "Please reason step by step, and put your final answer within \\boxed{}."
PRIVILEGED_MATH_TAIL = (
    "After understanding the reference answer, please try to solve this problem using your own approach below "
    "and output a detailed solution process:"
)
PRIVILEGED_CODE_TAIL = (
    "After understanding the reference solution, please try to solve this problem using your own approach below "
    "and just OUTPUT YOUR SOLUTION CODE, DON'T EXPLAIN IT:"
)


def plain_messages(problem: Problem) -> list[Message]:
    """One user turn without the reference: the student's prompt, in training and in evaluation."""
    if problem.kind == "math":
        return [_user(f"Question: {problem.question}\nAnswer: {MATH_TAIL}")]
    return [_user(problem.question)]


def privileged_messages(problem: Problem) -> list[Message]:
    """One user turn with the reference: the teacher's prompt."""
    if problem.kind == "math":
        return [
            _user(
                f"Question: {problem.question}\nReference Answer: {problem.reference}\n{PRIVILEGED_MATH_TAIL}"
            )
        ]
    return [_user(f"{problem.question}\nReference Answer: {problem.reference}\n{PRIVILEGED_CODE_TAIL}")]


def encode_prompt(tokenizer: Any, messages: list[Message]) -> list[int]:
    """Token ids of a chat, ready for the response to follow."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def student_prompt(tokenizer: Any, problem: Problem) -> list[int]:
    """Token ids of the plain prompt."""
    return encode_prompt(tokenizer, plain_messages(problem))


def teacher_prompt(tokenizer: Any, problem: Problem, condition: Literal["privileged", "plain"]) -> list[int]:
    """Token ids of the prompt a rollout uses under ``condition``."""
    if condition == "plain":
        return student_prompt(tokenizer, problem)
    return encode_prompt(tokenizer, privileged_messages(problem))


def _user(content: str) -> Message:
    return {"role": "user", "content": content}
