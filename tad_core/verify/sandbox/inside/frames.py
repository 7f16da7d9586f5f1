"""Messages over pipes: four bytes of length, then JSON. Both ends of every pipe of the verifier use it."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any

_HEADER = struct.Struct(">I")
#: A message longer than this (bytes) is an attack or a fault, never a result.
MAX_FRAME = 64 * 1024 * 1024


class ClosedError(Exception):
    """The other end is gone."""


class MalformedError(Exception):
    """The other end sent something that is no message."""


class DeadlineError(Exception):
    """Nothing complete came in time."""


def send(fd: int, message: Any) -> None:
    """Write one message, blocking until all of it is written."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > MAX_FRAME:
        raise MalformedError(f"a message of {len(body)} bytes is longer than {MAX_FRAME}")
    data = memoryview(_HEADER.pack(len(body)) + body)
    try:
        while data:
            data = data[os.write(fd, data) :]
    except (BrokenPipeError, ConnectionResetError) as error:
        raise ClosedError("the other end is gone") from error


def send_until(fd: int, message: Any, other: int, deadline: float) -> bool:
    """Write one message unless ``other`` becomes readable first; whether all of it was written.

    For a reader that may never come: ``fd`` must not block.
    """
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    data = memoryview(_HEADER.pack(len(body)) + body)
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    poller.register(other, select.POLLIN)
    while data:
        ready = dict(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))
        if not ready:
            raise DeadlineError("nobody read in time")
        if other in ready:
            return False
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            continue
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ClosedError("the other end is gone") from error
    return True


def receive(fd: int, deadline: float | None = None) -> Any:
    """Read one message; ``deadline`` is a reading of ``time.monotonic()`` in seconds."""
    (length,) = _HEADER.unpack(_read(fd, _HEADER.size, deadline))
    if length > MAX_FRAME:
        raise MalformedError(f"a message of {length} bytes is longer than {MAX_FRAME}")
    body = _read(fd, length, deadline)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedError("not JSON") from error


def _read(fd: int, size: int, deadline: float | None) -> bytes:
    parts: list[bytes] = []
    poller = select.poll() if deadline is not None else None
    if poller is not None:
        poller.register(fd, select.POLLIN)
    while size:
        if poller is not None and deadline is not None:
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0 or not poller.poll(left_ms):
                raise DeadlineError("nothing came in time")
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise ClosedError("the other end is gone")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
