"""The evaluate stage: what it writes, when it is reused, what changes its fingerprint."""

import contextlib
import dataclasses
import json
import sys

import psutil
import pytest
import torch

from tad_core.artifacts import Store
from tad_core.config import LoraConfig, parse_config
from tad_core.errors import ConfigError, DataError, ModelError, StoreError
from tad_core.evaluation.generate import load_for_inference
from tad_core.evaluation.records import points, read_records
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, base_of, save_adapter
from tad_core.stages.evaluate import evaluate, evaluate_all, key
from tad_core.stages.pipeline import prepare
from tad_core.workers.pool import Pool

pytestmark = pytest.mark.usefixtures("forked_decoders")


@pytest.fixture
def direct(tiny_tree):
    tiny_tree["evaluate"]["harness"] = "direct"
    return tiny_tree


def adapter_of(config, store, seed=1, mark="a" * 32):
    """A distilled artifact whose adapter really changes the model."""
    model = add_lora(load_model(config.model), LoraConfig(rank=2, alpha=2, dropout=0.0), seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=draw))
    with store.writer("distill", 1, mark, {}) as writer:
        save_adapter(model, writer.path("adapter/adapter_config.json").parent)
        return writer.commit()


def test_what_it_writes_and_that_it_is_reused(direct, monkeypatch):
    config = parse_config(direct)
    store = Store(config.store)
    before = set(psutil.Process().children(recursive=True))  # another test's, a server for one
    ref = evaluate(config, "base", None, store)
    assert set(psutil.Process().children(recursive=True)) <= before, "processes that decode stay"
    assert ref.fingerprint == key(config, "base")
    records = read_records(ref.local("results.parquet"))
    assert len(records) == ref.manifest.files["results.parquet"].rows == 6
    assert ref.read_json("points.json") == points(records)
    assert ref.read_json("example.json")["problem_id"] == records[0].problem_id
    before = ref.local("manifest.json").read_bytes()
    assert evaluate(config, "base", None, store) == ref
    assert ref.local("manifest.json").read_bytes() == before
    evaluate(config, "base", None, store, force=True)
    assert ref.local("manifest.json").read_bytes() != before


def test_more_workers_than_gpus_are_found_before_any_work(direct, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    direct["model"]["device"] = "auto"
    direct["evaluate"]["workers"] = 3
    config = parse_config(direct)
    with pytest.raises(ConfigError, match=r"evaluate\.workers 3 needs as many GPUs and there are 2"):
        prepare(config, Store(config.store))
    prepare(config, Store(config.store), "distill")


def test_a_host_that_cannot_hold_tables_of_training_is_found_before_any_work(direct, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "file" / "cache"))
    config = parse_config(direct)
    with pytest.raises(
        StoreError, match=r"^TAD_CACHE: .* cannot be written .* set TAD_CACHE to another folder"
    ):
        prepare(config, Store(config.store), "calibrate")
    prepare(config, Store(config.store), "filter")


@pytest.mark.parametrize(("decode_here", "refused"), [(True, True), (False, False)])
def test_more_rollout_workers_than_gpus_are_found_before_any_work(direct, monkeypatch, decode_here, refused):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    direct["model"]["device"] = "auto"
    direct["rollout"] |= {"workers": 3, "decode_here": decode_here}
    config = parse_config(direct)
    expected = (
        pytest.raises(ConfigError, match=r"rollout\.workers 3 needs as many GPUs and there are 2")
        if refused
        else contextlib.nullcontext()
    )
    with expected:
        prepare(config, Store(config.store), "collect")


def test_more_training_processes_than_gpus_are_found_before_any_work(direct, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    direct["model"]["device"] = "auto"
    direct["distill"] |= {"launcher": "torchrun", "processes": 2}
    config = parse_config(direct)
    with pytest.raises(
        ConfigError, match=r"distill\.processes 2 needs as many GPUs and there is 1; set it to 1$"
    ):
        prepare(config, Store(config.store), "distill")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    prepare(config, Store(config.store), "distill")


def test_a_damaged_result_is_made_again(direct):
    config = parse_config(direct)
    store = Store(config.store)
    ref = evaluate(config, "base", None, store)
    first = read_records(ref.local("results.parquet"))
    ref.local("results.parquet").write_bytes(b"no parquet")
    again = evaluate(config, "base", None, store)
    keep = [
        {k: v for k, v in vars(r).items() if k != "wall_s"}
        for r in read_records(again.local("results.parquet"))
    ]
    assert keep == [{k: v for k, v in vars(r).items() if k != "wall_s"} for r in first]


def test_an_adapter_is_used_and_part_of_the_identity(direct):
    config = parse_config(direct)
    store = Store(config.store)
    adapter = adapter_of(config, store)
    base = read_records(evaluate(config, "base", None, store).local("results.parquet"))
    ref = evaluate(config, "quality", adapter, store)
    tuned = read_records(ref.local("results.parquet"))
    assert [r.problem_id for r in tuned] == [r.problem_id for r in base]
    assert [r.text for r in tuned] != [r.text for r in base]
    assert {r.model for r in tuned} == {"quality"}
    assert ref.fingerprint != key(config, "speed", adapter)
    assert ref.fingerprint != key(config, "quality", adapter_of(config, store, 2, "b" * 32))


def test_a_merged_adapter_answers_as_one_beside_the_weights(direct):
    config = parse_config(direct)
    store = Store(config.store)
    folder = adapter_of(config, store).local_folder("adapter")
    merged = load_for_inference(config.model, folder)
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    from tad_core.models.lora import load_adapter

    beside = base_of(load_adapter(load_model(config.model), folder))
    ids = torch.arange(5, 45)[None]
    with torch.inference_mode():
        assert torch.allclose(merged(ids), beside(ids), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(merged(ids), load_model(config.model)(ids), atol=1e-2)
        assert torch.equal(merged(ids), load_for_inference(config.model, folder)(ids))


@pytest.mark.parametrize(
    ("path", "value", "changes"),
    [
        ("evaluate.thresholds", [0.5, 1.0], True),
        ("evaluate.decode.block_length", 16, True),
        ("evaluate.decode.early_stop", False, True),
        ("rollout.response_length", 32, True),
        ("evaluate.tasks", [{"name": "sums", "source": "arithmetic", "split": "heldout", "count": 4}], True),
        ("filter.extract", ["last_number"], True),
        ("evaluate.batch_size", 1, False),
        ("evaluate.harness", "lm-eval", False),
        ("evaluate.models", ["base"], False),
        ("evaluate.bootstrap", 7, False),
        ("evaluate.aup_alpha", 1.0, False),
        ("filter.workers", 2, False),
        ("distill.learning_rate", 3e-4, False),
        ("model.threads", 2, False),
    ],
)
def test_what_enters_the_fingerprint(direct, path, value, changes):
    before = key(parse_config(direct), "base")
    *parents, leaf = path.split(".")
    node = direct
    for part in parents:
        node = node[part]
    node[leaf] = value
    assert (key(parse_config(direct), "base") != before) == changes


def test_a_changed_problem_file_changes_the_fingerprint(direct, tmp_path):
    file = tmp_path / "mine.jsonl"
    row = '{"id": "a", "question": "1 + 1 ?", "reference": "2", "answer": "%s"}\n'
    direct["evaluate"]["tasks"] = [
        {"name": "mine", "source": "jsonl", "count": 1, "options": {"path": str(file)}}
    ]
    file.write_text(row % "2")
    before = key(parse_config(direct), "base")
    file.write_text(row % "3")
    assert key(parse_config(direct), "base") != before


def test_wrong_input_is_refused_before_any_work(direct, tmp_path):
    config = parse_config(direct)
    store = Store(config.store)
    with pytest.raises(ConfigError, match="quality was asked for without an adapter"):
        evaluate(config, "quality", None, store)
    direct["model"]["path"] = str(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="nowhere"):
        evaluate(parse_config(direct), "base", None, store)
    direct["evaluate"]["tasks"] = [
        {"name": "mine", "source": "jsonl", "count": 1, "options": {"path": str(tmp_path / "none.jsonl")}}
    ]
    with pytest.raises((DataError, ConfigError), match=r"none\.jsonl"):
        evaluate(parse_config(direct), "base", None, store)


def test_the_direct_way_does_not_need_lm_eval(direct, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.delitem(sys.modules, "tad_core.evaluation.harness", raising=False)
    config = parse_config(direct)
    assert evaluate(config, "base", None, Store(config.store)).stage == "evaluate"


@pytest.fixture
def benchmarks(direct, tmp_path):
    """Two benchmarks from local files, one of them with a row that cannot be used."""
    gsm8k = [{"question": f"{n} + {n} ?", "answer": f"#### {2 * n}"} for n in range(3)]
    math = [
        {"problem": "1 + 1 ?", "type": kind, "solution": "\\boxed{2}"}
        for kind in ("Algebra", "Geometry", "Cooking")
    ]
    for name, rows in (("gsm8k", gsm8k), ("math", math)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    direct["evaluate"]["tasks"] = [
        {
            "name": "gsm8k",
            "source": "benchmark",
            "options": {"task": "gsm8k", "path": str(tmp_path / "gsm8k.jsonl")},
        },
        {
            "name": "math",
            "source": "benchmark",
            "min_count": 2,
            "options": {"task": "minerva_math", "num_fewshot": 0, "path": str(tmp_path / "math.jsonl")},
        },
    ]
    return direct


def test_benchmarks_keep_lm_evals_figures_and_say_what_was_left_out(benchmarks):
    config = parse_config(benchmarks)
    ref = evaluate(config, "base", None, Store(config.store))
    records = read_records(ref.local("results.parquet"))
    assert [(r.task, r.subset) for r in records[:5]] == [("gsm8k", "")] * 3 + [
        ("math", "algebra"),
        ("math", "geometry"),
    ]
    assert {tuple(r.figures) for r in records if r.task == "math"} == {
        ("exact_match,none", "math_verify,none")
    }
    assert ref.manifest.info["left_out"] == {
        "gsm8k": {},
        "math": {"subject 'Cooking' is not one of MATH's seven": 1},
    }
    first = next(p for p in ref.read_json("points.json") if p["task"] == "math")
    assert first["figures"] == {"exact_match,none": 0.0, "math_verify,none": 0.0}
    assert first["subsets"] == {
        "algebra": {"problems": 1, "accuracy": 0.0},
        "geometry": {"problems": 1, "accuracy": 0.0},
    }


def test_a_benchmark_enters_the_fingerprint_by_its_prompts(benchmarks):
    before = key(parse_config(benchmarks), "base")
    benchmarks["evaluate"]["tasks"][0]["options"]["task"] = "gsm8k_cot_zeroshot"
    after = key(parse_config(benchmarks), "base")
    assert after != before
    benchmarks["evaluate"]["tasks"][0]["min_count"] = 1
    assert key(parse_config(benchmarks), "base") == after


def test_prompts_without_room_are_one_error_before_any_work(benchmarks, monkeypatch):
    """The tiny model has 512 positions; MATH's four examples alone are more."""
    monkeypatch.setattr("tad_core.workers.pool.Pool.run", lambda *_: pytest.fail("something was decoded"))
    for task in benchmarks["evaluate"]["tasks"]:
        task["options"] |= {"num_fewshot": 4} if task["name"] == "math" else {}
    config = parse_config(benchmarks)
    with pytest.raises(DataError) as error:
        evaluate(config, "base", None, Store(config.store))
    message = str(error.value)
    assert "evaluate.tasks.math: 2 of 2 prompts are longer than the 496 tokens" in message
    assert "lower num_fewshot" in message and "gsm8k" not in message


@pytest.mark.slow
def test_the_isolation_of_programs_is_named(direct):
    before = evaluate(parse_config(direct), "base", None, Store(direct["store"]))
    assert before.manifest.info["tier"] == "no programs were run"
    direct["evaluate"]["tasks"] = [{"name": "funcs", "source": "pyfunc", "split": "heldout", "count": 1}]
    after = evaluate(parse_config(direct), "base", None, Store(direct["store"]))
    assert after.manifest.info["tier"].startswith("tier ")


@pytest.mark.slow
def test_all_models_side_by_side_are_what_each_is_alone(direct, tmp_path):
    direct["evaluate"]["models"] = ["base", "quality", "speed"]
    direct["evaluate"]["slice_size"] = 1
    config = parse_config(direct)
    store = Store(config.store)
    adapters = {"quality": adapter_of(config, store), "speed": adapter_of(config, store, 2, "b" * 32)}
    told = []
    found = evaluate_all(config, adapters, store, told.append)
    assert list(found) == ["base", "quality", "speed"]
    assert {p.figures["model"] for p in told} == set(found)
    elsewhere = Store(tmp_path / "alone")
    with Pool(config.model) as pool:
        for name, ref in found.items():
            alone = evaluate(config, name, adapters.get(name), elsewhere, pool=pool)
            rows = [read_records(one.local("results.parquet")) for one in (ref, alone)]
            first, second = ([dataclasses.replace(r, wall_s=0.0) for r in one] for one in rows)
            assert first == second


def test_a_model_that_fails_leaves_the_others_to_end(direct):
    direct["evaluate"]["models"] = ["base", "quality"]
    config = parse_config(direct)
    store = Store(config.store)
    with pytest.raises(ConfigError, match="quality was asked for without an adapter"):
        evaluate_all(config, {}, store)
    assert store.find("evaluate", key(config, "base")) is not None
