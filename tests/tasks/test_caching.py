from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tad_core.artifacts import ArtifactRef, Store
from tasks.caching import CACHED, absolute_store, cache_key, key_parameter


def make(store: Store, fingerprint: str, text: str) -> ArtifactRef:
    with store.writer("collect", 1, fingerprint, {}) as writer:
        writer.write_text("a.txt", text)
        return writer.commit()


def test_the_key_is_what_identifies_an_artifact(tmp_path: Path) -> None:
    store = Store(tmp_path / "one")
    one, other = make(store, "f1", "one"), make(store, "f2", "other")
    keys = [
        cache_key(store, "filter", "f", [one]),
        cache_key(store, "filter", "f", [one], "shard"),
        cache_key(store, "collect", "f", [one]),
        cache_key(store, "filter", "g", [one]),
        cache_key(store, "filter", "f", [other]),
        cache_key(Store(tmp_path / "two"), "filter", "f", [one]),
    ]
    assert len(set(keys)) == len(keys)
    assert cache_key(Store(tmp_path / "one"), "filter", "f", [one]) == keys[0]
    assert key_parameter(None, {"key": "abc", "work": object()}) == "abc"


def test_a_key_follows_the_content_of_its_inputs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    before = cache_key(store, "filter", "f", [make(store, "f1", "first")])
    assert cache_key(store, "filter", "f", [make(store, "f1", "second")]) != before


def test_a_store_means_the_same_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_store("runs/x").root == str(tmp_path / "runs" / "x")
    assert absolute_store("s3://bucket/x").root == "s3://bucket/x"


def test_a_record_is_good_only_while_the_files_are(tmp_path: Path, prefect_here: None) -> None:
    """The measured behaviour that everything rests on: JSON record, verified reference, explicit key."""
    from prefect import flow, task

    store, made = Store(tmp_path), []

    @task(cache_key_fn=key_parameter, **CACHED)
    def stage(key: str, text: str) -> ArtifactRef:
        made.append(text)
        return make(store, "f1", text)

    @flow
    def run(text: str, force: bool = False) -> Any:
        return stage.with_options(refresh_cache=force)(cache_key(store, "collect", "f1"), text)

    ref = run("same")
    assert run("same") == ref and made == ["same"]
    ref.local("a.txt").write_text("sawe")  # as long as before, one letter changed
    assert run("same") == ref and made == ["same", "same"]
    ref.local("a.txt").unlink()
    assert run("same") == ref and len(made) == 3
    assert run("same") == ref and len(made) == 3
    assert run("same", force=True) == ref and len(made) == 4
