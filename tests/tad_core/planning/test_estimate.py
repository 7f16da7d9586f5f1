"""The plan as a whole: work counted from the configuration, speed from earlier runs, what does not fit named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tad_core.artifacts import Store
from tad_core.artifacts import writer as writer_module
from tad_core.config import DecoderConfig, LoraConfig, ModelConfig, TADConfig, dump_config, load_config
from tad_core.decoding import DecodeSpec, decode
from tad_core.models.loading import load_model
from tad_core.planning import Counts, Estimate, Machine, count, estimate
from tad_core.planning.decoding import evaluation_work, work_in_blocks
from tad_core.planning.estimate import StageEstimate, _forwards, disk_gib
from tad_core.planning.machines import GPUS, named_machine
from tad_core.planning.memory import peak_gib, too_much, training_gib, weights_gib
from tad_core.planning.speeds import Pace, Speeds, sample_flops, speeds_of, state_flops
from tad_core.planning.survey import survey
from tad_core.settings import CONFIG_NAME
from tad_core.shapes import Shape, shape_of
from tad_core.stages import filter as filter_stage
from tad_core.stages.collect import find_collection, plan_collection
from tests.tad_core.planning.common import counts_of, llada_8b

CPU = Machine("a laptop", None, 0, 16.0, 100.0)


def demo(*overrides: str) -> TADConfig:
    return load_config("configs/demo.yaml", overrides)


def leave(config: TADConfig, store: Store, stage: str, fingerprint: str, **info: object) -> None:
    """A finished artifact as a run of ``config`` would have left it."""
    with store.writer(stage, 1, fingerprint, {}) as writer:
        writer.write_text(CONFIG_NAME, dump_config(config))
        writer.commit(dict(info))


def counted(config: TADConfig, store: Store) -> Counts:
    """What `tad plan` counts on a machine of another kind."""
    return count(config, store, survey(config, store, this_machine=False))


def planned(config: TADConfig, store: Store, machine: Machine = CPU) -> Estimate:
    shape, source = shape_of(config.model)
    counts = counted(config, store)
    return estimate(config, shape, source, counts, machine, speeds_of(config, shape, counts, machine, store))


def test_the_work_of_the_demo_is_counted_from_its_configuration(tmp_path: Path) -> None:
    counts = counted(demo(), Store(tmp_path))
    assert (counts.problems, counts.compared, counts.samples, counts.shards) == (76, 12, 88, 6)
    assert (counts.steps, counts.states, counts.models, counts.prompts) == (144, 144 * 16, 2, 52)
    assert counts.programs == pytest.approx(12 / 76)
    assert 20 < counts.student < counts.teacher < 200
    assert any("all 76 are assumed" in note for note in counts.notes)


def test_models_with_settings_of_their_own_are_counted_by_them(tmp_path: Path) -> None:
    usual = planned(demo("models.quality=", "models.speed="), Store(tmp_path))
    change = ["models.quality=", "models.speed=", "models.long={window: 6, settings: {max_steps: 1440}}"]
    config = demo(*change)
    assert counted(config, Store(tmp_path)).by_model == {"long": 1440 * 16}
    found = planned(config, Store(tmp_path))
    work, before = (next(s for s in e.stages if s.stage == "distill") for e in (found, usual))
    assert "another number of states: long" in work.work and "another number" not in before.work


def test_states_are_counted_of_what_each_model_is_trained_on(tmp_path: Path) -> None:
    """References, rollouts that nobody judges and those without the reference are other numbers of rows."""
    kinds = {
        "any": "{objective: random, settings: {answers: any}}",
        "plain": "{objective: random, settings: {trajectories: plain}}",
        "unjudged": "{objective: random, settings: {trajectories: plain, answers: any}}",
        "sft": "{objective: sft}",
        "labelled": "{objective: d3llm, settings: {labels: reference}}",
    }
    models = [f"models.{name}={text}" for name, text in kinds.items()]
    config = demo("distill.max_steps=", "models.quality=", "models.speed=", *models,
                  f"evaluate.models=[base,{','.join(kinds)}]")  # fmt: skip
    a_row = config.distill.states_per_trajectory // config.distill.global_batch_size
    store = Store(tmp_path)

    def steps() -> dict[str, int]:
        found = counted(config, store)
        batch = config.distill.global_batch_size
        return {name: found.by_model.get(name, found.states) // batch // a_row for name in kinds}

    assert steps() == {"any": 76, "plain": 12, "unjudged": 12, "sft": 76, "labelled": 76}
    assert counted(config, store).steps == 76 * a_row
    plan = plan_collection(config)
    shards = [{"name": shard.name, "condition": shard.condition} for shard in plan.shards]
    leave(config, store, "collect", plan.fingerprint, shards=shards)
    collection = find_collection(plan, store)
    assert collection is not None
    by_source = [
        {"source": source, "condition": condition, "kept": kept}
        for source, condition, kept in (
            ("arithmetic", "privileged", 30), ("pyfunc", "privileged", 8), ("arithmetic", "plain", 5),
        )
    ]  # fmt: skip
    with store.writer("filter", 1, filter_stage.key(config, plan), {}, [collection]) as writer:
        writer.write_json("summary.json", {"by_source": by_source})
        writer.commit({"kept": 38})
    assert steps() == {"any": 76, "plain": 5, "unjudged": 12, "sft": 76, "labelled": 38}
    assert counted(config, store).kept == 38


def test_forwards_of_a_method_that_is_told_them_are_those_it_takes(tiny_checkpoint: Path) -> None:
    """Also where the tokens of a forward do not divide a block, whose last forward then has fewer."""
    model = load_model(ModelConfig(path=str(tiny_checkpoint), device="cpu", dtype="float32"))
    ways = [("low_confidence", "tokens_per_forward", n) for n in (1, 3, 8)]
    ways += [("fixed_budget", "forward_budget", n) for n in (2, 5, 16)]
    for method, knob, value in ways:
        decoder = DecoderConfig.model_validate(
            {"block_length": 8, "method": method, "thresholds": [value], "operating": value}
        )
        (found,) = decode(model, [[5, 6]], DecodeSpec(16, 8, method, early_stop=False, **{knob: value}))
        assert _forwards(decoder, value, 16, -1) == found.forwards, (method, value)


def test_two_inputs_a_state_are_planned_as_two(tmp_path: Path) -> None:
    one, two = (demo(f"models.x.objective={name}") for name in ("random", "dparallel"))
    counts, (shape, _) = counted(one, Store(tmp_path)), shape_of(one.model)
    assert peak_gib(two, shape, counts, 8) == peak_gib(one, shape, counts, 16) > weights_gib(one, shape)


def test_a_snapshot_is_planned_as_a_forward_and_the_weights_of_an_adapter(tmp_path: Path) -> None:
    without, with_it = (demo(f"models.x.objective={name}") for name in ("random", "t3d"))
    counts, (shape, _) = counted(without, Store(tmp_path)), shape_of(without.model)
    more = peak_gib(with_it, shape, counts) - peak_gib(without, shape, counts)
    assert more * 2**30 == pytest.approx(4 * shape.lora(without.distill.lora))
    speeds = Speeds(None, Pace(1e9, "here"), None, 0.0, "here")
    plain_s, snapshot_s = (
        next(
            s.wall_s for s in estimate(c, shape, "", counts, CPU, speeds).stages if s.stage == "distill"
        )
        for c in (without, with_it)
    )  # fmt: skip
    length = without.rollout.response_length
    forwards = 144 * 16 * shape.forward(counts.student + length, length / 2)
    assert snapshot_s and plain_s and snapshot_s - plain_s == pytest.approx(forwards / 1e9)


def test_a_model_with_an_adapter_of_its_own_is_planned_with_that(tmp_path: Path) -> None:
    usual, small = (
        demo(f"models.x={{window: 6, settings: {own}}}") for own in ("{}", "{lora: {rank: 2, alpha: 2}}")
    )
    counts, (shape, _) = counted(usual, Store(tmp_path)), shape_of(usual.model)
    less = shape.lora(usual.distill.lora) - shape.lora(LoraConfig(rank=2, alpha=2))
    saved = peak_gib(usual, shape, counts) - peak_gib(small, shape, counts)
    assert saved * 2**30 >= 16 * less > 0, "weights, gradients, two moments"
    on_disk = disk_gib(usual, shape, counts) - disk_gib(small, shape, counts)
    assert on_disk * 2**30 == pytest.approx((4 + 2 * 3 * 4) * less)
    speeds = Speeds(None, Pace(1e9, "here"), None, 0.0, "here")
    usual_s, small_s = (
        next(s.wall_s for s in estimate(c, shape, "", counts, CPU, speeds).stages if s.stage == "distill")
        for c in (usual, small)
    )
    assert usual_s and small_s and small_s < usual_s


def test_what_a_reader_of_blocks_sees_is_planned_for_each_of_them(tmp_path: Path) -> None:
    plain, blocks = (demo(f"models.x.objective={name}") for name in ("random", "d2f"))
    counts, (shape, _) = counted(plain, Store(tmp_path)), shape_of(plain.model)
    length, size = plain.rollout.response_length, blocks.distill.mask_block
    # Of the prompt, then of each block.
    each = [counts.student + end for end in range(0, length + size, size)]
    for recompute, layers in ((False, shape.layers), (True, 1)):
        more = peak_gib(blocks, shape, counts, 8, recompute) - peak_gib(plain, shape, counts, 8, recompute)
        assert more * 2**30 == pytest.approx(8 * sum(each) * 4 * 2 * layers * shape.key_width)


def test_d2fs_own_ways_are_counted_for_models_that_read_in_blocks(tmp_path: Path) -> None:
    change = ["models.x.objective=d2f", "evaluate.pipeline.thresholds=[0.7,0.9]"]
    usual, blocks = demo("models.x.objective=random"), demo(*change)
    ways = 1 + len(usual.evaluate.thresholds)
    told = [
        next(s.work for s in planned(c, Store(tmp_path)).stages if s.stage == "evaluate")
        for c in (usual, blocks)
    ]
    assert f"x {ways} ways, " in told[0] and f"x {ways} ways and 2 more that D2F decodes, " in told[1]


def test_a_round_is_planned_with_rollouts_of_its_own(tmp_path: Path) -> None:
    one = demo("models.x.window=4")
    two = demo("models.x.window=4", "models.y={round: x, window: 4, settings: {trajectories: plain}}")
    plans = [planned(config, Store(tmp_path)) for config in (one, two)]
    told = [[(s.stage, s.work.partition(", round of ")[2]) for s in plan.stages] for plan in plans]
    again = [("collect", "x"), ("filter", "x"), ("calibrate", "x")]
    assert [entry for entry in told[1] if entry not in told[0]] == again
    work = next(s.work for s in plans[1].stages if s.stage == "collect" and "round" in s.work)
    assert work.startswith("152 samples"), "76 problems with the reference and without"
    some = demo("models.x.window=4", "models.y={round: x, window: 4}", "rollout.compare_plain=10")
    work = next(
        s.work for s in planned(some, Store(tmp_path)).stages if s.stage == "collect" and "round" in s.work
    )
    assert work.startswith("86 samples"), "those that are compared are rolled out in a round as well"
    assert plans[1].disk_gib > plans[0].disk_gib + 4 * plans[0].parameters / 2**30


def test_a_model_with_a_decoder_of_its_own_is_counted_by_it(tmp_path: Path) -> None:
    points = [
        {"method": "token_by_token", "problems": 10, "forwards": 600, "tpf": 1.0, "tokens_per_s": 20.0},
        {"method": "entropy", "problems": 10, "forwards": 100, "tpf": 6.0, "tokens_per_s": 120.0},
    ]

    def planned_for(thresholds: str) -> StageEstimate:
        own = f"models.x.decode={{method: fixed_budget, thresholds: {thresholds}, operating: 8}}"
        config = demo("models.x.window=4", own)
        leave(config, Store(tmp_path), "evaluate", "c" * 32, points=points)
        return next(s for s in planned(config, Store(tmp_path)).stages if s.stage == "evaluate")

    few, more = planned_for("[8]"), planned_for("[8,64]")
    both = 2 * (1 + len(demo().evaluate.thresholds))
    less = both - len(demo().evaluate.thresholds) + 1
    assert f"x their own ways, {less} together, " in few.work and f"{less + 1} together" in more.work
    assert few.wall_s and more.wall_s and more.wall_s > few.wall_s


def test_a_reader_of_blocks_is_planned_with_what_its_decoder_computes(tiny_checkpoint: Path) -> None:
    """All but the attention grows with the tokens that are computed, which the decoder counts."""
    model = load_model(ModelConfig(path=str(tiny_checkpoint)), "cpu")
    spec = DecodeSpec(32, 8, early_stop=False, attention="block_causal", cache="blocks")
    (one,) = decode(model, [[7, 8, 9, 10, 11]], spec)
    wide = Shape(width=1, layers=1, key_width=0, mlp=10**12, vocabulary=0)
    found = work_in_blocks(wide, 32, 8, 5, one.forwards)
    assert found.flops / (2 * wide.layer_weights) == pytest.approx(one.computed)
    # As every forward reads the open block, token by token: the prompt, 32 times 8, and three blocks once more.
    assert one.computed == 5 + 32 * 8 + 3 * 8


def test_steps_follow_from_states_epochs_and_batch(tmp_path: Path) -> None:
    config = demo("distill.max_steps=null", "distill.epochs=2", "distill.states_per_trajectory=10")
    assert counted(config, Store(tmp_path)).steps == round(76 * 10 * 2 / 16)


def test_earlier_runs_here_give_the_speed_and_twice_the_work_takes_twice_as_long(tmp_path: Path) -> None:
    config, store = demo("rollout.workers=1"), Store(tmp_path)
    leave(config, store, "collect", "a" * 32, samples_per_s=0.5)
    leave(config, store, "distill", "b" * 32, mode="quality", states_per_s=4.0, in_one_pass=2)
    points = [
        {"method": "token_by_token", "problems": 10, "forwards": 600, "tpf": 1.0, "tokens_per_s": 20.0},
        {"method": "entropy", "problems": 10, "forwards": 100, "tpf": 6.0, "tokens_per_s": 120.0},
    ]
    leave(config, store, "evaluate", "c" * 32, points=points)
    leave(config, store, "filter", "d" * 32, judge_s=5.0, rows=100)

    stages = {s.stage: s for s in planned(config, store).stages}

    assert stages["collect"].wall_s == pytest.approx(88 / 0.5)
    assert stages["distill"].wall_s == pytest.approx(144 * 16 / 4.0)  # of each of the two in the pass
    assert stages["distill"].work.endswith("both in one pass")
    assert stages["filter"].wall_s == pytest.approx(88 * 0.05)
    assert stages["collect"].basis == "measured here: collect/aaaaaaaa"
    # 20 forwards a second of one process; a prompt takes 60 and, at each of two thresholds, 10
    processes = len(os.sched_getaffinity(0))
    assert stages["evaluate"].wall_s == pytest.approx(3 * 52 * (60 + 2 * 10) / 20 / processes)
    assert stages["calibrate"].wall_s
    longer = {s.stage: s for s in planned(demo("rollout.workers=1", "rollout.samples=2"), store).stages}
    assert longer["collect"].wall_s == pytest.approx(2 * 88 / 0.5)
    shared = {s.stage: s for s in planned(demo("rollout.workers=2"), store).stages}
    assert shared["collect"].wall_s == pytest.approx(88 / 0.5 / 2)


def test_a_calibration_takes_as_long_as_an_earlier_one_and_its_model_is_loaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, store = demo(), Store(tmp_path)
    with monkeypatch.context() as patch:
        clock = iter([0.0, 7.0])
        patch.setattr(writer_module.time, "monotonic", lambda: next(clock, 7.0))
        leave(config, store, "calibrate", "e" * 32, states=192, measure_s=3.0)
    for states, wall_s in ((192, 7.0), (384, 10.0)):
        plan = planned(demo(f"calibrate.states={states}"), store)
        (stage,) = (s for s in plan.stages if s.stage == "calibrate")
        assert stage.wall_s == pytest.approx(wall_s) and stage.basis == "measured here: calibrate/eeeeeeee"


def test_two_models_in_one_pass_take_less_than_two_runs(tmp_path: Path) -> None:
    config, store = demo(), Store(tmp_path)
    leave(config, store, "distill", "b" * 32, mode="quality", states_per_s=4.0)  # a run of one model
    (both,) = (s for s in planned(config, store).stages if s.stage == "distill")
    shape, _ = shape_of(config.model)
    counts = counts_of()
    share = state_flops(config, shape, counts, 2) / state_flops(config, shape, counts)
    assert 0.6 < share < 0.9 and both.wall_s is not None
    assert both.wall_s == pytest.approx(share * 2 * 144 * 16 / 4.0, rel=0.05)


def test_runs_of_another_model_say_nothing(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config, store = demo(), Store(tmp_path)
    leave(demo(f"model.path={tiny_checkpoint}"), store, "collect", "a" * 32, samples_per_s=0.5)
    plan = planned(config, store)
    assert plan.stages[0].wall_s is None and plan.wall_s is None and plan.gpu_hours is None
    assert any("--measure" in note and "--gpu" in note for note in plan.notes)


def test_a_named_gpu_gives_hours_and_is_not_mixed_with_what_ran_here(tmp_path: Path) -> None:
    config, store = llada_8b(), Store(tmp_path)
    leave(config, store, "collect", "a" * 32, samples_per_s=1e9)
    shape, source = shape_of(config.model)
    counts = counts_of()
    machine = named_machine("h200", 8)
    plan = estimate(config, shape, source, counts, machine, speeds_of(config, shape, counts, machine, store))
    collect, distill = plan.stages[0], plan.stages[3]
    # 1,113 samples an hour were measured at the same lengths, on an H100, whose peak in bfloat16 is the same
    assert 1000 / collect.gpu_hours == pytest.approx(1112.5, rel=0.02)
    assert collect.wall_s == pytest.approx(collect.gpu_hours * 3600 / 8)
    assert 2 * 256_000 / 3600 / distill.gpu_hours == pytest.approx(25.3, rel=0.1)
    assert plan.gpu_hours == pytest.approx(sum(s.gpu_hours or 0 for s in plan.stages))
    assert plan.problems == []


@pytest.mark.parametrize(
    ("gpus", "device", "workers", "prompts", "processes", "faster"),
    [
        (1, "auto", 0, 6983, 1, 1.0),
        (8, "auto", 0, 320, 8, 75 / 10),  # 5 slices of 64 prompts, of three models at five ways
        (8, "auto", 0, 6983, 8, 1650 / 207),
        (8, "auto", 0, 100, 8, 30 / 4),
        (8, "auto", 3, 320, 3, 75 / 25),
        (8, "cuda:2", 0, 320, 1, 1.0),
    ],
)
def test_evaluation_is_spread_over_the_gpus_in_whole_slices(
    gpus: int, device: str, workers: int, prompts: int, processes: int, faster: float, tmp_path: Path
) -> None:
    config = load_config("configs/llada-8b.yaml", [f"model.device={device}", f"evaluate.workers={workers}"])
    shape, source = shape_of(config.model)
    counts, machine = counts_of(prompts=prompts), named_machine("h200", gpus)
    speeds = speeds_of(config, shape, counts, machine, Store(tmp_path))
    stage = estimate(config, shape, source, counts, machine, speeds).stages[-1]
    # three models; 256 forwards token by token and a quarter of that at each of four thresholds
    forwards = [256, 64, 64, 64, 64]
    flops = 3 * prompts * sum(evaluation_work(config, shape, counts, n).flops for n in forwards)
    assert speeds.decode is not None
    alone = flops / speeds.decode.flops_per_s
    assert stage.gpu_hours == pytest.approx(alone / 3600)
    assert stage.wall_s == pytest.approx(alone / faster)
    assert stage.work.endswith(f"5 ways, {processes} process{'es' * (processes > 1)}")


@pytest.mark.parametrize("gpu", ["a100", "a100-40", "l40s", "rtx4090"])
def test_what_does_not_fit_is_named_with_a_value_that_does(gpu: str) -> None:
    config = llada_8b(micro_batch_size=32)
    shape, _ = shape_of(config.model)
    limit = GPUS[gpu].memory_gib
    counts = counts_of()
    found = [line for line in too_much(config, shape, counts, limit) if line.startswith("distill.micro")]
    assert len(found) == 1
    words = found[0].partition("set it to ")[2]
    micro, recompute = int(words.split()[0]), "gradient_checkpointing to true" in words
    assert training_gib(config, shape, counts, micro, recompute) <= 0.94 * limit
    assert training_gib(config, shape, counts, 32, False) > 0.94 * limit


def test_a_model_that_is_too_large_and_gpus_that_are_not_there(tmp_path: Path) -> None:
    config = llada_8b()
    shape, source = shape_of(config.model)
    small = Machine("small", GPUS["rtx4090"], 2, 12.0)
    nothing = Speeds(None, None, None, 0.0, "")
    plan = estimate(config, shape, source, counts_of(), small, nothing)
    assert any("weights alone take 15 GiB of 12" in line for line in plan.problems)
    assert "rollout.workers 8 needs as many GPUs and there are 2; set it to 2" in plan.problems
    many = load_config("configs/llada-8b.yaml", ["evaluate.workers=16"])
    plan = estimate(many, shape, source, counts_of(), Machine("host", GPUS["h200"], 8, 139.0), nothing)
    assert plan.problems == ["evaluate.workers 16 needs as many GPUs and there are 8; set it to 8"]
    full = Machine("full", GPUS["h200"], 8, 139.0, 0.001)
    plan = estimate(config, shape, source, counts_of(), full, nothing)
    assert len(plan.problems) == 1 and "set store to another disk" in plan.problems[0]


def test_work_grows_with_prompts_and_checkpointing() -> None:
    config = llada_8b()
    shape, _ = shape_of(config.model)
    short, long = counts_of(teacher=100.0), counts_of(teacher=500.0)
    assert sample_flops(config, shape, long) > 1.8 * sample_flops(config, shape, short)
    again = llada_8b(gradient_checkpointing=True)
    assert state_flops(again, shape, short) > 1.2 * state_flops(config, shape, short)


def test_the_command_says_it_in_words_and_as_json_and_without_torch(tmp_path: Path) -> None:
    script = (
        "import sys; from flows.cli import app\n"
        "try: app(sys.argv[1:], standalone_mode=False)\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)"
    )
    base = [sys.executable, "-c", script, "plan"]
    done = subprocess.run(
        [*base, "configs/demo.yaml", "--json", "--store", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [stage["stage"] for stage in told["stages"]] == [
        "collect",
        "filter",
        "calibrate",
        "distill",
        "evaluate",
    ]
    assert told["counts"]["samples"] == 88 and told["parameters"] == 5_469_440 and told["problems"] == []
    assert done.stderr.strip().splitlines()[-1] == "False"
    assert list(tmp_path.iterdir()) == []


def test_the_command_fails_where_it_will_not_fit() -> None:
    command = [sys.executable, "-m", "flows.cli", "plan", "configs/llada-8b.yaml", "--gpu", "rtx4090"]
    done = subprocess.run([*command, "--gpus", "8"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "will not fit: distill.micro_batch_size 4 needs" in done.stdout
    assert subprocess.run([*command[:-1], "abacus"], capture_output=True).returncode == 2
