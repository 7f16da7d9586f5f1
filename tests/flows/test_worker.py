"""A host that helps: it judges what it decodes, and whoever closes the collection judges nothing again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.errors import ConfigError
from tad_core.stages import collect, filter

pytestmark = pytest.mark.timeout(600)


def verdicts(tree: dict[str, Any]) -> dict[str, int]:
    return {
        f.name: f.stat().st_mtime_ns for f in (Path(tree["store"]) / "filter").glob("*/privileged-*.parquet")
    }


@pytest.fixture
def tree(make_tree: Callable[[Path], dict[str, Any]], tmp_path: Path, prefect_here: None) -> dict[str, Any]:
    return make_tree(tmp_path / "store")


@pytest.mark.slow
def test_what_a_helper_decodes_it_judges(tree: dict[str, Any]) -> None:
    from flows.worker import collect_worker_flow

    assert collect_worker_flow(tree) == {"shards": 3, "judged": 3}
    before, config = verdicts(tree), parse_config(tree)
    assert len(before) == 3
    store, plan = Store(config.store), collect.plan_collection(config)
    filtered = filter.filter_all(config, plan, collect.collect(config, store), store)
    assert verdicts(tree) == before and filtered.manifest.info["kept"] > 0


@pytest.mark.slow
def test_a_helper_that_cannot_judge_decodes_on(tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.worker import collect_worker_flow

    def broken(*_: Any, **__: Any) -> None:
        raise ConfigError("no sandbox on this host")

    monkeypatch.setattr("tasks.filter.stage.filter_shard", broken)
    assert collect_worker_flow(tree) == {"shards": 3, "judged": 0}
    assert collect_worker_flow({**tree, "name": "again"}, judge=False) == {"shards": 0, "judged": 0}
    assert verdicts(tree) == {}
