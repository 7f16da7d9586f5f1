"""What the benchmarks of code share: two programs of each answer, both judged in the sandbox."""

from __future__ import annotations

import abc
from collections.abc import Sequence

from tad_core.data.problem import Problem
from tad_core.evaluation.benchmarks.base import Benchmark, Figures
from tad_core.evaluation.benchmarks.programs import fenced
from tad_core.evaluation.scoring import Scorer


class CodeBenchmark(Benchmark):
    """A program is judged as it is found in the answer, and beside it as lm-eval would put it together."""

    kind = "code"

    @abc.abstractmethod
    def program(self, problem: Problem, text: str) -> str:
        """The program in an answer, sanitized; empty if there is none."""

    @abc.abstractmethod
    def lm_eval_program(self, problem: Problem, text: str) -> str:
        """The program that lm-eval's own task makes of an answer."""

    def judged(self, problem: Problem, text: str) -> str:
        """See ``Benchmark.judged``."""
        return fenced(self.program(problem, text))

    def lm_eval_judged(self, problem: Problem, text: str) -> str:
        """What the verifier is given of lm-eval's program."""
        return fenced(self.lm_eval_program(problem, text))

    def figures(self, problems: Sequence[Problem], texts: Sequence[str], scorer: Scorer) -> list[Figures]:
        """See ``Benchmark.figures``."""
        pairs = list(zip(problems, texts, strict=True))
        ours = scorer.judge(problems, [self.judged(p, t) for p, t in pairs])
        theirs = scorer.judge(problems, [self.lm_eval_judged(p, t) for p, t in pairs])
        sanitized, other = self.figure_names
        return [
            {sanitized: float(a.correct), other: float(b.correct)} for a, b in zip(ours, theirs, strict=True)
        ]
