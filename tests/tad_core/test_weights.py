"""Which files are the weights, and what is wrong with them, found in headers before any work."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tad_core.checkpoint import check_model, load_tokenizer, model_fingerprint
from tad_core.config import LoraConfig, ModelConfig
from tad_core.errors import ModelError
from tad_core.models.export import export_merged
from tad_core.models.loading import build, load_model
from tad_core.models.lora import add_lora, save_adapter
from tad_core.weights import INDEX, WHOLE, missing_files, shapes_of, weight_files
from tests.tad_core.models import hub
from tests.waiting import CEILING_S

FIRST, HEAD = "model.transformer.wte.weight", "model.transformer.ff_out.weight"
A, B = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def whole(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy with one file of weights."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "whole"))


@pytest.fixture
def split(whole: Path) -> Path:
    """The same in two files with an index."""
    tensors = load_file(whole / WHOLE)
    (whole / WHOLE).unlink()
    names = sorted(tensors)
    index = {name: A if i < len(names) // 2 else B for i, name in enumerate(names)}
    for file in (A, B):
        save_file({n: tensors[n] for n in names if index[n] == file}, whole / file, {"format": "pt"})
    write_index(whole, index)
    return whole


def write_index(folder: Path, index: dict[str, Any]) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}))


def edit_index(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    index = json.loads((folder / INDEX).read_text())["weight_map"]
    change(index)
    write_index(folder, index)


def edit_file(folder: Path, file: str, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / file)
    change(tensors)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, folder / file, {"format": "pt"}
    )


def renamed(tensors: dict[str, torch.Tensor]) -> None:
    for name in list(tensors):
        tensors[f"module.{name}"] = tensors.pop(name)


def model_of(folder: Path) -> ModelConfig:
    return ModelConfig(path=str(folder), device="cpu", threads=1)


def adapter_on(folder: Path, out: Path) -> Path:
    model = add_lora(load_model(model_of(folder)), LoraConfig(rank=2, alpha=2, dropout=0.0), 0)
    save_adapter(model, out)
    return out


# --- one rule for all who read --------------------------------------------------------------------------


def beside(folder: Path) -> None:
    """What a training run and a conversion may leave in a folder of weights."""
    other = {FIRST: torch.zeros(3, 4), "lora_A": torch.ones(2)}
    for name in ("adapter_model.safetensors", "optimizer.safetensors", "consolidated.safetensors"):
        save_file(other, folder / name)
    (folder / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "nowhere/at-all", "peft_type": "LORA"}'
    )
    (folder / "trainer_state.json").write_text("{}")
    for name in ("training_args.bin", "optimizer.pt", "pytorch_model.bin"):
        (folder / name).write_bytes(b"no weights")


@pytest.mark.parametrize("form", ["whole", "split"])
def test_what_lies_beside_the_weights_disturbs_nothing(
    form: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(form)
    model = model_of(folder)
    identity, files, weights = model_fingerprint(model), weight_files(folder), load_model(model).state_dict()
    adapter = adapter_on(folder, tmp_path / "adapter")
    exported = export_merged(model, adapter, tmp_path / "before", "card", "float32")
    beside(folder)
    assert check_model(model)["model_type"] == "llada"
    assert (model_fingerprint(model), weight_files(folder)) == (identity, files)
    again = load_model(model).state_dict()
    assert again.keys() == weights.keys() and all(torch.equal(again[n], weights[n]) for n in weights)
    after = export_merged(model, adapter, tmp_path / "after", "card", "float32")
    assert sorted(p.name for p in after.iterdir()) == sorted(p.name for p in exported.iterdir())
    assert (after / WHOLE).read_bytes() == (exported / WHOLE).read_bytes()


def test_the_index_rules_where_there_is_one(split: Path, tmp_path: Path) -> None:
    expected = load_model(model_of(split)).state_dict()
    adapter = adapter_on(split, tmp_path / "adapter")
    merged = export_merged(model_of(split), adapter, tmp_path / "before", "card", "float32")
    identity = model_fingerprint(split)
    stale = {name: torch.full_like(value, 7.0) for name, value in expected.items()}
    save_file(stale, split / WHOLE, {"format": "pt"})
    assert [f.name for f in weight_files(split)] == [A, B] and model_fingerprint(split) == identity
    found = load_model(model_of(split)).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    again = export_merged(model_of(split), adapter, tmp_path / "after", "card", "float32")
    assert (again / WHOLE).read_bytes() == (merged / WHOLE).read_bytes()


def test_the_loaded_model_knows_where_it_is_from(whole: Path, tmp_path: Path) -> None:
    adapter = adapter_on(whole, tmp_path / "adapter")
    settings = json.loads((adapter / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(whole)


@pytest.mark.parametrize(
    "name", ["consolidated.safetensors", "adapter_model.safetensors", "model-fp32.safetensors"]
)
def test_another_file_is_never_taken_for_the_weights(whole: Path, name: str) -> None:
    (whole / WHOLE).rename(whole / name)
    with pytest.raises(ModelError, match=rf"has no {WHOLE} and no {INDEX}; {name} is not taken for it"):
        check_model(model_of(whole))
    assert missing_files(whole) == [WHOLE]


# --- what is wrong with them ----------------------------------------------------------------------------

WHOLE_FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda f: edit_file(f, WHOLE, renamed), rf"it lacks {FIRST[:17]}.* and it has also module\.model\.tr"),
    (lambda f: edit_file(f, WHOLE, lambda t: t.pop(HEAD)), rf"it lacks {HEAD} \(1 such keys\)"),
    (lambda f: edit_file(f, WHOLE, lambda t: t.update(extra=t[HEAD].clone())), r"it has also extra \(1 such"),
    (
        lambda f: edit_file(f, WHOLE, lambda t: t.update({HEAD: t[HEAD][:-1]})),
        rf"{HEAD} is \[\d+, 32\] in the file",
    ),
    (
        lambda f: edit_file(f, WHOLE, lambda t: t.update({HEAD: t[HEAD].T})),
        rf"{HEAD} is \[32, \d+\] in the file",
    ),
    (
        lambda f: edit_file(f, WHOLE, lambda t: t.update({HEAD: t[HEAD].to(torch.int8)})),
        f"{HEAD} is of type I8",
    ),
    (lambda f: (f / WHOLE).write_bytes((f / WHOLE).read_bytes()[:-9]), "cannot be read as safetensors"),
    (
        lambda f: (f / WHOLE).write_text("version https://git-lfs.github.com/spec/v1"),
        "cannot be read as safetensors",
    ),
]


def twice(folder: Path) -> None:
    head = load_file(folder / B)[HEAD]
    edit_file(folder, A, lambda tensors: tensors.update({HEAD: head}))
    edit_index(folder, lambda index: index.update({HEAD: A}))


SPLIT_FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda f: (f / B).unlink(), f"lacks {B} \\(1 missing\\)"),
    (
        lambda f: edit_file(f, A, lambda t: t.update({HEAD: torch.zeros(1)})),
        f"{HEAD} is in {A} and .* says {B}",
    ),
    (twice, f"{HEAD} is in {A} and in {B}"),
    (lambda f: edit_index(f, lambda i: i.update({HEAD: B if i[HEAD] == A else A})), f"{HEAD} is in .* says "),
    (lambda f: edit_index(f, lambda i: i.pop(HEAD)), f"{HEAD} is in .* does not know it"),
    (lambda f: edit_index(f, lambda i: i.update(extra=A)), f"says that extra is in {A}, where it is not"),
    (
        lambda f: edit_index(f, lambda i: i.update({HEAD: "../other.safetensors"})),
        r"names '\.\./other\.safetensors'",
    ),
    (lambda f: edit_index(f, lambda i: i.update({HEAD: "pytorch_model.bin"})), "names 'pytorch_model.bin'"),
    (lambda f: edit_index(f, lambda i: i.update({HEAD: 3})), "no weight_map of tensors and files"),
    (lambda f: (f / INDEX).write_text("[]"), "no weight_map"),
    (lambda f: (f / INDEX).write_text("{"), "cannot be read"),
    (lambda f: (f / INDEX).write_text("[" * 100_000), "cannot be read"),
    (
        lambda f: edit_index(f, lambda i: i.update({HEAD: "a" * 300 + ".safetensors"})),
        "lacks model.safetensors.index",
    ),
    (lambda f: (f / "config.json").write_text("[]"), "is no JSON object"),
    (lambda f: (f / "config.json").write_text("[" * 100_000), "config.json cannot be read"),
]


@pytest.mark.parametrize(
    ("form", "fault", "message"),
    [("whole", *f) for f in WHOLE_FAULTS] + [("split", *f) for f in SPLIT_FAULTS],
)
def test_faults_are_one_error_before_any_work(
    form: str, fault: Callable[[Path], object], message: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(form)
    adapter = adapter_on(folder, tmp_path / "adapter")
    fault(folder)
    for read in (
        check_model,
        load_model,
        lambda m: export_merged(m, adapter, tmp_path / "out", "card", "float32"),
    ):
        with pytest.raises(ModelError, match=message):
            read(model_of(folder))
    assert not (tmp_path / "out").exists()


# --- the architectures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        hub.LLADA | {"n_layers": 2},
        hub.LLADA | {"n_layers": 1, "n_kv_heads": 4, "mlp_hidden_size": None, "embedding_size": None},
        hub.LLADA | {"n_layers": 1, "embedding_size": 126500},
        hub.DREAM | {"num_hidden_layers": 2},
        hub.DREAM | {"num_hidden_layers": 1, "num_key_value_heads": None},
        {"model_type": "llada", "n_layers": 1},
        {"model_type": "Dream", "num_hidden_layers": 1},
    ],
    ids=str,
)
def test_names_and_shapes_are_those_of_the_module(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    state = build(tmp_path).state_dict()
    assert list(shapes_of(config).items()) == [(name, tuple(value.shape)) for name, value in state.items()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d_model": "32"}, "config.json has d_model '32'; it is a whole number from 1"),
        ({"n_layers": 0}, "config.json has n_layers 0"),
        ({"n_layers": 1_000_000}, "n_layers 1000000; it is a whole number from 1 to 1024"),
        ({"n_heads": 5}, "d_model 32 and n_heads 5; heads divide the width"),
        ({"n_layers": 3}, r"it lacks model\.transformer\.blocks\.2\."),
        ({"n_layers": 1}, r"it has also model\.transformer\.blocks\.1\."),
    ],
)
def test_dimensions_that_are_not_those_of_the_weights(
    whole: Path, change: dict[str, Any], message: str
) -> None:
    edit_config(whole, **change)
    with pytest.raises(ModelError, match=message):
        check_model(model_of(whole))


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


# --- tokens -------------------------------------------------------------------------------------------


def edit_json(file: Path, change: Callable[[Any], object]) -> None:
    tree = json.loads(file.read_text()) if file.exists() else {}
    change(tree)
    file.write_text(json.dumps(tree))


def add_token(tree: Any) -> None:
    tree["added_tokens"].append({**tree["added_tokens"][0], "id": 5000, "content": "<|far|>"})


def rename(folder: Path, old: str, new: str) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (folder / name).read_text()
        assert old in text or name != "tokenizer.json"
        (folder / name).write_text(text.replace(old, new))


def two_files(folder: Path) -> None:
    """Qwen2's form of a tokenizer, with one token too far."""
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps({"a": 0, "far": 9000}))
    (folder / "merges.txt").write_text("")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            lambda f: edit_config(f, mask_token_id=100_000),
            r"mask_token_id 100000; the vocabulary has the ids 0 to \d+",
        ),
        (lambda f: edit_config(f, eos_token_id=-1), "eos_token_id -1"),
        (lambda f: edit_config(f, pad_token_id=100_000), "pad_token_id 100000"),
        (lambda f: edit_json(f / "tokenizer.json", add_token), r"token '<\|far\|>' with id 5000 \(1 such\)"),
        (
            lambda f: edit_json(f / "tokenizer.json", lambda t: t["model"]["vocab"].update(far=7000)),
            "token 'far' with id 7000",
        ),
        (
            lambda f: edit_json(
                f / "tokenizer_config.json",
                lambda t: t.update(added_tokens_decoder={"6000": {"content": "<x>"}}),
            ),
            "token '<x>' with id 6000",
        ),
        (two_files, "vocab.json has the token 'far' with id 9000"),
        (
            lambda f: rename(f, "<|eot_id|>", "<|im_end|>"),
            r"type 'llada', and the tokenizer beside them ends a turn with '<\|im_end\|>', as Dream does",
        ),
        (
            lambda f: rename(f, "<|mdm_mask|>", "word"),
            r"mask_token_id \d+, which the tokenizer beside it spells 'word'",
        ),
        (lambda f: (f / "tokenizer.json").write_text("[]"), "tokenizer.json cannot be read as a tokenizer's"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json cannot be read as a tokenizer's"),
    ],
)
def test_tokens_beyond_the_vocabulary_are_refused(
    whole: Path, fault: Callable[[Path], object], message: str
) -> None:
    fault(whole)
    with pytest.raises(ModelError, match=message):
        check_model(model_of(whole))


def test_a_special_token_that_the_files_only_name_is_found_as_it_is_loaded(whole: Path) -> None:
    edit_json(
        whole / "tokenizer_config.json", lambda t: t.update(extra_special_tokens={"x_token": "<|new|>"})
    )
    with pytest.raises(ModelError, match=r"token '<\|new\|>' with id \d+"):
        load_tokenizer(whole)


def test_files_of_a_tokenizer_that_is_not_read_are_not_looked_at(whole: Path) -> None:
    (whole / "vocab.json").write_text(json.dumps({"far": 9000}))
    assert check_model(model_of(whole))


# --- cost ---------------------------------------------------------------------------------------------


def test_the_check_needs_no_torch_and_reads_no_tensor(whole: Path) -> None:
    code = (
        "import sys; from tad_core.checkpoint import check_model; from tad_core.config import ModelConfig\n"
        f"check_model(ModelConfig(path={str(whole)!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=CEILING_S, check=False).returncode == 0


def test_a_file_changed_in_place_is_looked_at_again(whole: Path) -> None:
    check_model(model_of(whole))
    edit_file(whole, WHOLE, lambda t: t.pop(HEAD))
    with pytest.raises(ModelError, match="lacks"):
        check_model(model_of(whole))


def test_weights_that_are_no_safetensors_are_told_how_to_become_some(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(
        ModelError, match=rf"has no {WHOLE} and no {INDEX}; give the weights as safetensors, as save_pre"
    ):
        weight_files(tmp_path)
