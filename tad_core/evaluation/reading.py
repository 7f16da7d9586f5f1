"""How a model of a run reads a response, which its training decides and every way of decoding it follows."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from tad_core.config import TADConfig, variants
from tad_core.decoding.spec import DecodeSpec, changed


def reads_in_blocks(config: TADConfig, model_name: str) -> int | None:
    """Tokens of a block of a model that was trained to read block by block; None for all others and for the base."""
    variant = variants(config).get(model_name)
    return variant.attention_block if variant is not None else None


def as_read(config: TADConfig, model_name: str, spec: DecodeSpec) -> DecodeSpec:
    """A way of decoding as it is for a model: one that reads block by block is decoded so, in the blocks it was
    trained in, and keeps finished ones, which is exact, whatever cache the way has.

    Raises:
        ConfigError: the way does not go with these blocks.
    """
    block = reads_in_blocks(config, model_name)
    if block is None:
        return spec
    unrefreshed: dict[str, Any] = {
        f.name: f.default for f in fields(DecodeSpec) if f.name.startswith("refresh_")
    }
    own = {"block_length": block, "attention": "block_causal", "cache": "blocks"}
    return changed(spec, {**unrefreshed, **own})
