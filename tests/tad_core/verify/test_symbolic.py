"""Algebra on scalars: symbols without assumptions, values to their last digit, one verdict in every process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tad_core.verify import MathVerdict, math_equal
from tad_core.verify.symbolic import read, same, scalar_equal
from tests.tad_core.verify.corpus import SAME

ROOT = Path(__file__).resolve().parents[3]
#: pairs that hold an i, several letters or a chain: where an order of a set could show
PAIRS = [
    *SAME["the imaginary unit"],
    ("x+i", "x+1"),
    ("abc+i", "abc-i"),
    ("u+v+w+xi", "ix+w+v+u"),
    ("2x+y=iz", "y+2x-iz=0"),
]
PROGRAM = """
import ast, sys
from tad_core.verify.symbolic import scalar_equal
print([scalar_equal(*pair).value for a, b in ast.literal_eval(sys.argv[1]) for pair in ((a, b), (b, a))])
"""


def test_verdicts_do_not_depend_on_the_hash_seed() -> None:
    said = set()
    for seed in ("0", "1"):
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, repr(PAIRS)], capture_output=True, text=True, check=True, cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        said.add(run.stdout)
    assert len(said) == 1
    assert said.pop().count("equal'") == 2 * (len(PAIRS) - 2)


@pytest.mark.parametrize("text", ["x", "x+i", r"\sqrt{x}", r"i\theta", "x_1+i"])
def test_a_symbol_has_no_assumptions_whatever_stands_beside_it(text: str) -> None:
    assert [symbol.is_real for symbol in read(text).free_symbols] in ([None], [])


@pytest.mark.parametrize(
    ("got", "want", "verdict"),
    [
        ("0.30000000000000000001x", "0.3x", MathVerdict.DIFFERENT),
        (r"\frac{3}{10}x", "0.3x", MathVerdict.EQUAL),
        (r"\sqrt{2}\sqrt{3}-\sqrt{6}", "0", MathVerdict.EQUAL),
        (r"\sqrt{2}\sqrt{3}-\sqrt{6}", "10^{-60}", MathVerdict.DIFFERENT),
        (r"\sqrt{2}+10^{-40}", r"\sqrt{2}", MathVerdict.EQUAL),  # thirty digits are what is compared
        (r"\sqrt{2}+10^{-25}", r"\sqrt{2}", MathVerdict.DIFFERENT),
        ("x<1", "x=1", MathVerdict.DIFFERENT),
        ("x<1", "2x<2", MathVerdict.EQUAL),
        ("x<1", "-x<-1", MathVerdict.DIFFERENT),
        ("x=1", "-x=-1", MathVerdict.EQUAL),
        ("1=1", "2=2", MathVerdict.DIFFERENT),
        ("x<", "x<1", MathVerdict.UNPARSABLE),
        (r"\frac{1", "1", MathVerdict.UNPARSABLE),
    ],
)
def test_scalars_and_relations(got: str, want: str, verdict: MathVerdict) -> None:
    assert scalar_equal(got, want) is verdict
    assert scalar_equal(want, got) is verdict


def test_objects_with_parts_are_compared_part_by_part() -> None:
    pairs = read("1;2;3"), read("3;2;1"), read("1;2;4")
    assert same(pairs[0], pairs[1]) and not same(pairs[0], pairs[2])
    half_open = read("[1,2)"), read("[1,2]"), read(r"[\frac{2}{2},2)")
    assert not same(half_open[0], half_open[1]) and same(half_open[0], half_open[2])
    column = read(r"2\begin{pmatrix}1\\2\end{pmatrix}"), read(r"\begin{pmatrix}2\\4\end{pmatrix}"), read("2")
    assert same(column[0], column[1]) and not same(column[0], column[2])
    # a millionth apart: no rounding
    assert not same(read("1;2"), read("1;2.0000001"))


@pytest.mark.parametrize("text", [r"\frac10", "1/0", r"\frac{x}{0}", r"\frac{1}{0}+1"])
def test_a_quotient_by_zero_has_no_meaning(text: str) -> None:
    assert scalar_equal(text, "5") is MathVerdict.UNPARSABLE


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\frac{d}{dx}(3x^2-7x)", "6x-7"),
        (r"\frac{d}{dx}[x^3]", "3x^2"),
        (r"\frac{d}{dx}\sin(x)", r"\cos(x)"),
    ],
)
def test_derivatives_are_worked_out(text: str, value: str) -> None:
    assert scalar_equal(text, value) is MathVerdict.EQUAL
    assert math_equal(f"{text}={value}", value) is MathVerdict.EQUAL


def test_a_sum_that_takes_too_long_is_no_pass() -> None:
    start = time.monotonic()
    long = r"\sum_{k=1}^{2020} \frac{1}{k(k+1)}"
    assert math_equal(long, r"\frac{2020}{2021}", timeout_s=0.05) is MathVerdict.TIMEOUT
    assert time.monotonic() - start < 60  # with the start of a process, on a busy machine
