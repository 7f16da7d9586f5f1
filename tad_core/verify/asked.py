"""What a question counts in: "How many dozen eggs" is answered by "5 dozen", and its reference says 5."""

from __future__ import annotations

import re

_WORDS = r"(?P<word>dozen|hundred|thousand|million|billion|trillion)s?"
_COUNTED = re.compile(
    rf"\bhow (?:many|much)(?: more| whole| full| fewer)? {_WORDS}\b"
    rf"|\b(?:in|number of) (?:the |whole )?{_WORDS.replace('word', 'other')}\b(?! (?:place|digit|column))"
    r"[^.?!]*[.?!]?\s*$",
    re.IGNORECASE,
)


def counted_in(question: str) -> str | None:
    """The word for a number that the question asks for so many of; of several the last."""
    found = list(_COUNTED.finditer(question))
    return (found[-1]["word"] or found[-1]["other"]).lower() if found else None


def in_units(text: str, word: str) -> str:
    """The text with that word as a unit behind numbers, and no longer a number itself."""
    return re.sub(
        rf"(?<=\d)(\}}?\$?\s?(?:\\text\s?\{{\s?)?){word}s?(?![A-Za-z])(?: of\b)?",
        r"\1units",
        text,
        flags=re.IGNORECASE,
    )
