"""The engine as a stream: one thread that decodes whatever is there, for as long as the server lives.

Requests come from other threads and join at the next forward; what becomes of each is told to its listener, in the
thread of the engine. A *lane* is a model with one kind of forwards, with its cache or without; lanes with work take
turns, a forward each. On an accelerator a lane is one loop over many slots. On a CPU, where a sample runs alone
(``at_once``), it is several loops of one slot, which take turns as well: nobody waits for the end of a long response.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import torch

from tad_core.decoding.loop import Loop
from tad_core.decoding.packing import packer_of
from tad_core.decoding.spec import Lane, Seen
from tad_core.errors import LogitsError, TADError
from tad_core.fitting import Fitting
from tad_core.models.base import DiffusionLM
from tad_core.models.batching import at_once
from tad_core.serving.tickets import BusyError, ClosingError, CrowdError, Ticket, Told

_log = logging.getLogger(__name__)


@dataclass
class _Lane:
    """The loops of one model and kind of forwards, and who waits for them."""

    model: DiffusionLM
    kind: Lane
    fitting: Fitting
    slots: int
    waiting: deque[Ticket] = field(default_factory=deque)
    turns: list[_Turn] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        return bool(self.waiting) or any(turn.tickets for turn in self.turns)


class _Turn:
    """One loop with the tickets of its samples."""

    def __init__(self, lane: _Lane, width: int, slots: int) -> None:
        self.slots = slots
        self.tickets: dict[int, Ticket] = {}
        self._numbers = 0
        self._holds = ExitStack()
        packer = self._holds.enter_context(packer_of(lane.model, slots, width, lane.kind))
        self._loop = Loop(lane.model, packer, width)

    def takes(self, ticket: Ticket) -> bool:
        if ticket.alone or any(held.alone for held in self.tickets.values()):
            return not self.tickets
        return len(self.tickets) < self.slots

    def give(self, ticket: Ticket) -> None:
        self.tickets[self._numbers] = ticket
        self._loop.add(self._numbers, ticket.job)
        self._numbers += 1

    def drop(self, ticket: Ticket) -> None:
        for number in [n for n, held in self.tickets.items() if held is ticket]:
            del self.tickets[number]
            self._loop.drop(number)

    def step(self) -> bool:
        """One forward; what came of it is told. True: ``Fitting`` takes None for memory that ran out."""
        done = self._loop.step()
        for number, decoded in done.items():
            self.tickets.pop(number).listener(decoded)
        for number, seen in self._loop.seen({n: t.known for n, t in self.tickets.items()}).items():
            ticket = self.tickets[number]
            ticket.told_blocks = max(ticket.told_blocks, seen.lead // ticket.job.spec.block_length)
            ticket.listener(seen)
        return True


class Stream:
    """Models by name, and the thread that decodes for them."""

    def __init__(
        self,
        models: Mapping[str, DiffusionLM],
        slots: int,
        waiting: int,
        width: int,
        blocks: Mapping[str, int | None] = MappingProxyType({}),
    ) -> None:
        """Nothing runs before ``start``.

        Args:
            models: in evaluation mode, each on its device.
            slots: most samples of a model in one forward; on a CPU, that take turns.
            waiting: most samples that wait for a slot, over all models.
            width: most tokens of a prompt with its response.
            blocks: tokens of a block of the models that read block by block; None or nothing for others.
        """
        kinds = {name: [Lane(cached, blocks.get(name)) for cached in (False, True)] for name in models}
        self._lanes = {
            (name, kind): _lane(model, kind, slots) for name, model in models.items() for kind in kinds[name]
        }
        self.slots, self.width, self._most_waiting = slots, width, waiting
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open: set[Ticket] = set()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="tad-decode", daemon=True)

    def start(self) -> None:
        """Begin to decode."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it decodes."""
        return self._thread.is_alive()

    @property
    def open(self) -> int:
        """Samples that wait or are decoded."""
        return len(self._open)

    @property
    def running(self) -> int:
        """Samples that hold a slot."""
        return sum(len(turn.tickets) for lane in self._lanes.values() for turn in list(lane.turns))

    def submit(self, tickets: list[Ticket]) -> None:
        """Let all of them join, or none.

        Raises:
            BusyError: so many more may not wait.
            CrowdError: so many would not fit if nobody else were there.
            ClosingError: the server is ending.
        """
        with self._lock:
            if self._closing:
                raise ClosingError("the server is ending and takes no new requests; try another or later")
            self.check_crowd(len(tickets))
            if self._waiting([*self._open, *tickets]) > self._most_waiting:
                raise BusyError(
                    f"{self._waiting(self._open)} responses wait and at most {self._most_waiting} may; try again in a "
                    "moment"
                )
            self._open.update(tickets)
        for ticket in tickets:
            self._listen(ticket)
            self._inbox.put(partial(self._lane_of(ticket).waiting.append, ticket))

    def check_crowd(self, count: int) -> None:
        """Refuse a request of more responses than it could have if nobody else were there.

        Raises:
            CrowdError: with how many it could have.
        """
        if count > self.slots + self._most_waiting:
            raise CrowdError(
                f"{count} responses are asked for at once, and at most {self.slots + self._most_waiting} may be; ask "
                "for fewer"
            )

    def _waiting(self, tickets: Iterable[Ticket]) -> int:
        """How many of these have no slot: each lane has its own."""
        of_lanes = Counter((ticket.model, ticket.job.spec.lane) for ticket in tickets)
        return sum(max(0, count - self.slots) for count in of_lanes.values())

    def cancel(self, tickets: list[Ticket]) -> None:
        """Forget them: their slots are free at the next forward. Those that are through are no error."""
        for ticket in tickets:
            self._inbox.put(partial(self._drop, ticket))

    def close(self, timeout_s: float | None = None) -> None:
        """Take nothing new, decode what is open, end."""
        with self._lock:
            self._closing = True
        self._inbox.put(lambda: None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    # --- in the engine's thread --------------------------------------------------------------------------

    def _listen(self, ticket: Ticket) -> None:
        """Count it out when it is through; what its listener raises is nobody else's."""
        listener = ticket.listener

        def tell(told: Told) -> None:
            if not isinstance(told, Seen):
                self._forget(ticket)
            try:
                listener(told)
            except Exception:  # an event loop that is gone, say: the others go on
                _log.debug("a listener failed", exc_info=True)

        ticket.listener = tell

    def _forget(self, ticket: Ticket) -> None:
        with self._lock:
            self._open.discard(ticket)

    def _lane_of(self, ticket: Ticket) -> _Lane:
        return self._lanes[ticket.model, ticket.job.spec.lane]

    def _drop(self, ticket: Ticket) -> None:
        lane = self._lane_of(ticket)
        if ticket in lane.waiting:
            lane.waiting.remove(ticket)
        for turn in lane.turns:
            turn.drop(ticket)
        self._forget(ticket)

    @torch.inference_mode()
    def _run(self) -> None:
        try:
            self._until_closed()
        finally:  # nobody waits for a thread that is gone
            with self._lock:
                self._closing, left = True, list(self._open)
            for ticket in left:
                ticket.listener(ClosingError("the engine has ended; start the server again"))

    def _until_closed(self) -> None:
        while True:
            busy = [lane for lane in self._lanes.values() if lane.busy]
            if not busy and self._closing and not self._open:
                return
            self._take_in(wait=not busy)
            for lane in busy:
                self._fill(lane)
                self._go_on(lane)

    def _go_on(self, lane: _Lane) -> None:
        """A forward of every loop. On its own, so that nothing here holds the memory of one that failed when the next
        begins."""
        for turn in list(lane.turns):
            if turn.tickets:
                self._step(lane, turn)

    def _take_in(self, wait: bool) -> None:
        if wait:
            self._inbox.get()()
        while True:
            try:
                self._inbox.get_nowait()()
            except queue.Empty:
                return

    def _fill(self, lane: _Lane) -> None:
        """Give those that wait to loops that have a slot; a loop more where none has and one may be."""
        each = at_once(lane.model.device.type, lane.slots)
        while lane.waiting:
            turn = next((t for t in lane.turns if t.takes(lane.waiting[0])), None)
            if turn is None and sum(t.slots for t in lane.turns) + each <= lane.slots:
                turn = self._new_turn(lane, each)
            if turn is None:
                return
            ticket = lane.waiting.popleft()
            try:
                turn.give(ticket)
            except Exception as error:
                self._failed(lane, turn, error, ticket)

    def _new_turn(self, lane: _Lane, slots: int) -> _Turn | None:
        """None where nothing fits: those that wait have then been told."""
        made: list[_Turn] = []
        try:
            while not made:
                most = lane.fitting.of(slots)
                work = partial(_open_turn, made, lane, self.width, most)
                lane.fitting.attempt(most, f"{self.width} tokens", work)
        except Exception as error:
            _noted(error)
            waiting, lane.waiting = list(lane.waiting), deque()
            for ticket in waiting:
                ticket.listener(error)
            return None
        lane.turns += made
        return made[0]

    def _step(self, lane: _Lane, turn: _Turn) -> None:
        """A forward of one loop. Where memory runs out its samples begin again, fewer at once; results are the same."""
        try:
            if lane.fitting.attempt(turn.slots, f"{self.width} tokens", turn.step) is None:
                lane.turns.remove(turn)
                lane.waiting.extendleft(reversed(turn.tickets.values()))
        except Exception as error:
            self._failed(lane, turn, error)

    @staticmethod
    def _failed(lane: _Lane, turn: _Turn, error: Exception, *joining: Ticket) -> None:
        """A fault of one loop is told to whom it hit; where several were in it they begin again one by one, so that it
        hits the one that has it. The server goes on."""
        _noted(error)
        lane.turns.remove(turn)
        hit = dict.fromkeys((*turn.tickets.values(), *joining))
        if len(hit) > 1 and (isinstance(error, LogitsError) or not isinstance(error, TADError)):
            for ticket in hit:
                ticket.alone = True
            lane.waiting.extendleft(reversed(hit))
            return
        for ticket in hit:
            ticket.listener(error)


def _noted(error: Exception) -> None:
    if not isinstance(error, TADError):
        _log.error("a forward failed", exc_info=error)


def _open_turn(made: list[_Turn], lane: _Lane, width: int, slots: int) -> None:
    made.append(_Turn(lane, width, slots))


def _lane(model: DiffusionLM, kind: Lane, slots: int) -> _Lane:
    fitting = Fitting("--slots", "shorten --context, or serve fewer models")
    return _Lane(model, kind, fitting, slots)
