"""Replicate: the same set-up trained with several seeds, compared over all of them.

Collection, filtering and calibration are shared: only distillation and what follows depends on ``distill.seed``.
Files: ``replicates.md`` and ``replicates.json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tad_core.artifacts import ArtifactRef, Store, fingerprint
from tad_core.artifacts.components import component_fields
from tad_core.config import TADConfig, dump_config, parse_config
from tad_core.config.decoders import ENTROPY
from tad_core.errors import ConfigError
from tad_core.evaluation.bootstrap import bootstrap_aup
from tad_core.evaluation.records import Record, read_records
from tad_core.evaluation.replicates import Replicates
from tad_core.progress import OnProgress, silent
from tad_core.report.lineup import Lineup
from tad_core.report.replicates import NUMBERS_NAME, PAGE_NAME, render, summarise
from tad_core.report.scores import Operating
from tad_core.settings import CONFIG_NAME, MOST_SEED
from tad_core.stages.alone import made_once
from tad_core.stages.pipeline import Outcome, run_pipeline

STAGE = "replicate"
STAGE_VERSION = 1

#: The evaluations of one run, by model.
Evaluated = Mapping[str, ArtifactRef]


def seeded(config: TADConfig, seed: int) -> TADConfig:
    """The same set-up trained with another seed."""
    return config.model_copy(update={"distill": config.distill.model_copy(update={"seed": seed})})


def check_seeds(seeds: Sequence[int]) -> None:
    """Raise ``ConfigError`` unless there are at least two different seeds that a training takes."""
    if len(set(seeds)) != len(seeds) or len(seeds) < 2 or not 0 <= min(seeds) <= max(seeds) <= MOST_SEED:
        raise ConfigError(
            f"seeds: {', '.join(map(str, seeds)) or 'none'}; give two or more different ones from 0 to {MOST_SEED}, "
            "e.g. 0,1,2"
        )


def read_seeds(text: str) -> list[int]:
    """The seeds of a list like ``0,1,2``.

    Raises:
        ConfigError: it is none, or see ``check_seeds``.
    """
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"seeds: {text!r} is not a list of whole numbers; use for instance 0,1,2") from None
    check_seeds(seeds)
    return seeds


def replicate(
    config: TADConfig, seeds: Sequence[int], store: Store, on_progress: OnProgress = silent, at_once: int = 1
) -> ArtifactRef:
    """Run the pipeline for every seed and compare the runs.

    Args:
        config: the set-up; its own ``distill.seed`` is not used.
        seeds: of distillation.
        store: where everything lives.
        on_progress: told of every stage's progress (only of the shared ones when runs go side by side).
        at_once: runs side by side, each in a process of its own; small models do not fill a GPU.

    Raises:
        ConfigError: fewer than two seeds, or one twice.
        TADError: whatever a stage raises.
    """
    check_seeds(seeds)
    if at_once == 1:
        runs = [
            run_pipeline(seeded(config, seed), store, on_progress, "evaluate").evaluated for seed in seeds
        ]
        return compare(config, seeds, runs, store)
    run_pipeline(config, store, on_progress, "calibrate")
    jobs = [(seeded(config, seed).model_dump(mode="json"), store.root) for seed in seeds]
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
        return compare(config, seeds, list(pool.map(_run, jobs)), store)


def _run(job: tuple[dict[str, object], str]) -> dict[str, ArtifactRef]:
    tree, root = job
    outcome: Outcome = run_pipeline(parse_config(tree), Store(root), until="evaluate")
    return outcome.evaluated


def key(config: TADConfig, seeds: Sequence[int], runs: Sequence[Evaluated]) -> str:
    """Fingerprint of the comparison of finished runs."""
    return fingerprint(
        STAGE, STAGE_VERSION, _fields(config, seeds, runs), [ref.fingerprint for ref in inputs_of(runs)]
    )


def compare(
    config: TADConfig, seeds: Sequence[int], runs: Sequence[Evaluated], store: Store, force: bool = False
) -> ArtifactRef:
    """The comparison of finished runs, one evaluation of each model a run."""
    inputs = inputs_of(runs)
    mark = key(config, seeds, runs)

    def find() -> ArtifactRef | None:
        return store.find(STAGE, mark, inputs)

    def make() -> ArtifactRef:
        return _compared(config, seeds, runs, mark, store)

    return made_once(store, STAGE, mark, config.rollout.lease_s, find, make, force)


def _compared(
    config: TADConfig, seeds: Sequence[int], runs: Sequence[Evaluated], mark: str, store: Store
) -> ArtifactRef:
    operating = Operating.of(config)
    lineup = Lineup.of(config)
    rows = summarise(_tasks(config, runs), operating, lineup)
    content = {
        "seeds": list(seeds),
        "operating_threshold": config.evaluate.operating_threshold,
        "operating": operating.at,
        "rows": [row.model_dump(mode="json") for row in rows],
    }
    with store.writer(STAGE, STAGE_VERSION, mark, _fields(config, seeds, runs), inputs_of(runs)) as writer:
        writer.write_text(CONFIG_NAME, dump_config(config))
        writer.write_text(PAGE_NAME, render(config.name, rows, seeds, operating.at, lineup))
        writer.write_json(NUMBERS_NAME, content)
        return writer.commit({"seeds": list(seeds)})


def inputs_of(runs: Sequence[Evaluated]) -> list[ArtifactRef]:
    """The evaluations of all runs; the base's, which training does not change, once."""
    return list({ref.fingerprint: ref for run in runs for ref in run.values()}.values())


def _fields(config: TADConfig, seeds: Sequence[int], runs: Sequence[Evaluated]) -> dict[str, object]:
    evaluate, operating = config.evaluate, Operating.of(config)
    another = operating != Operating((ENTROPY, evaluate.operating_threshold))
    return {
        **({"operating": [operating.shared, dict(operating.own)]} if another else {}),
        "name": config.name,
        "seeds": list(seeds),
        "operating_threshold": evaluate.operating_threshold,
        "aup_alpha": evaluate.aup_alpha,
        "bootstrap": evaluate.bootstrap,
        "runs": [{model: ref.fingerprint for model, ref in run.items()} for run in runs],
        **component_fields(STAGE),
    }


def _tasks(config: TADConfig, runs: Sequence[Evaluated]) -> list[Replicates]:
    boots = []
    for run in runs:
        by_task: dict[str, list[Record]] = {}
        for ref in run.values():
            for record in read_records(ref.local("results.parquet")):
                by_task.setdefault(record.task, []).append(record)
        # The resamples are keyed by the task alone, so every run draws the same problems.
        settings = config.evaluate
        boots.append(
            {t: bootstrap_aup(rs, settings.bootstrap, alpha=settings.aup_alpha) for t, rs in by_task.items()}
        )
    return [Replicates([run[task] for run in boots]) for task in boots[0]]
