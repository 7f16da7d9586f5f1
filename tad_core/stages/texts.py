"""Where the texts of a configured run lie: the shards and results that are in the store, finished or not."""

from __future__ import annotations

from tad_core.artifacts import ArtifactRef, Store, ref_at
from tad_core.config import TADConfig
from tad_core.errors import ArtifactError
from tad_core.report.texts import Shard
from tad_core.stages import collect as collect_stage
from tad_core.stages import filter as filter_stage
from tad_core.stages import rounds as rounds_stage
from tad_core.stages.export import made_under
from tad_core.stages.pipeline import plan_of
from tad_core.stages.status import pipeline_status


def shards_of(config: TADConfig, store: Store) -> list[Shard]:
    """The shards that are there and whole, judged or not: of the run itself, then of each round that was begun."""
    found = _shards(rounds_stage.first(config), store)
    for own in rounds_stage.rounds(config):
        try:
            part = made_under(config, own.models[0], store)
        except ArtifactError:  # what it begins from is not there
            continue
        found += _shards(part, store, own.title)
    return found


def _shards(config: TADConfig, store: Store, part: str = "") -> list[Shard]:
    plan = plan_of(config, store)
    mark = filter_stage.key(config, plan)
    found = []
    for shard in plan.shards:
        ref = collect_stage.find_shard(plan, shard, store)
        if ref is not None:
            verdicts = store.find(filter_stage.STAGE, mark, [ref], f"{shard.name}.json")
            found.append(Shard(shard.name, ref, verdicts, part))
    return found


def finished(config: TADConfig, store: Store, stage: str) -> list[ArtifactRef]:
    """The artifacts of a stage that are done, in the order of the pipeline."""
    entries = pipeline_status(config, store)
    return [ref_at(e.url) for e in entries if e.stage == stage and e.state == "done" and not e.is_shard]
