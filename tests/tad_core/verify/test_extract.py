"""Finding answers and programs in texts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tad_core.verify import extract_answer, extract_code
from tad_core.verify.boxes import last_boxed
from tad_core.verify.numbers import last_number


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{7}", "7"),
        (r"\boxed{1} and then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed {3}", "3"),
        (r"$\boxed 5$", "5"),
        (r"\fbox{8}", "8"),
        (r"a box \boxed{4} and a cut one \boxed{\frac{1}{", "4"),
        (r"\boxed{6} then empty \boxed{}", "6"),
        (r"\boxed{a\boxed{b}}", "b"),
        (r"no box", ""),
        (r"\boxed{", ""),
        (r"\boxed{\text{a \} b}}", r"\text{a \} b}"),
    ],
)
def test_the_last_balanced_box(text: str, answer: str) -> None:
    assert last_boxed(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("She pays $1,234.50 in all.", "1234.50"),
        ("from 7 to -3", "-3"),
        ("7 - 3", "3"),
        ("(5)-3", "3"),
        ("= -3", "-3"),
        ("it costs -$5", "-5"),
        ("$-5", "-5"),
        ("about 3/4 of it", "3/4"),
        ("that is 50%", "50%"),
        ("x2 and y3", ""),
        ("1,23 apples", "23"),
        ("none", ""),
        ("The value is 12.", "12"),
    ],
)
def test_the_last_number(text: str, answer: str) -> None:
    assert last_number(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"5 #### 6 \boxed{7} The answer is 8. 9", "7"),
        ("5\n#### 6\n the answer is 8. 9", "6"),
        ("5 The answer is 8. Not 9.", "8"),
        ("Answer: $\\frac{1}{2}$", r"\frac{1}{2}"),
        ("The answer is **12 apples**.", "12 apples"),
        ("The final answer is: 3.5", "3.5"),
        ("the answer is $18.", "$18"),
        (r"The final answer is $\$36$.", r"\$36"),
        (r"The answer is $x = \$1,234.50$ a year.", r"x = \$1,234.50"),
        (r"The final answer is: $\$\frac{1}{2}$. Done.", r"\$\frac{1}{2}"),
        (r"The answer is $34\text{ sq. units}$.", r"34\text{ sq. units}"),
        ("the answer is $18 and not $20.", "$18 and not $20"),
        ("The answer is 5 because 3 + 2 = 5.", "5"),
        ("The answer is the sum of both, 12.", "12"),
        ("The answer is about 3.5 miles.", "3.5"),
        ("The answer is Evelyn.", "Evelyn"),
        ("The answer is pi/2.", "pi/2"),
        ("The answer is $5$ dollars.", "5 dollars"),
        ("first 5, then 9", "9"),
        ("", ""),
    ],
)
def test_rules_are_tried_in_their_order(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


def test_the_order_is_the_callers() -> None:
    text = r"#### 6 \boxed{7}"
    assert extract_answer(text, ("hashes", "boxed")) == r"6 \boxed{7}"
    assert extract_answer(text, ("last_number",)) == "7"


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=400))
def test_extraction_never_fails(text: str) -> None:
    extract_answer(text)
    extract_code(text, "f")


@settings(deadline=None)  # the machine may be busy
@given(st.integers(-(10**12), 10**12))
def test_every_integer_is_found_again(n: int) -> None:
    assert extract_answer(f"we get \\boxed{{{n}}}") == str(n)
    assert extract_answer(f"it is {n}") == str(n)
    assert extract_answer(f"it is {n:,}.") == str(n)


FENCE = "```"
IN_DOCSTRING = f"""{FENCE}python
def f(x):
    '''An example:

    {FENCE}
    f(1)
    {FENCE}
    '''
    return x
{FENCE}
It adds nothing."""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"Sure:\n{FENCE}python\ndef f(x):\n    return x\n{FENCE}\nDone.", "def f(x):\n    return x"),
        (f"{FENCE}\nf = 1\n{FENCE}", "f = 1"),
        (f"{FENCE}python\ndef f(x):\n    return x", "def f(x):\n    return x"),
        (f"{FENCE}py\ndef g(): pass\n{FENCE}\n{FENCE}python\ndef f(): pass\n{FENCE}", "def f(): pass"),
        (f"{FENCE}bash\nls\n{FENCE}\n{FENCE}python\nf = 2\n{FENCE}", "f = 2"),
        (f"{FENCE}python\nthis is not python\n{FENCE}\n{FENCE}python\nf = 3\n{FENCE}", "f = 3"),
        (f"{FENCE}python\nthis is not python\n{FENCE}", "this is not python"),
        ("def f(x):\n    return x\n", "def f(x):\n    return x"),
        ("I cannot do that.", ""),
        ("", ""),
        ("~~~python\nf = 4\n~~~", "f = 4"),
        (f"{FENCE}python\r\ndef f():\r\n    return 1\r\n{FENCE}\r\nDone.\r\n", "def f():\n    return 1"),
        (f"{FENCE}\r\nf = 5\r\n{FENCE}", "f = 5"),
        (
            f'{FENCE}python\ndef f():\n    """{FENCE}"""\n    return 2\n{FENCE}',
            f'def f():\n    """{FENCE}"""\n    return 2',
        ),
        (IN_DOCSTRING, IN_DOCSTRING.removeprefix(f"{FENCE}python\n").rpartition(f"\n{FENCE}\n")[0]),
        (
            IN_DOCSTRING.replace("python", "", 1),
            IN_DOCSTRING.removeprefix(f"{FENCE}python\n").rpartition(f"\n{FENCE}\n")[0],
        ),
    ],
)
def test_the_program_in_a_text(text: str, code: str) -> None:
    assert extract_code(text, "f") == code


INNER = (
    'def f(x):\n    """Square.\n\n    Example:\n    ```python\n    f(3)\n    ```\n    """\n    return x * x'
)
TWO_INNER = INNER + '\n\ndef g(x):\n    return h(f"""\n```\nf({x})\n```\n""")'


@pytest.mark.parametrize("code", [INNER, INNER.replace('"""', "'''"), TWO_INNER, INNER.replace("`", "~")])
@pytest.mark.parametrize(
    "frame",
    ["{}", f"Sure:\n{FENCE}python\n{{}}\n{FENCE}\nDone.", f"{FENCE}\n{{}}\n{FENCE}", f"{FENCE}python\n{{}}"],
)
def test_a_fence_in_a_string_of_the_program_ends_nothing(code: str, frame: str) -> None:
    assert extract_code(frame.replace("{}", code), "f") == code


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
@pytest.mark.parametrize("code", ["def f(x):\n    return x", INNER])
def test_lines_may_end_as_on_other_systems(code: str, newline: str) -> None:
    text = f"Sure:\n{FENCE}python\n{code}\n{FENCE}\nIt squares.\n{FENCE}text\n9\n{FENCE}"
    assert extract_code(text.replace("\n", newline), "f") == code
    assert extract_code(code.replace("\n", newline), "f") == code


def test_a_block_that_is_no_python_ends_at_its_first_fence() -> None:
    text = f"{FENCE}python\ndef f(:\n{FENCE}\nno, so:\n{FENCE}python\nf = 5\n{FENCE}"
    assert extract_code(text, "f") == "f = 5"
    cut = f'{FENCE}python\nx = """open\n{FENCE}\nno, so:\n{FENCE}python\nf = 5\n{FENCE}'
    assert extract_code(cut, "f") == "f = 5"


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 30_000, "\\boxed{1" * 30_000, "~" * 200_000, "`" * 200_000,
        "```python\n" * 20_000, "```\n" * 40_000, '```\n"""\n' * 20_000, "answer is " * 20_000, "-1/" * 60_000,
    ],
)  # fmt: skip
def test_long_texts_of_one_thing_take_no_longer_than_their_length(text: str) -> None:
    """The text is looked through in the run's own process: nothing there may stop it."""
    used = time.process_time()
    extract_answer(text)
    extract_code(text, "f")
    assert time.process_time() - used < 3  # what tried every length of a run of tildes took minutes
