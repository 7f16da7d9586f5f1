"""LLaDA-8B-Instruct's own files, with random weights of two small layers, through everything that reads a model.

Kept of the hub: config.json but for the sizes, the tokenizer's special tokens with their ids, its chat template, and
the weight index with its key names and files.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tad_core.config import LoraConfig, ModelConfig, parse_config
from tad_core.data.problem import Problem
from tad_core.data.prompts import student_prompt, teacher_prompt, training_teacher_prompt
from tad_core.data.responses import closed_response, end_ids, response_text, text_length
from tad_core.decoding import DecodeSpec, decode
from tad_core.evaluation.generate import load_for_inference
from tad_core.models.export import export_merged
from tad_core.models.loading import check_model, load_model, load_tokenizer
from tad_core.models.lora import add_lora, save_adapter
from tad_core.shapes import shape_of
from tests.conftest import SHARED_DATA

HUB = SHARED_DATA / "hub" / "llada-8b-instruct"
BOS, END, MASK, START_HEADER, END_HEADER, TURN_END = 126080, 126081, 126336, 126346, 126347, 126348
SMALL = {"d_model": 32, "n_heads": 2, "n_kv_heads": 2, "n_layers": 2, "mlp_hidden_size": 48}
WORDS = (
    "\n\n",
    "user",
    "assistant",
    "system",
    "What",
    "is",
    "2",
    "+",
    "4",
    "6",
    "?",
    "Reference",
    "Answer",
    ":",
)
PROBLEM = Problem("p/0", "toy", "math", "What is 2 + 4 ?", "2 + 4 is 6", "6")
SPEC = DecodeSpec(16, 8, "entropy", 1.0, 0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not HUB.is_dir():
        pytest.skip("LLaDA's own files are not beside the project")
    out = tmp_path_factory.mktemp("hub") / "llada"
    shutil.copytree(HUB, out)
    config = json.loads((HUB / "config.json").read_text()) | SMALL
    (out / "config.json").write_text(json.dumps(config))
    (out / "tokenizer.json").write_text(json.dumps(tokenizer_of(HUB)))
    index = json.loads((HUB / "model.safetensors.index.json").read_text())
    files = {name: file for name, file in index["weight_map"].items() if layer_of(name) < SMALL["n_layers"]}
    torch.manual_seed(0)
    members: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
    for name, file in files.items():
        members[file][name] = weight_of(name, config)
    for file, tensors in members.items():
        save_file(tensors, out / file, metadata={"format": "pt"})
    size = sum(t.numel() * t.element_size() for tensors in members.values() for t in tensors.values())
    (out / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": size}, "weight_map": files})
    )
    return out


def layer_of(name: str) -> int:
    found = re.search(r"\.blocks\.(\d+)\.", name)
    return int(found[1]) if found else -1


def weight_of(name: str, config: dict[str, Any]) -> torch.Tensor:
    width, inner = config["d_model"], config["mlp_hidden_size"]
    leaf = name.split(".")[-2]
    if leaf.endswith("norm") or leaf == "ln_f":
        return torch.ones(width, dtype=torch.bfloat16)
    top = layer_of(name) < 0
    shapes = {"ff_proj": (inner, width), "up_proj": (inner, width), "ff_out": (width, inner)}
    shape = (config["embedding_size"], width) if top else shapes.get(leaf, (width, width))
    return (torch.randn(shape) * (1.0 if top else 0.3)).bfloat16()


def tokenizer_of(hub: Path) -> dict[str, Any]:
    """A tokenizer.json of a few words, with the hub's added tokens under their own ids."""
    added = json.loads((hub / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    vocab = {word: i for i, word in enumerate((*WORDS, "<unk>"))}
    vocab |= {token["content"]: int(i) for i, token in added.items()}
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
        "added_tokens": [{"id": int(i), **token} for i, token in sorted(added.items(), key=lambda kv: int(kv[0]))],
        "pre_tokenizer": {
            "type": "Split", "pattern": {"Regex": r"\n\n|\w+|[^\s\w]"}, "behavior": "Removed", "invert": True,
        },
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    }  # fmt: skip


@pytest.fixture(scope="module")
def base(folder: Path) -> ModelConfig:
    return ModelConfig(path=str(folder), device="cpu", dtype="bfloat16")


def test_it_loads_with_the_hubs_ids(base: ModelConfig) -> None:
    check_model(base)
    model = load_model(base)
    assert (model.mask_token_id, model.eos_token_id, model.vocab_size) == (MASK, END, 126464)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    written: dict[str, torch.Tensor] = {}
    for file in Path(base.path).glob("*.safetensors"):
        written |= load_file(file)
    assert written.keys() == model.state_dict().keys()
    assert all(torch.equal(value, written[name]) for name, value in model.state_dict().items())


def test_prompts_are_the_hubs_template_in_ids(base: ModelConfig) -> None:
    tokenizer = load_tokenizer(base)
    plain = student_prompt(tokenizer, PROBLEM)
    assert plain[:4] == [BOS, START_HEADER, WORDS.index("user"), END_HEADER]
    assert plain[-5:] == [TURN_END, START_HEADER, WORDS.index("assistant"), END_HEADER, WORDS.index("\n\n")]
    told = teacher_prompt(tokenizer, PROBLEM, "privileged")
    assert len(told) > len(plain) and told[:4] == plain[:4] and told[-5:] == plain[-5:]
    system = training_teacher_prompt(tokenizer, PROBLEM, "llada")
    assert system[:4] == [BOS, START_HEADER, WORDS.index("system"), END_HEADER]
    assert system[-len(plain) + 1 :] == plain[1:]  # the prompt goes on behind its first token
    assert all(BOS not in ids[1:] for ids in (plain, told, system))


def test_an_answer_ends_with_its_turn(base: ModelConfig) -> None:
    tokenizer = load_tokenizer(base)
    ends = end_ids(tokenizer)
    assert ends == {END, TURN_END}
    answer = closed_response(tokenizer, "6", 4)
    assert answer == [WORDS.index("6"), TURN_END, END, END]
    assert text_length(answer, ends) == 1 and response_text(tokenizer, answer, ends) == "6"


def test_the_plan_reads_its_shape(base: ModelConfig, tiny_tree: dict[str, Any]) -> None:
    tiny_tree["model"] = base.model_dump(mode="json")
    shape, _ = shape_of(parse_config(tiny_tree).model)
    parameters = sum(p.numel() for p in load_model(base).parameters())
    assert shape.parameters == parameters


def test_distilled_exported_and_back(base: ModelConfig, folder: Path, tmp_path: Path) -> None:
    adapted = add_lora(load_model(base), LoraConfig(rank=4, alpha=8, dropout=0.0), seed=3)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    save_adapter(adapted, tmp_path / "adapter")
    out = export_merged(
        base, tmp_path / "adapter", tmp_path / "out", "card", "bfloat16", max_shard_bytes=10_000_000
    )

    prompts = [student_prompt(load_tokenizer(base), PROBLEM)]
    again = ModelConfig(path=str(out), device="cpu", dtype="bfloat16")
    check_model(again)
    decoded = decode(load_model(again), prompts, SPEC)
    assert decoded == decode(load_for_inference(base, tmp_path / "adapter"), prompts, SPEC)
    assert decoded != decode(load_model(base), prompts, SPEC)

    index = json.loads((out / "model.safetensors.index.json").read_text())["weight_map"]
    hub = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    assert index.keys() == hub.keys()
    mine, theirs = (json.loads((path / "config.json").read_text()) for path in (out, folder))
    assert mine.pop("torch_dtype") == "bfloat16"
    assert mine.pop("auto_map") == {
        name: f"GSAI-ML/LLaDA-8B-Instruct--{where}" for name, where in theirs.pop("auto_map").items()
    }
    assert mine == theirs
    assert load_tokenizer(again).chat_template == load_tokenizer(base).chat_template
    assert student_prompt(load_tokenizer(again), PROBLEM) == prompts[0]
