"""Which files of a folder are a model's weights, and whether they are what its config.json describes.

Everything here is read from file headers and small JSON files, without torch: an 8B model takes milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from safetensors import SafetensorError, safe_open

from tad_core.errors import ModelError

INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"

#: What rows of projections are to be multiples of: weights in 4 bits that share a scale, since bitsandbytes 0.50
#: unpacks rows that are not whole blocks wrongly on a CPU; 8-bit floats that tensor cores take at once.
BLOCKS = {"nf4": 64, "fp8": 16}
#: No model of these families has nearly as many.
_MOST_LAYERS = 1024
#: Types of numbers in a file that are converted to ``model.dtype`` as they are read.
_DTYPES = ("F64", "F32", "F16", "BF16")

Shapes = dict[str, tuple[int, ...]]


def weight_files(folder: Path) -> list[Path]:
    """The files that the index names, else ``model.safetensors``; nothing else in the folder is ever looked at.

    Raises:
        ModelError: neither is there, or the index cannot be read.
    """
    index = read_index(folder)
    if index is not None:
        return [folder / name for name in sorted(set(index.values()))]
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    beside = sorted(p.name for p in folder.glob("*.safetensors") if p.name != WHOLE)
    found = (
        f"{beside[0]} is not taken for it: rename it, or write an index"
        if beside
        else "give the weights as safetensors, as save_pretrained of transformers writes them (a .bin is not read: it "
        "may run code)"
    )
    raise ModelError(f"model.path: {folder} has no {WHOLE} and no {INDEX}; {found}")


def missing_files(folder: Path) -> list[str]:
    """Names of weight files that a complete checkpoint has and this folder does not; empty if all are there."""
    try:
        return [file.name for file in weight_files(folder) if not file.is_file()]
    except (ModelError, OSError):  # OSError: no file can have such a name
        return [INDEX if (folder / INDEX).exists() else WHOLE]


def read_index(folder: Path) -> dict[str, str] | None:
    """Tensor -> file, as the index says; None if there is no index.

    Raises:
        ModelError: it is no index, or names files outside of the folder.
    """
    try:
        tree = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"model.path: {folder}/{INDEX} cannot be read ({error}); copy or download it again"
        ) from None
    files = tree.get("weight_map") if isinstance(tree, dict) else None
    if not isinstance(files, dict) or not files or not all(isinstance(file, str) for file in files.values()):
        raise ModelError(
            f"model.path: {folder}/{INDEX} has no weight_map of tensors and files; copy or download it again"
        )
    for file in files.values():
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise ModelError(
                f"model.path: {folder}/{INDEX} names {file!r}; the weights are safetensors files beside it"
            )
    return files


def check_weights(folder: Path, config: Mapping[str, Any]) -> None:
    """Compare names, shapes and types in the files' headers with the index and with the architecture.

    Raises:
        ModelError: naming the first tensor at fault.
    """
    wanted = shapes_of(config)
    index = read_index(folder)
    found: Shapes = {}
    where: dict[str, str] = {}
    for file in weight_files(folder):
        for name, (shape, dtype) in _header(file).items():
            if name in where:
                _refuse(
                    folder,
                    f"{name} is in {where[name]} and in {file.name}",
                    "remove one, and its line of the index",
                )
            if index is not None and index.get(name) != file.name:
                said = f"says {index[name]}" if name in index else "does not know it"
                _refuse(
                    folder,
                    f"{name} is in {file.name} and {INDEX} {said}",
                    "take files and index of one model",
                )
            if dtype not in _DTYPES:
                _refuse(
                    folder,
                    f"{name} is of type {dtype}",
                    f"use weights of {', '.join(_DTYPES)}, not quantised ones",
                )
            found[name], where[name] = shape, file.name
    if index is not None and (lost := index.keys() - where.keys()):
        name = min(lost)
        _refuse(
            folder,
            f"{INDEX} says that {name} is in {index[name]}, where it is not",
            "copy or download it again",
        )
    lacks, more = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    faults = [f"it {verb} {min(names)} ({len(names)} such keys)"
              for verb, names in (("lacks", lacks), ("has also", more)) if names]  # fmt: skip
    if faults:
        _unfit(folder, " and ".join(faults))
    for name, shape in wanted.items():
        if found[name] != shape:
            _unfit(folder, f"{name} is {list(found[name])} in the file and {list(shape)} by the config")


def _header(file: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    try:
        with safe_open(file, framework="numpy") as weights:
            slices = {name: weights.get_slice(name) for name in weights.keys()}  # noqa: SIM118 (not a dict)
            return {name: (tuple(s.get_shape()), str(s.get_dtype())) for name, s in slices.items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"model.path: {file} cannot be read as safetensors ({error}); copy or download it again"
        ) from None


def _unfit(folder: Path, fault: str) -> NoReturn:
    raise ModelError(
        f"model.path: {folder} does not fit its config.json: {fault}; use the config.json of these weights"
    )


def _refuse(folder: Path, fault: str, remedy: str) -> NoReturn:
    raise ModelError(f"model.path: {folder} is damaged or mixed up: {fault}; {remedy}")


# --- the architectures, in names and shapes ----------------------------------------------------------


def shapes_of(config: Mapping[str, Any]) -> Shapes:
    """Every tensor of the model that a config.json describes and its shape, in the order of the module's own.

    Raises:
        ModelError: a dimension is missing or makes no sense.
    """
    return _dream(config) if config["model_type"] == "Dream" else _llada(config)


def check_packable(config: Mapping[str, Any], kind: str, field: str = "distill.quantize") -> None:
    """That the projections of a model can be held as ``field`` says.

    Raises:
        ModelError: rows of one are not whole blocks; of 8-bit floats columns neither.
    """
    block = BLOCKS[kind]
    for name, shape in shapes_of(config).items():
        if len(shape) != 2 or not (".blocks." in name or ".layers." in name):
            continue
        rows, size = shape
        what = f"rows of {size}" if size % block else f"columns of {rows}"
        if size % block or (kind == "fp8" and rows % block):
            raise ModelError(
                f"{field}: {name.removesuffix('.weight')} has {what} weights, and {kind} needs a multiple of {block}; "
                "set none"
            )


def vocabulary_of(config: Mapping[str, Any]) -> int:
    """Rows of the embedding: token ids are below."""
    if config["model_type"] == "Dream":
        return _size(config, "vocab_size", 152064)
    return _size(config, "embedding_size", _size(config, "vocab_size", 126464))


def _llada(config: Mapping[str, Any]) -> Shapes:
    width, layers = _size(config, "d_model", 4096), _layers(config, "n_layers", 32)
    heads = _size(config, "n_heads", 32)
    kv = _head(config, "d_model", width, "n_heads", heads) * _size(config, "n_kv_heads", heads)
    mlp = _size(
        config,
        "mlp_hidden_size",
        _size(config, "mlp_ratio", 4) * width if "mlp_hidden_size" in config else 12288,
    )
    rows, top = vocabulary_of(config), "model.transformer."
    out: Shapes = {f"{top}wte.weight": (rows, width)}
    for i in range(layers):
        layer = {"attn_norm": (width,), "ff_norm": (width,), "q_proj": (width, width), "k_proj": (kv, width),
                 "v_proj": (kv, width), "attn_out": (width, width), "ff_proj": (mlp, width), "up_proj": (mlp, width),
                 "ff_out": (width, mlp)}  # fmt: skip
        out |= {f"{top}blocks.{i}.{name}.weight": shape for name, shape in layer.items()}
    return out | {f"{top}ln_f.weight": (width,), f"{top}ff_out.weight": (rows, width)}


def _dream(config: Mapping[str, Any]) -> Shapes:
    width, layers = _size(config, "hidden_size", 3584), _layers(config, "num_hidden_layers", 28)
    heads = _size(config, "num_attention_heads", 28)
    kv_heads = _size(config, "num_key_value_heads", heads if "num_key_value_heads" in config else 4)
    kv = _head(config, "hidden_size", width, "num_attention_heads", heads) * kv_heads
    mlp, rows = _size(config, "intermediate_size", 18944), vocabulary_of(config)
    out: Shapes = {"model.embed_tokens.weight": (rows, width)}
    for i in range(layers):
        at = f"model.layers.{i}."
        for name, size in (("q", width), ("k", kv), ("v", kv)):
            out[f"{at}self_attn.{name}_proj.weight"] = (size, width)
            out[f"{at}self_attn.{name}_proj.bias"] = (size,)
        layer = {"self_attn.o_proj": (width, width), "mlp.gate_proj": (mlp, width), "mlp.up_proj": (mlp, width),
                 "mlp.down_proj": (width, mlp), "input_layernorm": (width,),
                 "post_attention_layernorm": (width,)}  # fmt: skip
        out |= {f"{at}{name}.weight": shape for name, shape in layer.items()}
    return out | {"model.norm.weight": (width,), "lm_head.weight": (rows, width)}


def _layers(config: Mapping[str, Any], name: str, default: int) -> int:
    """The number of layers, before a list of all their tensors is made."""
    layers = _size(config, name, default)
    if layers > _MOST_LAYERS:
        raise ModelError(
            f"model.path: config.json has {name} {layers}; it is a whole number from 1 to {_MOST_LAYERS}"
        )
    return layers


def _size(config: Mapping[str, Any], name: str, default: int) -> int:
    """A dimension; null and what is not there mean the default, as for the model's class."""
    value = config.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ModelError(f"model.path: config.json has {name} {value!r}; it is a whole number from 1")
    return value


def _head(config: Mapping[str, Any], width_name: str, width: int, heads_name: str, heads: int) -> int:
    if width % heads:
        raise ModelError(
            f"model.path: config.json has {width_name} {width} and {heads_name} {heads}; heads divide the width"
        )
    return width // heads
