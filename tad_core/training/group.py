"""The processes of one training run: which one this is, and how they agree.

Every method is called by all of them, in the same order. A run of one process needs no messages.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist

from tad_core import errors
from tad_core.errors import ConfigError, SubprocessError, TADError
from tad_core.presence import make_folder
from tad_core.training.marker import write_atomic

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """``rank`` of ``size`` processes; the first writes what all share."""

    rank: int
    size: int

    @classmethod
    def here(cls) -> Group:
        """As the launcher's environment says."""
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    @property
    def first(self) -> bool:
        """Whether this process writes checkpoints' markers, losses and progress."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """The value of every process, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def from_first(self, find: Callable[[], T]) -> T:
        """What the first process finds, in all of them: file systems of several hosts may lag behind each other."""
        found: list[Any] = [None]
        with self.together():
            if self.first:
                found[0] = find()
        if self.size > 1:
            dist.broadcast_object_list(found, src=0)
        result: T = found[0]
        return result

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A block that every process gets through, or none: where one fails, all raise, and none waits for ever."""
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        told = None if failure is None else (type(failure).__name__, str(failure))
        reports = self.gather(told)
        if failure is not None:
            raise failure
        if found := next((report for report in reports if report is not None), None):
            raise _raised_elsewhere(*found)

    def check_shared(self, folder: Path) -> None:
        """Make sure that all processes mean the same folder.

        Raises:
            ConfigError: naming the hosts that see another one.
        """
        if self.size == 1:
            return
        note = folder / ".shared"
        token = secrets.token_hex(8)

        def leave() -> str:
            make_folder(folder)
            write_atomic(note, token)
            return token

        token = self.from_first(leave)
        try:
            seen = note.read_text(encoding="utf-8") == token
        except OSError:
            seen = False
        answers = self.gather((seen, socket.gethostname()))
        if self.first:
            note.unlink(missing_ok=True)
        if blind := sorted({host for seen, host in answers if not seen}):
            raise ConfigError(
                f"store: {folder} is not the same folder on {', '.join(blind)} as on {answers[0][1]}; training on "
                "several hosts needs a shared file system, mounted at the same path"
            )


def _raised_elsewhere(kind: str, message: str) -> TADError:
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, TADError):
        return found(message)
    return SubprocessError(f"another process of the run failed: {kind}: {message}")
