from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations
from pydantic import ValidationError

from tad_core.artifacts import ArtifactRef, Store
from tad_core.errors import ArtifactError, ConfigError, StoreError
from tests.tad_core.artifacts.damage import damage_delete, damage_flip, damage_truncate
from tests.waiting import CEILING_S, until

FP = "f" * 32


def write(
    store: Store, text: str = "hello", inputs: tuple[ArtifactRef, ...] = (), fp: str = FP
) -> ArtifactRef:
    with store.writer("stage", 1, fp, {"seed": 0}, inputs) as writer:
        writer.write_text("data.txt", text)
        writer.write_text("sub/more.txt", "more")
        writer.path("table.bin", rows=3).write_bytes(b"xyz")
        return writer.commit({"note": 1})


def test_what_is_written_is_found_and_verified(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ref = write(store)
    assert store.find("stage", FP) == ref
    manifest = ref.manifest
    assert set(manifest.files) == {"data.txt", "sub/more.txt", "table.bin"}
    assert (manifest.rows, manifest.info, manifest.config) == (3, {"note": 1}, {"seed": 0})
    assert ref.local("data.txt").read_text() == "hello"
    assert store.state("stage", FP) == ("done", "")
    assert ArtifactRef.model_validate_json(ref.model_dump_json()) == ref
    assert not list((tmp_path / "stage" / FP).glob(".tmp-*"))


@pytest.mark.parametrize("damage", [damage_delete, damage_truncate, damage_flip])
@pytest.mark.parametrize("name", ["data.txt", "sub/more.txt", "manifest.json"])
def test_a_damaged_artifact_does_not_exist(tmp_path: Path, damage, name: str) -> None:
    store = Store(tmp_path)
    ref = write(store)
    damage(tmp_path / "stage" / FP / name)
    assert store.find("stage", FP) is None
    assert store.state("stage", FP)[0] == (
        "missing" if (damage, name) == (damage_delete, "manifest.json") else "broken"
    )
    with pytest.raises(ValidationError):
        ArtifactRef.model_validate(ref.model_dump())
    assert write(store) == ref  # written again, whole again
    assert store.find("stage", FP) == ref


def test_an_artifact_made_from_other_inputs_is_not_reused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = write(store, "one", fp="a" * 32)
    made = write(store, inputs=(first,))
    assert store.find("stage", FP, [first]) == made
    changed = write(store, "two", fp="a" * 32)  # same recipe, other content
    assert changed.fingerprint == first.fingerprint and changed.digest != first.digest
    assert store.find("stage", FP, [changed]) is None
    assert store.find("stage", FP) is None


def test_the_configuration_that_stands_beside_is_no_part_of_the_content(tmp_path: Path) -> None:
    refs = []
    for text in ("batch_size: 1", "batch_size: 2"):
        with Store(tmp_path).writer("stage", 1, FP, {}) as writer:
            writer.write_text("config.yaml", text)
            writer.write_text("data.txt", "the same")
            refs.append(writer.commit())
    assert refs[0].digest == refs[1].digest
    assert refs[1].local("config.yaml").read_text() == "batch_size: 2"


def test_nothing_is_visible_without_commit(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.writer("stage", 1, FP, {}) as writer:
        writer.write_text("data.txt", "half")
        raise RuntimeError
    assert list((tmp_path / "stage" / FP).iterdir()) == []


WRITER = """
import sys
from tad_core.artifacts import Store
store = Store(sys.argv[1])
print("go", flush=True)
for round in range(10_000):
    with store.writer("stage", 1, "f" * 32, {"round": round}) as writer:
        writer.path("data.bin").write_bytes(bytes([round % 256]) * 300_000)
        writer.commit()
"""


def test_kill_minus_nine_while_writing_leaves_nothing_broken(tmp_path: Path) -> None:
    """15 kills: the artifact is whole or it does not verify; a reader is never given a broken one."""
    store = Store(tmp_path)
    seen_whole = 0
    for round in range(15):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None and child.stdout.readline()
        if round == 0:
            until(lambda: store.find("stage", FP) is not None, "the first artifact is whole")
        time.sleep(0.01 + 0.006 * round)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        ref = store.find("stage", FP)
        if ref is not None:
            seen_whole += 1
            data = ref.local("data.bin").read_bytes()
            assert len(data) == 300_000 and len(set(data)) == 1
    write(store)
    leftovers = [p.name for p in (tmp_path / "stage" / FP).glob(".tmp-*")]
    assert leftovers == [], "folders of killed writers are swept by the next writer"
    assert seen_whole > 0


def test_unwritable_store_is_one_error_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"store: .* cannot be written .*--set store="):
        Store(tmp_path / "file" / "store").check_writable()


@pytest.mark.parametrize(
    ("root", "kind", "told"),
    [
        ("{here}/file", ConfigError, r"is not a folder .*file is a file.*--set store="),
        ("{here}/file/store", ConfigError, r"is not a folder .*file is a file"),
        ("nosuch://place/store", ConfigError, r"begins with nosuch://, which is not known; use a folder, or a URL"),
        ("absent://place/store", ConfigError, r"cannot be opened: Install absentfs.*or use a folder"),
        ("refusing://place/store", ArtifactError, r"cannot be read \(Unable to locate credentials\); check the bucket"),
    ],
)  # fmt: skip
def test_a_store_that_cannot_be_looked_into_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, kind: type[Exception], told: str
) -> None:
    absent = {"class": "absentfs.FileSystem", "err": "Install absentfs to open absent://"}
    monkeypatch.setitem(known_implementations, "absent", absent)
    fsspec.register_implementation("refusing", RefusingFileSystem, clobber=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(kind, match=rf"^store: .*{told}"):
        Store(root.format(here=tmp_path)).check_reachable()


class RefusingFileSystem(MemoryFileSystem):
    """Answers as an object store does without a key."""

    def ls(self, *_: object, **__: object) -> list[str]:
        raise PermissionError("Unable to locate credentials")


def test_a_store_that_is_there_or_can_be_made_is_reachable(tmp_path: Path) -> None:
    for root in (str(tmp_path), str(tmp_path / "new" / "store"), "memory://not/yet"):
        Store(root).check_reachable()
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"


def test_too_little_room_is_said_in_advance(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"MiB free and the run needs about"):
        Store(tmp_path).check_writable(need_bytes=1 << 60)


def test_a_file_system_without_hard_links_is_said_in_advance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where claims and manifests could not be taken by one of many, hours later."""
    Store(tmp_path).check_writable()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(
        ArtifactError, match=r"^store: .* without hard links \(Operation not permitted\).*--set store="
    ):
        Store(tmp_path).check_writable()
    Store("memory://store/without/links").check_writable()
    assert list(tmp_path.iterdir()) == [], "nothing is left of the look"


def test_a_full_disk_loses_nothing_that_was_there(small_disk: Path) -> None:
    store = Store(small_disk)
    ref = write(store)
    with (
        pytest.raises(ArtifactError, match="the disk is full"),
        store.writer("stage", 1, "e" * 32, {}) as writer,
    ):
        writer.write_text("big.txt", "x" * 1_000_000)
        writer.commit()
    assert store.find("stage", FP) == ref
    assert store.find("stage", "e" * 32) is None


def test_a_full_disk_is_told_whoever_was_writing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    table = pa.table({"a": list(range(100_000))})
    with pytest.raises(ArtifactError, match="the disk is full"), store.writer("stage", 1, FP, {}) as writer:
        # By a link: a writer of Parquet that fails removes what it was writing to.
        writer.path("table.parquet").symlink_to("/dev/full")
        pq.write_table(table, str(writer.path("table.parquet")))
    with pytest.raises(FileNotFoundError), store.writer("stage", 1, FP, {}):
        Path(tmp_path / "an input that is not there").read_text()
    assert list((tmp_path / "stage" / FP).iterdir()) == []


def test_another_disk_that_is_full_is_not_told_as_the_store(tmp_path: Path) -> None:
    def write_elsewhere() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/scratch/table")

    with (
        pytest.raises(
            StoreError, match=r"^/scratch/table cannot be written \(the disk is full\).*free space there"
        ),
        Store(tmp_path).writer("stage", 1, FP, {}),
    ):
        write_elsewhere()


def test_the_machine_is_looked_at_again_once_torch_is_loaded() -> None:
    code = (
        "from tad_core.artifacts.manifest import hardware\n"
        "assert 'torch' not in hardware()\nimport torch\nassert 'torch' in hardware()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=CEILING_S)


def test_a_remote_store_behaves_the_same() -> None:
    store = Store("memory://bucket/store")
    first = write(store)
    assert store.find("stage", FP) == first
    assert first.local("sub/more.txt").read_text() == "more"
    folder = first.local_folder("sub/")
    assert (folder / "more.txt").read_text() == "more"
    import fsspec

    fsspec.filesystem("memory").pipe(f"/bucket/store/stage/{FP}/data.txt", b"other")
    assert store.find("stage", FP) is None


def test_manifest_records_where_and_how(tmp_path: Path) -> None:
    raw = (
        json.loads((tmp_path / "stage" / FP / "manifest.json").read_text()) if write(Store(tmp_path)) else {}
    )
    assert raw["code_version"].startswith("0.") and raw["hardware"]["cpus"] >= 1 and raw["wall_s"] >= 0


def test_one_changed_figure_in_the_manifest_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store)
    path = tmp_path / "stage" / FP / "manifest.json"
    path.write_text(path.read_text().replace('"note": 1', '"note": 2'))
    assert store.find("stage", FP) is None


def test_what_a_library_writes_for_its_owner_alone_is_published_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with Store(tmp_path).writer("stage", 1, "f" * 32, {}) as writer:
            writer.write_text("open.txt", "x")
            writer.path("closed.bin").write_bytes(b"x")
            writer.path("closed.bin").chmod(0o600)
            ref = writer.commit({})
    finally:
        os.umask(before)
    for name in ("open.txt", "closed.bin", "manifest.json"):
        assert oct(ref.local(name).stat().st_mode & 0o777) == oct(0o640), name
