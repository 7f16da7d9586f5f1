"""Arrays that are made once a host: found again, made again where they are damaged, never half made."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from tad_core.artifacts import stamps, verified
from tad_core.errors import ArtifactError, DataError
from tad_core.training import flat
from tad_core.training.dataset import load_kept
from tad_core.training.flat import cached, private
from tests.waiting import CEILING_S


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "flat"


class Making:
    """Counts how often the arrays were made."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, writer: flat.FlatWriter) -> None:
        self.times += 1
        for part in (np.arange(6), np.arange(6, 10)):
            writer.append("a", part.astype(np.int32))
        writer.append("b", np.arange(6, dtype=np.int16).reshape(3, 2))
        writer.append("b", np.arange(2, dtype=np.int16).reshape(1, 2))
        writer.append("empty", np.zeros(0, dtype=np.uint8))
        writer.append("c", np.arange(10, dtype=np.uint32)[::-2])


def check(found: flat.Flat) -> None:
    assert found.arrays["a"].tolist() == list(range(10)) and found.arrays["a"].dtype == np.int32
    assert found.arrays["b"].tolist() == [[0, 1], [2, 3], [4, 5], [0, 1]]
    assert found.arrays["c"].tolist() == [9, 7, 5, 3, 1] and len(found.arrays["empty"]) == 0
    flat.let_go(found.maps)
    assert found.arrays["a"].tolist() == list(range(10))
    with pytest.raises(ValueError, match="read-only"):
        found.arrays["a"][0] = 1


def test_made_once_and_mapped(own_cache: Path) -> None:
    making = Making()
    for _ in range(3):
        check(cached("kind", {"x": 1}, making))
    assert making.times == 1
    check(cached("kind", {"x": 2}, making))
    assert making.times == 2 and len(list(own_cache.glob("kind-*/flat.json"))) == 2


@pytest.mark.parametrize("name", ["a", "c", "flat.json"])
@pytest.mark.parametrize("how", ["truncated", "changed", "gone"])
def test_what_is_damaged_is_made_again(own_cache: Path, monkeypatch, name: str, how: str) -> None:
    monkeypatch.setattr(stamps, "_SETTLED_S", -1.0)
    making = Making()
    check(cached("kind", {}, making))
    check(cached("kind", {}, making))
    time.sleep(0.02)
    (path,) = own_cache.glob(f"kind-*/{name}")
    if how == "truncated":
        os.truncate(path, path.stat().st_size - 4)
    elif how == "changed":
        with path.open("r+b") as handle:
            handle.write(b"\x07")
    else:
        path.unlink()
    verified._verified.cache_clear()
    check(cached("kind", {}, making))
    assert making.times == 2


def another_dtype(text: str) -> str:
    assert "<i4" in text
    return text.replace("<i4", "<f4")


@pytest.mark.parametrize("damage", [lambda _: "[]", lambda _: "{}", lambda _: "null", another_dtype])
def test_a_list_of_another_form_is_none(own_cache: Path, damage) -> None:
    making = Making()
    check(cached("kind", {}, making))
    (path,) = own_cache.glob("kind-*/flat.json")
    path.write_text(damage(path.read_text()))
    check(cached("kind", {}, making))
    assert making.times == 2


def test_nothing_is_left_of_what_failed(own_cache: Path) -> None:
    def fail(writer: flat.FlatWriter) -> None:
        writer.append("a", np.zeros(3))
        raise DataError("nothing is kept")

    for _ in range(2):
        with pytest.raises(DataError, match="nothing is kept"):
            cached("kind", {}, fail)
    assert [p.name for p in own_cache.iterdir() if p.is_dir()] == []
    check(cached("kind", {}, Making()))


def test_private_arrays_go_with_the_process(own_cache: Path) -> None:
    found = private(Making())
    check(found)
    assert list(own_cache.iterdir()) == []


def test_processes_make_them_once(tmp_path: Path) -> None:
    code = """
    import sys, time
    import numpy as np
    from tad_core.training.flat import cached
    def build(writer):
        open(sys.argv[1], "a").write("made\\n")
        time.sleep(0.5)
        writer.append("a", np.arange(3))
    assert cached("kind", {}, build).arrays["a"].tolist() == [0, 1, 2]
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "made")]
    children = [subprocess.Popen(command) for _ in range(3)]
    assert [child.wait(CEILING_S) for child in children] == [0, 0, 0]
    assert (tmp_path / "made").read_text() == "made\n"


def test_what_nobody_uses_goes_in_the_end(own_cache: Path) -> None:
    cached("kind", {"x": 1}, Making())
    cached("kind", {"x": 2}, Making())
    old, used = sorted(own_cache.glob("kind-*/flat.json"))
    os.utime(old, (0, 0))
    cached("kind", {"x": 3}, Making())
    assert not old.parent.exists() and used.exists()


def test_a_full_cache_is_one_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "file"))
    with pytest.raises(ArtifactError, match=r"TAD_CACHE: .* cannot be written .* set TAD_CACHE"):
        cached("kind", {}, Making())


def test_a_disk_that_fills_up_is_named(own_cache: Path) -> None:
    def fill(writer: flat.FlatWriter) -> None:
        writer.append("a", np.zeros(3))
        # Of what is written, not of its opening: it names no file.
        raise OSError(errno.ENOSPC, "No space left on device")

    for make in (partial(cached, "kind", {}), private):
        with pytest.raises(
            ArtifactError, match=rf"TAD_CACHE: {own_cache.parent} cannot be written \(the disk is full\)"
        ):
            make(fill)
    assert [p.name for p in own_cache.iterdir() if p.is_dir()] == []


def test_a_file_that_cannot_be_read_is_not_told_as_one_that_cannot_be_written(own_cache: Path) -> None:
    def read(writer: flat.FlatWriter) -> None:
        del writer
        (own_cache.parents[1] / "shard.parquet").read_bytes()

    for make in (partial(cached, "kind", {}), private):
        with pytest.raises(FileNotFoundError, match=r"shard\.parquet"):
            make(read)


def test_one_long_prompt_costs_itself_alone(world, tmp_path: Path, own_cache: Path) -> None:
    import dataclasses

    rows = [world.make_trajectory(i) for i in range(20)]
    rows[7] = dataclasses.replace(rows[7], student_prompt_ids=[1] * 50_000)
    shard, judged = world.make_shard(tmp_path / "data", rows)
    table = load_kept([shard], [judged], world.LENGTH)
    assert table.student.ids_N.nbytes < 4 * 51_000
    assert table.student.padded(np.array([1, 2])).shape[1] < 20
    padded = table.student.padded(np.array([7, 2]))
    assert padded.shape == (2, 50_000) and (padded[0] == 1).all()
    assert padded[1, : table.student.length_R[2]].tolist() == rows[2].student_prompt_ids
    assert (padded[1, table.student.length_R[2] :] == 0).all()


def test_other_verdicts_on_the_same_shards_are_another_table(world, tmp_path: Path) -> None:
    rows = [world.make_trajectory(i) for i in range(4)]
    shard, judged = world.make_shard(tmp_path / "one", rows)
    assert len(load_kept([shard], [judged], world.LENGTH)) == 4
    _, other = world.make_shard(tmp_path / "two", rows, ["passed", "different", "passed", "passed"])
    assert list(load_kept([shard], [other], world.LENGTH).names) == ["toy/0/0", "toy/2/0", "toy/3/0"]
    Path(judged).write_bytes(Path(other).read_bytes())  # under the same name
    assert len(load_kept([shard], [judged], world.LENGTH)) == 3


def test_names_are_any_text(world, tmp_path: Path) -> None:
    import dataclasses

    rows = [
        dataclasses.replace(world.make_trajectory(i), problem_id=n) for i, n in enumerate(["ü/✓", "", "a b"])
    ]
    shard, _ = world.make_shard(tmp_path, rows)
    names = load_kept([shard], [], world.LENGTH).names
    assert list(names) == ["ü/✓/0", "/0", "a b/0"] and names[-1] == "a b/0" and names[:2] == ["ü/✓/0", "/0"]
    with pytest.raises(IndexError):
        names[3]


def test_a_lock_goes_with_the_table_it_is_for(own_cache: Path) -> None:
    def fail(writer: flat.FlatWriter) -> None:
        raise DataError("nothing is made")

    with pytest.raises(DataError):
        cached("kind", {"x": 0}, fail)
    for x in (1, 2):
        cached("kind", {"x": x}, Making())
    old, used = sorted(own_cache.glob("kind-*/flat.json"))
    os.utime(old, (0, 0))
    cached("kind", {"x": 3}, Making())
    tables = {path.name for path in own_cache.iterdir() if path.is_dir()}
    assert len(tables) == 2 and used.parent.name in tables
    assert {path.stem for path in own_cache.glob("*.lock")} == tables


def test_a_lock_that_another_has_stays_and_its_table_with_it(own_cache: Path) -> None:
    cached("kind", {"x": 1}, Making())
    (old,) = own_cache.glob("kind-*/flat.json")
    os.utime(old, (0, 0))
    with flat._lock_of(old.parent):
        cached("kind", {"x": 2}, Making())
    assert old.exists() and len(list(own_cache.glob("*.lock"))) == 2


def test_what_cannot_be_looked_at_stays_and_ends_no_making(own_cache: Path) -> None:
    cached("kind", {"x": 1}, Making())
    loop = own_cache / "loop"
    loop.symlink_to(loop)  # as a folder of another user, which root could look into
    (own_cache / "loop.lock").touch()
    making = Making()
    cached("kind", {"x": 2}, making)
    assert making.times == 1 and (own_cache / "loop.lock").exists() and loop.is_symlink()


def test_who_waited_for_a_lock_that_was_removed_takes_the_one_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three of a removed lock: who removes it, who waited for it, and who comes to the new one."""
    folder = tmp_path / "table"
    first = flat._lock_of(folder)
    waiting, taken = threading.Event(), threading.Event()
    real = fcntl.flock

    def flock(lock: IO[bytes], how: int) -> None:
        waiting.set()
        real(lock, how)

    monkeypatch.setattr(flat.fcntl, "flock", flock)

    def wait() -> None:
        with flat._lock_of(folder):
            taken.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert waiting.wait(CEILING_S)
    Path(first.name).unlink()
    second = flat._lock_of(folder)
    first.close()
    assert not taken.wait(0.2), "the removed lock is free, and is nobody's"
    with pytest.raises(BlockingIOError):
        flat._lock_of(folder, wait=False)
    second.close()
    waiter.join(CEILING_S)
    assert taken.is_set()
