"""Export: one distilled model of a run, found in the store, as a folder for the world; runs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from tad_core.artifacts import ArtifactRef, Store
from tad_core.artifacts.folders import check_unused
from tad_core.config import ModelConfig, SourceConfig, TADConfig, Variant, variants
from tad_core.errors import ArtifactError, ConfigError
from tad_core.stages import calibrate as calibrate_stage
from tad_core.stages import collect as collect_stage
from tad_core.stages import distill as distill_stage
from tad_core.stages import evaluate as evaluate_stage
from tad_core.stages import filter as filter_stage
from tad_core.stages import rounds as rounds_stage
from tad_core.stages import variants as variants_stage
from tad_core.stages.pipeline import plan_of

#: How weights are written.
FORMATS = ("safetensors", "gguf")
DTYPES = ("float32", "bfloat16", "float16")
BITS = ("none", "int8", "int4")


def export(
    config: TADConfig,
    mode: str,
    out: Path,
    store: Store,
    adapter_only: bool = False,
    dtype: str | None = None,
    on_tensor: Callable[[int, int], None] = lambda done, total: None,
    form: str = "safetensors",
    quantize: str = "none",
) -> Path:
    """Write the model that a run distilled; see ``models.export`` and ``models.gguf_export``.

    Args:
        config: the run.
        mode: a model of the table.
        out: a folder that does not exist or is empty.
        store: where the run's artifacts are.
        adapter_only: write the LoRA adapter instead of the merged model.
        dtype: of the merged weights; default: ``model.dtype``, in which everything was measured.
        on_tensor: told tensors written, and of how many.
        form: safetensors, as the original has them, or gguf, one file for llama.cpp.
        quantize: int8 or int4: the projections of a gguf in so many bits.

    Raises:
        ArtifactError: the run has not come to this model.
        ConfigError, ModelError: wrong input.
    """
    if mode not in variants(config):
        known = ", ".join(variants_stage.names_to_offer(config))
        raise ConfigError(f"--model: {mode!r} is not a distilled model; use one of {known}")
    variant = variants_stage.variant_of(config, mode)
    _check_options(variant, out, adapter_only, dtype, form, quantize)
    run, config = config, made_under(config, mode, store)
    adapter, facts = _found(config, variant, store)
    facts |= _before(run, config, variant, store) | {"measured_in": config.model.dtype}

    from tad_core.checkpoint import check_model
    from tad_core.decoding import decoder_file
    from tad_core.evaluation.decoders import operating_spec
    from tad_core.models.export import DType, export_adapter, export_merged

    written = cast(DType, "float32" if adapter_only else dtype or config.model.dtype)
    fields, name = check_model(config.model), f"{config.name}-{mode}"
    folder = adapter.local_folder(distill_stage.ADAPTER)
    beside = {
        decoder_file.NAME: decoder_file.decoder_text(
            operating_spec(config, mode), int(fields["mask_token_id"])
        )
    }
    if form == "gguf":
        from tad_core.models.gguf_export import export_gguf, file_name, how_to_run

        facts["gguf"] = how_to_run(config.model, fields, file_name(name, written, quantize))
        told = written if quantize == "none" else f"{quantize} (projections) and {written}"
        card = _card(config, variant, name, adapter_only, told, facts)
        return export_gguf(config.model, folder, out, card, written, name, on_tensor, beside, quantize)
    if adapter_only:
        card = _card(config, variant, f"{name}-adapter", adapter_only, written, facts)
        return export_adapter(config.model, folder, out, card, beside)
    card = _card(config, variant, name, adapter_only, written, facts)
    return export_merged(config.model, folder, out, card, written, on_tensor=on_tensor, beside=beside)


def _check_options(
    variant: Variant, out: Path, adapter_only: bool, dtype: str | None, form: str, quantize: str
) -> None:
    """Raise ``ConfigError`` for what ``export`` cannot be asked for; nothing of the store is read."""
    for name, value, accepted in (
        ("--dtype", dtype, (None, *DTYPES)),
        ("--format", form, FORMATS),
        ("--quantize", quantize, BITS),
    ):
        if value not in accepted:
            raise ConfigError(
                f"{name}: {value!r} is not accepted; use one of {', '.join(filter(None, accepted))}"
            )
    if adapter_only and dtype not in (None, "float32"):
        raise ConfigError(
            f"--dtype: {dtype} is for merged weights, and --adapter-only writes the adapter as it was trained, in "
            "float32; leave one of them out"
        )
    check_unused(out)
    if quantize != "none" and form != "gguf":
        raise ConfigError(f"--quantize: {quantize} is a gguf's; add --format gguf, or leave the option out")
    if form != "gguf":
        return
    if variant.attention_block is not None:
        raise ConfigError(
            f"--format: llama.cpp lets every token see all of a response, and {variant.name} was trained block by "
            "block; leave the option out, and `tad serve` decodes it as it was trained"
        )
    from tad_core.models.gguf_export import check_gguf

    check_gguf(adapter_only)


def _card(
    config: TADConfig, variant: Variant, name: str, adapter_only: bool, dtype: str, facts: dict[str, Any]
) -> str:
    """Text of the model card."""
    from tad_core.models.card import Facts, model_card

    return model_card(
        Facts(
            name=name,
            label=variant.label,
            method=variant.kind.told,
            loss=_loss(variant),
            adapter_only=adapter_only,
            dtype=dtype,
            block=variant.attention_block,
            **facts,
        )
    )


def find_model(config: TADConfig, mode: str, store: Store) -> tuple[ModelConfig, Path]:
    """The base and the folder of the adapter on it, of a model that a run distilled; runs nothing.

    Raises:
        ArtifactError: the run has not come to this model.
        ConfigError: it is none of the table.
    """
    variant = variants_stage.variant_of(config, mode)
    part = made_under(config, mode, store)
    return part.model, _found(part, variant, store)[0].local_folder(distill_stage.ADAPTER)


def made_under(config: TADConfig, mode: str, store: Store) -> TADConfig:
    """The run that a model was made under: this one, or the round that it is of.

    Raises:
        ArtifactError: the run has not come to the model that the round begins from.
    """
    variant = variants_stage.variant_of(config, mode)
    if variant.round_of is None:
        return rounds_stage.first(config)
    before = made_under(config, variant.round_of, store)
    adapter = _found(before, variants_stage.variant_of(config, variant.round_of), store)[0]
    merged = rounds_stage.find(before, adapter, store)
    own = next((own for own in rounds_stage.rounds(config) if own.of == variant.round_of), None)
    if merged is None or own is None or mode not in own.models:
        raise _missing(config, "merge", mode)
    return rounds_stage.round_of(config, own, merged)


def _found(config: TADConfig, variant: Variant, store: Store) -> tuple[ArtifactRef, dict[str, Any]]:
    """The adapter, and what a card says of it; from manifests and small files."""
    mode, plan = variant.name, plan_of(config, store)
    collection = collect_stage.find_collection(plan, store)
    if collection is None:
        raise _missing(config, "collect", mode)
    filtered = store.find(filter_stage.STAGE, filter_stage.key(config, plan), [collection])
    if filtered is None:
        raise _missing(config, "filter", mode)
    windows = None
    if variant.kind.windowed:
        mark = calibrate_stage.key(config, collection, filtered)
        if (windows := store.find(calibrate_stage.STAGE, mark, [collection, filtered])) is None:
            raise _missing(config, "calibrate", mode)
    mark = distill_stage.key_in(store, config, mode, collection, filtered, windows)
    inputs = variants_stage.inputs_of(config, mode, collection, filtered)
    adapter = store.find(distill_stage.STAGE, mark, inputs)
    if adapter is None:
        raise _missing(config, "distill", mode)
    window_source = ""
    if windows is not None:
        window_source = str(calibrate_stage.window_in(calibrate_stage.read_curve(windows), variant)["source"])
    return adapter, {
        "window": adapter.manifest.info["window"],
        "window_source": window_source,
        "training": _training(config, variant, adapter),
        "data": _data(config, variant, collection, filtered),
        "points": _points(config, mode, adapter, store),
    }


def _before(run: TADConfig, part: TADConfig, variant: Variant, store: Store) -> dict[str, Any]:
    """What a card says of what the model began from: the base, and of a round the models before it.

    Args:
        run: the whole run.
        part: the run or the round that the model was made under.
        variant: the model.
        store: where their evaluations are.
    """
    first, table, after = rounds_stage.first(run), variants(run), list[str]()
    beside = {"base": _points(first, "base", None, store)}
    if (of := variant.round_of) is not None:
        before = made_under(run, of, store)
        beside[of] = _points(before, of, _found(before, table[of], store)[0], store)
    while of is not None:
        after.insert(0, of)
        of = table[of].round_of
    weights = part.model.path if after else ""
    return {"base": first.model, "after": after, "weights": weights, "beside": beside}


def _missing(config: TADConfig, stage: str, mode: str) -> ArtifactError:
    asked = mode in config.evaluate.models
    remedy = "`tad distill` with the same settings makes it"
    if not asked:
        remedy = f"{mode} is not in evaluate.models; add it there, then `tad distill` makes it"
    return ArtifactError(f"model {mode}: this run has no finished {stage} in its store; {remedy}")


def _points(config: TADConfig, name: str, adapter: ArtifactRef | None, store: Store) -> list[dict[str, Any]]:
    inputs = [adapter] if adapter else []
    ref = store.find(evaluate_stage.STAGE, evaluate_stage.key(config, name, adapter), inputs)
    return [] if ref is None else list(ref.manifest.info["points"])


def _loss(variant: Variant) -> str:
    """The loss of a model with a window, in words."""
    if not variant.kind.windowed:
        return ""
    how = {
        "hard": "cross-entropy",
        "soft": "forward KL to the teacher",
        "taught": "cross-entropy on the teacher's likeliest tokens",
        "none": "nothing",
    }
    settings = variant.distill
    loss = f"{how[settings.near]} on tokens the teacher reveals within the window, {how[settings.distant]} beyond"
    return "; ".join([loss, *settings.beyond_the_paper])


def _training(config: TADConfig, variant: Variant, adapter: ArtifactRef) -> dict[str, Any]:
    settings, info, lora = variant.distill, adapter.manifest.info, variant.distill.lora
    return {
        "LoRA": f"rank {lora.rank}, alpha {lora.alpha}, dropout {lora.dropout:g}, on {', '.join(lora.roles)}",
        "optimizer": f"AdamW, learning rate {settings.learning_rate:g} ({settings.schedule}), "
        f"weight decay {settings.weight_decay:g}, clipping {settings.max_grad_norm:g}",
        "steps": f"{info['steps']} of {settings.global_batch_size} states",
        "states": f"{settings.states_per_trajectory} per trajectory",
        "response": f"{config.rollout.response_length} tokens",
        "seed": settings.seed,
        "code version": adapter.manifest.code_version,
        "artifact": adapter.fingerprint,
    }


def _data(
    config: TADConfig, variant: Variant, collection: ArtifactRef, filtered: ArtifactRef
) -> dict[str, Any]:
    rows: dict[str, Any] = {source.name: _source(source) for source in config.data}
    rows["problems"] = collection.manifest.info["problems"]
    if variant.kind.trains_on == "references":
        return rows
    settings, summary = variant.distill, filter_stage.read_summary(filtered)
    who = "the base model itself" if variant.round_of is None else f"{variant.round_of} of the same run"
    if settings.trajectories == "plain":
        told = f"rollouts of {who}, which did not see the reference answer; " + (
            "those with a right answer" if settings.answers == "right" else "right ones and wrong ones"
        )
    else:
        right = f"{summary['kept']} with a right answer"
        made = f"{filter_stage.privileged_total(summary)} of {who}, which saw the reference answer"
        told = (
            f"{made}; {right} were kept" if settings.answers == "right" else f"{made}; {right}, all were used"
        )
    labels = "; of them the order was taken, and the tokens are the references'"
    rows["trajectories"] = told + labels * settings.on_reference_labels
    return rows


def _source(source: SourceConfig) -> str:
    options = {k: v for k, v in source.options.items() if k != "path"}
    told = ", ".join(f"{k} {v}" for k, v in options.items())
    count = "all problems" if source.count is None else f"{source.count} problems"
    return f"{source.source}, {source.split}, {count}" + (f" ({told})" if told else "")
