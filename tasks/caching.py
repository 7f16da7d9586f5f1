"""Which earlier result a task may take instead of working: the artifact's fingerprint decides, nothing else.

Prefect's own policies are not used: ``DEFAULT`` contains the run id and never hits in a later run, ``INPUTS``
does not know which task it is, ``TASK_SOURCE`` forgets everything when a retry count is edited. The key is built
here from what identifies the artifact; the record it leads to holds an ``ArtifactRef``, which verifies every file
when it is read back, so that a record of a missing or damaged artifact counts as no record.

Losing Prefect's records costs nothing: the task then calls the stage function, which looks in the store first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tad_core.artifacts import ArtifactRef, Store, absolute_root
from tad_core.artifacts import fingerprint as digest_of

#: Options of every task whose result is an artifact.
CACHED: dict[str, Any] = {"persist_result": True, "result_serializer": "json"}

_RECORDS_VERSION = 1


def cache_key(
    store: Store, stage: str, fingerprint: str, inputs: Sequence[ArtifactRef] = (), part: str = ""
) -> str:
    """The key of Prefect's record for one artifact, or for one ``part`` (shard) of it.

    Beside stage and fingerprint it has the store, since the record is a pointer into it, and the content of the
    inputs, since an input that was made anew with other content must not lead to what was made from the old one.
    """
    mark = digest_of(
        "record",
        _RECORDS_VERSION,
        {"store": store.root, "stage": stage, "part": part, "fingerprint": fingerprint},
        [ref.digest for ref in inputs],
    )
    return f"tad-{stage}-{mark}"


def key_parameter(_: Any, parameters: dict[str, Any]) -> str:
    """``cache_key_fn`` of every task: the key was computed by who calls the task and is passed as ``key``."""
    return str(parameters["key"])


def absolute_store(root: str) -> Store:
    """The store under an absolute path (or a URL as it is), so that records mean the same in every folder."""
    return Store(absolute_root(root))
