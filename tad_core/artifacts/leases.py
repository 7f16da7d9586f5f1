"""Who works on what: small objects in the shared store, so that several hosts share the pieces of one artifact.

A claim on a piece is an object ``<piece>.<generation>.json`` that is created only if it is absent, so of many that
try exactly one gets it. Its owner writes it anew every third of ``lease_s``. One that was not renewed for
``lease_s``, or whose process is known to be dead, is taken over by creating the next generation. Nothing is ever
renamed and nobody writes another's object, so a disk and an object store serve alike.

Claims save work, they do not guard results: clocks may be set while a run goes on, and a process may sleep longer than
its lease. Two may then compute the same piece; the artifact's writer lets only one of them in.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil  # type: ignore[import-untyped]

from tad_core.artifacts.clocks import ahead_s
from tad_core.artifacts.files import create_bytes, list_names, machine, read_bytes, remove, sweep, write_bytes
from tad_core.artifacts.unwritable import takes_nothing, unwritable
from tad_core.presence import GoneError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """One object: who holds which piece since which generation; ``beat`` is Unix time."""

    piece: str
    generation: int
    machine: str
    pid: int
    started: float
    beat: float
    lease_s: float

    def alive(self, now: float) -> bool:
        """Whether its owner still counts on it."""
        if self.machine == machine() and not same_process(self.pid, self.started):
            return False
        return now - self.beat <= self.lease_s

    @property
    def holder(self) -> str:
        """For people."""
        return f"{self.machine.partition('.')[0]} (process {self.pid})"


class Leases:
    """The claims of this process on pieces of one artifact; safe from any thread, renewed by one of its own."""

    def __init__(self, url: str, lease_s: float) -> None:
        self.url, self.lease_s = url.rstrip("/"), lease_s
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._ahead_s = ahead_s(self.url)
        self._started = psutil.Process().create_time()
        #: Of claims by a clock that is ahead: the newest beat, and when it was first seen.
        self._ahead: dict[tuple[str, int], tuple[float, float]] = {}

    def take(self, piece: str) -> bool:
        """Claim a piece; False while somebody else, who is alive, holds it.

        Raises:
            StoreError: there is no room for the claim, and so none for what would be made; or no store any more.
        """
        with self._lock:
            if piece in self._held:
                return True
        newest = self._newest(list_names(self.url), piece)
        if newest and (claim := self._read(piece, newest)) is not None and self._alive(claim):
            return False
        try:
            if not create_bytes(self._object(piece, newest + 1), self._content()):
                return False
        except OSError as error:
            if takes_nothing(error) or isinstance(error, GoneError):
                raise unwritable(self.url, error) from error
            raise
        with self._lock:
            self._held[piece] = newest + 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)
                self._thread.start()
        return True

    def release(self, piece: str) -> None:
        """Give a piece back: it is finished, or somebody else may try."""
        with self._lock:
            generation = self._held.pop(piece, 0)
        if not generation:
            return
        try:
            # Upwards, so that the newest claim is the last to go and nobody takes over an older one meanwhile.
            for older in sorted(g for p, g in map(_parse, list_names(self.url)) if p == piece):
                if older <= generation:
                    remove(self._object(piece, older))
        except OSError as error:  # it runs out by itself
            _log.warning("the claim on %s could not be given back: %s", piece, error)

    def held_elsewhere(self) -> dict[str, Claim]:
        """The live claims of others, by piece."""
        newest: dict[str, int] = {}
        for piece, generation in map(_parse, list_names(self.url)):
            newest[piece] = max(generation, newest.get(piece, 0))
        with self._lock:
            mine = set(self._held)
        found = {}
        for piece, generation in newest.items():
            if piece and piece not in mine:
                claim = self._read(piece, generation)
                if claim is not None and self._alive(claim):
                    found[piece] = claim
        return found

    def clear(self) -> None:
        """Take away claims that nobody counts on any more: of processes that were killed with their work done."""
        for name in list_names(self.url):
            piece, generation = _parse(name)
            if not piece or piece in self._held:
                continue
            claim = self._read(piece, generation)
            if claim is None or not self._alive(claim):
                remove(f"{self.url}/{name}")

    def close(self) -> None:
        """Give everything back."""
        self._over.set()
        with self._lock:
            held = list(self._held)
        for piece in held:
            self.release(piece)
        if "://" not in self.url:
            sweep(Path(self.url))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _alive(self, claim: Claim) -> bool:
        """Whether its owner counts on it, by this host's clock where the owner's is ahead of it by more than a claim
        lasts: by its own, the claim of a host that died would stand until this clock has come so far.
        """
        if math.isinf(self.lease_s) and claim.machine == machine():
            # Looked at for people, by a process that has not measured how far its clock is from the store's.
            return same_process(claim.pid, claim.started)
        now = self._now()
        if claim.beat - now <= claim.lease_s:
            return claim.alive(now)
        beat, seen = self._ahead.get((claim.piece, claim.generation), (0.0, 0.0))
        if beat != claim.beat:
            seen = time.monotonic()
            self._ahead[claim.piece, claim.generation] = claim.beat, seen
        return claim.alive(now) and time.monotonic() - seen <= claim.lease_s

    def _renew(self) -> None:
        while not self._over.wait(self.lease_s / 3):
            with self._lock:
                held = dict(self._held)
            for piece, generation in held.items():
                try:
                    write_bytes(self._object(piece, generation), self._content())
                    with self._lock:
                        given_back = piece not in self._held
                    if given_back:  # in between: it must not come back
                        remove(self._object(piece, generation))
                except OSError as error:  # the thread goes on: the other claims are renewed by it too
                    _log.warning("the claim on %s could not be renewed: %s", piece, error)

    def _now(self) -> float:
        """Unix time, by the clock of the store."""
        return time.time() + self._ahead_s

    def _newest(self, names: set[str], piece: str) -> int:
        return max((g for p, g in map(_parse, names) if p == piece), default=0)

    def _object(self, piece: str, generation: int) -> str:
        return f"{self.url}/{piece}.{generation}.json"

    def _content(self) -> bytes:
        fields: dict[str, Any] = {
            "machine": machine(),
            "pid": os.getpid(),
            "started": self._started,
            "beat": self._now(),
            "lease_s": self.lease_s,
        }
        return json.dumps(fields).encode("ascii")

    def _read(self, piece: str, generation: int) -> Claim | None:
        content = read_bytes(self._object(piece, generation))
        if content is None:
            return None
        try:
            return Claim(piece, generation, **json.loads(content))
        except (ValueError, TypeError):  # not ours: as good as none
            return None


def _parse(name: str) -> tuple[str, int]:
    piece, _, generation = name.removesuffix(".json").rpartition(".")
    if name.startswith(".") or not name.endswith(".json") or not generation.isdigit():
        return "", 0
    return piece, int(generation)


def same_process(pid: int, started: float) -> bool:
    """Whether the process of this machine that had this id since then is still there; times are Unix time."""
    try:
        process = psutil.Process(pid)
        # The time of a start is worked out from the clock, which may have been set meanwhile.
        return bool(abs(process.create_time() - started) < 2 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
