"""Programs behind prompts and line numbers."""

from __future__ import annotations

import pytest

from tad_core.verify import extract_code
from tad_core.verify.listings import as_written

FENCE = "```"
BODY = "def f(x):\n    y = x\n\n    return y + 1"
SESSION = ">>> def f(x):\n...     y = x\n...\n...     return y + 1"


def numbered(separator: str, first: int = 1) -> str:
    return "\n".join(f"{at:>2}{separator}{line}" for at, line in enumerate(BODY.split("\n"), first))


@pytest.mark.parametrize(
    "text",
    [
        *(numbered(separator) for separator in (" ", "   ", ". ", ": ", "| ", "\t", ") ")),
        numbered(" ", 8),
        numbered(" ").replace("\n 3 ", "\n"),
        SESSION,
        f"{SESSION}\n...",
        SESSION.replace(">>> ", "In [1]: ").replace("... ", "   ...: ").replace("...\n", "   ...:\n"),
    ],
)
def test_prompts_and_numbers_are_left_out(text: str) -> None:
    assert as_written(text).strip() == BODY
    assert extract_code(f"{FENCE}python\n{text}\n{FENCE}", "f") == BODY
    assert extract_code(f"{FENCE}\n{text}\n{FENCE}") == BODY


def test_what_a_session_answers_is_no_program() -> None:
    assert as_written(f"{SESSION}\n...\n>>> f(1)\n2\n") == f"{BODY}\n\nf(1)"


@pytest.mark.parametrize(
    "text",
    [
        BODY,
        'def f(x):\n    """\n    >>> f(1)\n    2\n    """',
        "1. Do this.\n2. Do that.",
        "2 x = 1\n1 y = 1",
        "1 x = 1\ny = 2\n",
        "1 x = (\n2 y = 1",
        ">>> x = (",
    ],
)
def test_any_other_text_stays_as_it_is(text: str) -> None:
    assert as_written(text) == text
