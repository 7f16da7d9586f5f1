"""Words of a command line as models."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from tad_core.config import ModelConfig, parse_config
from tad_core.decoding import DecodeSpec, decode
from tad_core.decoding.decoder_file import NAME, decoder_text
from tad_core.errors import ArtifactError, ConfigError, ModelError
from tad_core.evaluation.decoders import operating_spec
from tad_core.models.merge import Merge
from tad_core.serving import sources as finding
from tad_core.serving.served import FALLBACK, Served, load_all
from tad_core.serving.sources import Hardware, sources_of
from tests.tad_core.models.adapters import make_adapter

CPU = Hardware(device="cpu")
FALLBACK_16 = DecodeSpec(16, 4, "entropy", 0.5, 0.1)


def no_run(path):
    raise AssertionError(f"{path} is no run")


@pytest.fixture
def adapter(tiny_checkpoint, tmp_path):
    return make_adapter(ModelConfig(path=str(tiny_checkpoint)), tmp_path / "adapter")


def test_folders_adapters_and_names(tiny_checkpoint, adapter):
    whole, named, on_it = sources_of(
        [str(tiny_checkpoint), f"other={tiny_checkpoint}", f"{tiny_checkpoint}+{adapter}"], CPU, no_run
    )
    assert (whole.name, named.name, on_it.name) == ("llada", "other", "adapter")
    assert whole.model == named.model == on_it.model == ModelConfig(path=str(tiny_checkpoint), device="cpu")
    assert whole.adapter is None and on_it.adapter == adapter
    assert whole.defaults() == FALLBACK and FALLBACK.threshold == 0.5 and FALLBACK.block_add_threshold == 0.1


def test_an_adapters_folder_names_its_base(tiny_checkpoint, adapter):
    settings = json.loads((adapter / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = str(tiny_checkpoint)
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    (one,) = sources_of([f"fast={adapter}"], CPU, no_run)
    assert (one.name, one.model.path, one.adapter) == ("fast", str(tiny_checkpoint), adapter)
    settings["base_model_name_or_path"] = None
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=r"does not name its base; give it, as in BASE\+"):
        sources_of([str(adapter)], CPU, no_run)


def test_the_decoder_file_beside_the_weights_gives_the_defaults(tiny_checkpoint, adapter, tmp_path):
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "exported")
    spec, of_adapter = DecodeSpec(64, 16, "entropy", 0.25, 1.0), DecodeSpec(32, 8, "entropy", 0.75)
    (folder / NAME).write_text(decoder_text(spec, 1))
    (adapter / NAME).write_text(decoder_text(of_adapter, 1))
    base, adapted = sources_of([str(folder), f"{folder}+{adapter}"], CPU, no_run)
    assert base.defaults() == spec and adapted.defaults() == of_adapter
    assert Served.load(base).spec == spec
    (folder / NAME).write_text("threshold: high")
    with pytest.raises(ModelError, match="threshold is 'high'"):
        sources_of([str(folder)], CPU, no_run)


def test_a_run_gives_its_base_and_what_it_has_distilled(tiny_tree, adapter, monkeypatch, tmp_path):
    config = parse_config(
        {**tiny_tree, "evaluate": {**tiny_tree["evaluate"], "models": ["base", "quality", "speed"]}}
    )

    def find(config, mode, store):
        if mode != "speed":
            return config.model, adapter
        raise ArtifactError("--model speed: this run has no finished distill")

    monkeypatch.setattr(finding, "find_model", find)
    found = sources_of(["run.yaml"], CPU, lambda path: config)
    assert [(s.name, s.adapter) for s in found] == [("base", None), ("quality", adapter)]
    assert all(s.spec == operating_spec(config, s.name) for s in found)
    assert found[0].model.device == "cpu" and found[0].model.dtype == config.model.dtype
    (one,) = sources_of(["mine=run.yaml:quality"], CPU, lambda path: config)
    assert (one.name, one.adapter) == ("mine", adapter)
    with pytest.raises(ArtifactError, match="no finished distill"):
        sources_of(["run.yaml:speed"], CPU, lambda path: config)
    with pytest.raises(ConfigError, match=r"'best' is no model of the run; use one of base, quality, speed$"):
        sources_of(["run.yaml:best"], CPU, lambda path: config)
    elsewhere = config.model_copy(update={"model": ModelConfig(path="nowhere/at/all")})
    with pytest.raises(ModelError, match=r"^model\.path: nowhere/at/all is not a folder"):
        sources_of(["run.yaml:base"], CPU, lambda path: elsewhere)
    with pytest.raises(ConfigError, match=r"two are called 'quality'; .* as in other=run\.yaml:quality$"):
        sources_of([f"quality={config.model.path}", "run.yaml"], CPU, lambda path: config)
    with pytest.raises(ConfigError, match=r"names 2 models; say which, as in mine=run\.yaml:quality"):
        sources_of(["mine=run.yaml"], CPU, lambda path: config)


def test_what_means_nothing_is_refused_before_weights_are_read(
    tiny_checkpoint, tiny_dream_checkpoint, adapter, monkeypatch
):
    monkeypatch.setattr(Served, "load", lambda source: pytest.fail("weights were read"))
    for twice in ([str(tiny_checkpoint)] * 2, ["llada=x/y", f"llada={tiny_checkpoint}"]):
        with pytest.raises(
            ConfigError,
            match=f"two are called 'llada'; give one another name, as in other={tiny_checkpoint}$",
        ):
            sources_of(twice, CPU, no_run)
    with pytest.raises(ModelError, match=r"^MODEL: nowhere/at/all is not a folder"):
        sources_of(["nowhere/at/all"], CPU, no_run)
    with pytest.raises(ModelError, match="use the base it was trained on"):
        sources_of([f"{tiny_dream_checkpoint}+{adapter}"], CPU, no_run)
    with pytest.raises(ModelError, match="it is not an adapter"):
        sources_of([f"{tiny_checkpoint}+{tiny_checkpoint}"], CPU, no_run)
    with pytest.raises(ConfigError, match="is not a name"):
        sources_of([f"a b={tiny_checkpoint}"], CPU, no_run)
    with pytest.raises(ModelError, match=r"^MODEL: 'abc' is not a commit hash"):
        sources_of(["org/name@abc"], CPU, no_run)


def test_adapters_of_one_base_share_what_they_leave_alone(tiny_checkpoint, adapter, tmp_path):
    words = [f"base={tiny_checkpoint}", f"a={tiny_checkpoint}+{adapter}", f"b={tiny_checkpoint}+{adapter}"]
    sources = sources_of(words, CPU, no_run)
    base, a, b = load_all(sources)
    alone = [Served.load(source) for source in sources]
    changed = Merge(adapter).keys
    for one, other in zip((base, a, b), alone, strict=True):
        of_other = dict(other.model.named_parameters())
        assert all(torch.equal(weight, of_other[name]) for name, weight in one.model.named_parameters())
    for name, weight in base.model.named_parameters():
        others = [dict(m.model.named_parameters())[name] for m in (a, b)]
        assert all((other is weight) == (name not in changed) for other in others)
    assert changed and not a.model.training
    prompts = [[5, 6, 7], [8]]
    assert decode(a.model, prompts, FALLBACK_16) == decode(alone[1].model, prompts, FALLBACK_16)
