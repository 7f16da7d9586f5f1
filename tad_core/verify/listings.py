"""Programs as they are shown and not written: behind the prompts of a session, with line numbers, within a sentence."""

from __future__ import annotations

import itertools
import re
import textwrap

from tad_core.verify.definitions import defines, is_stub, parses

_PROMPT = re.compile(r"[ \t]*(?:>>>|\.\.\.|In \[\d+\]:|\.{3,}:)(?: |$)")
_BEGINNING = re.compile(r"\s*(?:>>> |In \[\d+\]: )\S")
#: Functions within sentences that are tried.
_MAX_WITHIN = 8
_NUMBERED = re.compile(r"[ \t]*(\d{1,4})(?:[:.|)][ \t]?|[ \t]|$)")


def as_written(source: str) -> str:
    """A source without prompts or line numbers, where it is Python only without them."""
    if parses(source):
        return source
    for plain in (_without_prompts(source), _without_numbers(source)):
        if plain and parses(plain):
            return plain
    return source


def within_a_line(text: str, entry_point: str) -> str:
    """A function of one line within a sentence: ``Use `def f(x): return x` here``; empty where there is none."""
    function = re.compile(rf"(?<=[ \t`:])def {re.escape(entry_point)}\([^\n`]{{1,400}}")
    for found in itertools.islice(function.finditer(text), _MAX_WITHIN):
        source = found.group().rstrip(" .*")
        if defines(source, entry_point) and not is_stub(source, entry_point):
            return source
    return ""


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
    return textwrap.dedent(
        "\n".join(line[number.end() :] if number else "" for line, number in zip(lines, numbers, strict=True))
    )
