"""Filter: judge every trajectory, keep the right ones, account for the rest.

One verdict file a shard of trajectories, same rows, same order, so that a lost file is judged again alone.
A trajectory has *passed* when its verdict is ``PASSED``; it is *kept* for training when it has passed and was
rolled out by the privileged teacher. Plain rollouts are judged only to be compared.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

from tad_core.artifacts import ArtifactRef, Store, fingerprint, read_manifest
from tad_core.artifacts.components import component_fields
from tad_core.artifacts.stamps import Stamp, glance, side_by_side
from tad_core.config import TADConfig, dump_config
from tad_core.config.marks import with_cost
from tad_core.data.problem import Problem
from tad_core.errors import ArtifactError, DataError
from tad_core.progress import OnProgress, silent
from tad_core.settings import CONFIG_NAME
from tad_core.stages.alone import made_once
from tad_core.stages.judging import judge_rows
from tad_core.stages.sharing import Pieces
from tad_core.stages.verdict_counts import Tally, count, summarise
from tad_core.trajectory.schema import PRIVILEGED, Trajectory
from tad_core.trajectory.shards import read_trajectories, write_verdicts
from tad_core.verify import Judgement, Verifier
from tad_core.verify.verdict import NO_PROGRAMS

STAGE = "filter"
STAGE_VERSION = 2
SUMMARY_NAME = "summary.json"


class Fingerprinted(Protocol):
    """A plan or an artifact of the collection: both carry the collection's fingerprint."""

    @property
    def fingerprint(self) -> str:
        """The collection's fingerprint."""


class Plan(Fingerprinted, Protocol):
    """What filtering needs of a ``CollectionPlan``."""

    @property
    def problems(self) -> Mapping[str, Problem]:
        """Every problem of the collection by its id."""


def key(config: TADConfig, collection: Fingerprinted) -> str:
    """Fingerprint of the verdicts: the verifier's settings and the trajectories judged."""
    fields = {"filter": config.filter.identity(), **component_fields(STAGE)}
    return fingerprint(STAGE, STAGE_VERSION, fields, [collection.fingerprint])


def filter_shard(
    config: TADConfig,
    plan: Plan,
    shard_ref: ArtifactRef,
    store: Store,
    on_progress: OnProgress = silent,
    force: bool = False,
    verifier: Verifier | None = None,
) -> ArtifactRef:
    """Judge one shard; an open ``verifier`` may be passed in, so that many shards share its start-up.

    Raises:
        VerifierError: when the verifier itself failed on a text after its own retries; nothing is written
            then, since such a text is neither right nor wrong.
        DataError: when the shard holds a problem that the plan does not know.
    """
    mark = key(config, plan)
    if not force and (found := store.find(STAGE, mark, [shard_ref], shard_ref.manifest_name)):
        return found
    rows = read_trajectories(shard_ref.local(f"{_name(shard_ref)}.parquet"))
    with contextlib.ExitStack() as stack:
        started = time.monotonic()
        judge = verifier or stack.enter_context(Verifier(config.filter))
        judgements = judge_rows(config, judge, rows, plan.problems, on_progress)
        # Without a program nothing needs isolation, and no machine is asked to give it.
        programs = any(row.kind == "code" for row in rows)
        tier = judge.tier.name if programs else NO_PROGRAMS
        facts = {"tier": tier, "judge_s": round(time.monotonic() - started, 3)}
    # Another may have been quicker, if the claim on this shard ran out meanwhile.
    find = None if force else lambda: store.find(STAGE, mark, [shard_ref], shard_ref.manifest_name)
    return _write(config, shard_ref, store, mark, rows, judgements, facts, find)


@dataclass(frozen=True)
class ShardToJudge:
    """A shard of trajectories, by its name and its verified artifact."""

    name: str
    ref: ArtifactRef


def pieces_of(
    config: TADConfig, plan: Plan, store: Store, shards: Sequence[ShardToJudge], force: bool = False
) -> Pieces[ShardToJudge]:
    """The part of the shards that falls to this process, while others, here or on other hosts, judge others."""
    mark = key(config, plan)

    def find(shard: ShardToJudge, store: Store) -> ArtifactRef | None:
        return store.find(STAGE, mark, [shard.ref], shard.ref.manifest_name)

    return Pieces(STAGE, mark, shards, find, store, config.rollout.lease_s, force)


def filter_all(
    config: TADConfig,
    plan: Plan,
    collection_ref: ArtifactRef,
    store: Store,
    on_progress: OnProgress = silent,
    force: bool = False,
    verifier: Verifier | None = None,
    check: Callable[[], None] = lambda: None,
) -> ArtifactRef:
    """Judge every shard of a finished collection with one verifier, then summarise.

    Other processes that filter the same, on this machine or another, take their part of the shards; of one that was
    killed only the shard in its hands is judged again.

    Args:
        config: the run.
        plan: of the collection.
        collection_ref: the finished collection.
        store: where the verdicts are looked for and written.
        on_progress: told the trajectories judged.
        force: judge even what is there.
        verifier: an open one; one of its own otherwise.
        check: called before each shard, also while others judge what is left; ends it by raising.
    """
    found = store.find(STAGE, key(config, plan), [collection_ref])
    if found is not None and not force:
        return _enough(config, found)
    names = [str(entry["name"]) for entry in _shards(collection_ref)]
    total = sum(int(entry["rows"]) for entry in _shards(collection_ref))
    seen = glance(collection_ref.url, len(names))
    shards = side_by_side(lambda name: ShardToJudge(name, _shard_ref(collection_ref, name, seen)), names)
    tally = Tally(total, on_progress)
    with contextlib.ExitStack() as stack:
        pieces = stack.enter_context(pieces_of(config, plan, store, shards, force=force))
        pieces.take_present()
        for name in names:
            if name in pieces.refs:
                tally.add(pieces.refs[name])
        for shard in pieces.todo(tally.add):
            check()
            if shard is None:  # others judge what is left
                time.sleep(pieces.look_s)
                continue
            verifier = verifier or stack.enter_context(Verifier(config.filter))
            ref = filter_shard(config, plan, shard.ref, store, force=force, verifier=verifier)
            pieces.ended(shard, ref)
            tally.add(ref)
    refs = [pieces.refs[name] for name in names]
    return finish_filter(config, plan, collection_ref, refs, store, force=force)


def finish_filter(
    config: TADConfig,
    plan: Plan,
    collection_ref: ArtifactRef,
    verdict_refs: Sequence[ArtifactRef],
    store: Store,
    force: bool = False,
) -> ArtifactRef:
    """Summarise the verdicts of all shards (``summary.json``) and list their files.

    Raises:
        ArtifactError: when the verdicts do not cover every row of every shard of the collection.
        DataError: when fewer privileged trajectories are kept than ``rollout.min_kept``.
    """
    mark = key(config, plan)

    def make() -> ArtifactRef:
        return _summed(config, mark, collection_ref, verdict_refs, store)

    def find() -> ArtifactRef | None:
        return store.find(STAGE, mark, [collection_ref])

    return _enough(config, made_once(store, STAGE, mark, config.rollout.lease_s, find, make, force))


def _summed(
    config: TADConfig,
    mark: str,
    collection_ref: ArtifactRef,
    verdict_refs: Sequence[ArtifactRef],
    store: Store,
) -> ArtifactRef:
    by_name = {_name(ref): ref.manifest for ref in verdict_refs}
    rows: list[dict[str, Any]] = []
    tiers: Counter[str] = Counter()
    with store.writer(STAGE, STAGE_VERSION, mark, _fields(config), [collection_ref]) as writer:
        writer.write_text(CONFIG_NAME, dump_config(config))
        for entry in _shards(collection_ref):
            manifest = by_name.get(str(entry["name"]))
            if manifest is None or manifest.info["rows"] != entry["rows"]:
                raise ArtifactError(
                    f"filter: shard {entry['name']} is not judged in full; run the filter again"
                )
            rows += manifest.info["by_source"]
            tiers[str(manifest.info["tier"])] += int(manifest.info["rows"])
            writer.keep(manifest.files)
        summary = summarise(rows, tiers)
        _check_kept(config, summary)
        writer.write_json(SUMMARY_NAME, summary)
        judge_s = sum(float(m.info["judge_s"]) for m in by_name.values())
        return writer.commit(
            {**{k: summary[k] for k in ("rows", "kept", "tier")}, "judge_s": round(judge_s, 3)}
        )


def privileged_total(summary: Mapping[str, Any]) -> int:
    """Judged rollouts that had the reference in their prompt, of which ``kept`` are those that passed."""
    return sum(e["total"] for e in summary["by_source"] if e["condition"] == PRIVILEGED)


def read_summary(filtered_ref: ArtifactRef) -> dict[str, Any]:
    """The parsed ``summary.json``."""
    summary: dict[str, Any] = filtered_ref.read_json(SUMMARY_NAME)
    return summary


# --- one shard --------------------------------------------------------------------------------------


def _write(
    config: TADConfig,
    shard_ref: ArtifactRef,
    store: Store,
    mark: str,
    rows: Sequence[Trajectory],
    judgements: Sequence[Judgement],
    facts: Mapping[str, Any],
    unless: Callable[[], ArtifactRef | None] | None,
) -> ArtifactRef:
    name = _name(shard_ref)
    table = [
        {
            "problem_id": row.problem_id,
            "source": row.source,
            "sample": row.sample,
            "condition": row.condition,
            "verdict": str(judgement.verdict),
            "reason": judgement.reason,
            "extracted": judgement.extracted,
        }
        for row, judgement in zip(rows, judgements, strict=True)
    ]
    counts = count(table)
    info = {
        "name": name,
        "rows": len(table),
        "kept": sum(c["kept"] for c in counts if c["condition"] == PRIVILEGED),
        "privileged": sum(c["total"] for c in counts if c["condition"] == PRIVILEGED),
        "by_source": counts,
        **facts,
    }
    with store.writer(
        STAGE, STAGE_VERSION, mark, _fields(config), [shard_ref], shard_ref.manifest_name
    ) as writer:
        write_verdicts(writer.path(f"{name}.verdicts.parquet", rows=len(table), by_content=True), table)
        return writer.commit(info, unless)


# --- all shards -------------------------------------------------------------------------------------


def _check_kept(config: TADConfig, summary: Mapping[str, Any]) -> None:
    if summary["kept"] >= config.rollout.min_kept:
        return
    rejected: Counter[str] = Counter()
    judged = 0
    for entry in summary["by_source"]:
        if entry["condition"] == PRIVILEGED:
            judged += entry["total"]
            rejected.update(entry["rejected"])
    why = ", ".join(f"{reason} {n}" for reason, n in rejected.most_common(3)) or "none were judged"
    lower = f"more problems, or lower {with_cost('rollout.min_kept')}"
    remedy = lower if summary["kept"] else "other problems, or a model that solves some of them"
    raise DataError(
        f"rollout.min_kept: {summary['kept']} of {judged} privileged trajectories passed and "
        f"{config.rollout.min_kept} are needed (rejected: {why}); look at them with `tad show CONFIG "
        f"--verdict wrong`, give {remedy}"
    )


def _enough(config: TADConfig, ref: ArtifactRef) -> ArtifactRef:
    # min_kept is no part of the verdicts' identity: a found summary is held against today's value.
    _check_kept(config, read_summary(ref))
    return ref


def _shards(collection_ref: ArtifactRef) -> list[dict[str, Any]]:
    shards: list[dict[str, Any]] = collection_ref.manifest.info["shards"]
    return shards


def _shard_ref(collection_ref: ArtifactRef, name: str, stamps: Mapping[str, Stamp]) -> ArtifactRef:
    """The piece of a finished collection that is called ``name``, as its own verified artifact."""
    url, manifest_name = collection_ref.url, f"{name}.json"
    manifest = read_manifest(url, manifest_name)
    if manifest is None:
        raise ArtifactError(
            f"filter: {url}/{manifest_name} is missing or unreadable; run `tad collect` again, which mends it"
        )
    return ArtifactRef.of(url, manifest_name, manifest, stamps=stamps)


def _name(ref: ArtifactRef) -> str:
    return PurePosixPath(ref.manifest_name).stem


def _fields(config: TADConfig) -> dict[str, Any]:
    return config.filter.model_dump(mode="json")
