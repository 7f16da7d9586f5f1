"""The program in an answer: what is kept, what is left out, and that nothing right is lost."""

import ast

import pytest

from tad_core.evaluation.benchmarks import BENCHMARKS, programs
from tad_core.evaluation.benchmarks.programs import (
    asked_in,
    block_of,
    defines_any,
    fenced,
    sanitize,
    under_head,
)
from tad_core.verify.blocks import extract_code

F = "def f(x):\n    return x + 1"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (F, F),
        ("Here it is:\n" + F + "\nIt adds one.", F),
        (F + "\n\nprint(f(1))\nassert f(1) == 2\nn = f(3)\ninput()", F),
        (F + "\n\nprint(f(1), f(", F),  # cut
        (F + "\n\nwhile True:\n    f(1)", F),
        ("import math\n" + F + "\n\ndef g():\n    return (1", "import math\n\n" + F),
        ("K = 1\nL = 2\n\ndef f(x):\n    return x + K", "K = 1\n\ndef f(x):\n    return x + K"),
        ("m = {}\nm[0] = 1\n\ndef f(x):\n    return m[0] + x", "m = {}\nm[0] = 1\n\ndef f(x):\n    return m[0] + x"),
        ("def g():\n    pass\n\n" + F, F),
        ("def h(x):\n    x.pop()\n\ndef f(x):\n    h(x)", "def h(x):\n    x.pop()\n\ndef f(x):\n    h(x)"),
        ("f = lambda x: x + 1", "f = lambda x: x + 1"),
        ("def f(x):\r\n    return x + 1\r\n", F),
        ("@cache\ndef f(x):\n    return x + 1", "@cache\ndef f(x):\n    return x + 1"),
        # the wanted function is shorter than other code
        ("def other(a, b, c):\n    return [a, b, c, a, b, c, a, b, c]\nand then\n" + F, F),
        # nothing wanted: every definition stays
        ("def g(x):\n    return x\nprint(1)", "def g(x):\n    return x"),
        ("no code at all, sorry", ""),
        ("", ""),
        ("    return 1", ""),
        ("(" * 500, ""),
        ("\x00def f(x): pass", ""),
    ],
)  # fmt: skip
def test_sanitize(text, program):
    assert ast.dump(ast.parse(sanitize(text, {"f"}))) == ast.dump(ast.parse(program))


@pytest.mark.parametrize(
    "program",
    [
        "T = []\nfor i in range(9):\n    T.append(i + 1)\n\ndef f(x):\n    return T[x]",
        "T = [1]\nwhile len(T) < 9:\n    T += [T[-1] + 1]\n\ndef f(x):\n    return T[x]",
        "T = 0\nT += 1\n\ndef f(x):\n    return x + T",
        "T = {}\nT.update(a=1)\n\ndef f(x):\n    return x + T['a']",
        "try:\n    import math\nexcept ImportError:\n    math = None\n\ndef f(x):\n    return math.floor(x + 1.5)",
        "if True:\n    ONE = 1\n\ndef f(x):\n    return x + ONE",
        "import sys\nsys.setrecursionlimit(5000)\n\ndef f(x):\n    return x + 1",
        "from math import ceil as up\nup = lambda x: x + 1\n\ndef f(x):\n    return up(x)",
        "n = 0\n\ndef g():\n    global n\n    n += 1\n    return n\n\ndef f(x):\n    return x + g()",
    ],
)
def test_whatever_sets_a_name_that_is_needed_is_kept(program):
    names = {}
    exec(sanitize(program, {"f"}), names)
    assert names["f"](4) == 5
    assert ast.dump(ast.parse(sanitize(program, {"f"}))) == ast.dump(ast.parse(program))


@pytest.mark.parametrize(
    "more",
    [
        "for x in range(3):\n    print(f(x))",  # x is the function's own
        "if __name__ == '__main__':\n    x = int(input())\n    print(f(x))",
        "x = int(input())",
        "sys.exit(f(1))",
        "seen = []\nseen.append(f(1))",
        "try:\n    assert f(1) == 3\nexcept AssertionError as error:\n    raise SystemExit(1)",
        "with open('no such file') as file:\n    print(f(len(file.read())))",
    ],
)
def test_what_only_uses_the_function_is_left_out(more):
    program = "import sys\n\ndef f(x):\n    return min(x + 1, sys.maxsize)"
    assert sanitize(f"{program}\n\n{more}", {"f"}) == sanitize(program, {"f"})


def test_a_cut_function_keeps_the_lines_that_are_whole():
    assert sanitize("def f(x):\n    y = x\n    return y + (", {"f"}) == "def f(x):\n    y = x"


def test_long_prose_costs_little():
    assert sanitize("\n".join(f"line {i} (" for i in range(5000)) + "\n" + F, {"f"}) == ""
    assert sanitize("\n".join(f"line {i} of prose" for i in range(300)) + "\n" + F, {"f"}) == F


@pytest.mark.parametrize("tail", ["@a\n", "x = [1,\n", "(\n"])
def test_a_tail_whose_every_line_breaks_off_costs_little(tail, monkeypatch):
    parsed = []
    parse = programs._parse
    monkeypatch.setattr(programs, "_parse", lambda source: parsed.append(1) or parse(source))
    assert sanitize(F + "\n" + tail * 400, {"f"}) == F
    assert len(parsed) <= 2_000


def test_asked_in():
    assert asked_in("assert add(1, abs(2)) == math.sqrt(max(1, 2))") == {"add", "abs", "max", "math"}
    assert asked_in("import math\nassert math.pi == area(root)") == {"area", "root"}
    assert asked_in("not python (") == set()


def test_defines_any():
    assert defines_any(F, {"f", "g"}) and not defines_any(F, {"x"}) and not defines_any("def f(", {"f"})


@pytest.mark.parametrize("program", [F, 'def f(x):\n    """```\n```python\n    """\n    return x'])
def test_fenced_programs_are_found_again(program):
    assert extract_code(fenced(program), "f") == program
    assert fenced("") == fenced(" \n") == ""


def test_block_of():
    assert block_of("Sure.\n```python\nx = 1\n```\nDone.") == "x = 1"
    assert block_of("    return 1") == "    return 1"


HEAD = 'def after(x: int) -> int:\n    """ The next one. """\n'


@pytest.mark.parametrize(
    ("answer", "in_chat", "begun"),
    [
        ("    return helper(x)\n", True, True),
        ("    return helper(x)\n```\nIt calls helper.", True, True),
        (
            f"First:\n```python\nx = after(1)\n```\nIt:\n```python\n{HEAD}    return helper(x)\n```",
            True,
            True,
        ),
        (f"```python\n{HEAD}    return helper(x)\n```", True, True),
        (f"Sure!\n```python\n{HEAD}    return helper(x)\n\nprint(after(2))\n```\nDone.", True, True),
        ("Only the body:\n```python\n    return helper(x)\n```", True, True),
        (f"{HEAD}    return helper(x)\n\nprint(after(2)", True, True),
        (f"```python\n{HEAD}    return helper(x)\n", True, True),  # the fence was cut off
        ("    return x\n", False, False),
        ("```python\ndef before(x):\n    return helper(x)\n```", False, False),
        ("helper", False, False),
        ("", False, False),
    ],
)
def test_humaneval_answers(answer, in_chat, begun, small_problems, verifier):
    for name, passes in (("humaneval", in_chat), ("humaneval_instruct", begun)):
        problem = small_problems[name][1]
        (judgement,) = verifier.judge([problem], [BENCHMARKS[name].judged(problem, answer)])
        assert judgement.correct is passes, (name, judgement)


ADD = "def add(a, b):\n    return a + b"


@pytest.mark.parametrize(
    ("answer", "ended", "begun"),
    [
        (f"{ADD}\n", True, True),
        (f"{ADD}\n```\nThis adds.", True, True),
        (f"```python\n{ADD}\n```", True, True),
        (f"Here:\n```python\n{ADD}\nprint(add(1, 2))\n```", True, True),
        (f"{ADD}\n\nassert add(1, 2) == 4", True, True),
        (f"{ADD}\nassert add(", True, True),
        ("def plus(a, b):\n    return a + b", False, False),
        ("def add(a, b):\n    return a - b", False, False),
        ("", False, False),
    ],
)
def test_mbpp_answers(answer, ended, begun, small_problems, verifier):
    for name, passes in (("mbpp", ended), ("mbpp_instruct", begun)):
        problem = small_problems[name][0]
        (judgement,) = verifier.judge([problem], [BENCHMARKS[name].judged(problem, answer)])
        assert judgement.correct is passes, (name, judgement)


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (F + "\n\nif __name__ == '__main__':\n    x = f(int(input()))", F),
        ("import numpy as np\nimport math\n" + F, "import math\n" + F),
        ("import numpy as np\n\ndef f(x):\n    return np.add(x, 1)",) * 2,
        (F + "<|endoftext|>", F),
    ],
)
def test_what_nothing_needs_is_left_out(text, program):
    assert ast.dump(ast.parse(sanitize(text, {"f"}))) == ast.dump(ast.parse(program))


@pytest.mark.parametrize(
    "body",
    [
        "    y = x\n    return y",
        "y = x\nreturn y",
        "y = x\n    return y",
        "  y = x\n  return y",
        "\ty = x\n\treturn y",
        "        y = x\n        return y",
        "    y = x\n    return y\n<|eot_id|>",
    ],
)
def test_a_body_alone_goes_under_its_head(body):
    head = 'def f(x):\n    """The same."""\n'
    assert under_head(head, body, "f") == 'def f(x):\n    """The same."""\n    y = x\n    return y'
