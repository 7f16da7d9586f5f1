"""Presets of published models on random weights: their config.json, narrowed, in two layers; nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tad_core.checkpoint import check_model
from tad_core.config import load_config
from tad_core.data.prompts import encode_prompt
from tad_core.data.tokenizer import build_tokenizer
from tad_core.decoding import DecodeSpec, Request, decode_requests, new_fitting
from tad_core.models.loading import build, load_model, load_tokenizer
from tests.tad_core.models import hub

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
NARROW = {
    "llada": {"n_layers": 2, "d_model": 64, "mlp_hidden_size": 96},
    "Dream": {"num_hidden_layers": 2, "hidden_size": 56, "intermediate_size": 96},
}


def written(folder: Path, published: dict[str, Any]) -> Path:
    """A checkpoint of random weights; the small model's words, with the family's end of a turn."""
    family = str(published["model_type"])
    (folder / "config.json").write_text(json.dumps(published | NARROW[family]))
    shapes = {name: value.shape for name, value in build(folder).state_dict().items()}
    draw = torch.Generator().manual_seed(0)
    weights = {
        name: torch.ones(shape)
        if "norm" in name or "ln_f" in name
        else torch.randn(shape, generator=draw) / 8
        for name, shape in shapes.items()
    }
    save_file({n: w.bfloat16() for n, w in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    build_tokenizer().save_pretrained(folder)
    if family == "Dream":
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            text = (folder / name).read_text()
            (folder / name).write_text(text.replace("<|eot_id|>", "<|im_end|>"))
    return folder


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("llada-8b", hub.LLADA), ("llada-1.5", hub.LLADA), ("dream-7b", hub.DREAM),
        ("dream-coder-7b", hub.DREAM_CODER), ("diffucoder-7b", hub.DIFFUCODER),
    ],
)  # fmt: skip
def test_a_preset_loads_and_decodes_a_model_of_its_config(
    name: str, published: dict[str, Any], tmp_path: Path
) -> None:
    folder = written(tmp_path, published)
    config = load_config(CONFIGS / f"{name}.yaml", [f"model.path={folder}", "model.revision=null"])
    assert check_model(config.model)["mask_token_id"] == published["mask_token_id"]
    model, tokenizer = load_model(config.model, "cpu"), load_tokenizer(config.model)
    assert model.mask_token_id == published["mask_token_id"] and model.dtype == torch.bfloat16
    ids = encode_prompt(tokenizer, [{"role": "user", "content": "What is 3 + 4 ?"}])
    block = config.rollout.block_length
    spec = DecodeSpec(block, block, "low_confidence", early_stop=False, tokens_per_forward=8)
    (decoded,) = decode_requests(model, [Request(ids)], spec, 1, new_fitting(), 0)
    assert decoded.forwards == block // 8 and model.mask_token_id not in decoded.tokens
