"""What enters the fingerprint of a distilled model, and which older ones are still found."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tad_core.artifacts import Store, components, fingerprint
from tad_core.errors import ConfigError
from tad_core.stages import distill as distill_stage
from tad_core.stages.distill import distill, spec_of
from tad_core.training import spec as spec_module
from tests.tad_core.stages.changing import changed, read_windows


def test_what_enters_the_fingerprint(config, made, windows):
    _, collection, filtered = made

    def key(mode="quality", windows_ref=windows, **sections):
        return distill_stage.key(changed(config, **sections), mode, collection, filtered, windows_ref)

    same, window = key(), read_windows(windows)["quality"]
    assert key(distill={"save_steps": 5, "log_steps": 3, "timeout_s": 9.0}) == same
    no_dropout = {"lora": {**config.distill.lora.model_dump(mode="json"), "dropout": 0.0}}
    hosts = {"processes": 2, "nodes": 2, "micro_batch_size": 1, "launcher": "torchrun"}
    batch = {"global_batch_size": 4 * config.distill.micro_batch_size, **no_dropout}
    assert key(distill={**hosts, **batch, "compile": True, "report_to": ["wandb"]}) == key(distill=batch)
    # Its value counts, not its origin.
    assert key(calibrate={"quality_window": window}, windows_ref=None) == same
    different = [
        key("speed"),
        key("sft"),
        key(distill={"learning_rate": 1e-5}),
        key(distill={"near": "soft"}),
        key(distill={"teacher_prompt": "system"}),
        key(distill={"filled_states": "skip"}),
        key(calibrate={"quality_window": window + 1}, windows_ref=None),
    ]
    assert len({same, *different}) == 8
    assert key("sft", distill={"near": "soft", "weight_distant": 3.0, "filled_states": "one"}) == key("sft")
    assert key("sft", windows_ref=None) == key("sft")


def test_what_only_changes_the_speed_changes_no_key_and_what_changes_the_result_does(
    config, made, windows, tmp_path
):
    _, collection, filtered = made

    def key(**distill):
        lora = {**config.distill.lora.model_dump(mode="json"), "dropout": distill.pop("dropout", 0.05)}
        return distill_stage.key(
            changed(config, distill={"lora": lora, "global_batch_size": 8, **distill}),
            "quality", collection, filtered, windows,
        )  # fmt: skip

    several = {"processes": 2, "launcher": "torchrun", "micro_batch_size": 2}
    assert key(micro_batch_size=8) == key(micro_batch_size=1) == key()
    assert key(**several) != key()  # dropout is drawn by device
    assert key(**several, dropout=0.0) == key(dropout=0.0)
    zero = {name: tmp_path / f"{name}.json" for name in ("half", "auto", "float")}
    zero["half"].write_text('{"bf16": {"enabled": true}}')
    zero["auto"].write_text('{"bf16": {"enabled": "auto"}}')
    zero["float"].write_text('{"zero_optimization": {"stage": 2}}')
    keys = {name: key(deepspeed=str(path), launcher="deepspeed") for name, path in zero.items()}
    assert keys["float"] == key() != keys["half"] == keys["auto"]


@pytest.fixture
def finished_under_version_1(config, made, windows, tmp_path):
    """An adapter in a store of its own, under the key that version 1 gave it."""
    _, collection, filtered = made
    store, inputs = Store(str(tmp_path)), [collection, filtered]

    def finish(now, micro):
        fields = {
            "mode": "quality",
            "distill": {**now.distill.identity(), "micro_batch_size": micro},
            "dtype": now.model.dtype,
            "window": read_windows(windows)["quality"],
        }
        old = fingerprint("distill", 1, fields, [ref.fingerprint for ref in inputs])
        with store.writer("distill", 1, old, {}, inputs) as writer:
            writer.write_text("adapter/adapter_config.json", "{}")
            return store, writer.commit({})

    return finish


@pytest.mark.parametrize("micro", [1, 2, 4])
@pytest.mark.parametrize("then", [1, 2, 4])
def test_an_adapter_finished_under_the_key_of_version_1_is_found(
    config, made, windows, finished_under_version_1, micro, then
):
    """There the key held ``micro_batch_size``, whatever it was; it is found with any other one, too."""
    _, collection, filtered = made
    now = changed(config, distill={"micro_batch_size": micro, "global_batch_size": 4})
    store, finished = finished_under_version_1(now, then)
    assert distill_stage.key(now, "quality", collection, filtered, windows) != finished.fingerprint
    assert distill(now, "quality", collection, filtered, windows, store) == finished
    other = distill_stage.key_in(store, now, "speed", collection, filtered, windows)
    assert other == distill_stage.key(now, "speed", collection, filtered, windows)


def test_an_adapter_of_version_1_is_not_taken_once_a_component_gives_other_output(
    config, made, windows, finished_under_version_1, monkeypatch
):
    """The teacher of ``system`` reads a prompt that is built in training."""
    _, collection, filtered = made
    now = changed(config, distill={"teacher_prompt": "system"})
    store, finished = finished_under_version_1(now, now.distill.micro_batch_size)

    def key():
        return distill_stage.key_in(store, now, "quality", collection, filtered, windows)

    assert key() == finished.fingerprint
    monkeypatch.setitem(components.VERSIONS, "prompts", 2)
    assert key() == distill_stage.key(now, "quality", collection, filtered, windows) != finished.fingerprint


def test_more_states_than_are_shuffled_are_in_another_order_under_another_key(
    config, made, windows, finished_under_version_1, monkeypatch, tmp_path
):
    """3 kept trajectories of 4 states are 12; all 4 of the collection are 16, and its 4 problems, too."""
    _, collection, filtered = made
    store, finished = finished_under_version_1(config, config.distill.micro_batch_size)

    def seen(mode="quality", **changes):
        now = changed(config, distill=changes)
        refs = (collection, filtered, windows)
        spec = spec_of(now, mode, *refs, tmp_path, "k" * 32)
        return distill_stage.key(now, mode, *refs), spec.order, distill_stage.key_in(store, now, mode, *refs)

    few = {mode: seen(mode) for mode in ("quality", "sft")}
    any_answer = seen(answers="any")
    assert {order for _, order, _ in (*few.values(), any_answer)} == {"shuffled"}
    assert few["quality"][2] == finished.fingerprint
    monkeypatch.setattr(spec_module, "MOST_SHUFFLED", 12)
    assert seen() == few["quality"] and seen(answers="any")[:2] != any_answer[:2]
    assert seen("sft")[:2] != few["sft"][:2] and seen("sft", states_per_trajectory=3)[1] == "shuffled"
    monkeypatch.setattr(spec_module, "MOST_SHUFFLED", 11)
    new, order, taken = seen()
    assert order == "keyed" and taken == new != few["quality"][0]
    # Of what is only planned nothing is known.
    planned = SimpleNamespace(fingerprint=collection.fingerprint)
    assert distill_stage.key(config, "quality", planned, filtered, windows) == few["quality"][0]


def test_the_wrong_settings_are_refused(config, made, windows):
    _, collection, filtered = made
    with pytest.raises(ConfigError, match=r"calibrate\.speed_window: not set"):
        distill_stage.key(config, "speed", collection, filtered, None)
    with pytest.raises(
        ConfigError, match=r"sft gives no quality model.*models: \{NAME: \{objective: sft\}\}"
    ):
        distill_stage.key(
            changed(config, distill={"objective": "sft"}), "quality", collection, filtered, windows
        )
