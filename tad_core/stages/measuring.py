"""The answers of one model to all tasks: decoded where a slice is missing, and judged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from tad_core.artifacts import ArtifactRef, Store
from tad_core.checkpoint import load_tokenizer
from tad_core.config import TADConfig
from tad_core.data.problem import Problem
from tad_core.evaluation.decoders import modes, ways
from tad_core.evaluation.generate import Texts
from tad_core.evaluation.records import Record
from tad_core.evaluation.scoring import Scorer
from tad_core.evaluation.sweep import make_engine, sweep
from tad_core.progress import OnProgress
from tad_core.stages.decode import Decoding
from tad_core.stages.slice_plan import plan_slices
from tad_core.verify import Verifier
from tad_core.verify.verdict import NO_PROGRAMS
from tad_core.workers.pool import Pool


class Measured(NamedTuple):
    """Every answer of a model, judged.

    Attributes:
        records: one for each task, way and problem.
        example: one problem in full.
        tier: where programs ran.
        mode: of the ways of decoding; see ``decoders.modes``.
    """

    records: list[Record]
    example: dict[str, Any]
    tier: str
    mode: str


def measure(
    config: TADConfig,
    model_name: str,
    adapter_ref: ArtifactRef | None,
    tasks: dict[str, list[Problem]],
    store: Store,
    on_progress: OnProgress,
    force: bool,
    pool: Pool | None,
    on_begun: Callable[[], None],
) -> Measured:
    """Token by token and at every threshold, way by way while the next are decoded.

    Args:
        config: the run.
        model_name: ``base``, or a model of the table.
        adapter_ref: the distilled adapter; None for the base model.
        tasks: the problems of each.
        store: where the slices live.
        on_progress: told the answers given so far.
        force: decode even what is there.
        pool: has the processes that decode; one of its own otherwise.
        on_begun: told when nothing is left of what was there, with ``force``.

    Raises:
        SubprocessError: when a process that decodes died.
        VerifierError: when the verifier itself failed.
    """
    texts, specs = Texts(load_tokenizer(config.model)), ways(config, model_name)
    plan = plan_slices(config, adapter_ref, tasks, specs, texts.tokenizer, store)
    with (
        contextlib.nullcontext(pool) if pool else Pool(config.model) as processes,
        Verifier(config.filter) as verifier,
        make_engine(config.evaluate.harness, tasks, texts, Scorer(verifier)) as engine,
        Decoding(
            config, model_name, plan, store, processes, on_progress, force, on_begun=on_begun
        ) as decoding,
    ):
        records, example = sweep(config, model_name, engine, texts, decoding.way)
        programs = any(problem.kind == "code" for problems in tasks.values() for problem in problems)
        return Measured(records, example, verifier.tier.name if programs else NO_PROGRAMS, modes(specs))
