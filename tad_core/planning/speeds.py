"""How fast a machine is at each kind of work: from earlier runs in the store, a trial (``trial.py``) or a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import yaml

from tad_core.artifacts import Manifest, Store, read_manifest
from tad_core.artifacts.files import list_names, read_bytes
from tad_core.config import TADConfig, decoder_of, parse_config, variants
from tad_core.errors import ConfigError
from tad_core.planning.counts import Counts
from tad_core.planning.decoding import evaluation_work, measured_share, rollout_work
from tad_core.planning.machines import MEASURED_LAUNCH_S, Gpu, Machine, share_of
from tad_core.settings import CONFIG_NAME
from tad_core.shapes import Shape

#: Seconds of one core for a text: docs/results/verify.md (7,000 pairs and about 60 programs a second on two).
_MATH_S, _CODE_S = 1 / 3500, 1 / 30


@dataclass(frozen=True)
class Pace:
    """How fast one device, or one process on a CPU, does one kind of work.

    Attributes:
        flops_per_s: operations a second, sustained; of decoding as ``at_one_pace`` counts them.
        forward_s: what one forward takes at least, in seconds.
        start_s: seconds before the first forward, of loading the model.
        source: where the figure comes from.
    """

    flops_per_s: float
    source: str
    forward_s: float = 0.0
    start_s: float = 0.0

    def seconds(self, flops: float, forwards: float) -> float:
        """Time for some work that takes so many forwards."""
        return self.start_s + max(flops / self.flops_per_s, forwards * self.forward_s)


@dataclass(frozen=True)
class Speeds:
    """The pace of each kind of work; None where nothing is known.

    Attributes:
        rollout, train, decode: of one worker, device or process.
        calibrate: of the one process that calibrates; None where nothing but ``decode`` is known of it.
        text_s: seconds to judge one text, all workers together.
        judged: where that comes from.
        ways: forwards that a prompt took in evaluation, token by token and at a threshold; None where none ran.
    """

    rollout: Pace | None
    train: Pace | None
    decode: Pace | None
    text_s: float
    judged: str
    ways: tuple[float, float] | None = None
    calibrate: Pace | None = None


def speeds_of(
    config: TADConfig, shape: Shape, counts: Counts, machine: Machine, store: Store, trial: Pace | None = None
) -> Speeds:
    """The best that is known: a trial just made, earlier runs with the same model here, the GPU's data sheet."""
    cores = max(1, min(config.filter.workers, 64))
    text_s = (counts.programs * _CODE_S + (1 - counts.programs) * _MATH_S) / cores
    *sheet, computed = from_sheet(config, shape, machine)
    if machine.named:
        rollout, train, decode = sheet
        return Speeds(
            rollout, train, decode, text_s=text_s, judged="docs/results/verify.md", calibrate=computed
        )
    seen = _from_store(config, shape, counts, machine, store)
    judged, calibrated = seen.pop("judge", None), seen.pop("calibrate", None)
    rollout, train, decode = (
        trial or seen.get(kind) or known for kind, known in zip(_KINDS, sheet, strict=True)
    )
    return Speeds(
        rollout,
        train,
        decode,
        text_s=judged.flops_per_s if judged else text_s,
        judged=judged.source if judged else "docs/results/verify.md",
        ways=_ways(config, machine, store),
        calibrate=trial or calibrated or (None if "decode" in seen else computed),
    )


_KINDS = ("rollout", "train", "decode")


def from_sheet(
    config: TADConfig, shape: Shape, machine: Machine
) -> tuple[Pace | None, Pace | None, Pace | None, Pace | None]:
    """Of rollout, training, evaluation and calibration on a GPU that is known; None elsewhere."""
    gpu = machine.gpu
    if gpu is None or not gpu.bf16_tflops:
        return None, None, None, None
    item = 2 if config.model.dtype == "bfloat16" else 4
    peak = gpu.bf16_tflops * 1e12 * (1 if item == 2 else 0.5)
    floor = max(shape.layers * MEASURED_LAUNCH_S, shape.parameters * item / (gpu.bandwidth_tb_s * 1e12))
    train = share_of(config.distill, gpu)
    training = Pace(train * peak, f"{train:.0%} of peak, as measured on {_training_told(config, gpu)}", floor)
    rollout, decode, computed = (
        _decoding_pace(mode, gpu, peak, floor)
        for mode in (config.rollout.cache.mode, config.evaluate.decode.cache.mode, "none")
    )
    return rollout, training, decode, computed


def _training_told(config: TADConfig, gpu: Gpu) -> str:
    """On what training was measured with these settings, and how."""
    on, packed = {
        "none": ("H200", ""),
        "fp8": ("H200", ", 8-bit floats" * gpu.float8),
        "nf4": ("H100", ", a base in 4 bits"),
    }[config.distill.quantize]
    guess = "" if gpu.title.startswith(f"NVIDIA {on}") else ", taken over to this GPU"
    how = "not compiled" if config.distill.compile == "off" else "compiled"
    return f"an {on} (4 states, {how}{packed}){guess}"


def _decoding_pace(mode: str, gpu: Gpu, peak: float, floor: float) -> Pace:
    """Of work as ``at_one_pace``, so that only what is told of it depends on the cache."""
    share = measured_share(mode)
    on = "H200" if mode == "prefix" else "H100"
    guess = "" if gpu.title.startswith(f"NVIDIA {on}") else ", taken over to this GPU"
    how = {"none": "every token computed", "prefix": "with a prefix cache"}.get(mode, "with a dual cache")
    return Pace(
        measured_share("none") * peak,
        f"{share:.0%} of peak, as measured on an {on} (batch 32, {how}){guess}",
        floor,
    )


# --- earlier runs -----------------------------------------------------------------------------------


def _from_store(
    config: TADConfig, shape: Shape, counts: Counts, machine: Machine, store: Store
) -> dict[str, Pace]:
    """The newest finished runs of each stage in the store with this model on a machine like this."""
    found: dict[str, tuple[str, Pace]] = {}
    for stage, kind in (
        ("collect", "rollout"),
        ("distill", "train"),
        ("evaluate", "decode"),
        ("filter", "judge"),
        ("calibrate", "calibrate"),
    ):
        for manifest, settings in _runs(config, machine, store, stage):
            if (
                stage == "distill"
                and _packing(settings, manifest.info.get("mode")) != config.distill.quantize
            ):
                continue  # products of another kind
            pace = _pace(stage, manifest, settings, shape, counts)
            if pace and manifest.created_at > found.get(kind, ("", None))[0]:
                found[kind] = (manifest.created_at, pace)
    return {kind: pace for kind, (_, pace) in found.items()}


def _ways(config: TADConfig, machine: Machine, store: Store) -> tuple[float, float] | None:
    """Mean forwards a prompt took, over all finished evaluations of responses as long as these."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    for manifest, settings in _runs(config, machine, store, "evaluate"):
        if settings.rollout.response_length == config.rollout.response_length:
            for point in manifest.info.get("points", []):
                taken[point["method"] == "token_by_token"].append(point["forwards"] / point["problems"])
    return (fmean(taken[True]), fmean(taken[False])) if taken[True] and taken[False] else None


def _runs(
    config: TADConfig, machine: Machine, store: Store, stage: str
) -> Iterator[tuple[Manifest, TADConfig]]:
    for name in sorted(list_names(f"{store.root}/{stage}")):
        url = store.url(stage, name)
        manifest = read_manifest(url)
        if manifest is None:
            continue
        try:
            settings = parse_config(yaml.safe_load(read_bytes(f"{url}/{CONFIG_NAME}") or b""))
        except (OSError, ConfigError, yaml.YAMLError, TypeError):
            continue  # of an earlier version
        here = bool(manifest.hardware.get("gpus")) == (machine.gpu is not None) or stage in (
            "filter",
            "collect",
        )
        same = (settings.model.path, settings.model.dtype) == (config.model.path, config.model.dtype)
        if same and here:
            yield manifest, settings


def _packing(settings: TADConfig, mode: object) -> str:
    """How the base was packed on which the model of this name was trained."""
    variant = variants(settings).get(str(mode))
    return (settings.distill if variant is None else variant.distill).quantize


def _with_a_teacher(settings: TADConfig, mode: object) -> bool:
    """Whether the model of this name was trained beside the teacher's forwards, which a state is counted with."""
    variant = variants(settings).get(str(mode))
    return variant is None or variant.kind.trains_on == "trajectories"


def _pace(stage: str, manifest: Manifest, settings: TADConfig, shape: Shape, counts: Counts) -> Pace | None:
    info, source = manifest.info, f"measured here: {stage}/{manifest.fingerprint[:8]}"
    if stage == "collect" and info.get("samples_per_s"):
        return Pace(info["samples_per_s"] * sample_flops(settings, shape, counts), source)
    if stage == "distill" and info.get("states_per_s") and _with_a_teacher(settings, info.get("mode")):
        devices = settings.distill.processes * settings.distill.nodes
        together = int(info.get("in_one_pass", 1))
        states_per_s = info["states_per_s"] * together  # of all models of the pass
        return Pace(states_per_s * state_flops(settings, shape, counts, together) / devices, source)
    if stage == "evaluate" and info.get("points"):
        points: list[dict[str, Any]] = info["points"]
        seconds = sum(p["forwards"] * p["tpf"] / p["tokens_per_s"] for p in points if p["tokens_per_s"])
        done = sum(_point_flops(settings, shape, counts, str(info.get("model")), p) for p in points)
        return Pace(done / seconds, source) if seconds else None
    if stage == "calibrate" and info.get("measure_s"):
        work = info["states"] * calibration_flops(settings, shape, counts)
        return Pace(work / info["measure_s"], source, start_s=max(0.0, manifest.wall_s - info["measure_s"]))
    if stage == "filter" and info.get("judge_s") and info.get("rows"):
        return Pace(info["judge_s"] / info["rows"], source)
    return None


def _point_flops(
    settings: TADConfig, shape: Shape, counts: Counts, model: str, point: dict[str, Any]
) -> float:
    """Operations of all answers of a point, by how its model was decoded."""
    table = variants(settings)
    block = table[model].attention_block if model in table else None
    decoder = None if point["method"] == "token_by_token" else decoder_of(settings, model)
    each = evaluation_work(settings, shape, counts, point["forwards"] / point["problems"], block, decoder)
    return float(point["problems"] * each.flops)


def sample_flops(config: TADConfig, shape: Shape, counts: Counts) -> float:
    """Operations of one rollout, as ``rollout_work`` counts them."""
    return rollout_work(config, shape, counts).flops


def calibration_flops(config: TADConfig, shape: Shape, counts: Counts) -> float:
    """Operations of one state of the calibration; its logits are those of the masked half."""
    length = config.rollout.response_length
    return shape.forward(counts.student + length, length / 2)


def state_flops(config: TADConfig, shape: Shape, counts: Counts, in_one_pass: int = 1) -> float:
    """Operations of one state in the training of one model, in a pass of so many."""
    length, distill = config.rollout.response_length, config.distill
    return shape.trained_state(
        counts.student + length,
        counts.teacher + length,
        length,
        shape.lora(distill.lora),
        distill.gradient_checkpointing,
        in_one_pass,
    )
