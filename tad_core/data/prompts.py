"""What the student sees and what the privileged teacher sees, as the paper's reference code words it.

The reference answer is in the teacher's prompt alone; ``student_prompt`` takes no reference at all. A chat
template is always the tokenizer's own: it is rendered to text, and the whole text is tokenised at once, so that
tokens may form across the seams exactly as they do for the model's authors.
"""

from __future__ import annotations

from typing import Any, Literal

from tad_core.data.problem import Problem
from tad_core.errors import ModelError
from tad_core.families import FAMILIES

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


def render(tokenizer: Any, messages: list[Message]) -> str:
    """The text of a chat by the tokenizer's own template, ready for the response to follow."""
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a rendered prompt; the template has already written every special token."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def encode_prompt(tokenizer: Any, messages: list[Message]) -> list[int]:
    """Token ids of a chat, ready for the response to follow."""
    return encode_text(tokenizer, render(tokenizer, messages))


def student_prompt(tokenizer: Any, problem: Problem) -> list[int]:
    """Token ids of the plain prompt: the student's, without the reference.

    Args:
        tokenizer: of the checkpoint, with its chat template.
        problem: what is asked.
    """
    return encode_prompt(tokenizer, plain_messages(problem))


def teacher_prompt(tokenizer: Any, problem: Problem, condition: Literal["privileged", "plain"]) -> list[int]:
    """Token ids of the prompt a rollout uses.

    Args:
        tokenizer: of the checkpoint, with its chat template.
        problem: what is asked, and its reference.
        condition: ``privileged`` with the reference, ``plain`` as the student's.
    """
    if condition == "plain":
        return student_prompt(tokenizer, problem)
    return encode_prompt(tokenizer, privileged_messages(problem))


def training_teacher_prompt(tokenizer: Any, problem: Problem, family: str) -> list[int]:
    """Token ids of the prompt the teacher has while it trains the student, in the paper's own way.

    It is the student's prompt with the reference in the system turn, not the prompt of the rollout.

    Raises:
        ModelError: for a family whose chat format is not known here.
    """
    return encode_text(
        tokenizer,
        with_system_reference(render(tokenizer, plain_messages(problem)), problem.reference, family),
    )


def with_system_reference(prompt: str, reference: str, family: str) -> str:
    """A rendered prompt with the reference in the system turn of that family, as the paper's reference code has it.

    Raises:
        ModelError: for a family whose chat format is not known here.
    """
    known = {each.name: each for each in FAMILIES.values()}
    if family not in known:
        raise ModelError(
            f"distill.teacher_prompt: the system turn of family {family!r} is not known; supported: {', '.join(known)}"
        )
    return known[family].with_system(prompt, f"Reference Answer: {reference}")


def _user(content: str) -> Message:
    return {"role": "user", "content": content}
