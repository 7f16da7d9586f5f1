"""A plain trainer of any objective: copies of the model as teacher and snapshot, every logit of one state after the
other, autograd, and the objective's loss of all rows of a step at once. No packing, micro-batches, adapters that are
switched, or frozen forwards.

Shapes: G inputs of an optimizer step, P tokens of a prompt, L response positions, V vocabulary, N rows of a term.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tad_core.config import ModelConfig
from tad_core.data.responses import end_ids
from tad_core.models.loading import load_model, load_tokenizer
from tad_core.models.lora import add_lora, base_of, weights_of
from tad_core.objectives import make_objective
from tad_core.objectives.base import Marks, Objective, Rows, Term
from tad_core.training.dataset import StatePlan, TrainingTable, load_kept, load_references
from tad_core.training.spec import TrainingSpec
from tad_core.training.table import in_text
from tests.tad_core.decoding.naive_blocks import masked_rows, sees


@dataclass(frozen=True)
class Trained:
    """Loss and gradient norm of every step, and the adapter's weights after the last."""

    figures: list[tuple[float, float]]
    weights: Mapping[str, Tensor]


def train_plainly(spec: TrainingSpec) -> Trained:
    """The first adapter of a spec, without dropout."""
    config = spec.distill
    teacher = load_model(ModelConfig(path=spec.model.path, device="cpu", threads=1))
    student = add_lora(copy.deepcopy(teacher), config.lora, config.seed)
    tokenizer = load_tokenizer(spec.model)
    if config.objective == "sft":
        assert spec.problems is not None
        table, _ = load_references(spec.problems, tokenizer, spec.response_length)
    else:
        table = load_kept(spec.trajectories, spec.verdicts, spec.response_length)
    objective = make_objective(config, spec.window)
    plan = StatePlan(table, objective, config, spec.order)
    ends = set(end_ids(tokenizer))
    weights = weights_of(student, "default")
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
    snapshot, figures = None, []
    for step in range(plan.steps):
        if objective.needs_snapshot and step % objective.snapshot_steps == 0:
            snapshot = copy.deepcopy(student)
        row_G = plan.row_S[step * plan.batch : (step + 1) * plan.batch]
        revealed_GL = table.revealed_at_RL[row_G].astype(np.int64)
        draw_G = plan.draw_S[step * plan.batch : (step + 1) * plan.batch]
        marks = objective.mark(revealed_GL, draw_G, step / plan.steps)
        row_G = np.tile(row_G, objective.copies)
        inputs = _Inputs(objective, table, row_G, marks)
        student_GLV = inputs.logits(student, table.student, objective.attention_block)
        others: dict[str, Tensor | None] = {"teacher": None, "snapshot": None}
        with torch.no_grad():
            if objective.needs_teacher:
                others["teacher"] = inputs.logits(teacher, table.teacher)
            if snapshot is not None:
                others["snapshot"] = inputs.logits(snapshot, table.student)
        text_GL = in_text(table, row_G, ends)
        rows = [inputs.rows(term, student_GLV, others, text_GL) for term in objective.terms]
        totals_T = torch.tensor(objective.totals(marks))
        loss = objective.loss(rows, lambda logits_NV: logits_NV, totals_T).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        for learner in objective.learners:
            learner.after_step(step + 1, plan.steps, lambda sums: sums)
        figures.append((loss.item(), norm.item()))
    names = [n.replace(".default", "") for n, p in student.named_parameters() if p.requires_grad]
    return Trained(figures, dict(zip(names, [w.detach() for w in weights], strict=True)))


@dataclass(frozen=True)
class _Inputs:
    """What is read and learned in one optimizer step."""

    objective: Objective
    table: TrainingTable
    row_G: Any
    marks: Marks

    def logits(self, model: Any, prompts: Any, block: int | None = None) -> Tensor:
        """Of every response position, ``[G, L, V]``, one input after the other."""
        own = base_of(model) if hasattr(model, "peft_config") else model
        found = []
        for i, row in enumerate(self.row_G.tolist()):
            response_L = torch.from_numpy(self.table.response_RL[row].copy()).long()
            shown_L = torch.where(
                torch.from_numpy(self.marks.masked_BL[i].copy()), own.mask_token_id, response_L
            )
            prompt_P = torch.from_numpy(prompts[row].copy()).long()
            ids_1T = torch.cat([prompt_P, shown_L])[None]
            if block is None:
                logits_TV = model(ids_1T)[0]
            else:  # a mask in which a token sees the prompt, the blocks before its own and its own
                seen = sees(len(prompt_P), len(response_L), block)
                logits_TV = masked_rows(own, ids_1T[0].tolist(), seen)
            found.append(logits_TV[len(prompt_P) :])
        return torch.stack(found)

    def rows(self, term: Term, student_GLV: Tensor, others: dict[str, Tensor | None], text_GL: Any) -> Rows:
        """The rows of a term; their hidden states are the logits themselves."""
        marks, chosen_GL = self.marks, self.marks.rows[term.name]
        at = tuple(torch.from_numpy(index) for index in np.nonzero(chosen_GL))
        weights_GL = np.ones(chosen_GL.shape, dtype=np.float32)
        if marks.weight_B is not None:
            weights_GL = weights_GL * marks.weight_B[:, None]
        weights_GL = weights_GL * marks.weights_BL.get(term.name, np.float32(1))
        bins = {}
        for learner in self.objective.learners:
            bins_GL = marks.bins_BL[learner.account]
            bins_GL = np.where(text_GL, bins_GL, -1) if learner.of_text else bins_GL
            bins[learner.account] = torch.from_numpy(bins_GL[chosen_GL])
        other_GLV = others["snapshot"] if term.needs_snapshot else others["teacher"]
        compared = term.needs_snapshot or term.needs_teacher
        return Rows(
            student_ND=student_GLV[at],
            labels_N=torch.from_numpy(self.table.response_RL[self.row_G].astype(np.int64)[chosen_GL]),
            other_ND=other_GLV[at] if compared and other_GLV is not None else None,
            weights_N=None if term.joined else torch.from_numpy(weights_GL[chosen_GL]),
            state_N=at[0] if term.joined else None,
            states=len(self.row_G),
            bins_N=bins,
        )
