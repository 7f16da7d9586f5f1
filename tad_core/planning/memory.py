"""Peak memory of each stage on one device, and what to change where it is too much."""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import ValidationError

from tad_core.config import TADConfig, decoder_of, variants
from tad_core.config.objectives import OBJECTIVES
from tad_core.planning.counts import Counts
from tad_core.planning.machines import training_share
from tad_core.shapes import GIB, USABLE, Shape, slots_in
from tad_core.stages.pipeline import trained_models
from tad_core.stages.variants import passes

#: A weight in 4 bits with its share of the scales: 8 bits for 64, 32 bits for 64 x 256; see ``models.quantized``.
BYTES_A_WEIGHT = 0.5 + 1 / 64 + 4 / (64 * 256)
#: Copies of a row of logits in the loss: both models' and both gradients'.
_LOSS_COPIES = 4
#: The file that a run is told to take where DeepSpeed would make it fit, and gradients in its two buckets.
_ZERO2, _ZERO_BUCKETS = "configs/deepspeed/zero2.json", 2 * 200_000_000
Decodes = Literal["collect", "evaluate"]
#: A choice is told where it leaves less than this share of the memory, and there is more to save than so many GiB.
_WORTH = 0.9
_WORTH_GIB = 0.5


def weights_gib(config: TADConfig, shape: Shape) -> float:
    """The model itself."""
    return shape.parameters * _item(config) / GIB


def base_gib(config: TADConfig, shape: Shape) -> float:
    """The model under the adapters in training: ``distill.quantize`` packs its projections."""
    if config.distill.quantize == "none":
        return weights_gib(config, shape)
    if config.distill.quantize == "fp8":  # all layers but the last, twice; see ``models.float8``
        packed, bytes_each = (shape.layers - 1) * shape.layer_weights, 2.0
    else:
        packed, bytes_each = shape.layers * shape.layer_weights, BYTES_A_WEIGHT
    return (packed * bytes_each + (shape.parameters - packed) * _item(config)) / GIB


def decoding_gib(
    config: TADConfig,
    shape: Shape,
    batch: int,
    prompt: float,
    cached: bool = False,
    block: int | None = None,
) -> float:
    """``batch`` samples decoded together, with their keys and values where those are kept; ``block``: tokens of one,
    if not the rollout's."""
    tokens, rows = (
        batch * (prompt + config.rollout.response_length),
        batch * (block or config.rollout.block_length),
    )
    return weights_gib(config, shape) + shape.decoding_bytes(tokens, rows, _item(config), cached) / GIB


def stage_gib(config: TADConfig, shape: Shape, stage: Decodes, batch: int, prompt: float) -> float:
    """The most that a stage takes which decodes ``batch`` samples together."""
    return max(
        decoding_gib(config, shape, batch, prompt, cached, block)
        for block, cached in _decoders(config, stage)
    )


def _decoders(config: TADConfig, stage: Decodes) -> list[tuple[int, bool]]:
    """How a stage decodes: tokens of a block, and whether keys and values are kept; in evaluation of each model."""
    rollout, decode = config.rollout, config.evaluate.decode
    if stage == "collect":
        return [(rollout.block_length, rollout.cache.mode != "none")]
    table, found = variants(config), []
    for name in config.evaluate.models:
        blocks = table[name].attention_block if name in table else None
        ways = (decode, decoder_of(config, name))  # token by token, and its own
        found += (
            [(blocks, True)] if blocks else [(way.block_length, way.cache.mode != "none") for way in ways]
        )
    return found


def batch_of(
    config: TADConfig,
    shape: Shape,
    counts: Counts,
    stage: Decodes,
    limit_gib: float | None,
) -> int:
    """Samples that a stage decodes together; with ``auto`` as many as there is memory for.

    Args:
        config: the run.
        shape: of the model.
        counts: of tokens.
        stage: which.
        limit_gib: memory of an accelerator; None for a CPU, where each runs alone.
    """
    rollout, evaluate = config.rollout, config.evaluate
    wanted, most, prompt = {
        "collect": (rollout.batch_size, rollout.shard_size * rollout.samples, counts.teacher),
        "evaluate": (evaluate.batch_size, evaluate.slice_size, counts.task),
    }[stage]
    if limit_gib is None:
        return 1
    if wanted != "auto":
        return wanted
    taken, total = weights_gib(config, shape) * GIB, limit_gib * GIB
    device, sizes = (int(total - taken), int(total)), (round(prompt), rollout.response_length)
    slots = [slots_in(*device, shape, _item(config), *sizes, *way) for way in _decoders(config, stage)]
    return min(most, *slots)


def training_gib(
    config: TADConfig, shape: Shape, counts: Counts, micro: int, recompute: bool, in_one_pass: int = 1
) -> float:
    """One process of a training with ``config.distill``: weights shared by student and teacher, adapters, optimizer,
    activations, logits.

    A base that is to be packed is on the device whole before anything else is.
    """
    distill, length = config.distill, config.rollout.response_length
    kind = OBJECTIVES[distill.objective]
    micro *= kind.inputs
    lora = shape.lora(distill.lora)
    adapter = (4.0 + 4 + 8) * lora  # float32: weights, gradients and Adam's two moments
    if distill.deepspeed:
        # Weights and gradients in its dtype beside the sums of a step; the rest is shared out.
        each = 2 if distill.bf16 else 4
        adapter = (each + 4 + each) * lora + (4 + 4 + 8) * lora / (distill.processes * distill.nodes)
        adapter += each * _ZERO_BUCKETS
    if kind.snapshot:
        adapter += 4 * lora  # as it was
    item = 2 if distill.bf16 and config.model.dtype == "bfloat16" else 4
    tokens = micro * (counts.student + length)
    compiled = distill.compile != "off"
    # On a GPU the embedding waits on the host, whose memory is not planned there; see ``training.aside``.
    on_gpu = config.model.device != "cpu"
    aside = compiled and not distill.deepspeed and on_gpu
    # Where layers are recorded as graphs; see ``models.recorded``.
    recorded = compiled and on_gpu and item == 2 and distill.quantize != "nf4" and not kind.block_causal
    activations = shape.kept_bytes(tokens, item, distill.lora, recompute, compiled, recorded)
    if kind.block_causal:  # what each piece sees, copied; see ``training.packing``
        seen = (1 - -length // distill.mask_block) * (counts.student + length / 2)
        activations += shape.cached_bytes(micro * seen, item) / (shape.layers if recompute else 1)
    teacher = shape.passing_bytes(micro * (counts.teacher + length), item)
    logits = _LOSS_COPIES * 4 * micro * length / 2 * shape.vocabulary
    # A weight in the model's dtype; the gradient of gate and up in 8 bits.
    unpacked = {"none": 0.0, "nf4": _item(config) * shape.width * shape.mlp, "fp8": 2 * tokens * shape.mlp}
    if aside:
        activations -= _item(config) * shape.vocabulary * shape.width
    more = (in_one_pass * adapter + activations + teacher + logits + unpacked[distill.quantize]) / GIB
    return max(weights_gib(config, shape), base_gib(config, shape) + more)


def peak_gib(
    config: TADConfig, shape: Shape, counts: Counts, micro: int | None = None, recompute: bool | None = None
) -> float:
    """The pass that takes most of all that the table of models needs, each with its own settings.

    Args:
        config: the run.
        shape: of the model.
        counts: of tokens.
        micro: another ``distill.micro_batch_size``, for the models that have none of their own.
        recompute: another ``distill.gradient_checkpointing``, likewise.
    """
    base = config.distill
    found = [weights_gib(config, shape)]
    for own, models in passes_of(config):
        distill = own.distill
        states, again = distill.micro_batch_size, distill.gradient_checkpointing
        if micro is not None and states == base.micro_batch_size:
            states = micro
        if recompute is not None and again == base.gradient_checkpointing:
            again = recompute
        found.append(training_gib(own, shape, counts, states, again, len(models)))
    return max(found)


def passes_of(config: TADConfig) -> list[tuple[TADConfig, list[str]]]:
    """Each pass of training: the run with that pass's own settings, and the models that are trained in it."""
    table = variants(config)
    return [
        (config.model_copy(update={"distill": table[group[0]].distill}), group)
        for group in passes(config, trained_models(config))
    ]


def training_choices(config: TADConfig, shape: Shape, counts: Counts) -> list[str]:
    """What other settings of training would save and cost: checkpointing, a base in 4 bits, no DeepSpeed."""
    distill, in_one_pass = config.distill, most_in_one_pass(config)
    if not counts.models:
        return []
    found = []
    models, without = trained_models(config), distill.model_copy(update={"deepspeed": None})
    if distill.deepspeed and len(passes(config.model_copy(update={"distill": without}), models)) < len(
        models
    ):
        found.append(
            "under distill.deepspeed models are trained one after the other; null trains those that share a teacher in "
            "one pass, on any number of GPUs"
        )
    if distill.gradient_checkpointing:
        return found
    need, less = peak_gib(config, shape, counts), peak_gib(config, shape, counts, recompute=True)
    student, teacher = (own + config.rollout.response_length for own in (counts.student, counts.teacher))
    plain, again = (
        shape.trained_state(
            student, teacher, config.rollout.response_length, shape.lora(distill.lora), on, in_one_pass
        )
        for on in (False, True)
    )
    if _is_worth(less, need):
        found.append(
            f"distill.gradient_checkpointing true would train in {less:.1f} GiB instead of {need:.1f}, with "
            f"{again / plain:.2f} times the operations"
        )
    if distill.quantize == "none" and distill.deepspeed is None:
        packed = config.model_copy(update={"distill": distill.model_copy(update={"quantize": "nf4"})})
        gib = peak_gib(packed, shape, counts)
        compiled = distill.compile != "off"
        times = training_share(compiled) / training_share(compiled, "nf4")
        cost = f", in {times:.1f} times the time" if config.model.device != "cpu" else ""  # a GPU's
        if _is_worth(gib, need):
            found.append(
                f"distill.quantize nf4 would train in {gib:.1f} GiB instead of {need:.1f}{cost}: another adapter, on "
                "a base in 4 bits"
            )
    return found


def _is_worth(less_gib: float, gib: float) -> bool:
    return less_gib < _WORTH * gib and gib - less_gib > _WORTH_GIB


def most_in_one_pass(config: TADConfig) -> int:
    """Adapters of the pass that has most of them."""
    return max((len(modes) for modes in passes(config, trained_models(config))), default=1)


def too_much(config: TADConfig, shape: Shape, counts: Counts, limit_gib: float) -> list[str]:
    """For each stage that needs more than ``limit_gib``: which field to change, to what."""
    limit = USABLE * limit_gib
    found: list[str] = []
    if weights_gib(config, shape) > limit:
        needs = f"the weights alone take {weights_gib(config, shape):.0f} GiB of {limit_gib:.0f}"
        remedy = "set model.dtype to bfloat16" if _item(config) == 4 else "use a GPU with more memory"
        return [f"{needs}; {remedy}"]
    rollout, evaluate = config.rollout, config.evaluate
    stages: tuple[tuple[str, Decodes, int | Literal["auto"], float], ...] = (
        ("rollout", "collect", rollout.batch_size, counts.teacher),
        ("evaluate", "evaluate", evaluate.batch_size, counts.task),
    )
    for section, stage, wanted, prompt in stages:
        field, batch = f"{section}.batch_size", batch_of(config, shape, counts, stage, limit_gib)
        needs_of = partial(stage_gib, config, shape, stage, prompt=prompt)
        if (need := needs_of(batch)) > limit:
            fits = next((b for b in range(batch - 1, 0, -1) if needs_of(b) <= limit), 0)
            remedy = f"set it to {fits}" if fits else "even 1 is too much: use a GPU with more memory"
            found.append(f"{field} {wanted} needs {need:.0f} GiB of {limit_gib:.0f}; {remedy}")
    distill = config.distill
    micro, need = distill.micro_batch_size, peak_gib(config, shape, counts)
    if counts.models and need > limit:
        smaller = [m for m in range(micro, 0, -1) if micro % m == 0]
        found.append(
            f"distill.micro_batch_size {micro} needs {need:.0f} GiB of {limit_gib:.0f}; "
            + _remedy(config, shape, counts, limit, smaller)
        )
    return found


def _remedy(config: TADConfig, shape: Shape, counts: Counts, limit: float, sizes: list[int]) -> str:
    if found := _that_fits(config, shape, counts, limit, sizes):
        return f"set it to {found}"
    shared = _shared_out(config)
    if shared is not None and (found := _that_fits(shared, shape, counts, limit, sizes)):
        return f"set distill.deepspeed to {_ZERO2}, which shares the optimizer out, and this to {found}"
    return "even 1 with gradient checkpointing is too much: use a GPU with more memory"


def _that_fits(config: TADConfig, shape: Shape, counts: Counts, limit: float, sizes: list[int]) -> str:
    """The largest of some micro-batches that fits, if need be with checkpointing, in words; empty if none does."""
    for recompute in {False: (False, True), True: (True,)}[config.distill.gradient_checkpointing]:
        for micro in sizes:
            need = peak_gib(config, shape, counts, micro, recompute)
            if need <= limit:
                also = " and distill.gradient_checkpointing to true" if recompute else ""
                return f"{micro}{also} ({need:.0f} GiB)"
    return ""


def _shared_out(config: TADConfig) -> TADConfig | None:
    """The run under ZeRO-2; None where that shares nothing out, is so already, or some model does not go with it."""
    distill = config.distill
    if distill.deepspeed or distill.processes * distill.nodes == 1:
        return None
    under = {
        **config.model_dump(mode="json"),
        "distill": {**distill.model_dump(mode="json"), "deepspeed": _ZERO2},
    }
    try:
        return TADConfig.model_validate(under)
    except ValidationError:
        return None


def _item(config: TADConfig) -> int:
    return 2 if config.model.dtype == "bfloat16" else 4
