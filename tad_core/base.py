"""What the base of a run has to be beyond a checkpoint that loads; nothing here loads torch."""

from __future__ import annotations

from typing import Any

import yaml

from tad_core.checkpoint import check_model
from tad_core.config import ModelConfig
from tad_core.errors import ModelError
from tad_core.hub import local_folder

#: beside weights: how they are decoded (``decoding.decoder_file``)
DECODER_FILE = "decoder.yaml"


def check_base(model: ModelConfig) -> dict[str, Any]:
    """As ``check_model``; and the teacher, the rollout and the base's evaluation let every token see all of a response.

    Raises:
        ModelError: see ``check_model``; also when the weights were trained to read block by block.
    """
    config = check_model(model)
    try:
        tree = yaml.safe_load((local_folder(model) / DECODER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return config  # there is none, or one that says nothing of this
    if isinstance(tree, dict) and tree.get("attention") == "block_causal":
        raise ModelError(
            f"model.path: {model.path} was trained to read block by block, by its {DECODER_FILE}, and the base of a "
            "run sees all of a response; name the checkpoint that it was made from, or give it to tad serve, tad "
            "generate or tad lm-eval"
        )
    return config
