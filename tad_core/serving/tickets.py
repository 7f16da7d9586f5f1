"""What the engine is given, what it tells of it, and why it takes none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tad_core.decoding import Decoded
from tad_core.decoding.spec import Job, Seen
from tad_core.errors import TADError

#: What a listener is told: how far its sample is, then what became of it.
Told = Seen | Decoded | BaseException


class BusyError(TADError):
    """As many requests are open as may be; later there will be room."""


class CrowdError(TADError):
    """One request asks for more responses than may ever be open."""


class ClosingError(TADError):
    """The server is ending and takes nothing new."""


@dataclass(eq=False)
class Ticket:
    """One sample on its way.

    Attributes:
        model: its name.
        job: prompt and spec; ``watched`` if ``each`` is set.
        listener: called in the engine's thread; must not block.
        each: be told of blocks that are complete, or of every forward.
        told_blocks: blocks told so far.
        alone: a forward that it was in failed; it has begun again, and is decoded with nobody beside it.
    """

    model: str
    job: Job
    listener: Callable[[Told], None]
    each: Literal["block", "forward"] | None = None
    told_blocks: int = 0
    alone: bool = False

    @property
    def known(self) -> int:
        """Leading positions beyond which there is something to tell."""
        if self.each == "forward":
            return -1
        return (self.told_blocks + 1) * self.job.spec.block_length - 1
