"""The card says what an export is made of, how it was measured and whose licence it has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import constants

from tad_core import hub
from tad_core.config import ModelConfig
from tad_core.models.card import Facts, licence_of, model_card

COMMIT = "08b83a6feb34df1a6011b80c3c00c7563e963b07"


def point(model: str, accuracy: float, tpf: float) -> dict[str, Any]:
    return {"task": "sums", "model": model, "method": "entropy", "threshold": 0.5, "problems": 48,
            "accuracy": accuracy, "tpf": tpf}  # fmt: skip


def card_of(base: ModelConfig, **changes: Any) -> tuple[dict[str, Any], str]:
    facts: dict[str, Any] = {
        "name": "tiny-quality", "label": "Quality", "method": "TAD",
        "loss": "this one", "base": base, "adapter_only": False, "dtype": "float32",
        "window": 6, "window_source": "calibrated", "training": {"steps": "24 of 64 states"},
        "data": {"sums": "arithmetic, train, 5 problems"}, "points": [point("quality", 62.5, 8.3)],
        "beside": {"base": [point("base", 60.4, 8.01)]},
    }  # fmt: skip
    text = model_card(Facts(**(facts | changes)))
    return yaml.safe_load(text.split("---")[1]), text


def test_the_card_says_what_it_is_made_of(base: ModelConfig) -> None:
    head, text = card_of(base)
    assert (
        head["license"] == "unknown" and "base_model" not in head and head["library_name"] == "transformers"
    )
    assert "| near window | 6 steps (calibrated) |" in text
    assert "| sums | entropy 0.5 | 48 | 62.5 | 8.30 | 60.4 | 8.01 |" in text
    assert "Transformers alone does not load it: it has no class" in text
    assert "24 of 64 states" in text and "arithmetic, train, 5 problems" in text
    _, bare = card_of(base, points=[], beside={}, window=None, method="Fine-tuning")
    assert "has not been evaluated" in bare and "none: random masks" in bare
    assert "TAD, Quality: LoRA" in text and "| loss | this one |" in text and "Fine-tuning: LoRA" in bare


def test_figures_of_other_weights_than_those_written_are_told_as_such(base: ModelConfig) -> None:
    said = "in float32 then; as they are written here, in int4 (projections) and float16, they have not been measured"
    rounded = {"dtype": "int4 (projections) and float16", "measured_in": "float32"}
    assert said in card_of(base, **rounded)[1]
    for same in ({"measured_in": "float32"}, {**rounded, "adapter_only": True}, {**rounded, "points": []}):
        assert "as they are written here" not in card_of(base, **same)[1]


def test_the_card_of_a_round_says_what_it_began_from(base: ModelConfig) -> None:
    beside = {"base": [point("base", 60.4, 8.01)], "one": [point("one", 61.0, 8.2)], "other": []}
    _, text = card_of(base, after=["one"], weights="merge/1", beside=beside)
    assert f"merged in float32 into `{base.path}`, after that of `one`;" in text and "merge/1" not in text
    assert "| base: accuracy | base: TPF | one: accuracy | one: TPF |\n" in text
    assert "| sums | entropy 0.5 | 48 | 62.5 | 8.30 | 60.4 | 8.01 | 61.0 | 8.20 |" in text
    _, adapter = card_of(base, after=["one", "two"], weights="merge/2", adapter_only=True)
    assert (
        f"LoRA adapter for `{base.path}` with those of `one` and `two` of the same run merged into it (`merge/2`)"
        in adapter
    )


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ("---\nlicense: other\nlicense_name: own\n---\n", {"license": "other", "license_name": "own"}),
        ("---\nlicense:\n- mit\n- apache-2.0\n---\n", {"license": "mit, apache-2.0"}),
        ("# It\n\n| | |\n|---|---|\n| licence | Apache-2.0, like the project |\n", {"license": "apache-2.0"}),
        ("# It\n**License:** MIT\n", {"license": "mit"}),
        ("# It\n- License: Our Own 3\n", {"license": "other", "license_name": "Our Own 3"}),
        ("# It\nWhat a license is: a text.\n", {"license": "unknown"}),
        ("---\ntags: [x]\n---\n# It\n", {"license": "unknown"}),
        ("---\n: :\n---\n", {"license": "unknown"}),
    ],
)
def test_a_card_says_its_licence_in_either_form(tmp_path: Path, card: str, told: dict[str, str]) -> None:
    (tmp_path / "README.md").write_text(card)
    assert licence_of(ModelConfig(path=str(tmp_path))) == told


def test_the_small_model_says_its_licence_as_the_hub_reads_it() -> None:
    text = Path("assets/tiny-llada/README.md").read_text()
    assert yaml.safe_load(text.split("---")[1])["license"] == "apache-2.0"


def test_licence_and_base_come_from_the_base(tiny_checkpoint: Path, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "models--someone--model" / "snapshots" / COMMIT
    shutil.copytree(tiny_checkpoint, folder)
    (folder / "README.md").write_text("---\nlicense: mit\ntags: [x]\n---\n# It\n")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    hub._snapshot.cache_clear()
    head, text = card_of(ModelConfig(path="someone/model", revision=COMMIT))
    assert (head["license"], head["base_model"]) == ("mit", "someone/model")
    assert COMMIT in text and "`mit`, that of `someone/model`" in text
    head, _ = card_of(ModelConfig(path="someone/model", revision=COMMIT), adapter_only=True)
    assert (head["library_name"], head["base_model_relation"]) == ("peft", "adapter")
