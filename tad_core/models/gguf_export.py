"""A distilled model as one GGUF file, which llama.cpp and what is built on it read.

Architectures, keys and names of tensors are llama.cpp's ``llada`` and ``dream``. Two things differ from the checkpoint:
LLaDA's queries and keys have their rows in the order of pairs that llama.cpp rotates (Dream's are rotated in halves, as
here), and what has one dimension is kept in float32, as llama.cpp does with norms and biases. The projections of the
layers may be in 8 or 4 bits: blocks of 32 weights of a row share a scale (``Q8_0``, ``Q4_0``), rounded by the package.

Source: the GGUF specification and the tensor names of the ``gguf`` package.

Shapes: heads times head size are the rows of a projection, [H * D, C].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from tad_core.artifacts.folders import check_room, taking_shape
from tad_core.checkpoint import load_tokenizer
from tad_core.config import ModelConfig
from tad_core.errors import ConfigError, ModelError
from tad_core.extras import how_to_install
from tad_core.families import Gguf, Shapes, family_of
from tad_core.models.export import (
    CARD,
    NOTHING,
    DType,
    OnTensor,
    merging,
    write_texts,
)
from tad_core.models.gguf_vocab import Vocabulary, vocabulary
from tad_core.models.loading import FAMILIES
from tad_core.weights import is_projection

#: dtype of matrices -> how llama.cpp calls it
TYPES: dict[DType, str] = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
#: what the projections are rounded to -> how llama.cpp calls it
QUANTIZED = {"none": "", "int8": "Q8_0", "int4": "Q4_0"}
#: Weights of a row that share a scale.
_BLOCK = 32
_TORCH = {kind: getattr(torch, dtype) for dtype, kind in TYPES.items()}
#: Tokenizer, keys and padding, beside the weights.
_HEAD_BYTES = 32 << 20


def arch_of(config: Mapping[str, Any]) -> Gguf:
    """The family of a config.json in llama.cpp's words.

    Raises:
        ModelError: llama.cpp has no architecture for it.
    """
    family = family_of(config)
    if family.gguf is None:
        raise ModelError(
            f"--format: llama.cpp has no architecture for {family.name} here; leave the option out for safetensors"
        )
    return family.gguf


def check_gguf(adapter_only: bool = False) -> None:
    """Whether a GGUF file can be written, before anything is read.

    Raises:
        ConfigError: the package is missing, or an adapter alone is asked for.
    """
    if adapter_only:
        raise ConfigError(
            "--format: gguf holds the merged model, and --adapter-only asks for the adapter; leave one of them out"
        )
    if find_spec("gguf") is None:
        raise ConfigError(
            "--format: gguf needs the package gguf, which is not installed; "
            f"{how_to_install('gguf')}, or leave the option out"
        )


def file_name(name: str, dtype: DType, quantize: str = "none") -> str:
    """As llama.cpp's own files are called: the model, then the type of most of its matrices."""
    return f"{name}-{QUANTIZED[quantize] or TYPES[dtype]}.gguf"


def export_gguf(
    base: ModelConfig,
    adapter: Path,
    out: Path,
    card: str,
    dtype: DType,
    name: str,
    on_tensor: OnTensor = lambda done, total: None,
    beside: Mapping[str, str] = NOTHING,
    quantize: str = "none",
) -> Path:
    """Write the base with the adapter merged into it as ``NAME-TYPE.gguf``; ``out`` appears whole, at the end.

    Args:
        base, adapter, out, card, on_tensor, beside: as of ``export_merged``.
        dtype: of the matrices; what has one dimension is float32.
        name: of the model, in the file and of it.
        quantize: ``int8`` or ``int4`` for the projections of the layers, merged in float32 and rounded once; ``none``
            keeps ``dtype``. Embedding and head are in ``dtype`` either way.

    Raises:
        ModelError: base or adapter cannot be used, or do not belong together; rows that are not whole blocks.
        ConfigError: ``out`` has something in it, or the package gguf is missing.
        ArtifactError: the disk is too small.
    """
    check_gguf()
    from gguf import GGMLQuantizationType, GGUFWriter

    with merging(base, adapter) as (config, shapes, merged), taking_shape(out) as part:
        arch, settings = arch_of(config), FAMILIES[config["model_type"]][0](**config)
        names_of = family_of(config).names
        head = getattr(settings, names_of.width) // getattr(settings, names_of.heads)
        kinds = _kinds(config, shapes, dtype, quantize)
        sizes = {key: _bytes(shape, kinds[key]) for key, shape in shapes.items()}
        check_room(part, sum(sizes.values()) + _HEAD_BYTES)
        writer = GGUFWriter(part / file_name(name, dtype, quantize), arch.name)
        try:
            _add_architecture(writer, config, settings, name, QUANTIZED[quantize] or TYPES[dtype])
            _add_tokenizer(writer, base, arch, settings, config)
            names = _names(arch, getattr(settings, names_of.layers))
            for key, shape in shapes.items():
                told = names.get_name(key, try_suffixes=(".weight", ".bias"))
                kind = GGMLQuantizationType[kinds[key]]
                writer.add_tensor_info(told, shape, np.dtype(np.float32), sizes[key], raw_dtype=kind)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for done, key in enumerate(shapes, 1):
                weight = merged(key, _TORCH.get(kinds[key], torch.float32))
                if key.endswith(arch.paired):
                    weight = _in_pairs(weight, head)
                writer.write_tensor_data(_as_bytes(weight, kinds[key]))
                on_tensor(done, len(shapes))
        finally:
            writer.close()
        write_texts(part, {CARD: card, **beside})
    return out


def how_to_run(base: ModelConfig, config: Mapping[str, Any], file: str) -> str:
    """What a card says of running the file: the command, or why it needs token ids.

    Args:
        base: the checkpoint, for its tokenizer.
        config: its config.json.
        file: name of the GGUF file.
    """
    arch = arch_of(config).name
    words = vocabulary(load_tokenizer(base), family_of(config).vocabulary(config))
    command = (
        f"llama-diffusion-cli -m {file} -p '...' -ub 512 --diffusion-steps 256 --diffusion-block-length 32"
    )
    lines = ["```bash", command, "```", ""] if isinstance(words, Vocabulary) else []
    lines.append(
        f"llama.cpp reads the file (architecture `{arch}`). Attention is not causal, so `-ub` holds prompt and "
        "response together. It decodes in its own ways: the figures above are of `decoder.yaml`'s."
    )
    if isinstance(words, str):
        lines.append(f"Of this model, {words}.")
    return "\n".join(lines)


def _names(arch: Gguf, layers: int) -> Any:
    """The package's names of an architecture's tensors."""
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map

    return get_tensor_name_map(next(a for a in MODEL_ARCH if MODEL_ARCH_NAMES[a] == arch.name), layers)


def _kinds(config: Mapping[str, Any], shapes: Shapes, dtype: DType, quantize: str) -> dict[str, str]:
    """llama.cpp's type of each tensor.

    Raises:
        ModelError: rows of a projection are not whole blocks.
    """
    kinds = {}
    for key, shape in shapes.items():
        rounded = is_projection(config, key, shape)
        if quantize != "none" and rounded and shape[1] % _BLOCK:
            raise ModelError(
                f"--quantize: {key.removesuffix('.weight')} has rows of {shape[1]} weights, and {quantize} needs a "
                f"multiple of {_BLOCK}; leave the option out"
            )
        kind = QUANTIZED[quantize] if rounded else ""
        kinds[key] = kind or (TYPES[dtype] if len(shape) > 1 else "F32")
    return kinds


def _bytes(shape: tuple[int, ...], kind: str) -> int:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    block, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    return math.prod(shape) // int(block) * int(size)


def _add_architecture(writer: Any, config: Mapping[str, Any], settings: Any, name: str, kind: str) -> None:
    """Keys of the shape; ``settings`` is the family's config object, which fills in what config.json leaves out."""
    from gguf import LlamaFileType

    names = family_of(config).names
    width, heads = getattr(settings, names.width), getattr(settings, names.heads)
    writer.add_type("model")
    writer.add_name(name)
    writer.add_file_type(LlamaFileType[("ALL_" if kind == "F32" else "MOSTLY_") + kind])
    writer.add_block_count(getattr(settings, names.layers))
    writer.add_context_length(getattr(settings, names.positions))
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(getattr(settings, names.mlp))
    writer.add_head_count(heads)
    writer.add_head_count_kv(getattr(settings, names.kv_heads))
    writer.add_layer_norm_rms_eps(settings.rms_norm_eps)
    writer.add_rope_freq_base(settings.rope_theta)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(family_of(config).vocabulary(config))
    writer.add_causal_attention(False)
    writer.add_diffusion_shift_logits(arch_of(config).shifted)


def _add_tokenizer(
    writer: Any, base: ModelConfig, arch: Gguf, settings: Any, config: Mapping[str, Any]
) -> None:
    """Words and special tokens; where llama.cpp has no such tokenizer, the ids of the special ones alone."""
    tokenizer = load_tokenizer(base)
    words = vocabulary(tokenizer, family_of(config).vocabulary(config))
    if isinstance(words, Vocabulary):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(words.pre)
        writer.add_token_list(words.tokens)
        writer.add_token_types(words.types)
        writer.add_token_merges(words.merges)
        writer.add_add_bos_token(arch.add_bos)
    else:
        writer.add_tokenizer_model("none")
    writer.add_chat_template(str(tokenizer.chat_template))
    writer.add_mask_token_id(settings.mask_token_id)
    writer.add_eos_token_id(settings.eos_token_id)
    ids = tokenizer.get_vocab()
    for add, value in (
        (writer.add_pad_token_id, settings.pad_token_id),
        (writer.add_bos_token_id, ids.get(str(tokenizer.bos_token))),
        (writer.add_eot_token_id, ids.get(str(family_of(config).turn_end))),
    ):
        if value is not None:
            add(value)


def _in_pairs(weight_HDC: Tensor, head_size: int) -> Tensor:
    """Rows of each head from two halves, i and i + D/2 being a pair, to pairs beside each other; [H * D, C]."""
    rows, columns = weight_HDC.shape
    halves = weight_HDC.reshape(rows // head_size, 2, head_size // 2, columns)
    return halves.transpose(1, 2).reshape(rows, columns)


def _as_bytes(weight: Tensor, kind: str) -> np.ndarray[Any, Any]:
    """The tensor for numpy, which has no bfloat16: the same bits as whole numbers; or in blocks, as bytes."""
    weight = weight.contiguous()
    if kind in QUANTIZED.values():
        from gguf import GGMLQuantizationType, quants

        return cast(np.ndarray[Any, Any], quants.quantize(weight.numpy(), GGMLQuantizationType[kind]))
    return (weight.view(torch.int16) if weight.dtype == torch.bfloat16 else weight).numpy()
