"""What the tasks of one run share."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.context import FlowRunContext

from tad_core.artifacts import MANIFEST_NAME, Store, clocks
from tad_core.config import TADConfig
from tad_core.stages.collect import ShardSpec
from tad_core.stages.filter import ShardToJudge, pieces_of
from tad_core.stages.pipeline import plan_of
from tad_core.stages.sharing import Pieces, Shares
from tad_core.verify import Verifier
from tad_core.workers.devices import workers_of
from tad_core.workers.pool import Pool
from tasks.caching import absolute_store
from tasks.logs import forward_lines
from tasks.progress import Board, Row
from tasks.retrying import STOPPED

_log = logging.getLogger(__name__)


def _this_run() -> set[UUID]:
    """The flow run around the caller; none outside of one."""
    context = FlowRunContext.get()
    return {context.flow_run.id} if context and context.flow_run else set()


def _known(store: Store) -> Store:
    """A store at which this process has looked: before, where a command checked all, or now, where a child run began.

    Raises:
        ArtifactError: it cannot be written.
    """
    if not clocks.is_known(store.root):
        store.check_writable()
        if note := clocks.note(store.root):
            _log.warning(note)
    return store


class Work:
    """Configuration, store, plan and listeners of a run.

    A plain class on purpose: Prefect walks through every dataclass, model, list and mapping that is passed to a
    task to look for futures, and a plan holds thousands of problems.
    """

    def __init__(
        self,
        config: TADConfig,
        board: Board,
        force: Collection[str] = (),
        decode: bool = True,
        part: str = "",
    ) -> None:
        """``part``: which part of a run it is, for people; empty where it is all or the first."""
        self.config, self.board, self._part = config, board, part
        self.store: Store = _known(absolute_store(config.store))
        self.plan = plan_of(config, self.store)
        self._force = frozenset(force)
        # Neither starts a process before it is used, and each serves all shards and slices.
        self.pool = Pool(config.model, on_line=forward_lines())
        # A machine that only waits may have fewer GPUs than those that decode.
        self.workers = workers_of(config) if decode else 1
        self.verifier = Verifier(config.filter)
        self.rows: dict[str, Row] = {}
        self._decode, self._first = decode, 0
        self._begun: set[str] = set()
        self._shares: Shares[ShardSpec] | None = None
        self._verdicts: Pieces[ShardToJudge] | None = None

    def of_part(self, config: TADConfig, part: str) -> Work:
        """The same for another part of the run, with processes of its own."""
        return Work(config, self.board, self._force, self._decode, part)

    @property
    def shares(self) -> Shares[ShardSpec]:
        """The shards that fall to this run, while other hosts do others."""
        if self._shares is None:
            force = self.forced("collect")
            if force and self.config.rollout.hosts > 1:
                # Others take what they see for finished: it has to go before any of them looks.
                # The collection's own manifest stays: it says how all of them cut it.
                for name in self.store.manifests("collect", self.plan.fingerprint) - {MANIFEST_NAME}:
                    self.store.discard("collect", self.plan.fingerprint, name)
                self.plan = plan_of(self.config, self.store)
                force = False
            self._shares = Shares(
                self.plan,
                self.store,
                self.config.rollout.lease_s,
                force=force,
                may_claim=self._decode,
                first=self._first,
            )
        return self._shares

    @property
    def verdicts(self) -> Pieces[ShardToJudge]:
        """The shards to judge that fall to this run; each is added once it is collected."""
        if self._verdicts is None:
            force = self.forced("filter")
            self._verdicts = pieces_of(self.config, self.plan, self.store, [], force=force)
        return self._verdicts

    def __enter__(self) -> Self:
        STOPPED.difference_update(_this_run())  # another try of a flow run is the same run
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is not None:
            # Ctrl-C, a cancellation, a time-out: the workers are about to be killed, which must not count as a
            # failure to be tried again.
            STOPPED.update(_this_run())
        claims = [own for own in (self._shares, self._verdicts) if own is not None]
        for own in claims:
            own.stop()
        self.pool.close()
        self.verifier.close()
        for own in claims:
            own.close()

    def begin_at(self, host: int, hosts: int) -> None:
        """Let each of several hosts begin at a shard of its own."""
        self._first = len(self.plan.shards) * host // max(1, hosts)

    @contextmanager
    def row(self, name: str, total: int = 0, unit: str = "") -> Iterator[Row]:
        """A row of the board, found by the tasks of that name."""
        with self.board.row(f"{name}, {self._part}" if self._part else name, total, unit) as row:
            self.rows[name] = row
            yield row

    def has_begun(self, what: str) -> bool:
        """Whether a try of this run has begun it anew: what is forced is so once, and another try goes on with it."""
        return what in self._begun

    def begin(self, what: str) -> None:
        """Note that nothing is left of what was there before this run."""
        self._begun.add(what)

    def forced(self, stage: str) -> bool:
        """Whether the user asked to compute this stage again."""
        return stage in self._force
