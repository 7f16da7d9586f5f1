"""What can be said of a checkpoint folder from its small files alone; nothing here loads torch."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from tad_core.artifacts import folder_fingerprint
from tad_core.config import ModelConfig
from tad_core.errors import ModelError

#: Every ``model_type`` that ``models.loading`` can load.
FAMILY_NAMES = ("llada",)


def check_model(model: ModelConfig) -> dict[str, Any]:
    """Read config.json and look for the weights and the tokenizer; cheap, nothing large is opened.

    Raises:
        ModelError: missing folder or file, unsupported type, no mask token.
    """
    folder = Path(model.path)
    if not folder.is_dir():
        raise ModelError(f"model.path: {model.path} is not a folder; give the folder of a checkpoint")
    try:
        config = cast(dict[str, Any], json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ModelError(f"model.path: {model.path} has no config.json; it is not a checkpoint") from None
    except ValueError as error:
        raise ModelError(f"model.path: {model.path}/config.json is not JSON ({error})") from None
    if config.get("model_type") not in FAMILY_NAMES:
        raise ModelError(
            f"model.path: {model.path} is of type {config.get('model_type')!r}; supported: {', '.join(FAMILY_NAMES)}"
        )
    for name in ("mask_token_id", "eos_token_id"):
        if not isinstance(config.get(name), int):
            raise ModelError(
                f"model.path: {model.path}/config.json has no {name}; a masked diffusion model needs one"
            )
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"model.path: {model.path} has no *.safetensors file; convert the weights first")
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(
            f"model.path: {model.path} has no tokenizer.json; put the tokenizer beside the weights"
        )
    return config


def model_fingerprint(path: str | Path) -> str:
    """Identity of a checkpoint: the hashes of its files, read once a process while size and time stay."""
    files = sorted(
        (f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in Path(path).iterdir() if f.is_file()
    )
    return _fingerprint(str(path), tuple(files))


@lru_cache(maxsize=16)
def _fingerprint(path: str, _: tuple[tuple[str, int, int], ...]) -> str:
    return folder_fingerprint(path)
