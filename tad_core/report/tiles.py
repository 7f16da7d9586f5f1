"""The numbers of a report that are worth a glance."""

from __future__ import annotations

from dataclasses import dataclass

from tad_core.config import BASE
from tad_core.report.lineup import Lineup
from tad_core.report.scores import Scores

#: Models with tiles.
_TILED = 3


@dataclass(frozen=True)
class Tile:
    """A number worth a glance, with the model it belongs to."""

    model: str
    title: str
    value: str
    detail: str


def tiles(scores: Scores, lineup: Lineup) -> list[Tile]:
    """Accuracy, speed and AUP of the first distilled models on the first task, each next to the base."""
    task = scores.tasks[0]
    base, where = task.of(BASE), f", {task.task}" if len(scores.tasks) > 1 else ""
    found = []
    distilled = [s for s in task.scores if s.model != BASE and s.model not in lineup.baselines]
    if base is None:
        return []
    for score in distilled[:_TILED]:
        model, label = score.model, lineup.label(score.model)
        single, before = score.token_by_token, base.token_by_token
        if single is not None and before is not None:
            detail = f"token by token{where}; base {before.accuracy:.1f} %"
            found.append(Tile(model, f"{label} accuracy", f"{single.accuracy:.1f} %", detail))
        point, base_point = score.at(scores.operating), base.at(scores.operating)
        if point is not None and base_point is not None:
            detail = (
                f"tokens per forward at {point.accuracy:.1f} %{where}; base {base_point.tpf:.1f} "
                f"at {base_point.accuracy:.1f} %"
            )
            found.append(Tile(model, f"{label} speed", f"{point.tpf:.1f}", detail))
        span = score.aup_interval
        detail = (
            f"95 %: {span.low:.0f} to {span.high:.0f}{where}; " if span else ""
        ) + f"base {base.aup:.0f}"
        found.append(Tile(model, f"{label} AUP", f"{score.aup:.0f}", detail))
    return found
