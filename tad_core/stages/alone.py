"""Who makes an artifact as a whole: one process at a time, and whoever comes meanwhile takes what that one made.

For what is made in one go, a training, and for what is put together from pieces that many have made. Two that publish
one artifact at the same time would write each other's files: its settings as they were given, which may differ in what
is no part of its identity, and its times.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from tad_core.artifacts import ArtifactRef, Store
from tad_core.artifacts.leases import Claim, Leases
from tad_core.errors import StoreError

_log = logging.getLogger(__name__)

#: The claim on all of an artifact; no piece is called so.
_WHOLE = "whole"
_LOOK_S = 1.0

Find = Callable[[], ArtifactRef | None]


def made_once(
    store: Store,
    stage: str,
    mark: str,
    lease_s: float,
    find: Find,
    make: Callable[[], ArtifactRef],
    force: bool = False,
) -> ArtifactRef:
    """The artifact as it is there, or as it is made here while nobody else makes it.

    Args:
        store: where it is.
        stage: its stage.
        mark: its fingerprint.
        lease_s: when a claim that is not renewed is over.
        find: the finished, verified artifact, or None.
        make: makes and publishes it; what it raises is raised here, and the next in line tries.
        force: make it also where it is there, one after the other where several do.
    """
    if force:
        with claimed(store, stage, mark, lease_s, lambda: None):
            return make()
    if (found := find()) is not None:
        return found
    with claimed(store, stage, mark, lease_s, find) as found:
        return found if found is not None else make()


@contextlib.contextmanager
def claimed(store: Store, stage: str, mark: str, lease_s: float, find: Find) -> Iterator[ArtifactRef | None]:
    """Be the only process that makes an artifact until the block ends; gives what ``find`` finds once nobody else does.

    Several are claimed in the order of their marks, so that no two processes wait for each other.
    """
    with store.leases(stage, mark, lease_s) as leases:
        told = False
        while not _take(leases):
            if (found := find()) is not None:
                yield found
                return
            if not told and (claim := leases.held_elsewhere().get(_WHOLE)) is not None:
                _log.warning("%s is being made by %s; this run waits for it", stage, claim.holder)
                told = True
            time.sleep(min(_LOOK_S, lease_s / 3))
        yield find()


def maker(store: Store, stage: str, mark: str) -> Claim | None:
    """Who makes an artifact as a whole at this moment; takes nothing."""
    return store.claims(stage, mark).get(_WHOLE)


def _take(leases: Leases) -> bool:
    try:
        return leases.take(_WHOLE)
    except (OSError, StoreError) as error:
        # Claims save work and guard nothing: the writer says what is wrong with the store.
        _log.info("the claim could not be written: %s", error)
        return True
