"""What a card says of the data; that exports load and decode is in ``test_rounds`` and ``models/test_export``."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flows.export import run_export
from tad_core.artifacts import ArtifactRef, Store
from tad_core.config import TADConfig
from tad_core.errors import ConfigError
from tad_core.stages.export import _data, export
from tad_core.stages.variants import variant_of


def test_an_option_that_would_do_nothing_is_refused(tiny_config: TADConfig, tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"--dtype: float16 is for merged weights.*leave one of them out"):
        export(tiny_config, "quality", tmp_path / "out", store, adapter_only=True, dtype="float16")
    with pytest.raises(ConfigError, match=r"--public: nothing is uploaded without --push-to-hub"):
        run_export(tiny_config, "quality", tmp_path / "out", public=True)


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
