"""Which of several programs of a text is the one: what takes the place of another, and not what is shown as wrong."""

from __future__ import annotations

import itertools
import re

from tad_core.verify.definitions import methods_of

#: words between a program and the one that takes its place
_MENDED = re.compile(
    r"\b(?:corrected|fixed|bugs?|mistakes?|incorrect|wrong|let me (?:fix|correct|revise)|revised|(?:won't|doesn't"
    r"|does not) work|fails|oops|my (?:bad|mistake)|apologi\w+"
    r"|here(?:'s| is) the (?:(?:full|complete|final|updated|right|correct) )+(?:code|version|program|function|solution"
    r"|implementation))\b",
    re.IGNORECASE,
)
#: what a program is called, before its fence, that is shown for what is wrong with it
_SHOWN_AS_WRONG = re.compile(
    r"^(?![^\n]*\b(?:fix\w*|correct\w*|instead|revis\w+)\b)[^\n]{0,120}"
    r"\b(?:(?:common|typical|frequent|usual) (?:mistake|error|pitfall)"
    r"|(?:incorrect|wrong|buggy|bad|naive) (?:version|approach|solution|code|implementation|attempt|example|one)"
    r"|(?:following|(?:code|version|program|one) below)\b[^\n.]{0,60}"
    r"\b(?:wrong|incorrect|fails?|not work|(?:wo|does)n't work))\b"
    r"[^\n]{0,60}:[ \t*]*\n+[ \t]*(?:`{3,}|~{3,})[^\n]*\n?\Z",
    re.IGNORECASE | re.MULTILINE,
)
#: Characters before a program in which is said what it is.
_WIDTH = 300


def final_of(text: str, name: str, bodies: list[str], places: list[int]) -> list[int]:
    """Where the program is that a text ends with: the first that defines ``name``, or the last that mends one.

    So is a class of which a later program has all methods and more. Later ones that mend nothing are examples, or say
    the same in another way.
    """
    if len(bodies) < 2:
        return places
    methods = [methods_of(body, name) for body in bodies]
    if (
        methods[0]
        and all(one <= other for one, other in itertools.pairwise(methods))
        and methods[0] < methods[-1]
    ):
        return places[-1:]
    begin = text.find(bodies[0].split("\n", 1)[0]) + len(bodies[0])
    between = text[begin : text.rfind(bodies[-1].split("\n", 1)[0])]
    mended = _MENDED.search(between) and not _SHOWN_AS_WRONG.search(between[-_WIDTH:])
    return places[-1:] if mended else places[:1]
