"""``python -m tests.drills.many CONFIG``: the whole run by the library; what it computes is noted, to be counted.

A line in ``$DRILL_JOURNAL`` when it begins: what, of which artifact, and the process that does it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.stages import calibrate, collect, distill, filter, report
from tad_core.stages.decode import Decoding
from tad_core.stages.pipeline import run_pipeline
from tests.drills.fake_worker import note


def noted(place: Any, name: str, what: Callable[..., str]) -> None:
    """Let a function tell the journal that it begins."""
    real = getattr(place, name)

    def call(*args: Any, **options: Any) -> Any:
        for word in what(*args).split():
            note(f"{word} {os.getpid()}")
        return real(*args, **options)

    setattr(place, name, call)


def note_all() -> None:
    """Everything that claims are for."""
    noted(collect, "shard_job", lambda config, _, shard, *__: f"collect/{config.data[0].count}/{shard.name}")
    noted(filter, "filter_shard", lambda _, plan, ref, *__: f"filter/{plan.fingerprint}/{ref.manifest_name}")
    noted(calibrate, "curve_of", lambda _, shards, *__: "calibrate/" + "+".join(Path(s).name for s in shards))
    noted(distill, "_train", lambda specs, *_: " ".join(f"distill/{spec.run_id}" for spec in specs.values()))
    noted(Decoding, "_make", lambda self, piece: f"evaluate/{self._plan.fingerprint}/{piece.name}")
    noted(report, "_written", lambda _, mark, *__: f"report/{mark}")


if __name__ == "__main__":
    note_all()
    tree = parse_config(yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8")))
    run_pipeline(tree, Store(tree.store))
