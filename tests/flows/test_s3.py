"""Every stage on a store in a bucket: the same artifacts as in a folder, found again, verified, mended."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.services, pytest.mark.timeout(1800)]


def test_the_whole_pipeline_in_a_bucket(
    make_tree: Callable[[Path], dict[str, Any]],
    s3_bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tad_core.artifacts import Store
    from tad_core.artifacts.files import open_url
    from tad_core.config import parse_config
    from tad_core.stages.pipeline import run_pipeline
    from tad_core.stages.status import pipeline_status

    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "one"))
    folder, bucket = make_tree(tmp_path / "store"), {**make_tree(tmp_path), "store": f"{s3_bucket}/store"}
    here, there = parse_config(folder), parse_config(bucket)
    away = Store(there.store)
    outcome = run_pipeline(there, away)
    assert {entry.state for entry in pipeline_status(there, away)} == {"done"}
    local = run_pipeline(here, Store(here.store), until="filter")
    assert outcome.collection.digest == local.collection.digest
    assert outcome.filtered.digest == local.filtered.digest

    fs, root = open_url(there.store)

    def written() -> dict[str, Any]:
        found = fs.find(root, detail=True)
        return {name: entry["LastModified"] for name, entry in found.items() if "/.runs/" not in name}

    before = written()
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "another host"))
    assert run_pipeline(there, away) == outcome and written() == before
    assert "<html" in outcome.report.local("report.html").read_text()

    (name,) = [n for n in before if re.search(r"/privileged-00003-00006\.[0-9a-f]{16}\.parquet$", n)]
    whole = fs.cat_file(name)
    fs.pipe_file(name, whole[:-1])
    again = run_pipeline(there, away, until="filter")
    assert again.collection == outcome.collection and fs.cat_file(name) == whole
    changed = {n.rpartition("/")[2] for n, when in written().items() if before.get(n) != when}
    # Made again it is what its manifest says, so that one stands.
    assert changed == {name.rpartition("/")[2]}
