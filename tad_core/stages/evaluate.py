"""Evaluate: one model on every task, token by token and at every threshold: its slices judged and put together.

What is decoded lies in slices of its own (``decode``), which outlive a killed evaluation and serve the next one.

Files: ``results.parquet`` (one row a task, way and problem), ``points.json`` (accuracy and speed of each way) and
``example.json`` (one problem in full).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tad_core.artifacts import ArtifactRef, Store, fingerprint
from tad_core.artifacts.components import component_fields
from tad_core.config import (
    EvaluateConfig,
    SourceConfig,
    TADConfig,
    decoder_of,
    dump_config,
    own_decoder,
    variants,
)
from tad_core.config.decoders import ENTROPY
from tad_core.data.problem import Problem
from tad_core.data.selection import Selection
from tad_core.errors import ConfigError, DataError
from tad_core.progress import OnProgress, Progress, silent
from tad_core.settings import CONFIG_NAME, marked
from tad_core.stages.alone import made_once

if TYPE_CHECKING:
    from tad_core.artifacts.writer import ArtifactWriter
    from tad_core.stages.measuring import Measured
    from tad_core.workers.pool import Pool

STAGE = "evaluate"
STAGE_VERSION = 1
RESULTS, POINTS, EXAMPLE = "results.parquet", "points.json", "example.json"

#: more than any chat template adds to one turn
_TEMPLATE_BYTES = 512


def key(config: TADConfig, model_name: str, adapter_ref: ArtifactRef | None = None) -> str:
    """Fingerprint of one model's evaluation: model, problems, decoder, verifier.

    Raises:
        ConfigError, DataError: when the problems cannot be loaded.
        ModelError: when the checkpoint is missing.
    """
    return _key(_fields(config, model_name, adapter_ref, load_tasks(config)), adapter_ref)


def evaluate(
    config: TADConfig,
    model_name: str,
    adapter_ref: ArtifactRef | None,
    store: Store,
    on_progress: OnProgress = silent,
    force: bool = False,
    pool: Pool | None = None,
    go_on: bool = False,
    on_begun: Callable[[], None] = lambda: None,
) -> ArtifactRef:
    """The finished evaluation from the store, or made now.

    Args:
        config: the run.
        model_name: ``base``, or a model of the table.
        adapter_ref: the distilled adapter; None for the base model.
        store: where the artifact lives.
        on_progress: told the answers given so far.
        force: evaluate even if it is there.
        pool: has the processes that decode; one of its own otherwise.
        go_on: with ``force``, with the slices that are there: an earlier try of the same run decoded them.
        on_begun: told when with ``force`` no earlier slices are left.

    Raises:
        ConfigError, DataError, ModelError: wrong input, before any decoding.
        SubprocessError: when a process that decodes died.
        VerifierError: when the verifier itself failed.
    """
    inputs = [adapter_ref] if adapter_ref else []
    tasks, left_out = load_tasks_and_left_out(config)
    fields = _fields(config, model_name, adapter_ref, tasks)
    mark = _key(fields, adapter_ref)
    if not force and (found := store.find(STAGE, mark, inputs)):
        return found

    from tad_core.checkpoint import check_unchanged
    from tad_core.stages.measuring import measure

    if adapter_ref is not None:
        check_unchanged(config.model, adapter_ref.manifest.info.get("base"))
    anew = force and not go_on
    measured = measure(config, model_name, adapter_ref, tasks, store, on_progress, anew, pool, on_begun)

    check_unchanged(config.model, fields["model"])

    def find() -> ArtifactRef | None:
        return store.find(STAGE, mark, inputs)

    def make() -> ArtifactRef:
        with store.writer(STAGE, STAGE_VERSION, mark, fields, inputs) as writer:
            info = _write(writer, config, measured)
            return writer.commit(
                {"model": model_name, "left_out": left_out, **info}, unless=None if force else find
            )

    # Of several hosts that share the slices one is first to put them together.
    return made_once(store, STAGE, mark, config.rollout.lease_s, find, make, force)


def _write(writer: ArtifactWriter, config: TADConfig, measured: Measured) -> dict[str, Any]:
    """The files of an evaluation; returns what its manifest says of them."""
    from tad_core.evaluation.records import points, write_records

    found = points(measured.records)
    writer.write_text(CONFIG_NAME, dump_config(config))
    write_records(writer.path(RESULTS, rows=len(measured.records)), measured.records)
    writer.write_json(POINTS, found)
    writer.write_json(EXAMPLE, measured.example)
    return {"points": found, "tier": measured.tier, "mode": measured.mode}


def evaluate_all(
    config: TADConfig,
    adapters: Mapping[str, ArtifactRef],
    store: Store,
    on_progress: OnProgress = silent,
    force: bool = False,
) -> dict[str, ArtifactRef]:
    """Every model of ``evaluate.models``, side by side in one pool of processes.

    Args:
        config: the run.
        adapters: the distilled ones, by model.
        store: where the artifacts live.
        on_progress: told of each model's answers; never by two threads at once.
        force: evaluate even what is there.

    Raises:
        TADError: the first that one of them raises, once the others have ended.
    """
    from tad_core.workers.fanning import fan_out
    from tad_core.workers.pool import Pool

    models, lock = config.evaluate.models, threading.Lock()

    def tell(progress: Progress) -> None:
        with lock:
            on_progress(progress)

    with Pool(config.model) as pool:

        def make(name: str) -> ArtifactRef:
            return evaluate(config, name, adapters.get(name), store, tell, force, pool)

        made = dict(fan_out(models, make, len(models), pool.close))
    return {name: made[name] for name in models}


def check_workers(config: TADConfig) -> None:
    """Raise ``ConfigError`` if this machine has fewer GPUs than ``evaluate.workers`` says."""
    from tad_core.workers.devices import gpus_for_evaluation

    gpus_for_evaluation(config.model.device, config.evaluate.workers)


def check_decoders(config: TADConfig) -> None:
    """Raise ``ConfigError`` for a decoder that cannot decode the models it is for.

    The run's decoder as it always was goes with everything that the configuration takes, so that nothing is loaded to
    look at it.
    """
    if config.evaluate.decode.method == ENTROPY and not any(m.decode for m in config.models.values()):
        return
    from tad_core.evaluation.decoders import check_ways

    check_ways(config)


def load_tasks(config: TADConfig) -> dict[str, list[Problem]]:
    """The problems of every task; see ``load_tasks_and_left_out``."""
    return load_tasks_and_left_out(config)[0]


def load_tasks_and_left_out(config: TADConfig) -> tuple[dict[str, list[Problem]], dict[str, dict[str, int]]]:
    """The problems of every task, and for each task how many rows were left out for which reason.

    Raises:
        ConfigError: unknown source, benchmark or option.
        DataError: missing file, rows that cannot be used, a task that has the same problem twice, a prompt that the
            model has no room for: none is left out silently.
    """
    tasks: dict[str, list[Problem]] = {}
    left_out: dict[str, dict[str, int]] = {}
    for source in config.evaluate.tasks:
        found = load_task(source)
        tasks[source.name], left_out[source.name] = found.problems, found.left_out
    _check_prompts(config, tasks)
    return tasks, left_out


def load_task(source: SourceConfig) -> Selection:
    """The problems of one task, all of whose rows have to be usable, and what was left out.

    Raises:
        ConfigError, DataError: as ``load_tasks_and_left_out``, naming the task: a source of training data may have the
            same name.
    """
    from tad_core.data.sources import select_from
    from tad_core.evaluation.benchmarks.load import SOURCE, load_benchmark

    try:
        # A score over the rows that happen to be usable is no score of the task: all are needed.
        return load_benchmark(source) if source.source == SOURCE else select_from(source, enough=1.0)
    except (ConfigError, DataError) as error:
        told = str(error).removeprefix(f"data source {source.name}: ")
        if told == str(error):
            raise
        raise type(error)(f"evaluate.tasks {source.name}: {told}") from error


def _check_prompts(config: TADConfig, tasks: Mapping[str, Sequence[Problem]]) -> None:
    """Every prompt leaves room for its response; else one error says for each task how many do not."""
    from tad_core.checkpoint import load_tokenizer
    from tad_core.data.lengths import max_positions
    from tad_core.evaluation.prompting import encode, messages_of

    positions, response = max_positions(config.model), config.rollout.response_length
    if positions is None:
        return
    room, wrong = positions - response, []
    for name, problems in tasks.items():
        # No text has more tokens than bytes; the template puts a few dozen around it.
        long = [p for p in problems if _bytes(messages_of(p)) + _TEMPLATE_BYTES > room]
        if not long:
            continue
        tokenizer = load_tokenizer(config.model)
        over = {p.id: n for p in long if (n := len(encode(tokenizer, p))) > room}
        if over:
            mark = max(over, key=over.__getitem__)
            wrong.append(
                f"evaluate.tasks.{name}: {len(over)} of {len(problems)} prompts are longer than the {room} tokens that "
                f"rollout.response_length {response} leaves of the model's {positions} (longest: {mark}, {over[mark]} "
                "tokens); lower num_fewshot or the response length"
            )
    if wrong:
        raise DataError("\n".join(wrong))


def _bytes(messages: Sequence[Mapping[str, str]]) -> int:
    return sum(len(message["content"].encode("utf-8", "surrogatepass")) for message in messages)


def _key(fields: dict[str, Any], adapter_ref: ArtifactRef | None) -> str:
    return fingerprint(STAGE, STAGE_VERSION, fields, [adapter_ref.fingerprint] if adapter_ref else [])


def _fields(
    config: TADConfig, model_name: str, adapter_ref: ArtifactRef | None, tasks: dict[str, list[Problem]]
) -> dict[str, Any]:
    from tad_core.base import check_base
    from tad_core.checkpoint import model_fingerprint

    _check_name(model_name, adapter_ref)
    check_base(config.model)
    report_only = marked(EvaluateConfig, "report")
    settings = {k: v for k, v in config.evaluate.identity().items() if k not in report_only}
    variant, own = variants(config).get(model_name), own_decoder(config, model_name)
    if own is not None:
        for shared in ("thresholds", "operating_threshold"):
            del settings[shared]
        settings["decode"].pop("method", None)  # the rest of it decodes token by token
        settings["own"] = own.identity()
    in_blocks = variant is not None and variant.attention_block is not None and own is None
    if not in_blocks and decoder_of(config, model_name).method != "pipeline":
        settings.pop("pipeline", None)  # it is not decoded so
    # JSON first: a problem's meta may hold anything a source likes, tuples too.
    problems = json.loads(json.dumps({name: [p.as_dict() for p in found] for name, found in tasks.items()}))
    return {
        "model": model_fingerprint(config.model),
        "dtype": config.model.dtype,
        "name": model_name,
        "evaluate": settings,
        "response_length": config.rollout.response_length,
        "verify": config.filter.identity(),
        "problems": fingerprint("problems", 1, problems, []),
        **component_fields(STAGE),
    }


def _check_name(model_name: str, adapter_ref: ArtifactRef | None) -> None:
    if (model_name == "base") != (adapter_ref is None):
        raise ConfigError(
            f"evaluate: {model_name} was asked for {'without' if adapter_ref is None else 'with'} an adapter; "
            "base has none, every other model has one"
        )
