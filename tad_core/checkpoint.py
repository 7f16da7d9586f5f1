"""What can be said of a checkpoint from its small files alone, and where they lie; nothing here loads torch."""

from __future__ import annotations

import difflib
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
from tad_core.errors import ModelError, NotFetchedError
from tad_core.tokens import check_tokens, check_vocabulary
from tad_core.weights import check_weights, missing_files, weight_files

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
            "architectures": ("LLaDAModelLM", None),
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
            "num_experts": (None, 0),
            "quantization_config": (None,),
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
            "architectures": ("DreamModel", None),
            "attention_dropout": (0,),
            "block_size": (None,),
            "hidden_act": ("silu",),
            "quantization_config": (None,),
            "rope_scaling": (None, "default"),
            "rope_parameters": (None, "default"),
            "tie_word_embeddings": (False,),
            "use_mrope": (False, None),
            "use_sliding_window": (False,),
        },
    ),
}
#: What other published models call their type or class -> why they are none of these families.
OTHERS = {
    "llama": "a Llama; Stable-DiffCoder, too, reads its own blocks one after the other",
    "llada2_moe": "LLaDA 2, a mixture of experts that reads block by block",
    "llava_llada": "LLaDA-V, which reads pictures, too",
    "DreamForCausalLM": "DreamReasoner, which reads block by block and has no shift",
    "LlavaLladaForMaskedDiffusion": "LLaDA-V, which reads pictures, too",
    "LLaDAMoEModelLM": "LLaDA-MoE, a mixture of experts",
    "LLaDAMoEModel": "LLaDA-MoE, a mixture of experts",
}
#: What is fetched of a hub repository: weights, settings, tokenizer, card. Never code: ours loads the weights.
HUB_FILES = ("*.safetensors", "*.json", "*.jinja", "merges.txt", "decoder.yaml", "README.md", "LICENSE*")

#: What a training run may leave beside the weights: nothing of it is read.
_OF_TRAINING = ("adapter_config.json", "trainer_state.json", "*_results.json")
#: name, size and time of each file of a folder
Stamps = tuple[tuple[str, int, int], ...]

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
    near = _nearest(folder)
    if not HUB_ID.match(model.path) or (model.revision is None and near is not None):
        hint = (
            f"did you mean {near}?"
            if near
            else "give the folder of a checkpoint, or a hub id and its revision"
        )
        raise ModelError(f"model.path: {model.path} is not a folder; {hint}")
    if model.revision is None or not _COMMIT.match(model.revision):
        found = "missing" if model.revision is None else f"{model.revision!r} is not a commit hash"
        raise ModelError(
            f"model.revision: {found}; {model.path} is not a folder here ({Path.cwd()}), and a hub id is pinned by its "
            "commit hash (40 hex digits, from the page's history or `git ls-remote "
            f"https://huggingface.co/{model.path} HEAD`)"
        )
    return _snapshot(model.path, model.revision)


def _no_checkpoint(folder: Path) -> str:
    if any(folder.glob("*.gguf")):
        return (
            "it holds a GGUF file, which llama.cpp runs; export without --format gguf for what is read here"
        )
    return "it is not a checkpoint"


def _nearest(wanted: Path) -> Path | None:
    """The checkpoint whose path is the nearest to one that is mistyped; None where nothing is like it.

    Looked for where the path goes wrong: a part of it that is like its own in the folder before, and so on.
    """
    found = Path(wanted.anchor)
    for part in wanted.parts[1:] if wanted.anchor else wanted.parts:
        if (found / part).is_dir():
            found /= part
            continue
        try:
            names = [entry.name for entry in found.iterdir() if entry.is_dir()]
        except OSError:
            return None
        near = difflib.get_close_matches(part, names, n=1, cutoff=0.7)
        if not near:
            return None
        found /= near[0]
    return found if (found / "config.json").is_file() else None


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
        raise NotFetchedError(
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
    return absent + missing_files(folder)


def check_model(model: ModelConfig) -> dict[str, Any]:
    """Read config.json, the headers of the weights and the token ids; cheap, and no tensor is read.

    Loading and export go by the very same files: those that the index names, else ``model.safetensors``.

    Raises:
        ModelError: missing folder or file, unsupported type, no mask token; weights that are not the architecture's by
            name, number or shape; tokens beyond the vocabulary.
    """
    folder = local_folder(model)
    try:
        config = cast(dict[str, Any], json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ModelError(f"model.path: {model.path} has no config.json; {_no_checkpoint(folder)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"model.path: {model.path}/config.json cannot be read ({error}); copy or download it again"
        ) from None
    if not isinstance(config, dict):
        raise ModelError(f"model.path: {model.path}/config.json is no JSON object; copy or download it again")
    if config.get("model_type") not in FAMILIES:
        raise ModelError(
            f"model.path: {model.path} is of type {config.get('model_type')!r}{_known(config.get('model_type'))}; "
            f"supported: {', '.join(FAMILIES)}"
        )
    check_fields(config["model_type"], config)
    for name in ("mask_token_id", "eos_token_id"):
        if not isinstance(config.get(name), int) or isinstance(config[name], bool):
            raise ModelError(
                f"model.path: {model.path}/config.json has no {name}; a masked diffusion model needs one"
            )
    weight_files(folder)  # says what is wrong where neither an index nor the one file is there
    if absent := _absent(folder):
        raise ModelError(
            f"model.path: {model.path} lacks {absent[0]} ({len(absent)} missing); copy or download it again"
        )
    if not has_tokenizer(folder):
        raise ModelError(
            f"model.path: {model.path} has no tokenizer.json (nor vocab.json and merges.txt); put the tokenizer "
            "beside the weights"
        )
    _check_content(str(folder), _stamps(folder))
    return config


@lru_cache(maxsize=16)
def _check_content(path: str, _: Stamps) -> None:
    """What takes longer, once a process while size and time of the files stay."""
    folder = Path(path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    check_weights(folder, config)
    check_tokens(folder, config)


def check_fields(model_type: str, fields: Mapping[str, Any]) -> None:
    """Refuse an architecture that the family's class does not compute.

    Raises:
        ModelError: naming the field, its value and what is accepted.
    """
    for name, accepted in FAMILIES[model_type].accepts.items():
        value = fields.get(name, accepted[0])
        if isinstance(value, dict) and name.startswith("rope_"):  # the type is what counts
            value = value.get("rope_type", value.get("type", "default"))
        if isinstance(value, list):  # architectures: the first is the model's class
            value = value[0] if value else None
        if value not in accepted:
            shown = " or ".join("null" if v is None else str(v).lower() for v in accepted)
            raise ModelError(
                f"model.path: config.json has {name} {value!r}{_known(value)}; the {model_type} implemented here has "
                f"{shown}; use a checkpoint of that architecture"
            )


def _known(name: Any) -> str:
    """What is known of a type or class that is not implemented, for an error."""
    return f" ({OTHERS[name]})" if isinstance(name, str) and name in OTHERS else ""


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
    check_vocabulary(path, tokenizer.get_vocab())
    return tokenizer


def model_fingerprint(model: ModelConfig | str | Path) -> str:
    """Identity of a checkpoint: the hashes of its files, read once a process while size and time stay.

    Adapters, optimizers and other files of a training run that lie beside the weights are no part of it.
    """
    folder = local_folder(model)
    return _fingerprint(str(folder), _stamps(folder))


def _stamps(folder: Path) -> Stamps:
    return tuple(
        sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in folder.iterdir() if f.is_file())
    )


@lru_cache(maxsize=16)
def _fingerprint(path: str, _: Stamps) -> str:
    folder = Path(path)
    weights = {file.name for file in weight_files(folder)}
    beside = {f.name for f in folder.glob("*.safetensors")} - weights
    beside |= {f.name for pattern in _OF_TRAINING for f in folder.glob(pattern)}
    return folder_fingerprint(path, (".safetensors", ".json", ".jinja", ".txt"), beside)
