"""What both families have in common, and the exact numbers and names of the published checkpoints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig as PeftLoraConfig
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from tad_core.config import LoraConfig, ModelConfig
from tad_core.errors import ModelError
from tad_core.models import ROLES, DreamConfig, DreamModel, LLaDAConfig, LLaDAModelLM
from tad_core.models.base import DiffusionLM
from tad_core.models.loading import build, load_model, load_tokenizer
from tad_core.models.lora import add_lora
from tests.tad_core.models import hub

FAMILIES = ("tiny_checkpoint", "tiny_dream_checkpoint")
ROLE_NAMES = {
    "llada": {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "attn_out", "gate": "ff_proj", "up": "up_proj",
              "down": "ff_out"},
    "dream": {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
              "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"},
}  # fmt: skip
LAYERS = {"llada": "model.transformer.blocks", "dream": "model.layers"}


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param))


@pytest.fixture
def model(folder: Path) -> DiffusionLM:
    return load_model(ModelConfig(path=str(folder)), "cpu")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def edit(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


# --- the published checkpoints ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "parameters", "keys", "cls"),
    [
        (hub.LLADA, 8_015_581_184, hub.llada_keys(32), LLaDAModelLM),
        (hub.DREAM, 7_615_616_512, hub.dream_keys(28), DreamModel),
        (hub.DIFFUCODER, 7_615_616_512, hub.dream_keys(28), DreamModel),
        (hub.DREAM_CODER, 7_615_616_512, hub.dream_keys(28), DreamModel),
    ],
    ids=["llada-8b", "dream-7b", "diffucoder-7b", "dream-coder-7b"],
)
def test_the_hubs_config_gives_the_hubs_parameters(config, parameters, keys, cls, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = build(tmp_path)
    assert type(model) is cls
    assert model.num_parameters() == parameters
    assert set(model.state_dict()) == keys
    assert model.mask_token_id == config["mask_token_id"] and model.eos_token_id == config["eos_token_id"]
    assert model.vocab_size == config["vocab_size"]
    assert model.config.dtype == torch.bfloat16  # from torch_dtype, the old spelling


@pytest.mark.parametrize(("family", "config"), [("llada", LLaDAConfig()), ("dream", DreamConfig())])
def test_defaults_are_the_published_checkpoints(family: str, config) -> None:
    published = {"llada": hub.LLADA, "dream": hub.DREAM}[family]
    ours = config.to_dict()
    for name in published.keys() & ours.keys() - {"architectures", "dtype", "transformers_version"}:
        assert ours[name] == published[name], name


def test_positions() -> None:
    with torch.device("meta"):
        llada = LLaDAModelLM(LLaDAConfig(n_layers=1))
        dream = DreamModel(DreamConfig(num_hidden_layers=1))
    assert llada.max_positions == 4096
    assert (dream.max_positions, dream.trained_positions) == (131072, 2048)


@pytest.mark.parametrize(
    ("config", "adapter"), [(hub.LLADA, 335_544_320), (hub.DREAM, 322_961_408)], ids=["llada-8b", "dream-7b"]
)
def test_adapter_of_rank_128_on_all_seven(config, adapter: int, tmp_path: Path) -> None:
    """Of one matrix r (in + out): for LLaDA 32 x 128 x (4 x 8192 + 3 x 16384)."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        adapted = add_lora(build(tmp_path), LoraConfig(rank=128, alpha=128), seed=0)
    counts = [p.numel() for p in adapted.parameters() if p.requires_grad]
    assert sum(counts) == adapter
    assert len(counts) == 2 * 7 * (32 if config is hub.LLADA else 28)


# --- LoRA ---------------------------------------------------------------------------------------------


def test_exactly_the_seven_projections_of_every_layer_are_adapted(model: DiffusionLM) -> None:
    adapted = add_lora(model, LoraConfig(rank=2, alpha=2), seed=0)
    found = {
        name.removeprefix("base_model.model.").split(".lora_A")[0]
        for name, _ in adapted.named_parameters() if "lora_A" in name
    }  # fmt: skip
    names = ROLE_NAMES[model.family]
    assert found == {f"{LAYERS[model.family]}.{i}.{names[role]}" for i in range(2) for role in ROLES}
    assert not any(p.requires_grad for n, p in adapted.named_parameters() if "lora_" not in n)


@pytest.mark.parametrize("role", ROLES)
def test_one_role_is_one_projection(model: DiffusionLM, role: str) -> None:
    adapted = add_lora(model, LoraConfig(rank=2, alpha=2, roles=[role]), seed=0)
    found = {n.split(".lora_A")[0].rpartition(".layers.")[2].rpartition(".blocks.")[2].partition(".")[2]
             for n, _ in adapted.named_parameters() if "lora_A" in n}  # fmt: skip
    assert found == {ROLE_NAMES[model.family][role]}


def test_a_plain_list_of_leaf_names_would_adapt_lladas_head(tiny_checkpoint: Path) -> None:
    """Why roles are full-name patterns: PEFT's usual list hits the head, which is called ff_out, too."""
    from peft import get_peft_model

    model = load_model(ModelConfig(path=str(tiny_checkpoint)), "cpu")
    naive = get_peft_model(model, PeftLoraConfig(r=2, target_modules=["ff_out"]))
    assert any("transformer.ff_out.lora_A" in name for name, _ in naive.named_parameters())


# --- reading what the hub has -------------------------------------------------------------------------


def test_auto_classes_know_both(folder: Path) -> None:
    cls = LLaDAModelLM if folder.name == "llada" else DreamModel
    assert type(AutoConfig.from_pretrained(folder)) is cls.config_class
    assert type(AutoModel.from_pretrained(folder)) is cls
    if cls is LLaDAModelLM:  # Dream's own auto_map names no causal class
        assert type(AutoModelForCausalLM.from_pretrained(folder)) is cls


@pytest.mark.parametrize("spelling", ["torch_dtype", "dtype"])
@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_the_dtype_asked_for_wins_over_the_one_in_the_config(copy: Path, spelling: str, asked) -> None:
    config = json.loads((copy / "config.json").read_text())
    del config["dtype"]
    (copy / "config.json").write_text(json.dumps(config | {spelling: "float16"}))
    model = load_model(ModelConfig(path=str(copy), dtype=asked), "cpu")
    assert {p.dtype for p in model.parameters()} == {getattr(torch, asked)}


def test_code_beside_the_weights_is_never_run(copy: Path, tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    (copy / "modeling_x.py").write_text(f"open({str(trap)!r}, 'w')\nclass X: pass\n")
    edit(copy, auto_map={"AutoConfig": "modeling_x.X", "AutoModel": "modeling_x.X"})
    load_model(ModelConfig(path=str(copy)), "cpu")
    assert not trap.exists()


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        ("tiny_checkpoint", {"block_type": "sequential"}, "block_type 'sequential'; the llada .* has llama"),
        ("tiny_checkpoint", {"weight_tying": True}, "weight_tying True; .* has false"),
        ("tiny_checkpoint", {"include_qkv_bias": True}, "include_qkv_bias True; .* has false or null"),
        ("tiny_checkpoint", {"residual_dropout": 0.1}, r"residual_dropout 0\.1; .* has 0"),
        ("tiny_checkpoint", {"rope": False}, "rope False; .* has true"),
        ("tiny_dream_checkpoint", {"hidden_act": "gelu"}, "hidden_act 'gelu'; the Dream implemented here has silu"),
        ("tiny_dream_checkpoint", {"use_sliding_window": True}, "use_sliding_window True"),
        ("tiny_dream_checkpoint", {"rope_scaling": {"type": "yarn", "factor": 4.0}}, "rope_scaling 'yarn'"),
        ("tiny_dream_checkpoint", {"tie_word_embeddings": True}, "tie_word_embeddings True"),
        ("tiny_checkpoint", {"architectures": ["LLaDAMoEModelLM"]}, r"LLaDAMoEModelLM' \(LLaDA-MoE, a mixture"),
        ("tiny_checkpoint", {"num_experts": 64}, "num_experts 64; .* has null or 0"),
        ("tiny_checkpoint", {"quantization_config": {"bits": 4}}, r"quantization_config .'bits': 4.; .* has null"),
        ("tiny_dream_checkpoint", {"architectures": ["DreamForCausalLM"]}, r"DreamForCausalLM' \(DreamReasoner, "),
        ("tiny_dream_checkpoint", {"block_size": 32}, "block_size 32; the Dream implemented here has null"),
    ],
)  # fmt: skip
def test_another_architecture_is_refused(base, changes, message: str, request, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(request.getfixturevalue(base), tmp_path / "copy"))
    edit(copy, **changes)
    with pytest.raises(ModelError, match=message):
        load_model(ModelConfig(path=str(copy)), "cpu")
    with pytest.raises(ModelError, match=message):  # also for those who come by transformers
        AutoConfig.from_pretrained(copy)


@pytest.mark.parametrize("name", hub.OTHERS)
def test_other_published_models_are_refused_by_name(name: str, copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps(hub.OTHERS[name]))
    with pytest.raises(ModelError, match=f"{name}|a Llama"):
        load_model(ModelConfig(path=str(copy)), "cpu")


def test_a_model_that_adds_masks_while_it_decodes_is_refused(copy: Path) -> None:
    words = json.loads((copy / "tokenizer.json").read_text())
    words["added_tokens"].append({"id": 690, "content": "<|expand|>", "special": True})
    (copy / "tokenizer.json").write_text(json.dumps(words))
    with pytest.raises(ModelError, match=r"<\|expand\|>.*DreamOn.*not implemented"):
        load_model(ModelConfig(path=str(copy)), "cpu")


def test_theta_where_newer_transformers_writes_it(tiny_dream_checkpoint: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_dream_checkpoint, tmp_path / "copy"))
    edit(copy, rope_parameters={"rope_type": "default", "rope_theta": 123.0}, rope_scaling=None)
    model = load_model(ModelConfig(path=str(copy)), "cpu")
    assert model.rope_settings() == (8, 123.0)


def test_saving_and_loading_again_changes_nothing(model: DiffusionLM, folder: Path, tmp_path: Path) -> None:
    again = Path(shutil.copytree(folder, tmp_path / "again"))
    model.save_pretrained(again)
    ids = torch.randint(7, 600, (1, 9))
    with torch.no_grad():
        assert torch.equal(load_model(ModelConfig(path=str(again)), "cpu")(ids), model(ids))


def test_dreams_tokenizer_is_made_of_qwen2s_two_files(tmp_path: Path) -> None:
    """The hub has vocab.json, merges.txt and a class of its own in code that is not run; no tokenizer.json."""
    letters = sorted(ByteLevel.alphabet())
    merges = ["h e", "l l", "he ll", "hell o", "Ġ hello"]
    words = [*letters, *(merge.replace(" ", "") for merge in merges)]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|beginoftext|>", "<|mask|>"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    flags = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    settings = {
        "added_tokens_decoder": {str(len(words) + i): {"content": t, **flags} for i, t in enumerate(special)},
        "auto_map": {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]},
        "bos_token": "<|beginoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
        "mask_token": "<|mask|>", "chat_template": "{{ messages[0]['content'] }}", "tokenizer_class": "DreamTokenizer",
    }  # fmt: skip
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = load_tokenizer(tmp_path)
    assert (tokenizer.eos_token_id, tokenizer.mask_token_id) == (len(words), len(words) + 4)
    text = "<|im_start|>user\nhello hello 12<|im_end|>"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    expected = ["<|im_start|>", *"user", "Ċ", "hello", "Ġhello", "Ġ", "1", "2", "<|im_end|>"]
    assert tokenizer.convert_ids_to_tokens(ids) == expected
    assert tokenizer.decode(ids) == text


# --- weights that do not fit --------------------------------------------------------------------------


def test_missing_left_over_and_misshapen_weights(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = copy / "model.safetensors"
    weights = load_file(file)
    norm = next(name for name in sorted(weights) if name.endswith(("ln_f.weight", "model.norm.weight")))
    cases = [
        ({k: v for k, v in weights.items() if k != norm}, f"it lacks {norm} .1 such keys"),
        (weights | {"model.extra.weight": torch.zeros(3)}, r"it has also model\.extra\.weight"),
        (weights | {norm: torch.zeros(7)}, rf"{norm} is \[7\] in the file and \[32\] by the config"),
    ]
    for changed, message in cases:
        save_file(changed, file, metadata={"format": "pt"})
        with pytest.raises(ModelError, match=message):
            load_model(ModelConfig(path=str(copy)), "cpu")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        load_model(ModelConfig(path=str(copy)), "cpu")


def test_a_missing_shard_is_named_before_anything_is_read(copy: Path) -> None:
    (copy / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model.safetensors"}})
    )
    with pytest.raises(ModelError, match=r"lacks model-00001-of-00002\.safetensors"):
        load_model(ModelConfig(path=str(copy)), "cpu")
    (copy / "model.safetensors.index.json").write_text("{")
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json cannot be read"):
        load_model(ModelConfig(path=str(copy)), "cpu")


def test_gradient_checkpointing_changes_no_gradient(model: DiffusionLM) -> None:
    ids = torch.randint(7, 600, (2, 9))
    grads = []
    for checkpointing in (False, True):
        model.gradient_checkpointing = checkpointing
        model.train().zero_grad()
        model(ids).square().mean().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*grads, strict=True))
