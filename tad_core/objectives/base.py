"""What an objective is: which states it trains on, which tokens of them, and the terms of its loss.

The trainer, the data set, the collator, the log and the pictures know terms by their names and nothing else, so that
another objective is one more file here and one more entry in ``config/objectives.py``.

Shapes: B states (inputs, where ``copies`` makes several of one), L response positions, N selected rows, D hidden size,
V vocabulary, T terms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tad_core.objectives.learner import Learner

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

#: from selected hidden rows ``[N, D]`` to logits ``[N, V]``; the identity where logits are given themselves
Head = Callable[[Tensor], Tensor]

#: logits alive at once, elements; 2^25 in float32 are 128 MiB
LOGITS_AT_ONCE = 1 << 25


#: from logits of the student and of what it is compared with ``[N, V]`` and labels ``[N]`` to the losses ``[N]`` in
#: float32 and their gradient with respect to the student's logits ``[N, V]``, in these logits' dtype
RowLoss = Callable[[Tensor, "Tensor | None", Tensor], tuple[Tensor, Tensor]]

#: from the mean of a term's row losses in each state ``[B]`` to the losses of the states and their derivatives ``[B]``
Joined = Callable[[Tensor], tuple[Tensor, Tensor]]


#: told of a slice of a term's rows, their logits ``[N, V]`` and their losses ``[N]``
Watch = Callable[[slice, Tensor, Tensor], None]


@dataclass(frozen=True)
class Term:
    """One part of a loss: a mean over its rows, or over the states that have some, times its weight.

    Attributes:
        name: in batches, logs and pictures; a word.
        row_loss: of each row.
        weight: of its mean in the loss.
        needs_teacher: whether its rows need the teacher's distribution.
        needs_snapshot: whether they need that of the student's own earlier self, in the teacher's place.
        joined: makes the loss of a state of the mean over its rows; its rows have no weights.
    """

    name: str
    row_loss: RowLoss
    weight: float = 1.0
    needs_teacher: bool = False
    needs_snapshot: bool = False
    joined: Joined | None = None


@dataclass(frozen=True)
class Marks:
    """What happens at every response position of B states.

    Attributes:
        masked_BL: shown to the student as the mask token.
        rows: by term, its rows; a subset of the masked ones, so that a label is never read off the input.
        weight_B: factor of the rows of a state; None for 1.
        weights_BL: by term, a further factor of each of its rows; 1 for terms that are not in it.
        bins_BL: by account (see ``Learner``), the bin in which each position is counted.
    """

    masked_BL: BoolArray
    rows: Mapping[str, BoolArray]
    weight_B: FloatArray | None = None
    weights_BL: Mapping[str, FloatArray] = field(default_factory=dict)
    bins_BL: Mapping[str, IntArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """The selected rows of one term.

    Attributes:
        student_ND: the student's hidden states, with gradient (or logits, when the head is the identity).
        labels_N: the trajectory's tokens.
        other_ND: the teacher's (or the snapshot's) hidden states of the same tokens, without gradient; None if not
            needed.
        weights_N: factor of each row; None for 1.
        state_N: of a joined term, which of the micro-batch's states a row is of.
        states: how many these are.
        bins_N: by account, the bin of each row, -1 for none.
    """

    student_ND: Tensor
    labels_N: Tensor
    other_ND: Tensor | None = None
    weights_N: Tensor | None = None
    state_N: Tensor | None = None
    states: int = 0
    bins_N: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class LossParts:
    """A micro-batch's share of the loss, and the sums it is made of.

    Attributes:
        loss: scalar to differentiate; the shares of all micro-batches of an optimizer step add up to its loss.
        sums_T: sum over the rows of each term before its weight, detached, in the order of the terms.
    """

    loss: Tensor
    sums_T: Tensor


class Objective(ABC):
    """A training objective on partly masked responses: which states, which rows of them, and its terms.

    An objective has one or more terms. It is made from the settings, the window (None without one) and whether to
    compile its losses.
    """

    terms: tuple[Term, ...]
    #: inputs that are made of a drawn state: ``mark`` gives the marks of all first ones, then those of all second ones
    copies: int = 1
    #: steps after which the snapshot is taken anew; of use with terms that need one
    snapshot_steps: int = 1
    #: what learns of the run as it goes
    learners: Sequence[Learner] = ()
    #: tokens of a block of a student that reads block by block; None: it sees the whole response
    attention_block: int | None = None

    @property
    def needs_teacher(self) -> bool:
        """Whether the adapter-free model with its own prompt has to be run."""
        return any(term.needs_teacher for term in self.terms)

    @property
    def needs_snapshot(self) -> bool:
        """Whether the adapter as it was has to be run beside the one that is trained."""
        return any(term.needs_snapshot for term in self.terms)

    @abstractmethod
    def draws(self, name: str, length: int, count: int, epoch: int) -> IntArray:
        """The states of one epoch of the trajectory called ``name``: at most ``count`` numbers, drawn from
        the seed, the name and the epoch alone. What a number means is the objective's own affair."""

    @abstractmethod
    def mark(self, revealed_at_BL: IntArray, draws_B: IntArray, progress: float = 0.0) -> Marks:
        """What is masked in the states that ``draws`` named, and which rows of them each term has; with ``copies``
        c the marks of c * B inputs. ``progress`` is the part of the run that is done, 0 to 1, for curricula."""

    def totals(self, marks: Marks) -> tuple[int, ...]:
        """By how much the sum of each term over a whole optimizer step is divided; default: by its rows, and a joined
        one by the states that have some."""
        rows = ((term, marks.rows[term.name]) for term in self.terms)
        return tuple(int((chosen.any(axis=1) if term.joined else chosen).sum()) for term, chosen in rows)

    def loss(
        self, rows: Sequence[Rows], head: Head, totals_T: Tensor, rows_per_chunk: int = 1 << 30
    ) -> LossParts:
        """The share of one micro-batch in the loss of its optimizer step; a term without rows is zero, not NaN.

        Args:
            rows: of the micro-batch, by term.
            head: hidden rows to logits; frozen.
            totals_T: what ``totals`` said of the whole optimizer step, over all micro-batches and devices.
            rows_per_chunk: rows whose logits may be in memory at once.
        """
        total_T = totals_T.clamp(min=1)
        sums, shares = [], []
        for i, (term, chosen) in enumerate(zip(self.terms, rows, strict=True)):
            watch = partial(self._watch, term.name, chosen) if self.learners else None
            weighed = self._weighed(chosen)
            sums.append(sum_rows(weighed, term.row_loss, head, rows_per_chunk, term.joined, watch))
            shares.append(term.weight * sums[-1] / total_T[i])
        return LossParts(torch.stack(shares).sum(), torch.stack(sums).detach())

    def _weighed(self, rows: Rows) -> Rows:
        """Rows with such weights as the run so far gives them."""
        for learner in self.learners:
            if (more_N := learner.weights(rows.bins_N[learner.account])) is not None:
                rows = replace(rows, weights_N=more_N if rows.weights_N is None else more_N * rows.weights_N)
        return rows

    def _watch(self, term: str, rows: Rows, part: slice, logits_NV: Tensor, losses_N: Tensor) -> None:
        own_N = losses_N if rows.weights_N is None else losses_N * rows.weights_N[part]
        for learner in self.learners:
            learner.watch(term, rows.bins_N[learner.account][part], logits_NV, rows.labels_N[part], own_N)

    def state(self) -> dict[str, Tensor]:
        """What a resumed run has to know of what was learned, for a checkpoint."""
        return {
            f"{own.account}.{name}": value for own in self.learners for name, value in own.state().items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of ``state``."""
        for own in self.learners:
            start = f"{own.account}."
            own.restore({name.removeprefix(start): v for name, v in state.items() if name.startswith(start)})


def sum_rows(
    rows: Rows,
    row_loss: RowLoss,
    head: Head,
    rows_per_chunk: int,
    joined: Joined | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Sum of a loss over rows, or with ``joined`` over the states they are of; float32.

    ``watch`` is told of the student's logits and the unweighted losses of each chunk.

    The gradient of each chunk of rows is made as soon as its logits are there: those of one chunk at a time are
    alive, and nothing is computed twice.
    """
    total: Tensor = _SumOfRows.apply(rows.student_ND, rows, row_loss, head, rows_per_chunk, joined, watch)  # type: ignore[no-untyped-call]
    return total


class _SumOfRows(torch.autograd.Function):
    """A sum over rows whose gradient with respect to them is computed along the way.

    Right because the result is a sum: its gradient is each row's own, times one scalar from above. What is joined is a
    function of each state's mean: the gradient is each row's own, times one scalar of its state.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        student_ND: Tensor,
        rows: Rows,
        row_loss: RowLoss,
        head: Head,
        rows_per_chunk: int,
        joined: Joined | None,
        watch: Watch | None,
    ) -> Tensor:
        wanted = ctx.needs_input_grad[0]  # type: ignore[attr-defined]
        gradient_ND = torch.empty_like(student_ND) if wanted else None
        total = torch.zeros((), dtype=torch.float32, device=student_ND.device)
        kept_N = [total.new_empty(0)]
        for start in range(0, student_ND.shape[0], rows_per_chunk):
            part = slice(start, start + rows_per_chunk)
            other_NV = None if rows.other_ND is None else head(rows.other_ND[part])
            with torch.set_grad_enabled(wanted):
                piece_ND = student_ND[part].detach().requires_grad_(wanted)
                logits_NV = head(piece_ND)
            losses_N, gradient_NV = row_loss(logits_NV.detach(), other_NV, rows.labels_N[part])
            if watch is not None:
                watch(part, logits_NV.detach(), losses_N)
            if rows.weights_N is not None:
                losses_N = losses_N * rows.weights_N[part]
                gradient_NV = gradient_NV * rows.weights_N[part, None].to(gradient_NV.dtype)
            total += losses_N.sum()
            kept_N.append(losses_N)
            if gradient_ND is not None:
                gradient_ND[part] = torch.autograd.grad(logits_NV, piece_ND, gradient_NV)[0]
        if joined is not None:
            total, factor_N = _join(rows, torch.cat(kept_N), joined)
            if gradient_ND is not None:
                gradient_ND *= factor_N[:, None].to(gradient_ND.dtype)
        if gradient_ND is not None:
            ctx.save_for_backward(gradient_ND)
        return total

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, *above: Tensor
    ) -> tuple[Tensor | None, None, None, None, None, None, None]:
        (gradient_ND,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return (gradient_ND * above[0]).to(gradient_ND.dtype), None, None, None, None, None, None


def _join(rows: Rows, losses_N: Tensor, joined: Joined) -> tuple[Tensor, Tensor]:
    """The sum over the states that have rows, and what each row's own gradient is times."""
    assert rows.state_N is not None and rows.weights_N is None, "a joined term knows the states of its rows"
    state_B1 = torch.arange(rows.states, device=losses_N.device)[:, None]
    member_BN = (state_B1 == rows.state_N).to(losses_N.dtype)
    count_B = member_BN.sum(1)
    share_BN = member_BN / count_B.clamp(min=1)[:, None]
    losses_B, slope_B = joined(share_BN @ losses_N)
    return (losses_B * (count_B > 0)).sum(), slope_B @ share_BN
