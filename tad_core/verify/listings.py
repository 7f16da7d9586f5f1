"""Programs as they are shown and not written: behind the prompts of a session, or with the numbers of their lines."""

from __future__ import annotations

import itertools
import re

from tad_core.verify.definitions import parses

_PROMPT = re.compile(r"[ \t]*(?:>>>|\.\.\.|In \[\d+\]:|\.{3,}:)(?: |$)")
_BEGINNING = re.compile(r"\s*(?:>>> |In \[\d+\]: )\S")
_NUMBERED = re.compile(r"[ \t]*(\d{1,4})(?:[:.|)][ \t]?|[ \t]|$)")


def as_written(source: str) -> str:
    """A source without prompts or line numbers, where it is Python only without them."""
    if parses(source):
        return source
    for plain in (_without_prompts(source), _without_numbers(source)):
        if plain and parses(plain):
            return plain
    return source


def _without_prompts(source: str) -> str:
    """What was typed in a session, without what it answered; empty where it is none."""
    if not _BEGINNING.match(source):
        return ""
    typed = [(line, _PROMPT.match(line)) for line in source.split("\n")]
    return "\n".join(line[prompt.end() :] for line, prompt in typed if prompt).rstrip("\n")


def _without_numbers(source: str) -> str:
    """The lines behind numbers that count them; empty where a line has none."""
    lines = source.split("\n")
    numbers = [_NUMBERED.match(line) for line in lines]
    counted = [int(number[1]) for number in numbers if number]
    bare = any(line.strip() for line, number in zip(lines, numbers, strict=True) if number is None)
    if bare or len(counted) < 2 or any(b <= a for a, b in itertools.pairwise(counted)):
        return ""
    return "\n".join(
        line[number.end() :] if number else "" for line, number in zip(lines, numbers, strict=True)
    )
