"""What stands in no bracket."""

from __future__ import annotations

import re

from tad_core.verify.math_brackets import at_top, encloses, split_top


def test_brackets_hide_separators() -> None:
    assert split_top("(1,2),[3,4),5", ",") == ["(1,2)", "[3,4)", "5"]
    assert split_top(r"\lbrace 1,2\rbrace,3", ",") == [r"\lbrace 1,2\rbrace", "3"]
    assert [match.start() for match in at_top("a=(b=c)=d", re.compile("="))] == [1, 7]


def test_the_first_bracket_is_closed_by_the_last() -> None:
    assert encloses("(a)") and encloses("[a,(b)]") and not encloses("(a)(b)") and not encloses("(a")
