"""Each stage is planned by the settings that each model of the table has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tad_core.artifacts import Store
from tad_core.config import DecoderConfig, LoraConfig, ModelConfig, load_config
from tad_core.decoding import DecodeSpec, decode
from tad_core.models.loading import load_model
from tad_core.planning import estimate
from tad_core.planning.decoding import evaluation_work
from tad_core.planning.estimate import disk_gib
from tad_core.planning.machines import named_machine
from tad_core.planning.memory import peak_gib
from tad_core.planning.speeds import Pace, Speeds, speeds_of
from tad_core.planning.stages import StageEstimate, distilling, response_forwards
from tad_core.shapes import shape_of
from tad_core.workers.jobs import Decoders
from tests.tad_core.planning.common import CPU, counted, counts_of, demo, leave, planned


def test_models_with_settings_of_their_own_are_counted_by_them(tmp_path: Path) -> None:
    usual = planned(demo("models.quality=", "models.speed="), Store(tmp_path))
    change = ["models.quality=", "models.speed=", "models.long={window: 6, settings: {max_steps: 1440}}"]
    config = demo(*change)
    assert counted(config, Store(tmp_path)).by_model == {"long": 1440 * 16}
    found = planned(config, Store(tmp_path))
    work, before = (next(s for s in e.stages if s.stage == "distill") for e in (found, usual))
    assert "another number of states: long" in work.work and "another number" not in before.work


@pytest.mark.parametrize(
    ("settings", "measured"),
    [("quantize: fp8", 1 / 1.34), ("quantize: nf4", 25.3 / 13.4)],
)
def test_a_model_on_a_base_of_its_own_takes_the_time_that_was_measured(
    tmp_path: Path, settings: str, measured: float
) -> None:
    """docs/results/distill.md: also where the run's other models are on another base."""

    def training_s(models: list[str], *overrides: str) -> float:
        given = ["evaluate.models=[base]", "distill.processes=1", "distill.launcher=python", *overrides]
        given += [f"models.{name}=" for name in ("quality", "speed")] + models
        config, machine = load_config("configs/llada-8b.yaml", given), named_machine("h200", 1)
        (shape, _), counts = shape_of(config.model), counts_of(by_model=dict.fromkeys(("one", "two"), 64))
        pace = speeds_of(config, shape, counts, machine, Store(tmp_path)).train
        found = distilling(config, shape, counts, machine, pace)
        assert found.wall_s is not None
        return found.wall_s

    usual = training_s(["models.one={window: 8}"])
    assert training_s(["models.one={window: 8}"], f"distill.{settings.replace(': ', '=')}") == pytest.approx(
        measured * usual
    )
    both = ["models.one={window: 8}", f"models.two={{window: 8, settings: {{{settings}}}}}"]
    assert training_s(both) == pytest.approx((1 + measured) * usual)


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
        assert response_forwards(decoder, value, 16, -1) == found.forwards, (method, value)


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


def test_processes_on_a_cpu_are_those_that_the_run_has(tmp_path: Path) -> None:
    for threads, workers in ((None, 0), (1, 0), (3, 0), (1, 5)):
        config = demo("model.device=cpu", f"model.threads={threads or 'null'}", f"evaluate.workers={workers}")
        slots = Decoders.of(config.model, workers).slots
        (stage,) = (s for s in planned(config, Store(tmp_path)).stages if s.stage == "evaluate")
        assert stage.work.endswith(f", {slots} process{'es' * (slots > 1)}"), (threads, workers)
