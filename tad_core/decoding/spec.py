"""What is asked of the decoder, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple, get_args

from tad_core.config.rollout import MOST_COUNT
from tad_core.decoding.policies import POLICIES
from tad_core.errors import ConfigError

#: ``none``: every forward computes every token. ``dual`` and ``dual_block``: keys and values of what lies before and
#: behind the open blocks are kept from the last refresh, and with ``dual`` those of their own tokens that are revealed.
#: ``prefix``: of what lies before the block that was first unfinished then.
#: ``blocks``: those of the prompt and of finished blocks are kept, which with block-causal attention is exact.
Cache = Literal["none", "dual", "dual_block", "prefix", "blocks"]
#: Caches that are an approximation and are refreshed.
REFRESHED: tuple[Cache, ...] = ("dual", "dual_block", "prefix")
#: What a token sees: everything, or with ``block_causal`` the prompt (of which it is the same), the blocks before its
#: own, and its own.
Attention = Literal["full", "block_causal"]
#: Mark of settings that only some methods read; they are None where the method is another.
_OWN = {"own": True}


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
        method: by its name in ``POLICIES``; ``docs/decoding.md`` has what each opens and reveals.
        threshold: entropy in nats below which (strictly), or probability from which, a position is revealed; used by
            the methods that have a threshold.
        block_add_threshold: progress of the last added block, 0 to 1, at which the next one is added.
        early_stop: stop once every position before the first end-of-text is revealed.
        mask_in_entropy: whether the entropy is that of all logits, the mask token's among them, as in the paper's code;
            a mask is never revealed either way.
        cache: whether keys and values are kept between forwards.
        refresh_blocks: with a cache, compute everything when a block becomes the first unfinished one.
        refresh_forwards: with a cache, compute everything every so many forwards; 0: never for that reason.
        refresh_reveals: with a cache, compute everything after so many reveals; 0: never for that reason.
        refresh_settle: with ``refresh_blocks``, so many forwards in a row compute everything; with 1 the first alone.
        attention: what a token sees, which is how the model was trained; its blocks are those of ``block_length``.
        decoded_threshold: of ``pipeline``: progress of a block, 0 to 1, from which the next reveals at every forward.
        factor: of the method of this name, and needed there; above 0.
        tokens_per_forward: of ``low_confidence``, and needed there: tokens that a forward reveals.
        forward_budget: of ``fixed_budget``, and needed there: forwards of the whole response.
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
    factor: float | None = field(default=None, metadata=_OWN)
    tokens_per_forward: int | None = field(default=None, metadata=_OWN)
    forward_budget: int | None = field(default=None, metadata=_OWN)
    refresh_settle: int = 1

    def __post_init__(self) -> None:
        if self.response_length < 1:
            raise ConfigError(f"response_length: {self.response_length} is not accepted; use 1 token or more")
        if self.block_length < 1 or self.response_length % self.block_length:
            raise ConfigError(
                f"block_length: {self.block_length} does not divide response_length {self.response_length}; "
                "use one of its divisors"
            )
        if self.method not in POLICIES:
            raise ConfigError(f"method: {self.method!r} is not known; use one of {', '.join(POLICIES)}")
        if not self.threshold >= 0:
            raise ConfigError(
                f"threshold: {self.threshold} is neither an entropy nor a probability; use 0 or more"
            )
        for name in ("block_add_threshold", "decoded_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not a progress; use 0 to 1")
        self._check_attention()
        for name in ("refresh_forwards", "refresh_reveals"):
            if not 0 <= getattr(self, name) <= MOST_COUNT:
                raise ConfigError(
                    f"{name}: {getattr(self, name)} is not a count; use 0 (never) or more, at most {MOST_COUNT}"
                )
        if not 1 <= self.refresh_settle <= MOST_COUNT:
            raise ConfigError(
                f"refresh_settle: {self.refresh_settle} is not accepted; use 1 or more forwards, at most {MOST_COUNT}"
            )
        if self.refresh_settle > 1 and not self.refresh_blocks:
            raise ConfigError(
                f"refresh_settle: {self.refresh_settle} is read with refresh_blocks alone; set refresh_blocks to true, "
                "or refresh_settle to 1"
            )
        for name in OWN_SETTINGS:
            self._check_own(name)
        POLICIES[self.method].check(self)

    def _check_own(self, name: str) -> None:
        value, read = getattr(self, name), name == POLICIES[self.method].knob
        if read and value is None:
            raise ConfigError(f"{name}: it is missing; the method {self.method} needs it")
        if not read and value is not None:
            others = ", ".join(method for method, policy in POLICIES.items() if name == policy.knob)
            raise ConfigError(
                f"{name}: the method {self.method} does not read it, and it is {value}; leave it out, or use "
                f"method {others}"
            )

    def _check_attention(self) -> None:
        if self.attention not in ("full", "block_causal"):
            raise ConfigError(f"attention: {self.attention!r} is not known; use 'full' or 'block_causal'")
        if self.cache not in get_args(Cache):
            raise ConfigError(
                f"cache: {self.cache!r} is not known; use {', '.join(map(repr, get_args(Cache)))}"
            )
        if self.attention == "block_causal" and self.cache in REFRESHED:
            raise ConfigError(
                f"cache: {self.cache!r} is for a model that sees the whole response, and this one reads block by "
                "block; use 'blocks', which is exact, or 'none'"
            )
        if self.attention == "full" and self.cache == "blocks":
            raise ConfigError(
                "cache: 'blocks' is for a model that reads block by block, and this one sees the whole response; use "
                "'dual', 'dual_block', 'prefix' or 'none'"
            )

    @property
    def level(self) -> float:
        """Value of the method's knob, the threshold of most; 0 where it has none."""
        knob = POLICIES[self.method].knob
        return 0.0 if knob is None else float(getattr(self, knob))

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
        block = "block" if self.refresh_settle == 1 else f"block for {self.refresh_settle} forwards"
        when = [
            *([block] if self.refresh_blocks else []),
            *([f"{self.refresh_forwards} forwards"] if self.refresh_forwards else []),
            *([f"{self.refresh_reveals} reveals"] if self.refresh_reveals else []),
        ]
        return f"{self.cache.replace('_', ' ')} cache, refresh " + (", ".join(when) or "never")


OWN_SETTINGS = tuple(f.name for f in fields(DecodeSpec) if "own" in f.metadata)
"""Fields that only some methods read."""
WHOLE = ("tokens_per_forward", "forward_budget")
"""Of these, those that are counts."""
_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}
_NAMED = {"Cache": "str", "Attention": "str"}


def wrong_type(name: str, value: Any) -> str | None:
    """The type of a field of ``DecodeSpec``, where a value that was read somewhere is of another one."""
    given = next(str(f.type) for f in fields(DecodeSpec) if f.name == name).partition(" ")[0]
    kind = _NAMED.get(given, given)
    fits = isinstance(value, _TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
    return None if fits else kind


def at_level(method: str, level: float) -> dict[str, Any]:
    """The method and its knob at a value, as fields of ``DecodeSpec``; whole numbers where it takes no others."""
    knob = POLICIES[method].knob if method in POLICIES else "threshold"
    if knob is None:
        return {"method": method}
    whole = knob in WHOLE and float(level).is_integer()
    return {"method": method, knob: int(level) if whole else level}


def changed(spec: DecodeSpec, given: dict[str, Any]) -> DecodeSpec:
    """A way with some fields changed; with another method it loses what only the former one reads.

    Raises:
        ConfigError: the fields do not fit each other.
    """
    values = {f.name: getattr(spec, f.name) for f in fields(spec)}
    if given.get("method", spec.method) != spec.method:
        values |= dict.fromkeys(OWN_SETTINGS)
    return DecodeSpec(**{**values, **given})


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
        forwards: forward passes that served this sample: one for each in which any of its tokens was computed, however
            many were and whoever shared it.
        revealed_at: for each position the forward, from 1, that revealed it; 0 where early stop filled it in.
        stopped_early: whether early stop filled anything in.
        wall_s: this sample's share of the time of its forwards.
        scores: what the policy held each position for when it was revealed (log-odds or entropy); 0 where filled in.
        computed: tokens computed over all forwards, prompt and response; without a cache their number at each.
        full_forwards: of the forwards those that took nothing of this sample from a cache; without one, all.
    """

    tokens: list[int]
    forwards: int
    revealed_at: list[int]
    stopped_early: bool
    wall_s: float = field(default=0.0, compare=False)
    scores: list[float] = field(default_factory=list, compare=False, repr=False)
    computed: int = field(default=0, compare=False)
    full_forwards: int = field(default=0, compare=False)

    @property
    def revealed(self) -> int:
        """Tokens revealed by forwards."""
        return sum(step > 0 for step in self.revealed_at)


#: Told of what is finished of several requests, by the place of each.
OnDecoded = Callable[[Mapping[int, Decoded]], None]
