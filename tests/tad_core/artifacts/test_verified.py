"""A file is hashed once a host, and what was truncated, changed or replaced since is found out all the same."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tad_core.artifacts import ArtifactRef, Store, ref, stamps, verified
from tad_core.artifacts.cache import cache_folder
from tad_core.artifacts.files import machine, open_url
from tad_core.artifacts.verified import Verified
from tad_core.errors import ArtifactError
from tests.waiting import CEILING_S

FP = "f" * 32


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "cache"))
    yield
    verified._verified.cache_clear()


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if what is written had been there for long."""
    monkeypatch.setattr(stamps, "_SETTLED_S", -1.0)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files of the store that were read, since it was last cleared."""
    names: list[str] = []
    real = ref._hashes

    def noted(url: str, name: str, stamp: stamps.Stamp) -> tuple[str | None, str]:
        names.append(name)
        return real(url, name, stamp)

    monkeypatch.setattr(ref, "_hashes", noted)
    return names


def write(store: Store, text: str = "hello", files: int = 3) -> ArtifactRef:
    with store.writer("stage", 1, FP, {"seed": 0}) as writer:
        for i in range(files):
            writer.write_text(f"{i:02d}.txt", f"{text} {i}")
        return writer.commit()


def restart() -> None:
    """What a new process knows is what is on the disk."""
    verified._verified.cache_clear()


def test_files_are_read_once_a_host(tmp_path: Path, settled: None, hashed: list[str]) -> None:
    store = Store(tmp_path)
    made = write(store)
    assert sorted(hashed) == ["00.txt", "01.txt", "02.txt"]
    hashed.clear()
    restart()
    assert store.find("stage", FP) == made and store.state("stage", FP) == ("done", "")
    assert ArtifactRef.model_validate_json(made.model_dump_json()) == made
    assert hashed == []
    assert Store(tmp_path, anew=True).find("stage", FP) == made and len(hashed) == 3


def test_what_was_written_this_moment_is_read_again(tmp_path: Path, hashed: list[str]) -> None:
    store = Store(tmp_path)
    made = write(store)
    hashed.clear()
    assert store.find("stage", FP) == made and len(hashed) == 3


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def change(path: Path, at: int = 0) -> None:
    with path.open("r+b") as handle:
        handle.seek(at)
        handle.write(b"J")


def change_and_set_the_time_back(path: Path) -> None:
    before = path.stat()
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"J" + path.read_bytes()[1:])
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("damage", [truncate, change, change_and_set_the_time_back, replace, Path.unlink])
def test_what_is_known_and_then_damaged_does_not_exist(tmp_path: Path, settled: None, damage) -> None:
    store = Store(tmp_path)
    made = write(store)
    assert store.find("stage", FP) == made
    time.sleep(0.02)  # clocks of file systems tick
    damage(tmp_path / "stage" / FP / "01.txt")
    for _ in range(2):
        assert store.find("stage", FP) is None
        assert store.state("stage", FP) == ("broken", "01.txt missing or changed")
        restart()
    assert write(store) == made and store.find("stage", FP) == made


def damage_without_a_trace(monkeypatch: pytest.MonkeyPatch, path: Path, at: int = 0) -> None:
    """What a disk does that gives other bytes: size, times and inode stay."""
    real, before = stamps._local, stamps._local(str(path))
    change(path, at)
    monkeypatch.setattr(stamps, "_local", lambda asked: before if asked == str(path) else real(asked))


def test_damage_without_a_trace_is_found_on_request_and_then_by_everyone(
    tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    made = write(store)
    damage_without_a_trace(monkeypatch, tmp_path / "stage" / FP / "01.txt")
    assert store.find("stage", FP) == made
    assert Store(tmp_path, anew=True).state("stage", FP) == ("broken", "01.txt missing or changed")
    restart()
    assert store.find("stage", FP) is None


def test_a_reader_that_finds_damage_has_the_file_read_again(
    tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tad_core.trajectory.shards import read_verdicts, write_verdicts

    store = Store(tmp_path)
    row = dict.fromkeys(["problem_id", "source", "condition", "verdict", "reason", "extracted"], "x")
    with store.writer("stage", 1, FP, {}) as writer:
        write_verdicts(writer.path("a.parquet", rows=1, by_content=True), [{**row, "sample": 0}])
        made = writer.commit()
    damage_without_a_trace(monkeypatch, made.local("a.parquet"), at=30)
    assert store.find("stage", FP) == made
    with pytest.raises(ArtifactError, match="is damaged"):
        read_verdicts(made.local("a.parquet"))
    restart()
    assert store.find("stage", FP) is None


def test_a_replaced_object_is_found_by_its_tag(tmp_path: Path, hashed: list[str], monkeypatch) -> None:
    """Of few files each is asked for, of many the folder is listed; an object store gives an ETag in both."""
    fs = fsspec.filesystem("memory")
    real = stamps._remote
    monkeypatch.setattr(stamps, "_remote", lambda info: real({**info, "ETag": f'"{info["created"]}"'}))
    for files in (3, 40):
        store = Store(f"memory://verified/{files}")
        made = write(store, files=files)
        hashed.clear()
        restart()
        assert store.find("stage", FP) == made and hashed == []
        name = f"/verified/{files}/stage/{FP}/01.txt"
        fs.pipe(name, b"J" + fs.cat(name)[1:])
        assert store.find("stage", FP) is None and hashed == ["01.txt"]
        fs.rm(name)
        assert store.find("stage", FP) is None and hashed == ["01.txt"]
        assert write(store, files=files) == made


@pytest.fixture
def md5_tags(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """ETags that are the MD5 of the content, as a bucket has them; how often they are asked for, or listed."""
    from fsspec.implementations.memory import MemoryFileSystem

    fs, real = fsspec.filesystem("memory"), stamps._remote
    seen: Counter[str] = Counter()

    def tagged(info: dict[str, Any]) -> stamps.Stamp:
        return real({**info, "ETag": hashlib.md5(fs.cat(info["name"])).hexdigest()})

    def counting(name: str) -> Any:
        asked = getattr(MemoryFileSystem, name)

        def call(*args: Any, **options: Any) -> Any:
            seen[name] += 1
            return asked(*args, **options)

        return call

    monkeypatch.setattr(stamps, "_remote", tagged)
    for name in ("info", "find"):
        monkeypatch.setattr(MemoryFileSystem, name, counting(name))
    return seen


@pytest.mark.parametrize(("files", "once"), [(3, {"info": 3}), (40, {"find": 1})])
def test_a_tag_that_is_of_the_content_is_asked_for_once(
    files: int, once: dict[str, int], hashed: list[str], md5_tags: Counter[str], tmp_path: Path, monkeypatch
) -> None:
    store = Store(f"memory://md5/{files}")
    made = write(store, files=files)
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "another host"))
    restart()
    for reads in (files, 0):
        hashed.clear()
        md5_tags.clear()
        assert store.find("stage", FP) == made
        assert md5_tags == once and len(hashed) == reads


def test_what_was_mended_while_it_was_read_is_not_known_by_its_old_tag(
    md5_tags: Counter[str], tmp_path: Path, monkeypatch
) -> None:
    fs, store = fsspec.filesystem("memory"), Store("memory://mended/store")
    made = write(store)
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "another host"))
    restart()
    path, real = f"/mended/store/stage/{FP}/01.txt", ref._hashes
    good = fs.cat(path)
    bad = b"J" + good[1:]
    fs.pipe(path, bad)

    def mending(url: str, name: str, stamp: stamps.Stamp) -> tuple[str | None, str]:
        if name == "01.txt":
            fs.pipe(path, good)
        return real(url, name, stamp)

    monkeypatch.setattr(ref, "_hashes", mending)
    assert store.find("stage", FP) == made
    monkeypatch.setattr(ref, "_hashes", real)
    fs.pipe(path, bad)
    assert store.find("stage", FP) is None


def test_a_store_without_tags_is_read_each_time(hashed: list[str]) -> None:
    store = Store("memory://untagged/store")
    made = write(store)
    hashed.clear()
    assert store.find("stage", FP) == made and len(hashed) == 3


def test_a_damaged_copy_of_a_remote_file_is_fetched_anew(settled: None) -> None:
    made = write(Store("memory://copies/store"))
    copy = made.local("00.txt")
    assert made.locals(["00.txt", "01.txt"])[0] == copy
    time.sleep(0.02)
    change(copy)
    assert made.local("00.txt").read_text() == "hello 0"


def test_nothing_is_left_of_a_download_that_broke_off(settled: None, monkeypatch) -> None:
    made = write(Store("memory://broken/store"))
    fs, _ = open_url(made.url)

    def half(_: str, local: str) -> None:
        Path(local).write_text("hel")
        raise OSError("the connection is gone")

    monkeypatch.setattr(fs, "get_file", half)
    with pytest.raises(OSError, match="connection"):
        made.local("00.txt")
    assert [path for path in verified.copies().rglob("*") if path.is_file()] == []


def test_downloads_of_killed_processes_are_cleared_away() -> None:
    """By whoever clears away what else they left of the artifact."""
    nobody = 2**31 - 1
    for folder in ("files", "folders"):
        part = cache_folder(folder) / f".tmp-{machine()}-{nobody}-00.txt"
        part.write_text("hel")
    Store("memory://killed/store").sweep("stage", FP)
    assert [path.name for path in cache_folder("files").parent.rglob(".tmp-*")] == []


def test_lines_that_are_not_whole_are_none(tmp_path: Path) -> None:
    file = tmp_path / "known.txt"
    known = Verified(file)
    stamp = stamps.Stamp(5, "mark")
    known.note(
        {"a\tb": (stamp, "a" * 64), "c": (stamp, "c" * 64), "fresh": (stamps.Stamp(5, "m", False), "d" * 64)}
    )
    text = file.read_text()
    for cut in range(len(text)):  # killed while it was written, and written on after that
        file.write_text(text[:cut] + text.splitlines(keepends=True)[1])
        again = Verified(file)
        assert again.sha256("a\tb", stamp) in (None, "a" * 64) and again.sha256("c", stamp) in (
            None,
            "c" * 64,
        )
        assert again.sha256("c", stamps.Stamp(6, "mark")) is None
    file.write_text(text)
    again = Verified(file)
    assert again.sha256("a\tb", stamp) == "a" * 64 and again.sha256("fresh", stamp) is None
    again.forget("c")
    assert again.sha256("c", stamp) is None and Verified(file).sha256("c", stamp) is None


def test_a_home_that_cannot_be_written_costs_only_the_memory(
    tmp_path: Path, settled: None, hashed, monkeypatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TAD_CACHE", str(tmp_path / "file" / "cache"))
    store = Store(tmp_path / "store")
    made = write(store)
    hashed.clear()
    assert store.find("stage", FP) == made and hashed == []


def test_processes_write_one_list(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom tad_core.artifacts.stamps import Stamp\n"
        "from tad_core.artifacts.verified import Verified\nknown = Verified(Path(sys.argv[1]))\n"
        "for i in range(200):\n    known.note({f'{sys.argv[2]}-{i}': (Stamp(i, 'm'), sys.argv[2] * 64)})\n"
    )
    file = tmp_path / "known.txt"
    children = [subprocess.Popen([sys.executable, "-c", code, str(file), which]) for which in "ab"]
    assert [child.wait(CEILING_S) for child in children] == [0, 0]
    known = Verified(file)
    for which in "ab":
        assert all(known.sha256(f"{which}-{i}", stamps.Stamp(i, "m")) == which * 64 for i in range(200))


@pytest.mark.services
@pytest.mark.parametrize("files", [3, 40])
def test_in_a_bucket_what_is_known_is_not_read_and_what_changed_is(
    s3_bucket: str, hashed: list[str], files: int
) -> None:
    from tad_core.artifacts.files import open_url

    store = Store(f"{s3_bucket}/store")
    made = write(store, files=files)
    hashed.clear()
    restart()
    assert store.find("stage", FP) == made and hashed == []
    fs, root = open_url(f"{made.url}/01.txt")
    whole = fs.cat_file(root)
    for content in (b"J" + whole[1:], whole[:-1], whole + b"!"):
        fs.pipe_file(root, content)
        for _ in range(2):
            assert store.find("stage", FP) is None
            assert store.state("stage", FP) == ("broken", "01.txt missing or changed")
            restart()
    fs.rm_file(root)
    assert store.find("stage", FP) is None
    fs.pipe_file(root, whole)
    assert store.find("stage", FP) == made
    assert [path.read_text() for path in made.locals(["00.txt", "01.txt"])] == ["hello 0", "hello 1"]
