"""What the YAMLs here name: functions that lm-eval calls with answers and documents.

Under the pipeline they judge with the pipeline's own scorer (``judging``), otherwise, as under lm-eval's command
line, with one of their own.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import lru_cache, partial

from tad_core.data.problem import Problem
from tad_core.evaluation.benchmarks import BENCHMARKS
from tad_core.evaluation.benchmarks.base import Row
from tad_core.evaluation.benchmarks.code import CodeBenchmark
from tad_core.evaluation.benchmarks.lm_eval_math import judge_all
from tad_core.evaluation.scoring import Scorer
from tad_core.verify import Verifier

_scorer: ContextVar[Scorer | None] = ContextVar("scorer", default=None)


@contextlib.contextmanager
def judging(scorer: Scorer) -> Iterator[None]:
    """Inside the block the functions here judge with ``scorer``."""
    token = _scorer.set(scorer)
    try:
        yield
    finally:
        _scorer.reset(token)


@lru_cache(maxsize=1)
def _own_scorer() -> Scorer:
    verifier = Verifier()
    atexit.register(verifier.close)
    return Scorer(verifier)


def pass_at_1(references: Sequence[str], predictions: Sequence[Sequence[str]]) -> dict[str, float]:
    """lm-eval's metric of one answer: whether its verdict is a pass.

    Args:
        references: not used; lm-eval gives the tests.
        predictions: one list with the verdict that a filter below has put in the answer's place.
    """
    return {"pass@1": float(predictions[0][0] == "passed")}


def minerva_results(doc: Row, results: Sequence[str]) -> dict[str, int]:
    """lm-eval's own figures of one MATH answer."""
    (found,) = judge_all([(doc["solution"], results[0])])
    return found


def _verdicts(
    name: str,
    judged: Callable[[CodeBenchmark, Problem, str], str],
    resps: Sequence[Sequence[str]],
    docs: Sequence[Row],
) -> list[list[str]]:
    """A filter of lm-eval: in the place of each answer the verdict on its program."""
    benchmark = BENCHMARKS[name]
    assert isinstance(benchmark, CodeBenchmark)
    problems = [_problem(benchmark, doc) for doc in docs]
    asked = [
        (p, judged(benchmark, p, text)) for p, texts in zip(problems, resps, strict=True) for text in texts
    ]
    scorer = _scorer.get() or _own_scorer()
    found = iter(scorer.judge([p for p, _ in asked], [text for _, text in asked]))
    return [[str(next(found).verdict) for _ in texts] for texts in resps]


def _problem(benchmark: CodeBenchmark, doc: Row) -> Problem:
    """The problem of a document; under the pipeline the document brings its id along."""
    row = benchmark.clean(doc)
    problem = benchmark.problem("lm-eval", "", row, 0)
    digest = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]
    return dataclasses.replace(problem, id=str(doc.get("id") or f"{problem.id}/{digest}"))


def _sanitized(name: str) -> Callable[..., list[list[str]]]:
    return partial(_verdicts, name, CodeBenchmark.judged)


def _as_lm_eval(name: str) -> Callable[..., list[list[str]]]:
    return partial(_verdicts, name, CodeBenchmark.lm_eval_judged)


humaneval_sanitized = _sanitized("humaneval")
humaneval_as_lm_eval = _as_lm_eval("humaneval")
humaneval_instruct_sanitized = _sanitized("humaneval_instruct")
humaneval_instruct_as_lm_eval = _as_lm_eval("humaneval_instruct")
mbpp_sanitized = _sanitized("mbpp")
mbpp_as_lm_eval = _as_lm_eval("mbpp")
mbpp_instruct_sanitized = _sanitized("mbpp_instruct")
mbpp_instruct_as_lm_eval = _as_lm_eval("mbpp_instruct")
humaneval_plus_sanitized = _sanitized("humaneval_plus")
humaneval_plus_as_lm_eval = _as_lm_eval("humaneval_plus")
humaneval_plus_instruct_sanitized = _sanitized("humaneval_plus_instruct")
humaneval_plus_instruct_as_lm_eval = _as_lm_eval("humaneval_plus_instruct")
mbpp_plus_sanitized = _sanitized("mbpp_plus")
mbpp_plus_as_lm_eval = _as_lm_eval("mbpp_plus")
mbpp_plus_instruct_sanitized = _sanitized("mbpp_plus_instruct")
mbpp_plus_instruct_as_lm_eval = _as_lm_eval("mbpp_plus_instruct")
