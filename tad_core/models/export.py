"""A distilled model as a folder that loads wherever the original does.

The adapter is merged into the weights in float32, one tensor at a time straight from the base's files to the new
ones, so that an 8B model needs the memory of one shard. The base's weights are those of the run, in ``model.dtype``: on
them the adapter was trained and evaluated. The folder has the original's key names, config, tokenizer and generation
settings. Its code is not ours to ship: ``auto_map`` points at the original repository.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tad_core.artifacts.folders import check_room, taking_shape
from tad_core.checkpoint import check_model
from tad_core.config import ModelConfig
from tad_core.errors import ConfigError, ModelError, in_a_line
from tad_core.families import Shapes, family_of
from tad_core.hub import HUB_ID, local_folder
from tad_core.hub_client import HUB, ask_once, failures
from tad_core.models.loading import resolve_device
from tad_core.models.merge import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Merge, read_adapter
from tad_core.weights import INDEX, check_weights, shapes_of, weight_files

DType = Literal["float32", "bfloat16", "float16"]
#: Shards as large as the hub's usual ones.
MAX_SHARD_BYTES = 5_000_000_000
CARD = "README.md"
NOTHING: Mapping[str, str] = MappingProxyType({})

#: What transformers 5 calls a tokenizer of tokenizer.json alone, and what it and transformers 4, which engines still
#: have, both know it by.
_NEW_NAME, _OLD_NAME = "TokenizersBackend", "PreTrainedTokenizerFast"
#: What else of the base goes along; weights, code and card do not.
_COPIED = (
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "*.jinja", "LICENSE*",
)  # fmt: skip
OnTensor = Callable[[int, int], None]
#: name of a weight and dtype -> the base's with the adapter added, on the CPU
Merged = Callable[[str, torch.dtype], torch.Tensor]


def export_merged(
    base: ModelConfig,
    adapter: Path,
    out: Path,
    card: str,
    dtype: DType,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    on_tensor: OnTensor = lambda done, total: None,
    beside: Mapping[str, str] = NOTHING,
) -> Path:
    """Write the base with the adapter merged into it; ``out`` appears whole, at the end.

    Args:
        base: the checkpoint that the adapter was trained on; its device does the arithmetic.
        adapter: PEFT's folder.
        out: a folder that does not exist or is empty.
        card: text of the model card.
        dtype: of the weights written.
        max_shard_bytes: more than this and the weights are written in several files with an index.
        on_tensor: told tensors written, and of how many.
        beside: texts of more files, by their names.

    Raises:
        ModelError: base or adapter cannot be used, or do not belong together; float16 does not hold a weight.
        ConfigError: ``out`` has something in it.
        ArtifactError: the disk is too small.
    """
    with merging(base, adapter) as (config, shapes, merged), taking_shape(out) as part:
        width = getattr(torch, dtype).itemsize
        sizes = {name: math.prod(shape) * width for name, shape in shapes.items()}
        check_room(part, sum(sizes.values()))
        shards, done = shards_of(sizes, max_shard_bytes), 0
        for file, members in shards.items():
            tensors = {}
            for name in members:
                tensors[name] = merged(name, getattr(torch, dtype))
                done += 1
                on_tensor(done, len(shapes))
            _save(tensors, part / file)
        if len(shards) > 1:
            index = {name: file for file, members in shards.items() for name in members}
            _write_json(part / INDEX, {"metadata": {"total_size": sum(sizes.values())}, "weight_map": index})
        _write_json(part / "config.json", _config(config, _home(base, config), dtype))
        _copy_rest(local_folder(base), part, _home(base, config))
        write_texts(part, {CARD: card, **beside})
        check_weights(part, config)
    return out


@contextmanager
def merging(base: ModelConfig, adapter: Path) -> Iterator[tuple[dict[str, Any], Shapes, Merged]]:
    """The base's config.json, its weights' shapes in their order, and what gives one weight with the adapter in it.

    The base's weights are those of the run, in ``model.dtype``; the sum is computed in float32 on the base's device.

    Raises:
        ModelError: base or adapter cannot be used, or do not belong together; no weight has been read then.
    """
    config = check_model(base)
    where, as_run = resolve_device(base.device), getattr(torch, base.dtype)
    merge, shapes = Merge(adapter), shapes_of(config)
    merge.check(shapes, base.path)
    with ExitStack() as files:
        opened = [files.enter_context(safe_open(f, framework="pt")) for f in weight_files(local_folder(base))]
        where_is = {name: weights for weights in opened for name in weights.keys()}  # noqa: SIM118 (not a dict)

        def merged(name: str, dtype: torch.dtype) -> torch.Tensor:
            weight = where_is[name].get_tensor(name).to(where, as_run)
            return _held(name, merge(name, weight, dtype)).cpu()

        yield config, shapes, merged


def _held(name: str, weight: torch.Tensor) -> torch.Tensor:
    """The weight, unless its dtype is too narrow for it: float16 ends at 65,504, and a cast makes more of it infinite.

    Raises:
        ModelError: a number is infinite or none.
    """
    if weight.dtype == torch.float16 and not bool(weight.isfinite().all()):
        raise ModelError(
            f"--dtype: {name} has weights beyond {torch.finfo(torch.float16).max:,.0f}, the most that float16 holds; "
            "use bfloat16 or float32"
        )
    return weight


def export_adapter(
    base: ModelConfig, adapter: Path, out: Path, card: str, beside: Mapping[str, str] = NOTHING
) -> Path:
    """Write the adapter alone, in PEFT's format, naming its base as the configuration does.

    Raises:
        ModelError: the adapter cannot be used.
        ConfigError: ``out`` has something in it.
    """
    settings = read_adapter(adapter)
    local = Path(base.path).expanduser().is_dir()
    settings |= {"base_model_name_or_path": base.path, "revision": None if local else base.revision}
    with taking_shape(out) as part:
        shutil.copyfile(adapter / ADAPTER_WEIGHTS, part / ADAPTER_WEIGHTS)
        _write_json(part / ADAPTER_CONFIG, settings)
        write_texts(part, {CARD: card, **beside})
    return out


def push(folder: Path, repo: str, private: bool = True) -> str:
    """Upload an exported folder to the hub; returns its URL.

    Raises:
        ModelError: the hub refuses.
    """
    from huggingface_hub import HfApi

    ask_once()
    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=str(folder), commit_message="Add the exported model")
    except failures() as error:
        raise ModelError(
            f"--push-to-hub: {repo} was not written ({HUB.refused or in_a_line(error)}); the folder {folder} "
            f"is complete, `hf upload {repo} {folder}` tries again"
        ) from None
    return f"https://huggingface.co/{repo}"


def check_push(repo: str) -> None:
    """Whether the hub would take it, before hours of work.

    Raises:
        ConfigError: no network, no token, or no name that the hub accepts.
    """
    from huggingface_hub import HfApi, constants

    if not HUB_ID.match(repo):
        raise ConfigError(f"--push-to-hub: {repo!r} is not the name of a repository; use name/model")
    if constants.is_offline_mode():
        raise ConfigError("--push-to-hub: HF_HUB_OFFLINE is set; unset it, or leave the option out")
    ask_once()
    try:
        HfApi().whoami()
    except failures() as error:
        if HUB.refused:
            raise ConfigError(
                f"--push-to-hub: {HUB.refused}; check the network, or leave the option out"
            ) from None
        raise ConfigError(
            f"--push-to-hub: the hub does not know you ({in_a_line(error)}); `hf auth login` first"
        ) from None


# --- the folder ---------------------------------------------------------------------------------------


def _save(tensors: dict[str, torch.Tensor], file: Path) -> None:
    """Write one file of weights.

    Raises:
        OSError: the disk is full, which the library tells in words only.
    """
    try:
        save_file(tensors, file, metadata={"format": "pt"})
    except SafetensorError as error:
        if (found := re.search(r"os error (\d+)", str(error))) is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(file)) from error


def shards_of(sizes: dict[str, int], most: int) -> dict[str, list[str]]:
    """File name -> keys, in order; a tensor larger than ``most`` has a file of its own."""
    groups: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if groups[-1] and filled + size > most:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += size
    if len(groups) == 1:
        return {"model.safetensors": groups[0]}
    return {f"model-{i:05d}-of-{len(groups):05d}.safetensors": group for i, group in enumerate(groups, 1)}


def _home(base: ModelConfig, config: dict[str, Any]) -> str:
    """The repository whose code ``auto_map`` means: the base's own, or the family's for a local copy."""
    local = Path(base.path).expanduser().is_dir()
    return family_of(config).home if local else base.path


def _config(config: dict[str, Any], home: str, dtype: DType) -> dict[str, Any]:
    """The base's own config.json with the dtype of these weights under the name it uses."""
    config = _pointing_home(config, home)
    config.pop("_name_or_path", None)
    config["dtype" if "dtype" in config and "torch_dtype" not in config else "torch_dtype"] = dtype
    return config


def _pointing_home(tree: dict[str, Any], home: str) -> dict[str, Any]:
    """``module.Class`` becomes ``repo--module.Class``, since the module does not lie beside these weights."""

    def point(value: Any) -> Any:
        if isinstance(value, list):
            return [point(v) for v in value]
        return f"{home}--{value}" if isinstance(value, str) and "--" not in value else value

    if "auto_map" not in tree:
        return dict(tree)
    return {**tree, "auto_map": {name: point(value) for name, value in tree["auto_map"].items()}}


def _copy_rest(source: Path, target: Path, home: str) -> None:
    for pattern in _COPIED:
        for file in source.glob(pattern):
            if file.name == "tokenizer_config.json":
                tree = _pointing_home(json.loads(file.read_text(encoding="utf-8")), home)
                if tree.get("tokenizer_class") == _NEW_NAME:
                    tree["tokenizer_class"] = _OLD_NAME
                _write_json(target / file.name, tree)
            else:
                shutil.copyfile(file, target / file.name)


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """One file a text, by its name."""
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _write_json(path: Path, tree: dict[str, Any]) -> None:
    path.write_text(json.dumps(tree, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
