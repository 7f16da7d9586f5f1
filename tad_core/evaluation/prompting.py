"""The prompt of a problem in evaluation, as messages, text and token ids; nothing here loads torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tad_core.data.problem import Problem
from tad_core.data.prompts import Message, encode_text, plain_messages, render
from tad_core.evaluation.benchmarks.base import benchmark_of


def messages_of(problem: Problem) -> list[Message]:
    """The chat that asks for an answer: a benchmark's own prompt, or the student's of training."""
    return list(problem.meta["messages"]) if benchmark_of(problem) else plain_messages(problem)


def chat_text(tokenizer: Any, messages: Sequence[Message]) -> str:
    """The text of a chat, ready for the response to follow; a last message of the assistant's is its beginning."""
    asked = messages[:-1] if messages[-1]["role"] == "assistant" else messages
    return render(tokenizer, list(asked)) + "".join(m["content"] for m in messages[len(asked) :])


def encode(tokenizer: Any, problem: Problem) -> list[int]:
    """Token ids of the prompt that evaluation sends for a problem."""
    return encode_text(tokenizer, chat_text(tokenizer, messages_of(problem)))
