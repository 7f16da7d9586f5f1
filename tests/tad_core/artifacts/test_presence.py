"""A store that is moved, removed or unmounted during a run is told as that, and never begun anew in its place."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from flows.running import guard
from tad_core import presence
from tad_core.artifacts import Store
from tad_core.artifacts.files import create_bytes, write_bytes
from tad_core.errors import StoreError, SubprocessError, may_pass
from tad_core.presence import GoneError, expect, expect_nothing, gone
from tad_core.training.folder import owned

FP = "f" * 32
TOLD = r"^store: {}(/\S+)? is not there any more: it was moved or removed, or its disk is not mounted; .* put it back"


@pytest.fixture(autouse=True)
def _nothing_expected() -> Iterator[None]:
    expect_nothing()
    yield
    expect_nothing()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """As a run has looked at it before its work."""
    made = Store(tmp_path / "runs" / "store")
    made.check_writable()
    return made


def moved(store: Store) -> None:
    Path(store.root).rename(f"{store.root}.moved")


def removed(store: Store) -> None:
    shutil.rmtree(store.root)


def unmounted(store: Store) -> None:
    """What is left is the folder below the mount."""
    moved(store)
    Path(store.root).mkdir()


def write(store: Store) -> None:
    with store.writer("stage", 1, FP, {}) as writer:
        writer.write_text("data.txt", "hello")
        writer.commit()


USES: dict[str, Callable[[Store], object]] = {
    "write": write,
    "claim": lambda store: store.leases("stage", FP, 20).take("piece"),
}
PLAIN: dict[str, Callable[[Store], object]] = {
    "scratch": lambda store: store.scratch("stage", FP),
    "note": lambda store: write_bytes(f"{store.root}/.runs/a.json", b"{}"),
    "create": lambda store: create_bytes(f"{store.root}/a.json", b"{}"),
    "train": lambda store: owned([Path(store.url("stage", FP)) / "work"]).__enter__(),
}


@pytest.mark.parametrize("fault", [moved, removed, unmounted])
@pytest.mark.parametrize("use", [*USES, *PLAIN])
def test_it_is_told_and_not_made_anew(store: Store, use: str, fault: Callable[[Store], None]) -> None:
    write(store)
    fault(store)
    expected = (StoreError, TOLD.format(store.root)) if use in USES else (GoneError, "not there any more")
    with pytest.raises(expected[0], match=expected[1]):
        (USES | PLAIN)[use](store)
    assert not Path(store.root).exists() or not any(Path(store.root).iterdir())
    assert gone() and not may_pass(SubprocessError("the child found nothing either"))


@pytest.mark.parametrize("fault", [moved, removed, unmounted])
def test_a_command_that_fails_for_it_says_so(
    store: Store, fault: Callable[[Store], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever file it was that somebody missed first."""

    def work() -> None:
        store.check_writable()
        fault(store)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", f"{store.root}/stage/curve.json")

    with pytest.raises(typer.Exit) as ended:
        guard(work, debug=False)
    told = capsys.readouterr().err
    assert ended.value.exit_code == 2 and told.count("\n") == 1
    assert told.startswith(f"error: store: {store.root} is not there any more")


def test_once_it_is_back_all_goes_on(store: Store) -> None:
    write(store)
    moved(store)
    with pytest.raises(StoreError):
        write(store)
    Path(f"{store.root}.moved").rename(store.root)
    assert store.find("stage", FP) is not None and not gone()
    write(store)


def test_a_copy_that_was_put_back_is_the_store(store: Store) -> None:
    """Another inode, and not empty."""
    write(store)
    moved(store)
    shutil.copytree(f"{store.root}.moved", store.root)
    write(store)
    assert not gone()


@pytest.mark.parametrize("writes", ["link", "runs"])
def test_it_is_gone_by_whichever_name_it_is_written(store: Store, tmp_path: Path, writes: str) -> None:
    """A run is checked by the name that it was given, and works by the one without links."""
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    expect_nothing()
    Store(tmp_path / "link" / "store").check_writable(0)
    removed(store)
    with pytest.raises(StoreError, match="not there any more"):
        write(Store(tmp_path / writes / "store"))
    store.check_writable(0)
    Store(tmp_path / "link" / "store").check_writable(0)
    write(store)


def test_another_run_may_begin_in_a_thread_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """And look at its own store, or at this one anew, while this one is looked for."""
    which, begun = presence._which, list[Path]()

    def meanwhile(folder: Path) -> tuple[int, int]:
        if not begun:
            begun.append(Path(store.root).with_name("other"))
            begun[0].mkdir()
            expect(begun[0])
            expect_nothing(Path(store.root))
        return which(folder)

    expect(Path(store.root).parent)
    monkeypatch.setattr(presence, "_which", meanwhile)
    assert not gone()
    write(store)


def test_a_run_that_begins_makes_its_store(store: Store) -> None:
    removed(store)
    store.check_writable()
    write(store)
    assert not gone()


def test_one_that_was_never_there_is_new(tmp_path: Path) -> None:
    expect(tmp_path / "store")
    write(Store(tmp_path / "store"))
    assert not gone()


@pytest.mark.parametrize("below", [False, True])
def test_a_disk_that_is_unmounted_is_not_written_below_its_mount_point(small_disk: Path, below: bool) -> None:
    """Nor where something is there already, as of a run that began before the disk was mounted."""
    store = Store(small_disk)
    store.check_writable(0)
    subprocess.run(["umount", str(small_disk)], check=True)
    try:
        if below:
            (small_disk / "collect").mkdir()
        with pytest.raises(StoreError, match=TOLD.format(small_disk)):
            write(store)
        assert [path.name for path in small_disk.iterdir()] == ["collect"] * below
    finally:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small_disk)], check=True)
