"""Every text that a run has made and judged, with its verdict: for whoever wants to see what the numbers stand for.

Read from the shards of collection and filter and from the results of evaluation, as far as they are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from tad_core.artifacts import ArtifactRef
from tad_core.evaluation.records import Record, read_records, way_words
from tad_core.trajectory.schema import TRAJECTORY_SCHEMA, Trajectory
from tad_core.trajectory.shards import read_table, read_trajectories, read_verdicts

#: Who wrote the texts of a collection.
TEACHER = "teacher"
PASSED = "passed"
NOT_JUDGED = "not judged"
_COLUMNS = ("problem_id", "source", "sample", "condition", "text")


@dataclass(frozen=True)
class Text:
    """One answer.

    Attributes:
        source: the source of the data, or the task of evaluation.
        problem_id: the problem.
        model: ``teacher`` for a rollout, else the evaluated model.
        way: how it came about: ``privileged`` or ``plain`` (the rollout's prompt; ``plain (round of one)`` in a round),
            ``token by token``, ``threshold 0.5``.
        sample: number of the rollout; 0 in evaluation.
        verdict: the verifier's word, or that it has not been asked.
        reason: its reason in a line; evaluations of earlier releases have none.
        extracted: the answer or program that was judged; evaluation keeps none.
        text: what was written.
        shard: the file that has it, without suffix; empty in evaluation.
    """

    source: str
    problem_id: str
    model: str
    way: str
    sample: int
    verdict: str
    reason: str
    extracted: str
    text: str
    shard: str = ""

    @property
    def correct(self) -> bool:
        """Whether it passed."""
        return self.verdict == PASSED

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


class Wanted(NamedTuple):
    """Which texts; an empty field takes all. A verdict may also be ``wrong``: anything judged but ``passed``."""

    source: str = ""
    verdict: str = ""
    model: str = ""
    way: str = ""
    problem: str = ""

    def takes(self, text: Text) -> bool:
        """Whether it is one of them."""
        verdict = (
            (text.verdict not in (PASSED, NOT_JUDGED))
            if self.verdict == "wrong"
            else self.verdict
            in (
                "",
                text.verdict,
            )
        )
        pairs = ((self.source, text.source), (self.model, text.model), (self.way, text.way))
        return (
            verdict
            and all(wanted in ("", found) for wanted, found in pairs)
            and self.problem in ("", text.problem_id)
        )


class Shard(NamedTuple):
    """One shard of a collection: its trajectories, its verdicts if it has been judged, and the round it is of."""

    name: str
    trajectories: ArtifactRef
    verdicts: ArtifactRef | None
    part: str = ""

    def way(self, condition: str) -> str:
        """How a text of it came about."""
        return f"{condition} ({self.part})" if self.part else condition


def rollouts(shards: Iterable[Shard]) -> Iterator[Text]:
    """Every text of the shards with its verdict; of the trajectories no more than the texts is read.

    Raises:
        ArtifactError: a file is damaged.
    """
    for shard in shards:
        file = shard.trajectories.local(f"{shard.name}.parquet")
        rows = read_table(file, TRAJECTORY_SCHEMA, _COLUMNS).to_pylist()
        verdicts: Sequence[dict[str, Any]] = (
            read_verdicts(shard.verdicts.local(f"{shard.name}.verdicts.parquet")) if shard.verdicts else ()
        )
        for i, row in enumerate(rows):
            judged = verdicts[i] if i < len(verdicts) else {}
            yield Text(
                source=row["source"],
                problem_id=row["problem_id"],
                model=TEACHER,
                way=shard.way(row["condition"]),
                sample=row["sample"],
                verdict=judged.get("verdict", NOT_JUDGED),
                reason=judged.get("reason", ""),
                extracted=judged.get("extracted", ""),
                text=row["text"],
                shard=shard.name,
            )


def trajectory_of(text: Text, shards: Iterable[Shard]) -> Trajectory | None:
    """How a text of a rollout came about; None for an answer of an evaluation, of which that is not kept."""
    for shard in shards:
        if shard.name != text.shard:
            continue
        for row in read_trajectories(shard.trajectories.local(f"{shard.name}.parquet")):
            if (row.problem_id, row.sample, shard.way(row.condition)) == (
                text.problem_id,
                text.sample,
                text.way,
            ):
                return row
    return None


def answers(evaluated: Iterable[ArtifactRef]) -> Iterator[Text]:
    """Every answer of the evaluations."""
    for ref in evaluated:
        yield from map(of_record, read_records(ref.local("results.parquet")))


def of_record(record: Record) -> Text:
    """An answer of an evaluation."""
    way = way_words(record.method, record.threshold)
    task, problem, model, verdict = record.task, record.problem_id, record.model, record.verdict
    return Text(task, problem, model, way, 0, verdict, record.reason, "", record.text)


class Counted(NamedTuple):
    """How the texts of one source, model and way were judged."""

    source: str
    model: str
    way: str
    verdicts: Counter[str]


def counted(texts: Iterable[Text]) -> list[Counted]:
    """Verdicts by source, model and way, in the order in which they first appear."""
    found: dict[tuple[str, str, str], Counter[str]] = {}
    for text in texts:
        found.setdefault((text.source, text.model, text.way), Counter())[text.verdict] += 1
    return [Counted(*group, verdicts) for group, verdicts in found.items()]


def spread(texts: Iterable[Text], each: int) -> list[Text]:
    """Of every source, model, way and verdict the first ``each``, so that no one reason fills the list."""
    taken: Counter[tuple[str, str, str, str]] = Counter()
    found = []
    for text in texts:
        group = (text.source, text.model, text.way, text.verdict)
        taken[group] += 1
        if taken[group] <= each:
            found.append(text)
    return found


def shortened(text: Text, length: int) -> Text:
    """The same with no field of free text longer than ``length`` characters, each in one line."""

    def cut(told: str) -> str:
        line = " ".join(told.split())
        return line if len(line) <= length else f"{line[: length - 1]}…"

    return replace(text, reason=cut(text.reason), extracted=cut(text.extracted), text=cut(text.text))
