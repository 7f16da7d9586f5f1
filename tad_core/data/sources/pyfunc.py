"""Small Python-function problems with unit tests, references in four styles.

Difficulty is the number of operations on the running value. The tests are computed by running the operations.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tad_core.config import SourceConfig
from tad_core.data.problem import Problem
from tad_core.data.sources._generated import draw_distinct
from tad_core.data.sources._options import check_steps, count_of, read_options

MAX_STEPS = 6
TEST_CASES = 5
FUNCTIONS = ("solve", "compute", "change", "score", "convert", "update", "adjust", "mix")

#: operation -> (how the question says it, expression over {v} and {n}, what it does)
OPERATIONS: dict[str, tuple[str, str, Callable[[int, int, int], int]]] = {
    "add": ("add {n}", "{v} + {n}", lambda v, n, y: v + n),
    "subtract": ("subtract {n}", "{v} - {n}", lambda v, n, y: v - n),
    "multiply": ("multiply by {n}", "{v} * {n}", lambda v, n, y: v * n),
    "remainder": ("take the remainder by {n}", "{v} % {n}", lambda v, n, y: v % n),
    "halve": ("divide by {n} rounding down", "{v} // {n}", lambda v, n, y: v // n),
    "add_y": ("add y", "{v} + y", lambda v, n, y: v + y),
    "subtract_y": ("subtract y", "{v} - y", lambda v, n, y: v - y),
    "at_most": ("keep it at most {n}", "min ( {v} , {n} )", lambda v, n, y: min(v, n)),
    "at_least": ("keep it at least {n}", "max ( {v} , {n} )", lambda v, n, y: max(v, n)),
}
_LOOSE = {"add", "subtract", "add_y", "subtract_y"}


@dataclass(frozen=True)
class Function:
    """Operations applied to x one after the other; y may take part."""

    operations: tuple[tuple[str, int], ...]

    def signature(self) -> str:
        """The operations and numbers."""
        return "pyfunc " + " ".join(f"{name}:{n}" for name, n in self.operations)

    def run(self, x: int, y: int) -> int:
        """The value a correct program returns."""
        for name, n in self.operations:
            x = OPERATIONS[name][2](x, n, y)
        return x


def draw_function(rng: random.Random, steps: int) -> Function:
    """A function of ``steps`` operations."""
    out = []
    for _ in range(steps):
        name = rng.choice(tuple(OPERATIONS))
        n = (
            0
            if name.endswith("_y")
            else rng.randint(2, 9)
            if name in ("multiply", "halve")
            else rng.randint(2, 20)
        )
        out.append((name, n))
    return Function(tuple(out))


def question(function: Function, name: str, rng: random.Random) -> str:
    """What to write, as one instruction."""
    verb = rng.choice(("starts with x", "takes x"))
    told = [OPERATIONS[op][0].format(n=n) for op, n in function.operations]
    return f"Write a Python function {name}(x, y) that {verb}: {', '.join(told)}. Return the result."


def solution(function: Function, name: str, style: str) -> str:
    """A program in one of ``STYLES``, fenced."""
    if style == "nested":
        body = [f"return {_nested(function)}"]
    else:
        value = "r" if style == "result" else "x"
        body = ["r = x"] if style == "result" else []
        for op, n in function.operations:
            expression = OPERATIONS[op][1]
            if style == "short" and expression.startswith("{v} "):
                _, symbol, operand = expression.format(v=value, n=n).split(" ", 2)
                body.append(f"{value} {symbol}= {operand}")
            else:
                body.append(f"{value} = {expression.format(v=value, n=n)}")
        body.append(f"return {value}")
    lines = "\n    ".join([f"def {name}(x, y):", *body])
    return f"```python\n{lines}\n```"


def _nested(function: Function) -> str:
    text, previous = "x", ""
    for op, n in function.operations:
        template = OPERATIONS[op][1]
        # Sums need brackets under a product; calls bring their own.
        if op in ("multiply", "remainder", "halve") and previous in _LOOSE:
            text = f"( {text} )"
        text = template.format(v=text, n=n)
        previous = op
    return text


STYLES = ("plain", "short", "result", "nested")


def tests(function: Function, name: str, rng: random.Random) -> str:
    """Asserts over distinct inputs, at least one of them negative."""
    inputs = {(rng.randint(-20, -1), rng.randint(0, 20))}
    while len(inputs) < TEST_CASES:
        inputs.add((rng.randint(-20, 60), rng.randint(-20, 60)))
    return "\n".join(f"assert {name}({x}, {y}) == {function.run(x, y)}" for x, y in sorted(inputs)) + "\n"


def load(source: SourceConfig) -> list[Problem]:
    """Options: ``min_steps`` and ``max_steps`` (1 to 6, default 1 to 2)."""
    options: dict[str, Any] = read_options(source, {"min_steps": 1, "max_steps": 2})
    low, high = options["min_steps"], options["max_steps"]
    check_steps(source, low, high, MAX_STEPS)
    drawn = draw_distinct(
        lambda rng: draw_function(rng, rng.randint(low, high)),
        count_of(source),
        source.split,
        source.seed,
        "pyfunc",
    )
    problems = []
    for index, (rng, function) in enumerate(drawn):
        name, style = rng.choice(FUNCTIONS), rng.choice(STYLES)
        problems.append(
            Problem(
                id=f"{source.name}/{source.split}/{source.seed}/{index}",
                source=source.name,
                kind="code",
                question=question(function, name, rng),
                reference=solution(function, name, style),
                tests=tests(function, name, rng),
                meta={
                    "steps": len(function.operations),
                    "style": style,
                    "entry_point": name,
                    "signature": function.signature(),
                },
            )
        )
    return problems
