"""What a shard that fails means for those that are left."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import collect
from flows.collect import FanOut
from tad_core.artifacts import Store
from tad_core.errors import DataError, LogitsError, ModelError, StoreError, TADError, WorkersLostError
from tad_core.stages.sharing import Shares
from tests.tad_core.stages.test_sharing import PLAN


@pytest.mark.parametrize("flying", [0, 1])
@pytest.mark.parametrize(
    ("error", "left", "to_judge"),
    [
        (DataError("one problem"), 3, 3),
        (WorkersLostError("none is left"), 0, 3),
        (StoreError("the disk is full"), 0, 0),
        (ModelError("a checkpoint is not there"), 0, 3),
        (LogitsError("not numbers"), 0, 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_where_nothing_more_can_be_made_no_more_is_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: TADError, left: int, to_judge: int, flying: int
) -> None:
    said: list[str] = []
    monkeypatch.setattr(collect, "say", said.append)
    with (
        Shares(PLAN, Store(tmp_path / "a"), 30) as shares,
        Shares(PLAN, Store(tmp_path / "b"), 30) as verdicts,
    ):
        work: Any = SimpleNamespace(shares=shares, verdicts=verdicts, plan=PLAN)
        shards = FanOut(work, judge=True)
        in_hand = shares.next()
        assert in_hand is not None and verdicts.next() is not None
        shards._flying["collect"] = flying
        shards._take("collect", in_hand, error)
        assert (shares.left, verdicts.left) == (left, to_judge)
        others = "the others go on" if left else "what is begun is finished"
        goes_on = left or to_judge or flying
        assert said == ([f"collect {in_hand.name} failed, {others}: {error}"] if goes_on else [])
