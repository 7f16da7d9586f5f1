"""Collection and filtering: a task a shard, side by side, each judged as soon as it is there."""

from __future__ import annotations

import queue
from dataclasses import dataclass, field

from prefect.futures import PrefectFuture

from flows.children import Children
from tad_core.artifacts import ArtifactRef
from tad_core.artifacts.files import no_answer
from tad_core.errors import (
    LAST_OF_A_MODEL,
    LogitsError,
    StoreError,
    TADError,
    WorkersLostError,
    in_a_line,
)
from tad_core.signals import asked_to_stop
from tad_core.stages.collect import ShardSpec, find_collection
from tad_core.stages.filter import ShardToJudge
from tad_core.stages.mending import mend_shards
from tad_core.stages.pipeline import Outcome
from tasks import collect as collecting
from tasks import filter as filtering
from tasks.progress import say
from tasks.work import Work

#: Shards handed out beyond the number of workers, so that none waits for Prefect between two shards.
_AHEAD = 1
_JUDGED_AT_ONCE = 1
#: Finished shards that are looked at together where nothing is decoded.
_CHECKED_AT_ONCE = 4


def collect_and_filter(work: Work, judge: bool = True) -> Outcome:
    """Wire both stages: all shards, then the two manifests that close them.

    Args:
        work: the run.
        judge: False ends after collection.

    Raises:
        TADError: one summary once every shard has ended, if any failed; the others are kept.
    """
    collection = None if work.forced("collect") else find_collection(work.plan, work.store)
    if collection is not None:
        with work.row("collect", samples_of(work), "samples") as row:
            collection = collecting.close(work, [])
            row.ended(samples_of(work))
        if not judge:
            mend_shards(collection)
            return Outcome(collection)
        if not work.forced("filter") and filtering.is_done(work, collection):
            with work.row("filter", samples_of(work), "trajectories") as row:
                filtered = filtering.close(work, collection, [])
                row.ended(samples_of(work))
            return Outcome(collection, filtered)
        # They are judged one by one, and one without a manifest would be decoded again.
        mend_shards(collection)
    with Children(work, judge) as children:
        shards = FanOut(work, judge, children).run()
    collection = collecting.close(work, [shards.collected[s.name] for s in work.plan.shards])
    if not judge:
        return Outcome(collection)
    verdicts = [shards.judged[s.name] for s in work.plan.shards]
    return Outcome(collection, filtering.close(work, collection, verdicts))


@dataclass
class Shards:
    """What became of each shard, by its name."""

    collected: dict[str, ArtifactRef] = field(default_factory=dict)
    judged: dict[str, ArtifactRef] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)


class FanOut:
    """Hands out shards to as many tasks as there are workers, and each finished one to a filter task.

    Only a few tasks exist at a time, so that thousands of shards neither wait as "running" in the UI nor keep
    the filter tasks behind all collection tasks. Other hosts take their part of the shards; what they have finished
    is found in the store, what they lose comes back.
    """

    def __init__(
        self, work: Work, judge: bool, children: Children | None = None, helps: bool = False
    ) -> None:
        self._work, self._judge, self._children, self._helps = work, judge, children, helps
        self._shares = work.shares
        self._verdicts = work.verdicts
        self._ended: queue.SimpleQueue[tuple[str, ShardSpec, PrefectFuture[ArtifactRef]]] = (
            queue.SimpleQueue()
        )
        self._specs = {shard.name: shard for shard in work.plan.shards}
        self._flying = {"collect": 0, "filter": 0}
        self._shards = Shards()
        self._kept = self._privileged = 0

    def run(self) -> Shards:
        """Run everything; raise one summary at the end if something failed."""
        total, judge = samples_of(self._work), self._judge
        with self._work.row("collect", total, "samples"):
            if not judge:
                self._loop()
            else:
                with self._work.row("filter", total, "trajectories"):
                    self._loop()
        return self._shards

    def _loop(self) -> None:
        while True:
            self._hand_out()
            self._look_after_children()
            left = self._shares.left + self._verdicts.left
            if not any(self._flying.values()) and not left:
                break
            try:
                # With shards in others' hands there is something to look for before one of ours ends.
                stage, shard, future = self._ended.get(timeout=self._shares.look_s if left else None)
            except queue.Empty:
                continue
            self._flying[stage] -= 1
            self._take(stage, shard, future.result(raise_on_failure=False))
        if self._shards.failed:
            raise summary(self._shards.failed, len(self._work.plan.shards))

    def _look_after_children(self) -> None:
        """Nobody waits for shards that nobody will make."""
        if self._children is None:
            return
        self._children.look(self._shares.missing)
        waits = self._shares.missing and not self._shares.may_claim and not self._shares.elsewhere
        if waits and self._children.gone:
            self._shards.failed["collection on other hosts"] = WorkersLostError(
                f"every child run ended and {self._shares.missing} shards are left; look at the child runs"
            )
            self._shares.abandon()

    def _hand_out(self) -> None:
        if self._helps:  # whoever closes the collection looks at what others have finished
            self._shares.drop_present()
        at_once = self._work.workers + _AHEAD if self._shares.may_claim else _CHECKED_AT_ONCE
        while self._flying["collect"] < at_once and (shard := self._shares.next()) is not None:
            self._watch("collect", shard, collecting.submit_shard(self._work, shard))
        while self._flying["filter"] < _JUDGED_AT_ONCE and (judged := self._verdicts.next()) is not None:
            self._watch("filter", self._specs[judged.name], filtering.submit_shard(self._work, judged))

    def _watch(self, stage: str, shard: ShardSpec, future: PrefectFuture[ArtifactRef]) -> None:
        self._flying[stage] += 1
        future.add_done_callback(lambda done: self._ended.put((stage, shard, done)))

    def _take(self, stage: str, shard: ShardSpec, result: ArtifactRef | Exception) -> None:
        if isinstance(result, WorkersLostError) and self._children is not None and not self._children.gone:
            say("no worker can run on this machine any more; the other hosts go on")
            self._shares.only_wait()
            self._shares.put_back(shard)
            return
        if isinstance(result, Exception) and stage == "filter" and self._helps:
            say(f"nothing more is judged here, whoever closes the collection does it: {result}")
            self._verdicts.ended(ShardToJudge(shard.name, self._shards.collected[shard.name]))
            self._verdicts.abandon()
            self._judge = False
            return
        if isinstance(result, Exception):
            self._shards.failed[f"{stage} {shard.name}"] = result
            if stage == "collect":
                self._shares.ended(shard)
            else:
                self._verdicts.ended(ShardToJudge(shard.name, self._shards.collected[shard.name]))
            if isinstance(result, LAST_OF_A_MODEL):
                self._shares.abandon()
            # What such a model has decoded so far is for nobody.
            if isinstance(result, StoreError | LogitsError):
                self._verdicts.abandon()
            if (others := self._others()) and not asked_to_stop():
                say(f"{stage} {shard.name} failed, {others}: {in_a_line(result)}")
            return
        units = (shard.stop - shard.start) * self._work.config.rollout.samples
        self._work.rows[stage].ended(units, shard.name)
        if stage == "filter":
            self._shards.judged[shard.name] = result
            self._verdicts.ended(ShardToJudge(shard.name, self._shards.collected[shard.name]), result)
            info = result.manifest.info
            self._kept, self._privileged = self._kept + info["kept"], self._privileged + info["privileged"]
            self._work.rows[stage].note(**{"kept %": 100.0 * self._kept / max(self._privileged, 1)})
            return
        self._shares.ended(shard, result)
        self._shards.collected[shard.name] = result
        if len(self._shards.collected) == len(self._work.plan.shards):
            self._work.rows[stage].finish()
        if self._judge:
            self._verdicts.add(ShardToJudge(shard.name, result))

    def _others(self) -> str:
        """What becomes of the others after a failure, in words; empty where there are none."""
        if self._shares.left:
            return "the others go on"
        return "what is begun is finished" if self._verdicts.left or any(self._flying.values()) else ""


def summary(failed: dict[str, Exception], total: int, what: str = "shards") -> Exception:
    """One error for all that failed, of the kind of the first, so that the exit code stays true.

    What a store refuses is the same for all, and said once.
    """
    first = next((e for e in failed.values() if isinstance(e, TADError)), next(iter(failed.values())))
    kind = type(first) if isinstance(first, TADError) else TADError
    told = {name: (isinstance(e, OSError) and no_answer(e)) or str(e) for name, e in failed.items()}
    of_store = all(isinstance(e, StoreError) or told[name] != str(e) for name, e in failed.items())
    if of_store and len({text.partition(":")[0] for text in told.values()}) == 1:
        return next(iter(failed.values()))
    lines = [f"{name}: {text}" for name, text in list(told.items())[:5]]
    more = f"\n… and {len(failed) - 5} more" if len(failed) > 5 else ""
    return kind(
        f"{len(failed)} of {total} {what} failed; what the others made is kept, run the same command again to go "
        "on.\n" + "\n".join(lines) + more
    )


def samples_of(work: Work) -> int:
    """Trajectories of the whole collection."""
    return sum(s.stop - s.start for s in work.plan.shards) * work.config.rollout.samples
