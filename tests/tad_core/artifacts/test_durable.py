"""Places that can and cannot be written, found before the work."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts.durable import check_place
from tad_core.artifacts.folders import check_unused
from tad_core.errors import ConfigError


def test_a_folder_that_is_there_or_can_be_made_is_left_as_it_was(tmp_path: Path) -> None:
    check_place(tmp_path, "out")
    check_place(tmp_path / "a" / "b", "out")
    check_unused(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_the_way_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match=r"^out: .* cannot be written \(.*file is a file\); name another folder"
    ):
        check_place(tmp_path / place, "out")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_the_system_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(**_: Any) -> None:
        raise OSError(code, "as it says")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(ConfigError, match=r"^--out: .* cannot be written \(as it says\)"):
        check_unused(tmp_path / "new")


def test_a_folder_that_may_not_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(ConfigError, match=r"cannot be written \(Permission denied\)"):
        check_place(tmp_path / "hers" / "out", "out")
