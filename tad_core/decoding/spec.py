"""What is asked of the decoder, and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tad_core.decoding.policies import POLICIES
from tad_core.errors import ConfigError

#: ``none``: every forward computes every token. ``dual``: keys and values of what lies before and behind the open
#: blocks are kept from the last refresh. ``blocks``: those of the prompt and of finished blocks are kept, which with
#: block-causal attention is exact.
Cache = Literal["none", "dual", "blocks"]
#: What a token sees: everything, or with ``block_causal`` the prompt (of which it is the same), the blocks before its
#: own, and its own.
Attention = Literal["full", "block_causal"]


class Lane(NamedTuple):
    """A kind of forwards: samples of one kind can share them.

    Attributes:
        cached: whether keys and values are kept.
        block: tokens of a block where attention is block-causal; None where everything is seen.
    """

    cached: bool
    block: int | None = None


@dataclass(frozen=True)
class DecodeSpec:
    """How to decode.

    Attributes:
        response_length: L, tokens of the response.
        block_length: tokens of a block; divides L.
        method: ``token_by_token`` (one reveal a forward), ``entropy`` (all below the threshold, several blocks),
            ``confidence`` (all at or above the threshold, one block) or ``pipeline`` (all above the threshold, several
            blocks).
        threshold: entropy in nats below which (strictly), or probability from which, a position is revealed; not
            used token by token.
        block_add_threshold: progress of the last added block, 0 to 1, at which the next one is added.
        early_stop: stop once every position before the first end-of-text is revealed.
        mask_in_entropy: whether the entropy is that of all logits, the mask token's among them, as in the paper's code;
            a mask is never revealed either way.
        cache: whether keys and values are kept between forwards.
        refresh_blocks: with a cache, compute everything when a block becomes the first unfinished one.
        refresh_forwards: with a cache, compute everything every so many forwards; 0: never for that reason.
        refresh_reveals: with a cache, compute everything after so many reveals; 0: never for that reason.
        attention: what a token sees, which is how the model was trained; its blocks are those of ``block_length``.
        decoded_threshold: of ``pipeline``: progress of a block, 0 to 1, from which the next reveals at every forward.
    """

    response_length: int
    block_length: int
    method: str = "token_by_token"
    threshold: float = 0.0
    block_add_threshold: float = 1.0
    early_stop: bool = True
    mask_in_entropy: bool = True
    cache: Cache = "none"
    refresh_blocks: bool = True
    refresh_forwards: int = 0
    refresh_reveals: int = 0
    attention: Attention = "full"
    decoded_threshold: float = 0.95

    def __post_init__(self) -> None:
        if self.block_length < 1 or self.response_length < 1 or self.response_length % self.block_length:
            raise ConfigError(
                f"block_length: {self.block_length} does not divide response_length {self.response_length}; "
                "use one of its divisors"
            )
        if self.method not in POLICIES:
            raise ConfigError(f"method: {self.method!r} is not known; use one of {', '.join(POLICIES)}")
        if not self.threshold >= 0:
            raise ConfigError(f"threshold: {self.threshold} is not an entropy; use 0 or more (nats)")
        if self.method in ("confidence", "pipeline") and self.threshold > 1:
            raise ConfigError(f"threshold: {self.threshold} is not a probability; use 0 to 1")
        for name in ("block_add_threshold", "decoded_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not a progress; use 0 to 1")
        self._check_attention()
        for name in ("refresh_forwards", "refresh_reveals"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: {getattr(self, name)} is not a count; use 0 (never) or more")

    def _check_attention(self) -> None:
        if self.attention not in ("full", "block_causal"):
            raise ConfigError(f"attention: {self.attention!r} is not known; use 'full' or 'block_causal'")
        if self.cache not in ("none", "dual", "blocks"):
            raise ConfigError(f"cache: {self.cache!r} is not known; use 'none', 'dual' or 'blocks'")
        if self.attention == "block_causal" and self.cache == "dual":
            raise ConfigError(
                "cache: 'dual' is for a model that sees the whole response, and this one reads block by block; use "
                "'blocks', which is exact, or 'none'"
            )
        if self.attention == "full" and self.cache == "blocks":
            raise ConfigError(
                "cache: 'blocks' is for a model that reads block by block, and this one sees the whole response; use "
                "'dual' or 'none'"
            )

    @property
    def blocks(self) -> int:
        """Blocks of the response."""
        return self.response_length // self.block_length

    @property
    def lane(self) -> Lane:
        """Of which kind the forwards are that decode it."""
        return Lane(self.cache != "none", self.block_length if self.attention == "block_causal" else None)

    @property
    def mode(self) -> str:
        """``exact``, or which cache and when it is refreshed: what trajectories and answers say of themselves."""
        if self.attention == "block_causal":
            return f"block-causal in blocks of {self.block_length}" + (
                ", finished blocks kept" if self.cache == "blocks" else ""
            )
        if self.cache == "none":
            return "exact"
        when = [
            *(["block"] if self.refresh_blocks else []),
            *([f"{self.refresh_forwards} forwards"] if self.refresh_forwards else []),
            *([f"{self.refresh_reveals} reveals"] if self.refresh_reveals else []),
        ]
        return f"{self.cache} cache, refresh " + (", ".join(when) or "never")


@dataclass(frozen=True)
class Request:
    """One response to decode.

    Attributes:
        prompt_ids: at least one token.
        key: what the noise of the sample is keyed to, beside the seed; ``(problem id, sample)``.
        temperature: of the noise; 0 is greedy.
    """

    prompt_ids: Sequence[int]
    key: tuple[str, int] = ("", 0)
    temperature: float = 0.0


@dataclass(frozen=True)
class Job:
    """A request and how it is decoded.

    Attributes:
        request: prompt, key of the noise, temperature.
        spec: how; a loop with a cache takes those that have one, another those that have none.
        seed: of the noise.
        watched: whether ``Loop.seen`` may be asked for it.
    """

    request: Request
    spec: DecodeSpec
    seed: int = 0
    watched: bool = False


class Seen(NamedTuple):
    """How far a sample has come.

    Attributes:
        tokens: of all response positions; the mask where one is not revealed.
        lead: how many from the first on are revealed.
        forwards: so far.
    """

    tokens: list[int]
    lead: int
    forwards: int


@dataclass(frozen=True)
class Decoded:
    """One decoded response.

    Attributes:
        tokens: the L tokens; positions that early stop left masked hold end-of-text.
        forwards: forward passes that served this sample.
        revealed_at: for each position the forward, from 1, that revealed it; 0 where early stop filled it in.
        stopped_early: whether early stop filled anything in.
        wall_s: this sample's share of the time of its forwards.
        scores: what the policy held each position for when it was revealed (log-odds or entropy); 0 where filled in.
        computed: tokens computed over all forwards, prompt and response; without a cache their number at each.
    """

    tokens: list[int]
    forwards: int
    revealed_at: list[int]
    stopped_early: bool
    wall_s: float = field(default=0.0, compare=False)
    scores: list[float] = field(default_factory=list, compare=False, repr=False)
    computed: int = field(default=0, compare=False)

    @property
    def revealed(self) -> int:
        """Tokens revealed by forwards."""
        return sum(step > 0 for step in self.revealed_at)
