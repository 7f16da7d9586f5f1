"""From what a model wrote to what is judged of it; the same for both engines."""

from __future__ import annotations

from collections.abc import Sequence

from tad_core.data.problem import Problem
from tad_core.evaluation.benchmarks import BENCHMARKS
from tad_core.evaluation.benchmarks.base import Figures, benchmark_of
from tad_core.evaluation.scoring import Scorer
from tad_core.verify.verdict import Judgement


def until_of(problem: Problem) -> list[str]:
    """Marks before which an answer ends."""
    name = benchmark_of(problem)
    return BENCHMARKS[name].until if name else []


def cut_before(text: str, until: Sequence[str]) -> str:
    """``text`` up to the earliest of the ``until`` strings; all of it if none occurs."""
    found = [at for mark in until if mark and (at := text.find(mark)) >= 0]
    return text[: min(found)] if found else text


def judge(problems: Sequence[Problem], texts: Sequence[str], scorer: Scorer) -> list[Judgement]:
    """The verdicts on answers: of code benchmarks on the sanitized program, else on the text.

    Raises:
        VerifierError: when the verifier itself failed.
    """
    return scorer.judge(problems, [_judged(p, t) for p, t in zip(problems, texts, strict=True)])


def figures(problems: Sequence[Problem], texts: Sequence[str], scorer: Scorer) -> list[Figures]:
    """lm-eval's own figures of answers, counted without lm-eval; none for other sources than benchmarks."""
    found: list[Figures] = [{} for _ in texts]
    for name in dict.fromkeys(filter(None, map(benchmark_of, problems))):
        places = [i for i, problem in enumerate(problems) if benchmark_of(problem) == name]
        counted = BENCHMARKS[name].figures([problems[i] for i in places], [texts[i] for i in places], scorer)
        for i, one in zip(places, counted, strict=True):
            found[i] = one
    return found


def _judged(problem: Problem, text: str) -> str:
    name = benchmark_of(problem)
    return BENCHMARKS[name].judged(problem, text) if name else text
