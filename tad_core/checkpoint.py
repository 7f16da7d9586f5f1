"""What can be said of a checkpoint from its small files alone, and where they lie; nothing here loads torch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from tad_core.artifacts import folder_fingerprint
from tad_core.config import ModelConfig
from tad_core.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Family:
    """What is known of a family without its weights.

    Attributes:
        name: as prompts and documentation call it.
        home: the original repository, whose code an export points at.
        accepts: fields of config.json that change the architecture, with the values that ``models`` implements.
    """

    name: Literal["llada", "dream"]
    home: str
    accepts: dict[str, tuple[Any, ...]]


#: ``model_type`` in config.json -> family: every one that ``models.loading`` can load
FAMILIES: dict[str, Family] = {
    "llada": Family(
        "llada",
        "GSAI-ML/LLaDA-8B-Instruct",
        {
            "activation_type": ("silu",),
            "alibi": (False,),
            "attention_dropout": (0,),
            "attention_layer_norm": (False,),
            "bias_for_layer_norm": (False, None),
            "block_group_size": (1,),
            "block_type": ("llama",),
            "clip_qkv": (None,),
            "embedding_dropout": (0,),
            "include_bias": (False,),
            "include_qkv_bias": (False, None),
            "input_emb_norm": (False,),
            "layer_norm_type": ("rms",),
            "layer_norm_with_affine": (True,),
            "multi_query_attention": (None, False),
            "residual_dropout": (0,),
            "rope": (True,),
            "rope_full_precision": (True,),
            "scale_logits": (False,),
            "tie_word_embeddings": (False,),
            "weight_tying": (False,),
        },
    ),
    "Dream": Family(
        "dream",
        "Dream-org/Dream-v0-Instruct-7B",
        {
            "attention_dropout": (0,),
            "hidden_act": ("silu",),
            "rope_scaling": (None, "default"),
            "rope_parameters": (None, "default"),
            "tie_word_embeddings": (False,),
            "use_mrope": (False, None),
            "use_sliding_window": (False,),
        },
    ),
}
#: What is fetched of a hub repository: weights, settings, tokenizer, card. Never code: ours loads the weights.
HUB_FILES = ("*.safetensors", "*.json", "*.jinja", "merges.txt", "README.md", "LICENSE*")
INDEX = "model.safetensors.index.json"

#: name/model, as the hub has them
HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
_MAY_FETCH: ContextVar[bool] = ContextVar("_MAY_FETCH", default=True)
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


def local_folder(model: ModelConfig | str | Path) -> Path:
    """The folder with the checkpoint's files: the one that is named, or the snapshot of a hub id.

    A hub id needs ``revision``, the full commit hash: every process of a run, today or next year, then sees the
    same files. The local cache is asked first, so that a complete one needs no network; no code is fetched.

    Raises:
        ModelError: no such folder; a hub id that is not pinned, not in the cache and not to be had.
    """
    if not isinstance(model, ModelConfig):
        model = ModelConfig(path=str(model))
    folder = Path(model.path).expanduser()
    if folder.is_dir():
        return folder
    if not HUB_ID.match(model.path):
        raise ModelError(
            f"model.path: {model.path} is not a folder; give the folder of a checkpoint, or a hub id and its revision"
        )
    if model.revision is None or not _COMMIT.match(model.revision):
        found = "missing" if model.revision is None else f"{model.revision!r} is not a commit hash"
        raise ModelError(
            f"model.revision: {found}; {model.path} is not a folder here, and a hub id is pinned by its commit hash "
            f"(40 hex digits, from the page's history or `git ls-remote https://huggingface.co/{model.path} HEAD`)"
        )
    return _snapshot(model.path, model.revision)


@contextmanager
def without_fetching() -> Iterator[None]:
    """Inside, a hub id that is not in the cache is an error rather than gigabytes: for what only looks."""
    token = _MAY_FETCH.set(False)
    try:
        yield
    finally:
        _MAY_FETCH.reset(token)


@lru_cache(maxsize=16)
def _snapshot(hub_id: str, revision: str) -> Path:
    from huggingface_hub import constants, snapshot_download

    def fetch(local_files_only: bool) -> Path:
        return Path(
            snapshot_download(
                hub_id,
                revision=revision,
                allow_patterns=list(HUB_FILES),
                local_files_only=local_files_only,
            )
        )

    try:
        found = fetch(local_files_only=True)
        if not _absent(found):
            return found
    except OSError:  # not in the cache, or not all of it
        pass
    if not _MAY_FETCH.get():
        raise ModelError(
            f"model.path: {hub_id} at {revision} is not in the local cache yet; the run fetches it, or "
            f"`hf download {hub_id} --revision {revision}` does now"
        )
    remedy = f"`hf download {hub_id} --revision {revision}` on a machine with network fills the cache"
    if constants.is_offline_mode():
        raise ModelError(
            f"model.path: {hub_id} at {revision} is not in the local cache, and HF_HUB_OFFLINE is set; {remedy}"
        )
    try:
        found = fetch(local_files_only=False)
    except (OSError, ValueError) as error:  # the hub's errors and those of the network are both
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"model.path: {hub_id} at {revision} is neither a folder here nor in the local cache, and the hub does "
            f"not give it ({first}); check id, revision and access, or: {remedy}"
        ) from None
    return found


def _absent(folder: Path) -> list[str]:
    """Names of files that a complete checkpoint has and this folder does not."""
    absent = [name for name in ("config.json",) if not (folder / name).is_file()]
    if (folder / INDEX).is_file():
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            shards = sorted(set(index["weight_map"].values()))
        except (ValueError, KeyError, AttributeError):
            return [*absent, f"a readable {INDEX}"]
        absent += [name for name in shards if not (folder / name).is_file()]
    elif not any(folder.glob("*.safetensors")):
        absent.append("*.safetensors")
    return absent


def check_model(model: ModelConfig) -> dict[str, Any]:
    """Read config.json and look for the weights and the tokenizer; cheap, nothing large is opened.

    Raises:
        ModelError: missing folder or file, unsupported type, no mask token.
    """
    folder = local_folder(model)
    try:
        config = cast(dict[str, Any], json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ModelError(f"model.path: {model.path} has no config.json; it is not a checkpoint") from None
    except ValueError as error:
        raise ModelError(f"model.path: {model.path}/config.json is not JSON ({error})") from None
    if config.get("model_type") not in FAMILIES:
        raise ModelError(
            f"model.path: {model.path} is of type {config.get('model_type')!r}; supported: {', '.join(FAMILIES)}"
        )
    check_fields(config["model_type"], config)
    for name in ("mask_token_id", "eos_token_id"):
        if not isinstance(config.get(name), int):
            raise ModelError(
                f"model.path: {model.path}/config.json has no {name}; a masked diffusion model needs one"
            )
    if absent := _absent(folder):
        if absent == ["*.safetensors"]:
            raise ModelError(f"model.path: {model.path} has no *.safetensors file; convert the weights first")
        raise ModelError(
            f"model.path: {model.path} lacks {absent[0]} ({len(absent)} missing); copy or download it again"
        )
    if not has_tokenizer(folder):
        raise ModelError(
            f"model.path: {model.path} has no tokenizer.json (nor vocab.json and merges.txt); put the tokenizer "
            "beside the weights"
        )
    return config


def check_fields(model_type: str, fields: Mapping[str, Any]) -> None:
    """Refuse an architecture that the family's class does not compute.

    Raises:
        ModelError: naming the field, its value and what is accepted.
    """
    for name, accepted in FAMILIES[model_type].accepts.items():
        value = fields.get(name, accepted[0])
        if isinstance(value, dict):  # rope_scaling, rope_parameters: the type is what counts
            value = value.get("rope_type", value.get("type", "default"))
        if value not in accepted:
            shown = " or ".join("null" if v is None else str(v).lower() for v in accepted)
            raise ModelError(
                f"model.path: config.json has {name} {value!r}; the {model_type} implemented here has {shown}; "
                "use a checkpoint of that architecture"
            )


def has_tokenizer(folder: Path) -> bool:
    """Whether a fast tokenizer can be made from the files: the one file, or Qwen2's two, as Dream has them."""
    return (folder / "tokenizer.json").is_file() or all(
        (folder / name).is_file() for name in ("vocab.json", "merges.txt")
    )


def load_tokenizer(model: ModelConfig | str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a checkpoint, from its files alone.

    Dream's hub repository has Qwen2's two files instead of a tokenizer.json; the same tokenizer is made of them.

    Raises:
        ModelError: if there is none, or it has no chat template.
    """
    from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    path = local_folder(model)
    if not has_tokenizer(path):
        raise ModelError(f"model.path: {path} has no tokenizer.json; put the tokenizer beside the weights")
    one_file = (path / "tokenizer.json").is_file()
    tokenizer = (PreTrainedTokenizerFast if one_file else Qwen2Tokenizer).from_pretrained(
        str(path), local_files_only=True
    )
    if not tokenizer.chat_template:
        raise ModelError(f"model.path: the tokenizer in {path} has no chat template; add chat_template.jinja")
    return tokenizer


def model_fingerprint(model: ModelConfig | str | Path) -> str:
    """Identity of a checkpoint: the hashes of its files, read once a process while size and time stay."""
    folder = local_folder(model)
    files = sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in folder.iterdir() if f.is_file())
    return _fingerprint(str(folder), tuple(files))


@lru_cache(maxsize=16)
def _fingerprint(path: str, _: tuple[tuple[str, int, int], ...]) -> str:
    return folder_fingerprint(path, (".safetensors", ".json", ".jinja", ".txt"))
