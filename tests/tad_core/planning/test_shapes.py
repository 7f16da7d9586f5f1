"""Sizes and operations against published counts and against what was measured on real hardware."""

from __future__ import annotations

import re

import pytest

from tad_core.config import LoraConfig, ModelConfig, load_config, parse_config
from tad_core.config.rollout import CacheConfig
from tad_core.errors import ConfigError
from tad_core.models.batching import at_once
from tad_core.planning.decoding import measured_share, work
from tad_core.planning.machines import GPUS, named_machine, training_share
from tad_core.planning.memory import (
    base_gib,
    batch_of,
    decoding_gib,
    most_in_one_pass,
    too_much,
    training_choices,
    training_gib,
    weights_gib,
)
from tad_core.planning.speeds import Pace
from tad_core.shapes import PUBLISHED, Shape, read_shape, shape_of
from tests.tad_core.planning.common import EXACT, ZERO2, counts_of, llada_8b

LLADA = read_shape(PUBLISHED["GSAI-ML/LLaDA-8B-Instruct"])
DREAM = read_shape(PUBLISHED["Dream-org/Dream-v0-Instruct-7B"])
LENGTH, PROMPT, STUDENT = 256, 300, 150
DRY = {"lora.dropout": 0.0}


def test_parameters_are_those_of_the_published_checkpoints() -> None:
    assert LLADA.parameters == 8_015_581_184
    assert DREAM.parameters == 7_615_616_512
    assert LLADA.layers * LLADA.layer_weights == pytest.approx(6.98e9, rel=0.001)


def test_an_adapter_is_rank_times_in_and_out_of_each_matrix() -> None:
    config = LoraConfig(rank=2, roles=["q", "k", "down"])
    shape = Shape(width=10, layers=3, key_width=4, mlp=30, vocabulary=5)
    assert shape.lora(config) == 3 * 2 * ((10 + 10) + (10 + 4) + (30 + 10))


def test_a_forward_counted_by_hand() -> None:
    shape = Shape(width=2, layers=1, key_width=2, mlp=3, vocabulary=7)
    # matrices: 4 of 2 x 2 and 3 of 2 x 3 are 34 weights; 5 tokens; scores and values 5 x 5 x 2 each
    assert shape.forward(5, 4) == 2 * 34 * 5 + 2 * (2 * 5 * 5 * 2) + 2 * 7 * 2 * 4


def test_the_floors_worked_out_elsewhere_come_out_here_too() -> None:
    """About 1,430 exact rollouts an hour, and about 24 TFLOP a state of 500 tokens, both at 790 TFLOP/s."""
    sample = LENGTH * LLADA.forward(PROMPT + LENGTH, 32)
    assert 790e12 / sample * 3600 == pytest.approx(1430, rel=0.05)
    state = LLADA.trained_state(500, 500, LENGTH, LLADA.lora(LoraConfig()))
    assert state == pytest.approx(24e12, rel=0.1)


def test_shares_of_the_peak_are_what_such_shapes_reach() -> None:
    assert 0.35 < measured_share("dual") < measured_share("none") < 0.65
    assert measured_share("dual_block") == measured_share("dual") < measured_share("prefix") < 0.65
    assert 0.3 < training_share(False) < training_share(True) < 0.6
    assert training_share(True, "fp8") == pytest.approx(1.34 * training_share(True))
    assert training_share(False, "fp8") == training_share(False)  # the host holds it up
    assert training_share(True, "nf4") == pytest.approx(13.4 / 25.3 * training_share(True))
    assert training_share(False, "nf4") == pytest.approx(
        1 / (1 / 17.8 + 1 / 13.4 - 1 / 25.3) / 17.8 * training_share(False)
    )


def test_what_a_prefix_cache_gains_several_blocks_open_is_met() -> None:
    """docs/results/decode.md: 3.2 times the answers at 4 tokens a forward; the share comes from token by token."""
    paces = []
    for mode in ("none", "prefix"):
        one = work(LLADA, CacheConfig(mode=mode), LENGTH, 32, 600, LENGTH / 4, 1.5)
        paces.append(one.flops / measured_share(mode))
    assert paces[0] / paces[1] == pytest.approx(3.2, rel=0.15)


def test_another_setting_than_those_it_was_fitted_to_is_met() -> None:
    """docs/results/decode.md: 8,635 samples an hour refreshed twice a block; the share comes from once a block."""
    settings = CacheConfig(mode="dual", refresh_reveals=16)
    one = work(LLADA, settings, LENGTH, 32, PROMPT, LENGTH)
    pace = Pace(measured_share(settings.mode) * GPUS["h100"].bf16_tflops * 1e12, "", 15e-3)
    assert 3600 * 32 / pace.seconds(32 * one.flops, LENGTH) == pytest.approx(8635, rel=0.15)


def test_forwards_and_refreshes_of_a_cached_sample_by_hand() -> None:
    shape = Shape(width=2, layers=1, key_width=2, mlp=3, vocabulary=7)
    # 16 tokens in blocks of 4, one a forward: a refresh at each of four blocks, twelve forwards between
    one = work(shape, CacheConfig(mode="dual"), 16, 4, 5, 16)
    assert (one.forwards, one.refreshes) == (16, 4)
    assert one.flops == 4 * shape.forward(21, 2.5) + 12 * shape.partial_forward(3.5, 21, 2.5)
    assert shape.partial_forward(3, 21, 2) == 2 * 34 * 3 + 4 * 2 * 3 * 21 + 2 * 7 * 2 * 2
    assert work(shape, CacheConfig(mode="dual", refresh_reveals=2), 16, 4, 5, 16).refreshes == 8
    assert work(shape, CacheConfig(mode="prefix", refresh_settle=2), 16, 4, 5, 16).refreshes == 8
    sparse = CacheConfig(mode="dual", refresh_blocks=False, refresh_forwards=4)
    assert work(shape, sparse, 16, 4, 5, 8).refreshes == 2
    whole = work(shape, CacheConfig(mode="dual_block"), 16, 4, 5, 16)
    assert whole.flops == 4 * shape.forward(21, 2.5) + 12 * shape.partial_forward(4, 21, 2.5)
    # from the current block of 4 on: 16, 12, 8 or 4 tokens
    behind = work(shape, CacheConfig(mode="prefix"), 16, 4, 5, 16)
    assert behind.flops == 4 * shape.forward(21, 2.5) + 12 * shape.partial_forward(10, 21, 2.5)
    assert work(shape, CacheConfig(), 16, 4, 5, 8).flops == 8 * shape.forward(21, 2.5)


def test_training_as_others_wrote_it_is_met() -> None:
    """16.6 states a second with a teacher of its own; the share comes from a loop that shares the weights."""
    speed = training_share(False) * GPUS["h200"].bf16_tflops * 1e12
    state = LLADA.trained_state(STUDENT + LENGTH, PROMPT + LENGTH, LENGTH, 0)
    assert speed / state == pytest.approx(16.6, rel=0.1)


def test_memory_is_near_what_was_measured() -> None:
    """15.4 GiB for one rollout; 42.1 GiB in training at 4 states with a second copy of the weights for the teacher.

    That loop adapts four of the seven matrices.
    """
    config = llada_8b(deepspeed=None, processes=1, compile="off", **{"lora.roles": "[q, k, v, up]", **DRY})
    counts = counts_of(student=STUDENT, teacher=PROMPT)
    assert weights_gib(config, LLADA) == pytest.approx(14.93, abs=0.01)
    assert decoding_gib(config, LLADA, 1, PROMPT) == pytest.approx(15.4, rel=0.05)
    two_copies = training_gib(config, LLADA, counts, 4, False) + weights_gib(config, LLADA)
    assert two_copies == pytest.approx(42.1, rel=0.1)


def test_an_h100_is_met_that_nothing_was_fitted_to() -> None:
    """docs/results/full-size.md: training 4 states in 31.73 GiB; decode.md: 32 rollouts in 17.4 GiB, cached in 27.6."""
    config = llada_8b(deepspeed=None, processes=1, compile="off")
    counts = counts_of(student=36.3, teacher=56.3)
    assert training_gib(config, LLADA, counts, 4, False) == pytest.approx(31.73, rel=0.05)
    assert decoding_gib(config, LLADA, 32, PROMPT) == pytest.approx(17.4, rel=0.05)
    assert decoding_gib(config, LLADA, 32, PROMPT, cached=True) == pytest.approx(27.6, rel=0.1)


@pytest.mark.parametrize(("limit_gib", "slots"), [(79.0, 64), (17.0, 8), (15.0, 1)])
def test_with_auto_a_plan_takes_the_slots_that_a_run_would(limit_gib: float, slots: int) -> None:
    """On 17 GiB: 0.94 x 17 - 14.93 are 1.05 GiB, and a slot of 640 columns and a block takes 86.7 MB: 12, so 8."""
    config = load_config("configs/llada-8b.yaml", [*EXACT, "rollout.batch_size=auto"])
    assert config.rollout.shard_size * config.rollout.samples == 64, "more a shard does not have"
    assert batch_of(config, LLADA, counts_of(teacher=PROMPT), "collect", limit_gib) == slots
    assert batch_of(config, LLADA, counts_of(), "evaluate", limit_gib) == 32, "a number stays what it is"
    told = too_much(config, LLADA, counts_of(models=0), limit_gib)
    assert [line for line in told if line.startswith("rollout.batch_size")] == []


@pytest.mark.parametrize("wanted", ["auto", "16"])
def test_on_a_cpu_each_sample_is_planned_alone_as_it_runs(wanted: str) -> None:
    change = [f"rollout.batch_size={wanted}", f"evaluate.batch_size={wanted}"]
    config = load_config("configs/llada-8b.yaml", change)
    for stage in ("collect", "evaluate"):
        assert batch_of(config, LLADA, counts_of(), stage, None) == at_once("cpu", 16)


def test_a_second_adapter_costs_its_own_weights_and_optimizer_and_shares_the_teacher() -> None:
    counts = counts_of(student=STUDENT, teacher=PROMPT)
    one = llada_8b(deepspeed=None, processes=1)
    more = training_gib(one, LLADA, counts, 4, False, 2) - training_gib(one, LLADA, counts, 4, False)
    assert more == pytest.approx(16 * LLADA.lora(LoraConfig()) / 2**30)  # weights, gradients, two moments
    assert most_in_one_pass(one) == 2 and most_in_one_pass(llada_8b(deepspeed=ZERO2)) == 1
    alone, shared = (LLADA.trained_state(406, 556, LENGTH, 0, False, n) for n in (1, 2))
    assert alone - shared == pytest.approx(LLADA.forward(556, 0) / 2)


def test_less_is_kept_with_checkpointing_and_less_held_with_zero() -> None:
    counts = counts_of(student=STUDENT, teacher=PROMPT)
    one = llada_8b(deepspeed=None, processes=1)
    assert training_gib(one, LLADA, counts, 4, True) < training_gib(one, LLADA, counts, 4, False) - 3.5
    alike = llada_8b(deepspeed=None, processes=1, **DRY), llada_8b(deepspeed=ZERO2, **DRY)
    without, shared = (training_gib(config, LLADA, counts, 4, False) for config in alike)
    # The embedding, which DeepSpeed wants on the GPU, and its buckets.
    more = (2 * LLADA.vocabulary * LLADA.width + 8e8) / 2**30
    saved = without + more - shared
    assert saved == pytest.approx((16 - 8 - 16 / 8) * LLADA.lora(LoraConfig()) / 2**30)


def test_compiled_less_is_kept() -> None:
    """docs/results/distill.md: an H200 at 406 and 556 tokens."""
    counts = counts_of(student=STUDENT, teacher=PROMPT)
    compiled, plain = (
        training_gib(llada_8b(deepspeed=None, processes=1, compile=on, **DRY), LLADA, counts, 4, False)
        for on in ("auto", "off")
    )
    assert compiled == pytest.approx(25.3, rel=0.03)
    assert plain > compiled + 3


def test_the_embedding_that_waits_on_the_host_has_the_dtype_of_the_weights() -> None:
    """Not that of the activations, which are float32 without autocast."""
    shape = Shape(width=8, layers=1, key_width=8, mlp=8, vocabulary=2**26)
    saved = []
    for bf16 in ("true", "false"):
        config = llada_8b(processes=1, deepspeed=None, bf16=bf16, **DRY)
        assert weights_gib(config, shape) == pytest.approx(2.0, abs=1e-6)  # embedding and head
        hooked = llada_8b(deepspeed=ZERO2, bf16=bf16, **DRY)
        counts = counts_of(student=1.0, teacher=1.0)
        saved.append(
            training_gib(hooked, shape, counts, 1, True) - training_gib(config, shape, counts, 1, True)
        )
    # DeepSpeed's two buckets have the dtype of the gradients.
    assert saved == [pytest.approx(1.0 + 2 * 2e8 * each / 2**30, abs=0.01) for each in (2, 4)]


def test_recorded_dropout_is_not_kept() -> None:
    """What is dropped is drawn again; compiled alone, as in float32, it is kept."""
    counts = counts_of(student=STUDENT, teacher=PROMPT)
    for deepspeed in (None, ZERO2):
        (without, dropped), (alone, kept) = (
            [
                training_gib(
                    llada_8b(processes=1, deepspeed=deepspeed, bf16=bf16, **more), LLADA, counts, 4, False
                )
                for more in (DRY, {})
            ]
            for bf16 in ("true", "false")
        )
        assert dropped == without and kept > alone + 1


def test_a_base_in_4_bits_is_smaller_where_adapters_are_trained_and_nowhere_else() -> None:
    counts = counts_of(student=STUDENT, teacher=PROMPT)
    whole = llada_8b(deepspeed=None, processes=1, **DRY)
    packed = llada_8b(deepspeed=None, processes=1, quantize="nf4", **DRY)
    assert base_gib(whole, LLADA) == weights_gib(whole, LLADA) == weights_gib(packed, LLADA)
    # 6.98 G weights of projections in 0.516 bytes, embedding and head in two.
    assert base_gib(packed, LLADA) == pytest.approx(5.29, abs=0.02)
    unpacked = LLADA.width * LLADA.mlp * 2 / 2**30
    saved = training_gib(whole, LLADA, counts, 4, False) - training_gib(packed, LLADA, counts, 4, False)
    assert saved == pytest.approx(weights_gib(whole, LLADA) - base_gib(packed, LLADA) - unpacked)
    small = llada_8b(deepspeed=None, processes=1, quantize="nf4", **{**DRY, "lora.rank": 1})
    assert training_gib(small, LLADA, counts, 1, True) == weights_gib(small, LLADA)  # it is whole at first


def test_a_base_in_8_bit_floats_takes_what_it_takes_in_bfloat16() -> None:
    counts = counts_of(student=STUDENT, teacher=PROMPT)
    whole, rounded = (llada_8b(deepspeed=None, processes=1, quantize=kind, **DRY) for kind in ("none", "fp8"))
    assert base_gib(rounded, LLADA) == pytest.approx(weights_gib(whole, LLADA))
    # docs/results/distill.md: 25.5 GiB beside 25.2, with what graphs leave free.
    more = training_gib(rounded, LLADA, counts, 4, False) - training_gib(whole, LLADA, counts, 4, False)
    assert more == pytest.approx(4 * (STUDENT + LENGTH) * 2 * LLADA.mlp / 2**30)
    wide = rounded.model_copy(update={"model": rounded.model.model_copy(update={"dtype": "float32"})})
    last = LLADA.parameters - 31 * LLADA.layer_weights
    assert base_gib(wide, LLADA) == pytest.approx((2 * 31 * LLADA.layer_weights + 4 * last) / 2**30)


def test_what_less_memory_would_cost_is_told() -> None:
    counts = counts_of(student=STUDENT, teacher=PROMPT)
    first, second = training_choices(llada_8b(deepspeed=None, processes=1, **DRY), LLADA, counts)
    assert re.fullmatch(r"distill.gradient_checkpointing true would .* 1\.\d\d times the operations", first)
    assert re.fullmatch(
        r"distill.quantize nf4 would train in 2.*, in 1\.9 times the time: another .*", second
    )
    usual = llada_8b(deepspeed=None, processes=1, **DRY)
    on_a_cpu = usual.model_copy(update={"model": usual.model.model_copy(update={"device": "cpu"})})
    (there,) = [line for line in training_choices(on_a_cpu, LLADA, counts) if "nf4" in line]
    assert "time" not in there, "that was measured on a GPU"
    told = training_choices(llada_8b(deepspeed=ZERO2, **DRY), LLADA, counts)
    assert [line.split()[:2] for line in told] == [["under", "distill.deepspeed"], first.split()[:2]]
    apart = {"a": {"window": 4}, "b": {"window": 4, "settings": {"teacher_prompt": "plain"}}}
    config = llada_8b(deepspeed=ZERO2, **DRY)
    tree = config.model_dump(mode="json", exclude={"models"})
    tree["evaluate"] |= {"models": ["base", "a", "b"]}
    (alone,) = training_choices(parse_config({**tree, "models": apart}), LLADA, counts)
    assert alone.startswith("distill.gradient_checkpointing"), "no two of them share a teacher"
    again = llada_8b(deepspeed=None, processes=1, gradient_checkpointing=True)
    assert not training_choices(again, LLADA, counts)
    assert not training_choices(llada_8b(), LLADA, counts_of(models=0))


def test_the_small_model_and_a_hub_id_that_is_not_here() -> None:
    shape, source = shape_of(ModelConfig(path="assets/tiny-llada"))
    assert (shape.parameters, source) == (5_469_440, "config.json")
    shape, source = shape_of(ModelConfig(path="GSAI-ML/LLaDA-8B-Instruct", revision="0" * 40))
    assert shape == LLADA and "not on this machine" in source


def test_an_unknown_gpu_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'tpu' is not known; use one of b200, h200"):
        named_machine("tpu", 1)
    assert named_machine("H200", 8).memory_gib == 139
