"""The decoder's loop: batched, exact, counted; how positions are chosen is the methods' own (one file each).

A sample is its prompt followed by L response positions, all masks at first. Every forward runs over the
prompt and all L positions, later masks included, exactly as in the states of training. What a prompt decodes
to does not depend on its batch: on a CPU each runs alone (``at_once``), on an accelerator rows are padded on the right
and the padding is masked.

Shapes: B samples still running, T prompt + response positions of the widest, L response positions, S
positions scored in this step, D hidden size, V vocabulary, N rows of logits, G samples of a batch at first.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol

import torch
from torch import Tensor

from tad_core.config.marks import with_cost
from tad_core.errors import ConfigError, DataError
from tad_core.fitting import Fitting, tell
from tad_core.models.base import DiffusionLM, right_pad
from tad_core.models.batching import at_once
from tad_core.progress import OnProgress, Progress, silent

Method = Literal["token_by_token", "entropy"]

#: Fewer rows take another GEMM kernel on CPUs, which rounds differently: the head gets at least these, so that a
#: position's logits do not depend on how many are scored with it.
MIN_HEAD_ROWS = 32
#: Logits scored at once in float64: 2**25 are 256 MiB.
MAX_SCORED_ELEMENTS = 1 << 25


@dataclass(frozen=True)
class DecodeSpec:
    """How to decode.

    Attributes:
        response_length: L, tokens of the response.
        block_length: tokens of a block; divides L.
        method: ``"token_by_token"`` (one reveal a forward) or ``"entropy"`` (all below the threshold).
        threshold: entropy in nats below which (strictly) a position is revealed; not used token by token.
        block_add_threshold: progress of the last added block, 0 to 1, at which the next one is added.
        early_stop: stop once every position before the first end-of-text is revealed.
        mask_in_entropy: whether the entropy is that of all logits, the mask token's among them, as in the paper's code;
            a mask is never revealed either way.
    """

    response_length: int
    block_length: int
    method: Method = "token_by_token"
    threshold: float = 0.0
    block_add_threshold: float = 1.0
    early_stop: bool = True
    mask_in_entropy: bool = True

    def __post_init__(self) -> None:
        if self.block_length < 1 or self.response_length < 1 or self.response_length % self.block_length:
            raise ConfigError(
                f"block_length: {self.block_length} does not divide response_length {self.response_length}; "
                "use one of its divisors"
            )
        if self.method not in ("token_by_token", "entropy"):
            raise ConfigError(f"method: {self.method!r} is not known; use 'token_by_token' or 'entropy'")
        if not self.threshold >= 0:
            raise ConfigError(f"threshold: {self.threshold} is not an entropy; use 0 or more (nats)")
        if not 0 <= self.block_add_threshold <= 1:
            raise ConfigError(
                f"block_add_threshold: {self.block_add_threshold} is not a progress; use 0 to 1"
            )

    @property
    def blocks(self) -> int:
        """Blocks of the response."""
        return self.response_length // self.block_length


@dataclass(frozen=True)
class Decoded:
    """One decoded response.

    Attributes:
        tokens: the L tokens; positions that early stop left masked hold end-of-text.
        forwards: forward passes that served this sample.
        revealed_at: for each position the forward, from 1, that revealed it; 0 where early stop filled it in.
        stopped_early: whether early stop filled anything in.
        wall_s: this sample's share of the time of its forwards.
    """

    tokens: list[int]
    forwards: int
    revealed_at: list[int]
    stopped_early: bool
    wall_s: float = field(default=0.0, compare=False)

    @property
    def revealed(self) -> int:
        """Tokens revealed by forwards."""
        return sum(step > 0 for step in self.revealed_at)


class Policy(Protocol):
    """What a decoding method decides; its tensors hold one row per running sample."""

    scores_mask: bool
    """Whether ``score`` sees the mask token's own logit; if not, it is -inf there."""

    def window(self, masked_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Start and end ``[B]`` of the positions that may be revealed in the coming forward.

        Called once before each forward. The start is that of the first unfinished block; for a sample with no
        mask left anything may be returned.
        """
        ...

    def score(self, logits_NV: Tensor) -> Tensor:
        """Float64 score of each row of logits."""
        ...

    def choose(self, scores_BS: Tensor, open_BS: Tensor, position_BS: Tensor, start_B: Tensor) -> Tensor:
        """Which of the open positions to reveal, ``[B, S]`` bool; at least one in every sample."""
        ...

    def keep(self, rows_B: Tensor) -> None:
        """Drop the state of every sample but these rows."""
        ...


def decode(
    model: DiffusionLM,
    prompts: Sequence[Sequence[int]],
    spec: DecodeSpec,
    batch_size: int = 32,
    on_progress: OnProgress = silent,
    fitting: Fitting | None = None,
) -> list[Decoded]:
    """Decode every prompt greedily; results in the order of ``prompts``.

    Args:
        model: in evaluation mode, on its device.
        prompts: token ids, at least one each.
        spec: how to decode.
        batch_size: most samples in one forward on an accelerator; changes the speed only.
        on_progress: told the samples finished so far.
        fitting: what is known of the model's memory from before.

    Raises:
        DataError: when a prompt is empty, or too long for the model together with the response.
        OutOfMemoryError: not even one prompt fits.
    """
    _check_lengths(model, prompts, spec)
    fitting = fitting or new_fitting()
    results: list[Decoded | None] = [None] * len(prompts)
    done = told = 0

    def report(finished: int) -> None:
        nonlocal told
        if done + finished > told:  # a batch that is begun again tells nothing twice
            told = done + finished
            on_progress(Progress("decode", told, len(prompts)))

    waiting = deque(plan_batches([len(p) for p in prompts], at_once(model.device.type, batch_size)))
    while waiting:
        indices = waiting.popleft()
        most = fitting.of(len(indices))
        waiting.extendleft(indices[i : i + most] for i in reversed(range(most, len(indices), most)))
        part = [list(prompts[i]) for i in indices[:most]]
        what = f"a prompt of {len(part[0])} tokens and a response of {spec.response_length} with {type(model).__name__}"
        decoded = fitting.attempt(len(part), what, partial(_decode_batch, model, part, spec, report))
        if decoded is None:
            waiting.appendleft(indices[:most])
            continue
        done += len(part)
        for i, one in zip(indices[:most], decoded, strict=True):
            results[i] = one
    return [r for r in results if r is not None]


def new_fitting(say: Callable[[str], None] = tell) -> Fitting:
    """For all that is decoded with a model."""
    return Fitting("evaluate.batch_size", f"or shorten {with_cost('rollout.response_length')}", say)


def _decode_batch(
    model: DiffusionLM, prompts: list[list[int]], spec: DecodeSpec, tell: Callable[[int], None]
) -> list[Decoded]:
    """One batch, as it is; ``tell`` is called with how many of it are finished."""
    batch = _Batch(model, prompts, spec)
    while batch.running:
        if batch.step():
            tell(len(prompts) - batch.running)
    return batch.results()


def plan_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Indices of the samples of each batch: longest prompts first, so that memory peaks at the start.

    Args:
        lengths: tokens of each prompt.
        batch_size: most samples in a batch.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _check_lengths(model: DiffusionLM, prompts: Sequence[Sequence[int]], spec: DecodeSpec) -> None:
    limit = model.max_positions
    for i, prompt in enumerate(prompts):
        if not len(prompt):
            raise DataError(f"prompt {i}: it has no tokens; every prompt needs at least one")
        if limit is not None and len(prompt) + spec.response_length > limit:
            raise DataError(
                f"prompt {i}: {len(prompt)} tokens and a response of {spec.response_length} are more than "
                f"the model's {limit} positions; shorten the prompt or rollout.response_length"
            )


class _Batch:
    """Samples that run together; those that finish leave."""

    def __init__(self, model: DiffusionLM, prompts: list[list[int]], spec: DecodeSpec) -> None:
        self.model, self.spec = model, spec
        size, length, device = len(prompts), spec.response_length, model.device
        rows = [prompt + [model.mask_token_id] * length for prompt in prompts]
        self.ids_BT, attention_BT = right_pad(rows, model.eos_token_id, device)
        mixed = len({len(p) for p in prompts}) > 1
        self.attention_BT = attention_BT if mixed else None
        self.response_BL = torch.tensor([len(p) for p in prompts], device=device)[:, None] + torch.arange(
            length, device=device
        )
        self.masked_BL = torch.ones((size, length), dtype=torch.bool, device=device)
        self.revealed_at_BL = torch.zeros((size, length), dtype=torch.int32, device=device)
        self.sample_B = torch.arange(size, device=device)
        self.running, self.forwards, self.share_s = size, 0, 0.0
        self.policy = make_policy(spec, size, device)
        self.start_B, self.end_B = self.policy.window(self.masked_BL)
        self.width = int((self.end_B - self.start_B).max())
        self._tokens_GL = torch.zeros((size, length), dtype=torch.long, device=device)
        self._revealed_at_GL = torch.zeros_like(self.revealed_at_BL)
        self._filled_G = torch.zeros(size, dtype=torch.bool, device=device)
        self._forwards_G = torch.zeros(size, dtype=torch.long, device=device)
        self._wall_s_G = torch.zeros(size, dtype=torch.float64, device=device)

    @torch.inference_mode()
    def step(self) -> int:
        """One forward and its reveals; returns how many samples finished."""
        began = time.perf_counter()
        self.forwards += 1
        self._reveal()
        finished_B = self._finished()
        self.start_B, self.end_B = self.policy.window(self.masked_BL)
        width = torch.where(finished_B, 0, self.end_B - self.start_B).max()
        # the one moment of a step at which the host waits for the device
        finished, self.width = torch.stack((finished_B.sum(), width)).tolist()
        self.share_s += (time.perf_counter() - began) / self.running
        if finished:
            self._leave(finished_B)
        return int(finished)

    def results(self) -> list[Decoded]:
        """The decoded samples, in the order the batch was given."""
        columns = (self._tokens_GL, self._forwards_G, self._revealed_at_GL, self._filled_G, self._wall_s_G)
        out = []
        for tokens, forwards, revealed_at, filled, wall_s in zip(*(c.tolist() for c in columns), strict=True):
            out.append(Decoded(tokens, forwards, revealed_at, filled, wall_s))
        return out

    def _reveal(self) -> None:
        """Run the model and write the chosen tokens."""
        last = (
            self.spec.response_length - self.width
        )  # windows are as wide as the widest, inside the response
        position_BS = self.start_B.clamp(max=last)[:, None] + torch.arange(
            self.width, device=self.ids_BT.device
        )
        open_BS = self.masked_BL.gather(1, position_BS) & (position_BS < self.end_B[:, None])
        hidden_BTD = self.model.hidden(self.ids_BT, self.attention_BT)
        column_BS = self.response_BL.gather(1, position_BS)
        rows_B1 = torch.arange(self.running, device=self.ids_BT.device)[:, None]
        token_BS, scores_BS = self._score(hidden_BTD[rows_B1, column_BS])
        reveal_BS = self.policy.choose(scores_BS, open_BS, position_BS, self.start_B) & open_BS
        self.ids_BT.scatter_(1, column_BS, torch.where(reveal_BS, token_BS, self.ids_BT.gather(1, column_BS)))
        self.revealed_at_BL.scatter_add_(1, position_BS, (reveal_BS * self.forwards).to(torch.int32))
        self.masked_BL.scatter_(1, position_BS, self.masked_BL.gather(1, position_BS) & ~reveal_BS)

    def _score(self, hidden_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Greedy token and the method's score of every selected row, both ``[B, S]``."""
        hidden_ND = hidden_BSD.flatten(0, 1)
        at_once = max(MIN_HEAD_ROWS, MAX_SCORED_ELEMENTS // self.model.vocab_size)
        tokens, scores = [], []
        for part_ND in torch.split(hidden_ND, at_once):
            rows = len(part_ND)
            if rows < MIN_HEAD_ROWS:
                part_ND = torch.cat((part_ND, part_ND.new_zeros(MIN_HEAD_ROWS - rows, part_ND.shape[1])))
            logits_NV = self.model.head(part_ND)[:rows].double()
            if self.policy.scores_mask:
                scores.append(self.policy.score(logits_NV))
            logits_NV[:, self.model.mask_token_id] = -torch.inf  # a mask is never an answer
            if not self.policy.scores_mask:
                scores.append(self.policy.score(logits_NV))
            tokens.append(logits_NV.argmax(-1))
        shape = hidden_BSD.shape[:2]
        return torch.cat(tokens).view(shape), torch.cat(scores).view(shape)

    def _finished(self) -> Tensor:
        """Which samples need no further forward, ``[B]``."""
        length = self.spec.response_length
        complete_B = ~self.masked_BL.any(1)
        if not self.spec.early_stop:
            return complete_B
        ids_BL = self.ids_BT.gather(1, self.response_BL)
        eos_BL = (ids_BL == self.model.eos_token_id) & ~self.masked_BL
        first_mask_B = torch.where(complete_B, length, self.masked_BL.int().argmax(1))
        first_eos_B = torch.where(eos_BL.any(1), eos_BL.int().argmax(1), length)
        return complete_B | (first_eos_B < first_mask_B)

    def _leave(self, finished_B: Tensor) -> None:
        """Store the finished samples and keep the others."""
        rows = finished_B.nonzero()[:, 0]
        samples = self.sample_B[rows]
        masked = self.masked_BL[rows]
        ids = self.ids_BT.gather(1, self.response_BL)[rows]
        self._tokens_GL[samples] = torch.where(masked, self.model.eos_token_id, ids)
        self._revealed_at_GL[samples] = self.revealed_at_BL[rows]
        self._filled_G[samples] = masked.any(1)
        self._forwards_G[samples] = self.forwards
        self._wall_s_G[samples] = self.share_s
        kept = (~finished_B).nonzero()[:, 0]
        self.running = len(kept)
        for name in ("ids_BT", "response_BL", "masked_BL", "revealed_at_BL", "sample_B", "start_B", "end_B"):
            setattr(self, name, getattr(self, name)[kept])
        if self.attention_BT is not None:
            self.attention_BT = self.attention_BT[kept]
        self.policy.keep(kept)


def make_policy(spec: DecodeSpec, size: int, device: torch.device) -> Policy:
    """The policy of ``spec.method`` for ``size`` fresh samples."""
    from tad_core.decoding.entropy import EntropyMultiBlock  # the methods import this file
    from tad_core.decoding.token_by_token import TokenByToken

    if spec.method == "token_by_token":
        return TokenByToken(spec)
    return EntropyMultiBlock(spec, size, device)
