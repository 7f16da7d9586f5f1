"""What `tad doctor` says of the disk: the store's, and of this host's own folder where the store is remote."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from flows import doctor


def test_the_disk_of_a_folder_is_looked_at_where_it_will_be(tmp_path: Path) -> None:
    finding = doctor._disk(str(tmp_path / "not" / "yet"))
    assert finding.detail.endswith(f" free at {tmp_path}") and list(tmp_path.iterdir()) == []


def test_with_a_remote_store_this_hosts_own_folder_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=9 << 30))
    finding = doctor._disk("s3://bucket/runs")
    assert finding.state == "ok"
    assert finding.detail == f"9 GiB free at {tmp_path}, for copies of what is in s3://bucket/runs"
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    finding = doctor._disk("s3://bucket/runs")
    assert (finding.state, finding.remedy) == ("warning", "free space, or use another TAD_CACHE")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "file" / "cache"))
    finding = doctor._disk("s3://bucket/runs")
    assert finding.state == "problem"
    assert finding.detail.startswith(f"TAD_CACHE: {tmp_path / 'file' / 'cache'} cannot be written (")
