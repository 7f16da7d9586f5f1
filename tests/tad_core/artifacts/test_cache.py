"""This host's own folder that takes nothing is told as itself, not as the store for which it holds copies."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.artifacts.cache import cache_errors, cache_folder, check_cache
from tad_core.artifacts.files import open_url
from tad_core.errors import ArtifactError, StoreError

FP = "f" * 32


def write(store: Store) -> ArtifactRef:
    with store.writer("stage", 1, FP, {}) as writer:
        writer.write_text("data.txt", "hello")
        return writer.commit()


def test_a_remote_store_is_not_blamed_for_the_folder_of_its_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    store = Store("memory://cache/unwritable")
    made = write(store)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "file" / "cache"))
    told = rf"^TAD_CACHE: {tmp_path / 'file'}.* cannot be written \(.*: free space there, or set TAD_CACHE to another"
    for use in (
        lambda: write(store),
        lambda: made.local("data.txt"),
        made.local_folder,
        lambda: store.scratch("stage", FP),
        store.check_writable,
    ):
        with pytest.raises(StoreError, match=told):
            use()
    store.sweep("stage", FP)
    assert store.find("stage", FP) == made, "what only remembers goes without"


def test_a_full_disk_under_the_copies_is_told_whoever_was_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    store = Store("memory://cache/full")
    made = write(store)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        pytest.raises(StoreError, match=r"^TAD_CACHE: .*cache cannot be written \(the disk is full\)"),
        store.writer("stage", 1, "e" * 32, {}) as writer,
    ):
        writer.path("table.parquet").write_text("")
        raise full

    def half(_: str, local: str) -> None:
        Path(local).write_text("hel")
        raise full

    monkeypatch.setattr(open_url(made.url)[0], "get_file", half)
    with pytest.raises(StoreError, match=r"^TAD_CACHE: .* \(the disk is full\)"):
        made.local("data.txt")
    assert [
        path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".txt"
    ] == []


def test_what_the_store_refuses_is_still_the_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    store = Store("memory://cache/refused")

    def refuse(*_: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(open_url(store.root)[0], "put_file", refuse)
    with pytest.raises(ArtifactError, match=r"^store: memory://cache/refused/.*Access Denied"):
        write(store)


def test_an_error_of_another_place_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    for error in (
        FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "store" / "x")),
        PermissionError("Access Denied"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "elsewhere")),
    ):
        with pytest.raises(OSError) as caught, cache_errors():
            raise error
        assert caught.value is error
    with pytest.raises(StoreError, match="TAD_CACHE"), cache_errors():
        (cache_folder("files") / "no" / "such").write_text("")


def test_too_little_room_for_copies_is_said_in_advance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    check_cache()
    assert not any((tmp_path / "cache").iterdir())
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(StoreError, match=r"^TAD_CACHE: .*cache has \d+ MiB free and .* needs about \d+ MiB"):
        check_cache(free + (1 << 40))
    store = Store("memory://cache/room")
    store.check_writable()
    with pytest.raises(StoreError, match=r"^TAD_CACHE: "):
        store.check_writable(free + (1 << 40))


@pytest.mark.parametrize(
    ("root", "told"), [("{}/store", "store: .*--set store="), ("memory://cache/work", "TAD_CACHE: ")]
)
def test_a_full_disk_under_work_in_progress_is_told_as_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, told: str
) -> None:
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    store = Store(root.format(tmp_path))
    for name in (None, str(store.scratch("stage", FP) / "train.log")):
        with pytest.raises(StoreError, match=f"^{told}"), store.scratch_errors():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    missing = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "torchrun")
    with pytest.raises(FileNotFoundError), store.scratch_errors():
        raise missing


@pytest.mark.parametrize("named", ["cache", "real", "link/../real"])
def test_it_is_known_by_whichever_link_it_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    (tmp_path / "real").mkdir()
    for link in ("cache", "link"):
        (tmp_path / link).symlink_to("real")
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    name = tmp_path / named / "files" / "x"
    with pytest.raises(StoreError, match=rf"^TAD_CACHE: {name} cannot be written"), cache_errors():
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(name))
    other = OSError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "other" / "x"))
    with pytest.raises(OSError) as caught, cache_errors():
        raise other
    assert caught.value is other


def test_the_home_in_it_is_this_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TAD_CACHE", "~/cache")  # as a file of variables has it, which no shell reads
    assert cache_folder("files") == tmp_path / "cache" / "files"
