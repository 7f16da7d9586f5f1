"""What can be said of a checkpoint from its small files alone; nothing here loads torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tad_core.artifacts import folder_fingerprint
from tad_core.config import ModelConfig
from tad_core.errors import ModelError
from tad_core.families import FAMILIES
from tad_core.hub import absent_files, local_folder
from tad_core.tokens import check_tokens, check_vocabulary
from tad_core.weights import check_weights, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


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
#: What a training run may leave beside the weights: nothing of it is read.
_OF_TRAINING = ("adapter_config.json", "trainer_state.json", "*_results.json")
#: name, size, times of writing and change of each file of a folder
Stamps = tuple[tuple[str, int, int, int], ...]


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
    if absent := absent_files(folder):
        raise ModelError(
            f"model.path: {model.path} lacks {absent[0]} ({len(absent)} missing); copy or download it again"
        )
    _check_tokenizer_is_there(folder)
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


def _no_checkpoint(folder: Path) -> str:
    if any(folder.glob("*.gguf")):
        return (
            "it holds a GGUF file, which llama.cpp runs; export without --format gguf for what is read here"
        )
    return "it is not a checkpoint"


def _check_tokenizer_is_there(folder: Path) -> None:
    """A fast tokenizer is made from the one file, or from Qwen2's two, as Dream has them."""
    forms = (("tokenizer.json",), ("vocab.json", "merges.txt"))
    if not any(all((folder / name).is_file() for name in form) for form in forms):
        raise ModelError(
            f"model.path: {folder} has no tokenizer.json (nor vocab.json and merges.txt); put the tokenizer "
            "beside the weights"
        )


def load_tokenizer(model: ModelConfig | str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a checkpoint, from its files alone.

    Dream's hub repository has Qwen2's two files instead of a tokenizer.json; the same tokenizer is made of them.

    Args:
        model: the checkpoint: a section ``model``, or its folder.

    Raises:
        ModelError: if there is none, or it has no chat template.
    """
    from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    path = local_folder(model)
    _check_tokenizer_is_there(path)
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


def check_unchanged(model: ModelConfig, known: str | None) -> None:
    """Make sure that a checkpoint is still the one that a run began with; what is loaded of another is not its model.

    Args:
        model: the checkpoint.
        known: its fingerprint then; None if that was not noted.

    Raises:
        ModelError: it has become another, or cannot be read any more.
    """
    try:
        if known is None or model_fingerprint(model) == known:
            return
    except OSError:  # half of it is there
        pass
    raise ModelError(
        f"model.path: {model.path} is not the checkpoint any more that this run began with: weights, tokenizer, chat "
        "template or settings in it were changed meanwhile. Nothing of the two was mixed: run again to begin with the "
        "files that are there now, or put those back that were there, and run again to go on"
    )


def _stamps(folder: Path) -> Stamps:
    found = [(file.name, file.stat()) for file in folder.iterdir() if file.is_file()]
    # The time of change cannot be set back, as that of writing is by what copies it along.
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in found))


@lru_cache(maxsize=16)
def _fingerprint(path: str, _: Stamps) -> str:
    folder = Path(path)
    weights = {file.name for file in weight_files(folder)}
    beside = {f.name for f in folder.glob("*.safetensors")} - weights
    beside |= {f.name for pattern in _OF_TRAINING for f in folder.glob(pattern)}
    return folder_fingerprint(path, (".safetensors", ".json", ".jinja", ".txt"), beside)
