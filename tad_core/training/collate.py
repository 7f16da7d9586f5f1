"""From state numbers to the tensors of a micro-batch, without a Python loop over samples.

Student and teacher sequences differ only in their prompt; each are laid end to end. Only the rows of masked tokens
leave the last layer, and only those that a loss reads go through the head: the batch carries their places.

Shapes: B inputs, L response positions, W width of padded sequences, N rows of a term, T terms, G states of a step.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tad_core.models.base import DiffusionLM
from tad_core.objectives.base import BoolArray, FloatArray, IntArray, Marks, Objective, Rows, Term
from tad_core.training.dataset import Prompts, StatePlan, TrainingTable
from tad_core.training.packing import lay_out, rows_among, wanted
from tad_core.training.table import in_text

#: see ``Collator``
Batch = dict[str, Any]

#: padded widths are multiples of this: attention kernels with a mask want aligned rows
_ALIGN = 8


@dataclass(frozen=True)
class Reader:
    """What a model says of how it reads a state: the id of its mask, which row predicts a token, what ends a text."""

    mask: int
    shift: int = 0
    ends: frozenset[int] = frozenset()

    @classmethod
    def of(cls, model: DiffusionLM, ends: Collection[int] = ()) -> Self:
        """That of a model."""
        return cls(model.mask_token_id, model.packed_shift, frozenset(ends))


class Collator:
    """Builds micro-batches of a plan, for one adapter or for several that see the same states.

    A batch holds ``student``, laid out as ``packing.lay_out`` does, and ``teacher`` where one is needed; and ``parts``,
    one for each objective: by the name of each term places among the rows of the student, labels,
    weights, states, bins; and ``totals_T``, the divisors of the whole optimizer step.
    """

    def __init__(
        self, table: TrainingTable, plan: StatePlan, objectives: Sequence[Objective], reader: Reader
    ) -> None:
        self.table, self.plan, self.objectives, self.reader = table, plan, objectives, reader
        self._step = -1
        self._totals: list[Tensor] = []

    def __call__(self, indices: list[int]) -> Batch:
        """The tensors of these states; they belong to one optimizer step."""
        index = np.asarray(indices)
        step = int(index[0]) // self.plan.batch
        assert int(index[-1]) // self.plan.batch == step, "a micro-batch never straddles two steps"
        if step != self._step:
            self._step, self._totals = step, self.step_totals(step)
        row_B = self.plan.row_S[index]
        marks = self._mark(row_B, self.plan.draw_S[index], step)
        row_B = np.tile(row_B, self.objectives[0].copies)
        masked_BL = marks[0].masked_BL
        assert all(np.array_equal(masked_BL, m.masked_BL) for m in marks[1:]), (
            "one pass is over the same states"
        )
        response_BL = self.table.response_RL[row_B].astype(np.int64)
        state_BL = np.where(masked_BL, self.reader.mask, response_BL)
        batch: Batch = {}
        # The same rows whatever reads them, so that an adapter's numbers do not depend on its company.
        wanted_BL = wanted(masked_BL)
        for who, prompts in (("student", self.table.student), ("teacher", self.table.teacher)):
            if who == "student" or any(o.needs_teacher for o in self.objectives):
                block = self.objectives[0].attention_block if who == "student" else None
                batch[who] = lay_out(prompts, row_B, state_BL, wanted_BL, self.reader.shift, block)
        batch["parts"] = [
            _part(objective, self._counted(objective, mark, row_B), totals_T, response_BL, wanted_BL)
            for objective, mark, totals_T in zip(self.objectives, marks, self._totals, strict=True)
        ]
        return batch

    def step_totals(self, step: int) -> list[Tensor]:
        """``totals_T`` of a whole optimizer step: the same on every device, so none has to be asked."""
        part = slice(step * self.plan.batch, (step + 1) * self.plan.batch)
        marks = self._mark(self.plan.row_S[part], self.plan.draw_S[part], step)
        # Whole numbers: DeepSpeed's integration rounds what is floating to bfloat16 on its way to the device.
        return [
            torch.tensor(objective.totals(mark), dtype=torch.long)
            for objective, mark in zip(self.objectives, marks, strict=True)
        ]

    def _counted(self, objective: Objective, marks: Marks, row_B: NDArray[np.int32]) -> Marks:
        """The marks with what is no text in no bin, for what learns of the text alone."""
        of_text = [learner.account for learner in objective.learners if learner.of_text]
        if not of_text:
            return marks
        in_text_BL = in_text(self.table, row_B, self.reader.ends)
        bins = {**marks.bins_BL, **{n: np.where(in_text_BL, marks.bins_BL[n], -1) for n in of_text}}
        return replace(marks, bins_BL=bins)

    def _mark(self, row_B: NDArray[np.int32], draw_B: IntArray, step: int) -> list[Marks]:
        revealed_at_BL = self.table.revealed_at_RL[row_B].astype(np.int64)
        progress = step / self.plan.steps
        return [objective.mark(revealed_at_BL, draw_B, progress) for objective in self.objectives]


def _part(
    objective: Objective, marks: Marks, totals_T: Tensor, response_BL: IntArray, wanted_BL: BoolArray
) -> dict[str, Any]:
    """Rows, labels and divisors of one objective; ``wanted_BL`` are the positions that have rows."""
    part: dict[str, Any] = {"totals_T": totals_T.clone()}
    for term in objective.terms:
        chosen_BL = marks.rows[term.name]
        part[f"{term.name}_student_N"] = rows_among(wanted_BL, chosen_BL)
        part[f"{term.name}_labels_N"] = torch.from_numpy(response_BL[chosen_BL])
        if (weights_BL := _weights(marks, term.name)) is not None:
            part[f"{term.name}_weights_N"] = torch.from_numpy(weights_BL[chosen_BL])
        if objective.learners:
            bins = {name: torch.from_numpy(bins_BL[chosen_BL]) for name, bins_BL in marks.bins_BL.items()}
            part[f"{term.name}_bins"] = bins
        if term.joined is not None:
            part[f"{term.name}_state_N"] = torch.from_numpy(np.nonzero(chosen_BL)[0])
    return part


def rows_of(
    part: dict[str, Any], term: Term, states: int, student_ND: Tensor, other_ND: Tensor | None
) -> Rows:
    """A term's rows among those of a micro-batch of so many ``states``.

    ``other_ND`` is of the teacher or of the snapshot, where the term is compared with it: at the same places.
    """
    index_N = part[f"{term.name}_student_N"]
    compared = other_ND is not None and (term.needs_teacher or term.needs_snapshot)
    return Rows(
        student_ND=student_ND.index_select(0, index_N),
        labels_N=part[f"{term.name}_labels_N"],
        other_ND=other_ND.index_select(0, index_N) if compared and other_ND is not None else None,
        weights_N=part.get(f"{term.name}_weights_N"),
        state_N=part.get(f"{term.name}_state_N"),
        states=states,
        bins_N=part.get(f"{term.name}_bins", {}),
    )


def _weights(marks: Marks, term: str) -> FloatArray | None:
    """The factors of a term's rows, of each position; None where all are 1."""
    own_BL = marks.weights_BL.get(term)
    if marks.weight_B is None:
        return own_BL
    of_state_BL = np.broadcast_to(marks.weight_B[:, None], marks.masked_BL.shape)
    return of_state_BL if own_BL is None else own_BL * of_state_BL


def flat_rows(chosen_BL: BoolArray, first_B: IntArray) -> Tensor:
    """Indices of the chosen positions in the flattened ``[B * W]`` sequence; ``first_B`` is where responses start."""
    state_N, position_N = np.nonzero(chosen_BL)
    return torch.from_numpy(first_B[state_N] + position_N)


def join(
    prompts: Prompts, row_B: NDArray[Any], state_BL: IntArray, pad: int
) -> tuple[IntArray, NDArray[np.int64] | None]:
    """Prompt, response and padding side by side: ids ``[B, W]`` and the mask of real tokens, None if all are."""
    length = state_BL.shape[1]
    prompt_B1 = prompts.length_R[row_B][:, None]
    longest, shortest = int(prompt_B1.max()), int(prompt_B1.min())
    width = longest + length
    if longest != shortest:
        width = -(-width // _ALIGN) * _ALIGN
    column_1W = np.arange(width)[None, :]
    position_BW = column_1W - prompt_B1
    response_BW = np.take_along_axis(state_BL, np.clip(position_BW, 0, length - 1), axis=1)
    prompt_BP = prompts.padded(row_B)
    prompt_BW = prompt_BP[:, np.minimum(column_1W[0], prompt_BP.shape[1] - 1)]
    ids_BW = np.where(position_BW < 0, prompt_BW, np.where(position_BW < length, response_BW, pad)).astype(
        np.int64
    )
    if longest == shortest:
        return ids_BW, None
    return ids_BW, (position_BW < length).astype(np.int64)
