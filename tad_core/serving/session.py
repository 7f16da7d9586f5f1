"""One request from its submission to its last word, in the server's event loop."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from tad_core.decoding import Decoded, Request
from tad_core.decoding.spec import Job, Seen
from tad_core.errors import TADError
from tad_core.serving.answers import Envelope, GrowingText, Took, usage
from tad_core.serving.faults import RequestError, of_failure
from tad_core.serving.metrics import Metrics
from tad_core.serving.served import Served, Wish
from tad_core.serving.stream import Stream
from tad_core.serving.tickets import Ticket, Told

_log = logging.getLogger(__name__)


class Session:
    """The samples of one request; ``close`` frees their slots, whatever has come of them."""

    def __init__(
        self,
        stream: Stream,
        served: Served,
        wish: Wish,
        metrics: Metrics,
        timeout_s: float,
        canvas: bool,
        chat: bool,
    ) -> None:
        """Submit it.

        Args:
            stream: decodes.
            served: the model.
            wish: what is asked of it.
            metrics: are told what it took.
            timeout_s: after which it is given up.
            canvas: whether what each forward reveals is wanted.
            chat: whether the answer is a message.

        Raises:
            RequestError: no room, or the server is ending.
        """
        try:
            stream.check_crowd(len(wish.prompts) * wish.choices)
        except TADError as error:
            raise of_failure(error) from None
        self._began = time.perf_counter()
        self._deadline = asyncio.get_running_loop().time() + timeout_s
        self._timeout_s = timeout_s
        self._stream, self._served, self._wish, self._metrics = stream, served, wish, metrics
        self._canvas = canvas
        drawn = wish.temperature > 0 and wish.seed is None
        seed = secrets.randbits(32) if drawn else wish.seed or 0
        self._envelope = Envelope(
            secrets.token_hex(12), served.name, chat, seed if wish.temperature > 0 else None
        )
        self._told: asyncio.Queue[tuple[int, Told]] = asyncio.Queue()
        each: Literal["block", "forward"] = "forward" if canvas else "block"
        loop = asyncio.get_running_loop()
        samples = [(ids, j) for ids in wish.prompts for j in range(wish.choices)]
        self._tickets = [
            Ticket(
                served.name,
                Job(Request(ids, ("", j), wish.temperature), wish.spec, seed, watched=True),
                self._listener(i, loop),
                each,
            )
            for i, (ids, j) in enumerate(samples)
        ]
        self._texts = [GrowingText(served.texts, wish.most_tokens, wish.stops) for _ in samples]
        self._took = [Took() for _ in samples]
        self._seen: list[set[int]] = [set() for _ in samples]
        self._first, self._counted = True, False
        try:
            stream.submit(self._tickets)
        except Exception as error:
            raise of_failure(error) from None

    def _listener(self, i: int, loop: asyncio.AbstractEventLoop) -> Callable[[Told], None]:
        """Brings what the engine's thread tells of one sample into the event loop."""

        def tell(told: Told) -> None:
            loop.call_soon_threadsafe(self._told.put_nowait, (i, told))

        return tell

    def close(self) -> None:
        """Free what is still held; of a request that was given up, count what it took as far as that is told."""
        if not self._counted:
            self._counted = True
            self._metrics.worked(self._served.name, self._took)
        self._stream.cancel(self._tickets)

    async def answer(self) -> dict[str, Any]:
        """Everything at once.

        Raises:
            RequestError: there is none.
        """
        async for _ in self._pieces():
            pass
        finishes = [text.finish or "length" for text in self._texts]
        return self._envelope.answer([text.whole for text in self._texts], finishes, self._usage())

    async def chunks(self, with_usage: bool) -> AsyncIterator[dict[str, Any]]:
        """Piece by piece; a fault on the way is the last one."""
        started: set[int] = set()
        ended: set[int] = set()
        try:
            async for i, more, canvas in self._pieces():
                if more or canvas or i not in started:
                    yield self._envelope.chunk(i, more, first=i not in started, canvas=canvas)
                    started.add(i)
                if (finish := self._texts[i].finish) is not None and i not in ended:
                    ended.add(i)
                    yield self._envelope.chunk(i, finish=finish)
        except RequestError as fault:
            yield fault.body
            return
        except Exception as error:  # its head is sent: no status can tell of it any more
            _log.exception("a response failed on its way")
            yield of_failure(error).body
            return
        if with_usage:
            yield self._envelope.last(self._usage())

    async def _pieces(self) -> AsyncIterator[tuple[int, str, dict[str, Any] | None]]:
        """Which response grew, by what text, and what its last forward revealed where that is asked for."""
        left, block = set(range(len(self._tickets))), self._wish.spec.block_length
        while left:
            i, told = await self._next()
            if i not in left:
                continue
            if isinstance(told, BaseException):
                raise of_failure(told)
            done = isinstance(told, Decoded)
            known = len(told.tokens) if isinstance(told, Decoded) else told.lead // block * block
            more = self._texts[i].grow(told.tokens[:known], done)
            self._took[i] = Took.of(told, self._served.model.mask_token_id)
            if self._first and (more or done):
                self._first = False
                self._metrics.first_block(self._served.name, time.perf_counter() - self._began)
            if not done and self._texts[i].finish and self._wish.spec.early_stop:
                # Its end is known: what the rest of the canvas would hold is nobody's.
                self._stream.cancel([self._tickets[i]])
                done = True
            if done:
                left.discard(i)
            yield i, more, self._revealed(i, told) if self._canvas else None
        self._counted = True
        self._metrics.answered(
            self._served.name, self._took, [t.tokens for t in self._texts], time.perf_counter() - self._began
        )

    async def _next(self) -> tuple[int, Told]:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._told.get()
        except TimeoutError:
            raise RequestError(
                504, f"the response was not complete after {self._timeout_s:g} s; ask for fewer tokens, or later",
                code="timeout",
            ) from None  # fmt: skip

    def _revealed(self, i: int, told: Seen | Decoded) -> dict[str, Any]:
        """What is revealed since the last time: places and their tokens as text."""
        if isinstance(told, Decoded):
            places = [p for p, step in enumerate(told.revealed_at) if step]
        else:
            mask = self._served.model.mask_token_id
            places = [p for p, token in enumerate(told.tokens) if token != mask]
        new = [p for p in places if p not in self._seen[i]]
        self._seen[i].update(new)
        shown = self._served.pieces([told.tokens[p] for p in new])
        return {
            "forward": told.forwards,
            "length": len(told.tokens),
            "revealed": [list(pair) for pair in zip(new, shown, strict=True)],
        }

    def _usage(self) -> dict[str, Any]:
        prompt_tokens = sum(map(len, self._wish.prompts))
        return usage(
            prompt_tokens, [t.tokens for t in self._texts], self._took, time.perf_counter() - self._began
        )
