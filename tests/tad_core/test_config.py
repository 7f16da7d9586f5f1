from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tad_core.config import TADConfig, dump_config, elsewhere, load_config, parse_config
from tad_core.errors import ConfigError
from tad_core.pretraining.config import load_pretrain_config
from tad_core.settings import MOST_SEED
from tad_core.study.config import load_study

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize(
    "path", [p for p in SHIPPED if not p.name.startswith(("pretrain", "study"))], ids=lambda p: p.name
)
def test_every_shipped_config_parses_and_round_trips(path: Path) -> None:
    config = load_config(path)
    assert parse_config(yaml.safe_load(dump_config(config))) == config


def test_shipped_pretraining_config_parses() -> None:
    from tad_core.pretraining.config import load_pretrain_config

    found = [path for path in SHIPPED if path.name.startswith("pretrain")]
    assert found
    for path in found:
        assert load_pretrain_config(path).steps > 0


def test_shipped_study_parses() -> None:
    from tad_core.study.config import load_study

    found = [path for path in SHIPPED if path.name.startswith("study")]
    assert found
    for path in found:
        study = load_study(path)
        few = path.name == "study-combined.yaml"
        assert len(study.config.variants) >= (5 if few else 10) and len(study.config.seeds) == 3
        assert len(study.specs) >= (6 if path.name == "study-tiny.yaml" else 2)
        assert study.run.distill.max_steps == study.config.states // study.run.distill.global_batch_size


def write(tmp_path: Path, tree: Any) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rollout": {"sede": 3}}, "rollout.sede: unknown key; did you mean seed?"),
        ({"distill": {"lora": {"rnk": 3}}}, "distill.lora.rnk: unknown key; did you mean rank?"),
        ({"zzz": 1}, "zzz: unknown key; known here: calibrate, data"),
        ({"rollout": {"response_length": 256, "block_length": 48}},
         "rollout.block_length: 48 does not divide response_length 256; use one of 8, 16, 32, 64, 128, 256"),
        ({"rollout": {"response_length": 60, "block_length": 16}},
         "rollout.block_length: 16 does not divide response_length 60; use one of 10, 12, 15, 20, 30, 60"),
        ({"rollout": {"response_length": 61, "block_length": 16}}, "response_length 61; use one of 61"),
        ({"distill": {"learning_rate": -1}}, "distill.learning_rate: -1 is not accepted"),
        ({"distill": {"seed": 2**32}}, "distill.seed: 4294967296 is not accepted: Input should be less"),
        ({"distill": {"max_grad_norm": float("inf")}}, "distill.max_grad_norm: inf is not accepted: Input should be"),
        ({"distill": {"t3d": {"alpha": float("inf")}}}, "distill.t3d.alpha: inf is not accepted"),
        # More than an index can be, or than memory holds of one step.
        ({"distill": {"epochs": 1e30}}, "distill.epochs: 1e+30 is not accepted: Input should be less"),
        ({"distill": {"max_steps": 10**30}}, f"distill.max_steps: {10**30} is not accepted: Input should be less"),
        ({"distill": {"global_batch_size": 2**40}}, "distill.global_batch_size: 1099511627776 is not accepted"),
        # What overflows in the first steps, as no other learning rate would mend.
        ({"distill": {"emphasis": 2000}}, "distill.emphasis: 2000 is not accepted: Input should be less"),
        ({"distill": {"temperature": 1e25}}, "distill.temperature: 1e+25 is not accepted: Input should be less"),
        ({"distill": {"temperature": 1e-38}}, "distill.temperature: 1e-38 is not accepted: Input should be greater"),
        ({"distill": {"weight_distant": 1e38}}, "distill.weight_distant: 1e+38 is not accepted: Input should be less"),
        ({"distill": {"weight_certainty": 1e38}}, "distill.weight_certainty: 1e+38 is not accepted"),
        ({"distill": {"t3d": {"alpha": 1e38}}}, "distill.t3d.alpha: 1e+38 is not accepted"),
        ({"distill": {"t3d": {"beta": 1e38}}}, "distill.t3d.beta: 1e+38 is not accepted"),
        ({"distill": {"t3d": {"weight_path": 1e38}}}, "distill.t3d.weight_path: 1e+38 is not accepted"),
        ({"distill": {"lora": {"roles": ["q", "v", "q"]}}}, "is not accepted: q is named twice; leave one out"),
        ({"distill": {"rendezvous": "node-0:0"}}, "distill.rendezvous: 'node-0:0' is not accepted: Input"),
        ({"distill": {"rendezvous": "node-0:65536"}}, "distill.rendezvous: 'node-0:65536' is not accepted"),
        ({"evaluate": {"tasks": [{"name": "a", "source": "arithmetic", "count": 1, "options": {"x": float("nan")}}]}},
         "evaluate.tasks.0.options.x: nan is not accepted: use a finite number, a text, true or false, or a list"),
        ({"model": {"path": "x", "device": "gpu"}},
         "model.device: 'gpu' is not accepted: use auto, cpu, cuda or cuda:N"),
        ({"model": {"path": "org/" + 256 * "a"}}, "no folder has a name of more than 255 bytes"),
        ({"data": [{"name": "a", "source": "arithmetic", "count": 10**12}]},
         "data.0.count: 1000000000000 is not accepted: Input should be less than or equal to 100000000"),
        ({"data": "x" * 1000}, "x… is not accepted: use a list"),
        ({"distill": {"objective": "rl"}}, "distill.objective: 'rl' is not accepted: Input should be 'tad' or"),
        ({"distill": {"global_batch_size": 10, "micro_batch_size": 4}}, "is not a multiple of micro_batch_size"),
        ({"distill": {"states_per_trajectory": 17}}, "more than rollout.response_length 16"),
        ({"evaluate": {"tasks": [{"name": "a", "source": "arithmetic", "count": 1}], "thresholds": [0.1],
                       "operating_threshold": 0.2, "decode": {"block_length": 8}}},
         "operating_threshold: 0.2 is not in thresholds"),
        ({"rollout": {"batch_size": "all"}},
         "rollout.batch_size: 'all' is not accepted: use a number of 1 or more, or auto"),
        ({"rollout": {"cache": {"mode": "dual", "refresh_forwards": 2**31}}},
         "rollout.cache.refresh_forwards: 2147483648 is not accepted: Input should be less"),
        ({"rollout": {"cache": {"refresh_reveals": 2**31, "refresh_settle": 2**31}}},
         "rollout.cache.refresh_settle: 2147483648 is not accepted: Input should be less"),
        ({"rollout": {"cache": {"mode": "prefix", "refresh_settle": 2, "refresh_blocks": False}}},
         "rollout.cache.refresh_settle: 2 is read with refresh_blocks alone; set refresh_blocks to true"),
        # What would end a run in the stage that reads it.
        ({"calibrate": {"quality_window": 17}}, "calibrate.quality_window: 17 is more than rollout.response_length 16"),
        ({"calibrate": {"speed_window": 17}}, "calibrate.speed_window: 17 is more than rollout.response_length 16"),
        ({"filter": {"workers": 100_000}}, "filter.workers: 100000 is not accepted: Input should be less"),
        ({"filter": {"retries": 10**9}}, "filter.retries: 1000000000 is not accepted: Input should be less"),
        ({"filter": {"math_memory_mb": 2**44}}, "filter.math_memory_mb: 17592186044416 is not accepted"),
        ({"filter": {"memory_mb": 2**44}}, "filter.memory_mb: 17592186044416 is not accepted"),
        ({"filter": {"code_timeout_s": 1e300}}, "filter.code_timeout_s: 1e+300 is not accepted"),
        ({"filter": {"math_timeout_s": 1e300}}, "filter.math_timeout_s: 1e+300 is not accepted"),
        ({"rollout": {"shard_timeout_s": 1e300}}, "rollout.shard_timeout_s: 1e+300 is not accepted"),
        ({"rollout": {"lease_s": 1e300}}, "rollout.lease_s: 1e+300 is not accepted"),
        ({"distill": {"timeout_s": 1e300}}, "distill.timeout_s: 1e+300 is not accepted"),
        ({"model": {"threads": 100_000}}, "model.threads: 100000 is not accepted"),
        ({"evaluate": {"tasks": [{"name": "a", "source": "arithmetic", "count": 1}], "bootstrap": 10**9,
                       "decode": {"block_length": 8}}},
         "evaluate.bootstrap: 1000000000 is not accepted: Input should be less"),
        ({"name": "Has Space"}, "name: 'Has Space' is not accepted"),
        ({"rollout": {"device": "cpu"}}, "rollout.device: unknown key; did you mean model.device?"),
        ({"seed": 1}, "seed: unknown key; did you mean rollout.seed or calibrate.seed or distill.seed?"),
        ({"rollout": {"block_lenght": 8}}, "rollout.block_lenght: unknown key; did you mean block_length?"),
        # As public code calls them.
        ({"rollout": {"gen_length": 8}}, "rollout.gen_length: unknown key; here it is rollout.response_length"),
        ({"rollout": {"steps": 8}}, "rollout.steps: unknown key; leave it out, a rollout reveals one token a step"),
        ({"distill": {"lr": 1e-4}}, "distill.lr: unknown key; here it is distill.learning_rate"),
        ({"distill": {"lora_alpha": 8}}, "distill.lora_alpha: unknown key; here it is distill.lora.alpha"),
        ({"distill": {"lora": {"r": 8}}}, "distill.lora.r: unknown key; here it is distill.lora.rank"),
    ],
)  # fmt: skip
def test_errors_name_field_value_and_remedy(
    tiny_tree: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    for section, value in change.items():
        if isinstance(value, dict) and section != "evaluate":
            tiny_tree[section] = {**tiny_tree.get(section, {}), **value}
        else:
            tiny_tree[section] = value
    with pytest.raises(ConfigError) as caught:
        parse_config(tiny_tree)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("data", [{"name": "a", "source": "arithmetic", "count": 1, "options": {"min_steps": None}}]),
        ("data", [{"name": "a", "source": "arithmetic", "count": 1, "options": {"min_steps": [None]}}]),
        ("filter", {"extract": ["box"]}),
    ],
)
def test_one_mistake_is_one_line(tiny_tree: dict[str, Any], section: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({**tiny_tree, section: value})
    assert "\n" not in str(caught.value)


def test_the_largest_seed_of_a_training_is_the_largest_that_a_trainer_takes(
    tiny_tree: dict[str, Any],
) -> None:
    from transformers import set_seed

    tiny_tree["distill"]["seed"], tiny_tree["rollout"]["seed"] = MOST_SEED, 2**70
    set_seed(parse_config(tiny_tree).distill.seed)
    with pytest.raises(ValueError, match="Seed must be between"):
        set_seed(MOST_SEED + 1)


def test_all_problems_are_told_at_once(tiny_tree: dict[str, Any]) -> None:
    tiny_tree["rollout"]["sede"] = 1
    del tiny_tree["model"]
    with pytest.raises(ConfigError) as caught:
        parse_config(tiny_tree)
    assert "rollout.sede" in str(caught.value) and "model: missing" in str(caught.value)


def test_overrides(tmp_path: Path, tiny_tree: dict[str, Any]) -> None:
    path = write(tmp_path, tiny_tree)
    config = load_config(
        path,
        ["rollout.seed=3", "distill.learning_rate=2e-5", "data.0.count=7", "calibrate.speed_window=null"],
    )
    assert (config.rollout.seed, config.distill.learning_rate, config.data[0].count) == (3, 2e-5, 7)
    assert config.calibrate.speed_window is None


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("rollout.seed", "not of the form section.field=value"),
        ("rollout.sede=1", "did you mean seed"),
        ("data.9.count=1", "'9' is not an index of that list; use 0 to 1"),
        ("rollout.seed=[", "is not a YAML value"),
    ],
)
def test_bad_overrides(tmp_path: Path, tiny_tree: dict[str, Any], item: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", "\\[")):
        load_config(write(tmp_path, tiny_tree), [item])


def test_files_that_are_no_config(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"none.yaml does not exist; give the file of a run, e\.g\. configs/demo.yaml"
    ):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "study.yaml").write_text("variants: {}\nstates: 1\n")
    (tmp_path / "demo.yaml").write_text("extends: x.yaml\n")
    with pytest.raises(ConfigError, match=r"dmo.yaml does not exist; did you mean .*/demo.yaml\?"):
        load_config(tmp_path / "dmo.yaml")
    with pytest.raises(ConfigError, match=r"stdy.yaml does not exist; give the file of a run, e\.g\. "):
        load_config(tmp_path / "stdy.yaml")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(write(tmp_path, "a: ["))
    with pytest.raises(ConfigError, match="holds no mapping"):
        load_config(write(tmp_path, "- 1"))
    with pytest.raises(ConfigError, match=rf"{tmp_path} is a folder; give the file in it: .*\.yaml$"):
        load_config(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"is a folder; give a YAML file$"):
        load_config(tmp_path / "empty")


def test_a_file_of_another_kind_is_one_line_that_names_its_command() -> None:
    with pytest.raises(
        ConfigError, match=r"study-tiny.yaml is the file of a study, which `tad study` takes; .*$"
    ):
        load_config(ROOT / "configs/study-tiny.yaml")
    with pytest.raises(
        ConfigError, match=r"pretrain-tiny.yaml is the file of a pretraining, which `tad pretrain` "
    ):
        load_config(ROOT / "configs/pretrain-tiny.yaml")
    with pytest.raises(ConfigError, match=r"demo.yaml is the file of a run, which `tad run` takes; .*$"):
        load_study(ROOT / "configs/demo.yaml")
    with pytest.raises(ConfigError, match=r"demo.yaml is the file of a run, which `tad run` takes"):
        load_pretrain_config(ROOT / "configs/demo.yaml")


def test_a_file_with_one_key_of_another_kind_is_read_as_it_was_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="steps: unknown key"):
        load_config(write(tmp_path, {"name": "x", "steps": 3}))


def test_identity_leaves_out_what_cannot_change_a_result(tiny_tree: dict[str, Any]) -> None:
    base = parse_config(tiny_tree)
    tiny_tree["rollout"].update(batch_size=1, workers=2, shard_size=1, min_kept=2, compare_plain=3)
    tiny_tree["model"]["device"] = "auto"
    tiny_tree["filter"]["workers"] = 2
    same = parse_config(tiny_tree)
    for section in ("rollout", "model", "filter", "distill"):
        assert getattr(base, section).identity() == getattr(same, section).identity(), section
    tiny_tree["rollout"]["seed"] = 9
    assert parse_config(tiny_tree).rollout.identity() != base.rollout.identity()


def test_a_field_added_later_enters_the_identity_only_with_another_value(tiny_tree: dict[str, Any]) -> None:
    assert "teacher_prompt" not in parse_config(tiny_tree).distill.identity()
    tiny_tree["distill"]["teacher_prompt"] = "system"
    assert parse_config(tiny_tree).distill.identity()["teacher_prompt"] == "system"


def test_every_field_is_described() -> None:
    def walk(model: Any, where: str) -> list[str]:
        missing = []
        for name, info in model.model_fields.items():
            inner = [
                a
                for a in (info.annotation, *getattr(info.annotation, "__args__", ()))
                if hasattr(a, "model_fields")
            ]
            if inner:
                missing += walk(inner[0], f"{where}{name}.")
            elif not info.description:
                missing.append(where + name)
        return missing

    assert walk(TADConfig, "") == ["name"] or walk(TADConfig, "") == []


def test_a_config_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"name: \xff\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml cannot be read as UTF-8 text"):
        load_config(path)


def test_a_setting_that_is_gone_is_read_over_and_enters_nothing(tiny_tree: dict[str, Any]) -> None:
    """Configurations inside artifacts and behind saved deployments still hold it."""
    tree = tiny_tree
    before = parse_config(tree)
    decode = {**tree["evaluate"].get("decode", {}), "decoded_threshold": 0.5}
    tree["evaluate"] = {**tree["evaluate"], "decode": decode}
    after = parse_config(tree)
    assert after.evaluate.decode.identity() == before.evaluate.decode.identity()
    assert "decoded_threshold" not in dump_config(after)
    assert "decoded_threshold" not in json.dumps(TADConfig.model_json_schema())
    tree["evaluate"]["decode"] = {"decoded_treshold": 0.5}
    with pytest.raises(ConfigError, match="decoded_treshold"):
        parse_config(tree)


def test_every_key_of_public_code_leads_to_a_field_that_there_is() -> None:
    for name, ours in elsewhere.FIELDS.items():
        for path in re.findall(r"[a-z]+(?:\.[a-z_0-9]+)+", ours):
            section: Any = TADConfig
            for part in path.split("."):
                section = section.model_fields[part].annotation
            assert path.split(".")[-1] != name
