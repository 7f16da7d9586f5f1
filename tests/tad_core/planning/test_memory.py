"""The memory of a training follows from its objective; what does not fit is named with a value that does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts import Store
from tad_core.config import TADConfig, load_config
from tad_core.planning.machines import GPUS
from tad_core.planning.memory import batch_of, peak_gib, stage_gib, too_much, training_gib, weights_gib
from tad_core.shapes import GIB, shape_of, slots_in
from tests.tad_core.planning.common import EXACT, ZERO2, counted, counts_of, demo, llada_8b, planned


def test_two_inputs_a_state_are_planned_as_two(tmp_path: Path) -> None:
    one, two = (demo(f"models.x.objective={name}") for name in ("random", "dparallel"))
    counts, (shape, _) = counted(one, Store(tmp_path)), shape_of(one.model)
    assert peak_gib(two, shape, counts, 8) == peak_gib(one, shape, counts, 16) > weights_gib(one, shape)


def test_what_a_reader_of_blocks_sees_is_planned_for_each_of_them(tmp_path: Path) -> None:
    plain, blocks = (demo(f"models.x.objective={name}") for name in ("random", "d2f"))
    counts, (shape, _) = counted(plain, Store(tmp_path)), shape_of(plain.model)
    length, size = plain.rollout.response_length, blocks.distill.mask_block
    # Of the prompt, then of each block.
    each = [counts.student + end for end in range(0, length + size, size)]
    for recompute, layers in ((False, shape.layers), (True, 1)):
        more = peak_gib(blocks, shape, counts, 8, recompute) - peak_gib(plain, shape, counts, 8, recompute)
        assert more * 2**30 == pytest.approx(8 * sum(each) * 4 * 2 * layers * shape.key_width)


def evaluating(own: str, *more: str) -> TADConfig:
    return load_config("configs/llada-8b.yaml", [*EXACT, f"models.x={own}", "evaluate.models=[x]", *more])


@pytest.mark.parametrize(
    ("own", "more", "block", "cached"),
    [
        ("{objective: d2f}", [], 32, True),
        ("{window: 4, decode: {method: confidence, thresholds: [0.9], cache: {mode: dual}}}", [], 32, True),
        ("{window: 4}", ["evaluate.decode.block_length=128"], 128, False),
        ("{window: 4, decode: {method: confidence, thresholds: [0.9], block_length: 256}}", [], 256, False),
    ],
    ids=["block by block", "its own cache", "longer blocks", "its own blocks"],
)
def test_evaluation_is_planned_with_the_keys_and_logits_of_its_models_decoders(
    own: str, more: list[str], block: int, cached: bool
) -> None:
    config, counts = evaluating(own, *more), counts_of()
    shape, _ = shape_of(config.model)
    tokens = 32 * (counts.task + config.rollout.response_length)
    taken = 2 * shape.parameters + shape.decoding_bytes(tokens, 32 * block, 2, cached)
    assert stage_gib(config, shape, "evaluate", 32, counts.task) * 2**30 == pytest.approx(taken)
    limit = taken / 2**30 * 0.99 / 0.94
    (told,) = (line for line in too_much(config, shape, counts, limit) if line.startswith("evaluate.batch"))
    assert "evaluate.batch_size 32 needs" in told
    auto = evaluating(own, *more, "evaluate.batch_size=auto")
    free, total = int(limit * 2**30 - 2 * shape.parameters), int(limit * 2**30)
    slots = slots_in(free, total, shape, 2, int(counts.task), config.rollout.response_length, block, cached)
    assert batch_of(auto, shape, counts, "evaluate", limit) == slots < 32


@pytest.mark.parametrize("gpu", ["a100", "a100-40", "l40s", "rtx4090"])
def test_what_does_not_fit_is_named_with_a_value_that_does(gpu: str) -> None:
    config = llada_8b(micro_batch_size=64, processes=4, deepspeed=ZERO2)
    shape, _ = shape_of(config.model)
    limit = GPUS[gpu].memory_gib
    counts = counts_of()
    found = [line for line in too_much(config, shape, counts, limit) if line.startswith("distill.micro")]
    assert len(found) == 1
    words = found[0].partition("set it to ")[2]
    micro, recompute = int(words.split()[0]), "gradient_checkpointing to true" in words
    assert training_gib(config, shape, counts, micro, recompute) <= 0.94 * limit
    assert training_gib(config, shape, counts, 64, False) > 0.94 * limit


@pytest.mark.parametrize(
    ("overrides", "helps"),
    [
        ({"processes": 8}, True),
        ({"processes": 2}, True),
        ({"processes": 8, "lora.rank": 512}, False),
        ({"processes": 8, "quantize": "nf4", "lora.rank": 512}, False),  # does not go with DeepSpeed
    ],
)
def test_zero_is_named_where_a_training_fits_with_it(overrides: dict[str, Any], helps: bool) -> None:
    config, limit, counts = llada_8b(**overrides), GPUS["rtx4090"].memory_gib, counts_of()
    shape, _ = shape_of(config.model)
    (found,) = (line for line in too_much(config, shape, counts, limit) if line.startswith("distill.micro"))
    assert helps == ("set distill.deepspeed to configs/deepspeed/zero2.json" in found)
    if not helps:
        assert "use a GPU with more memory" in found
        return
    words = found.partition("and this to ")[2]
    recompute = "true" if "gradient_checkpointing to true" in words else "false"
    changes = {"micro_batch_size": words.split()[0], "gradient_checkpointing": recompute, "deepspeed": ZERO2}
    mended = llada_8b(**{**overrides, **changes})
    assert not [line for line in too_much(mended, shape, counts, limit) if line.startswith("distill")]


def test_on_a_cpu_the_embedding_waits_nowhere_else(tmp_path: Path) -> None:
    config = demo("distill.compile=on")
    counts, (shape, _) = counted(config, Store(tmp_path)), shape_of(config.model)
    (trained,) = (s.memory_gib for s in planned(config, Store(tmp_path)).stages if s.stage == "distill")
    embedding = 4 * shape.vocabulary * shape.width / GIB
    assert trained == pytest.approx(peak_gib(config, shape, counts) + embedding)


def test_memory_that_nobody_would_miss_is_not_offered_to_be_saved(tmp_path: Path) -> None:
    told = planned(demo(), Store(tmp_path)).notes
    assert not any("would train in" in note for note in told), "tenths of a GiB"
