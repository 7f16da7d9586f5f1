"""Where brackets open and close in a cleaned answer, and what stands in none of them."""

from __future__ import annotations

import re


def split_top(text: str, separator: str) -> list[str]:
    """Split at separators that stand in no bracket. ``[a, b)`` closes as well as ``[a, b]`` does."""
    found = at_top(text, re.compile(re.escape(separator)))
    starts, ends = [0, *(match.end() for match in found)], [*(match.start() for match in found), len(text)]
    return [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def at_top(text: str, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """Where the pattern stands in no bracket."""
    found, depth, i = [], 0, 0
    while i < len(text):
        match = pattern.match(text, i) if depth == 0 else None
        if match:
            found.append(match)
            i = match.end()
            continue
        step, change = _bracket(text, i)
        depth = max(0, depth + change)
        i += step
    return found


def _bracket(text: str, i: int) -> tuple[int, int]:
    """Length of the token at ``i`` and how it changes the depth."""
    if text[i] == "\\":
        command = re.compile(r"\\(?:[A-Za-z]+ ?|.)").match(text, i)
        name = command.group().strip() if command else "\\"
        change = {r"\lbrace": 1, r"\rbrace": -1, r"\langle": 1, r"\rangle": -1}.get(name, 0)
        return (len(command.group()) if command else 1), change
    return 1, {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text[i], 0)


def encloses(text: str) -> bool:
    """Whether the first bracket is closed by the last: ``(a)(b)`` is a product, not a pair."""
    depth, i = 0, 0
    while i < len(text):
        step, change = _bracket(text, i)
        depth += change
        i += step
        if depth == 0:
            return i >= len(text)
    return False
