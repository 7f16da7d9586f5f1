"""What of a pipeline is done, missing or broken, found by reading manifests and files; nothing runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, cast

from tad_core.artifacts import MANIFEST_NAME, ArtifactRef, Store
from tad_core.artifacts.stamps import side_by_side
from tad_core.config import TADConfig
from tad_core.data.problem import Problem
from tad_core.data.selection import LeftOutRow, left_out_rows
from tad_core.errors import ConfigError
from tad_core.stages import calibrate as calibrate_stage
from tad_core.stages import collect as collect_stage
from tad_core.stages import distill as distill_stage
from tad_core.stages import evaluate as evaluate_stage
from tad_core.stages import filter as filter_stage
from tad_core.stages import report as report_stage
from tad_core.stages import rounds as rounds_stage
from tad_core.stages import variants as variants_stage
from tad_core.stages.alone import maker
from tad_core.stages.made import RunMade
from tad_core.stages.pipeline import Stage, plan_of, trained_models
from tad_core.stages.rounds import Round, RoundMade
from tad_core.stages.slice_status import slices_seen

State = Literal["done", "missing", "running", "broken"]


@dataclass(frozen=True)
class StageStatus:
    """One artifact of the pipeline, or one shard of it.

    Attributes:
        state: ``running`` if a process that is alive has it, or a part of it, in hand.
        why: what is wrong with a broken one, what a missing one waits for or has of it already, and who has a running
            one in hand.
        part: the round that it is of; empty for the run's own, the evaluations and the report.
    """

    stage: Stage
    name: str
    state: State
    why: str = ""
    url: str = ""
    is_shard: bool = False
    part: str = ""


def pipeline_status(config: TADConfig, store: Store) -> list[StageStatus]:
    """Every artifact of the pipeline in order, collection and filter shard by shard; reads files, runs nothing.

    Raises:
        ConfigError, DataError, ModelError: the configuration itself is wrong.
    """
    look = Look(store)
    parts = look_at_training(config, look)
    evaluated: dict[str, ArtifactRef] = {}
    for part in parts:
        evaluated |= _look_at_evaluations(part, look)
    windows, adapters = parts[0].windows, {name: ref for part in parts for name, ref in part.adapters.items()}
    for name in trained_models(config):
        if all(name not in part.config.evaluate.models for part in parts):
            look.waits("evaluate", name, f"waits for distill {name}")
    if any(part.windows is None for part in parts) or len(evaluated) < len(config.evaluate.models):
        look.waits("report", "report", "waits for the stages before it")
        return look.seen
    made = {part.of: part.as_round() for part in parts[1:]}
    whole = RunMade(parts[0].collected, parts[0].kept, windows, adapters, evaluated, made)
    look.at("report", "report", report_stage.key(config, whole), [_real(ref) for ref in whole.refs(config)])
    return look.seen


@dataclass(frozen=True)
class Part:
    """What was seen of the run without rounds, or of a round; artifacts that are not there stand as planned.

    ``of`` is the model that a round begins from.
    """

    config: TADConfig
    collected: ArtifactRef
    kept: ArtifactRef
    windows: ArtifactRef | None
    adapters: dict[str, ArtifactRef]
    merged: ArtifactRef | None = None
    of: str = ""

    def as_round(self) -> RoundMade:
        """As the report takes a round."""
        assert self.merged is not None
        return RoundMade(self.merged, self.collected, self.kept, cast(ArtifactRef, self.windows))


def look_at_training(config: TADConfig, look: Look) -> list[Part]:
    """Everything up to the adapters: the run without rounds, and those of its rounds whose merged model is there."""
    parts = [_look_at_part(rounds_stage.first(config), look)]
    where = dict.fromkeys(parts[0].adapters, parts[0])
    for own in rounds_stage.rounds(config):
        if (part := _look_at_round(config, own, look, where.get(own.of))) is not None:
            parts.append(part)
            where |= dict.fromkeys(part.adapters, part)
    return parts


def _look_at_part(config: TADConfig, look: Look, own: Round | None = None) -> Part:
    """Collection and filter shard by shard, windows and adapters."""
    store, part = look.store, "" if own is None else own.title
    plan = plan_of(config, store)
    mark = filter_stage.key(config, plan)
    shards = {shard.name: shard for shard in plan.shards}
    whole = collect_stage.find_collection(plan, store)
    look.pieces("collect", plan.fingerprint, list(shards), whole is not None, part)
    collection = look.at("collect", "all shards", plan.fingerprint, [], part)
    judged = whole is not None and store.find("filter", mark, [whole]) is not None
    look.pieces(
        "filter",
        mark,
        list(shards),
        judged,
        part,
        lambda name: collect_stage.find_shard(plan, shards[name], store),
    )
    filtered = look.at("filter", "all shards", mark, [collection], part)
    collected, kept = _planned(collection, "collect", plan.fingerprint), _planned(filtered, "filter", mark)
    fingerprint = calibrate_stage.key(config, collected, kept)
    windows = look.at("calibrate", "windows", fingerprint, [collection, filtered], part)
    adapters = _look_at_adapters(config, look, collected, kept, windows, part)
    return Part(config, collected, kept, windows, adapters)


def _look_at_round(config: TADConfig, own: Round, look: Look, before: Part | None) -> Part | None:
    """A round, as far as its model is there, whose weights all of it is keyed by."""
    adapter = None if before is None else _real(before.adapters[own.of])
    if before is None or adapter is None:
        look.waits("distill", f"{own.of}, merged", f"waits for distill {own.of}", own.title)
        merged = None
    else:
        mark = rounds_stage.key(before.config, adapter)
        merged = look.at("distill", f"{own.of}, merged", mark, [adapter], own.title, rounds_stage.STAGE)
    if merged is None:
        for name in own.models:
            look.waits("distill", name, f"waits for {own.of}, merged", own.title)
        return None
    part = _look_at_part(rounds_stage.round_of(config, own, merged), look, own)
    return replace(part, merged=merged, of=own.of)


def _look_at_evaluations(part: Part, look: Look) -> dict[str, ArtifactRef]:
    found: dict[str, ArtifactRef] = {}
    tasks: dict[str, list[Problem]] = {}
    for name in part.config.evaluate.models:
        adapter = part.adapters.get(name)
        if name != "base" and adapter is None:
            look.waits("evaluate", name, f"waits for distill {name}")
            continue
        fingerprint = evaluate_stage.key(part.config, name, adapter)
        made = None if adapter is None else _real(adapter)
        points = look.at("evaluate", name, fingerprint, [] if adapter is None else [made])
        if points is None and (adapter is None) == (made is None):
            tasks = tasks or evaluate_stage.load_tasks(part.config)
            if (slices := slices_seen(part.config, name, made, tasks, look.store)) is not None:
                look.begun(slices.told(), running=bool(slices.held))
        found[name] = _planned(points, "evaluate", fingerprint)
    return found


def left_out(config: TADConfig) -> list[LeftOutRow]:
    """The rows of the training data that are no problems of this configuration, by source and reason."""
    plan = plan_of(config)
    return left_out_rows({"left_out": plan.left_out, "left_out_examples": plan.left_out_examples})


def _look_at_adapters(
    config: TADConfig,
    look: Look,
    collected: ArtifactRef,
    kept: ArtifactRef,
    windows: ArtifactRef | None,
    part: str,
) -> dict[str, ArtifactRef]:
    adapters: dict[str, ArtifactRef] = {}
    for mode in trained_models(config):
        try:
            fingerprint = distill_stage.key_in(look.store, config, mode, collected, kept, windows)
        except ConfigError:
            # Without a calibration only a fixed window is known.
            look.waits("distill", mode, "waits for calibrate", part)
            continue
        made_from = variants_stage.inputs_of(config, mode, collected, kept)
        adapter = look.at("distill", mode, fingerprint, [_real(ref) for ref in made_from], part)
        if adapter is None and (step := distill_stage.saved_step(look.store, fingerprint)):
            look.begun(f"a checkpoint of step {step} is there to go on from")
        adapters[mode] = _planned(adapter, "distill", fingerprint)
    return adapters


class Look:
    """Looks at artifacts and notes how it found them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.seen: list[StageStatus] = []

    def at(
        self,
        stage: Stage,
        name: str,
        fingerprint: str,
        inputs: Sequence[ArtifactRef | None],
        part: str = "",
        stage_of: str = "",
    ) -> ArtifactRef | None:
        """One artifact; returned if it is whole and made from these inputs. One that is not may be in the making.

        ``stage_of``: whose folder it is in, where that is no stage that a run can end with.
        """
        folder = stage_of or stage
        status, ref = self._state(folder, name, fingerprint, inputs, MANIFEST_NAME)
        if ref is None and (claim := maker(self.store, folder, fingerprint)) is not None:
            status = replace(status, state="running", why=f"on {claim.holder}")
        self.seen.append(replace(status, stage=stage, part=part))
        return ref

    def pieces(
        self,
        stage: Stage,
        fingerprint: str,
        names: Sequence[str],
        whole: bool,
        part: str = "",
        source: Callable[[str], ArtifactRef | None] | None = None,
    ) -> None:
        """The pieces of one artifact, side by side; ``source`` is what a piece was made from.

        One listing says which of them have a manifest, another who has the others in hand; where the artifact is
        ``whole``, and so the files of all of them have been verified, that is enough.
        """
        url, there = self.store.url(stage, fingerprint), self.store.manifests(stage, fingerprint)
        claims = {} if whole else self.store.claims(stage, fingerprint)

        def one(name: str) -> StageStatus:
            seen = StageStatus(stage, name, "missing", url=url, is_shard=True)
            if f"{name}.json" in there:
                if whole and not self.store.anew:
                    return replace(seen, state="done")
                inputs = [] if source is None else [source(name)]
                seen = self._state(stage, name, fingerprint, inputs, f"{name}.json")[0]
            if seen.state != "done" and (claim := claims.get(name)) is not None:
                seen = replace(seen, state="running", why=claim.holder)
            return seen

        self.seen += [replace(seen, part=part) for seen in side_by_side(one, names)]

    def _state(
        self,
        stage: str,
        name: str,
        fingerprint: str,
        inputs: Sequence[ArtifactRef | None],
        manifest_name: str,
    ) -> tuple[StageStatus, ArtifactRef | None]:
        url, shown = self.store.url(stage, fingerprint), cast(Stage, stage)
        real = [ref for ref in inputs if ref is not None]
        is_shard = manifest_name != MANIFEST_NAME
        ref = self.store.find(stage, fingerprint, real, manifest_name) if len(real) == len(inputs) else None
        if ref is not None:
            return StageStatus(shown, name, "done", url=url, is_shard=is_shard), ref
        state, why = self.store.state(stage, fingerprint, manifest_name)
        if state == "done":
            state, why = "missing", "what it was made from is missing or has changed"
        return StageStatus(shown, name, cast(State, state), why, url, is_shard), None

    def begun(self, how_far: str, running: bool = False) -> None:
        """The last one looked at is not there, and part of the work on it is, or is being done."""
        last = self.seen[-1]
        if last.state == "running":
            self.seen[-1] = replace(last, why=f"{last.why}; {how_far}")
        elif last.state == "missing" and not last.why:
            self.seen[-1] = replace(last, state="running" if running else "missing", why=how_far)

    def waits(self, stage: Stage, name: str, why: str, part: str = "") -> None:
        """One whose fingerprint is not known yet."""
        self.seen.append(StageStatus(stage, name, "missing", why, part=part))


class _Planned(NamedTuple):
    """Stands in for an artifact that is not there yet, where only its fingerprint is asked for."""

    stage: str
    fingerprint: str


def _planned(ref: ArtifactRef | None, stage: str, fingerprint: str) -> ArtifactRef:
    return ref if ref is not None else cast(ArtifactRef, _Planned(stage, fingerprint))


def _real(ref: ArtifactRef) -> ArtifactRef | None:
    return ref if isinstance(ref, ArtifactRef) else None
