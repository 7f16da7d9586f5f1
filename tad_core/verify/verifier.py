"""Judge the texts of a model: the one door for the filter stage and for evaluation."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from tad_core.data.problem import Problem
from tad_core.verify.asked import as_asked, counted_in, in_units
from tad_core.verify.code import CodeJob, Limits, assemble, assemble_for, copies_in, helpers_of
from tad_core.verify.config import VerifyConfig
from tad_core.verify.extract import extract_answer
from tad_core.verify.math import MathKind, quick_equal
from tad_core.verify.math_number import plain_number
from tad_core.verify.math_process import AlgebraError
from tad_core.verify.math_text import clean
from tad_core.verify.pool import Pool, RetryError, Slot
from tad_core.verify.sandbox.launch import KeeperError
from tad_core.verify.sandbox.tiers import TierReport, require_tier
from tad_core.verify.verdict import CodeResult, Judgement, MathVerdict, Verdict

_MATH_VERDICTS = {
    MathVerdict.EQUAL: Verdict.PASSED,
    MathVerdict.DIFFERENT: Verdict.DIFFERENT,
    MathVerdict.UNPARSABLE: Verdict.UNPARSABLE,
    MathVerdict.TIMEOUT: Verdict.TIMEOUT,
    MathVerdict.OUT_OF_MEMORY: Verdict.OUT_OF_MEMORY,
}
Progress = Callable[[int, int], None]


class Verifier:
    """Judges problems' texts over a pool of processes. Use as a context manager; safe from any thread.

    Args:
        config: how answers are found, compared and run; default: ``VerifyConfig()``.
    """

    def __init__(self, config: VerifyConfig | None = None) -> None:
        self.config = config or VerifyConfig()
        self._lock = threading.Lock()
        self._pool: Pool | None = None
        self._tier: TierReport | None = None

    def __enter__(self) -> Verifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes. The verifier may be used again, which starts new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    @property
    def tier(self) -> TierReport:
        """The isolation that programs are given; ``VerifierError`` where the configured one is not to be had."""
        with self._lock:
            if self._tier is None:
                self._tier = require_tier(self.config.sandbox)
            return self._tier

    def judge(
        self, problems: Sequence[Problem], texts: Sequence[str], on_progress: Progress | None = None
    ) -> list[Judgement]:
        """A judgement for each text, in their order.

        Args:
            problems: what was asked, one for each text.
            texts: what the model answered.
            on_progress: called in this thread with (judged, total) as verdicts come.

        Raises:
            VerifierError: the verifier itself failed at an item, also when tried again.
        """
        if len(problems) != len(texts):
            raise ValueError(f"{len(problems)} problems but {len(texts)} texts: one of each is needed")
        if any(problem.kind == "code" for problem in problems):
            _ = self.tier  # before any work: an error here is about the machine
        judgements: list[Judgement | None] = [None] * len(texts)
        waiting: list[tuple[int, Callable[[Slot], Judgement]]] = []
        for i, (problem, text) in enumerate(zip(problems, texts, strict=True)):
            outcome = self._math(problem, text) if problem.kind == "math" else self._code(problem, text)
            if isinstance(outcome, Judgement):
                judgements[i] = outcome
            else:
                waiting.append((i, outcome))
        done = len(texts) - len(waiting)
        if on_progress is not None and done:
            on_progress(done, len(texts))
        if waiting:
            for i, judgement in self._running_pool().run(waiting):
                judgements[i] = judgement
                done += 1
                if on_progress is not None:
                    on_progress(done, len(texts))
        return [judgement for judgement in judgements if judgement is not None]

    def process_ids(self) -> list[int]:
        """The processes that run now, for tests and for diagnosis."""
        with self._lock:
            return self._pool.pids() if self._pool else []

    def _running_pool(self) -> Pool:
        with self._lock:
            if self._pool is None:
                config = self.config
                self._pool = Pool(
                    config.workers, config.retries, config.math_memory_mb, lambda: self.tier.tier
                )
            return self._pool

    def _math(self, problem: Problem, text: str) -> Judgement | Callable[[Slot], Judgement]:
        """The judgement where it is quick, else the work that leads to it."""
        order, question = self.config.order_for(problem.source), problem.question
        answer = extract_answer(text, order, problem.answer, question)
        if not answer:
            return Judgement(Verdict.NO_ANSWER, "no answer was found in the text", "")
        kind, answer = kind_of(problem), as_asked(answer, problem.answer, question)
        outcome = quick_equal(answer, problem.answer, kind)
        if outcome is not MathVerdict.EQUAL and (word := counted_in(problem.question)):
            other = extract_answer(in_units(text, word), order, problem.answer, question)
            if quick_equal(other, problem.answer, kind) is MathVerdict.EQUAL:
                return _math_judgement(MathVerdict.EQUAL, other, problem.answer)
        if isinstance(outcome, MathVerdict):
            return _math_judgement(outcome, answer, problem.answer)

        failures = itertools.count(1)

        def work(slot: Slot) -> Judgement:
            try:
                verdict = slot.algebra.compare(answer, problem.answer, kind, self.config.math_timeout_s)
            except AlgebraError as error:
                if next(failures) > self.config.retries and _compares_others(slot):
                    # As of programs: no answer ends a run.
                    reason = (
                        f"its comparison failed {self.config.retries + 1} times, and others do not: {error}"
                    )
                    return Judgement(Verdict.UNPARSABLE, reason[:1000], answer)
                raise
            return _math_judgement(verdict, answer, problem.answer)

        return work

    def _code(self, problem: Problem, text: str) -> Judgement | Callable[[Slot], Judgement]:
        """The judgement where there is no program, else the work that runs it."""
        entry_point = _text_of(problem, "entry_point") or None
        prompt = _text_of(problem, "prompt")
        program = assemble(text, entry_point, prompt) if entry_point else assemble_for(text, problem.tests)
        if not program:
            return Judgement(Verdict.NO_CODE, "no program was found in the text", "")
        config = self.config
        limits = Limits(config.code_timeout_s, config.memory_mb, config.output_kb)
        prelude = _text_of(problem, "prelude") or helpers_of(prompt, entry_point)
        copies = copies_in(problem.tests, problem.reference)
        job = CodeJob(program, problem.tests, limits, entry_point, prelude, copies)

        failures = itertools.count(1)

        def work(slot: Slot) -> Judgement:
            try:
                result = job.run(slot.keeper)
                problem = result.reason if result.verdict is Verdict.INFRASTRUCTURE else ""
            except KeeperError as error:
                problem = str(error)
            if not problem:
                return self._code_judgement(result, program)
            if next(failures) > config.retries and _holds_others(slot):
                # Whatever it does to its sandbox, it does it each time and to its own alone: no program ends a run.
                reason = f"its sandbox failed {config.retries + 1} times, and holds other programs: {problem}"
                return Judgement(Verdict.CRASHED, reason[:1000], program)
            raise RetryError(problem)

        return work

    def _code_judgement(self, result: CodeResult, program: str) -> Judgement:
        if result.verdict is Verdict.PASSED and result.own_classes:
            if self.config.own_classes == "refuse":
                reason = "the program's own classes decided a comparison (filter.own_classes: refuse)"
                return Judgement(Verdict.FAILED, reason, program)
            reason = "passed at lower trust: the program's own classes decided a comparison"
            return Judgement(Verdict.PASSED, reason, program)
        if result.verdict is Verdict.PASSED:
            return Judgement(Verdict.PASSED, f"{result.tests_run} of {result.tests_expected} tests", program)
        return Judgement(result.verdict, result.reason, program)


def kind_of(problem: Problem) -> MathKind:
    """GSM8K-like sources ask for one number; elsewhere an answer may be any expression."""
    named = problem.meta.get("math_kind")
    if named in ("number", "expression"):
        return "number" if named == "number" else "expression"
    if problem.source.startswith("gsm8k") and plain_number(clean(problem.answer)) is not None:
        return "number"
    return "expression"


def _holds_others(slot: Slot) -> bool:
    """Whether fresh sandboxes judge a program that is known to be right: the fault then is not the machine's.

    It takes a second, five times over: where things are killed now and then, that is seen.
    """
    program = "import time\ndef f(x):\n    time.sleep(1)\n    return x + 1\n"
    job = CodeJob(program, "assert f(1) == 2\n", Limits(cpu_s=10.0))
    for _ in range(5):
        slot.reset()
        try:
            if job.run(slot.keeper).verdict is not Verdict.PASSED:
                return False
        except KeeperError:
            return False
    return True


def _compares_others(slot: Slot) -> bool:
    """Whether fresh processes compare what is known to be the same: the fault then is the answer's."""
    for _ in range(5):
        slot.reset()
        try:
            if slot.algebra.compare("x+1", "1+x", "expression", 60.0) is not MathVerdict.EQUAL:
                return False
        except AlgebraError:
            return False
    return True


def _math_judgement(verdict: MathVerdict, answer: str, reference: str) -> Judgement:
    reasons = {
        MathVerdict.EQUAL: f"equals {reference!r}",
        MathVerdict.DIFFERENT: f"{answer!r} is not {reference!r}",
        MathVerdict.UNPARSABLE: f"{answer!r} cannot be read as mathematics",
        MathVerdict.TIMEOUT: f"comparing {answer!r} took too long",
        MathVerdict.OUT_OF_MEMORY: f"comparing {answer!r} took too much memory",
    }
    return Judgement(_MATH_VERDICTS[verdict], reasons[verdict][:1000], answer)


def _text_of(problem: Problem, key: str) -> str:
    value: Any = problem.meta.get(key)
    return value if isinstance(value, str) else ""
