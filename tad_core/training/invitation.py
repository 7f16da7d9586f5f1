"""A run over several hosts: the first one leaves an invitation in the shared folder, the others take a seat in it.

The first host is the one that runs the pipeline. On each other one ``tad join FOLDER`` waits for invitations of that
store, starts its share of the processes, and waits for the next one; it needs neither the configuration nor a rank.
A run that is tried again leaves a new invitation, so that the hosts that are still there come back by themselves.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tad_core.config import DistillConfig
from tad_core.errors import ConfigError, SubprocessError
from tad_core.training.command import Seat, free_port
from tad_core.training.marker import write_atomic
from tad_core.training.spec import TrainingSpec

INVITATION = "invitation.json"
DEFAULT_PORT = 29500
_SEATS = ".seat-"
_REACH_S = 3.0


@dataclass(frozen=True)
class Invitation:
    """What a host needs to take part.

    Attributes:
        token: of this attempt; a later one has another.
        host: where the first host is reached.
        port: its port.
        nodes: hosts of the run, the first included.
        spec: the spec file.
        folder: the working directory of the first host, which relative paths refer to.
    """

    token: str
    host: str
    port: int
    nodes: int
    spec: str
    folder: str


@contextlib.contextmanager
def invitation(spec: TrainingSpec, output: Path) -> Iterator[Seat | None]:
    """The first host's seat, None where it is the only one; others can join until the block ends.

    Raises:
        SubprocessError: the run failed because hosts were missing.
    """
    config = spec.distill
    if config.nodes == 1:
        yield None
        return
    seat = Seat(*endpoint(config), 0)
    if config.hostfile is not None:  # the launcher starts the others itself
        yield seat
        return
    token = secrets.token_hex(8)
    spec_file = str((output / "spec.json").resolve())
    text = Invitation(token, seat.host, seat.port, config.nodes, spec_file, str(Path.cwd()))
    write_atomic(output / INVITATION, json.dumps(asdict(text), indent=1))
    try:
        yield seat
    except SubprocessError as error:
        here = 1 + len(list(output.glob(f"{_SEATS}{token}-*")))
        if here < config.nodes:
            raise SubprocessError(
                f"distill.nodes: {config.nodes} hosts are wanted and {here} came to {seat.host}:{seat.port}; run "
                f"`tad join` on the others, on the same store ({output}), then the same command again"
            ) from error
        raise
    finally:
        (output / INVITATION).unlink(missing_ok=True)
        for claim in output.glob(f"{_SEATS}*"):
            claim.unlink(missing_ok=True)


def endpoint(config: DistillConfig) -> tuple[str, int]:
    """Where this host is reached: as configured, as the scheduler says, or by its own name at a free port."""
    if config.rendezvous is not None:
        host, _, port = config.rendezvous.rpartition(":")
        return host, int(port)
    if address := os.environ.get("MASTER_ADDR"):
        return address, int(os.environ.get("MASTER_PORT", DEFAULT_PORT))
    return socket.gethostname(), free_port()


def find(folder: Path) -> list[Path]:
    """Invitations in a store, in the folder of one run, or in the ``TAD_CACHE`` that has those of a store elsewhere."""
    below = (f"distill/*/work/{INVITATION}", f"work/*/{INVITATION}")
    found = (folder / INVITATION, *(path for places in below for path in sorted(folder.glob(places))))
    return [path for path in found if path.is_file()]


def accept(path: Path, number: int | None = None) -> tuple[Invitation, Seat] | None:
    """Take a seat; None if there is none left, the host does not answer (yet), or it was withdrawn.

    Args:
        path: the invitation.
        number: which seat, 1 to nodes - 1; default: the first free one.

    Raises:
        ConfigError: there is no seat of that number.
    """
    try:
        found = Invitation(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    if number is not None and not 1 <= number < found.nodes:
        raise ConfigError(
            f"--rank: {number} is not a place in a run of {found.nodes} hosts; use 1 to {found.nodes - 1} "
            "(0 is the host that runs the pipeline)"
        )
    if not _answers(found.host, found.port):
        return None
    for seat in [number] if number is not None else range(1, found.nodes):
        with contextlib.suppress(OSError):  # taken, or withdrawn in the meantime
            os.close(os.open(path.with_name(f"{_SEATS}{found.token}-{seat}"), os.O_CREAT | os.O_EXCL, 0o644))
            return found, Seat(found.host, found.port, seat)
    return None


def wait_for(
    folder: Path, number: int | None = None, poll_s: float = 2.0, enough: Callable[[], bool] = lambda: False
) -> tuple[Invitation, Seat] | None:
    """Wait until a seat is free in any run of ``folder``; None once ``enough`` says so."""
    while not enough():
        for path in find(folder):
            if taken := accept(path, number):
                return taken
        time.sleep(poll_s)
    return None


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_REACH_S).close()
    except OSError:
        return False
    return True
