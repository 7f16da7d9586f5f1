"""From evaluated points to the numbers of the report: accuracy, speed, AUP and their 95 % intervals.

Everything the headline table shows is a field here, and ``scores.json`` is this file's ``Scores`` as JSON.
Accuracies are percentages; TPF is tokens per forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from tad_core.config import TADConfig, own_decoder
from tad_core.config.decoders import ENTROPY, TOKEN_BY_TOKEN, operating_way
from tad_core.evaluation.bootstrap import Estimate, Interval
from tad_core.evaluation.records import way_name, way_words

SCORES_NAME = "scores.json"
SINGLE = (TOKEN_BY_TOKEN, 0.0)
"""The way in which every curve begins."""
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Operating:
    """The way of the headline row: method and threshold, of all models or of some their own."""

    shared: tuple[str, float]
    own: Mapping[str, tuple[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, config: TADConfig) -> Operating:
        """That of a run; a model whose own decoder says the same as the run's has none of its own."""
        shared = config.evaluate.decode.method, config.evaluate.operating_threshold
        named = (m for m in config.evaluate.models if own_decoder(config, m) is not None)
        return cls(shared, {m: way for m in named if (way := operating_way(config, m)) != shared})

    def way(self, model: str) -> tuple[str, float]:
        """Of one model."""
        return self.own.get(model, self.shared)

    @property
    def at(self) -> str:
        """For the head of a column: ``at 0.5``."""
        return "at its own" if self.own else f"at {way_name(*self.shared)}"

    @property
    def words(self) -> str:
        """For a sentence: ``threshold 0.5``."""
        return "the operating threshold of each" if self.own else way_words(*self.shared)

    def note(self, labels: Iterable[tuple[str, str]]) -> str:
        """Whose way is which, by name and label of the models; empty where all have one."""
        told = [f"{label} {way_words(*self.way(model))}" for model, label in labels]
        return f" Decoded at: {', '.join(told)}." if self.own else ""


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

    def at(self, operating: Operating) -> Point | None:
        """The point of its headline row."""
        way = operating.way(self.model)
        return next((p for p in self.points if (p.method, p.threshold) == way), None)


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
    operating_method: str = ENTROPY
    """What ``operating_threshold`` is a threshold of."""
    operating_own: dict[str, tuple[str, float]] = {}
    """Method and threshold of the headline row of models that are decoded another way, by model."""

    @property
    def operating(self) -> Operating:
        """The way of the headline row."""
        return Operating((self.operating_method, self.operating_threshold), self.operating_own)


def wilson(correct: int, total: int) -> Interval:
    """95 % interval of a share, in percent (Wilson 1927): sensible at 0 and 100 % and for few problems."""
    if total == 0:
        return Interval(low=0.0, high=100.0)
    share, z2 = correct / total, _Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return Interval(low=100 * max(0.0, centre - half), high=100 * min(1.0, centre + half))
