"""A checkpoint is whole or it does not exist."""

from __future__ import annotations

import pytest

from tad_core.errors import ConfigError
from tad_core.training import marker
from tad_core.training.checkpoint import (
    MARKER,
    check_layout,
    clean,
    is_complete,
    is_intact,
    newest,
    seal,
)
from tad_core.training.marker import write_atomic


def make(output, step, mark="m", sealed=True):
    folder = output / f"checkpoint-{step}"
    (folder / "inner").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"x" * 100)
    (folder / "inner" / "state.json").write_text("{}")
    if sealed:
        seal(folder, mark, "no ZeRO")
    return folder


def test_newest_is_by_number_not_by_name(tmp_path):
    for step in (9, 100, 20):
        make(tmp_path, step)
    assert newest(tmp_path, "m") == tmp_path / "checkpoint-100"


def damage_missing_marker(folder):
    (folder / MARKER).unlink()


def damage_truncated_file(folder):
    (folder / "weights.bin").write_bytes(b"x" * 99)


def damage_missing_file(folder):
    (folder / "inner" / "state.json").unlink()


def damage_half_marker(folder):
    (folder / MARKER).write_text((folder / MARKER).read_text()[:20])


@pytest.mark.parametrize(
    "damage", [damage_missing_marker, damage_truncated_file, damage_missing_file, damage_half_marker]
)
def test_a_damaged_one_is_passed_over_and_cleaned_away(tmp_path, damage):
    older, newer = make(tmp_path, 10), make(tmp_path, 20)
    damage(newer)
    assert not is_complete(newer, "m")
    assert newest(tmp_path, "m") == older
    clean(tmp_path, "m")
    assert not newer.exists() and older.exists()


def test_a_flipped_bit_is_found_before_it_is_read(tmp_path):
    older, newer = make(tmp_path, 10), make(tmp_path, 20)
    (newer / "weights.bin").write_bytes(b"x" * 99 + b"y")
    assert is_complete(newer, "m") and not is_intact(newer, "m")
    assert newest(tmp_path, "m") == older
    clean(tmp_path, "m", until=10)
    assert not newer.exists() and older.exists()


@pytest.mark.parametrize("text", ["[]", '{"mark": "m"}', '{"mark": "m", "files": {"weights.bin": 100}}'])
def test_a_marker_of_another_form_is_none(tmp_path, text):
    folder = make(tmp_path, 10)
    (folder / MARKER).write_text(text)
    assert not is_complete(folder, "m") and newest(tmp_path, "m") is None


def test_another_layout_is_refused(tmp_path):
    folder = make(tmp_path, 10)
    check_layout(folder, "no ZeRO")
    with pytest.raises(
        ConfigError, match=r"written with no ZeRO, and this run has ZeRO on 2 processes; set deepspeed"
    ):
        check_layout(folder, "ZeRO on 2 processes")


def test_of_another_run_it_is_none(tmp_path):
    folder = make(tmp_path, 10, mark="other")
    assert newest(tmp_path, "m") is None
    clean(tmp_path, "m")
    assert not folder.exists()


def test_the_last_two_are_kept(tmp_path):
    for step in (1, 2, 3, 4):
        make(tmp_path, step)
    clean(tmp_path, "m")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-3", "checkpoint-4"]


def test_a_kill_before_the_marker_leaves_none(tmp_path, monkeypatch):
    folder = make(tmp_path, 5, sealed=False)

    def killed(path, text):
        raise KeyboardInterrupt

    monkeypatch.setattr(marker, "write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        seal(folder, "m", "no ZeRO")
    assert newest(tmp_path, "m") is None


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "checkpoint-final").mkdir()
    (tmp_path / "adapter").mkdir()
    clean(tmp_path, "m")
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoint-final", "adapter"}


def test_write_atomic_replaces_and_leaves_no_part(tmp_path):
    target = tmp_path / "a.json"
    write_atomic(target, "old")
    write_atomic(target, "new")
    assert target.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["a.json"]
