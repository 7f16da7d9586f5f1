"""Files named by their content: two that write one thing differently never mix."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tad_core.artifacts import writer as writer_module
from tad_core.artifacts.ref import ref_at
from tad_core.errors import ArtifactError
from tests.tad_core.artifacts.damage import damage_flip

FP = "f" * 32


def shard(store: Store, text: str, unless=None, by_content: bool = True) -> ArtifactRef:
    with store.writer("stage", 1, FP, {"seed": 0}, manifest_name="piece.json") as writer:
        writer.path("piece.table.txt", rows=2, by_content=by_content).write_text(text)
        return writer.commit(unless=unless)


def find(store: Store) -> ArtifactRef | None:
    return store.find("stage", FP, manifest_name="piece.json")


def test_a_manifest_under_the_name_of_another_piece_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    shard(store, "text")
    folder = tmp_path / "stage" / FP
    (folder / "other.json").write_bytes((folder / "piece.json").read_bytes())
    assert store.find("stage", FP, manifest_name="other.json") is None and find(store) is not None
    assert store.state("stage", FP, "other.json") == ("broken", "the manifest is unreadable")
    with pytest.raises(ArtifactError, match=r"other\.json is missing or unreadable"):
        ref_at(str(folder), "other.json")


def test_a_file_named_by_its_content_is_asked_for_by_its_plain_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ref = shard(store, "one")
    (name,) = ref.manifest.files
    assert re.fullmatch(r"piece\.table\.[0-9a-f]{16}\.txt", name)
    assert ref.local("piece.table.txt") == ref.local(name) == tmp_path / "stage" / FP / name
    assert ref.local("piece.table.txt").read_text() == "one" and ref.manifest.files[name].rows == 2
    assert ArtifactRef.model_validate_json(ref.model_dump_json()) == ref == find(store)
    damage_flip(ref.local(name))
    assert find(store) is None


def test_what_was_written_under_plain_names_stays_what_it_is(tmp_path: Path) -> None:
    old, new = Store(tmp_path / "old"), Store(tmp_path / "new")
    before, after = shard(old, "one", by_content=False), shard(new, "one")
    assert before.digest == after.digest, "what was made from the one is good for the other"
    assert before.local("piece.table.txt").name == "piece.table.txt" and find(old) == before
    assert before.manifest.is_intact()


def test_a_name_that_only_looks_like_one_is_a_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writer("stage", 1, FP, {}) as writer:
        writer.write_text("a.0123456789abcdef.txt", "one")
        ref = writer.commit()
    assert ref.local("a.0123456789abcdef.txt").read_text() == "one" and not ref.local("a.txt").exists()


@pytest.mark.parametrize("moment", ["look", "create"])
def test_of_two_that_write_one_thing_differently_one_is_left_whole_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A slow host and the one that took over: their files and manifests never mix, and the first to finish stands."""
    store, first = Store(tmp_path), []

    def other_host() -> None:
        if not first:
            first.append(shard(store, "theirs", lambda: find(store)))

    def look() -> ArtifactRef | None:
        found = find(store)
        if moment == "look":  # it finishes right after this host has looked
            other_host()
        return found

    original = writer_module.create_bytes

    def create_bytes(*args, **kwargs) -> bool:
        # It finishes while this host's files are there and its manifest is not.
        if moment == "create" and not first:
            first.append(None)
            first[:] = [shard(store, "theirs", lambda: find(store))]
        assert not first or find(store) == first[0], "what is finished stays whole"
        return original(*args, **kwargs)

    monkeypatch.setattr(writer_module, "create_bytes", create_bytes)
    mine = shard(store, "mine, and longer", look)
    assert mine == first[0] == find(store)
    assert mine.local("piece.table.txt").read_text() == "theirs"
    assert {p.name for p in (tmp_path / "stage" / FP).iterdir()} == {"piece.json", *mine.manifest.files}
    assert ArtifactRef.model_validate(first[0].model_dump()) == mine


def test_the_loser_leaves_a_file_that_the_winner_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, first = Store(tmp_path), []

    def look() -> ArtifactRef | None:
        found = find(store)
        if not first:
            first.append(None)
            first[:] = [shard(store, "the same", lambda: find(store))]
        return found

    assert shard(store, "the same", look) == first[0] == find(store)
