"""What a card says of the data; that exports load and decode is in ``test_rounds`` and ``models/test_export``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from tad_core.artifacts import ArtifactRef
from tad_core.config import TADConfig
from tad_core.stages.export import _data
from tad_core.stages.variants import variant_of


def test_trajectories_without_the_reference_are_none_that_saw_it(
    tiny_config: TADConfig, monkeypatch: Any
) -> None:
    counts = [
        {"condition": name, "total": n} for name, n in (("privileged", 22), ("plain", 4), ("privileged", 1))
    ]
    monkeypatch.setattr(
        "tad_core.stages.export.filter_stage.read_summary", lambda _: {"kept": 20, "by_source": counts}
    )
    info = {"problems": 23, "trajectories": 27}
    collection = cast(ArtifactRef, SimpleNamespace(manifest=SimpleNamespace(info=info)))
    told = _data(tiny_config, variant_of(tiny_config, "quality"), collection, collection)["trajectories"]
    assert told.startswith("23 of the base model itself, which saw the reference answer; 20 ")
