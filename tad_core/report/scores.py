"""From evaluated points to the numbers of the report: accuracy, speed, AUP and their 95 % intervals.

Everything the headline table shows is a field here, and ``scores.json`` is this file's ``Scores`` as JSON.
Accuracies are percentages; TPF is tokens per forward pass.
"""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from tad_core.evaluation.bootstrap import Estimate, Interval

SCORES_NAME = "scores.json"
TOKEN_BY_TOKEN = "token_by_token"
ENTROPY = "entropy"
_Z95 = 1.959963984540054


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Point(_Record):
    """One model, one task, one way of decoding."""

    method: str
    threshold: float
    accuracy: float
    accuracy_interval: Interval
    tpf: float
    tpf_text: float
    tokens_per_s: float
    counted: bool
    """Whether AUP counts it."""
    nfe: float
    """Forwards a problem."""
    full_nfe: float | None
    """Of these, those that took nothing from a cache."""
    computed_per_token: float | None
    """Tokens computed, of prompt and response, a revealed token."""
    figures: dict[str, float] = {}
    """lm-eval's own figures of a benchmark by its names, in percent; they do not enter anything above."""


class Score(_Record):
    """One model on one task: a row of the headline table and its curve."""

    model: str
    points: list[Point]
    aup: float
    aup_interval: Interval | None
    aup_text: float
    """AUP with TPF counted without end-of-text tokens."""
    aup_leaderboard: float | None = None
    """As the leaderboard's code has it, of two points, token by token and at the operating threshold; None where that
    code stops, since the second is more than 5 points below, or where one of the two was not measured."""

    @property
    def token_by_token(self) -> Point | None:
        """The point decoded one token a forward."""
        return next((p for p in self.points if p.method == TOKEN_BY_TOKEN), None)

    def at(self, threshold: float) -> Point | None:
        """The point of one entropy threshold."""
        return next((p for p in self.points if p.method == ENTROPY and p.threshold == threshold), None)


class Comparison(_Record):
    """``model`` held against ``over`` on the same problems, paired; None where one of the two lacks the number."""

    model: str
    over: str
    accuracy_token_by_token: Estimate | None
    """Difference in points."""
    accuracy: Estimate | None
    """Difference in points, at the operating threshold."""
    tpf: Estimate | None
    """Difference in tokens per forward, at the operating threshold."""
    aup_ratio: Estimate | None
    aup_apart: bool | None
    """Whether the two AUP intervals share no point; None without intervals."""


class TaskScores(_Record):
    """All models on one task."""

    task: str
    problems: int
    y_max: float
    scores: list[Score]
    comparisons: list[Comparison] = []
    y_max_leaderboard: float | None = None
    """Best accuracy over those two points of every model."""

    def against(self, model: str, over: str) -> Comparison | None:
        """The comparison of two models."""
        return next((c for c in self.comparisons if (c.model, c.over) == (model, over)), None)

    def of(self, model: str) -> Score | None:
        """The score of one model."""
        return next((s for s in self.scores if s.model == model), None)


class Average(_Record):
    """The plain mean over tasks of one model; None where a task lacks the number."""

    model: str
    token_by_token: float | None
    accuracy: float | None
    tpf: float | None
    tpf_text: float | None
    tokens_per_s: float | None
    aup: float
    aup_interval: Interval | None


class Scores(_Record):
    """Every number of the headline table."""

    version: int = 1
    name: str
    operating_threshold: float
    aup_alpha: float
    bootstrap: int
    tasks: list[TaskScores]
    average: list[Average]
    """Empty when there is one task."""


def wilson(correct: int, total: int) -> Interval:
    """95 % interval of a share, in percent (Wilson 1927): sensible at 0 and 100 % and for few problems."""
    if total == 0:
        return Interval(low=0.0, high=100.0)
    share, z2 = correct / total, _Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return Interval(low=100 * max(0.0, centre - half), high=100 * min(1.0, centre + half))
