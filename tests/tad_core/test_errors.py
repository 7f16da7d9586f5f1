"""Errors in one line."""

from __future__ import annotations

import pytest

from tad_core.errors import SubprocessError, in_a_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("training failed", "training failed"),
        ("evaluate.workers: too many\nlower it", "evaluate.workers: too many"),
        ("it ended with code 1; last lines:\n  at\n\nError: none\n ", "it ended with code 1; last lines: Error: none"),
        ("it ended with code 1; last lines:\n", "it ended with code 1; last lines:"),
        ("", "SubprocessError"),
    ],
)  # fmt: skip
def test_a_line_of_an_error_tells_its_cause(text: str, line: str) -> None:
    assert in_a_line(SubprocessError(text)) == line
