"""Training data in memory: the kept trajectories as flat arrays, and the order in which states are visited.

Nothing here depends on the number of devices or on the micro-batch: the plan is one list of states, and optimizer
step s consists of the slice ``[s * G, (s + 1) * G)`` of it, G being the global batch.

Shapes: R rows (trajectories or references), L response positions, P longest prompt, S states of an epoch,
G states of an optimizer step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch.utils.data import Dataset

from tad_core.config import DistillConfig
from tad_core.data.problem import read_problem_lines
from tad_core.data.prompts import Family, student_prompt, training_teacher_prompt
from tad_core.data.responses import closed_response
from tad_core.errors import ArtifactError, DataError
from tad_core.objectives.base import IntArray, Objective
from tad_core.rng import generator
from tad_core.trajectory.schema import PRIVILEGED, TRAJECTORY_SCHEMA, VERDICT_SCHEMA
from tad_core.trajectory.shards import read_table

PASSED = "passed"
_COLUMNS = ["problem_id", "sample", "condition", "student_prompt_ids", "teacher_prompt_ids", "response_ids",
            "revealed_at", "filled_from"]  # fmt: skip


@dataclass(frozen=True)
class Prompts:
    """Prompts of different length in one array; row r is ``ids_RP[r, :length_R[r]]``."""

    ids_RP: NDArray[np.int32]
    length_R: IntArray


@dataclass(frozen=True)
class TrainingTable:
    """Every row to train on. ``names`` are the keys of its randomness: ``problem_id/sample``.

    ``filled_from_R`` is the first step that was filled in with end-of-text rather than computed, L + 1 if none was.
    """

    names: list[str]
    student: Prompts
    teacher: Prompts
    response_RL: NDArray[np.int32]
    revealed_at_RL: NDArray[np.int16]
    filled_from_R: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.names)


def load_kept(
    trajectories: Sequence[str | Path],
    verdicts: Sequence[str | Path],
    length: int,
    teacher_ids: Callable[[str], list[int]] | None = None,
) -> TrainingTable:
    """The privileged trajectories that passed, in the order of the shards.

    Args:
        trajectories: shard files.
        verdicts: one file a shard, same rows in the same order; empty to take every privileged row.
        length: expected response length.
        teacher_ids: the teacher's prompt of a problem id; default: the prompt of the rollout, which is in the row.

    Raises:
        ArtifactError: damaged file, other schema, or verdicts of other rows.
        DataError: nothing is kept, or responses of another length.
    """
    tables = []
    for i, path in enumerate(trajectories):
        table = read_table(path, TRAJECTORY_SCHEMA, _COLUMNS)
        keep = np.array([c == PRIVILEGED for c in table["condition"].to_pylist()], dtype=bool)
        if verdicts:
            keep &= _passed(path, table, verdicts[i])
        tables.append(table.filter(pa.array(keep)))
    table = pa.concat_tables(tables).combine_chunks()
    if table.num_rows == 0:
        raise DataError(
            f"training: none of the trajectories in {len(trajectories)} shards is kept; look at the filter's reasons"
        )
    names = [
        f"{p}/{s}" for p, s in zip(table["problem_id"].to_pylist(), table["sample"].to_pylist(), strict=True)
    ]
    return TrainingTable(
        names=names,
        student=_prompts(*_ragged(table["student_prompt_ids"])),
        teacher=_prompts(*_ragged(table["teacher_prompt_ids"]))
        if teacher_ids is None
        else _prompts_of([teacher_ids(problem_id) for problem_id in table["problem_id"].to_pylist()]),
        response_RL=_square(table["response_ids"], length, "response_ids").astype(np.int32),
        revealed_at_RL=_square(table["revealed_at"], length, "revealed_at").astype(np.int16),
        filled_from_R=table["filled_from"].to_numpy().astype(np.int16),
    )


def system_prompts(path: str | Path, tokenizer: Any, family: str) -> Callable[[str], list[int]]:
    """From a problem id to the teacher's prompt with the reference in the system turn; see ``load_kept``.

    Raises:
        DataError: the file is not a problems.jsonl; when called, a problem that is not in it.
        ModelError: a family whose system turn is not known.
    """
    problems = {problem.id: problem for problem in read_problem_lines(path)}
    name = cast(Family, family)  # an unknown one is refused below

    @cache
    def prompt(problem_id: str) -> list[int]:
        if problem_id not in problems:
            raise DataError(f"problems: {path} has no problem {problem_id!r}, of which there is a trajectory")
        return training_teacher_prompt(tokenizer, problems[problem_id], name)

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
    plain = _prompts_of(prompts)
    order_RL = np.zeros((len(names), length), dtype=np.int16)  # references have no reveal order
    filled_R = np.full(len(names), length + 1, dtype=np.int16)
    table = TrainingTable(names, plain, plain, np.array(responses, dtype=np.int32), order_RL, filled_R)
    return table, len(problems) - len(names)


class StatePlan(Dataset[int]):
    """The states of the whole run, in order; item i is ``(row_S[i], draw_S[i])``.

    An epoch draws ``states_per_trajectory`` states of every row, or all that ``filled_states`` leaves of a row that has
    fewer, and shuffles them globally. A run of more steps
    than one epoch gives goes on with the next epoch's draws. Inside one optimizer step the order does not matter
    to the result, so the states of a step are sorted by prompt length there: less padding.
    """

    def __init__(self, table: TrainingTable, objective: Objective, config: DistillConfig) -> None:
        states_R = trained_states(table, config.filled_states)
        count_R = np.minimum(config.states_per_trajectory, states_R)
        per_epoch = int(count_R.sum())
        if per_epoch == 0:
            raise DataError(
                f"distill.filled_states: {config.filled_states!r} leaves no state of the {len(table)} trajectories, "
                "whose responses are all empty; look at the collection"
            )
        self.batch = config.global_batch_size
        self.steps = config.max_steps or max(1, round(per_epoch * config.epochs / self.batch))
        self.epoch_states = per_epoch
        rows, draws = [], []
        for epoch in range(-(-self.steps * self.batch // per_epoch)):
            row_S, draw_S = _epoch(table, objective, config.seed, epoch, states_R, count_R)
            rows.append(row_S)
            draws.append(draw_S)
        row_S = np.concatenate(rows)[: self.steps * self.batch]
        draw_S = np.concatenate(draws)[: self.steps * self.batch]
        length_R = table.student.length_R + table.teacher.length_R
        order = np.argsort(length_R[row_S].reshape(self.steps, self.batch), axis=1, kind="stable")
        order += np.arange(self.steps)[:, None] * self.batch
        self.row_S, self.draw_S = row_S[order.ravel()], draw_S[order.ravel()]

    def __len__(self) -> int:
        return len(self.row_S)

    def __getitem__(self, index: int) -> int:
        return index

    def __getitems__(self, indices: list[int]) -> list[int]:
        """What the loader's fetcher calls: the collator works on whole batches of indices."""
        return indices


def trained_states(table: TrainingTable, filled_states: Literal["all", "one", "skip"]) -> IntArray:
    """How many states of each row, from the first on, may be drawn, ``[R]``; at most L.

    State t is followed by the reveal of step t + 1, so from state ``filled_from - 1`` on only end-of-text is filled in.
    """
    length = table.response_RL.shape[1]
    if filled_states == "all":
        return np.full(len(table), length, dtype=np.int64)
    computed_R = table.filled_from_R.astype(np.int64) - 1
    return np.minimum(computed_R + (filled_states == "one"), length)


def _epoch(
    table: TrainingTable, objective: Objective, seed: int, epoch: int, states_R: IntArray, count_R: IntArray
) -> tuple[NDArray[np.int32], IntArray]:
    draw_S = np.concatenate(
        [
            objective.draws(name, int(states), int(count), epoch)
            for name, states, count in zip(table.names, states_R, count_R, strict=True)
        ]
    )
    row_S = np.repeat(np.arange(len(table), dtype=np.int32), count_R)
    order_S = generator("order", seed, epoch).permutation(len(draw_S))
    return row_S[order_S], draw_S[order_S]


# --- Arrow to NumPy ---------------------------------------------------------------------------------


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


def _prompts(flat: NDArray[Any], length_R: IntArray) -> Prompts:
    ids_RP = np.zeros((len(length_R), int(length_R.max())), dtype=np.int32)
    ids_RP[np.arange(ids_RP.shape[1])[None, :] < length_R[:, None]] = flat
    return Prompts(ids_RP, length_R)


def _prompts_of(prompts: Sequence[list[int]]) -> Prompts:
    flat = np.array([token for prompt in prompts for token in prompt], dtype=np.int32)
    return _prompts(flat, np.array([len(p) for p in prompts], dtype=np.int64))


def _square(column: Any, length: int, name: str) -> NDArray[Any]:
    flat, length_R = _ragged(column)
    if (length_R != length).any():
        odd = int(length_R[length_R != length][0])
        raise DataError(
            f"{name}: a response has {odd} tokens, not rollout.response_length {length}; collect again"
        )
    return flat.reshape(-1, length)
