"""Programs between prose, in indented, quoted and badly closed blocks, and in several."""

from __future__ import annotations

import textwrap
import time

import pytest

from tad_core.verify import extract_code
from tad_core.verify.definitions import defines

FENCE = "```"
BODY = "def f(x):\n    return x + 1"
INDENTED = textwrap.indent(BODY, "   ")


@pytest.mark.parametrize(
    "text",
    [
        f"Here is the code:\n\n{BODY}\n",
        f"{BODY}\n\nThis function adds one to x.\n",
        f"Sure! Here it is.\n\n{BODY}\n\nIt works, doesn't it?",
        f"1. Do:\n   {FENCE}python\n{INDENTED}\n   {FENCE}\n",
        f"1. Do:\r\n   {FENCE}python\r\n{INDENTED}\r\n   {FENCE}\r\n".replace("\n   ", "\r\n   "),
        f"\t{FENCE}\n{textwrap.indent(BODY, chr(9))}\n\t{FENCE}\n",
        f"   ~~~python\n{INDENTED}\n   ~~~\n",
        f"> {FENCE}python\n{textwrap.indent(BODY, '> ')}\n> {FENCE}\n",
        f"Code: {FENCE}python\n{BODY}\n{FENCE} done",
        f"{FENCE}python\n{BODY}{FENCE}",
        f"{FENCE}python\n{BODY}\n{FENCE} This works.",
        f"{FENCE}`markdown\n{FENCE}python\n{BODY}\n{FENCE}\n{FENCE}`",
        f"{FENCE}{{.python}}\n{BODY}\n{FENCE}",
        f"[BEGIN]\n{BODY}\n[DONE]",
        f"python\n{BODY}",
        f"[PYTHON]\n{BODY}\n[/PYTHON]",
        f"<pre><code>\n{BODY}\n</code></pre>",
        f"\ufeff{FENCE}python\n\ufeff{BODY}\n{FENCE}",
        f"{FENCE}python\n{BODY}\n{FENCE}\u00a0",
        f"{FENCE}python\n{BODY}\nThis adds one.\n{FENCE}",
        f"{FENCE}python\n{BODY}\n\nThis function adds one to x.",
        INDENTED,
        f"Here:\n\n{INDENTED}\n",
        f"{FENCE}python\n{INDENTED}\n{FENCE}",
        f"{FENCE}python {BODY}\n{FENCE}",
        f"{FENCE}\npython\n{BODY}\n{FENCE}",
        f"{BODY}\n{FENCE}",
        f"{BODY}\n\n>>> f(1)\n2\n",
        f"{FENCE}python\n{BODY}\n\n>>> f(1)\n2\n{FENCE}",
        f"**Solution:**\n{FENCE}python\n{BODY}\n{FENCE}\n**Explanation:**\n- adds one\n",
        f"{BODY}\n\ndef f(x):\n    return (",
        f"{FENCE}python\nf(1)\n{FENCE}\n{FENCE}python\n{BODY}\n{FENCE}\n{FENCE}python\nprint(f(1))\n{FENCE}",
    ],
)
def test_the_program_is_found_and_nothing_else(text: str) -> None:
    assert extract_code(text, "f").strip() == BODY


@pytest.mark.parametrize(
    "text",
    [
        f"{BODY}\n{FENCE}\n\nExplanation: it adds one.",
        f"import the number and do this:\n{BODY}\n",
        f"class of problems: easy\n\n{BODY}\nThat is it, isn't it?",
        f"from this we see it.\n{BODY}",
        f'<pre><code class="python">{BODY}</code></pre>',
        f"Here: <code>{BODY}</code> as asked.",
        f"<answer>{BODY}</answer>",
        f"{FENCE}python\n{BODY.replace('    ', chr(160) * 4)}\n{FENCE}",
        f"{FENCE}python\n\u200b{BODY}\n{FENCE}",
        f"{BODY}\n\nDone",
        f"{BODY}\n\nComplexity: O(n)\n",
        f"{BODY}\nNote: x = 5",
        f"Here it is:\n{BODY}\n\nTime: O(n)\nSpace: O(1)",
    ],
)
def test_what_is_prose_around_a_program_is_left_out(text: str) -> None:
    assert extract_code(text, "f").strip() == BODY
    assert extract_code(text).strip() == BODY


@pytest.mark.parametrize(
    "end", ["g = f", "x: int = 5", "f", "LIMIT: list[int] = []", "print", "f.name = 1", "n: f"]
)
def test_the_end_of_a_program_that_means_something_stays(end: str) -> None:
    assert extract_code(f"{BODY}\n\n\n{end}\n", "f").strip() == f"{BODY}\n\n\n{end}"


def test_text_of_a_program_that_looks_like_tags_stays() -> None:
    program = "def f(x):\n    return '<code>' + x + '</code>'"
    assert extract_code(f"{FENCE}python\n{program}\n{FENCE}", "f") == program
    assert extract_code(f"{program}\n", "f") == program


def test_a_body_keeps_its_indentation() -> None:
    assert extract_code(f"{FENCE}python\n    return x + 1\n{FENCE}", "f") == "    return x + 1"
    assert extract_code("    y = 1\n    return x + y\n", "f") == ""
    # of a program whose first line alone is moved it is still one
    assert defines(extract_code(f" {BODY}", "f"), "f")


def test_a_block_brings_the_earlier_ones_that_define_what_it_uses() -> None:
    def block(body: str) -> str:
        return f"{FENCE}python\n{body}\n{FENCE}\n"

    helper, user, other = (
        "def g(x):\n    return 1",
        "def f(x):\n    return x + g(x)",
        "def h():\n    return 0",
    )
    assert extract_code(block(helper) + block(other) + block(user), "f") == f"{helper}\n\n\n{user}"
    chained = block("import math") + block("def g(x):\n    return math.pi") + block(user)
    assert extract_code(chained, "f").count("math") == 2
    assert extract_code(block("g = print(1)") + block(user), "f") == user  # what does something is no helper


def test_without_a_name_the_first_block_that_defines_anything_is_the_program() -> None:
    use = f"{FENCE}python\n# how it is used\nprint(f(1))\n{FENCE}\n"
    assert extract_code(f"{use}{FENCE}python\n{BODY}\n{FENCE}\n{use}") == BODY
    assert extract_code(use + use) == "# how it is used\nprint(f(1))"


@pytest.mark.parametrize(
    "text", ["I cannot define def here.", "The answer is 5.\nclass dismissed", f"{FENCE}\n\n{FENCE}"]
)
def test_prose_is_no_program(text: str) -> None:
    assert extract_code(text, "f") == ""


@pytest.mark.parametrize(
    "text",
    [
        "<|a|> " * 30_000 + "<",
        "<|end|>" * 30_000,
        "def \n" * 40_000,
        "def f(x):\n" * 40_000,
        "> ```\n" * 40_000,
        "x`````\n" * 30_000,
        "def f(x):\n    return x\n" + "Done\n" * 4_000,
        "In prose:\n" + "def g(x):\n    return x\n\n\n" * 600,
        "@a\n" * 15_000,
        "@(a\n)\n" * 8_000,
        f"{FENCE}python\n@a\n" * 4_000,
        "class A:\n  x = (\n" * 4_000,
        "1 x = (\n" * 20_000,
        ">>> x = (\n" * 20_000,
        " def f(x): (" * 5_000,
    ],
)
@pytest.mark.parametrize("name", ["f", None])
def test_long_texts_of_one_thing_take_no_longer_than_their_length(text: str, name: str | None) -> None:
    used = time.process_time()
    extract_code(text, name)
    assert time.process_time() - used < 5


@pytest.mark.parametrize(
    ("between", "last"),
    [
        ("Wait, there is a bug. Here is the corrected version:", True),
        ("This is incorrect. Let me fix it:", True),
        ("Another way to do it:", False),
        ("A common mistake is this:", False),
        ("The incorrect version would be:", False),
        ("This fixes the wrong approach:", True),
        ("Oops, this is one too many. Here is the correct code:", True),
        ("I apologize, it should be one:", True),
        ("Here's the complete code:", True),
        ("Here is the code in other words:", False),
        ("The following would be wrong:", False),
        ("The code below fails for 0:", False),
        ("", False),
    ],
)
def test_a_program_that_is_mended_is_the_one(between: str, last: bool) -> None:
    first = BODY.replace("+ 1", "+ 2")
    text = f"{FENCE}python\n{first}\n{FENCE}\n{between}\n{FENCE}python\n{BODY}\n{FENCE}\nIt has no bugs."
    assert extract_code(text, "f") == (BODY if last else first)


def test_a_block_of_helpers_stands_behind_what_has_to_come_first() -> None:
    main = "from __future__ import annotations\n\n\ndef f(x):\n    return g(x)"
    helper = "def g(x):\n    return x + 1"
    found = extract_code(f"{FENCE}python\n{helper}\n{FENCE}\nand\n{FENCE}python\n{main}\n{FENCE}", "f")
    compile(found, "f.py", "exec")
    assert defines(found, "g") and defines(found, "f")


@pytest.mark.parametrize(
    "text",
    [
        "Sure! def f(x): return x + 1",
        "It is `def f(x): return x + 1`.",
        "**Answer:** def f(x): return x + 1.",
    ],
)
def test_a_function_of_one_line_within_a_sentence(text: str) -> None:
    assert extract_code(text, "f") == "def f(x): return x + 1"
    assert extract_code(text.replace("return x + 1", "pass"), "f") == ""
    assert extract_code(text, "g") == ""


def test_a_program_before_many_lines_of_prose_is_found() -> None:
    assert extract_code(f"To do it:\n\n{BODY}\n\n" + "- It isn't hard.\n" * 200, "f") == BODY


@pytest.mark.parametrize("name", ["f", None])
def test_a_method_that_is_asked_for_is_a_function(name: str | None) -> None:
    method = "class Solution:\n    def f(self, x):\n        return x + 1"
    found = extract_code(f"{FENCE}python\nimport math\n{FENCE}\nSo:\n{FENCE}python\n{method}\n{FENCE}", name)
    assert defines(found, "f") is (name is not None)
    assert defines(extract_code(f"In a class:\n{method}\nThat is it.", "f"), "f")


def test_what_a_model_thinks_is_no_program_of_its_answer() -> None:
    other = BODY.replace("+ 1", "+ 2")
    thought = f"<think>\nMaybe:\n{FENCE}python\n{other}\n{FENCE}\n"
    assert extract_code(f"{thought}</think>\n{FENCE}python\n{BODY}\n{FENCE}", "f") == BODY
    assert extract_code(f"{thought}</think>\n\n{BODY}\n\nIt adds one.", "f") == BODY
    assert extract_code(f"{thought}</think>\n", "f") == other, "it says nothing else"
    assert extract_code(thought, "f") == other


@pytest.mark.parametrize("name", ["f", None])
@pytest.mark.parametrize(
    "program",
    [
        "def f(x):\n    return x.rpartition('</think>')[2]",
        "import re\n\ndef f(x):\n    # without <think> ... </think>\n    return re.sub('<think>.*?</think>', '', x)",
        'def f(x):\n    """What follows </think> in x."""\n    return x.partition("</" + "think>")[2]',
    ],
)
def test_a_program_that_handles_thoughts_is_none_itself(name: str | None, program: str) -> None:
    fenced = f"{FENCE}python\n{program}\n{FENCE}"
    for text in (program, f"Here it is:\n\n{fenced}\n", f"{fenced}\nIt leaves out <think> and </think>."):
        assert extract_code(text, name) == program
        assert extract_code(f"<think>\n{FENCE}python\n{BODY}\n{FENCE}\n</think>\n{text}", name) == program


@pytest.mark.parametrize("words", ["Answer: ", "Sure, here is the code: ", "**Code:** ", "[BEGIN] "])
def test_a_program_may_begin_behind_words(words: str) -> None:
    assert extract_code(f"{words}{BODY}\n\nIt adds one.", "f") == BODY
    assert extract_code(f"{words}{BODY}", "f") == BODY


def test_a_class_that_grows_is_the_last_of_its_blocks() -> None:
    head = "class A:\n    def f(self):\n        return 1\n"
    more = f"{head}    def g(self):\n        return 2\n"
    other = "class A:\n    def g(self):\n        return 3\n"

    def text(*bodies: str) -> str:
        return "\nand\n".join(f"{FENCE}python\n{body}{FENCE}" for body in bodies)

    assert extract_code(text(head, more), "A") == more.rstrip()
    assert extract_code(text("class A:\n    pass\n", head), "A") == head.rstrip()
    assert extract_code(text(more, head), "A") == more.rstrip()
    assert extract_code(text(head, other), "A") == head.rstrip()
    assert extract_code(text(head, head), "A") == head.rstrip()
