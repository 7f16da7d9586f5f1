"""Which files of a folder are a model's weights, and whether they are what its config.json describes.

Everything here is read from file headers and small JSON files, without torch: an 8B model takes milliseconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from safetensors import SafetensorError, safe_open

from tad_core.errors import ModelError
from tad_core.families import Shapes, family_of

INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"

#: What rows of projections are to be multiples of: weights in 4 bits that share a scale, since bitsandbytes 0.50
#: unpacks rows that are not whole blocks wrongly on a CPU; 8-bit floats that tensor cores take at once.
BLOCKS = {"nf4": 64, "fp8": 16}
#: Types of numbers in a file that are converted to ``model.dtype`` as they are read.
_DTYPES = ("F64", "F32", "F16", "BF16")


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
    return family_of(config).shapes(config)


def is_projection(config: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is the matrix of one of the projections of a layer, of whatever role."""
    module = name.removesuffix(".weight")
    return len(shape) == 2 and any(re.fullmatch(p, module) for p in family_of(config).roles.values())


def check_packable(config: Mapping[str, Any], kind: str, field: str = "distill.quantize") -> None:
    """That the projections of a model can be held as ``field`` says.

    Raises:
        ModelError: rows of one are not whole blocks; of 8-bit floats columns neither.
    """
    block = BLOCKS[kind]
    for name, shape in shapes_of(config).items():
        if not is_projection(config, name, shape):
            continue
        rows, size = shape
        what = f"rows of {size}" if size % block else f"columns of {rows}"
        if size % block or (kind == "fp8" and rows % block):
            raise ModelError(
                f"{field}: {name.removesuffix('.weight')} has {what} weights, and {kind} needs a multiple of {block}; "
                "set none"
            )
