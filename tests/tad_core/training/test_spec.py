"""A spec round-trips, says what is wrong with it, and knows its own identity."""

from __future__ import annotations

import json

import pytest

from tad_core.errors import ConfigError
from tad_core.training.spec import parse_spec, read_spec, write_spec


def test_round_trip(world, checkpoint, tmp_path):
    spec = world.make_spec(tmp_path, checkpoint)
    write_spec(spec, tmp_path / "spec.json")
    assert read_spec(tmp_path / "spec.json") == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": None}, "window: missing"),
        ({"trajectories": []}, "trajectories: empty"),
        ({"verdicts": ["a", "b"]}, "verdicts: 2 files for 1 shards"),
        ({"windw": 3}, "windw"),
        ({"response_length": 1}, "response_length"),
    ],
)
def test_faults_are_named(world, checkpoint, tmp_path, change, message):
    tree = world.make_spec(tmp_path, checkpoint).model_dump(mode="json")
    with pytest.raises(ConfigError, match=message):
        parse_spec({**tree, **change})


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"near": "nonsense"}, r"^spec: also: other\.loss\.near: 'nonsense' is not accepted"),
        ({"temperature": 0.0}, r"^spec: also: other\.loss\.temperature: 0\.0 is not accepted"),
        ({"near": "soft", "soften_near": 0.5}, r"^spec: also: other\.loss\.soften_near: 0\.5 leads to hard"),
    ],
)
def test_a_loss_of_another_adapter_is_looked_at_too(world, checkpoint, tmp_path, loss, message):
    tree = world.make_spec(tmp_path, checkpoint).model_dump(mode="json")
    other = {"name": "other", "window": 4, "run_id": "o", "output": str(tmp_path / "other"), "loss": loss}
    with pytest.raises(ConfigError, match=message):
        parse_spec({**tree, "also": [other]})


def test_sft_needs_problems(world, checkpoint, tmp_path):
    tree = world.make_spec(tmp_path, checkpoint).model_dump(mode="json")
    tree["distill"]["objective"] = "sft"
    with pytest.raises(ConfigError, match="problems: missing"):
        parse_spec(tree)


@pytest.mark.parametrize(("text", "message"), [(None, "cannot be read"), ("{", "not JSON")])
def test_unreadable_files(tmp_path, text, message):
    if text is not None:
        (tmp_path / "spec.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_spec(tmp_path / "spec.json")


def test_identity_is_what_changes_the_result(world, checkpoint, tmp_path):
    spec = world.make_spec(tmp_path, checkpoint)

    def mark(**changes):
        tree = json.loads(spec.model_dump_json())
        distill = changes.pop("distill", {})
        return parse_spec({**tree, **changes, "distill": {**tree["distill"], **distill}}).mark

    assert mark(output="elsewhere") == spec.mark
    assert mark(distill={"save_steps": 7, "log_steps": 1}) == spec.mark
    assert mark(window=4) != spec.mark
    assert mark(distill={"learning_rate": 1e-5}) != spec.mark
    assert mark(run_id="x" * 32) == "x" * 32
