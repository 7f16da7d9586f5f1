"""Runs that cannot go on end soon: out of time, or with workers that cannot live."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from tests.drills.common import leftovers, tree_of, workers_below

pytestmark = pytest.mark.timeout(600)


def test_a_run_that_is_out_of_time_leaves_no_process_and_no_half_file(
    prefect_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.pipeline import collect_flow
    from tad_core.artifacts.runs import records
    from tad_core.config import parse_config
    from tad_core.stages.pipeline import plan_of
    from tad_core.workers import pool

    monkeypatch.setattr(pool, "MODULE", "tests.drills.fake_worker")
    monkeypatch.setenv("DRILL_JOURNAL", str(tmp_path / "journal"))
    monkeypatch.setenv("DRILL_SHARD_S", "300")
    config = parse_config(tree_of(str(tmp_path / "store"), 4, workers=2))
    plan_of(config)  # kept by the process: the time is for the shards
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        collect_flow.with_options(timeout_seconds=10)(config)
    assert time.monotonic() - started < 150, "nobody waits for the shards, nor for another try of them"
    assert workers_below(psutil.Process().pid) == []
    assert leftovers(tmp_path / "store") == []
    assert [record.state for record in records(str(tmp_path / "store"))] == ["stopped"]


@pytest.mark.slow
def test_where_no_worker_can_live_the_run_ends_soon(
    prefect_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five deaths, not three more tries for each of the two hundred shards."""
    from flows.pipeline import collect_flow
    from tad_core.config import parse_config
    from tad_core.errors import WorkersLostError
    from tad_core.workers import pool

    monkeypatch.setattr(pool, "MODULE", "no_such_module")
    config = parse_config(tree_of(str(tmp_path / "store"), 200, workers=1))
    with pytest.raises(
        WorkersLostError, match=r"[12] of 200 shards failed(.|\n)*No module named no_such_module"
    ):
        collect_flow(config)
    assert leftovers(tmp_path / "store") == []
