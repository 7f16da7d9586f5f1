"""Which piece of a plan to do next, while others do others: a shard of a collection, a slice of an evaluation.

Every process that works on a plan, a run or a worker on another host, holds a claim (``artifacts.leases``) on each
piece in its hands. What is left is found by two listings, of the finished pieces and of the claims, at most every
``look_s``; whether a claim is won is decided by the store.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, Self, TypeVar

from tad_core.artifacts import ArtifactRef, Store
from tad_core.errors import SubprocessError


class Piece(Protocol):
    """A part of a plan that is made, claimed and verified by itself."""

    @property
    def name(self) -> str:
        """Of its files, without suffix."""


AnyPiece = TypeVar("AnyPiece", bound=Piece)


class Plan(Protocol[AnyPiece]):
    """Pieces that lie in one folder of the store."""

    @property
    def stage(self) -> str:
        """Whose folder."""

    @property
    def fingerprint(self) -> str:
        """Which of them."""

    @property
    def pieces(self) -> Sequence[AnyPiece]:
        """In order."""

    def find(self, piece: AnyPiece, store: Store) -> ArtifactRef | None:
        """The finished, verified piece, or None."""


class Shares(Generic[AnyPiece]):
    """The part of a plan's pieces that falls to this process; safe from any thread.

    Args:
        plan: what is to be made.
        store: where pieces and claims are.
        lease_s: when a claim that is not renewed is over.
        force: pieces are done though they are there.
        may_claim: False only waits for pieces that others do.
        first: where to begin, so that hosts do not all reach for the same piece.
        look_s: between two looks at what others have done.
    """

    def __init__(
        self,
        plan: Plan[AnyPiece],
        store: Store,
        lease_s: float,
        force: bool = False,
        may_claim: bool = True,
        first: int = 0,
        look_s: float = 1.0,
    ) -> None:
        self.plan, self._store, self.force, self.may_claim = plan, store, force, may_claim
        self.look_s = min(look_s, lease_s / 3)
        self.refs: dict[str, ArtifactRef] = {}
        self._leases = store.leases(plan.stage, plan.fingerprint, lease_s)
        order = [*plan.pieces[first:], *plan.pieces[:first]]
        self._left = {piece.name: piece for piece in order}
        self._elsewhere: set[str] = set()
        self._over = threading.Event()
        self._looked_at = 0.0
        self.present: set[str] = set()
        self._look()

    @property
    def left(self) -> int:
        """Pieces that are neither finished nor handed out."""
        return len(self._left)

    @property
    def missing(self) -> int:
        """Pieces that at the last look were neither finished nor handed out here."""
        return len(self._left.keys() - self.present)

    @property
    def elsewhere(self) -> set[str]:
        """Those of them that others had in their hands at the last look."""
        return self._elsewhere & self._left.keys()

    def only_wait(self) -> None:
        """From now on take only what others finish."""
        self.may_claim = False

    def put_back(self, piece: AnyPiece) -> None:
        """A piece that was handed out and is not done here."""
        self._leases.release(piece.name)
        self._left[piece.name] = piece

    def abandon(self) -> None:
        """Hand out no more."""
        self._left.clear()

    def next(self) -> AnyPiece | None:
        """A piece that is finished, to be taken as it is, or claimed for this process; None if there is none now."""
        if time.monotonic() - self._looked_at > self.look_s and self._left:
            self._look()
        for name in self._left:
            if name in self.present and not self.force:
                break
            if self.may_claim and name not in self._elsewhere:
                if self._leases.take(name):
                    break
                self._elsewhere.add(name)
        else:
            return None
        return self._left.pop(name)

    def drop_present(self) -> int:
        """Forget the pieces that are there, without a look at their files; how many are left."""
        for name in self.present & self._left.keys():
            del self._left[name]
        return len(self._left)

    def own(self, piece: AnyPiece) -> ArtifactRef | None:
        """The finished piece, or None once it is claimed for this process; waits while another has it.

        Raises:
            SubprocessError: the run is being stopped.
        """
        while True:
            if not self.force and (ref := self.plan.find(piece, self._store)) is not None:
                return ref
            if self.may_claim and self._leases.take(piece.name):
                return None
            if not self.may_claim and piece.name in self.present:
                # It is there and damaged, which who decodes cannot see from its name.
                self.present.discard(piece.name)
                self._store.discard(self.plan.stage, self.plan.fingerprint, f"{piece.name}.json")
            if self._over.wait(self.look_s):
                raise SubprocessError("the run was stopped")

    def todo(self) -> Iterator[AnyPiece | None]:
        """Pieces to make here, None where there is none now; finished ones go into ``refs``."""
        while self._left:
            piece = self.next()
            if piece is None:
                yield None
            elif (ref := self.own(piece)) is not None:
                self.ended(piece, ref)
            else:
                yield piece

    def ended(self, piece: AnyPiece, ref: ArtifactRef | None = None) -> None:
        """Give the claim back; without an artifact it failed here, and others may try it."""
        if ref is not None:
            self.refs[piece.name] = ref
        self._leases.release(piece.name)

    def wait(self) -> None:
        """Until it is worth looking again."""
        self._over.wait(self.look_s)

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self._over.set()

    def close(self) -> None:
        """Give every claim back, once nobody works on them any more, and clear away what was left half done."""
        self.stop()
        self._leases.close()
        self._store.sweep(self.plan.stage, self.plan.fingerprint)
        if not self._left:
            with contextlib.suppress(OSError):
                self._leases.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look(self) -> None:
        names = self._store.manifests(self.plan.stage, self.plan.fingerprint)
        self.present = {name.removesuffix(".json") for name in names}
        self._elsewhere = set(self._leases.held_elsewhere())
        self._looked_at = time.monotonic()
