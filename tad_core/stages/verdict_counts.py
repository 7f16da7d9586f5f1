"""Counting verdicts: of a shard, of all shards, and while they come in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tad_core.artifacts import ArtifactRef
from tad_core.progress import OnProgress, Progress
from tad_core.trajectory.schema import PRIVILEGED
from tad_core.verify import Verdict

PASSED = str(Verdict.PASSED)


def count(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Totals per source and condition; ``kept`` here is ``passed``, of either condition."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    trust: Counter[tuple[str, str]] = Counter()
    for row in table:
        group = (str(row["source"]), str(row["condition"]))
        counts.setdefault(group, Counter())[str(row["verdict"])] += 1
        trust[group] += row["verdict"] == PASSED and "lower trust" in str(row["reason"])
    return [_entry(*group, counts[group], trust[group]) for group in sorted(counts)]


def _entry(source: str, condition: str, verdicts: Mapping[str, int], lower_trust: int) -> dict[str, Any]:
    return {
        "source": source,
        "condition": condition,
        "total": sum(verdicts.values()),
        "kept": verdicts.get(PASSED, 0),
        "lower_trust": lower_trust,
        "rejected": {v: n for v, n in sorted(verdicts.items()) if v != PASSED},
    }


def summarise(parts: Sequence[Mapping[str, Any]], tiers: Mapping[str, int]) -> dict[str, Any]:
    """``summary.json`` from what ``count`` gave of all shards, and the rows judged under each isolation."""
    verdicts: dict[tuple[str, str], Counter[str]] = {}
    trust: Counter[tuple[str, str]] = Counter()
    for part in parts:
        group = (str(part["source"]), str(part["condition"]))
        verdicts.setdefault(group, Counter()).update({PASSED: part["kept"], **part["rejected"]})
        trust[group] += part["lower_trust"]
    by_source = [_entry(*group, verdicts[group], trust[group]) for group in sorted(verdicts)]
    return {
        "rows": sum(e["total"] for e in by_source),
        "kept": sum(e["kept"] for e in by_source if e["condition"] == PRIVILEGED),
        "tier": dict(sorted(tiers.items())),
        "by_source": by_source,
    }


class Tally:
    """Trajectories that are judged, and how many of them are kept."""

    def __init__(self, total: int, on_progress: OnProgress) -> None:
        self._total, self._on_progress = total, on_progress
        self._done = self._kept = self._privileged = 0

    def add(self, verdicts: ArtifactRef) -> None:
        """One more shard; tells the progress."""
        info = verdicts.manifest.info
        self._done += int(info["rows"])
        self._kept, self._privileged = (
            self._kept + int(info["kept"]),
            self._privileged + int(info["privileged"]),
        )
        figures: dict[str, float | int | str] = {}
        if self._privileged:
            figures["kept %"] = round(100 * self._kept / self._privileged, 1)
        self._on_progress(Progress("filter", self._done, self._total, "trajectories", figures))
