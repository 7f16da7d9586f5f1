"""Texts with their verdicts: read from shards and results, chosen by what is wanted, spread over the reasons."""

from __future__ import annotations

from pathlib import Path

import pytest

from tad_core.artifacts import Store, ref_at
from tad_core.errors import ArtifactError
from tad_core.evaluation.records import Record
from tad_core.report.lineup import Lineup
from tad_core.report.tables import texts as table_of
from tad_core.report.texts import (
    NOT_JUDGED,
    Shard,
    Text,
    Wanted,
    counted,
    of_record,
    rollouts,
    shortened,
    spread,
    trajectory_of,
)
from tad_core.trajectory.schema import Trajectory
from tad_core.trajectory.shards import write_trajectories, write_verdicts

NAME = "privileged-00000-00002"


def trajectory(number: int) -> Trajectory:
    return Trajectory(
        problem_id=f"own/{number}",
        source="own",
        kind="math",
        sample=0,
        condition="privileged",
        student_prompt_ids=[1],
        teacher_prompt_ids=[1, 2],
        response_ids=[5, 6],
        revealed_at=[2, 1],
        confidence=[0.5, 0.5],
        filled_from=3,
        mode="exact",
        text=f"text {number}",
    )


def shard(folder: Path, judged: bool) -> Shard:
    store = Store(folder)
    rows = [trajectory(0), trajectory(1)]
    with store.writer("collect", 1, "c" * 32, {}, manifest_name=f"{NAME}.json") as writer:
        write_trajectories(writer.path(f"{NAME}.parquet", by_content=True), rows)
        collected = writer.commit({})
    if not judged:
        return Shard(NAME, collected, None)
    verdicts = [
        {"problem_id": row.problem_id, "source": row.source, "sample": 0, "condition": "privileged",
         "verdict": verdict, "reason": reason, "extracted": "4"}
        for row, verdict, reason in zip(rows, ("passed", "different"), ("", "'4' is not '5'"), strict=True)
    ]  # fmt: skip
    with store.writer("filter", 1, "f" * 32, {}, manifest_name=f"{NAME}.json") as writer:
        write_verdicts(writer.path(f"{NAME}.verdicts.parquet", by_content=True), verdicts)
        return Shard(NAME, collected, writer.commit({}))


def test_a_shards_texts_have_their_verdicts_row_by_row(tmp_path: Path) -> None:
    there = shard(tmp_path, judged=True)
    right, wrong = rollouts([there])
    assert (right.verdict, right.correct, right.text) == ("passed", True, "text 0")
    assert (wrong.verdict, wrong.reason, wrong.extracted) == ("different", "'4' is not '5'", "4")
    assert trajectory_of(wrong, [there]) == trajectory(1)


def test_a_shard_that_is_not_judged_yet_is_shown_all_the_same(tmp_path: Path) -> None:
    assert [t.verdict for t in rollouts([shard(tmp_path, judged=False)])] == [NOT_JUDGED] * 2


def test_rollouts_of_a_round_are_told_from_those_of_the_run(tmp_path: Path) -> None:
    """Their shards have the same names."""
    first = shard(tmp_path / "first", judged=True)
    again = shard(tmp_path / "again", judged=True)._replace(part="round of one")
    (_, one), (_, two) = rollouts([first]), rollouts([again])
    assert (one.way, two.way) == ("privileged", "privileged (round of one)")
    assert trajectory_of(two, [first, again]) == trajectory(1)
    assert trajectory_of(two, [first]) is None


def text(**fields: object) -> Text:
    return Text(**{  # type: ignore[arg-type]
        "source": "own", "problem_id": "own/1", "model": "base", "way": "threshold 0.5", "sample": 0,
        "verdict": "different", "reason": "", "extracted": "", "text": "x", **fields,
    })  # fmt: skip


def test_an_answer_of_an_evaluation_says_by_which_way() -> None:
    record = Record(
        "task",
        "base",
        "entropy",
        0.5,
        "t/1",
        False,
        "different",
        1,
        1,
        1,
        0.1,
        "said",
        reason="'4' is not '5'",
    )
    assert of_record(record) == text(source="task", problem_id="t/1", reason="'4' is not '5'", text="said")
    assert trajectory_of(of_record(record), []) is None


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (Wanted(), True),
        (Wanted(verdict="wrong"), True),
        (Wanted(verdict="passed"), False),
        (Wanted(source="own", model="base", way="threshold 0.5", problem="own/1"), True),
        (Wanted(model="speed"), False),
        (Wanted(problem="own/2"), False),
    ],
)
def test_what_is_wanted_is_all_of_it_at_once(wanted: Wanted, taken: bool) -> None:
    assert wanted.takes(text()) is taken


def test_what_is_not_judged_is_not_wrong() -> None:
    assert not Wanted(verdict="wrong").takes(text(verdict=NOT_JUDGED))
    assert not Wanted(verdict="wrong").takes(text(verdict="passed"))


def test_of_every_reason_the_first_few() -> None:
    many = [text(problem_id=str(i)) for i in range(5)] + [text(problem_id="9", verdict="no_answer")]
    assert [t.problem_id for t in spread(many, 2)] == ["0", "1", "9"]
    (group,) = counted(many)
    assert group.verdicts == {"different": 5, "no_answer": 1}


def test_long_texts_are_cut_to_a_line_of_the_report() -> None:
    long = text(text="a\n" * 300, reason="b" * 300)
    assert shortened(long, 10).text == "a a a a a…" and len(shortened(long, 10).reason) == 10
    table = table_of("Wrong", [long], Lineup([]))
    assert table is not None
    assert [len(cell.text) <= 180 for cell in table.rows[0].cells] == [True] * 5
    assert table_of("Wrong", [], Lineup([])) is None


def test_a_folder_without_a_manifest_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="missing or unreadable"):
        ref_at(str(tmp_path))
    there = shard(tmp_path, judged=False).trajectories
    assert ref_at(there.url, there.manifest_name) == there
    next(Path(there.url).glob("*.parquet")).write_bytes(b"other")
    with pytest.raises(ArtifactError, match="different from the manifest"):
        ref_at(there.url, there.manifest_name)
