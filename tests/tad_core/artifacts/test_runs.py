from __future__ import annotations

from pathlib import Path

import pytest

from tad_core.artifacts import files
from tad_core.artifacts.runs import begin, end, records, save, unfinished


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_what_was_not_finished_is_found_newest_first(where: str, tmp_path: Path) -> None:
    root = str(tmp_path) if where == "disk" else f"memory://runs{tmp_path}"
    assert unfinished(root) == []
    one, two = begin(root, {"name": "a"}, "collect"), begin(root, {"name": "b"}, "report", "id")
    assert [r.id for r in unfinished(root)] == [two.id, one.id] and two.alive
    end(root, one, "failed", "no")
    assert [r.state for r in unfinished(root)] == ["running", "failed"]
    end(root, two, "done")
    assert [(r.state, r.message) for r in unfinished(root)] == [("failed", "no")]
    again = begin(root, {"name": "a"}, "collect")
    assert [r.id for r in unfinished(root)] == [again.id], "the newer of two that ask for the same"
    assert unfinished(root, "b") == []
    end(root, again, "done")
    assert unfinished(root) == []


def test_a_process_that_is_gone_or_elsewhere_is_told_apart(tmp_path: Path) -> None:
    record = begin(str(tmp_path), {"name": "a"}, "collect")
    save(str(tmp_path), record.model_copy(update={"process_started": 1.0}))
    assert [r.alive for r in records(str(tmp_path))] == [False]
    save(str(tmp_path), record.model_copy(update={"machine": "other"}))
    assert [r.alive for r in records(str(tmp_path))] == [None]
    files.write_bytes(f"{tmp_path}/.runs/99.json", b"{")
    assert len(list(records(str(tmp_path)))) == 1
    Path(f"{tmp_path}/.runs/98.json").mkdir()  # as little to be read as another user's
    assert len(list(records(str(tmp_path)))) == 1
