"""Collection and filtering: a task a shard, side by side, each judged as soon as it is there."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from queue import SimpleQueue

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from tad_core.artifacts import ArtifactRef
from tad_core.config import TADConfig
from tad_core.errors import TADError
from tad_core.stages.collect import ShardSpec, find_collection
from tad_core.stages.pipeline import Outcome, Stage
from tasks import collect as collecting
from tasks import filter as filtering
from tasks.progress import Board
from tasks.records import PrefectSink
from tasks.work import Work

#: Shards handed out beyond the number of workers, so that none waits for Prefect between two shards.
_AHEAD = 1
_JUDGED_AT_ONCE = 1


@flow(name="tad-collect", flow_run_name="collect {config.name}", task_runner=ThreadPoolTaskRunner())
def collect_flow(config: TADConfig, force: list[Stage] = []) -> Outcome:  # noqa: B006 (the UI shows literals)
    """Collect and filter."""
    with Work(config, Board([PrefectSink()]), force) as work:
        return collect_and_filter(work)


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
        with work.row("collect", _samples(work), "samples") as row:
            collection = collecting.close(work, [])
            row.ended(_samples(work))
        if not judge:
            return Outcome(collection)
        if not work.forced("filter") and filtering.is_done(work, collection):
            with work.row("filter", _samples(work), "trajectories") as row:
                filtered = filtering.close(work, collection, [])
                row.ended(_samples(work))
            return Outcome(collection, filtered)
    shards = _FanOut(work, judge).run()
    collection = collecting.close(work, [shards.collected[s.name] for s in work.plan.shards])
    if not judge:
        return Outcome(collection)
    verdicts = [shards.judged[s.name] for s in work.plan.shards]
    return Outcome(collection, filtering.close(work, collection, verdicts))


@dataclass
class _Shards:
    collected: dict[str, ArtifactRef] = field(default_factory=dict)
    judged: dict[str, ArtifactRef] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)


class _FanOut:
    """Hands out shards to as many tasks as there are workers, and each finished one to a filter task.

    Only a few tasks exist at a time, so that thousands of shards neither wait as "running" in the UI nor keep
    the filter tasks behind all collection tasks.
    """

    def __init__(self, work: Work, judge: bool) -> None:
        self._work, self._judge = work, judge
        self._to_collect = deque(work.plan.shards)
        self._to_judge: deque[ShardSpec] = deque()
        self._ended: SimpleQueue[tuple[str, ShardSpec, PrefectFuture[ArtifactRef]]] = SimpleQueue()
        self._flying = {"collect": 0, "filter": 0}
        self._shards = _Shards()
        self._kept = self._privileged = 0

    def run(self) -> _Shards:
        """Run everything; raise one summary at the end if something failed."""
        total = _samples(self._work)
        with self._work.row("collect", total, "samples"):
            if not self._judge:
                self._loop()
            else:
                with self._work.row("filter", total, "trajectories"):
                    self._loop()
        return self._shards

    def _loop(self) -> None:
        while True:
            self._hand_out()
            if not any(self._flying.values()):
                break
            stage, shard, future = self._ended.get()
            self._flying[stage] -= 1
            self._take(stage, shard, future.result(raise_on_failure=False))
        if self._shards.failed:
            raise summary(self._shards.failed, len(self._work.plan.shards))

    def _hand_out(self) -> None:
        while self._to_collect and self._flying["collect"] < self._work.pool.size + _AHEAD:
            shard = self._to_collect.popleft()
            self._watch("collect", shard, collecting.submit_shard(self._work, shard))
        while self._to_judge and self._flying["filter"] < _JUDGED_AT_ONCE:
            shard = self._to_judge.popleft()
            ref = self._shards.collected[shard.name]
            self._watch("filter", shard, filtering.submit_shard(self._work, ref))

    def _watch(self, stage: str, shard: ShardSpec, future: PrefectFuture[ArtifactRef]) -> None:
        self._flying[stage] += 1
        future.add_done_callback(lambda done: self._ended.put((stage, shard, done)))

    def _take(self, stage: str, shard: ShardSpec, result: ArtifactRef | Exception) -> None:
        if isinstance(result, Exception):
            self._shards.failed[f"{stage} {shard.name}"] = result
            return
        units = (shard.stop - shard.start) * self._work.config.rollout.samples
        self._work.rows[stage].ended(units, shard.name)
        if stage == "filter":
            self._shards.judged[shard.name] = result
            info = result.manifest.info
            self._kept, self._privileged = self._kept + info["kept"], self._privileged + info["privileged"]
            self._work.rows[stage].note(**{"kept %": 100.0 * self._kept / max(self._privileged, 1)})
            return
        self._shards.collected[shard.name] = result
        if len(self._shards.collected) == len(self._work.plan.shards):
            self._work.rows[stage].finish()
        if self._judge:
            self._to_judge.append(shard)


def summary(failed: dict[str, Exception], total: int) -> Exception:
    """One error for all failed shards, of the kind of the first, so that the exit code stays true."""
    first = next((e for e in failed.values() if isinstance(e, TADError)), next(iter(failed.values())))
    kind = type(first) if isinstance(first, TADError) else TADError
    lines = [f"{name}: {error}" for name, error in list(failed.items())[:5]]
    more = f"\n… and {len(failed) - 5} more" if len(failed) > 5 else ""
    return kind(
        f"{len(failed)} of {total} shards failed; what the others made is kept, run the same command again to go "
        "on.\n" + "\n".join(lines) + more
    )


def _samples(work: Work) -> int:
    return sum(s.stop - s.start for s in work.plan.shards) * work.config.rollout.samples
