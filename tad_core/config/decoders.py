"""How a response is decoded: a run's own decoder, and one that a model of the table or a study names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from tad_core.config.rollout import CacheConfig
from tad_core.settings import ADDED, Strict

if TYPE_CHECKING:
    from tad_core.config.tree import TADConfig

#: one token a forward: where every curve begins
TOKEN_BY_TOKEN = "token_by_token"
#: the paper's, whose thresholds are entropies in nats
ENTROPY = "entropy"


class DecodeConfig(Strict):
    """The decoder beside token by token: the paper's entropy-threshold multi-block decoding (C.2.2), or another."""

    GONE: ClassVar[frozenset[str]] = frozenset({"decoded_threshold"})  # it never changed a result

    method: str = Field(
        ENTROPY,
        description="What thresholds are values of: entropy, confidence, factor, or another method of "
        "docs/decoding.md.",
        json_schema_extra=ADDED,
    )
    block_length: int = Field(
        32, ge=1, description="Block length of decoding; divides rollout.response_length."
    )
    block_add_threshold: float = Field(
        0.1, ge=0, le=1, description="Progress of the last block that adds one."
    )
    early_stop: bool = Field(
        True, description="Stop once everything before the first end-of-text is revealed."
    )
    mask_in_entropy: bool = Field(
        True,
        description="Whether the mask token's own probability counts in the entropy, as in the paper's code; it is "
        "never revealed.",
    )
    cache: CacheConfig = Field(
        CacheConfig(), description="Keys and values kept between forwards.", json_schema_extra=ADDED
    )

    def as_spec(self) -> dict[str, Any]:
        """As ``DecodeSpec`` names them, without the method, which goes with a threshold."""
        own = set(DecodeConfig.model_fields) - {"method", "cache"}
        return {**self.model_dump(mode="json", include=own), **self.cache.as_spec()}


class DecoderConfig(DecodeConfig):
    """One way of decoding, at one threshold or several; settings that it leaves out are ``evaluate.decode``'s."""

    method: str = Field(
        ENTROPY, description="token_by_token, entropy, confidence, or another method of docs/decoding.md."
    )
    thresholds: list[Annotated[float, Field(ge=0)]] = Field(
        [],
        description="Of the method: entropies in nats, probabilities, factors, tokens a forward or forwards; none "
        "token by token.",
    )
    operating: float | None = Field(
        None, description="Threshold of the headline tables; default: the only one of thresholds."
    )

    @model_validator(mode="after")
    def _thresholds_fit(self) -> Self:
        if self.method == TOKEN_BY_TOKEN:
            for name in ("thresholds", "operating"):
                if (given := getattr(self, name)) not in ([], None):
                    raise ValueError(f"{name}: {given} given; {TOKEN_BY_TOKEN} has none, leave it out")
            return self
        if not self.thresholds or len(set(self.thresholds)) != len(self.thresholds):
            raise ValueError(
                f"thresholds: {self.thresholds} given; {self.method} needs one or more different ones"
            )
        if self.operating is None and len(self.thresholds) > 1:
            raise ValueError("operating: missing; say which of thresholds stands in the headline tables")
        if self.operating is not None and self.operating not in self.thresholds:
            raise ValueError(f"operating: {self.operating} is not in thresholds {self.thresholds}; add it")
        return self

    @property
    def at(self) -> float:
        """The threshold of the headline tables; 0 token by token."""
        return self.operating if self.operating is not None else (self.thresholds or [0.0])[0]


def with_shared(table: Mapping[str, Any], shared: Any) -> dict[str, Any]:
    """A table of models as a plain tree, whose decoders have from ``evaluate.decode`` what they leave out."""
    known = shared if isinstance(shared, dict) else {}
    filled = {}
    for name, entry in table.items():
        own = entry.get("decode") if isinstance(entry, dict) else None
        filled[name] = {**entry, "decode": {**known, **own}} if isinstance(own, dict) else entry
    return filled


def operating_way(config: TADConfig, model: str) -> tuple[str, float]:
    """Method and threshold of a model's headline row."""
    decoder = decoder_of(config, model)
    return decoder.method, decoder.at


def own_decoder(config: TADConfig, model: str) -> DecoderConfig | None:
    """The decoder that a model of the table names; None where it names none."""
    given = config.models.get(model)
    return None if given is None else given.decode


def decoder_of(config: TADConfig, model: str) -> DecoderConfig:
    """How a model is measured beside token by token: by its own decoder, or the run's."""
    evaluate = config.evaluate
    return own_decoder(config, model) or DecoderConfig.model_validate({
        **evaluate.decode.model_dump(mode="json"),
        "thresholds": sorted(set(evaluate.thresholds)),
        "operating": evaluate.operating_threshold,
    })  # fmt: skip
