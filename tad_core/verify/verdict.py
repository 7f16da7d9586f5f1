"""What the verifier can say about an answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NO_PROGRAMS = "no programs were run"
"""What stands for the sandbox tier where only mathematics was judged."""


class Verdict(StrEnum):
    """The outcome of judging one text. Only ``PASSED`` lets a sample through."""

    PASSED = "passed"
    #: math: both sides were understood and are not the same
    DIFFERENT = "different"
    #: math: one side could not be read as mathematics
    UNPARSABLE = "unparsable"
    #: math: no answer was found in the text
    NO_ANSWER = "no_answer"
    #: code: a test failed, or the program did not load
    FAILED = "failed"
    #: code: nothing was tested, so nothing is proved
    NO_TESTS = "no_tests"
    #: code: no program was found in the text
    NO_CODE = "no_code"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    #: code: the program, or its tests, import a package that the sandbox does not have
    MISSING_PACKAGE = "missing_package"
    #: code: the program's process ended before its tests did
    CRASHED = "crashed"
    #: the verifier itself failed: retried, then an error; never a wrong answer
    INFRASTRUCTURE = "infrastructure_error"


class MathVerdict(StrEnum):
    """The outcome of comparing two mathematical answers."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNPARSABLE = "unparsable"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"


@dataclass(frozen=True)
class Judgement:
    """The verdict on one text.

    Attributes:
        verdict: the outcome.
        reason: one line for a human; for ``PASSED`` it names the trust when that is not full.
        extracted: the answer or the program that was judged; empty when none was found.
    """

    verdict: Verdict
    reason: str
    extracted: str

    @property
    def correct(self) -> bool:
        """Whether the sample may be trained on."""
        return self.verdict is Verdict.PASSED


@dataclass(frozen=True)
class CodeResult:
    """The outcome of running the tests of one program.

    Attributes:
        verdict: one of the code verdicts.
        reason: one line for a human.
        tests_run: tests that ran to their end without failing.
        tests_expected: tests that were found.
        own_classes: the program's own code decided a comparison (it returned objects of classes of
            its own and the tests compared two of them): a pass is worth less then.
    """

    verdict: Verdict
    reason: str
    tests_run: int = 0
    tests_expected: int = 0
    own_classes: bool = False
