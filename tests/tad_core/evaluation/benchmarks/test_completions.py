"""Every program of the corpus has the verdict that is written beside it."""

from __future__ import annotations

import pytest

from tad_core.evaluation.answers import cut_before
from tad_core.evaluation.benchmarks import BENCHMARKS
from tad_core.verify import Verifier, VerifyConfig
from tests.tad_core.evaluation.benchmarks.completions import MENDED, OTHERS, Case


def misjudged(cases: list[Case]) -> list[tuple[Case, str]]:
    problems, judged = [], []
    for i, (name, row, text, _) in enumerate(cases):
        benchmark = BENCHMARKS[name]
        problem = benchmark.problem("corpus", str(i), benchmark.clean(row), 0)
        problems.append(problem)
        judged.append(benchmark.judged(problem, cut_before(text, benchmark.until)))
    with Verifier(VerifyConfig(workers=2, code_timeout_s=2.0)) as verifier:
        judgements = verifier.judge(problems, judged)
    return [(c, j.reason) for c, j in zip(cases, judgements, strict=True) if j.correct is not c[3]]


def test_what_was_once_misjudged() -> None:
    assert misjudged(MENDED) == []


@pytest.mark.parametrize("stride", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_programs_have_the_verdict_that_was_expected(stride: int) -> None:
    assert misjudged(OTHERS[::stride]) == []
