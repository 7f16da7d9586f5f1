"""Which piece of an artifact to do next, while others do others: shards of a collection, verdicts on them, slices.

Every process that works on an artifact, a run or a worker on another host, holds a claim (``artifacts.leases``) on
each piece in its hands. What is left is found by two listings, of the finished pieces and of the claims, at most every
``look_s``; whether a claim is won is decided by the store.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, Self, TypeVar

from tad_core.artifacts import ArtifactRef, Store
from tad_core.artifacts.stamps import side_by_side
from tad_core.errors import SubprocessError

#: A look at what others have done takes at most this share of the time, however many pieces there are.
_LOOKING = 0.1


class Piece(Protocol):
    """What is made alone, under a manifest of its own."""

    @property
    def name(self) -> str:
        """The name of that manifest, without suffix; unique among the pieces."""


_Piece = TypeVar("_Piece", bound=Piece)


class Pieces(Generic[_Piece]):
    """The part of an artifact's pieces that falls to this process; safe from any thread.

    Args:
        stage: whose artifact it is.
        fingerprint: the artifact's.
        pieces: all of them, in order.
        find: the finished, verified piece in the store, or None; called side by side.
        store: where pieces and claims are.
        lease_s: when a claim that is not renewed is over.
        force: pieces are done though they are there.
        may_claim: False only waits for pieces that others do.
        first: where to begin, so that hosts do not all reach for the same piece.
        look_s: between two looks at what others have done.
    """

    def __init__(
        self,
        stage: str,
        fingerprint: str,
        pieces: Sequence[_Piece],
        find: Callable[[_Piece, Store], ArtifactRef | None],
        store: Store,
        lease_s: float,
        force: bool = False,
        may_claim: bool = True,
        first: int = 0,
        look_s: float = 1.0,
    ) -> None:
        self._stage, self._fingerprint, self._find, self._store = stage, fingerprint, find, store
        self.force, self.may_claim = force, may_claim
        self.look_s = min(look_s, lease_s / 3)
        self.refs: dict[str, ArtifactRef] = {}
        self._leases = store.leases(stage, fingerprint, lease_s)
        self._left = {piece.name: piece for piece in (*pieces[first:], *pieces[:first])}
        self._ready: dict[str, None] = {}
        self._elsewhere: set[str] = set()
        self._over = threading.Event()
        self._looked_at = self._look_took = 0.0
        self.present: set[str] = set()
        self._look()

    @property
    def left(self) -> int:
        """Pieces that are neither finished nor handed out."""
        return len(self._left)

    @property
    def missing(self) -> int:
        """Pieces that at the last look were neither finished nor handed out here."""
        return len(self._left) - len(self._ready)

    @property
    def elsewhere(self) -> set[str]:
        """Those of them that others had in their hands at the last look."""
        return self._elsewhere & self._left.keys()

    def only_wait(self) -> None:
        """From now on take only what others finish."""
        self.may_claim = False

    def add(self, piece: _Piece) -> None:
        """One more, which could not be worked on before."""
        self._left[piece.name] = piece
        if piece.name in self.present:
            self._ready[piece.name] = None

    def put_back(self, piece: _Piece) -> None:
        """A piece that was handed out and is not done here."""
        self._leases.release(piece.name)
        self.add(piece)

    def abandon(self) -> None:
        """Hand out no more."""
        self._left.clear()
        self._ready.clear()

    def next(self) -> _Piece | None:
        """A piece that is finished, to be taken as it is, or claimed for this process; None if there is none now."""
        wait_s = max(self.look_s, self._look_took / _LOOKING)
        if self._left and (not self._looked_at or time.monotonic() - self._looked_at > wait_s):
            self._look()
        if not self.may_claim:
            name = None if self.force else next(iter(self._ready), None)
            return None if name is None else self._pop(name)
        for name in self._left:
            if name in self.present and not self.force:
                break
            if name not in self._elsewhere:
                if self._leases.take(name):
                    break
                self._elsewhere.add(name)
        else:
            return None
        return self._pop(name)

    def drop_present(self) -> int:
        """Forget the pieces that are there, without a look at their files; how many are left."""
        for name in list(self._ready):
            self._pop(name)
        return len(self._left)

    def take_present(self) -> None:
        """The finished pieces into ``refs``, verified side by side; those that do not verify are left to do."""
        if self.force:
            return
        there = [self._left[name] for name in self._ready]
        store = self._store.at_a_glance(self._stage, self._fingerprint, len(there))
        found = side_by_side(lambda piece: self._find(piece, store), there)
        for piece, ref in zip(there, found, strict=True):
            if ref is not None:
                self._pop(piece.name)
                self.refs[piece.name] = ref

    def own(self, piece: _Piece) -> ArtifactRef | None:
        """The finished piece, or None once it is claimed for this process; waits while another has it.

        Raises:
            SubprocessError: the run is being stopped.
        """
        while True:
            ref, ours = self._try(piece)
            if ref is not None or ours:
                return ref
            if self._over.wait(self.look_s):
                raise SubprocessError("the run was stopped")

    def todo(self, on_found: Callable[[ArtifactRef], None] = lambda ref: None) -> Iterator[_Piece | None]:
        """Pieces to compute here, None while others have all that are left; finished ones go into ``refs``.

        ``on_found`` is told of those that others have finished meanwhile.
        """
        self.take_present()
        while self._left:
            piece = self.next()
            if piece is None:
                yield None
                continue
            ref, ours = self._try(piece)
            if ref is not None:
                self.ended(piece, ref)
                on_found(ref)
            elif ours:
                yield piece
            else:  # damaged, and another makes it anew: nobody waits here, who may have to stop
                self.present.discard(piece.name)
                self._elsewhere.add(piece.name)
                self._left[piece.name] = piece

    def ended(self, piece: _Piece, ref: ArtifactRef | None = None) -> None:
        """Give the claim back; without an artifact the piece failed here, and others may try it."""
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
        self._store.sweep(self._stage, self._fingerprint)
        if not self._left:
            with contextlib.suppress(OSError):
                self._leases.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _try(self, piece: _Piece) -> tuple[ArtifactRef | None, bool]:
        """The finished piece; without one, whether it is claimed for this process now."""
        if not self.force and (ref := self._find(piece, self._store)) is not None:
            return ref, False
        if self.may_claim:
            return None, self._leases.take(piece.name)
        if piece.name in self.present:
            # It is there and damaged, which who computes cannot see from its name.
            self.present.discard(piece.name)
            self._store.discard(self._stage, self._fingerprint, f"{piece.name}.json")
        return None, False

    def _pop(self, name: str) -> _Piece:
        self._ready.pop(name, None)
        return self._left.pop(name)

    def _look(self) -> None:
        started = time.monotonic()
        names = self._store.manifests(self._stage, self._fingerprint)
        self.present = {name.removesuffix(".json") for name in names}
        self._ready = {name: None for name in self._left if name in self.present}
        self._elsewhere = set(self._leases.held_elsewhere())
        self._looked_at = time.monotonic()
        self._look_took = self._looked_at - started


class Plan(Protocol[_Piece]):
    """Pieces that lie in one folder of the store."""

    @property
    def stage(self) -> str:
        """Whose folder."""

    @property
    def fingerprint(self) -> str:
        """Which of them."""

    @property
    def pieces(self) -> Sequence[_Piece]:
        """In order."""

    def find(self, piece: _Piece, store: Store) -> ArtifactRef | None:
        """The finished, verified piece, or None."""


class Shares(Pieces[_Piece]):
    """The part of a plan's pieces that falls to this process: shards of a collection, slices of an evaluation."""

    def __init__(
        self,
        plan: Plan[_Piece],
        store: Store,
        lease_s: float,
        force: bool = False,
        may_claim: bool = True,
        first: int = 0,
        look_s: float = 1.0,
    ) -> None:
        self.plan = plan
        super().__init__(
            plan.stage,
            plan.fingerprint,
            plan.pieces,
            plan.find,
            store,
            lease_s,
            force,
            may_claim,
            first,
            look_s,
        )
