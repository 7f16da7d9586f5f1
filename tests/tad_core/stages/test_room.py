"""The room that is asked for before a run: of what is missing of it, with the weights of its rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig, parse_config
from tad_core.errors import ArtifactError, ConfigError, ModelError
from tad_core.shapes import shape_of
from tad_core.stages import distill, room, status
from tad_core.stages.pipeline import Stage, plan_of
from tad_core.stages.room import check_room

MIB = 1 << 20


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What stores were asked for, the probes left out."""
    asked: list[int] = []
    monkeypatch.setattr(Store, "check_writable", lambda self, need_bytes=0: asked.append(need_bytes))
    return asked


def needed(config: TADConfig, asked: list[int], until: Stage = "report") -> int:
    store = Store(config.store)
    Path(config.store).mkdir(exist_ok=True)  # as the probe would
    check_room(config, store, plan_of(config, store), until)
    return asked[-1]


def adapter_of(config: TADConfig, rank: int = 0) -> int:
    lora = config.distill.lora.model_copy(update={"rank": rank or config.distill.lora.rank})
    return 4 * shape_of(config.model)[0].lora(lora)


def raising(error: Exception) -> Any:
    def refuse(*_: object) -> None:
        raise error

    return refuse


def with_models(tree: dict[str, Any], **models: Any) -> TADConfig:
    return parse_config({**tree, "models": {"one": {"window": 4}, **models}})


def test_each_round_needs_the_weights_it_begins_from(tiny_tree: dict[str, Any], asked: list[int]) -> None:
    alone, two = with_models(tiny_tree), with_models(tiny_tree, other={"window": 6})
    again = with_models(tiny_tree, again={"window": 6, "round": "one"})
    together = 6 * adapter_of(again)  # the checkpoints of two in one pass; a round is a pass of its own
    more = needed(again, asked) - needed(two, asked) + together
    weights = 4 * shape_of(again.model)[0].parameters
    samples = len(plan_of(again).ordered) * (12 * again.rollout.response_length + 8192)
    assert again.model.dtype == "float32" and more == weights + samples
    assert needed(two, asked) - needed(alone, asked) == adapter_of(two) + together
    assert needed(again, asked, "calibrate") == needed(alone, asked, "calibrate") < 65 * MIB


def test_a_family_that_says_its_size_in_other_words_needs_room_for_its_rollouts_at_least(
    tiny_tree: dict[str, Any], asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_models(tiny_tree)
    until_filter = needed(config, asked, "filter")
    monkeypatch.setattr("tad_core.shapes.read_shape", raising(ModelError("config.json does not say d_model")))
    assert needed(config, asked) == until_filter


def test_what_is_there_needs_no_room_again(
    tiny_tree: dict[str, Any], asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_models(tiny_tree)
    store, whole = Store(config.store), needed(config, asked)
    plan = plan_of(config, store)
    monkeypatch.setattr(Store, "free_bytes", lambda self: 0)
    assert needed(config, asked) == whole, "nothing is there"
    each = whole - needed(config, asked, "collect")

    with store.writer(
        "collect", 1, plan.fingerprint, {}, manifest_name=f"{plan.shards[0].name}.json"
    ) as writer:
        writer.write_text("one.txt", "x")
        shard = writer.commit({})
    samples = (plan.shards[0].stop - plan.shards[0].start) * config.rollout.samples
    of_the_shard = samples * (12 * config.rollout.response_length + 8192)
    assert needed(config, asked) == whole - of_the_shard
    assert needed(config, asked, "collect") == whole - each - of_the_shard

    def found(made: Any) -> None:
        monkeypatch.setattr("tad_core.stages.status._look_at_adapters", lambda *_: {"one": made})

    found(shard)
    assert each == (1 + 6) * adapter_of(config), "two checkpoints with two moments each"
    assert isinstance(shard, ArtifactRef) and needed(config, asked) == whole - of_the_shard - each
    planned = status._planned(None, distill.STAGE, "f" * 32)
    found(planned)
    (store.scratch(distill.STAGE, planned.fingerprint) / "checkpoint").write_bytes(b"0" * 1000)
    assert needed(config, asked) == whole - of_the_shard - 1000


def test_an_adapter_asks_for_what_its_rank_takes(tiny_tree: dict[str, Any], asked: list[int]) -> None:
    usual, large = (
        with_models(tiny_tree),
        with_models(tiny_tree, other={"window": 6, "settings": {"lora": {"rank": 512}}}),
    )
    large = large.model_copy(update={"evaluate": large.evaluate.model_copy(update={"models": ["other"]})})
    usual = usual.model_copy(update={"evaluate": usual.evaluate.model_copy(update={"models": ["one"]})})
    assert needed(large, asked) - needed(usual, asked) == 7 * (adapter_of(large, 512) - adapter_of(usual))


def test_a_disk_without_room_for_what_is_missing_is_told(
    tiny_config: TADConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "needed_bytes", lambda *_: 1 << 60)
    store = Store(tiny_config.store)
    with pytest.raises(ArtifactError, match=r"MiB free and the run needs about"):
        check_room(tiny_config, store, plan_of(tiny_config, store), "report")


def test_a_store_in_the_memory_of_a_process_is_refused_before_any_work(tiny_config: TADConfig) -> None:
    config = tiny_config.model_copy(update={"store": "memory://room/store"})
    store = Store(config.store)
    with pytest.raises(
        ConfigError, match=r"^store: memory://room/store is in the memory of one process, .* use a fold"
    ):
        check_room(config, store, plan_of(config, store), "collect")
