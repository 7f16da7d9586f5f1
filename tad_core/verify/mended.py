"""Which of several programs of a text is the one: what takes the place of another, and not what is shown as wrong."""

from __future__ import annotations

import re

#: words between a program and the one that takes its place
_MENDED = re.compile(
    r"\b(?:corrected|fixed|bugs?|mistakes?|incorrect|wrong|let me (?:fix|correct|revise)|revised|(?:won't|doesn't"
    r"|does not) work|fails)\b",
    re.IGNORECASE,
)
#: what a program is called, before its fence, that is shown for what is wrong with it
_SHOWN_AS_WRONG = re.compile(
    r"^(?![^\n]*\b(?:fix\w*|correct\w*|instead|revis\w+)\b)[^\n]{0,120}"
    r"\b(?:(?:common|typical|frequent|usual) (?:mistake|error|pitfall)"
    r"|(?:incorrect|wrong|buggy|bad|naive) (?:version|approach|solution|code|implementation|attempt|example|one))\b"
    r"[^\n]{0,60}:[ \t*]*\n+[ \t]*(?:`{3,}|~{3,})[^\n]*\n?\Z",
    re.IGNORECASE | re.MULTILINE,
)
#: Characters before a program in which is said what it is.
_WIDTH = 300


def final_of(text: str, bodies: list[str], places: list[int]) -> list[int]:
    """Where the program is that a text ends with: the first that defines what is asked for, or the last that mends one.

    Later ones that mend nothing are examples, or say the same in another way.
    """
    if len(bodies) < 2:
        return places
    begin = text.find(bodies[0].split("\n", 1)[0]) + len(bodies[0])
    between = text[begin : text.rfind(bodies[-1].split("\n", 1)[0])]
    mended = _MENDED.search(between) and not _SHOWN_AS_WRONG.search(between[-_WIDTH:])
    return places[-1:] if mended else places[:1]
