"""Decode: the slices of one model's evaluation, each an atomic, verified piece that any evaluation may use.

Layout: ``decode/<model>/<way and prompts>-00000-00064.<content>.parquet`` with a manifest of its own; nothing closes
the folder. ``slice_plan`` says what the slices are; ``evaluate`` judges them and puts the results of a model together.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from tad_core.artifacts import ArtifactRef, Store
from tad_core.artifacts.stamps import side_by_side
from tad_core.checkpoint import check_unchanged
from tad_core.config import TADConfig
from tad_core.decoding import Decoded, DecodeSpec
from tad_core.errors import PERMANENT_ERRORS, SubprocessError, in_a_line
from tad_core.evaluation.decoders import how
from tad_core.evaluation.slices import read_slice, write_slice
from tad_core.evaluation.sweep import Decodings
from tad_core.progress import OnProgress, Progress, silent
from tad_core.stages.distill import ADAPTER
from tad_core.stages.sharing import Shares
from tad_core.stages.slice_folder import STAGE, STAGE_VERSION
from tad_core.stages.slice_plan import SlicePlan, SliceSpec, spec_fields
from tad_core.workers.fanning import fan_out
from tad_core.workers.jobs import DecodeJob, Decoders
from tad_core.workers.pool import Pool

_log = logging.getLogger(__name__)

#: Between two looks at whether anybody is still decoding.
_LOOK_S = 1.0

#: How often a slice is tried whose process dies.
_TRIES = 3


class Decoding:
    """The slices of one model while they are made; a context manager, which ends what is still in hand.

    Missing ones are decoded by a pool; others that decode the same, in this process or elsewhere, take their part. What
    is complete can be read meanwhile, way by way.
    """

    def __init__(
        self,
        config: TADConfig,
        model_name: str,
        plan: SlicePlan,
        store: Store,
        pool: Pool,
        on_progress: OnProgress = silent,
        force: bool = False,
        decoders: Decoders | None = None,
        on_begun: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing runs before it is entered.

        Args:
            config: the run.
            model_name: for people.
            plan: from ``plan_slices``.
            store: where the slices live.
            pool: has the processes.
            on_progress: told the answers there are.
            force: decode even what is there, which is taken away first: what is there then is of this run, also for
                another try of it.
            decoders: how many of the pool's processes; default: by ``evaluate.workers``.
            on_begun: told, by another thread, when with ``force`` nothing is left of what was there.
        """
        self._config, self._plan, self._store, self._pool, self._force = config, plan, store, pool, force
        self._decoders = decoders or Decoders.of(config.model, config.evaluate.workers)
        self._adapter = plan.inputs[0].local_folder(ADAPTER) if plan.inputs else None
        self._told = _Told(model_name, plan, on_progress)
        self._changed = threading.Condition()
        self._refs: dict[str, ArtifactRef] = {}
        self._error: BaseException | None = None
        self._over, self._on_begun = False, on_begun
        self._thread = threading.Thread(target=self._run, name=f"decode {model_name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._over = True
        if error is not None and not isinstance(error, Exception):
            self._pool.close()  # Ctrl-C: at once
        self._thread.join()

    def way(self, spec: DecodeSpec) -> Decodings:
        """Everything decoded one way, once it is there.

        Raises:
            SubprocessError: processes kept dying.
            TADError: what a process reported.
            KeyboardInterrupt: a process was interrupted.
        """
        names = [piece.name for piece in self._plan.of(spec)]
        with self._changed:
            while missing := [name for name in names if name not in self._refs]:
                if not self._thread.is_alive():
                    raise self._error or AssertionError(f"{missing[0]} was not made")
                self._changed.wait(_LOOK_S)
        return read_way(self._plan, self._refs, spec)

    def _run(self) -> None:
        try:
            if self._force:
                self._discard()
                self._on_begun()
            with Shares(self._plan, self._store, self._config.rollout.lease_s) as shares:
                # One more than decodes: its slice is there when a process is free, and the last is written meanwhile.
                at_once = self._decoders.slots + 1
                # A fault here ends no process of the pool: other models use them.
                for piece, ref in fan_out(self._todo(shares), self._make, at_once):
                    shares.ended(piece, ref)
                    self._publish(shares)
                self._publish(shares)
                if self._pool.closed and len(shares.refs) < len(self._plan.distinct):
                    raise SubprocessError("evaluate: the pool of workers is closed")
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._changed.notify_all()

    def _discard(self) -> None:
        there = self._store.manifests(STAGE, self._plan.fingerprint)
        names = [name for name in (f"{piece}.json" for piece in self._plan.distinct) if name in there]
        side_by_side(partial(self._store.discard, STAGE, self._plan.fingerprint), names)

    def _todo(self, shares: Shares[SliceSpec]) -> Iterator[SliceSpec | None]:
        """What to make here, as long as anybody waits for it and it can be made; what is found is told."""
        for piece in shares.todo():
            self._publish(shares)
            if self._over or self._pool.closed:
                if piece is not None:
                    shares.ended(piece)
                return
            yield piece

    def _publish(self, shares: Shares[SliceSpec]) -> None:
        with self._changed:
            new = shares.refs.keys() - self._refs.keys()
            self._refs.update({name: shares.refs[name] for name in new})
            self._changed.notify_all()
        self._told.ended(new)

    def _make(self, piece: SliceSpec) -> ArtifactRef:
        places, prompts = self._plan.prompts[piece.task].of(piece)
        job = self._decoders.job(prompts, piece.spec, self._config.evaluate.batch_size, self._adapter)
        rows = self._decode(job, self._told.listener(piece))
        return write(self._config, self._plan, piece, self._store, places, rows)

    def _decode(self, job: DecodeJob, on_progress: OnProgress) -> list[Decoded]:
        tries = 0
        while True:
            try:
                return self._pool.run(job, on_progress)
            except PERMANENT_ERRORS:
                self._over = True  # the next slice would find the same
                raise
            except KeyboardInterrupt:
                self._pool.close()
                raise
            except SubprocessError as error:
                tries += 1
                if tries == _TRIES or self._pool.closed:
                    raise
                _log.warning("decoded again: %s", in_a_line(error))


def write(
    config: TADConfig,
    plan: SlicePlan,
    piece: SliceSpec,
    store: Store,
    places: Sequence[int],
    rows: Sequence[Decoded],
) -> ArtifactRef:
    """Publish one slice, unless another host was quicker.

    Raises:
        ModelError: the model was replaced while it was decoded.
    """
    check_unchanged(config.model, plan.base)
    with store.writer(
        STAGE,
        STAGE_VERSION,
        plan.fingerprint,
        config.model_dump(mode="json"),
        plan.inputs,
        f"{piece.name}.json",
    ) as writer:
        write_slice(writer.path(f"{piece.name}.parquet", rows=len(rows), by_content=True), places, rows)
        info = {"task": piece.task, "spec": spec_fields(piece.spec), "mode": piece.spec.mode}
        return writer.commit(info, unless=lambda: plan.find(piece, store))


def read_way(plan: SlicePlan, refs: Mapping[str, ArtifactRef], spec: DecodeSpec) -> Decodings:
    """Everything that was decoded one way."""
    found: dict[tuple[str, str], Decoded] = {}
    for piece in plan.of(spec):
        rows = read_slice(refs[piece.name].local(f"{piece.name}.parquet"))
        problems = plan.prompts[piece.task].problems
        found |= {(piece.task, problems[place].id): one for place, one in rows.items()}
    return found


class _Told:
    """Progress of slices as progress of the whole evaluation; safe from any thread."""

    def __init__(self, model_name: str, plan: SlicePlan, on_progress: OnProgress) -> None:
        self._model, self._total, self._on_progress = model_name, plan.samples, on_progress
        self._pieces = plan.distinct
        self._done: dict[str, int] = {}
        self._lock = threading.Lock()

    def listener(self, piece: SliceSpec) -> OnProgress:
        """Of one slice."""
        return lambda progress: self._tell({piece.name: progress.done})

    def ended(self, names: Collection[str]) -> None:
        """Slices are there."""
        self._tell({name: self._pieces[name].stop - self._pieces[name].start for name in sorted(names)})

    def _tell(self, done: Mapping[str, int]) -> None:
        with self._lock:
            more = {name: n for name, n in done.items() if n > self._done.get(name, -1)}
            if not more:  # one that is begun again tells nothing twice
                return
            self._done |= more
            figures: dict[str, Any] = {
                "model": self._model,
                "decoding": how(self._pieces[next(iter(more))].spec),
            }
            self._on_progress(Progress("evaluate", sum(self._done.values()), self._total, "answers", figures))
