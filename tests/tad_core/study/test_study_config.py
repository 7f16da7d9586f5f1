"""The file of a study: what it becomes, and one clear line for each thing that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tad_core.config import variants
from tad_core.errors import ConfigError
from tad_core.evaluation.decoders import ways
from tad_core.study.config import StudyConfig, expanded, load_study
from tad_core.study.schedule import shared_passes


@pytest.fixture
def matrix() -> dict[str, Any]:
    """A small study as a plain tree."""
    return {
        "name": "tiny-study",
        "config": "run.yaml",
        "states": 8,
        "seeds": [3, 4],
        "variants": {"tad": {"window": 4}, "sft": {"objective": "sft"}, "wide": {"window": 8}},
        "decoders": {
            "tokenwise": {"method": "token_by_token"},
            "fast": {"thresholds": [0.5, 0.1], "operating": 0.5},
            "cached": {"method": "confidence", "thresholds": [0.9], "cache": {"mode": "dual"}},
        },
    }


def test_a_study_is_a_run_with_its_variants_and_its_budget(
    matrix: dict[str, Any], tiny_tree: dict[str, Any]
) -> None:
    study = expanded(StudyConfig.model_validate(matrix), tiny_tree)
    assert list(variants(study.run)) == ["tad", "sft", "wide"] == study.run.evaluate.models[1:]
    assert study.run.distill.max_steps == 2 and study.run.evaluate.harness == "direct"
    assert [study.seeded(seed).distill.seed for seed in study.config.seeds] == [3, 4]
    assert study.config.ours == "tad" and study.config.slowest == "tokenwise"


def test_decoders_take_what_they_leave_out_from_the_run(
    matrix: dict[str, Any], tiny_tree: dict[str, Any]
) -> None:
    study = expanded(StudyConfig.model_validate(matrix), tiny_tree)
    fast = study.specs["fast"]
    assert list(fast) == [0.1, 0.5] and {spec.block_length for spec in fast.values()} == {8}
    assert fast[0.5].method == "entropy" and fast[0.5].cache == "none"
    assert study.specs["cached"][0.9].mode == "dual cache, refresh block"
    single, at = ways(study.run, "tad")
    assert study.specs["tokenwise"][0.0] == single and fast[0.5] == at, "the same slices as those of a run"


def test_what_decoders_have_from_the_run_leaves_one_where_curves_begin(
    matrix: dict[str, Any], tiny_tree: dict[str, Any]
) -> None:
    """A run that decodes with a cache gives it to a decoder that says nothing of one."""
    tiny_tree["evaluate"]["decode"]["cache"] = {"mode": "dual"}
    with pytest.raises(
        ConfigError, match=r"decoders: 0 of them decode .*\.cache\.mode 'dual'; .* cache: \{mode: none\}"
    ):
        expanded(StudyConfig.model_validate(matrix), tiny_tree)
    matrix["decoders"]["tokenwise"]["cache"] = {"mode": "none"}
    study = expanded(StudyConfig.model_validate(matrix), tiny_tree)
    assert study.config.slowest == "tokenwise" and study.specs["fast"][0.5].cache == "dual"


def test_thresholds_are_values_of_what_the_method_goes_by(
    matrix: dict[str, Any], tiny_tree: dict[str, Any]
) -> None:
    matrix["decoders"] |= {
        "factor": {"method": "factor", "thresholds": [2.5, 1], "operating": 1, "cache": {"mode": "prefix"}},
        "budget": {"method": "fixed_budget", "thresholds": [8]},
    }
    study = expanded(StudyConfig.model_validate(matrix), tiny_tree)
    factors, budgets = study.specs["factor"], study.specs["budget"]
    assert [(spec.factor, spec.threshold) for spec in factors.values()] == [(1.0, 0.0), (2.5, 0.0)]
    assert {spec.cache for spec in factors.values()} == {"prefix"}
    assert budgets[8.0].forward_budget == 8 and budgets[8.0].level == 8.0


def test_a_variant_that_reads_in_blocks_is_decoded_so_whatever_a_decoder_says(
    matrix: dict[str, Any], tiny_tree: dict[str, Any]
) -> None:
    matrix["variants"]["blocks"] = {"objective": "d2f", "settings": {"mask_block": 4}}
    study = expanded(StudyConfig.model_validate(matrix), tiny_tree)
    assert study.specs_of("base") == study.specs_of("tad") == study.specs
    own = study.specs_of("blocks")
    assert {name: list(specs) for name, specs in own.items()} == {n: list(s) for n, s in study.specs.items()}
    assert {spec.mode for specs in own.values() for spec in specs.values()} == {
        "block-causal in blocks of 4, finished blocks kept"
    }
    assert own["cached"][0.9].method == "confidence"


def test_variants_of_the_same_states_share_a_pass_a_few_at_a_time(
    matrix: dict[str, Any], tiny_tree: dict[str, Any]
) -> None:
    matrix["variants"] |= {f"w{k}": {"window": k} for k in (2, 3, 5)}
    study = expanded(StudyConfig.model_validate(matrix), tiny_tree)
    assert shared_passes(study, list(matrix["variants"])) == [
        ("w2", "w3", "w5"),
        ("tad", "wide"),
        ("sft",),
    ], "five in passes of four at most, as even as can be"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": 9}, "states: 9 is not a multiple of distill.global_batch_size 4; use 8"),
        ({"states": 1}, "use 4"),
        ({"seeds": [1, 1]}, r"seeds: \[1, 1\] names one twice"),
        ({"seeds": [1, 2**32]}, r"seeds\S*1: 4294967296 is not accepted.* 4294967295"),
        ({"variants": {"tad": {"window": 4, "settings": {"max_steps": 3}}}}, "variants.tad.settings.max_steps: every"),
        ({"variants": {"tad": {"window": 4, "settings": {"global_batch_size": 8}}}}, "leave it at .* 4"),
        ({"variants": {"tad": {"window": 4, "decode": {"thresholds": [0.5]}}}},
         "variants.tad.decode: every variant of a study is decoded by all of its decoders; add it to decoders"),
        ({"variants": {"tad": {"window": 4}, "two": {"window": 4, "round": "tadd"}}},
         r"^variants\.two\.round\.of: 'tadd' is no other model of the table; use one of tad"),
        ({"variants": {"tad": {"window": 4}, "two": {"window": 4, "round": "base"}}}, "'base' is no other model"),
        ({"variants": {"tad": {"window": 4}, "two": {"window": 4, "round": "two"}}}, "two is itself a round of two"),
        ({"variants": {"x": {"window": 4, "round": "y"}, "y": {"window": 4, "round": "x"}}}, "one of the two has to"),
        ({"variants": {"d": {"objective": "d2f", "settings": {"mask_block": 4}}, "two": {"window": 4, "round": "d"}}},
         "d is trained to read block by block"),
        ({"variants": {"tad": {"window": 4}, "two": {"window": 4, "round": "tad", "settings": {"max_steps": 3}}}},
         "variants.two.settings.max_steps: every"),
        ({"variants": {"tad": {"window": 99}}}, "^variants.tad.window: steps 99 is more than"),
        ({"variants": {"plain": {"window": 4, "settings": {"trajectories": "plain"}}}}, "set rollout.compare_plain"),
        ({"decoders": {"fast": {"thresholds": [0.5]}}}, "decoders: 0 of them decode token"),
        ({"decoders": {"one": {"method": "token_by_token", "thresholds": [1]}}}, "thresholds: .* has none, leave it"),
        ({"decoders": {"fast": {"thresholds": [0.1, 0.5]}}}, "operating: missing"),
        ({"decoders": {"fast": {"thresholds": [0.1], "operating": 0.2}}}, "operating: 0.2 is not in"),
        ({"decoders": {"fast": {}}}, "entropy needs one or more"),
        ({"decoders": {"one": {"method": "token_by_token"}, "two": {"method": "best", "thresholds": [1]}}},
         "decoders.two.method: 'best' is not known"),
        ({"decoders": {"one": {"method": "token_by_token"}, "two": {"block_length": 3, "thresholds": [1]}}},
         "decoders.two.block_length: 3 does not divide"),
        ({"decoders": {"one": {"method": "token_by_token"}, "two": {"method": "low_confidence", "thresholds": [1.5]}}},
         "decoders.two.tokens_per_forward: 1.5 is not accepted"),
        ({"decoders": {"one": {"method": "token_by_token", "operating": 1}}}, "operating: .* has none, leave"),
        ({"decoders": {"one": {"method": "token_by_token"}, "a": {"thresholds": [1], "label": "one"}}},
         r"^decoders\.a\.label: 'one' is what one is called, too; give it another"),
        ({"decoders": {"one": {"method": "token_by_token"}, "a": {"thresholds": [1], "label": " "}}}, "label: ' '"),
        ({"seeds": [True]}, r"seeds: \[True\] is not accepted: .* a number, not true"),
        ({"variants": {"tad": {"window": 4, "settings": {"seed": 1}}}},
         "^variants.tad.settings.seed: every variant of a study is trained with each of the study's seeds; set seeds$"),
        ({"variants": {"A": {"window": 4}}}, "^variants: 'A' cannot name a model"),
        ({"set": {"distill": {"seed": 1}}}, "^set.distill.seed: a study gives .* distill.seed by itself; set seeds"),
        ({"set": {"distill.epochs": 2}}, "set states of the study"),
        ({"set": {"models.tad.window": 2}}, "set.models.tad.window: .* set variants of the study"),
        ({"report": {"data": ["tad", "sft", "tad"]}}, "report.data: 'tad' is named twice; leave one out"),
        ({"report": {"windows": ["tadd"]}}, "report.windows: 'tadd' is not a variant; use one of base, sft, tad"),
        ({"variant": {}}, "variant: unknown key; did you mean variants"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_runs(
    matrix: dict[str, Any], tiny_tree: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny_tree))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(matrix | change))
    with pytest.raises(ConfigError, match=message):
        load_study(tmp_path / "study.yaml")


def test_settings_of_the_run_are_changed_in_the_file_and_on_the_command_line(
    matrix: dict[str, Any], tiny_tree: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny_tree))
    matrix["set"] = {"distill.learning_rate": 0.5, "rollout.compare_plain": 2}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(matrix))
    study = load_study(
        tmp_path / "study.yaml", ["seeds=[7]", "states=16", "set.calibrate.states=3"], store="elsewhere"
    )
    assert study.run.calibrate.states == 3 and study.run.calibrate.quality_window == 4, "the rest of it stays"
    assert study.run.distill.learning_rate == 0.5 and study.run.rollout.compare_plain == 2
    assert study.config.seeds == [7] and study.run.distill.max_steps == 4 and study.run.store == "elsewhere"


def test_files_that_are_not_there(matrix: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml does not exist; give the file of a study, e\.g\. "):
        load_study(tmp_path / "nowhere.yaml")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(matrix))
    with pytest.raises(ConfigError, match=r"config: .*run.yaml does not exist; name the file of a run"):
        load_study(tmp_path / "study.yaml")
