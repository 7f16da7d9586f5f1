"""Two runs on the same problems: differences in which what the problems have in common cancels.

Problems are resampled once for both runs, and AUP is weighted by the best accuracy of the two together, so that it
compares; each run's own report weighs by its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tad_core.evaluation.aup import DEFAULT_ALPHA
from tad_core.evaluation.bootstrap import Bootstrap, Estimate, bootstrap_aup, estimate
from tad_core.evaluation.records import Record

#: between a run's letter and the name of a model
_MARK = "/"
FIRST, SECOND = "A", "B"

#: method and threshold
Way = tuple[str, float]


@dataclass(frozen=True)
class Pair:
    """A number of both runs and the second less the first, each with its interval."""

    first: Estimate
    second: Estimate
    difference: Estimate


class PairedRuns:
    """One task in two runs that asked the same problems."""

    def __init__(self, boot: Bootstrap) -> None:
        self._boot = boot
        self.problems = boot.problems

    def accuracy(self, model: str, first: Way, second: Way) -> Pair | None:
        """Accuracy in percent, each run decoded its way; None where one lacks it."""
        return self._pair(
            self._boot.accuracy, (f"{FIRST}{_MARK}{model}", *first), (f"{SECOND}{_MARK}{model}", *second)
        )

    def tpf(self, model: str, first: Way, second: Way) -> Pair | None:
        """Tokens per forward likewise."""
        return self._pair(
            self._boot.tpf, (f"{FIRST}{_MARK}{model}", *first), (f"{SECOND}{_MARK}{model}", *second)
        )

    def aup(self, model: str) -> Pair | None:
        """AUP over each run's own ways; None where a run has no such model."""
        return self._pair(self._boot.aup, f"{FIRST}{_MARK}{model}", f"{SECOND}{_MARK}{model}")

    def _pair(self, found: object, first: object, second: object) -> Pair | None:
        assert isinstance(found, dict)
        if first not in found or second not in found:
            return None
        return Pair(estimate(found[first]), estimate(found[second]), estimate(found[second] - found[first]))


def paired(
    first: Sequence[Record], second: Sequence[Record], resamples: int = 1000, alpha: float = DEFAULT_ALPHA
) -> PairedRuns | None:
    """The records of one task in two runs, all models and ways; None where the problems are not the same ones.

    Args:
        first: of run A.
        second: of run B.
        resamples: of the problems; 0: no intervals.
        alpha: of AUP.
    """
    if not first or not second or {r.problem_id for r in first} != {r.problem_id for r in second}:
        return None
    task = first[0].task
    both = [replace(r, model=f"{FIRST}{_MARK}{r.model}") for r in first]
    both += [replace(r, model=f"{SECOND}{_MARK}{r.model}", task=task) for r in second]
    return PairedRuns(bootstrap_aup(both, resamples, alpha=alpha))
