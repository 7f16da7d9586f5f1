"""Arithmetic word problems: a running total changed step by step, with references in four styles.

Difficulty is the number of steps. Operands are at most 20, every intermediate value lies in 0 … 100.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from tad_core.config import SourceConfig
from tad_core.data.problem import Problem
from tad_core.data.sources._generated import draw_distinct
from tad_core.data.sources._options import check_steps, count_of, read_options

LARGEST = 100
MAX_STEPS = 6
NAMES = ("Ann", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jon", "Kim", "Leo")
ITEMS = ("apples", "books", "coins", "cards", "eggs", "shells", "stamps", "pens", "beads", "keys")
PHRASES = {
    "+": ("buys {n} more", "finds {n} more", "is given {n}", "wins {n}"),
    "-": ("loses {n}", "gives away {n}", "sells {n}", "breaks {n}"),
    "*": ("then has {n} times as many", "makes it {n} times as many"),
    "/": ("splits them in {n} and keeps one part", "shares them among {n} and keeps one share"),
}
VERBS = {"+": "Add {n}", "-": "Subtract {n}", "*": "Multiply by {n}", "/": "Divide by {n}"}


@dataclass(frozen=True)
class Chain:
    """A start value and the steps applied to it."""

    start: int
    steps: tuple[tuple[str, int], ...]

    def signature(self) -> str:
        """The numbers and operations."""
        return f"arithmetic {self.start} " + " ".join(f"{op}{n}" for op, n in self.steps)

    def values(self) -> list[int]:
        """The running total: start, then after each step."""
        totals = [self.start]
        for op, n in self.steps:
            totals.append(apply(op, totals[-1], n))
        return totals


def apply(op: str, value: int, n: int) -> int:
    """One step; division is exact by construction."""
    return {"+": value + n, "-": value - n, "*": value * n, "/": value // n}[op]


def draw_chain(rng: random.Random, steps: int) -> Chain:
    """A chain of ``steps`` steps whose values all stay in 0 … ``LARGEST``."""
    start = rng.randint(2, 20)
    value, out = start, []
    for _ in range(steps):
        op = rng.choices("+-*/", weights=(4, 4, 2, 1))[0]
        if op == "*":
            op, n = ("*", rng.randint(2, 4)) if value * 4 <= LARGEST else ("-", rng.randint(1, 20))
        elif op == "/":
            exact = [n for n in range(2, 6) if value > 0 and value % n == 0]
            op, n = ("/", rng.choice(exact)) if exact else ("+", rng.randint(1, 20))
        else:
            n = rng.randint(1, 20)
        if op == "-" and n > value:
            op = "+"
        if op == "+" and value + n > LARGEST:
            op = "-"
        value = apply(op, value, n)
        out.append((op, n))
    return Chain(start, tuple(out))


def question(chain: Chain, rng: random.Random) -> str:
    """The chain as a story."""
    name, item = rng.choice(NAMES), rng.choice(ITEMS)
    parts = [f"{name} has {chain.start} {item}."]
    parts += [f"{name} {rng.choice(PHRASES[op]).format(n=n)}." for op, n in chain.steps]
    parts.append(f"How many {item} does {name} have?")
    return " ".join(parts)


def solution(chain: Chain, style: str) -> str:
    """A worked solution in one of ``STYLES``, the answer boxed."""
    values = chain.values()
    rows = [
        (before, op, n, after)
        for before, (op, n), after in zip(values, chain.steps, values[1:], strict=False)
    ]
    end = f"\\boxed{{{values[-1]}}}"
    if style == "equations":
        return " ".join(f"{b} {op} {n} = {a}." for b, op, n, a in rows) + f" The answer is {end}."
    if style == "story":
        told = [f"{'Then' if i else 'First'} {b} {op} {n} is {a}." for i, (b, op, n, a) in enumerate(rows)]
        return " ".join(told) + f" So the answer is {end}."
    if style == "verbs":
        told = [f"{VERBS[op].format(n=n)} to get {a}." for _, op, n, a in rows]
        return f"Start with {values[0]}. " + " ".join(told) + f" The answer is {end}."
    if style == "lines":
        return (
            "\n".join(f"Step {i}: {b} {op} {n} = {a}" for i, (b, op, n, a) in enumerate(rows, 1))
            + f"\nAnswer: {end}"
        )
    raise ValueError(f"style: {style!r}; use one of {', '.join(STYLES)}")


STYLES = ("equations", "story", "verbs", "lines")


def load(source: SourceConfig) -> list[Problem]:
    """Options: ``min_steps`` and ``max_steps`` (1 to 6, default 2 to 3)."""
    options: dict[str, Any] = read_options(source, {"min_steps": 2, "max_steps": 3})
    low, high = options["min_steps"], options["max_steps"]
    check_steps(source, low, high, MAX_STEPS)
    drawn = draw_distinct(
        lambda rng: draw_chain(rng, rng.randint(low, high)),
        count_of(source),
        source.split,
        source.seed,
        "arithmetic",
    )
    return [
        Problem(
            id=f"{source.name}/{source.split}/{source.seed}/{index}",
            source=source.name,
            kind="math",
            question=question(chain, rng),
            reference=solution(chain, style := rng.choice(STYLES)),
            answer=str(chain.values()[-1]),
            meta={"steps": len(chain.steps), "style": style, "signature": chain.signature()},
        )
        for index, (rng, chain) in enumerate(drawn)
    ]
