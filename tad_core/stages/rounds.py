"""Further rounds: models of the table that are distilled from the rollouts of another model of it.

A round is a run of its own inside the run. The model it begins from is merged into the base's weights (stage
``merge``); on these, in place of the base, everything up to distillation is as in any run, under keys of its own, since
they are keyed by the content of the weights. So is the evaluation of its models. ``first`` is the run without rounds,
``rounds`` what comes after it, in order; the report has all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tad_core.artifacts import ArtifactRef, Store, fingerprint
from tad_core.config import TADConfig, variants
from tad_core.progress import OnProgress, Progress, silent
from tad_core.stages import collect as collect_stage
from tad_core.stages.alone import made_once
from tad_core.stages.distill import ADAPTER

STAGE = "merge"
STAGE_VERSION = 1
WEIGHTS = "model"


@dataclass(frozen=True)
class Round:
    """Models that are distilled from the rollouts of one that is there."""

    of: str
    models: tuple[str, ...]

    @property
    def title(self) -> str:
        """For people."""
        return f"round of {self.of}"


@dataclass(frozen=True)
class RoundMade:
    """The artifacts of a round before its adapters."""

    merged: ArtifactRef
    collection: ArtifactRef
    filtered: ArtifactRef
    windows: ArtifactRef

    @property
    def refs(self) -> list[ArtifactRef]:
        """All of them, in order."""
        return [self.merged, self.collection, self.filtered, self.windows]


def rounds(config: TADConfig) -> list[Round]:
    """The rounds of the models that are compared, each after the one that makes what it begins from."""
    table = variants(config)
    wanted = [name for name in config.evaluate.models if name in table]
    done = [name for name in wanted if table[name].round_of is None]
    found: list[Round] = []
    while True:
        ready = {
            of: tuple(name for name in wanted if table[name].round_of == of)
            for of in done
            if of not in {own.of for own in found}
        }
        new = [Round(of, models) for of, models in ready.items() if models]
        if not new:
            return found
        found += new
        done += [name for own in new for name in own.models]


def first(config: TADConfig) -> TADConfig:
    """The run without rounds."""
    table = variants(config)
    later = {name for name, variant in table.items() if variant.round_of is not None}
    return _with_models(config, later) if later else config


def round_of(config: TADConfig, own: Round, merged: ArtifactRef) -> TADConfig:
    """The run that a round is.

    Where a model trains on rollouts without the reference, every problem is rolled out so, too.

    Args:
        config: the whole run.
        own: the round.
        merged: the model that it begins from.
    """
    later = set(variants(config)) - set(own.models)
    inner = _with_models(config, later)
    inner = inner.model_copy(
        update={
            "model": config.model.model_copy(
                update={"path": str(merged.local_folder(WEIGHTS)), "revision": None}
            ),
            # Its weights lie on this machine, and may be a copy from a store that others have copies of elsewhere.
            "rollout": config.rollout.model_copy(update={"hosts": 1}),
            "models": {
                name: given.model_copy(update={"round": None}) for name, given in inner.models.items()
            },
            "evaluate": inner.evaluate.model_copy(update={"models": list(own.models)}),
        }
    )
    if not learns_from_plain(config, own):
        return inner
    one = inner.rollout.model_copy(update={"compare_plain": 1})
    problems = len(collect_stage.plan_collection(inner.model_copy(update={"rollout": one})).ordered)
    return inner.model_copy(update={"rollout": one.model_copy(update={"compare_plain": problems})})


def learns_from_plain(config: TADConfig, own: Round) -> bool:
    """Whether a model of the round trains on rollouts without the reference, so that every problem is rolled out so."""
    table = variants(config)
    return any(table[name].distill.trajectories == "plain" for name in own.models)


def of_parts(parts: Mapping[str, TADConfig], run: TADConfig) -> list[TADConfig]:
    """The rounds among the runs that models were made under, each once, in order."""
    found: list[TADConfig] = []
    for part in parts.values():
        if part is not run and all(part is not other for other in found):
            found.append(part)
    return found


def _with_models(config: TADConfig, without: set[str]) -> TADConfig:
    evaluate = config.evaluate.model_copy(
        update={"models": [name for name in config.evaluate.models if name not in without]}
    )
    models = {name: given for name, given in config.models.items() if name not in without}
    return config.model_copy(update={"evaluate": evaluate, "models": models})


def key(config: TADConfig, adapter: ArtifactRef) -> str:
    """Fingerprint of a merged model; ``config`` is the run or the round that made the adapter."""
    return fingerprint(STAGE, STAGE_VERSION, _fields(config), [adapter.fingerprint])


def find(config: TADConfig, adapter: ArtifactRef, store: Store) -> ArtifactRef | None:
    """The merged model if it is there; see ``key``."""
    return store.find(STAGE, key(config, adapter), [adapter])


def merge(
    config: TADConfig,
    own: Round,
    adapter: ArtifactRef,
    store: Store,
    on_progress: OnProgress = silent,
    force: bool = False,
) -> ArtifactRef:
    """The model that a round begins from, as a checkpoint (``model/``).

    Args:
        config: the run or the round that made the adapter.
        own: the round.
        adapter: of ``own.of``.
        store: where it is looked for and written.
        on_progress: told the tensors written.
        force: merge even if it is there.

    Raises:
        ArtifactError: the disk is too small.
        ModelError: base and adapter do not belong together, or the base was replaced meanwhile.
    """
    mark = key(config, adapter)

    def there() -> ArtifactRef | None:
        return find(config, adapter, store)

    def make() -> ArtifactRef:
        from tad_core.checkpoint import check_unchanged
        from tad_core.models.export import export_merged

        with store.writer(STAGE, STAGE_VERSION, mark, _fields(config), [adapter]) as writer:
            export_merged(
                config.model,
                adapter.local_folder(ADAPTER),
                writer.path(f"{WEIGHTS}/config.json").parent,
                f"{own.of} of {config.name}, merged into its base.\n",
                config.model.dtype,
                on_tensor=_tensors(own, on_progress),
            )
            check_unchanged(config.model, adapter.manifest.info.get("base"))
            return writer.commit({"model": own.of}, unless=None if force else there)

    return made_once(store, STAGE, mark, config.rollout.lease_s, there, make, force)


def _tensors(own: Round, on_progress: OnProgress) -> Callable[[int, int], None]:
    return lambda done, total: on_progress(Progress(f"{STAGE} {own.of}", done, total, "tensors"))


def _fields(config: TADConfig) -> dict[str, object]:
    from tad_core.checkpoint import model_fingerprint

    return {"model": model_fingerprint(config.model), "dtype": config.model.dtype}
