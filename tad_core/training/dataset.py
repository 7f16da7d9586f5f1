"""From shards and verdicts, or from references, to the table of a training.

Kept trajectories are written once a host into flat files (``flat``) and mapped from there by every process that
trains or calibrates on them; a shard at a time is in memory.

Shapes: R rows (trajectories or references), L response positions, N tokens of all prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tad_core.artifacts.verified import sha256_of_each
from tad_core.config import Condition
from tad_core.data.problem import Problem, read_problem_lines
from tad_core.data.prompts import student_prompt, training_teacher_prompt
from tad_core.data.responses import closed_response
from tad_core.errors import ArtifactError, DataError
from tad_core.training.flat import Flat, FlatWriter, cached, private
from tad_core.training.order import StatePlan, trained_states
from tad_core.training.table import IntArray, Names, Prompts, TrainingTable
from tad_core.trajectory.schema import PRIVILEGED, TRAJECTORY_SCHEMA, VERDICT_SCHEMA
from tad_core.trajectory.shards import read_table

__all__ = [
    "PASSED",
    "PRIVILEGED",
    "Prompts",
    "StatePlan",
    "TrainingTable",
    "load_kept",
    "load_references",
    "on_reference_labels",
    "system_prompts",
    "trained_states",
]

PASSED = "passed"
_COLUMNS = ["problem_id", "sample", "condition", "student_prompt_ids", "teacher_prompt_ids", "response_ids",
            "revealed_at", "filled_from"]  # fmt: skip
#: Prompts that are in memory at once while they are written.
_AT_ONCE = 4096
#: Raised when the files of a table become others.
_VERSION = 1


def load_kept(
    trajectories: Sequence[str | Path],
    verdicts: Sequence[str | Path],
    length: int,
    teacher_ids: Callable[[str], list[int]] | None = None,
    without_reference: bool = False,
    condition: Condition = "privileged",
) -> TrainingTable:
    """The trajectories of a condition that passed, in the order of the shards; mapped, not in memory.

    Args:
        trajectories: shard files.
        verdicts: one file a shard, same rows in the same order; empty to take every row of the condition.
        length: expected response length.
        teacher_ids: the teacher's prompt of a problem id; default: the prompt of the rollout, which is in the row.
            What it gives is written anew each time, into files of this process.
        without_reference: the teacher reads the student's prompt.
        condition: of the rollouts: with the reference in their prompt, or without.

    Raises:
        ArtifactError: a file that is missing, damaged or of another schema, verdicts of other rows, or no room for the
            table.
        DataError: nothing is kept, or responses of another length.
    """
    try:
        read, judged = sha256_of_each(trajectories), sha256_of_each(verdicts)
    except OSError as error:
        raise ArtifactError(
            f"{error.filename} cannot be read ({error.strerror}); run the stage again, it alone is recomputed"
        ) from None
    fields = {
        "version": _VERSION,
        "trajectories": read,
        "verdicts": judged,
        "length": length,
        "condition": condition,
    }
    flat = cached("table", fields, partial(_write_kept, trajectories, verdicts, length, condition))
    teacher = flat
    if teacher_ids is not None:
        teacher = private(
            partial(
                _write_teacher, Names(flat.arrays["problems"], _int64(flat, "problem_length")), teacher_ids
            )
        )
    names = Names(flat.arrays["names"], _int64(flat, "name_length"))
    student = Prompts(flat.arrays["student"], _int64(flat, "student_length"))
    told = Prompts(teacher.arrays["teacher"], _int64(teacher, "teacher_length"))
    return TrainingTable(
        names=names,
        student=student,
        teacher=student if without_reference else told,
        response_RL=flat.arrays["response"],
        revealed_at_RL=flat.arrays["revealed_at"],
        filled_from_R=np.array(flat.arrays["filled_from"]),
        maps=flat.maps if teacher is flat else (*flat.maps, *teacher.maps),
    )


def system_prompts(path: str | Path, tokenizer: Any, family: str) -> Callable[[str], list[int]]:
    """From a problem id to the teacher's prompt with the reference in the system turn; see ``load_kept``.

    Raises:
        DataError: the file is not a problems.jsonl; when called, a problem that is not in it.
        ModelError: a family whose system turn is not known.
    """
    problems = {problem.id: problem for problem in read_problem_lines(path)}

    @cache
    def prompt(problem_id: str) -> list[int]:
        return training_teacher_prompt(tokenizer, _known(problems, problem_id, path), family)

    return prompt


def load_references(path: str | Path, tokenizer: Any, length: int) -> tuple[TrainingTable, int]:
    """The problems' references as responses, ended as the family ends its turn; and how many were too long for one.

    Raises:
        DataError: the file is not a problems.jsonl, or no reference fits.
    """
    problems = read_problem_lines(path)
    names, prompts, responses = [], [], []
    for problem in problems:
        response = closed_response(tokenizer, problem.reference, length)
        if response is None:
            continue
        names.append(problem.id)
        prompts.append(student_prompt(tokenizer, problem))
        responses.append(response)
    if not names:
        raise DataError(
            f"problems: none of the {len(problems)} references in {path} fits into {length - 1} tokens; "
            "raise rollout.response_length"
        )
    plain = Prompts.of(prompts)
    order_RL = np.zeros((len(names), length), dtype=np.int16)  # references have no reveal order
    filled_R = np.full(len(names), length + 1, dtype=np.int16)
    table = TrainingTable(names, plain, plain, np.array(responses, dtype=np.int32), order_RL, filled_R)
    return table, len(problems) - len(names)


def on_reference_labels(table: TrainingTable, path: str | Path, tokenizer: Any) -> tuple[TrainingTable, int]:
    """Kept trajectories with the tokens of their problems' references, in the order of their own reveals; and how many
    were left out because the reference is too long for a response.

    Nothing of them counts as filled in: end-of-text behind a reference is learned like any other token. Written anew
    each time, into files of this process.

    Raises:
        DataError: the file is not a problems.jsonl or lacks the problem of a trajectory, or no reference fits.
    """
    length = table.response_RL.shape[1]
    problems = {problem.id: problem for problem in read_problem_lines(path)}

    @cache
    def label(problem_id: str) -> list[int] | None:
        return closed_response(tokenizer, _known(problems, problem_id, path).reference, length)

    # A name is the problem's id and the number of the sample.
    labels = {row: ids for row, name in enumerate(table.names) if (ids := label(name.rpartition("/")[0]))}
    if not labels:
        raise DataError(
            f"distill.labels: none of the references of the {len(table)} trajectories fits into {length - 1} tokens; "
            "raise rollout.response_length, or set distill.labels to trajectory"
        )
    flat = private(partial(_write_labelled, table, labels))
    found = TrainingTable(
        names=[table.names[row] for row in labels],
        student=Prompts(flat.arrays["student"], _int64(flat, "student_length")),
        teacher=Prompts(flat.arrays["teacher"], _int64(flat, "teacher_length")),
        response_RL=flat.arrays["response"],
        revealed_at_RL=flat.arrays["revealed_at"],
        filled_from_R=np.full(len(labels), length + 1, dtype=np.int16),
        maps=(*table.maps, *flat.maps),
    )
    return found, len(table) - len(labels)


# --- Arrow to flat files ------------------------------------------------------------------------------


def _write_kept(
    trajectories: Sequence[str | Path],
    verdicts: Sequence[str | Path],
    length: int,
    condition: Condition,
    flat: FlatWriter,
) -> None:
    rows = 0
    for i, path in enumerate(trajectories):
        table = read_table(path, TRAJECTORY_SCHEMA, _COLUMNS)
        keep = np.array([c == condition for c in table["condition"].to_pylist()], dtype=bool)
        if verdicts:
            keep &= _passed(path, table, verdicts[i])
        table = table.filter(pa.array(keep)).combine_chunks()
        rows += table.num_rows
        if table.num_rows:
            _write_rows(table, length, flat)
    if rows == 0:
        raise DataError(
            f"training: none of the {condition} trajectories in {len(trajectories)} shards is kept; look at the "
            "filter's reasons"
        )


def _write_rows(table: pa.Table, length: int, flat: FlatWriter) -> None:
    problems = table["problem_id"].to_pylist()
    _write_texts(flat, "problems", "problem_length", problems)
    names = [f"{p}/{s}" for p, s in zip(problems, table["sample"].to_pylist(), strict=True)]
    _write_texts(flat, "names", "name_length", names)
    for who in ("student", "teacher"):
        ids_N, length_R = _ragged(table[f"{who}_prompt_ids"])
        flat.append(who, ids_N.astype(np.int32))
        flat.append(f"{who}_length", length_R.astype(np.int32))
    flat.append("response", _square(table["response_ids"], length, "response_ids").astype(np.int32))
    flat.append("revealed_at", _square(table["revealed_at"], length, "revealed_at").astype(np.int16))
    flat.append("filled_from", table["filled_from"].to_numpy().astype(np.int16))


def _known(problems: Mapping[str, Problem], problem_id: str, path: str | Path) -> Problem:
    if problem_id not in problems:
        raise DataError(
            f"problems: {path} has no problem {problem_id!r}, of which there is a trajectory; "
            "collect again, or restore the data it was collected with"
        )
    return problems[problem_id]


def _write_labelled(table: TrainingTable, labels: Mapping[int, list[int]], flat: FlatWriter) -> None:
    rows = list(labels)
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        for who, prompts in (("student", table.student), ("teacher", table.teacher)):
            found = [prompts[row] for row in part]
            flat.append(who, np.concatenate(found))
            flat.append(f"{who}_length", np.array([len(ids) for ids in found], dtype=np.int32))
        flat.append("response", np.array([labels[row] for row in part], dtype=np.int32))
        flat.append("revealed_at", table.revealed_at_RL[part])


def _write_texts(flat: FlatWriter, name: str, lengths: str, texts: Sequence[str]) -> None:
    encoded = [text.encode("utf-8") for text in texts]
    flat.append(name, np.frombuffer(b"".join(encoded), dtype=np.uint8))
    flat.append(lengths, np.array([len(text) for text in encoded], dtype=np.int32))


def _write_teacher(problems: Names, teacher_ids: Callable[[str], list[int]], flat: FlatWriter) -> None:
    for start in range(0, len(problems), _AT_ONCE):
        prompts = Prompts.of([teacher_ids(problem_id) for problem_id in problems[start : start + _AT_ONCE]])
        flat.append("teacher", prompts.ids_N)
        flat.append("teacher_length", prompts.length_R.astype(np.int32))


def _int64(flat: Flat, name: str) -> IntArray:
    return flat.arrays[name].astype(np.int64)


def _passed(path: str | Path, table: pa.Table, verdict_path: str | Path) -> NDArray[np.bool_]:
    keys = ["problem_id", "sample", "condition"]
    verdicts = read_table(verdict_path, VERDICT_SCHEMA, [*keys, "verdict"])
    if any(table[k].to_pylist() != verdicts[k].to_pylist() for k in keys):
        raise ArtifactError(f"{verdict_path} does not line up with {path} row by row; run the filter again")
    return np.array([v == PASSED for v in verdicts["verdict"].to_pylist()], dtype=bool)


def _ragged(column: Any) -> tuple[NDArray[Any], IntArray]:
    """Flat values and the length of each list."""
    lists = pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)
    length_R = np.diff(lists.offsets.to_numpy()).astype(np.int64)
    return lists.flatten().to_numpy(), length_R


def _square(column: Any, length: int, name: str) -> NDArray[Any]:
    flat, length_R = _ragged(column)
    if (length_R != length).any():
        odd = int(length_R[length_R != length][0])
        raise DataError(
            f"{name}: a response has {odd} tokens, not rollout.response_length {length}; collect again"
        )
    return flat.reshape(-1, length)
