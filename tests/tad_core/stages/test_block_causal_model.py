"""A model that reads block by block, from its training to its report, its export and whoever serves it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.decoding import DecodeSpec, decode
from tad_core.decoding.decoder_file import NAME, decoder_text, read_decoder
from tad_core.decoding.spec import Lane
from tad_core.errors import ConfigError, ModelError
from tad_core.evaluation.decoders import operating_spec, ways
from tad_core.evaluation.lm import TadLM
from tad_core.report import tables
from tad_core.serving.faults import RequestError
from tad_core.serving.requests import TextAsked
from tad_core.serving.served import Served
from tad_core.serving.sources import Hardware, sources_of
from tad_core.serving.watch import frames
from tad_core.stages import evaluate
from tad_core.stages.export import export
from tad_core.stages.pipeline import plan_of, run_pipeline
from tad_core.stages.report import compose, gather, render_markdown
from tad_core.stages.status import pipeline_status
from tests.tad_core.stages.test_models_table import small

MODELS = {"blocks": {"objective": "d2f", "label": "Blocks", "settings": {"mask_block": 8}}}
READS = {"attention": "block_causal", "block_length": 8, "cache": "blocks"}


def reads(spec: DecodeSpec) -> dict[str, object]:
    return {name: getattr(spec, name) for name in READS}


def test_every_way_is_as_it_was_trained_and_the_base_as_ever(tmp_path: Path) -> None:
    config = small(tmp_path, MODELS)
    base, blocks = ways(config, "base"), ways(config, "blocks")
    assert [(s.method, s.threshold) for s in blocks] == [
        ("token_by_token", 0.0), ("entropy", 0.5), ("pipeline", 0.9)
    ]  # fmt: skip
    assert all(reads(spec) == READS for spec in (*blocks, operating_spec(config, "blocks")))
    assert len(base) == 2 and {s.lane for s in base} == {Lane(False)}


def test_how_d2f_decodes_is_part_of_its_evaluation_alone(tmp_path: Path) -> None:
    config = small(tmp_path, MODELS)
    pipeline = config.evaluate.pipeline.model_copy(update={"activation_threshold": 0.5})
    changed = config.model_copy(
        update={"evaluate": config.evaluate.model_copy(update={"pipeline": pipeline})}
    )
    adapter = cast(ArtifactRef, SimpleNamespace(fingerprint="a" * 32))
    for name, ref, same in (("base", None, True), ("blocks", adapter, False)):
        assert (evaluate.key(changed, name, ref) == evaluate.key(config, name, ref)) is same


def test_llama_cpp_gets_none_that_it_would_read_otherwise(tmp_path: Path) -> None:
    config = small(tmp_path, MODELS)
    with pytest.raises(ConfigError, match="lets every token see all of a response, and blocks was trained"):
        export(config, "blocks", tmp_path / "out", Store(tmp_path), form="gguf")


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights and the file beside them, as an export has them."""
    folder = tmp_path_factory.mktemp("export") / "blocks"
    shutil.copytree(tiny_checkpoint, folder)
    spec = DecodeSpec(32, 8, "entropy", 0.5, 0.1, attention="block_causal", cache="blocks")
    (folder / NAME).write_text(decoder_text(spec, 1))
    return folder


def test_served_it_reads_so_and_says_why_it_does_not_read_otherwise(folder: Path) -> None:
    (source,) = sources_of(
        [str(folder)], Hardware("float32", "cpu", 1), lambda path: pytest.fail(f"{path} is no run")
    )
    served = Served.load(source)
    wish = served.wish(TextAsked(prompt="1 + 1", method="pipeline", threshold=0.9), 128)
    assert reads(wish.spec) == READS and wish.spec.method == "pipeline"
    assert list(frames(served, wish))[-1].finish
    assert served.wish(TextAsked(prompt="1", cache="none"), 128).spec.lane == Lane(False, 8)
    for asked, says in (
        (
            {"block_length": 16},
            "block_length: 16 is not accepted; blocks reads in blocks of 8, as it was trained",
        ),
        ({"cache": "dual"}, "this one reads block by block; use 'blocks'"),
    ):
        with pytest.raises(RequestError, match=says) as told:
            served.wish(TextAsked(prompt="1", **asked), 128)
        assert told.value.status == 400


def test_lm_eval_reads_so_and_refuses_otherwise(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TadLM, "made", [])
    given = {"pretrained": str(folder), "device": "cpu", "dtype": "float32"}
    made = TadLM.create_from_arg_obj({**given, "threshold": 0.5})
    assert reads(made.spec) == READS and made.spec.method == "entropy"
    for wrong, says in (
        ({"attention": "full", "cache": "none"}, "attention: 'full' is not how this model reads"),
        (
            {"block_length": 16},
            "block_length: 16 is not how this model reads; it was trained block by block, use 8",
        ),
    ):
        with pytest.raises(ConfigError, match=says):
            TadLM.create_from_arg_obj({**given, **wrong})


def test_such_weights_are_no_base_of_a_run(folder: Path, tmp_path: Path) -> None:
    """Its rollouts and its evaluation as the base would let every token see all."""
    usual, own = small(tmp_path, MODELS), tmp_path / "own"
    shutil.copytree(folder, own)
    config = usual.model_copy(update={"model": usual.model.model_copy(update={"path": str(own)})})
    for refused in (
        lambda: plan_of(config),
        lambda: evaluate.key(config, "base"),
        lambda: run_pipeline(config, Store(tmp_path)),
    ):
        with pytest.raises(
            ModelError, match=r"model\.path: .* was trained to read block by block, by its decoder"
        ):
            refused()
    (own / NAME).write_text((own / NAME).read_text().replace("block_causal", "full"))
    assert plan_of(config)


# --- a run of it -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("blocks")
    config, store = small(root, MODELS), Store(root)
    return SimpleNamespace(config=config, store=store, outcome=run_pipeline(config, store, until="evaluate"))


@pytest.fixture(scope="module")
def exported(run: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(run.config, "blocks", tmp_path_factory.mktemp("out") / "blocks", run.store)


@pytest.mark.slow
def test_it_is_measured_as_it_was_trained_and_the_base_as_ever(run: SimpleNamespace) -> None:
    infos = {name: ref.manifest.info for name, ref in run.outcome.evaluated.items()}
    assert infos["base"]["mode"] == "exact"
    assert infos["blocks"]["mode"] == "block-causal in blocks of 8, finished blocks kept"
    assert [p["method"] for p in infos["blocks"]["points"]] == ["token_by_token", "entropy", "pipeline"]
    assert {e.state for e in pipeline_status(run.config, run.store) if e.stage != "report"} == {"done"}


@pytest.mark.slow
def test_its_points_are_told_apart_in_the_report(run: SimpleNamespace) -> None:
    material = gather(run.config, run.outcome.made)
    rows = [
        [cell.text for cell in row.cells[:3]] for row in tables.points(material.scores, material.lineup).rows
    ]
    assert sorted(rows) == sorted([
        ["held", "Base", "token by token"], ["held", "Base", "0.5"],
        ["held", "Blocks", "token by token"], ["held", "Blocks", "0.5"], ["held", "Blocks", "pipeline 0.9"],
    ])  # fmt: skip
    assert "Blocks" in render_markdown(compose(material))


@pytest.mark.slow
def test_what_it_says_in_an_evaluation_its_export_and_its_adapter_say_too(
    run: SimpleNamespace, exported: Path, tmp_path: Path
) -> None:
    alone = export(run.config, "blocks", tmp_path / "adapter", run.store, adapter_only=True)
    operating = operating_spec(run.config, "blocks")
    assert read_decoder(exported) == read_decoder(alone) == operating
    assert "Its attention is block-causal" in (exported / "README.md").read_text()
    example = run.outcome.evaluated["blocks"].read_json("example.json")
    shown = next(d for d in example["decodings"] if d["method"] == "entropy")
    kept = str(run.outcome.distilled["blocks"].local_folder("adapter"))
    sources = sources_of(
        [f"merged={exported}", f"apart={alone}", f"kept={run.config.model.path}+{kept}"],
        Hardware("float32", "cpu", 1), lambda path: pytest.fail(f"{path} is no run"),
    )  # fmt: skip
    assert [reads(source.defaults()) for source in sources] == [READS] * 3
    for source in sources[:2]:
        served = Served.load(source)
        ids = served.texts.encode_text(_prompt(run, served, example["problem_id"]))
        (one,) = decode(served.model, [ids], served.spec)
        assert (served.texts.token_strings(one.tokens), one.forwards) == (shown["tokens"], shown["forwards"])
        (full,) = decode(served.model, [ids], replace(served.spec, attention="full", cache="none"))
        assert full.scores != one.scores, "it reads no other way: this shows nothing"


def _prompt(run: SimpleNamespace, served: Served, problem_id: str) -> str:
    (problem,) = [p for p in evaluate.load_tasks(run.config)["held"] if p.id == problem_id]
    return str(served.texts.tokenizer.decode(served.texts.encode(problem)))
