"""What a run asks of the model's family, found before any work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tad_core import families
from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.errors import ConfigError
from tad_core.planning.survey import survey
from tad_core.stages.pipeline import Stage, prepare


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """LLaDA as a family without a gate and without a cache would be."""
    known = families.FAMILIES["llada"]
    roles = {role: pattern for role, pattern in known.roles.items() if role != "gate"}
    monkeypatch.setitem(families.FAMILIES, "llada", replace(known, roles=roles, cached=False))


def begin(tree: dict[str, Any], until: Stage = "report", **sections: Any) -> None:
    whole = {**tree, **{name: {**tree.get(name, {}), **value} for name, value in sections.items()}}
    config = parse_config(whole)
    told = [str(error) for error in survey(config, Store(config.store)).refused]
    try:
        prepare(config, Store(config.store), until)
    except ConfigError as error:
        assert until != "report" or str(error) in told, "tad check says the same"
        raise


SIX = {"lora": {"rank": 2, "alpha": 2, "dropout": 0.0, "roles": ["q", "k", "v", "o", "up", "down"]}}
SEVEN = {"lora": {"rank": 2, "alpha": 2, "dropout": 0.0}}


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"distill": SEVEN}, r"distill\.lora\.roles: the family llada has no gate; use q, k, v, o, up, down"),
        (
            {"distill": SIX, "models": {"one": {"window": 4, "settings": {"lora": {"roles": ["gate"]}}}}},
            r"models\.one\.settings\.lora\.roles: the family llada has no gate",
        ),
        (
            {"distill": SIX, "rollout": {"cache": {"mode": "dual"}}},
            r"rollout\.cache\.mode: dual .* family llada",
        ),
        (
            {"distill": SIX, "evaluate": {"decode": {"block_length": 8, "cache": {"mode": "prefix"}}}},
            r"evaluate\.decode\.cache\.mode: prefix",
        ),
        (
            {
                "distill": SIX,
                "models": {
                    "one": {
                        "window": 4,
                        "decode": {"method": "confidence", "thresholds": [0.9], "cache": {"mode": "dual"}},
                    }
                },
            },
            r"models\.one\.decode\.cache\.mode: dual",
        ),
        (
            {"distill": SIX | {"mask_block": 8}, "models": {"blocks": {"objective": "d2f"}}},
            r"models\.blocks\.objective: d2f .* family llada",
        ),
    ],
)
def test_what_a_family_cannot_is_refused_before_any_work(
    sections: dict[str, Any], told: str, tiny_tree: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=told):
        begin(tiny_tree, **sections)


@pytest.mark.usefixtures("plain")
def test_it_counts_as_far_as_the_run_goes(tiny_tree: dict[str, Any]) -> None:
    begin(tiny_tree, distill=SIX)
    begin(tiny_tree, "collect", distill=SEVEN)
    begin(
        tiny_tree,
        "calibrate",
        distill=SEVEN,
        evaluate={"decode": {"block_length": 8, "cache": {"mode": "dual"}}},
    )


def test_families_that_can_are_asked_for_nothing(tiny_tree: dict[str, Any]) -> None:
    begin(tiny_tree, distill=SEVEN, rollout={"cache": {"mode": "dual"}})
