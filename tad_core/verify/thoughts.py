"""What a model thinks before it answers, between ``<think>`` and ``</think>``: no part of its answer."""

from __future__ import annotations

END = "</think>"


def without_thoughts(text: str) -> str:
    """What follows the thoughts of a text; all of it where nothing does, or where it has none that end."""
    _, ended, answer = text.rpartition(END)
    return answer if ended and answer.strip() else text
