"""A folder that appears whole: where it can, what is left of one that was stopped, and what a disk says."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts.folders import check_room, check_unused, taking_shape
from tad_core.errors import ArtifactError, ConfigError


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def write(out: Path, text: str = "whole") -> None:
    with taking_shape(out) as part:
        (part / "file").write_text(text)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed_to_where_it_leads(tmp_path: Path, there: bool) -> None:
    (tmp_path / "large").mkdir()
    target, out = tmp_path / "large" / "exports", tmp_path / "out"
    if there:
        target.mkdir()
    out.symlink_to(target)
    write(out)
    assert out.is_symlink() and (target / "file").read_text() == "whole"
    assert names(tmp_path / "large") == ["exports"]


def test_a_mounted_folder_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda place: Path(place) == tmp_path / "volume")
    (tmp_path / "volume").mkdir()
    with pytest.raises(ConfigError, match=r"--out: .*volume is where a disk is mounted.*name a folder in it"):
        check_unused(tmp_path / "volume")
    check_unused(tmp_path / "volume" / "quality")


def test_a_file_is_called_a_file(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ConfigError, match=r"--out: .*notes is a file; name a new folder"):
        check_unused(tmp_path / "notes")


def test_what_a_killed_one_left_goes_with_the_next_and_one_at_work_stays(tmp_path: Path) -> None:
    left, other = tmp_path / ".out.0123abcd.part", tmp_path / ".outer.0123abcd.part"
    for folder in (left, other):
        folder.mkdir()
        (folder / "model.safetensors").write_text("half")
    out = tmp_path / "out"
    with taking_shape(out) as part:
        assert not left.exists() and other.exists()
        with pytest.raises(RuntimeError), taking_shape(out) as second:
            assert part.exists() and second != part
            raise RuntimeError
        (part / "file").write_text("first")
    assert (out / "file").read_text() == "first" and names(tmp_path) == [other.name, "out"]


def test_of_two_at_once_the_later_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match=r"--out: .* has something in it"), taking_shape(out) as part:
        (part / "file").write_text("second")
        write(out, "first")
    assert (out / "file").read_text() == "first" and names(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded"),
    ],
)
def test_a_disk_that_takes_nothing_more_is_one_error(tmp_path: Path, error: OSError, why: str) -> None:
    with (
        pytest.raises(ArtifactError, match=rf"--out: .*out was not written \({why}\); .*larger disk"),
        taking_shape(tmp_path / "out"),
    ):
        raise error
    assert names(tmp_path) == []


def test_sizes_are_told_in_units_that_show_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=15 << 20))
    with pytest.raises(ArtifactError, match=r"has 0\.016 GB free and .* 0\.089 GB"):
        check_room(tmp_path / "part", 21 << 20)


def test_the_folder_above_has_to_be_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new folder is made beside the one that it takes the place of."""
    import tempfile

    asked: list[Path] = []
    real = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **how: asked.append(how["dir"]) or real(**how))
    (tmp_path / "out").mkdir()
    check_unused(tmp_path / "out")
    assert asked == [tmp_path]


def test_a_weight_file_that_does_not_fit_is_the_disks_fault(tmp_path: Path, monkeypatch: Any) -> None:
    from safetensors import SafetensorError

    import tad_core.models.export as exporting

    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(exporting, "save_file", full)
    with (
        pytest.raises(ArtifactError, match=r"--out: .*out was not written \(the disk is full\)"),
        taking_shape(tmp_path / "out") as part,
    ):
        exporting._save({}, part / "model.safetensors")
