"""How a model is meant to be decoded, in a file beside its weights: the defaults of whoever serves it.

A flat YAML mapping, as SGLang reads it for diffusion models (``--dllm-algorithm-config``): ``threshold``,
``block_size``, ``block_add_threshold`` and ``decoded_token_threshold`` are the names of the algorithm proposed there
for LLaDA and Dream. What it does not know it passes over; those are the other fields of ``DecodeSpec``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from tad_core.base import DECODER_FILE
from tad_core.decoding.spec import DecodeSpec, wrong_type
from tad_core.errors import ConfigError, ModelError

NAME = DECODER_FILE
_HEAD = """\
# How this model was measured: {}, and when another block is opened.
# Defaults of `tad serve`; the names are those of SGLang's configuration of diffusion models.
"""
_MEASURED = {
    "entropy": "the entropy in nats below which a token is revealed",
    "entropy_block": "the entropy in nats up to which a token is revealed",
    "d3llm": "the entropy in nats up to which a token is revealed",
    "d3llm_dream": "the entropy in nats below which a token is revealed",
    "confidence": "the probability from which a token is revealed",
    "pipeline": "the probability above which a token is revealed",
}
#: Said of a threshold that others would take for another quantity.
_NATS = """\
# SGLang's algorithms that go by confidence (LowConfidence, JointThreshold) read a probability under the name threshold.
"""
#: Said of a model that others would decode as what it is not.
_BLOCK_CAUSAL = """\
# attention is block_causal: a block of the response sees those before it and none behind. An engine that does not know
# this field lets every token see all, for which these weights were not trained.
"""
#: Ours -> theirs; from ``decoded_threshold`` on that algorithm counts a block as decoded.
_NAMES = {"block_length": "block_size", "decoded_threshold": "decoded_token_threshold"}


def decoder_text(spec: DecodeSpec, mask_id: int) -> str:
    """The file's content.

    Args:
        spec: how the model is decoded where nobody says otherwise.
        mask_id: of the mask token, which is never revealed.
    """
    tree = {_NAMES.get(name, name): value for name, value in asdict(spec).items() if value is not None}
    first = ("threshold", "block_size", "block_add_threshold", "decoded_token_threshold")
    ordered = {name: tree.pop(name) for name in first} | {"mask_id": mask_id} | tree
    told = _MEASURED.get(spec.method, f"by the method {spec.method}, with what it goes by")
    head = _HEAD.format(told) + (_NATS if "nats" in told else "")
    head += _BLOCK_CAUSAL if spec.attention == "block_causal" else ""
    return head + yaml.safe_dump(ordered, sort_keys=False)


def as_trained(folders: Iterable[Path]) -> dict[str, Any]:
    """By which fields weights are decoded that were trained block by block, from the file that lies beside them or
    beside their adapter; nothing for all others.

    Args:
        folders: the adapter's first.

    Raises:
        ModelError: the file is damaged.
    """
    found = next((spec for folder in folders if (spec := read_decoder(folder)) is not None), None)
    if found is None or found.attention == "full":
        return {}
    return {"attention": found.attention, "block_length": found.block_length, "cache": found.cache}


def check_as_trained(spec: DecodeSpec, own: Mapping[str, Any]) -> None:
    """Refuse a way that the weights were not trained for.

    Args:
        spec: how they are to be decoded.
        own: what ``as_trained`` says of them.

    Raises:
        ConfigError: they read block by block, and the way is another.
    """
    for name in ("attention", "block_length"):
        if own and getattr(spec, name) != own[name]:
            raise ConfigError(
                f"{name}: {getattr(spec, name)!r} is not how this model reads; it was trained block by block, use "
                f"{own[name]!r}, or leave it out"
            )


def read_decoder(folder: Path) -> DecodeSpec | None:
    """What the file in a folder says; None where there is none.

    Raises:
        ModelError: it cannot be read, a name in it is not known, or a value is not accepted.
    """
    file = folder / NAME
    if not file.is_file():
        return None
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{file}: cannot be read ({first}); export the model again, or remove it") from None
    if not isinstance(tree, dict):
        raise ModelError(f"{file}: holds no mapping; export the model again, or remove it")
    ours = {_NAMES.get(f.name, f.name): f.name for f in fields(DecodeSpec)}
    given: dict[str, Any] = {}
    for name, value in tree.items():
        if name == "mask_id":
            continue
        if name not in ours:
            raise ModelError(f"{file}: {name} is not known; use {', '.join(ours)}")
        if (kind := wrong_type(ours[name], value)) is not None:
            raise ModelError(f"{file}: {name} is {value!r}; it takes a value of type {kind}")
        given[ours[name]] = value
    try:
        return DecodeSpec(**given)
    except TypeError:
        raise ModelError(
            f"{file}: block_size and response_length are needed; export the model again"
        ) from None
    except ConfigError as error:
        name, colon, said = str(error).partition(":")
        raise ModelError(f"{file}: {_NAMES.get(name, name)}{colon}{said}") from None
