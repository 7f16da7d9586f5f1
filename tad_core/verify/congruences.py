r"""Remainders: what ``2^{100} \equiv 2 \pmod 7`` and ``2^{100} = 2 mod 7`` say, if they are right."""

from __future__ import annotations

import re

from tad_core.verify.arithmetic import remainder_of
from tad_core.verify.math_brackets import split_top

_MODULUS = r"\\?(?:p|b)?mod(?![a-z])\s*(?:\{\s*(\d{1,18})\s*\}|(\d{1,18}))"
_CONGRUENCE = re.compile(rf"(.+?)[\s,]*(?:\(\s*{_MODULUS}\s*\)|{_MODULUS})\.?")
_REMAINDER = re.compile(rf"(.+?)\s*(?:\(\s*{_MODULUS}\s*\)|{_MODULUS})\s*=\s*(-?\d{{1,18}})\.?")
_NUMBER = re.compile(r"-?\d{1,18}")


def remainder_said(answer: str) -> str:
    r"""``2 \pmod{7}`` of ``2^{100} \equiv 2 \pmod 7``, ``2 = 2`` of ``2^{100} mod 7 = 2``; else as it is.

    So it is where each side comes to the same remainder: of ``3x \equiv 2``, which is yet to be solved, and of
    what is wrong there is none.
    """
    if "mod" not in answer:
        return answer
    if found := _REMAINDER.fullmatch(answer):
        modulus = int(next(group for group in found.groups()[1:5] if group))
        remainder = remainder_of(_plain(found[1]), modulus) if modulus else None
        return answer if remainder is None else f"{remainder} = {found[6]}"
    found = _CONGRUENCE.fullmatch(answer)
    if found is None:
        return answer
    modulus = int(next(group for group in found.groups()[1:] if group))
    sides = [side.strip() for part in split_top(found[1], r"\equiv") for side in split_top(part, "=")]
    if len(sides) < 2 or modulus == 0 or not _NUMBER.fullmatch(sides[-1]):
        return answer
    remainders = {remainder_of(_plain(side), modulus) for side in sides}
    return rf"{sides[-1]} \pmod{{{modulus}}}" if len(remainders) == 1 and None not in remainders else answer


def _plain(side: str) -> str:
    """A side with round brackets alone."""
    return re.sub(r"\\(?:left|right)(?![a-z])", "", side).translate(str.maketrans("{}[]", "()()"))
