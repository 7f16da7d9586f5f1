"""Where a text stops to answer its problem: at the end of a turn, and where it goes on with another problem."""

from __future__ import annotations

import re
from collections.abc import Callable

_SPELLED = r"<\|(?:eot_id|eom_id|im_end|end|endoftext|end_of_text)\|>|</s>"
#: how a turn or a text ends where a text spells it, and what is left of the next head without special tokens, behind
#: what may end an answer: not in ``$5/user``
_END = re.compile(rf"{_SPELLED}|(?<=[\d.!?)\]}}$*%`\"'])(?:assistant|user)\n")
#: likewise behind a program: not where a name goes on (``self.user``, ``other_user``, ``v2user``)
_END_OF_PROGRAM = re.compile(rf"{_SPELLED}|(?:(?<=[)\]}}`\"'])|(?<=[\s(]\d))(?:assistant|user)\n")
_MARK = re.compile(r"<\|[a-z_]{1,20}\|>|</s>|\s+")
_GOES_ON = re.compile(r"[ \t]*[^\s<`]")
#: a paragraph that asks another question
_ANOTHER = re.compile(
    r"\n[\s#>*_-]{0,12}(?:(?:another |next |new )?(?:question|problem|exercise)(?: \d{1,3})?|Q|human|user)[\s*_]{0,4}:",
    re.IGNORECASE,
)
#: Other problems before which an answer is looked for.
_MOST = 16


def first_turn(text: str) -> str:
    """What comes before the first end of a turn that anything stands before."""
    at = 0
    while mark := _MARK.match(text, at):
        at = mark.end()
    end = _END.search(text, at)
    return text[: end.start()] if end else text


def first_turn_of_program(text: str) -> str:
    """The same of a text that holds a program, in whose texts an end may stand."""
    at = 0
    while mark := _MARK.match(text, at):
        at = mark.end()
    for _, end in zip(range(_MOST), _END_OF_PROGRAM.finditer(text, at), strict=False):
        line = text[text.rfind("\n", 0, end.start()) + 1 : end.start()]
        in_line = any(line.count(quote) % 2 for quote in "\"'")
        # A comment speaks of a token: what ends a turn has nothing behind it on its line.
        in_comment = "#" in line and (end.group() == "</s>" or _GOES_ON.match(text, end.end()) is not None)
        in_text = any(text.count(quote, 0, end.start()) % 2 for quote in ('"""', "'''"))
        if not in_line and not in_comment and not in_text:
            return text[: end.start()]
    return text


def first_problem(text: str, answered: Callable[[str], bool]) -> str:
    """A text up to where it asks another question, behind an answer; all of it where none was given before.

    Args:
        text: what a model wrote.
        answered: whether a text gives an answer in so many words.
    """
    begin = 0
    for _, another in zip(range(_MOST), _ANOTHER.finditer(text), strict=False):
        # What stands between two questions is an answer to the first of them, if it is one.
        if answered(text[begin : another.start()]):
            return text[: another.start()]
        begin = another.start()
    return text
