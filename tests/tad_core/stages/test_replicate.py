from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig, parse_config
from tad_core.errors import ConfigError
from tad_core.evaluation.records import Record, write_records
from tad_core.report.console import print_replicates
from tad_core.report.lineup import Lineup
from tad_core.stages.replicate import compare, read_seeds, replicate, seeded


def evaluated(store: Store, model: str, seed: int, right: int) -> ArtifactRef:
    """An evaluation in which the first ``right`` of 40 problems are solved; Speed needs half the forwards."""
    fast = 2 if model == "speed" else 1
    records = [
        Record("sums", model, method, threshold, f"p{i}", i < right, "equal", forwards, 8, 8, 0.1, "t")
        for method, threshold, forwards in (("token_by_token", 0.0, 8), ("entropy", 0.5, 4 // fast))
        for i in range(40)
    ]
    with store.writer("evaluate", 1, f"{model}-{seed}", {}) as writer:
        write_records(writer.path("results.parquet", rows=len(records)), records)
        return writer.commit({})


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Store, list[dict[str, ArtifactRef]]]:
    store = Store(tmp_path / "store")
    base = evaluated(store, "base", 0, 4)
    return store, [
        {
            "base": base,
            "quality": evaluated(store, "quality", s, 30 + s),
            "speed": evaluated(store, "speed", s, 28),
        }
        for s in (0, 1, 2)
    ]


def test_runs_become_one_page(
    runs: tuple[Store, list[dict[str, ArtifactRef]]],
    tiny_config: TADConfig,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, found = runs
    ref = compare(tiny_config, [0, 1, 2], found, store)
    assert [i.fingerprint for i in ref.manifest.inputs].count("base-0") == 1
    base, quality, speed = ref.read_json("replicates.json")["rows"]
    assert (
        quality["token_by_token"]["each"] == [75, 77.5, 80]
        and quality["token_by_token"]["mean"]["value"] == 77.5
    )
    assert quality["gain"]["mean"]["value"] == 67.5 and quality["apart_from_base"] is True
    assert base["gain"] is None and speed["tpf_over_quality"]["mean"]["value"] == 2
    page = ref.local("replicates.md").read_text()
    assert "tiny: 3 training runs" in page and "| quality |" in page.lower()
    assert "+2.00 tokens per forward against Quality" in page and "intervals are apart" in page
    print_replicates(ref, Lineup.of(tiny_config), Console(width=200))
    shown = capsys.readouterr().out
    assert "77.5 [" in shown and "Means over 3 training runs" in shown

    again = compare(tiny_config, [0, 1, 2], found, store)
    assert again.fingerprint == ref.fingerprint and again.manifest == ref.manifest
    assert compare(tiny_config, [0, 1], found[:2], store).fingerprint != ref.fingerprint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", "two or more"),
        ("1,1", "two or more"),
        ("0,x", "whole numbers"),
        ("0,-1", "two or more"),
        ("0,4294967296", "to 4294967295"),
    ],
)
def test_seeds_that_are_none(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_seeds(text)
    assert read_seeds("0, 1,7") == [0, 1, 7]


def test_only_the_seed_of_distillation_differs(tiny_config: TADConfig) -> None:
    changed = seeded(tiny_config, 9)
    assert changed.distill.seed == 9 != tiny_config.distill.seed
    assert seeded(changed, tiny_config.distill.seed) == tiny_config


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2])
def test_from_nothing(tiny_tree: dict[str, Any], at_once: int) -> None:
    """On the shipped model, so that some trajectories are right and kept."""
    shipped = Path(__file__).resolve().parents[3] / "assets" / "tiny-llada"
    sums = {"name": "sums", "source": "arithmetic", "count": 6, "options": {"min_steps": 1, "max_steps": 2}}
    tree = {
        **tiny_tree,
        "model": {"path": str(shipped), "device": "cpu", "threads": 1},
        "data": [sums],
        "rollout": {"response_length": 64, "block_length": 16},
        "evaluate": {
            **tiny_tree["evaluate"], "tasks": [{**sums, "split": "heldout"}], "models": ["base", "quality"],
            "harness": "direct", "decode": {"block_length": 16},
        },
    }  # fmt: skip
    config = parse_config(tree)
    ref = replicate(config, [0, 1], Store(config.store), at_once=at_once)
    base, quality = ref.read_json("replicates.json")["rows"]
    assert (base["model"], quality["model"]) == ("base", "quality")
    assert len(quality["token_by_token"]["each"]) == 2 and base["token_by_token"]["each"][0] > 0
